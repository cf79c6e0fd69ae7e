"""The readers of section 5: who they are, and whether their times are aligned with the words."""

import numpy as np
import pandas as pd
import pytest

from brainalign import study as studies
from brainalign.paper.sections import reading_times as section

NO_SERIES = pd.DataFrame(columns=["model"])


def words(delay=0, dataset="stories", alignment="original"):
    """Two stories of five hundred words; a reader's time is the length of the word so many positions before, in ms."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"story": np.repeat([1, 2], 500), "position": np.tile(np.arange(1, 501), 2)})
    table = table.assign(text="word", length=rng.integers(1, 12, 1000), n_readers=40, sd=0.0)
    times = 300.0 + table.groupby("story").length.shift(delay)
    return table.assign(reading_time=times, dataset=dataset, alignment=alignment)


def scores(origin="model", measures=("r", "ppp"), dataset="stories"):
    row = {"model": "base", "family": "T5", "kind": "vanilla", "vanilla": None, "parameters": 1e6}
    return pd.DataFrame([row | {"origin": origin, "measure": name, "dataset": dataset} for name in measures])


def readers(table, scores):
    return section.Readers("stories", dict(list(table.groupby("alignment"))), scores)


def texts(numbers):
    return {key: text for live in numbers for key, text in live.texts().items()}


@pytest.mark.parametrize(
    ("delay", "verdict", "title"),
    [
        (-1, "are shifted one word too early", "before the word that slows them"),
        (0, "are aligned with their words", "at the word and after it"),
        (1, "are aligned with their words", "at the word and after it"),
    ],
)
def test_times_that_follow_the_next_word_are_too_early(delay, verdict, title):
    profiles = section.lag_profiles(readers(words(delay), scores()), NO_SERIES)
    at = profiles.set_index("lag").r
    assert at[delay] == pytest.approx(1) and at.drop(delay).abs().max() < 0.1
    assert texts(section.finding_of_lags(profiles).numbers)["lag.verdict"] == verdict
    assert title in section.finding_of_lags(profiles).title


def test_only_the_original_release_can_be_too_early():
    table = words(-1, alignment="corrected")
    profiles = section.lag_profiles(readers(table, scores()), NO_SERIES)
    shown = texts(section.finding_of_lags(profiles).numbers)
    assert shown == {"lag.before.corrected": "1.00", "lag.verdict": "are aligned with their words"}


def test_lags_of_series_and_of_true_surprisal():
    table = words().assign(true_surprisal=lambda rows: -rows.length)
    other = words(dataset="other").assign(model="gpt2", surprisal=0.0)
    series = pd.concat([other, words().assign(model="gpt2", surprisal=lambda rows: rows.length)])
    profiles = section.lag_profiles(readers(table, scores(measures=("r", "exact"))), series)
    at = profiles[profiles.lag == 0].set_index("predictor").r
    assert list(at.index) == ["word length", "surprisal, gpt2", "true surprisal"]
    np.testing.assert_allclose(at, [1, 1, -1])


def test_last_words_are_told_from_the_others():
    table = words().assign(reading_time=300.0)
    last = section.last_of_story(table)
    assert list(table.position[last]) == [500, 500]
    table.loc[last, "reading_time"] = [1000.0, 1400.0]
    ends, others = section.numbers_of_ends(table)
    assert (ends.value, ends.n, others.value, others.n) == (1200, 2, 300, 998)


@pytest.mark.parametrize(
    ("origin", "measures", "who", "whose"),
    [
        ("series", ("r", "ppp"), "people", "that others have published"),
        ("model", ("r", "ppp", "exact"), "simulated people", "of this study"),
    ],
)
def test_people_and_models(origin, measures, who, whose):
    planted = readers(words(), scores(origin, measures))
    assert planted.measures == list(measures)
    shown = texts(section.numbers_of_people(planted))
    assert (shown["people.who"], shown["series.whose"], shown["series.n"]) == (who, whose, "1")
    # Without variance between readers, the means are exact.
    assert (shown["people.words"], shown["people.stories"], shown["people.reliability"]) == ("1,000", "2", "1.00")
    assert list(section.by_story(planted.words["original"]).words) == [500, 500]


def test_each_set_of_readers_has_its_own_words_and_scores(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nevidence: people\nreading_times: [natural_stories.maze, natural_stories]\n")
    names = ["natural_stories", "natural_stories.maze"]
    tables = [words(dataset=name, alignment=way) for name in names for way in ("original", "corrected")]
    results = pd.concat([scores("series", dataset=names[0]), scores(dataset=names[0]), scores(dataset=names[1])])
    maze, stories = section.sets_of_readers(studies.load(str(path)), results, pd.concat(tables))
    assert (maze.dataset, maze.alignments) == ("natural_stories.maze", ["original"])
    assert (stories.dataset, stories.alignments) == ("natural_stories", ["original", "corrected"])
    assert set(stories.words["corrected"].dataset) == {"natural_stories"}
    assert set(maze.scores.origin) == {"model"} and set(stories.scores.origin) == {"series"}


@pytest.mark.parametrize(
    ("collections", "context", "whose", "read"),
    [
        ([None], "story", "that this study brought along", "the story so far"),
        ([None], None, "that this study brought along", "what their files do not say"),
        (
            ["kuribayashi2024", None],
            "sentence",
            "that others have published or this study brought along",
            "the sentence",
        ),
    ],
)
def test_series_of_ones_own_are_not_called_published(collections, context, whose, read):
    rows = [scores("series", ("r", "ppp")).assign(collection=name, context=context) for name in collections]
    shown = texts(section.numbers_of_people(readers(words(), pd.concat(rows))))
    assert shown["series.whose"] == whose
    assert shown["series.context"].startswith(read)


def test_models_stand_beside_the_mean_of_their_untrained_twins():
    members = {"large": (0.5, None, 2e6), "small": (0.4, None, 1e6), "alone": (0.3, None, 3e6)}
    members |= {"large-0": (0.1, "large", 2e6), "large-1": (0.3, "large", 2e6), "small-0": (0.2, "small", 1e6)}
    shared = {"measure": "r", "story": "all", "origin": "model", "dataset": "stories", "alignment": "original"}
    rows = pd.DataFrame(
        [
            shared | {"model": name, "value": r, "low": r - 0.1, "high": r + 0.1, "twin_of": twin, "parameters": n}
            for name, (r, twin, n) in members.items()
        ]
    )
    table = section.against_twins(rows)
    assert table.model.tolist() == ["large", "small"]
    assert table.untrained.tolist() == pytest.approx([0.2, 0.2]) and table.trained.tolist() == [0.5, 0.4]
    numbers = {live.key: live for live in section.numbers_of_twins(table)}
    assert numbers["twins.model"].value == "large" and numbers["twins.stories.original.trained"].low == 0.4
    assert numbers["twins.stories.original.untrained"].value == pytest.approx(0.2)
    assert numbers["twins.stories.original.untrained"].low is None
    assert section.numbers_of_twins(table.iloc[:0]) == []
