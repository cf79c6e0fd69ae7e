"""`brainalign run`, `status` and `tune`: models of a study are measured or tuned, and it is said how far they are."""

import argparse
import os
import warnings

from brainalign import messages
from brainalign import study as studies
from brainalign.cli import book_command, plan_command
from brainalign.cli.commands import timed
from brainalign.llm import tuning
from brainalign.llm.reading import batches
from brainalign.llm.tuning import distributed


def run(options: argparse.Namespace) -> int:
    """Run models of a study, all if none is named; what is up to date is left alone. With a profile, by Snakemake."""
    study = studies.load(options.study)
    models = options.models or studies.measured(study)
    if options.profile or options.dry_run:
        if unknown := set(models) - set(studies.measured(study)):
            raise LookupError(messages.unknown(f"model of study {study.name}", min(unknown), studies.measured(study)))
        return book_command.with_snakemake(options, study, models)
    if not plan_command.require(study, options.models or None):
        return 1
    # The page on the people says so, once; here it would be said for every model.
    warnings.filterwarnings("ignore", ".* is left out: every value")
    # Embeddings of a full stop, or of the token that starts a decoder: of any model, wherever texts end alike.
    warnings.filterwarnings("ignore", "features of layer .* are the same for all stimuli")
    if options.attempt > 1:
        os.environ[batches.PIECES] = str(4 ** (options.attempt - 1))
    for model in models:
        with timed(f"ran {model}"):
            studies.run(study, model)
    return 0


def status(options: argparse.Namespace) -> None:
    """Print of each model of a study whether its results are up to date, and what has changed where they are not."""
    statuses = studies.status(studies.load(options.study))
    width = max(map(len, statuses.index), default=0)
    for row in statuses.itertuples():
        print(f"{row.Index:{width}}  {row.state:10}  {row.why}".rstrip())
    print(", ".join(f"{n} {state}" for state, n in statuses.state.value_counts().items()))


def tune(options: argparse.Namespace) -> None:
    """Tune models of a study, all that it tunes if none is named; what is tuned is left alone."""
    study = studies.load(options.study)
    for name, source in studies.tuned(study, options.models).items():
        with timed(f"tuned {name}"):
            folders = studies.checkpoints(study, source)
        if distributed.current().rank == 0:
            losses = tuning.losses(folders)
            print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last; steps {', '.join(map(str, folders))}")
            print(next(iter(folders.values())).parent)
