"""A run that is killed at any moment goes on where it stopped, and ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import tiny

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


def start(folder, place) -> subprocess.Popen:
    environment = os.environ | {"BRAINALIGN_STORE": str(place), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, str(folder), str(N_PASSAGES)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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
