"""The `brainalign` command."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from brainalign import messages, store, warm
from brainalign.cli import plan_command, store_command

if TYPE_CHECKING:
    from brainalign.human.reading_times import ReadingTimes
    from brainalign.human.recording import Recording
    from brainalign.study import Study
    from brainalign.study.planning.plan import Resources

DEFAULT = "microworld"  # the study that needs nobody's data and nobody's weights


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of the process's own.

    Returns
    -------
    int
        Exit status: 0, or 1 after a message on standard error.
    """
    if arguments is None and warm.serving():
        return warm.run("brainalign.cli:main", sys.argv[1:])
    options = _parser().parse_args(arguments)
    try:
        with _plain_warnings():
            return options.run(options) or 0
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        print(f"brainalign: {error}", file=sys.stderr)
        return 1


def book(options: argparse.Namespace) -> int:
    """Build a study's book with Snakemake, which is told what there is to do and need not import the library."""
    from brainalign import study as studies
    from brainalign.paper.publish import book as books

    start = time.monotonic()
    study = studies.load(options.study)
    if options.results:
        studies.adopt(study, options.results)
    status = _engine(options, study)
    if status == 0:
        print(f"{books.html(study.name) / 'index.html'}  ({time.monotonic() - start:.1f} s)")
    return status


def run(options: argparse.Namespace) -> int:
    """Run models of a study, all if none is named; what is up to date is left alone. With a profile, by Snakemake."""
    from brainalign import study as studies

    study = studies.load(options.study)
    models = options.models or studies.measured(study)
    if options.profile or options.dry_run:
        if unknown := set(models) - set(studies.measured(study)):
            raise LookupError(messages.unknown(f"model of study {study.name}", min(unknown), studies.measured(study)))
        return _engine(options, study, models)
    if not plan_command.require(study, options.models or None):
        return 1
    # The page on the people says so, once; here it would be said for every model.
    warnings.filterwarnings("ignore", ".* is left out: every value")
    # Embeddings of a full stop, or of the token that starts a decoder: of any model, wherever texts end alike.
    warnings.filterwarnings("ignore", "features of layer .* are the same for all stimuli")
    if options.attempt > 1:
        from brainalign.llm.reading import batches

        os.environ[batches.PIECES] = str(4 ** (options.attempt - 1))
    for model in models:
        with _timed(f"ran {model}"):
            studies.run(study, model)
    return 0


def _engine(options: argparse.Namespace, study: Study, models: Collection[str] | None = None) -> int:
    """Have Snakemake run models of a study, or make its book; or say what it would do."""
    from brainalign import study as studies
    from brainalign.cli import engine, profiles
    from brainalign.paper.publish import book as books
    from brainalign.study.planning import plan

    profile = profiles.load(options.profile or profiles.LOCAL)
    resources = profile.resources(options.partition, options.account) if profile.remote else profiles.scarce()
    if profile.remote:
        profiles.check_place()
    asked = {}
    if profile.remote or resources or options.dry_run:
        asked = plan.resources(study, **plan_command.cards(options))
    due = [model for model in studies.measured(study) if studies.want(study, model) and model in (models or [model])]
    if not options.dry_run:
        if profile.slurm:
            profiles.check(resources)
        if not plan_command.require(study, due, gpu=not profile.remote):
            return 1
    weights = plan.weights(study)
    config = _config(options.study, study, asked, due, weights)
    results = store.from_project(engine.results_of(study.name))
    where = {
        "results": studies.result_path(study, "any").parent,
        "profile": profile,
        "resources": resources,
        "targets": [str(results / model / studies.DONE) for model in models or ()],
    }
    if options.dry_run:
        jobs = engine.due(config, options.cores, **where)
        print(plan_command.jobs(jobs, asked) if jobs else "nothing is due")
        plan_command.require(study, due, gpu=not profile.remote)
        return 0
    pages = {f"{name}.ipynb": books.kind(name) for name in config["shown"]} | {engine.BOOK: "book"}
    table = studies.models(study)
    kinds = {**(table.origin + ", " + table.kind), **pages}
    status = engine.run(config, options.cores, kinds, weights=weights | books.weights(pages), **where)
    if status:
        print("brainalign: the build stopped", file=sys.stderr)
    return status


def _config(
    name: str, study: Study, asked: Mapping[str, Resources], due: Sequence[str], weights: Mapping[str, float]
) -> dict[str, object]:
    """What the Snakefile is told of a study, what its jobs ask for, if anybody counts, and which models are due."""
    from brainalign import study as studies
    from brainalign.paper.publish import book as books
    from brainalign.study.planning import plan

    path, bases = studies.path_of(name), studies.bases(study)
    batches = _longest_first(studies.batches(study), bases, weights)
    return {
        # Snakemake runs in the project's folder, from which a path need not lead there.
        "study": name if name in studies.names() else str(path.resolve()),
        "name": study.name,
        "batches": batches,
        "library": str(store.from_project(books.write_code())),
        "needs": [plan_command.together([asked[model] for model in batch]) for batch in batches if asked],
        "notebook": plan_command.together([plan.NOTEBOOK]) if asked else None,
        "bases": bases,
        "due": due,
        "shown": {notebook: books.shown(notebook, study) for notebook in books.notebooks(study)},
    }


def _longest_first(
    batches: Sequence[list[str]], bases: Mapping[str, str], weights: Mapping[str, float]
) -> list[list[str]]:
    """Batches in the order in which to start them: what is longest, or has the longest waiting for it, goes first."""

    def weight(batch: Sequence[str]) -> float:
        return sum(weights[model] for model in batch)

    def chain(batch: Sequence[str]) -> float:
        later = [other for other in batches if other is not batch and {bases.get(model) for model in other} & {*batch}]
        return weight(batch) + max(map(weight, later), default=0.0)

    return sorted(batches, key=chain, reverse=True)


def status(options: argparse.Namespace) -> None:
    """Print of each model of a study whether its results are up to date, and what has changed where they are not."""
    from brainalign import study as studies

    statuses = studies.status(studies.load(options.study))
    width = max(map(len, statuses.index), default=0)
    for row in statuses.itertuples():
        print(f"{row.Index:{width}}  {row.state:10}  {row.why}".rstrip())
    print(", ".join(f"{n} {state}" for state, n in statuses.state.value_counts().items()))


def tune(options: argparse.Namespace) -> None:
    """Tune models of a study, all that it tunes if none is named; what is tuned is left alone."""
    from brainalign import study as studies
    from brainalign.llm import tuning
    from brainalign.llm.tuning import distributed

    study = studies.load(options.study)
    for name, source in studies.tuned(study, options.models).items():
        with _timed(f"tuned {name}"):
            folders = studies.checkpoints(study, source)
        if distributed.current().rank == 0:
            losses = tuning.losses(folders)
            print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last; steps {', '.join(map(str, folders))}")
            print(next(iter(folders.values())).parent)


def execute(options: argparse.Namespace) -> None:
    """Execute one notebook into the sources of a study's book."""
    from brainalign import study as studies
    from brainalign.paper.publish import book as books

    study = studies.load(options.study)
    template, parameters = books.template(options.notebook, study)
    executed = books.source(study.name) / "executed"
    parameters |= {"study": options.study, "output": store.from_project(executed).as_posix()}
    with _timed(f"executed {options.notebook}.ipynb"):
        books.execute(template, executed / f"{options.notebook}.ipynb", parameters)


def render(options: argparse.Namespace) -> None:
    """Stage and render the book from executed notebooks."""
    from brainalign import study as studies
    from brainalign.paper.publish import book as books

    with _timed("rendered the book"):
        books.stage(options.study)
        books.render(studies.load(options.study).name)


def claims(options: argparse.Namespace) -> None:
    """Print every claim with its verdicts."""
    from brainalign import study as studies
    from brainalign.paper import claims

    checked = claims.check_all(studies.results(studies.load(options.study), studies.SCORES))
    for row in checked.itertuples():
        value = claims.display(row.value)
        print(f"{row.section:>4}  {row.id:26} {row.printed:24} {value:>14}  {row.verdict:13} {row.study_verdict}")
    print("\n" + ", ".join(f"{n} {verdict}" for verdict, n in checked.verdict.value_counts().items()))


def list_data(options: argparse.Namespace) -> None:
    """Print every data set with its size, its license, and whether it is here."""
    from brainalign import catalog
    from brainalign.human import download

    for data in catalog.datasets().values():
        places = [download.find(file) for file in data.files.values()]
        here = [path for path in places if path]
        size = data.bytes or (sum(path.stat().st_size for path in here) if here and all(places) else None)
        state = (
            "yours to bring" if not places else "here" if all(places) else f"{len(here)} of {len(places)} files here"
        )
        megabytes = f"{size / 1e6:.1f} MB" if size else "size unknown"
        print(f"{data.name:21} {data.kind:17} {megabytes:>12}  {state:20} {data.licence}")


def fetch_data(options: argparse.Namespace) -> None:
    """Fetch the files of a data set into the store."""
    from brainalign import human
    from brainalign.human import download

    data = human.dataset(options.name)
    with _timed(f"fetched {data.name}"):
        download.fetch_all(data)


def check_data(options: argparse.Namespace) -> None:
    """Check the files of a data set against the catalog's hashes and counts; fetches nothing."""
    from brainalign import human
    from brainalign.human import download

    data = human.dataset(options.name)
    if options.place and data.files:
        raise ValueError(f"{data.name}: --from: its counts are those of the published files. Leave --from out.")
    download.verify(data)
    if data.files:
        print(f"{data.name}: {_count(len(data.files), 'file')}, as the hashes in the catalog say")
    for name in human.names():
        if human.dataset(name) == data and options.name in (name, data.name):
            print(f"{name}: {_shape(_load(name, options))}, as the counts in the catalog say")


def show_data(options: argparse.Namespace) -> None:
    """Print what is in a recording or in reading times, by name or in a file of one's own."""
    from brainalign import human
    from brainalign.human.recording import Recording

    loaded = _load(options.name, options)
    values = loaded.responses if isinstance(loaded, Recording) else loaded.times
    print(f"{loaded.name}: {_shape(loaded)}")
    if isinstance(loaded, Recording):
        print(f"participants: {len(loaded.participants)} ({', '.join(loaded.participants)})")
        words = " ".join(loaded.passages[0].parts).split()
    else:
        words = loaded.table().text
    print(f"missing: {int(values.isnull().sum()):,} of {values.size:,} values")
    print(f"text: {' '.join(words[:25])} ...")
    if loaded.name in human.names() and not options.place:
        ceilings = human.dataset(loaded.name).ceilings
        ceiling = ceilings.get(loaded.name.rpartition(".")[2], ceilings.get("all"))
        print(f"ceiling: {f'r = {ceiling:.3f}, as published' if ceiling else 'none is published'}")
    print(f"license: {loaded.licence}\n{loaded.citation}".strip())


def _load(name: str, options: argparse.Namespace) -> Recording | ReadingTimes:
    """Load by name, from the place that was given if one was; or a file of one's own."""
    from brainalign import human
    from brainalign.human import own

    if name.endswith(".csv"):
        return own.load_table(name, options.participants)
    if name.endswith(".nc"):
        return own.load_netcdf(name)
    place = {"folder" if name == "wehbe2014" else "path": options.place} if options.place else {}
    return human.load(name, **place)


def _shape(loaded: Recording | ReadingTimes) -> str:
    from brainalign.human.recording import Recording

    values = loaded.responses if isinstance(loaded, Recording) else loaded.times
    shape = " x ".join(_count(size, dim) for dim, size in values.sizes.items())
    if not isinstance(loaded, Recording):
        return shape
    more = [_count(len(loaded.participants), "participant"), _count(len(loaded.passages), "passage")]
    return ", ".join([shape, *more] + ([f"a volume every {loaded.tr:g} s"] if loaded.tr else []))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what if n == 1 else {'stimulus': 'stimuli'}.get(what, what + 's')}"


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print what a warning says, and not from which line of the code."""
    before, warnings.formatwarning = warnings.formatwarning, lambda message, *_: f"note: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{what} ({time.monotonic() - start:.1f} s)", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="brainalign", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("book", help="build a study's book")
    command.add_argument("study", nargs="?", default=DEFAULT, help="%(default)s if left out")
    command.add_argument(
        "--from",
        dest="results",
        type=Path,
        metavar="RESULTS",
        help="results that were measured elsewhere",
    )
    _add_engine(command, "local")
    command.set_defaults(run=book)
    command = commands.add_parser("run", help="run models of a study")
    command.add_argument("study")
    command.add_argument("models", nargs="*", metavar="MODEL")
    command.add_argument("--attempt", type=int, default=1, help="after the first, batches are read in pieces")
    _add_engine(command, None)
    command.set_defaults(run=run)
    command = commands.add_parser("status", help="say which results of a study are up to date, stale or missing")
    command.add_argument("study")
    command.set_defaults(run=status)
    command = commands.add_parser("tune", help="tune models of a study; accelerate launches it on several GPUs")
    command.add_argument("study")
    command.add_argument("models", nargs="*", metavar="MODEL")
    command.set_defaults(run=tune)
    plan_command.add(
        commands.add_parser("plan", help="say what a study takes: bytes, cards, hours, and what is missing")
    )
    command = commands.add_parser("claims", help="print the paper's claims and their verdicts")
    command.add_argument("study", nargs="?", default="printed", help="%(default)s, which measures nothing, if left out")
    command.set_defaults(run=claims)
    command = commands.add_parser("execute", help="execute one notebook for a study's book")
    command.add_argument("notebook")
    command.add_argument("study")
    command.set_defaults(run=execute)
    command = commands.add_parser("render", help="render a study's book from executed notebooks")
    command.add_argument("study")
    command.set_defaults(run=render)
    _add_data(commands.add_parser("data", help="list, fetch, check and show data sets"))
    store_command.add(commands.add_parser("store", help="list, measure and prune what is kept"))
    return parser


def _add_engine(parser: argparse.ArgumentParser, profile: str | None) -> None:
    """Options of what Snakemake does: where, and on how much of it."""
    parser.add_argument("--profile", default=profile, help="local, slurm, or the path of a folder of your own")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of this machine, where steps run on it")
    parser.add_argument("--partition", help="of SLURM, where the profile's is not meant")
    parser.add_argument("--account", help="of SLURM")
    plan_command.add_accelerator(parser)
    parser.add_argument("--dry-run", action="store_true", help="say which jobs are due and what each takes, and stop")


def _add_data(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="size, license, and whether it is here").set_defaults(run=list_data)
    for name, run, text in (
        ("fetch", fetch_data, "fetch the files of a data set"),
        ("check", check_data, "check hashes and published counts"),
        ("show", show_data, "shape, participants, missing data, text, ceiling; also of your own .csv or .nc"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("name", metavar="NAME")
        if run is not fetch_data:
            command.add_argument("--from", dest="place", metavar="PLACE", help="the file or folder to read")
            command.add_argument("--participants", metavar="CSV", help="sheet for a table of your own")
        command.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
