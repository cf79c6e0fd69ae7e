"""A model's page: what is said of planted tables, and nothing of what was not measured."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.sections import model
from brainalign.study import Study
from brainalign.study.description.members import CONTROL, SELF, VANILLA


def values(numbers):
    """Values of live numbers by key."""
    return {live.key: live.value for live in numbers}


@pytest.mark.parametrize(
    ("last", "factor", "title"),
    [
        (6.0, 3.0, "States grow from layer to layer"),
        (1.0, 0.5, "States do not grow from the first layer to the last"),
    ],
)
def test_states_grow_or_do_not(last, factor, title):
    norms = pd.DataFrame({"text": "a", "stack": "decoder", "layer": ["0", "1", "2"], "norm": [2.0, 9.0, last]})
    assert values(model.finding_of_norms(norms).numbers) == {"norm.factor": factor}
    assert model.finding_of_norms(norms).title == title


@pytest.mark.parametrize(("ends", "title"), [(0.3, "Each layer resembles"), (0.9, "The first and the last layer")])
def test_similarity_is_that_of_the_first_text_in_the_order_of_layers(ends, title):
    square = np.array([[1, 0.8, ends], [0.8, 1, 0.7], [ends, 0.7, 1]])
    names = ["encoder.0", "decoder.0", "decoder.1"]
    rows = [
        {"text": text, "layer": a, "other": b, "cka": value if text == "first" else 0.0}
        for text in ("first", "second")
        for a, row in zip(names, square, strict=True)
        for b, value in zip(names, row, strict=True)
    ]
    similarity = model.similarity(pd.DataFrame(rows))
    np.testing.assert_array_equal(similarity, square)
    numbers = values(model.finding_of_similarity(similarity).numbers)
    assert numbers == {"cka.ends": ends, "cka.neighbors": 0.7, "cka.text": "first"}
    assert model.finding_of_similarity(similarity).title.startswith(title)


WORDS = pd.DataFrame(
    {
        "dataset": ["a", "a", "a", "b"],
        "story": [1, 1, 2, 1],
        "position": [0, 1, 0, 0],
        "sentence": [0, 0, 0, 0],
        "text": ["The", "“bird,”", "It", "We"],
        "surprisal": [1.0, 4.0, 4.0, 99.0],
        "yardstick": [2.0, 8.0, 8.0, np.nan],
        "whose": ["the true surprisal"] * 3 + [None],
    }
)
TEXTS = pd.DataFrame({"what": ["states", "surprisal"], "text": ["a", "a"], "first_word": [None, "left out"]})
BEHAVIOR = pd.DataFrame(
    [
        {"measure": measure, "story": story, "dataset": "a", "alignment": "original", "value": value, "n_words": 4}
        for measure, story, value in (("r", "all", 0.5), ("r", "1", 0.9), ("slope", "all", 7.0))
    ]
)


def test_surprisal_is_that_of_the_first_data_set_and_correlates_over_all():
    numbers = values(model.numbers_of_surprisal(WORDS, TEXTS, BEHAVIOR))
    assert (numbers["surprisal.mean"], numbers["surprisal.first-word"]) == (3.0, "left out")
    assert numbers["surprisal.yardstick.r"] == pytest.approx(1)
    assert numbers["surprisal.times.a.original.r"] == 0.5
    words = "the true surprisal at 1.00; the times of a, original alignment, at 0.50"
    assert numbers["surprisal.correlations"] == words


def test_the_most_surprising_word_is_one_of_those_shown():
    (shown,) = model.first_words(WORDS, 2).values()
    assert shown.text.tolist() == ["The", "“bird,”"]
    assert values(model.finding_of_words(shown).numbers) == {"surprisal.most": 4.0}
    assert "bird" in model.finding_of_words(shown).title


def test_a_study_without_words_or_recordings_shows_none():
    nothing = pd.DataFrame()
    assert model.numbers_of_surprisal(nothing, TEXTS, nothing) == []
    assert model.first_words(nothing, 5) == {}
    results = pd.DataFrame({"model": ["m"], "analysis": ["behavior"]})
    study = Study(name="own", title="own", evidence="people", reading_times=["natural_stories"])
    brain = model.brain(results)
    differences = model.differences(brain, {"m": SELF}, study)
    assert differences.empty
    assert model.numbers_of_differences(differences) == []
    assert model.tables(brain, differences, "m") == {}
    with pytest.raises(ValueError, match="there is no text"):
        model.measured(Study(name="own", title="own", evidence="people"), "stories260K")


def place(*rows) -> pd.DataFrame:
    """A model's value on an axis, by whether the paper measured it on the same."""
    return pd.DataFrame(
        [
            {
                "model": name,
                "axis": axis,
                "value": 0.25,
                "of": "a text",
                "same": same,
                "label": label,
                "above": "3 of 9",
            }
            for name, axis, same, label in rows
        ]
    )


def test_a_model_stands_above_printed_ones_where_both_read_the_same():
    score, size = ("average", True, "Brain alignment, average (Pearson r)"), ("log_size", True, "Parameters (log10)")
    placed = place(("m", *score), ("m", *size), ("other", *score))
    assert model.finding_of_place(placed, "m").title == "Above 3 of 9 printed models in Brain alignment, average"
    numbers = values(model.finding_of_place(placed, "m").numbers)
    assert (numbers["axis.average"], numbers["axis.average.above"]) == (0.25, "3 of 9")
    assert numbers["placed.values"] == "Brain alignment, average (Pearson r) 0.250; Parameters (log10) 0.250"
    assert "placed.elsewhere" not in numbers
    apart = placed.assign(same=placed.axis == "log_size")
    assert model.finding_of_place(apart, "m").title.startswith("Nothing here was measured")
    assert values(model.finding_of_place(apart, "m").numbers)["placed.elsewhere"] == score[2]


def test_differences_are_numbers_with_an_interval_if_they_have_one():
    rows = pd.DataFrame(
        [
            {"protocol": "aw2024", "against": "", "role": SELF, "estimate": 0.3, "low": 0.2, "high": 0.4, "n": 5}
            | {"verdict": "above zero"},
            {"protocol": "aw2024", "against": "base", "role": VANILLA, "estimate": 0.1, "low": np.nan, "high": np.nan}
            | {"n": 1, "verdict": "not told apart"},
        ]
    )
    numbers = {live.key: live for live in model.numbers_of_differences(rows)}
    assert set(numbers) == {"brain.aw2024", "brain.aw2024.base", "brain.above-zero"}
    assert (numbers["brain.aw2024"].low, numbers["brain.aw2024.base"].low) == (0.2, None)
    control = rows.iloc[[0]].assign(against="oasm", role=CONTROL, verdict="above")
    numbers = values(model.numbers_of_differences(pd.concat([rows, control])))
    assert numbers["brain.above-controls"] == "aw2024"
