"""Runs the Snakefile of the project: what there is to do, how far it is, and how long it still takes.

A dry run says which steps are due. Each step ends with a line of its own ("ran gpt2 (3.1 s)"), by which they are
counted; how long the others of its kind took is what is expected of a step.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from brainalign import store

BINARIES = Path(sys.executable).parent
DUE = re.compile(r"^Job \d+: \w+ (.+)$", re.MULTILINE)  # "Job 3: running gpt2, t5": messages of the Snakefile
DONE = re.compile(r"^\w+ (.+) \((\d+\.\d) s\)$")


def run(config: Mapping[str, object], cores: int, kinds: Mapping[str, str]) -> int:
    """Make what is due, and tell along the way.

    Parameters
    ----------
    config : mapping
        Of the Snakefile.
    cores : int
        Steps that run at once, one thread each.
    kinds : mapping
        Kind of each step, by what it is called: those of a kind take about as long.

    Returns
    -------
    int
        Snakemake's exit status; 0 if nothing is due.
    """
    command = [BINARIES / "snakemake", "--snakefile", "workflow/Snakefile", "--cores", str(cores), "--rerun-incomplete"]
    # Not "params", which are the outputs' names here, and take Snakemake half a second to compare.
    command += ["--rerun-triggers", "mtime", "input", "code"]
    settings = ["--config", *(f"{key}={value}" for key, value in config.items())]
    environment = {**os.environ, "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}
    place = {"cwd": store.PROJECT, "env": environment, "text": True}
    dry = subprocess.run([*command, "--dry-run", *settings], capture_output=True, **place)
    if dry.returncode:  # in the build itself Snakemake is quiet
        print(dry.stdout + dry.stderr, file=sys.stderr)
        return dry.returncode
    steps = [step for due in DUE.findall(dry.stdout + dry.stderr) for step in due.split(", ")]
    if not steps:
        return 0
    together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
    with subprocess.Popen([*command, "--quiet", "all", *settings], **together, **place) as process:
        n_lines = _tell(process.stdout, Expectation(steps, cores, kinds))
    if process.returncode and not n_lines:  # a quiet Snakemake does not say so
        print("nothing was run: another build is under way here, or one was killed and left its lock. In the second")
        print(f"case, remove {store.PROJECT / '.snakemake' / 'locks'}.")
    return process.returncode


class Expectation:
    """How long the steps that are left will take, by how long others took."""

    def __init__(self, steps: list[str], cores: int, kinds: Mapping[str, str]):
        self.steps, self.cores, self.kinds = steps, cores, kinds
        self.took: dict[str, float] = {}
        self.since = time.monotonic()

    def done(self, step: str, seconds: float) -> None:
        """Note that a step is done; one that was not due does not count."""
        if step in self.steps:
            self.took[step], self.since = seconds, time.monotonic()

    def seconds(self) -> float | None:
        """Seconds until the end; None as long as no step is done."""
        if not self.took:
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
            left = "time unknown yet"
        else:
            left = "less than a minute left" if seconds < 60 else f"about {seconds / 60:.0f} min left"
        return f"{len(self.took)} of {len(self.steps)} steps, {left}"


def _tell(lines, expected: Expectation) -> int:
    """Print what steps print: on a terminal above a line that says how far it is, else with that at its end.

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
            n_lines += 1
            found = DONE.match(line := line.rstrip("\n"))
            if found:
                expected.done(found[1], float(found[2]))
                bar.update(len(expected.took) - bar.n)
            tqdm.write(f"{line}  {expected}" if found and bar.disable and expected.steps else line)
            sys.stdout.flush()
        ended.set()
    return n_lines
