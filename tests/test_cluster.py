"""A study on a cluster: on a real SLURM of one node, and through a script that hands jobs in; jobs are killed."""

import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import slurm
import tiny
import yaml
from books import BIN, Project, environment
from moments import STOP, number_from

pytestmark = pytest.mark.slow
PROFILES = Path(__file__).resolve().parents[1] / "workflow" / "profiles"
SUBMIT = """\
#!/bin/sh
nohup sh "$1" >"$1.log" 2>&1 &
echo $!
"""
MODELS = ("gpt2", "llama")
CANARY = "touch canary"
# Put behind the module that reads: it stops where a pipe has the name of the model.
READING = """

def _stopping(read):
    from pathlib import Path

    def states(model, *given):
        if (pipe := Path(PIPES, model.name)).exists():
            stop_at(pipe)
        return read(model, *given)

    return states


_states = _stopping(_states)
"""


@dataclass(frozen=True)
class Site:
    """Where jobs are handed in: a miniature project, a study, a profile, and what commands need around them."""

    project: Project
    study: Path
    store: str = "store"  # a folder beside the study
    profile: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *options: str | Path, command: str = "run", study: str | None = None) -> subprocess.Popen:
        """Start `brainalign run`, or `book`, on the study or another one, through the profile if there is one."""
        own = {"PYTHONPATH": str(self.project.root), "BRAINALIGN_STORE": str(self.study.parent / self.store)}
        profile = ["--profile", self.profile] if self.profile else []
        process = subprocess.Popen(
            [BIN / "brainalign", command, study or self.study, *options, *profile],
            cwd=self.project.root,
            env=environment() | self.environment | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a test that failed has left."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                process.communicate()

    def ask(self, command: str) -> str:
        """Ask a command of the cluster."""
        answer = subprocess.run(command.split(), env=os.environ | self.environment, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    @property
    def results(self) -> dict[str, Path]:
        """Table of brain alignment of each model."""
        return {path.parent.name: path for path in (self.study.parent / self.store).glob("results/*/*/brain.parquet")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Lay out a miniature project, and a study of two tiny models, in places that a shell would stumble over."""
    base = tmp_path_factory.mktemp("site")
    folder = base / f"my study; {CANARY} $({CANARY}) 'here'"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = tiny.TEXT.split()
    rows = [(words[(7 * n + place) % len(words)], f"p{n}", place) for n in range(20) for place in range(1, 9)]
    table = pd.DataFrame(rows, columns=["text", "passage", "position"])
    units = pd.DataFrame(rng.normal(size=(len(table), 12)), columns=[f"v{unit}" for unit in range(12)])
    pd.concat([table, units], axis=1).to_csv(folder / "roi.csv", index=False)
    people = [f"v{unit},{'xyz'[unit // 4]},IFG" for unit in range(12)]
    (folder / "people.csv").write_text("unit,participant,region\n" + "\n".join(people))
    tiny.gpt2(folder / "gpt2"), tiny.llama(folder / "llama")
    study = folder / f"mine; $({CANARY}).yaml"
    study.write_text(
        "title: Mine\nevidence: people\nrecordings: [{table: roi.csv, participants: people.csv}]\n"
        f"models: [{', '.join(MODELS)}]\ncontrols: [length]\n"
    )
    project = Project.miniature(base / f"a checkout; {CANARY} 'here'")
    with (project.root / "brainalign/llm/reading/activations.py").open("a", encoding="utf-8") as module:
        module.write(f"\n{STOP}\nPIPES = {str(folder / 'pipes')!r}\n{READING}")
    (folder / "pipes").mkdir()
    laid = Site(project, study)
    yield laid
    laid.end()
    assert [*base.rglob("canary")] == []  # no shell has run what is in a path


@pytest.fixture(scope="module")
def undisturbed(site):
    """Run the study here and in peace."""
    here = replace(site, store="undisturbed")
    process = here.start()
    assert process.wait() == 0, process.stdout.read()
    return here.results


@pytest.fixture(scope="module")
def on_slurm(site, tmp_path_factory):
    """Start a SLURM; its profile is the project's, but for what a cluster without accounting cannot do."""
    if why := slurm.missing():
        pytest.skip(f"no SLURM here: {why}")
    profile = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text())
    profile |= {"latency-wait": 5, "slurm-init-seconds-before-status-checks": 2, "slurm-status-command": "squeue"}
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as surroundings:
        yield replace(site, store="slurm", profile=saved(tmp_path_factory, profile), environment=surroundings)


@pytest.fixture
def on_script(site, tmp_path_factory):
    """A profile for any other scheduler: a script that hands a job in."""
    script = tmp_path_factory.mktemp("script") / "submit"
    script.write_text(SUBMIT)
    script.chmod(0o755)
    profile = {"executor": "cluster-generic", "cluster-generic-submit-cmd": str(script), "jobs": 2, "retries": 1}
    profile |= {"seconds-between-status-checks": 1}
    return replace(site, store="script", profile=saved(tmp_path_factory, profile))


def saved(tmp_path_factory, profile: dict) -> Path:
    """Folder of a profile."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder


def killed_at_work(site: Site, ways: dict, *options: str) -> str:
    """Run the study, and end first attempts at models while they read, each in its way; gives what it prints."""
    pipes = [site.study.parent / "pipes" / model for model in ways]
    for pipe in pipes:
        os.mkfifo(pipe)
    process = site.start(*options)
    for pipe, end in zip(pipes, ways.values(), strict=True):
        number = number_from(pipe)
        pipe.unlink()
        end(psutil.Process(number))
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    return printed


def same(ours: dict[str, Path], theirs: dict[str, Path]) -> None:
    """Hold results against those of an undisturbed run; pieces of a batch are rounded otherwise than the whole."""
    assert set(ours) == set(theirs) == {*MODELS, "length"}
    for name, path in ours.items():
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(theirs[name]), rtol=1e-4, atol=1e-5)


def test_a_study_on_slurm_survives_jobs_that_are_killed(on_slurm, undisturbed):
    def cancel(process: psutil.Process) -> None:
        on_slurm.ask(f"scancel {process.environ()['SLURM_JOB_ID']}")

    ways = {"gpt2": cancel, "llama": psutil.Process.kill}
    printed = killed_at_work(on_slurm, ways, "--partition", slurm.PARTITION)
    assert "running gpt2 failed: SLURM-job" in printed and "running llama failed: SLURM-job" in printed
    assert "ran gpt2" in printed and "ran llama" in printed and "4 of 4 steps" in printed
    attempts = {}
    for line in on_slurm.ask("squeue --states=all --noheader --sort=i --format=%k|%l|%m").split():
        rule, limit, memory = line.split("|")
        attempts.setdefault(rule, []).append((limit, int(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]))
    assert sorted(map(len, attempts.values())) == [1, 1, 2, 2]
    for (limit, memory), *again in attempts.values():
        assert limit == "30:00" and again in ([], [("1:00:00", 2 * memory)])
    same(on_slurm.results, undisturbed)


def test_what_nobody_disturbs_is_the_same_on_slurm_to_the_byte(on_slurm, undisturbed):
    calm = replace(on_slurm, store="calm")
    process = calm.start("gpt2")
    assert process.wait() == 0, process.stdout.read()
    assert calm.results["gpt2"].read_bytes() == undisturbed["gpt2"].read_bytes()


def test_notebooks_are_jobs_and_pages_are_rendered_here(on_slurm):
    before = on_slurm.ask("squeue --states=all --noheader").splitlines()
    process = on_slurm.start(command="book", study="miniature")
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert "rendered the book" in printed
    assert (on_slurm.project.html("miniature") / "executed" / "scores.html").is_file()
    jobs = on_slurm.ask("squeue --states=all --noheader").splitlines()
    # Two notebooks, one for both controls, and one for the people.
    assert len(jobs) - len(before) == 4
    asked = on_slurm.ask("squeue --states=all --noheader --format=%k|%l|%m|%b").splitlines()
    assert sum(job.startswith(("rule_notebook", "rule_unmeasured")) for job in asked) == 2
    assert {job.partition("|")[2] for job in asked if "notebook" in job or "unmeasured" in job} == {"1:00:00|4G|N/A"}


def test_a_partition_that_does_not_exist_is_named_before_anything_is_handed_in(on_slurm):
    before = on_slurm.ask("squeue --states=all --noheader")
    process = replace(on_slurm, store="never").start("--partition", "litle")
    printed, _ = process.communicate()
    assert process.returncode == 1
    assert "unknown partition of SLURM 'litle'. Did you mean little?" in printed
    assert on_slurm.ask("squeue --states=all --noheader") == before


def test_a_study_through_any_other_scheduler_survives_a_job_that_is_killed(on_script, undisturbed):
    printed = killed_at_work(on_script, {"gpt2": psutil.Process.kill})
    assert printed.count(" failed: ") == 1 and "4 of 4 steps" in printed
    same(on_script.results, undisturbed)
