"""`brainalign book`, `execute`, `render` and `claims`: Snakemake has a study's book made, step by step."""

import argparse
import sys
import time
from collections.abc import Collection, Mapping, Sequence

from brainalign import store
from brainalign import study as studies
from brainalign.cli import engine, plan_command, profiles
from brainalign.cli.commands import timed
from brainalign.paper import claims as checks
from brainalign.paper.publish import book as books
from brainalign.study import Study
from brainalign.study.planning import needs, plan
from brainalign.study.planning.plan import Resources


def book(options: argparse.Namespace) -> int:
    """Build a study's book with Snakemake, which is told what there is to do and need not import the library."""
    start = time.monotonic()
    study = studies.load(options.study)
    if options.results:
        studies.adopt(study, options.results)
    status = with_snakemake(options, study)
    if status == 0:
        print(f"{books.html(study.name) / 'index.html'}  ({time.monotonic() - start:.1f} s)")
    return status


def with_snakemake(options: argparse.Namespace, study: Study, models: Collection[str] | None = None) -> int:
    """Have Snakemake run models of a study, or make its book; or say what it would do."""
    profile = profiles.load(options.profile or profiles.LOCAL)
    resources = profile.resources(options.partition, options.account) if profile.remote else profiles.scarce()
    if profile.remote:
        profiles.check_place()
    counted = profile.remote or resources or options.dry_run
    asked = plan.resources(study, **plan_command.cards(options)) if counted else {}
    due = [model for model in studies.measured(study) if studies.want(study, model) and model in (models or [model])]
    if not options.dry_run:
        if profile.slurm:
            profiles.check(resources)
        if not plan_command.require(study, due, gpu=not profile.remote):
            return 1
        if sizes := needs.downloads(study, due):
            print(f"downloads {sum(sizes.values()) / 1e6:,.0f} MB first: {', '.join(sizes)}", flush=True)
    weights = plan.weights(study)
    config = _config(options.study, study, asked, due, weights)
    kept, made = studies.result_path(study, "any").parent, store.from_project(engine.results_of(study.name))
    targets = [str(made / model / studies.DONE) for model in models or ()]
    workflow = engine.Workflow(config, kept, options.cores, profile, resources, targets)
    if options.dry_run:
        jobs = workflow.due()
        print(plan_command.jobs(jobs, asked) if jobs else "nothing is due")
        plan_command.require(study, due, gpu=not profile.remote)
        return 0
    pages = {f"{name}.ipynb": books.kind(name) for name in config["shown"]} | {engine.BOOK: "book"}
    table = studies.models(study)
    kinds = {**(table.origin + ", " + table.kind), **pages}
    if status := workflow.run(kinds, weights | books.weights(pages)):
        print("brainalign: the build stopped", file=sys.stderr)
    return status


def _config(
    name: str, study: Study, asked: Mapping[str, Resources], due: Sequence[str], weights: Mapping[str, float]
) -> dict[str, object]:
    """What the Snakefile is told of a study, what its jobs ask for, if anybody counts, and which models are due."""
    path, bases = studies.path_of(name), studies.bases(study)
    batches = longest_first(studies.batches(study), bases, weights)
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


def longest_first(
    batches: Sequence[list[str]], bases: Mapping[str, str], weights: Mapping[str, float]
) -> list[list[str]]:
    """Batches in the order in which to start them: what is longest, or has the longest waiting for it, goes first."""

    def weight(batch: Sequence[str]) -> float:
        return sum(weights[model] for model in batch)

    def chain(batch: Sequence[str]) -> float:
        later = [other for other in batches if other is not batch and {bases.get(model) for model in other} & {*batch}]
        return weight(batch) + max(map(weight, later), default=0.0)

    return sorted(batches, key=chain, reverse=True)


def execute(options: argparse.Namespace) -> None:
    """Execute one notebook into the sources of a study's book."""
    study = studies.load(options.study)
    template, parameters = books.template(options.notebook, study)
    executed = books.source(study.name) / "executed"
    parameters |= {"study": options.study, "output": store.from_project(executed).as_posix()}
    with timed(f"executed {options.notebook}.ipynb"):
        books.execute(template, executed / f"{options.notebook}.ipynb", parameters)


def render(options: argparse.Namespace) -> None:
    """Stage and render the book from executed notebooks."""
    with timed("rendered the book"):
        books.stage(options.study)
        books.render(studies.load(options.study).name)


def claims(options: argparse.Namespace) -> None:
    """Print every claim with its verdicts."""
    checked = checks.check_all(studies.results(studies.load(options.study), studies.SCORES))
    for row in checked.itertuples():
        value = checks.display(row.value)
        print(f"{row.section:>4}  {row.id:26} {row.printed:24} {value:>14}  {row.verdict:13} {row.study_verdict}")
    print("\n" + ", ".join(f"{n} {verdict}" for verdict, n in checked.verdict.value_counts().items()))
