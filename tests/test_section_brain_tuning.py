"""Section 4.1 on a study's scores: what tuning changes, on planted scores."""

import numpy as np
import pandas as pd
import pytest
from brain_scores import planted

from brainalign.paper.claims import printed
from brainalign.paper.sections import brain_tuning as section

MODELS = {
    "a": ("vanilla", None, None),
    "b": ("vanilla", None, None),
    "a-tuned": ("instruction-tuned", "a", None),
    "a-chat": ("instruction-tuned", "a", None),
    "b-tuned": ("instruction-tuned", "b", None),
}
RISING = {
    "a": [0.10, 0.20, 0.30],
    "b": [0.20, 0.30, 0.40],
    "a-tuned": [0.14, 0.25, 0.34],
    "a-chat": [0.15, 0.24, 0.35],
    "b-tuned": [0.19, 0.30, 0.38],
}
PAIRS = pd.DataFrame({"model": ["a+", "b+"], "base": ["a", "b"], "family": "T5", "vanilla": [0.1, 0.2]})
BOOTSTRAP = {"seed": 0, "resamples": 100}


@pytest.fixture
def brain():
    return planted({"contiguous": {"blank2014": RISING}}, models=MODELS)


def texts(numbers):
    return {key: text for live in numbers for key, text in live.texts().items()}


def test_pairs_are_counted_and_those_that_gain(brain):
    pairs = section.pairs(brain)
    numbers = {"pairs.n": "3", "pairs.bases": "2", "tuning.contiguous.gaining": "2"}
    assert texts(section.numbers_of_pairs(pairs)) == numbers
    assert section.title_of_scatter(pairs, "contiguous") == "Under contiguous, 2 of 3 pairs gain"


def test_a_base_counts_once_for_each_of_its_pairs(brain):
    pairs = section.pairs(brain)
    (row,) = section.by_dataset(brain, pairs).itertuples()
    each = section.by_pair(brain, pairs).set_index("label").estimate
    assert row.label == "blank2014" and row.n == 3
    assert each["b-tuned"] == pytest.approx(-0.01)
    assert row.estimate == pytest.approx(each.mean())


def test_a_mean_change_is_quoted_with_its_verdict(brain):
    quoted = texts(section.numbers_of_tuning(brain, section.pairs(brain)))
    assert (quoted["tuning.contiguous"], quoted["tuning.contiguous.verdict"]) == ("+0.027", "raises")
    (_, _), (_, title) = section.changes(brain, section.pairs(brain)).values()
    assert title == "Tuning, pair by pair: raises it under contiguous"


def test_a_fall_is_quoted_as_one():
    scores = {"a": [0.3, 0.4, 0.5], "a-tuned": [0.1, 0.21, 0.29]}
    brain = planted({"contiguous": {"blank2014": scores}}, models=MODELS)
    assert texts(section.numbers_of_tuning(brain, section.pairs(brain)))["tuning.contiguous.verdict"] == "lowers"


def test_several_data_sets_are_shown_with_their_average():
    falling = {model: [0.5, 0.5, 0.5] if model in "ab" else [0.4, 0.4, 0.4] for model in RISING}
    brain = planted({"aw2024": {"blank2014": RISING, "brennan2016": falling}}, models=MODELS)
    rows = section.by_dataset(brain, section.pairs(brain)).set_index("label").estimate
    assert list(rows.index) == ["average", "blank2014", "brennan2016"]
    assert rows["average"] == pytest.approx((rows["blank2014"] + rows["brennan2016"]) / 2)
    assert section.effect_of_tuning(brain, section.pairs(brain))["aw2024"]["estimate"] == pytest.approx(rows["average"])


def test_the_most_lenient_and_the_strictest_protocol_are_drawn_pair_by_pair():
    brain = planted(
        {name: {"blank2014": RISING} for name in ("aw2024", "brainscore-ridge", "contiguous")}, models=MODELS
    )
    drawn = {"study-figure-1b": "aw2024", "study-figure-1b-strict": "contiguous"}
    assert section.scatters(section.pairs(brain)) == drawn


def test_a_study_without_tuned_models_has_no_figures_of_them():
    brain = planted({"contiguous": {"blank2014": {"a": RISING["a"]}}}, models=MODELS)
    pairs = section.pairs(brain)
    assert pairs == {} and section.scatters(pairs) == {} and section.changes(brain, pairs) == {}
    assert texts(section.numbers_of_pairs(pairs)) == {"pairs.n": "0", "pairs.bases": "0"}
    assert section.numbers_of_tuning(brain, pairs) == []
    strip = section.strip(printed.load(), pairs, **BOOTSTRAP)
    assert list(strip.label) == ["as printed", "recomputed", "this study"] and np.isnan(strip.estimate[2])
    assert section.finding_of_strip(brain.study, pairs)[1] == "printed"


def test_a_study_stands_beside_the_printed_change():
    pairs = {"contiguous": PAIRS.assign(tuned=[0.12, 0.2])}
    strip = section.strip(printed.load(), pairs, **BOOTSTRAP)
    assert strip.label.iloc[-1] == "this study, contiguous" and strip.estimate.iloc[-1] == pytest.approx(10)
    assert strip.note.iloc[-1] == "2 pairs, t over 2 bases"


def test_one_base_is_too_few_for_a_percentage_with_an_interval():
    row = section.percent_change(PAIRS.assign(base="a", tuned=0.2))
    assert row == {"note": "all of one base, a: no interval over bases"}


def test_there_is_no_percentage_of_a_score_below_zero():
    row = section.percent_change(PAIRS.assign(vanilla=[0.1, -0.2], tuned=0.2))
    assert row == {"note": "a score is not above zero: no percentage"}


def test_gains_are_counted_by_each_metric():
    table = pd.DataFrame({"model": ["a", "a-tuned", "a-chat"], "vanilla": [None, "a", "a"], "linear": [0.2, 0.3, 0.4]})
    table = table.assign(cka=[0.3, 0.4, 0.2], rsa=[0.5, 0.1, np.nan])
    numbers = {"metrics.linear.gains": "2 of 2", "metrics.cka.gains": "1 of 2", "metrics.rsa.gains": "0 of 2"}
    assert texts(section.numbers_of_metrics(table)) == numbers
    assert section.numbers_of_metrics(table[:1]) == []


def test_a_tuned_model_without_its_base_is_in_no_pair():
    models = MODELS | {"alone": ("instruction-tuned", None, None)}
    brain = planted({"contiguous": {"blank2014": RISING | {"alone": [0.9, 0.9, 0.9]}}}, models=models)
    assert "alone" in brain.trained and "alone" not in brain.pairs.index
    expected = planted({"contiguous": {"blank2014": RISING}}, models=MODELS)
    pairs = section.pairs(brain)["contiguous"]
    pd.testing.assert_frame_equal(pairs, section.pairs(expected)["contiguous"])
