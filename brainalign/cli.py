"""The `brainalign` command."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from brainalign import store


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
    from brainalign.paper import book as books
    from brainalign import study as studies

    start = time.monotonic()
    name = studies.load(options.study).name
    status = _snakemake(name, options.cores)
    if status == 0:
        print(f"{books.html(name) / 'index.html'}  ({time.monotonic() - start:.1f} s)")
    return status


def execute(options: argparse.Namespace) -> None:
    """Execute one notebook into the sources of a study's book."""
    from brainalign.paper import book as books

    executed = books.source(options.study) / "executed"
    parameters = {"study": options.study, "output": str(executed)}
    books.execute(store.PROJECT / "notebooks" / f"{options.notebook}.ipynb", executed / f"{options.notebook}.ipynb", parameters)


def render(options: argparse.Namespace) -> None:
    """Stage and render the book from executed notebooks."""
    from brainalign.paper import book as books

    books.stage(options.study)
    books.render(options.study)


def _snakemake(study: str, cores: int) -> int:
    command = [Path(sys.executable).with_name("snakemake"), "--snakefile", "workflow/Snakefile", "--cores", str(cores)]
    options = ["--config", f"study={study}", "--rerun-incomplete", "--quiet", "rules", "progress", "host"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([*command, *options], cwd=store.PROJECT, env=environment).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="brainalign", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("book", help="build a study's book")
    command.add_argument("study", nargs="?", default="printed")
    command.add_argument("--cores", type=int, default=os.cpu_count())
    command.set_defaults(run=book)
    command = commands.add_parser("execute", help="execute one notebook for a study's book")
    command.add_argument("notebook")
    command.add_argument("study")
    command.set_defaults(run=execute)
    command = commands.add_parser("render", help="render a study's book from executed notebooks")
    command.add_argument("study")
    command.set_defaults(run=render)
    return parser
