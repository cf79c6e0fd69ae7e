"""Runs the Snakefile of the project: what there is to do, how far it is, and how long it still takes.

A dry run says which steps are due. Each step ends with a line of its own ("ran gpt2 (3.1 s)"), by which they are
counted, and which says what to expect of it when it is due again (`expectation`). Where steps run is a matter of the
profile. What is printed is kept beside the study's build, as `build/STUDY.log`.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from brainalign import messages, store, warm
from brainalign.cli import profiles
from brainalign.cli.expectation import Expectation, Job
from brainalign.cli.profiles import Profile

BINARIES = Path(sys.executable).parent
PLUGINS = store.PROJECT / "workflow" / "plugins"  # what Snakemake prints of steps
# What steps load, other than our own code: of notebooks, and of models.
FOR_NOTEBOOKS = ["papermill", "ipykernel.kernelapp", "matplotlib.pyplot", "brainalign.paper.publish.book"]
FOR_NOTEBOOKS += ["sklearn", "seaborn"]
FOR_MODELS = ["transformers.models.llama.modeling_llama", "transformers.models.t5.modeling_t5", "brainalign.study"]
FOR_MODELS += ["transformers.models.auto.modeling_auto", "lm_eval.models.huggingface", "sklearn.model_selection"]
FOR_ALL = "brainalign.study.running.keys:library"  # what our code does, on which all results depend, is digested once
BEGUN = re.compile(r"^(?:running|executing|rendering) (.+)$")  # a job here, with all its steps
DONE = re.compile(r"^\w+ (.+) \((\d+\.\d) s\)$")
BOOK = "the book"


@dataclass(frozen=True)
class Workflow:
    """What Snakemake makes of a study, and where.

    Attributes
    ----------
    config : mapping
        Of the Snakefile, the study's ``name`` among it.
    results : Path
        Folder of the study's results.
    cores : int
        Steps that run at once, one thread each, where they run here.
    profile : Profile
        Where steps run; by default here.
    resources : mapping
        By default of each step where they run elsewhere, of this machine where they run here.
    targets : sequence of str
        Files to make; by default the book.
    """

    config: Mapping[str, object]
    results: Path
    cores: int
    profile: Profile = field(default_factory=lambda: profiles.load(profiles.LOCAL))
    resources: Mapping[str, object] = field(default_factory=dict)
    targets: Sequence[str] = ()

    def due(self) -> list[Job]:
        """Steps of each job that `run` would hand in; nothing is made.

        Raises
        ------
        RuntimeError
            Snakemake refuses, in its own words; or the study is being built already.
        """
        with self.alone():
            return self._due()

    def run(self, kinds: Mapping[str, str], weights: Mapping[str, float]) -> int:
        """Make what is due, and tell along the way.

        Parameters
        ----------
        kinds, weights : mapping
            Of steps, by what they are called, as in `Expectation`.

        Returns
        -------
        int
            Snakemake's exit status; 0 if nothing is due.

        Raises
        ------
        RuntimeError
            As `due`.
        """
        with self.alone() as lock:
            if not (jobs := self._due()):
                return 0
            seconds = self._beside_log("seconds.json")  # that steps took, also in earlier builds
            earlier = json.loads(seconds.read_text(encoding="utf-8")) if seconds.exists() else {}
            cores = None if self.profile.remote else self.cores
            expected = Expectation(jobs, cores, kinds, weights, waits(self.config), earlier)
            output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
            with (
                self._log.open("w", encoding="utf-8") as log,
                warm.server([] if self.profile.remote else _to_load(jobs), _environment()) as environment,
                subprocess.Popen(
                    self._command(), cwd=store.PROJECT, env=environment, pass_fds=[lock], **output
                ) as process,
            ):
                n_lines = _tell(process.stdout, expected, log, seconds)
        if process.returncode and not n_lines:  # a quiet Snakemake does not say so
            print(f"nothing was run; why, the last file of {store.PROJECT / '.snakemake' / 'log'} says")
        return process.returncode

    @contextmanager
    def alone(self) -> Iterator[int]:
        """Be the only one who builds the study, as long as this process lives or one that it hands the lock on to."""
        path = self._beside_log("lock")
        path.parent.mkdir(exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                name = self.config["name"]
                raise RuntimeError(f"study {name} is being built here already. Wait for that, or end it.") from None
            yield file.fileno()

    def _due(self) -> list[Job]:
        """Ask Snakemake, which is told in a file, so that nothing that a person wrote goes through a shell."""
        _link(results_of(str(self.config["name"])), self.results)
        store.update(self._beside_log("json"), json.dumps(self.config, indent=1))
        command = [*self._command(), "--dry-run"]
        dry = subprocess.run(command, cwd=store.PROJECT, env=_environment(), capture_output=True, text=True)
        if dry.returncode:
            raise RuntimeError((dry.stdout + dry.stderr).strip())
        # A line a job, by our logger: "running gpt2, t5", as the messages of the Snakefile say.
        return [tuple(line.partition(" ")[2].split(", ")) for line in dry.stdout.splitlines()]

    def _command(self) -> list[object]:
        command = [BINARIES / "snakemake", *self.targets, "--snakefile", "workflow/Snakefile", "--logger", "steps"]
        # Nobody else builds this study, so that a lock could only be one that a killed Snakemake has left.
        command += ["--profile", self.profile.folder, "--rerun-incomplete", "--nolock"]
        # Not "params", which are the outputs' names here, and take Snakemake half a second to compare.
        command += ["--rerun-triggers", "mtime", "input", "code"]
        # What is due is newer, whatever was in the file before: times tell, not checksums.
        command += ["--max-checksum-file-size", "0"]
        command += [] if self.profile.remote else ["--cores", str(self.cores)]
        if self.resources:
            option = "--default-resources" if self.profile.remote else "--resources"
            command += [option, *(f"{name}={value}" for name, value in self.resources.items())]
        return [*command, "--configfile", self._beside_log("json")]

    @property
    def _log(self) -> Path:
        """What the last run that had something to do has printed, each step with how long it took."""
        return store.PROJECT / "build" / f"{self.config['name']}.log"

    def _beside_log(self, ending: str) -> Path:
        return self._log.with_name(f".{self.config['name']}.{ending}")


def results_of(study: str) -> Path:
    """Where the Snakefile has a study's results: executors put paths before a shell, and the store's may be any."""
    return store.PROJECT / "build" / study / "results"


def waits(config: Mapping[str, object]) -> dict[str, Collection[str]]:
    """What each step has to wait for in the Snakefile: for its base, for what it shows, for all that is executed."""
    executed = {f"{name}.ipynb": models for name, models in config.get("shown", {}).items()}
    return {model: [base] for model, base in config.get("bases", {}).items()} | executed | {BOOK: list(executed)}


def _environment() -> dict[str, str]:
    """Environment of Snakemake, which finds our command and our logger in it."""
    paths = {"PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}
    paths["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
    return os.environ | paths


def _to_load(jobs: Sequence[Job]) -> list[str]:
    """Modules that several of the jobs load."""
    notebooks = [job for job in jobs if job[0].endswith(".ipynb")]
    models = [job for job in jobs if job not in notebooks and job[0] != BOOK]
    needed = FOR_NOTEBOOKS * (len(notebooks) > 1) + FOR_MODELS * (len(models) > 1)
    return [*needed, FOR_ALL] if needed else []


def _link(place: Path, folder: Path) -> None:
    """Let a path lead to a folder, in the project by a way that holds wherever the project is moved."""
    folder.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(folder, place.parent) if folder.is_relative_to(store.PROJECT) else str(folder)
    if not place.is_symlink() or os.readlink(place) != target:
        place.unlink(missing_ok=True)
        place.symlink_to(target)


def _tell(lines, expected: Expectation, log: TextIO, seconds: Path) -> int:
    """Print what steps print: on a terminal above a line that says how far it is; elsewhere and in the log with it.

    What steps took here is kept. Returns how many lines that was.
    """
    n_lines, ended, notes = 0, threading.Event(), messages.Notes()
    with tqdm(total=len(expected.job_of), bar_format="{desc} {bar} {elapsed}", disable=None) as bar:

        def tick() -> None:
            bar.set_description_str(str(expected))
            while not ended.wait(1):
                bar.set_description_str(str(expected))

        if not bar.disable:
            threading.Thread(target=tick, daemon=True).start()
        for line in lines:
            if line.startswith("Using profile"):  # however quiet Snakemake is to be
                continue
            begun = BEGUN.match(line := line.rstrip("\n"))
            if begun and (job := tuple(begun[1].split(", "))) in expected.jobs:
                expected.begun(job)
                continue
            n_lines += 1
            if line.startswith(messages.NOTE) and not notes.is_first(line.removeprefix(messages.NOTE)):
                continue
            report = DONE.match(line)
            if report:
                for step in (steps := report[1].split(", ")):  # of a job elsewhere
                    expected.done(step, float(report[2]) / len(steps))
                bar.update(len(expected.durations) - bar.n)
                if expected.cores:  # in a queue they would have waited, too
                    store.update(seconds, json.dumps({**expected.before, **expected.durations}, indent=1))
            with_progress = f"{line}  {expected}" if report else line
            print(with_progress, file=log, flush=True)
            tqdm.write(with_progress if bar.disable else line)
            sys.stdout.flush()
        ended.set()
    for line in notes.summary():
        print(line, file=log)
        print(line, flush=True)
    return n_lines
