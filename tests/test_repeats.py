"""Texts that are there more than once: they are never in training and test."""

import itertools

import numpy as np
import pytest
from recordings import STORIES, listening, noise, reading

from brainalign.alignment import protocols
from brainalign.alignment.brain import brain_alignment
from brainalign.alignment.encoding import splits
from brainalign.human import repeats
from brainalign.human.recording import Recording

KEEPING = ("contiguous", "brainscore-ridge")


def twice(n_stories=20, n_sentences=3, seed=0):
    """Sentences, and the same again under other passages and stories; responses have nothing to do with the text."""
    n = n_stories * n_sentences
    story = [f"{time} {number // n_sentences}" for time in ("first", "again") for number in range(n)]
    first = [f"Sentence {number}, of some words." for number in range(n)]
    again = [f"sentence  {number} of some words!" for number in range(n)]
    responses = np.tile(noise(n, 6, seed), (2, 1)) + 0.5 * noise(2 * n, 6, seed + 1)
    return reading(responses, story, text=first + again), np.tile(noise(n, 100, seed + 2), (2, 1))


def score(recording, features, protocol):
    table = brain_alignment({"random": features}, recording, protocol)
    rows = table[(table.participant == "pooled") & (table.region == "all") & (table.split == "all") & table.chosen]
    return rows.r.item()


@pytest.mark.parametrize("protocol", KEEPING)
def test_what_has_nothing_to_do_with_the_text_scores_nothing(protocol):
    recording, features = twice()
    assert abs(score(recording, features, protocol)) < 0.15
    responses, stories = recording.responses.to_numpy(), recording.stimuli.story.to_numpy()
    distinct = reading(responses, stories)  # the same, but for the texts: what is learned of one tells the other
    assert score(distinct, features, protocol) > 0.4


@pytest.mark.parametrize("protocol", KEEPING)
def test_no_text_is_in_training_and_test(protocol):
    recording, _ = twice()
    bare = [text.casefold().replace(",", "").rstrip(".!").split() for text in recording.stimuli.text]
    folds = protocols.splits_of(protocols.PROTOCOLS[protocol], recording)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(120))
    for train, test in folds:
        assert not any(bare[row] == bare[other] for row in train for other in test)
    assert repeats.repeated(recording).all()


def test_groups_that_share_a_text_are_one_through_others_too():
    texts = [f"a text with number {number}" for number in range(48)]
    for row, other in ((0, 6), (7, 30), (20, 46)):  # stories 0, 1 and 5, and 3 and 7
        texts[row] = texts[other].upper() + "?"
    recording = reading(noise(48, 4), STORIES, text=texts)
    groups = list(range(8))  # the slow way: until nothing changes
    for _ in range(8):
        for (row, text), (other, same) in itertools.combinations(enumerate(texts), 2):
            if text.rstrip("?").casefold() == same.rstrip("?").casefold():
                low = min(groups[row // 6], groups[other // 6])
                groups = [low if group in (groups[row // 6], groups[other // 6]) else group for group in groups]
    expected = [f"story {groups[row // 6]}" for row in range(48)]
    assert len(set(expected)) == 5
    np.testing.assert_array_equal(protocols.groups_of(recording), expected)
    assert np.flatnonzero(repeats.repeated(recording)).tolist() == [0, 6, 7, 20, 30, 46]


def test_without_repeats_folds_are_those_of_groups():
    recording = reading(noise(48, 4), STORIES)
    assert not repeats.repeated(recording).any()
    for protocol in KEEPING:
        expected = splits.grouped(STORIES, 8)
        for ours, theirs in zip(protocols.splits_of(protocols.PROTOCOLS[protocol], recording), expected, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])
    series = listening(noise(100, 2), np.ones(100))
    for ours, theirs in zip(protocols.splits_of(protocols.CONTIGUOUS, series), splits.contiguous(100), strict=True):
        np.testing.assert_array_equal(np.concatenate(ours), np.concatenate(theirs))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("He said: “I do not know.”", "he said i do NOT\tknow"),
        ("a\N{NO-BREAK SPACE}b c d", "a b c d"),
        ("今日は天気がいい。", "今日は天気がいい"),
        ("हम घर जा रहे", "हम घर जा रहे।"),
    ],
)
def test_near_repeats(text, same):
    texts = [f"a text with number {number}" for number in range(48)]
    texts[0], texts[9] = text, same
    assert np.flatnonzero(repeats.repeated(reading(noise(48, 2), STORIES, text=texts))).tolist() == [0, 9]


@pytest.mark.parametrize(("text", "other"), [("and then", "and then"), ("हम घर जा रहे", "हम घर जी रहे"), ("?", "!")])
def test_what_is_no_repeat(text, other):
    texts = [f"a text with number {number}" for number in range(48)]
    texts[0], texts[9] = text, other
    assert not repeats.repeated(reading(noise(48, 2), STORIES, text=texts)).any()


def test_words_of_repeated_passages_and_words_by_themselves_are_repeats():
    words = ["the", "cat", "sat"]
    passage = np.repeat(["p", "q", "r", "s"], 3)
    by_word = reading(noise(12, 2), passage, text=[*words, *words, "the", "dog", "sat", "the", "cat", "ran"])
    np.testing.assert_array_equal(repeats.repeated(by_word), np.repeat([True, False], 6))
    assert protocols.groups_of(by_word).tolist() == [*"pppppp", *"rrrsss"]
    alone = reading(noise(12, 2), [f"p{number}" for number in range(12)], text=["Dog", "cat", "cow", "ox"] * 3)
    assert protocols.groups_of(alone).tolist() == ["p0", "p1", "p2", "p3"] * 3


def test_a_sentence_that_returns_in_one_long_text_joins_its_blocks():
    texts = [f"a text with number {number}" for number in range(100)]
    texts[95] = texts[12]
    recording = reading(noise(100, 2), ["tale"] * 100, text=texts)
    folds = protocols.splits_of(protocols.CONTIGUOUS, recording)
    assert len(folds) == 9
    train, test = folds[1]
    np.testing.assert_array_equal(test, [*range(10, 20), *range(90, 100)])
    np.testing.assert_array_equal(train, [*range(5), *range(25, 85)])


def test_what_repeats_everywhere_is_refused():
    texts = np.resize([f"a text with number {number}" for number in range(4)], 48)
    with pytest.raises(ValueError, match="brainscore-ridge: the same texts are in so many of its 8 stories"):
        protocols.splits_of(protocols.BRAINSCORE_RIDGE, reading(noise(48, 4), STORIES, text=texts))
    with pytest.raises(
        ValueError, match=r"contiguous: the same texts are in so many of its 10 tenths .* average their"
    ):
        protocols.splits_of(protocols.CONTIGUOUS, reading(noise(48, 4), STORIES, text=texts))
    assert protocols.applicable(KEEPING, reading(noise(48, 4), STORIES, text=texts)) == ["contiguous"]


def test_runs_that_were_heard_twice_are_one_fold():
    series = listening(noise(80, 2), np.repeat(np.arange(4), 20))
    volumes = series.responses.assign_coords(
        passage=("stimulus", np.repeat(["a", "b", "c", "d"], 20)),
        position=("stimulus", np.tile(np.arange(1, 21), 4)),
        text=("stimulus", [f"word{row % 20} {'a' if row < 20 or row >= 60 else row}" for row in range(80)]),
    )
    recording = Recording("series", volumes, series.passages, "", "", tr=2.0)
    folds = protocols.splits_of(protocols.AW2024_RUNS, recording)
    assert len(folds) == 3
    np.testing.assert_array_equal(folds[0][1], [*range(20), *range(60, 80)])
    np.testing.assert_array_equal(folds[0][0], range(25, 55))


def test_simulated_people_keep_their_groups():
    recording, _ = twice()
    simulated = Recording("microworld", recording.responses, recording.passages, "", "", evidence="microworld")
    np.testing.assert_array_equal(protocols.groups_of(simulated), simulated.stimuli.story)
