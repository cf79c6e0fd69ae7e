"""The `brainalign` command."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from brainalign import store

if TYPE_CHECKING:
    from brainalign.study import Study


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
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        print(f"brainalign: {error}", file=sys.stderr)
        return 1


def book(options: argparse.Namespace) -> int:
    """Build a study's book with Snakemake; says where it is and how long it took."""
    from brainalign import study as studies
    from brainalign.paper import book as books

    start = time.monotonic()
    study = studies.load(options.study)
    status = _snakemake(options.study, study, options.cores)
    if status == 0:
        print(f"{books.html(study.name) / 'index.html'}  ({time.monotonic() - start:.1f} s)")
    return status


def run(options: argparse.Namespace) -> None:
    """Run models of a study, all if none is named; what is up to date is left alone."""
    from brainalign import study as studies

    study = studies.load(options.study)
    for model in options.models or studies.models(study).index:
        with _timed(f"ran {model}"):
            studies.run(study, model)


def execute(options: argparse.Namespace) -> None:
    """Execute one notebook into the sources of a study's book."""
    from brainalign import catalog
    from brainalign import study as studies
    from brainalign.paper import book as books

    known = [path.stem for path in (store.PROJECT / "notebooks").glob("*.ipynb")]
    if options.notebook not in known:
        raise LookupError(catalog.unknown("notebook", options.notebook, known))
    executed = books.source(studies.load(options.study).name) / "executed"
    template = store.PROJECT / "notebooks" / f"{options.notebook}.ipynb"
    # Relative to the project, so that the executed notebook is the same wherever the project lies.
    parameters = {"study": options.study, "output": executed.relative_to(store.PROJECT).as_posix()}
    with _timed(f"executed {options.notebook}.ipynb"):
        books.execute(template, executed / f"{options.notebook}.ipynb", parameters)


def render(options: argparse.Namespace) -> None:
    """Stage and render the book from executed notebooks."""
    from brainalign import study as studies
    from brainalign.paper import book as books

    with _timed("rendered the book"):
        books.stage(options.study)
        books.render(studies.load(options.study).name)


def claims(options: argparse.Namespace) -> None:
    """Print every claim with its verdicts."""
    from brainalign import study as studies
    from brainalign.paper import claims

    checked = claims.check_all(studies.results(studies.load(options.study)))
    for row in checked.itertuples():
        value = claims.display(row.value)
        print(f"{row.section:>4}  {row.id:26} {row.printed:24} {value:>14}  {row.verdict:13} {row.study_verdict}")
    print("\n" + ", ".join(f"{n} {verdict}" for verdict, n in checked.verdict.value_counts().items()))


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{what} ({time.monotonic() - start:.1f} s)", flush=True)


def _snakemake(name: str, study: Study, cores: int) -> int:
    """Run the Snakefile; it is told what there is to do, so that it need not import the library."""
    from brainalign import study as studies
    from brainalign.paper import book as books

    config = {
        "study": name,
        "settings": " ".join(map(str, [studies.path_of(name), *studies.own_files(study)])),
        "models": " ".join(studies.models(study).index) if study.parts else "",
        "notebooks": " ".join(books.notebooks(study)),
        "results": studies.result_path(study, "any").parent,
    }
    binaries = Path(sys.executable).parent
    command = [binaries / "snakemake", "--snakefile", "workflow/Snakefile", "--cores", str(cores)]
    options = ["--rerun-incomplete", "--quiet", "all"]
    settings = ["--config", *(f"{key}={value}" for key, value in config.items())]
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([*command, *options, *settings], cwd=store.PROJECT, env=environment).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="brainalign", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("book", help="build a study's book")
    command.add_argument("study", nargs="?", default="printed")
    command.add_argument("--cores", type=int, default=os.cpu_count())
    command.set_defaults(run=book)
    command = commands.add_parser("run", help="run models of a study")
    command.add_argument("study")
    command.add_argument("models", nargs="*", metavar="MODEL")
    command.set_defaults(run=run)
    command = commands.add_parser("claims", help="print the paper's claims and their verdicts")
    command.add_argument("study", nargs="?", default="printed")
    command.set_defaults(run=claims)
    command = commands.add_parser("execute", help="execute one notebook for a study's book")
    command.add_argument("notebook")
    command.add_argument("study")
    command.set_defaults(run=execute)
    command = commands.add_parser("render", help="render a study's book from executed notebooks")
    command.add_argument("study")
    command.set_defaults(run=render)
    return parser
