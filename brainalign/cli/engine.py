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
from pathlib import Path
from typing import TextIO

from brainalign import store, warm
from brainalign.cli import profiles
from brainalign.cli.expectation import Expectation, Job
from brainalign.cli.profiles import Profile

BINARIES = Path(sys.executable).parent
PLUGINS = store.PROJECT / "workflow" / "plugins"  # what Snakemake prints while steps run
# What steps load, other than our own code: of notebooks, and of models.
FOR_NOTEBOOKS = (
    "papermill",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "brainalign.paper.publish.book",
    "sklearn",
    "seaborn",
)
FOR_MODELS = ("transformers.models.llama.modeling_llama", "transformers.models.t5.modeling_t5", "brainalign.study")
FOR_MODELS += ("transformers.models.auto.modeling_auto", "lm_eval.models.huggingface", "sklearn.model_selection")
FOR_ALL = "brainalign.study.running.keys:library"  # what our code does, on which all results depend, is digested once
DUE = re.compile(r"^Job \d+: \w+ (.+)$", re.MULTILINE)  # "Job 3: running gpt2, t5": messages of the Snakefile
BEGUN = re.compile(r"^(?:running|executing|rendering) (.+)$")  # a job here, with all its steps
DONE = re.compile(r"^\w+ (.+) \((\d+\.\d) s\)$")
BOOK = "the book"


def run(
    config: Mapping[str, object],
    cores: int,
    kinds: Mapping[str, str],
    *,
    results: Path,
    weights: Mapping[str, float] | None = None,
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
        Kind of each step, by what it is called: those of a kind take as long as they weigh.
    results : Path
        Folder of the study's results.
    weights : mapping, optional
        Of steps, as in `Expectation`.
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
    command, place, name = _command(config, cores, profile, resources, targets), _place(), str(config["name"])
    with _alone(name) as lock:
        dry = _dry_run(config, results, command, place)
        if dry.returncode:  # in the build itself Snakemake is quiet
            print(dry.stdout + dry.stderr, file=sys.stderr)
            return dry.returncode
        jobs = _jobs(dry)
        if not jobs:
            return 0
        command += ["--logger", "steps"]
        output_options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
        seconds = _beside_log(name, "seconds.json")  # that steps took, also in earlier builds
        earlier_seconds = json.loads(seconds.read_text(encoding="utf-8")) if seconds.exists() else {}
        shared = {"kinds": kinds, "weights": weights or {}, "waits": _waits(config), "before": earlier_seconds}
        expected = Expectation(jobs, None if profile.remote else cores, **shared)
        with (
            log_of(name).open("w", encoding="utf-8") as log,
            warm.server([] if profile.remote else _to_load(jobs), place.pop("env")) as environment,
            subprocess.Popen(command, pass_fds=[lock], env=environment, **output_options, **place) as process,
        ):
            n_lines = _tell(process.stdout, expected, log, seconds)
    if process.returncode and not n_lines:  # a quiet Snakemake does not say so
        print(f"nothing was run; why, the last file of {store.PROJECT / '.snakemake' / 'log'} says")
    return process.returncode


def due(
    config: Mapping[str, object],
    cores: int,
    *,
    results: Path,
    profile: Profile | None = None,
    resources: Mapping[str, object] | None = None,
    targets: Sequence[str] = (),
) -> list[Job]:
    """Steps of each job that `run` would hand in, with the same arguments; nothing is made.

    Raises
    ------
    RuntimeError
        Snakemake refuses, in its own words; or the study is being built already.
    """
    profile = profile or profiles.load(profiles.LOCAL)
    with _alone(str(config["name"])):
        dry = _dry_run(config, results, _command(config, cores, profile, resources, targets), _place())
    if dry.returncode:
        raise RuntimeError((dry.stdout + dry.stderr).strip())
    return _jobs(dry)


def _command(
    config: Mapping[str, object],
    cores: int,
    profile: Profile,
    resources: Mapping[str, object] | None,
    targets: Sequence[str],
) -> list[object]:
    command = [BINARIES / "snakemake", *targets, "--snakefile", "workflow/Snakefile", "--profile", profile.folder]
    # Nobody else builds this study, so that a lock could only be one that a killed Snakemake has left.
    command += ["--rerun-incomplete", "--nolock"]
    # Not "params", which are the outputs' names here, and take Snakemake half a second to compare.
    command += ["--rerun-triggers", "mtime", "input", "code"]
    # What is due is newer, whatever was in the file before: times tell, not checksums.
    command += ["--max-checksum-file-size", "0"]
    command += [] if profile.remote else ["--cores", str(cores)]
    if resources:
        option = "--default-resources" if profile.remote else "--resources"
        command += [option, *(f"{name}={value}" for name, value in resources.items())]
    return [*command, "--configfile", _beside_log(str(config["name"]), "json")]


def _place() -> dict[str, object]:
    """Folder and environment of Snakemake."""
    paths = {"PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}
    paths["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
    return {"cwd": store.PROJECT, "env": os.environ | paths, "text": True}


def _dry_run(
    config: Mapping[str, object], results: Path, command: Sequence[object], place: Mapping[str, object]
) -> subprocess.CompletedProcess:
    """Ask Snakemake what is due; it is told in a file, so that nothing that a person wrote goes through a shell."""
    name = str(config["name"])
    _link(results_of(name), results)
    with store.writing(_beside_log(name, "json")) as file:
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return subprocess.run([*command, "--dry-run"], capture_output=True, **place)


def _jobs(dry: subprocess.CompletedProcess) -> list[Job]:
    return [tuple(steps.split(", ")) for steps in DUE.findall(dry.stdout + dry.stderr)]


def _to_load(jobs: Sequence[Job]) -> list[str]:
    """Modules that several of the jobs load."""
    notebooks = [job for job in jobs if job[0].endswith(".ipynb")]
    models = [job for job in jobs if job not in notebooks and job[0] != BOOK]
    needed = [*FOR_NOTEBOOKS] * (len(notebooks) > 1) + [*FOR_MODELS] * (len(models) > 1)
    return [*needed, FOR_ALL] if needed else []


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
    target = os.path.relpath(folder, place.parent) if folder.is_relative_to(store.PROJECT) else str(folder)
    if not place.is_symlink() or os.readlink(place) != target:
        place.unlink(missing_ok=True)
        place.symlink_to(target)


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


def _waits(config: Mapping[str, object]) -> dict[str, Collection[str]]:
    """What each step has to wait for in the Snakefile: for its base, for what it shows, for all that is executed."""
    executed = {f"{name}.ipynb": models for name, models in config.get("shown", {}).items()}
    return {model: [base] for model, base in config.get("bases", {}).items()} | executed | {BOOK: list(executed)}


def _tell(lines, expected: Expectation, log: TextIO, seconds: Path) -> int:
    """Print what steps print: on a terminal above a line that says how far it is; elsewhere and in the log with it.

    What steps took here is kept. Returns how many lines that was.
    """
    from tqdm import tqdm

    n_lines = 0
    ended = threading.Event()
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
    return n_lines
