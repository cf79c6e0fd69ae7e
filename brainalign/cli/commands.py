"""The `brainalign` command: what it may be asked. What then answers is loaded only when it is."""

import argparse
import os
import pkgutil
import select
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainalign import messages, warm

LIBRARY = Path(__file__).parent.parent
# Whose text says nothing by itself: of errors that are meant to be read, a LookupError is one and no KeyError.
UNEXPLAINED = (KeyError, IndexError, ImportError, AttributeError, TypeError, UnicodeError)
DEFECT = "It should have been explained: please report it, with the command."
BROKEN_PIPE = 141  # as a shell reports a command that wrote to a pipe which nobody reads
STUDY = "microworld"  # needs nobody's data and nobody's weights


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, with the process's own arguments if none are given.

    Returns
    -------
    int
        Exit status: 0, or 1 after a message on standard error.
    """
    if arguments is None and warm.serving():
        return warm.run("brainalign.cli:main", sys.argv[1:])
    try:
        options = _parser().parse_args(arguments)
        with _plain_warnings():
            status = pkgutil.resolve_name(f"brainalign.cli.{options.run}")(options) or 0
            sys.stdout.flush()
            return status
    except SystemExit:  # after the help, or a wrong usage
        if _nobody_reads():
            return BROKEN_PIPE
        raise
    except UNEXPLAINED as error:
        print(f"brainalign: {type(error).__name__} in {_place(error)}: {error}. {DEFECT}", file=sys.stderr)
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return BROKEN_PIPE
        print(f"brainalign: {error}", file=sys.stderr)
    return 1


def _place(error: Exception) -> str:
    """Where in the library an error came from: file, line and function."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if Path(frame.filename).is_relative_to(LIBRARY)), frames[-1])
    return f"{Path(frame.filename).name}, line {frame.lineno} ({frame.name})"


def _nobody_reads() -> bool:
    """Whether standard output is a pipe without a reader, as after ``head``; nothing more is then written there."""
    try:
        output = sys.stdout.fileno()
        poll = select.poll()
    except (AttributeError, OSError):  # no file, or a system that has no such question
        return False
    poll.register(output, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)  # for what is still to be flushed when Python ends
    return True


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what was done in the block, and how long it took."""
    start = time.monotonic()
    yield
    print(f"{what} ({time.monotonic() - start:.1f} s)", flush=True)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print what a warning says, and not from which line of the code; of each cause once, and how many more."""
    notes, before = messages.Notes(), warnings.showwarning

    def show(message: Warning | str, *_, **__) -> None:
        if notes.is_first(str(message)):
            print(f"{messages.NOTE}{message}", file=sys.stderr)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
        for line in notes.summary():
            print(line, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="brainalign", description="The `brainalign` command.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = _add(commands, "book", "book_command:book", "build a study's book")
    command.add_argument("study", nargs="?", default=STUDY, help="%(default)s if left out")
    help = "results that were measured elsewhere"
    command.add_argument("--from", dest="results", type=Path, metavar="RESULTS", help=help)
    _add_engine(command, profile="local")
    command = _add(commands, "run", "study_command:run", "run models of a study", "study", "models")
    command.add_argument("--attempt", type=int, default=1, help="after the first, batches are read in pieces")
    _add_engine(command, profile=None)
    help = "score a model on a recording, beside controls: a table and a curve over layers"
    command = _add(commands, "score", "score_command:score", help, "model", "recording")
    command.add_argument("--protocol", action="append", help="aw2024, contiguous, ...; may be repeated")
    _add_place(command)
    help = "say which results of a study are up to date, stale or missing"
    _add(commands, "status", "study_command:status", help, "study")
    help = "tune models of a study; accelerate launches it on several GPUs"
    _add(commands, "tune", "study_command:tune", help, "study", "models")
    help = "say what a study takes: bytes, cards, hours, and what is missing"
    command = _add(commands, "plan", "plan_command:plan", help, "study")
    _add_accelerator(command)
    command.add_argument("--json", action="store_true", help="bytes, operations and hours, for programs")
    command = _add(commands, "claims", "book_command:claims", "print the paper's claims and their verdicts")
    command.add_argument("study", nargs="?", default="printed", help="%(default)s, which measures nothing, if left out")
    _add(commands, "execute", "book_command:execute", "execute one notebook for a study's book", "notebook", "study")
    _add(commands, "render", "book_command:render", "render a study's book from executed notebooks", "study")
    _add_data(commands.add_parser("data", help="list, fetch, check and show data sets"))
    _add_store(commands.add_parser("store", help="list, measure and prune what is kept"))
    return parser


def _add(commands, name: str, run: str, help: str, *arguments: str) -> argparse.ArgumentParser:
    """Add a command, the function that does it, and what it has to be told; models may be any number, or none."""
    parser = commands.add_parser(name, help=help)
    for argument in arguments:
        parser.add_argument(argument, **({"nargs": "*", "metavar": "MODEL"} if argument == "models" else {}))
    parser.set_defaults(run=run)
    return parser


def _add_engine(parser: argparse.ArgumentParser, profile: str | None) -> None:
    """Options of what Snakemake does: where, and on how much of it."""
    parser.add_argument("--profile", default=profile, help="local, slurm, or the path of a folder of your own")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of this machine, where steps run on it")
    parser.add_argument("--partition", help="of SLURM, where the profile's is not meant")
    parser.add_argument("--account", help="of SLURM")
    _add_accelerator(parser)
    parser.add_argument("--dry-run", action="store_true", help="say which jobs are due and what each takes, and stop")


def _add_accelerator(parser: argparse.ArgumentParser) -> None:
    """Options that say on which cards models run."""
    parser.add_argument("--accelerator", metavar="NAME", help="H100, A100, ..., or cpu; A100 if left out")
    parser.add_argument("--rate", type=float, metavar="FLOPS", help="operations a second, where you measured them")
    parser.add_argument("--memory", type=float, metavar="GIB", help="of a card; the accelerator's if left out")


def _add_data(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "list", "data_command:show_list", "size, license, and whether it is here")
    for name, help in (
        ("fetch", "fetch the files of a data set"),
        ("check", "check hashes and published counts"),
        ("show", "shape, participants, missing data, text, ceiling; also of files of your own"),
    ):
        command = _add(commands, name, f"data_command:{name}", help)
        command.add_argument("name", metavar="NAME")
        if name != "fetch":
            _add_place(command)
        if name == "show":
            command.add_argument("--measure", metavar="COLUMN", help="times (ms) in a CSV of reading times")


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Options that say where data are read; those of responses in .npy or NIfTI are named as in a study."""
    parser.add_argument("--from", dest="place", metavar="PLACE", help="the file or folder to read")
    parser.add_argument("--participants", metavar="CSV", help="sheet for a table of your own")
    parser.add_argument("--words", metavar="CSV", help="word, onset, run, passage; for .npy, .nii and .nii.gz")
    parser.add_argument("--tr", type=float, metavar="SECONDS", help="between volumes")
    parser.add_argument("--volumes", type=int, nargs="+", metavar="N", help="of each run, where there are several")
    parser.add_argument("--units", metavar="CSV", help="participant and region of each unit")
    parser.add_argument("--nuisance", metavar="CSV", help="regressors to take out, a row a volume")
    parser.add_argument("--mask", metavar="NIFTI", help="voxels to take of a NIfTI file")


def _add_store(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "list", "store_command:show", "every entry: size, last use, and of what it is")
    _add(commands, "size", "store_command:size", "room taken by each kind")
    command = _add(commands, "prune", "store_command:prune", "remove what is damaged, left over, or long unused")
    command.add_argument("--older-than", type=float, default=30, metavar="DAYS", help="days without use (default: 30)")
    command.add_argument("--kind", help="this one only; results and downloads go only if they are named here")
    command.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")
