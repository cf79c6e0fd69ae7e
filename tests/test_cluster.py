"""A study on a cluster: on a real SLURM of one node, and through a script that hands jobs in; jobs are killed."""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import slurm
import tiny
import yaml
from books import BIN, Copy, environment
from waiting import wait_for

PROFILES = Path(__file__).resolve().parents[1] / "workflow" / "profiles"
SUBMIT = """\
#!/bin/sh
nohup sh "$1" >"$1.log" 2>&1 &
echo $!
"""
MODELS = ("gpt2", "llama")


@dataclass(frozen=True)
class Site:
    """Where jobs are handed in: a copy of the project, a profile, and what its commands need around them."""

    copy: Copy
    study: Path
    profile: Path
    environment: dict[str, str]
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *options: str, command: str = "run", store: str = "store") -> subprocess.Popen:
        """Start `brainalign run`, or `book`, on the study."""
        own = {"PYTHONPATH": str(self.copy.root), "BRAINALIGN_STORE": str(self.study.parent / store)}
        process = subprocess.Popen(
            [BIN / "brainalign", command, self.study, *options],
            cwd=self.copy.root,
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

    def results(self, store: str = "store") -> dict[str, pd.DataFrame]:
        """Tables of all models."""
        paths = sorted((self.study.parent / store / "results").glob("*/*.parquet"))
        return {path.stem: pd.read_parquet(path) for path in paths}


def site(folder: Path, profile: dict, surroundings: dict[str, str]) -> Site:
    """Lay out a copy of the project, a study of two tiny models, and a profile."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    words = tiny.TEXT.split()
    rows = [(words[(7 * n + place) % len(words)], f"p{n}", place) for n in range(100) for place in range(1, 21)]
    table = pd.DataFrame(rows, columns=["text", "passage", "position"])
    units = pd.DataFrame(rng.normal(size=(len(table), 60)), columns=[f"v{unit}" for unit in range(60)])
    pd.concat([table, units], axis=1).to_csv(folder / "roi.csv", index=False)
    people = [f"v{unit},{'xyz'[unit // 20]},IFG" for unit in range(60)]
    (folder / "people.csv").write_text("unit,participant,region\n" + "\n".join(people))
    tiny.gpt2(folder / "gpt2"), tiny.llama(folder / "llama")
    study = folder / "mine.yaml"
    study.write_text(
        "title: Mine\nevidence: people\nrecordings: [{table: roi.csv, participants: people.csv}]\n"
        f"models: [{', '.join(MODELS)}]\ncontrols: [length]\n"
    )
    (folder / "profile").mkdir()
    (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))
    return Site(Copy.make(folder / "copy"), study, folder / "profile", surroundings)


@pytest.fixture(scope="module")
def on_slurm(tmp_path_factory):
    """Start a SLURM; its profile is the project's, but for what a cluster without accounting cannot do."""
    if why := slurm.missing():
        pytest.skip(f"no SLURM here: {why}")
    profile = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text())
    profile |= {"latency-wait": 5, "slurm-init-seconds-before-status-checks": 2, "slurm-status-command": "squeue"}
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as surroundings:
        found = site(tmp_path_factory.mktemp("site") / "on", profile, surroundings)
        yield found
        found.end()


@pytest.fixture
def on_script(tmp_path):
    """A profile for any other scheduler: a script that hands a job in."""
    script = tmp_path / "submit"
    script.write_text(SUBMIT)
    script.chmod(0o755)
    profile = {"executor": "cluster-generic", "cluster-generic-submit-cmd": str(script), "jobs": 2, "retries": 1}
    found = site(tmp_path / "on", profile | {"seconds-between-status-checks": 1}, {})
    yield found
    found.end()


def kill_at_work(ways: list) -> None:
    """End the first attempts at so many models while they read, each in a way of its own, as soon as it has begun."""
    ended = set()

    def all_ended() -> bool:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if words[1:2] == [str(BIN / "brainalign")] and words[-2:] == ["--attempt", "1"] and words[-3] not in ended:
                with suppress(psutil.NoSuchProcess):
                    if any("/store/activations/" in file.path for file in process.open_files()):
                        ways[len(ended)](process)
                        ended.add(words[-3])
        return len(ended) == len(ways)

    wait_for(all_ended, 400, every=0.02)  # a model reads for a fraction of a second


def same(ours: dict[str, pd.DataFrame], theirs: dict[str, pd.DataFrame]) -> None:
    """Hold results against those of an undisturbed run; pieces of a batch are rounded otherwise than the whole."""
    assert set(ours) == set(theirs) == {*MODELS, "length"}
    for name, table in ours.items():
        pd.testing.assert_frame_equal(table, theirs[name], rtol=1e-4, atol=1e-5)


def undisturbed(site: Site) -> dict[str, pd.DataFrame]:
    process = site.start(store="undisturbed")
    assert process.wait() == 0, process.stdout.read()
    return site.results("undisturbed")


@pytest.mark.slow
def test_a_study_on_slurm_survives_jobs_that_are_killed(on_slurm):
    process = on_slurm.start("--profile", str(on_slurm.profile), "--partition", slurm.PARTITION)

    def cancel(process: psutil.Process) -> None:
        on_slurm.ask(f"scancel {process.environ()['SLURM_JOB_ID']}")

    kill_at_work([cancel, psutil.Process.kill])
    told = process.communicate()[0]
    assert process.returncode == 0, told
    assert "running gpt2 failed: SLURM-job" in told and "running llama failed: SLURM-job" in told
    assert "ran gpt2" in told and "ran llama" in told and "3 of 3 steps" in told
    attempts = {}
    for line in on_slurm.ask("squeue --states=all --noheader --sort=i --format=%k|%l|%m").split():
        rule, limit, memory = line.split("|")
        attempts.setdefault(rule, []).append((limit, int(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]))
    assert sorted(map(len, attempts.values())) == [1, 2, 2]
    for (limit, memory), *again in attempts.values():
        assert limit == "30:00" and again in ([], [("1:00:00", 2 * memory)])
    same(on_slurm.results(), undisturbed(on_slurm))


@pytest.mark.slow
def test_what_nobody_disturbs_is_the_same_on_slurm_to_the_byte(on_slurm):
    process = on_slurm.start("gpt2", "--profile", str(on_slurm.profile), store="calm")
    assert process.wait() == 0, process.stdout.read()
    calm, here = (on_slurm.study.parent / store / "results" / "mine" / "gpt2.parquet" for store in ("calm", "here"))
    assert on_slurm.start("gpt2", store="here").wait() == 0
    assert calm.read_bytes() == here.read_bytes()


@pytest.mark.slow
def test_notebooks_are_jobs_and_pages_are_rendered_here(on_slurm):
    before = on_slurm.ask("squeue --states=all --noheader").splitlines()
    process = on_slurm.start("--profile", str(on_slurm.profile), command="book")
    told = process.communicate()[0]
    assert process.returncode == 0, told
    assert "rendered the book" in told
    assert (on_slurm.copy.html("mine") / "executed" / "model-gpt2.html").is_file()
    jobs = on_slurm.ask("squeue --states=all --noheader").splitlines()
    assert len(jobs) - len(before) >= len(list(on_slurm.copy.executed("mine").glob("*.ipynb")))


@pytest.mark.slow
def test_a_partition_that_does_not_exist_is_named_before_anything_is_handed_in(on_slurm):
    before = on_slurm.ask("squeue --states=all --noheader")
    process = on_slurm.start("--profile", str(on_slurm.profile), "--partition", "litle", store="never")
    told = process.communicate()[0]
    assert process.returncode == 1
    assert "unknown partition of SLURM 'litle'. Did you mean little?" in told
    assert on_slurm.ask("squeue --states=all --noheader") == before


@pytest.mark.slow
def test_a_study_through_any_other_scheduler_survives_a_job_that_is_killed(on_script):
    process = on_script.start("--profile", str(on_script.profile))
    kill_at_work([psutil.Process.kill])
    told = process.communicate()[0]
    assert process.returncode == 0, told
    assert told.count(" failed: ") == 1 and "3 of 3 steps" in told
    same(on_script.results(), undisturbed(on_script))
