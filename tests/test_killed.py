"""A run that is killed at any moment goes on where it stopped, and ends with the same bytes.

Ten times over a small study: twice in each of what a study measures, and twice in the build of a book.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import tiny
from books import Book
from waiting import wait_for

pytest_plugins = ["books"]
N_PASSAGES = 40
# A batch a passage, saved at once; and slow enough to be hit.
RUN = """
import sys, time
from brainalign import llm, store
from brainalign.human.recording import Passage
from brainalign.llm import batches

batches.MEMORY = 1
store.resumed.__defaults__ = (0.0,)
model = llm.load(sys.argv[1])
forward = model.network.base_model.forward

def slow(**given):
    print("batch", flush=True)
    time.sleep(0.05)
    return forward(**given)

model.network.base_model.forward = slow
words = "Once upon a time there was a little girl who liked to play outside in the park with her friends".split()
llm.activations(model, [Passage(str(n), tuple(words[: 1 + n % len(words)])) for n in range(int(sys.argv[2]))])
"""


# A whole study, made small, that says where it is: extraction, scoring, a benchmark, and tuning, which saves often.
STUDY = """
import sys
from dataclasses import replace
from functools import partial
from brainalign import llm, store
from brainalign import study as studies
from brainalign.llm import tuning
from brainalign.microworld import models
from brainalign.study import measures, sources

def told(phase, work):
    def telling(*given, **options):
        print("begin", phase, flush=True)
        found = work(*given, **options)
        print("end", phase, flush=True)
        return found
    return telling

def saving(*given, train=tuning.train, **options):
    return train(*given, **options | {"every": 0.0})

store.resumed.__defaults__ = (0.0,)
llm.batches.OPERATIONS["cpu"] = 1e8
tuning.train = saving
models.N_WORDS, models.N_RECITATIONS, models.N_SAMPLES = 20_000, 200, 300
models.TUNING = replace(models.TUNING, checkpoints=(0, 5, 10))
models.SHAPES["llama-small"] = models.Shape("llama", 32, 2, 40, 1e-2)
sources.People = partial(sources.People, n_participants=3, n_units=30, n_passages=40)
some = sources.questions(sources.world())[::8]
sources.questions = lambda world: some
llm.activations = told("extraction", llm.activations)
measures.brain_alignment = told("scoring", measures.brain_alignment)
measures.examined = told("benchmark", measures.examined)
models.tuning.tune = told("tuning", tuning.tune)
study = studies.load(sys.argv[1])
for model in studies.measured(study):
    studies.run(study, model)
"""
PHASES = ("extraction", "scoring", "benchmark", "tuning")


def begin(program: str, place, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {"BRAINALIGN_STORE": str(place), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start(folder, place) -> subprocess.Popen:
    return begin(RUN, place, str(folder), str(N_PASSAGES))


def finished(process: subprocess.Popen) -> int:
    """How many batches a run computed, which must end well."""
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    return told.count("batch")


def saved(place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "activations").glob("*.safetensors")}


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    folder, rng = tiny.gpt2(tmp_path / "gpt2"), random.Random(0)
    assert finished(start(folder, tmp_path / "undisturbed")) == N_PASSAGES
    computed = 0
    for _ in range(3):
        process = start(folder, tmp_path / "killed")
        process.stdout.readline()  # the first batch
        time.sleep(rng.uniform(0.1, 0.6))
        process.send_signal(signal.SIGKILL)
        computed += 1 + process.communicate()[0].count("batch")
        assert not saved(tmp_path / "killed")
    computed += finished(start(folder, tmp_path / "killed"))
    assert saved(tmp_path / "killed") == saved(tmp_path / "undisturbed")
    # Each time at most the batch that was under way, or not yet saved, is done again.
    assert computed <= N_PASSAGES + 3 * 2
    assert not list((tmp_path / "killed" / "activations").glob("*.parts"))


@pytest.mark.slow
def test_two_runs_at_once_compute_it_once(tmp_path):
    folder = tiny.gpt2(tmp_path / "gpt2")
    both = [start(folder, tmp_path / "shared") for _ in range(2)]
    assert sorted(finished(process) for process in both) == [0, N_PASSAGES]
    assert len(saved(tmp_path / "shared")) == 1


@dataclass
class Undisturbed:
    """A study that was run in peace: its settings, results, and how long each of its phases took, in order."""

    study: Path
    results: dict[str, bytes]
    took: dict[str, list[float]]


def results(place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "results").glob("*/*.parquet")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Run a small study once."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = folder / "mine.yaml"
    study.write_text(
        "title: Mine\nevidence: microworld\nrecordings: [microworld]\nbenchmarks: [microworld]\n"
        "protocols: [contiguous]\nmodels: [microworld/llama-small]\ntuning: [{model: llama-small}]\n"
    )
    process, took, since = begin(STUDY, folder / "store", str(study)), {}, 0.0
    for line in process.stdout:
        word, phase = line.split()
        if word == "begin":
            since = time.monotonic()
        else:
            took.setdefault(phase, []).append(time.monotonic() - since)
    assert process.wait() == 0, process.stderr.read()
    found = results(folder / "store")
    assert set(found) == {"llama-small.parquet", "llama-small-instruction-0.parquet"} and set(took) == set(PHASES)
    return Undisturbed(study, found, took)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_study_killed_in_any_phase_completes_on_the_next_call_with_the_same_bytes(undisturbed, phase, tmp_path):
    rng = random.Random(phase)
    for time_over in range(2):
        place, times = tmp_path / str(time_over), undisturbed.took[phase]
        which = rng.randrange(len(times))
        process, begun = begin(STUDY, place, str(undisturbed.study)), 0
        for line in process.stdout:
            begun += line.split() == ["begin", phase]
            if begun > which:
                break
        time.sleep(rng.uniform(0, 0.8) * times[which])
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL and results(place) != undisturbed.results
        again = begin(STUDY, place, str(undisturbed.study))
        _, errors = again.communicate()
        assert again.returncode == 0, errors
        assert results(place) == undisturbed.results


@pytest.mark.slow
@pytest.mark.parametrize("step", ["executing", "rendering"])
def test_a_book_killed_while_it_is_built_is_whole_after_the_next_call(workshop, step):
    before, copy = workshop.numbers, workshop.copy
    rng = random.Random(step)
    # A notebook is due, or a page alone; what changes neither.
    name, word = {"executing": ("notebooks/catalog.ipynb", "execute"), "rendering": ("book/rerun.md", "render")}[step]
    with copy.appended(name, ""):
        process = copy.start("brainalign", "book", "printed")
        wait_for(lambda: any(word in words[1:3] for words in descendants(process)), 120)
        time.sleep(rng.uniform(0.5, 4))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert Book.build(copy, "printed").checked().numbers == before


def descendants(process: subprocess.Popen) -> list[list[str]]:
    """Command lines of what a process has started."""
    found = []
    for one in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found.append(one.cmdline())
    return found
