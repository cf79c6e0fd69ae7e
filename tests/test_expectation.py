"""How long a build still takes: in a course of steps that is laid out beforehand, by a clock that the test moves."""

import heapq

import pytest

from brainalign import study as studies
from brainalign.cli import book_command, engine, expectation
from brainalign.cli.expectation import Expectation
from brainalign.paper.publish import book
from brainalign.study.planning import plan

# Seconds of one cold build each on two cores, from their logs.
TOOK = {
    "microworld": {
        "catalog.ipynb": 1.5,
        "published_models.ipynb": 1.6,
        "precision.ipynb": 1.7,
        "speed.ipynb": 1.8,
        "published_factors.ipynb": 4.6,
        "published_behavior.ipynb": 3.3,
        "published_brain.ipynb": 2.6,
        "oasm": 20.4,
        "length": 0.5,
        "position": 0.5,
        "length+position": 0.5,
        "random": 1.6,
        "validation.ipynb": 64.8,
        "t5-small": 50.7,
        "t5-small-untrained-0": 6.0,
        "t5-small-tuned": 10.8,
        "people": 0.9,
        "llama-medium": 39.8,
        "llama-medium-untrained-0": 4.7,
        "llama-medium-tuned": 10.2,
        "llama-medium-instruction-0": 8.5,
        "llama-medium-instruction-1": 14.8,
        "t5-large": 58.5,
        "llama-medium-instruction-2": 13.7,
        "t5-large-untrained-0": 6.7,
        "llama-medium-no-instruction-0": 12.5,
        "t5-large-tuned": 14.7,
        "llama-medium-no-instruction-1": 9.6,
        "llama-medium-no-instruction-2": 11.5,
        "llama-small": 23.0,
        "llama-small-untrained-0": 3.5,
        "llama-small-tuned": 7.8,
        "people.ipynb": 4.4,
        "model-t5-small.ipynb": 3.6,
        "model-llama-medium-tuned.ipynb": 3.3,
        "model-llama-medium.ipynb": 2.8,
        "model-llama-small-tuned.ipynb": 3.1,
        "model-t5-large.ipynb": 3.6,
        "model-llama-small.ipynb": 3.5,
        "model-t5-small-tuned.ipynb": 4.0,
        "model-t5-large-tuned.ipynb": 3.5,
        "llama-large": 84.9,
        "llama-large-untrained-0": 5.6,
        "llama-large-tuned": 16.3,
        "instruction_tuning.ipynb": 3.6,
        "brain_alignment.ipynb": 6.3,
        "behavioral_alignment.ipynb": 4.0,
        "claims.ipynb": 8.3,
        "factors.ipynb": 9.8,
        "controls.ipynb": 5.5,
        "model-llama-large-tuned.ipynb": 3.3,
        "model-llama-large.ipynb": 2.8,
        "the book": 27.5,
    },
    "sample": {
        "published_models.ipynb": 1.3,
        "speed.ipynb": 2.2,
        "catalog.ipynb": 1.3,
        "published_brain.ipynb": 4.6,
        "precision.ipynb": 2.0,
        "published_behavior.ipynb": 5.3,
        "published_factors.ipynb": 9.1,
        "stories260K": 95.9,
        "stories260K-tuned": 85.9,
        "stories260K-no-instruction": 82.1,
        "gpt2": 2.5,
        "gpt2-medium": 2.4,
        "gpt2-large": 1.9,
        "gpt2-xl": 2.0,
        "opt-125m": 2.1,
        "opt-350m": 2.1,
        "opt-1.3b": 2.3,
        "smollm2-135m-instruct-q4_1": 276.4,
        "opt-2.7b": 2.1,
        "opt-6.7b": 2.5,
        "opt-13b": 2.1,
        "opt-30b": 1.9,
        "opt-66b": 1.7,
        "Llama-2-7b-hf": 1.8,
        "Llama-2-7b-chat-hf": 1.8,
        "Llama-2-13b-hf": 2.0,
        "Llama-2-13b-chat-hf": 1.8,
        "Llama-2-70b-hf": 2.5,
        "Llama-2-70b-chat-hf": 2.2,
        "falcon-7b": 1.7,
        "falcon-7b-instruct": 1.6,
        "falcon-40b": 1.8,
        "falcon-40b-instruct": 1.8,
        "babbage-002": 1.7,
        "davinci-002": 1.7,
        "oasm": 5.5,
        "length": 2.9,
        "position": 3.0,
        "length+position": 2.9,
        "random": 4.3,
        "text-davinci-002": 2.4,
        "text-davinci-003": 2.0,
        "people": 1.6,
        "people.ipynb": 6.3,
        "model-stories260K-tuned.ipynb": 5.8,
        "model-stories260K.ipynb": 5.0,
        "model-stories260K-no-instruction.ipynb": 5.0,
        "smollm2-135m-instruct-q4_1-untrained-0": 230.2,
        "controls.ipynb": 7.5,
        "brain_alignment.ipynb": 7.9,
        "behavioral_alignment.ipynb": 7.9,
        "model-smollm2-135m-instruct-q4_1.ipynb": 5.3,
        "claims.ipynb": 16.2,
        "the book": 44.2,
    },
}


class Course:
    """The build of a study: jobs, and when each step ends if they are laid on the cores as Snakemake does it."""

    def __init__(self, name, cores):
        study = studies.load(name)
        notebooks, table, self.cores = book.notebooks(study), studies.models(study), cores
        shown = {name: book.shown(name, study) for name in notebooks}
        kinds = {f"{name}.ipynb": book.kind(name) for name in notebooks} | {engine.BOOK: "book"}
        self.waits = engine.waits({"bases": studies.bases(study), "shown": shown})
        self.kinds = {**(table.origin + ", " + table.kind), **kinds}
        self.weights = plan.weights(study) | book.weights(kinds)
        batches = book_command.longest_first(studies.batches(study), studies.bases(study), self.weights)
        self.jobs = [*map(tuple, batches), *((name,) for name in kinds)]
        rank = {"unmeasured": 0, "notebook": 2, "page": 3}
        self.jobs.sort(key=lambda job: rank.get(kinds.get(job[0]), 1))
        self.took = {step: TOOK[name][step] for job in self.jobs for step in job}
        self.events = sorted(self._laid_out())

    def _laid_out(self):
        """When each job begins and each step ends."""
        ends, waiting, running, now = {}, list(self.jobs), [], 0.0
        while waiting or running:
            ended = {step for step, end in ends.items() if end <= now}
            for job in list(waiting):
                needs = {step for own in job for step in self.waits.get(own, ())} - {*job}
                if len(running) < self.cores and needs <= ended:
                    waiting.remove(job)
                    yield now, job, None
                    end = now
                    for step in job:
                        ends[step] = end = end + self.took[step]
                        yield end, (), step
                    heapq.heappush(running, end)
            now = heapq.heappop(running)

    def told(self, before, now, every=10):
        """Seconds that are left, and those that are expected, from the first minute on."""
        given = {"kinds": self.kinds, "weights": self.weights, "waits": self.waits, "before": before}
        expected = Expectation(self.jobs, self.cores, **given)
        events, total = list(self.events), self.events[-1][0]
        for moment in range(every, int(total), every):
            while events[0][0] <= moment:
                now[0], job, step = events.pop(0)
                expected.done(step, self.took[step]) if step else expected.begun(job)
            now[0] = float(moment)
            if moment >= 60:
                yield total - moment, expected.seconds()


@pytest.fixture
def now(monkeypatch):
    """What the clock says, in a list."""
    seconds = [0.0]
    monkeypatch.setattr(expectation, "monotonic", lambda: seconds[0])
    return seconds


def shown(seconds):
    """What is said of less than a minute is the same."""
    return max(seconds, 60)


@pytest.mark.parametrize("cores", [1, 2, 4])
@pytest.mark.parametrize("name", TOOK)
def test_a_first_build_is_expected_within_a_factor_of_one_and_a_half(name, cores, now):
    wrong = [
        (left, said)
        for left, said in Course(name, cores).told({}, now)
        if not 2 / 3 < shown(said) / shown(left) < 3 / 2
    ]
    assert wrong == []


@pytest.mark.parametrize("cores", [1, 2, 4])
@pytest.mark.parametrize("pace", [0.75, 1, 1.4])
@pytest.mark.parametrize("name", TOOK)
def test_a_repeated_build_is_expected_within_a_factor_of_one_and_a_half(name, cores, pace, now):
    course = Course(name, cores)
    before = {step: seconds / pace for step, seconds in course.took.items()} | {"no longer here": 5.0}
    for left, said in course.told(before, now):
        assert 2 / 3 < shown(said) / shown(left) < 3 / 2
        if pace == 1 and cores == 1:
            assert said == pytest.approx(left)


def test_in_a_queue_nobody_knows_how_long_it_takes():
    expected = Expectation([("a",), ("b",)], None, before={"a": 5.0})
    expected.done("a", 30.0)
    assert str(expected) == "1 of 2 steps, time unknown"


def test_what_is_expected_passes(now):
    expected = Expectation([("a",), ("b", "c")], 1)
    expected.begun(("a",))
    assert expected.seconds() is None and str(expected) == "0 of 3 steps, time unknown yet"
    now[0] += 30
    expected.done("a", 30.0)
    expected.begun(("b", "c"))
    assert expected.seconds() == 60.0
    now[0] += 25
    assert expected.seconds() == 35.0
    now[0] += 15  # b is late by ten seconds, and expected to be for ten more
    assert expected.seconds() == 40.0
    expected.done("b", 40.0)
    assert expected.seconds() == 35.0
    expected.begun(("other",))
    expected.done("other", 1.0)
    assert str(expected) == "2 of 3 steps, less than a minute left"


def test_the_longest_chain_is_the_end():
    waits = {"b": ["a"], "c": ["b"], "last": ["c", "d"]}
    before = {"a": 50.0, "b": 60.0, "c": 70.0, "d": 20.0, "last": 5.0}
    expected = Expectation([(step,) for step in before], 2, waits=waits, before=before)
    assert expected.seconds() == 185.0


def test_weights_count_where_nobody_has_timed():
    expected = Expectation([("a",), ("b",)], 1, {"a": "x", "b": "x"}, {"b": 4.0})
    expected.done("a", 10.0)
    assert expected.seconds() == 40.0


def test_steps_of_no_time_are_no_pace():
    expected = Expectation([("a",), ("b",)], 1, before={"a": 0.0, "b": 0.0})
    expected.done("a", 0.0)
    assert expected.seconds() == 0.0
