"""A run that is killed goes on where it stopped, and ends with the same bytes.

Each mechanism is killed once, at a moment that it announces. The moments between are tested by faults that are raised
inside a process, where the mechanism is: of the store (`test_entries`), of reading (`test_activations`), of exams
(`test_capability`) and of tuning (`test_tuning`).
"""

import os
import subprocess
from pathlib import Path

import pytest
import tiny
from books import Book, planted
from moments import STOP, begin, finish, kill, kill_at, number_from

pytestmark = pytest.mark.slow
N_PASSAGES = 40
# A batch a passage, saved at once.
RUN = """
from brainalign import llm, store
from brainalign.human.recording import Passage
from brainalign.llm.reading import batches

batches.MEMORY = 1
store.resumed.__defaults__ = (0.0,)
model = llm.load(sys.argv[1])
forward = model.network.base_model.forward

def announced(**given):
    moment("batch")
    return forward(**given)

model.network.base_model.forward = announced
words = "Once upon a time there was a little girl who liked to play outside in the park with her friends".split()
llm.activations(model, [Passage(str(n), tuple(words[: 1 + n % len(words)])) for n in range(int(sys.argv[2]))])
"""

# A whole study, made small, that announces what it saves, which is often, and each score before it is there.
STUDY = """
from dataclasses import replace
from functools import partial
from brainalign import store
from brainalign import study as studies
from brainalign.llm.reading import batches
from brainalign.llm.tuning import checkpoints, instruction, training
from brainalign.microworld import learners
from brainalign.store import entries
from brainalign.study.description import loading
from brainalign.study.measurement import brains

def after(name, work):
    def announced(subject, *rest):
        done = work(subject, *rest)
        moment(name(subject))
        return done
    return announced

def entry(path):
    part = path.parent.suffix == ".parts"
    return f"part of {path.parent.parent.name}" if part else f"whole {path.parent.name}"

def run(run):
    return "part of training" if run.folder.suffix == ".run" else "part of tuning"

def scored(*given, work=brains.brain_alignment, **options):
    moment("scoring")
    return work(*given, **options)

def often(*given, work=training.train, **options):
    return work(*given, **options | {"every": 0.0})

store.resumed.__defaults__ = (0.0,)
entries._write = after(entry, entries._write)
checkpoints.Run.save = after(run, checkpoints.Run.save)
training.train = instruction.train = often
brains.brain_alignment = scored
batches.OPERATIONS["cpu"] = 1e8
learners.N_WORDS, learners.N_RECITATIONS, learners.N_SAMPLES = 20_000, 200, 300
learners.TUNING = replace(learners.TUNING, checkpoints=(0, 5, 10))
learners.SHAPES["llama-small"] = learners.Shape("llama", 32, 2, 40, 1e-2)
loading.People = partial(loading.People, n_participants=3, n_units=30, n_passages=40)
questions = loading.questions(loading.world())[::8]
loading.questions = lambda world: questions
study = studies.load(sys.argv[1])
for model in studies.measured(study):
    studies.run(study, model)
"""
# In the order in which a study comes to them: what is killed, and on which occasion.
KILLS = {"part of training": 7, "part of activations": 2, "scoring": 1, "part of capability": 2, "part of tuning": 3}


def saved(place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "activations").glob("*.safetensors")}


def test_a_run_that_was_killed_ends_with_the_same_bytes(tmp_path):
    arguments = [str(tiny.gpt2(tmp_path / "gpt2")), str(N_PASSAGES)]
    assert len(finish(begin(RUN, tmp_path / "undisturbed", *arguments))) == N_PASSAGES
    kill_at(begin(RUN, tmp_path / "killed", *arguments), "batch", 17)
    assert not saved(tmp_path / "killed")
    # The batch that was under way is done again, and nothing else.
    assert len(finish(begin(RUN, tmp_path / "killed", *arguments))) == N_PASSAGES - 16
    assert saved(tmp_path / "killed") == saved(tmp_path / "undisturbed")
    assert not list((tmp_path / "killed" / "activations").glob("*.parts"))


def test_two_runs_at_once_compute_it_once(tmp_path):
    arguments = [str(tiny.gpt2(tmp_path / "gpt2")), str(N_PASSAGES)]
    both = [begin(RUN, tmp_path / "shared", *arguments, stdin=subprocess.DEVNULL) for _ in range(2)]
    counts = []
    for process in both:
        printed, _ = process.communicate()
        assert process.returncode == 0
        counts.append(printed.count("batch"))
    assert sorted(counts) == [0, N_PASSAGES]
    assert len(saved(tmp_path / "shared")) == 1


def results(place) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in (place / "results").glob("*/*/*.parquet")}


def test_a_study_killed_in_each_phase_completes_with_the_same_bytes(tmp_path):
    study = tmp_path / "mine.yaml"
    study.write_text(
        "title: Mine\nevidence: microworld\nrecordings: [microworld]\nbenchmarks: [microworld]\n"
        "protocols: [contiguous]\nmodels: [microworld/llama-small]\ntuning: [{model: llama-small}]\n"
    )
    undisturbed = begin(STUDY, tmp_path / "undisturbed", str(study), stdin=subprocess.DEVNULL)
    printed, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0
    expected = results(tmp_path / "undisturbed")
    assert {Path(name).parent.name for name in expected} == {"people", "llama-small", "llama-small-instruction-0"}
    for name, occasion in KILLS.items():
        kill_at(begin(STUDY, tmp_path / "killed", str(study)), name, occasion)
        assert results(tmp_path / "killed") != expected
    passed = finish(begin(STUDY, tmp_path / "killed", str(study)))
    assert results(tmp_path / "killed") == expected
    # What was done before is not done again.
    n_steps = printed.splitlines().count("part of tuning")
    assert passed.count("part of tuning") == n_steps - KILLS["part of tuning"]
    assert "part of training" not in passed


@pytest.mark.parametrize("step", ["executing", "rendering"])
def test_a_book_killed_while_it_is_built_is_whole_after_the_next_call(workshop, step):
    before, project, pipe = workshop.numbers, workshop.project, workshop.project.root / step
    os.mkfifo(pipe)
    stop = f"stop_at({str(pipe)!r})"
    (project.root / "stopping.py").write_text(f"{STOP}\ndef setup(app):\n    {stop}\n", encoding="utf-8")
    config = (project.root / "_config.yml").read_text(encoding="utf-8")
    here = "  extra_extensions:\n"
    disturbed = {
        "executing": planted(project, f"{STOP}\n{stop}"),
        "rendering": project.changed("_config.yml", config.replace(here, f"{here}    - stopping\n")),
    }
    with disturbed[step]:
        process = project.start("brainalign", "book", workshop.study)
        number_from(pipe)
        kill(process)
    assert Book.build(project, workshop.study).checked().numbers == before
    left = Path(project.executed(workshop.study)).glob(".*.ipynb")
    assert list(left) == []
