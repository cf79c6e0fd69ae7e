"""Runs the Snakefile of the project: what there is to do, how far it is, and how long it still takes.

A dry run says which steps are due. Each step ends with a line of its own ("ran gpt2 (3.1 s)"), by which they are
counted; how long the others of its kind took is what is expected of a step. Where steps run is a matter of the profile.
What is printed is kept beside the study's build, as `build/STUDY.log`.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TextIO

from brainalign import profiles, store
from brainalign.profiles import Profile

BINARIES = Path(sys.executable).parent
PLUGINS = store.PROJECT / "workflow" / "plugins"  # what Snakemake prints while steps run elsewhere
DUE = re.compile(r"^Job \d+: \w+ (.+)$", re.MULTILINE)  # "Job 3: running gpt2, t5": messages of the Snakefile
DONE = re.compile(r"^\w+ (.+) \((\d+\.\d) s\)$")


def run(
    config: Mapping[str, object],
    cores: int,
    kinds: Mapping[str, str],
    *,
    results: Path,
    profile: Profile | None = None,
    resources: Mapping[str, object] | None = None,
    targets: Sequence[str] = (),
) -> int:
    """Make what is due, and tell along the way.

    Parameters
    ----------
    config : mapping
        Of the Snakefile, the study's ``name`` among it.
    cores : int
        Steps that run at once, one thread each, where they run here.
    kinds : mapping
        Kind of each step, by what it is called: those of a kind take about as long.
    results : Path
        Folder of the study's results.
    profile : Profile, optional
        Where steps run; by default here.
    resources : mapping, optional
        By default of each step where they run elsewhere, of this machine where they run here.
    targets : sequence of str
        Files to make; by default the book.

    Returns
    -------
    int
        Snakemake's exit status; 0 if nothing is due.

    Raises
    ------
    RuntimeError
        The study is being built already.
    """
    profile = profile or profiles.load(profiles.LOCAL)
    command = [BINARIES / "snakemake", *targets, "--snakefile", "workflow/Snakefile", "--profile", profile.folder]
    # Nobody else builds this study, so that a lock could only be one that a killed Snakemake has left.
    command += ["--rerun-incomplete", "--nolock"]
    # Not "params", which are the outputs' names here, and take Snakemake half a second to compare.
    command += ["--rerun-triggers", "mtime", "input", "code"]
    command += [] if profile.remote else ["--cores", str(cores)]
    if resources:
        option = "--default-resources" if profile.remote else "--resources"
        command += [option, *(f"{name}={value}" for name, value in resources.items())]
    paths = {"PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}
    if profile.remote:
        paths["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
    place = {"cwd": store.PROJECT, "env": os.environ | paths, "text": True}
    name = str(config["name"])
    with _alone(name) as lock:
        _link(results_of(name), results)
        # A file, so that nothing that a person wrote goes through a shell.
        with store.writing(_beside_log(name, "json")) as file:
            file.write_text(json.dumps(config, indent=1), encoding="utf-8")
        command += ["--configfile", _beside_log(name, "json")]
        dry = subprocess.run([*command, "--dry-run"], capture_output=True, **place)
        if dry.returncode:  # in the build itself Snakemake is quiet
            print(dry.stdout + dry.stderr, file=sys.stderr)
            return dry.returncode
        steps = [step for due in DUE.findall(dry.stdout + dry.stderr) for step in due.split(", ")]
        if not steps:
            return 0
        command += ["--logger", "steps"] if profile.remote else ["--quiet", "all"]
        together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
        expected = Expectation(steps, None if profile.remote else cores, kinds)
        with (
            log_of(name).open("w", encoding="utf-8") as log,
            subprocess.Popen(command, pass_fds=[lock], **together, **place) as process,
        ):
            n_lines = _tell(process.stdout, expected, log)
    if process.returncode and not n_lines:  # a quiet Snakemake does not say so
        print(f"nothing was run; why, the last file of {store.PROJECT / '.snakemake' / 'log'} says")
    return process.returncode


def log_of(study: str) -> Path:
    """File with what the last run that had something to do has printed, each step with how long it took."""
    return store.PROJECT / "build" / f"{study}.log"


def results_of(study: str) -> Path:
    """Where the Snakefile has a study's results: executors put paths before a shell, and the store's may be any."""
    return store.PROJECT / "build" / study / "results"


def _link(place: Path, folder: Path) -> None:
    """Let a path lead to a folder, in the project by a way that holds wherever the project is moved."""
    folder.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    way = os.path.relpath(folder, place.parent) if folder.is_relative_to(store.PROJECT) else str(folder)
    if not place.is_symlink() or os.readlink(place) != way:
        place.unlink(missing_ok=True)
        place.symlink_to(way)


def _beside_log(study: str, ending: str) -> Path:
    """Hidden file that belongs to the build of a study."""
    return log_of(study).with_name(f".{study}.{ending}")


@contextmanager
def _alone(study: str) -> Iterator[int]:
    """Be the only one who builds a study, for as long as this process lives or one that it hands the lock on to."""
    path = _beside_log(study, "lock")
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"study {study} is being built here already. Wait for that, or end it.") from None
        yield file.fileno()


class Expectation:
    """How long the steps that are left will take, by how long others took; in a queue (no ``cores``), nobody knows."""

    def __init__(self, steps: list[str], cores: int | None, kinds: Mapping[str, str]):
        self.steps, self.cores, self.kinds = steps, cores, kinds
        self.took: dict[str, float] = {}
        self.since = time.monotonic()

    def done(self, step: str, seconds: float) -> None:
        """Note that a step is done; one that was not due does not count."""
        if step in self.steps:
            self.took[step], self.since = seconds, time.monotonic()

    def seconds(self) -> float | None:
        """Seconds until the end; None as long as no step is done, and where steps wait in a queue."""
        if not self.took or self.cores is None:
            return None
        of_kind: dict[str | None, list[float]] = {}
        for step, seconds in self.took.items():
            of_kind.setdefault(self.kinds.get(step), []).append(seconds)
        any_kind = list(self.took.values())
        expected = (of_kind.get(self.kinds.get(step), any_kind) for step in self.steps if step not in self.took)
        return max(0.0, sum(map(mean, expected)) / self.cores + self.since - time.monotonic())

    def __str__(self) -> str:
        seconds = self.seconds()
        if seconds is None:
            left = "time unknown" if self.cores is None else "time unknown yet"
        else:
            left = "less than a minute left" if seconds < 60 else f"about {seconds / 60:.0f} min left"
        return f"{len(self.took)} of {len(self.steps)} steps, {left}"


def _tell(lines, expected: Expectation, log: TextIO) -> int:
    """Print what steps print: on a terminal above a line that says how far it is; elsewhere and in the log with it.

    Returns how many lines that was.
    """
    from tqdm import tqdm

    n_lines = 0
    ended = threading.Event()
    with tqdm(total=len(expected.steps), bar_format="{desc} {bar} {elapsed}", disable=None) as bar:

        def tick() -> None:
            bar.set_description_str(str(expected))
            while not ended.wait(1):
                bar.set_description_str(str(expected))

        if not bar.disable:
            threading.Thread(target=tick, daemon=True).start()
        for line in lines:
            if line.startswith("Using profile"):  # however quiet Snakemake is to be
                continue
            n_lines += 1
            found = DONE.match(line := line.rstrip("\n"))
            if found:
                for step in (together := found[1].split(", ")):  # of a job elsewhere
                    expected.done(step, float(found[2]) / len(together))
                bar.update(len(expected.took) - bar.n)
            with_progress = f"{line}  {expected}" if found and expected.steps else line
            print(with_progress, file=log, flush=True)
            tqdm.write(with_progress if bar.disable else line)
            sys.stdout.flush()
        ended.set()
    return n_lines
