"""Section "Can the method be trusted?": planted rates come out as the words that they deserve."""

import numpy as np
import pandas as pd
import pytest

from brainalign.microworld.validation import MIXED
from brainalign.paper.sections import validation, validation_tuning


def interval(estimate: float, half: float = 0.01) -> dict:
    """An estimate with its interval, over ten repetitions."""
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "n": 10}


def ranks(shuffled: float) -> pd.DataFrame:
    """Rank correlations at two sizes; with the most people and text that of shuffled splits is as given."""
    sizes = [(1, 24, 0.3), (8, 96, 0.9)]
    rows = [
        {"protocol": protocol, "filler": MIXED, "n_participants": people, "n_passages": passages} | interval(value)
        for people, passages, value in sizes
        for protocol in ("aw2024", "contiguous")
    ]
    table = pd.DataFrame(rows)
    at = (table.protocol == "aw2024") & (table.n_participants == 8)
    table.loc[at, ["estimate", "low", "high"]] = shuffled, shuffled - 0.01, shuffled + 0.01
    return table


@pytest.mark.parametrize(("shuffled", "word"), [(0.7, "disturb"), (0.895, "keep"), (0.95, "keep")])
def test_splits_disturb_the_order_if_intervals_are_apart(shuffled, word):
    numbers = {live.key: live.value for live in validation.finding_of_ranks(ranks(shuffled)).numbers}
    assert numbers["rank.shuffled.verdict"] == word
    assert (numbers[f"rank.large.aw2024.{MIXED}"], numbers[f"rank.small.aw2024.{MIXED}"]) == (shuffled, 0.3)


def test_few_crowds_are_refused():
    with pytest.raises(ValueError, match="Ask for 5 or more"):
        validation.numbers_of_size(4)


def test_a_ceiling_covers_at_every_size_or_does_not():
    rows = [
        {"estimator": name, "protocol": protocol, "n_participants": 6, "n_passages": passages, "low": low, "high": 0.6}
        | {"estimate": 0.5, "true": 0.5, "bias": bias, "covered": low < 0.5, "repetition": number}
        for name, protocol, passages, low, bias in (
            ("disattenuated", "contiguous", 24, 0.4, 0.01),
            ("disattenuated", "contiguous", 48, 0.4, 0.0),
            ("extrapolated", "contiguous", 24, 0.4, -0.2),
            ("extrapolated", "contiguous", 48, 0.55, -0.2),
            ("extrapolated", "aw2024", 24, 0.4, 0.0),
            ("attainable", "contiguous", 24, float("nan"), -0.1),
        )
        for number in range(4)
    ]
    tables = validation.ceilings(pd.DataFrame(rows))
    assert set(tables["coverage"].estimator) == {"disattenuated", "extrapolated"}
    assert tables["width"].estimate.round(2).tolist() == [0.2, 0.2, 0.2, 0.05, 0.2]
    verdicts = validation.verdicts_of_ceilings(tables["coverage"])
    assert verdicts == {"disattenuated": "covers", "extrapolated": "does not cover"}
    assert validation.title_of_bias(tables["bias"]).startswith("The extrapolated ceiling is off by −0.20")
    drawn = validation.rows_of_ceilings(tables["bias"])
    assert drawn.protocol.is_monotonic_increasing and drawn.color.notna().all()


@pytest.mark.parametrize(("bias", "word"), [(0.03, "inflates"), (0.0, "does not inflate")])
def test_the_best_of_the_most_null_layers_decides(bias, word):
    rows = [
        {"kind": "null", "protocol": "aw2024", "rule": "best on test", "n_layers": layers} | interval(value)
        for layers, value in ((2, -0.5), (16, bias))
    ]
    bias = pd.DataFrame(rows)
    finding = validation.finding_of_layers({"found": bias.assign(kind="graded"), "bias": bias})
    assert finding.numbers[-1].value == word and f" {word} the score" in finding.title


@pytest.mark.parametrize(
    ("oasm", "meaning", "words"),
    [
        (0.2, 0.0, {"shuffled": "above zero", "contiguous": "zero"}),
        (0.0, 0.1, {"shuffled": "not reliably above zero", "contiguous": "not zero"}),
    ],
)
def test_null_people_score_zero_or_not(oasm, meaning, words):
    rows = [
        {"people": "null", "protocol": "aw2024", "features": "oasm"} | interval(oasm),
        {"people": "null", "protocol": "contiguous", "features": "oasm"} | interval(0.0, 0.0),
        {"people": "null", "protocol": "contiguous", "features": "meaning"} | interval(meaning),
        {"people": "reading", "protocol": "contiguous", "features": "meaning"} | interval(0.3),
    ]
    numbers = {live.key: live.value for live in validation.finding_of_neighborhood(pd.DataFrame(rows)).numbers}
    assert {splits: numbers[f"near.{splits}.verdict"] for splits in words} == words


def rates(pair: float, base: float) -> pd.DataFrame:
    """False positives of a test over pairs and one over bases, the second without a correlation within a base."""
    rows = [
        {"unit": "pair", "test": "t-test", "alike": 0.5} | interval(pair),
        {"unit": "base", "test": "sign flip", "alike": 0.0} | interval(0.05),
        {"unit": "base", "test": "sign flip", "alike": 0.5} | interval(base),
    ]
    return pd.DataFrame(rows)


def test_tests_above_their_level_are_named_and_no_name_is_shown_of_none():
    numbers = {live.key: live.value for live in validation_tuning.finding_of_false_positives(rates(0.2, 0.05)).numbers}
    assert (numbers["null.nominal"], numbers["null.pair.verdict"]) == ("sign flip", "exceed")
    assert numbers["null.pair.t-test.0.5"] == 0.2 and "null.above" not in numbers
    numbers = {live.key: live.value for live in validation_tuning.finding_of_false_positives(rates(0.05, 0.2)).numbers}
    assert (numbers["null.above"], numbers["null.pair.verdict"]) == ("sign flip", "do not all exceed")
    assert "null.nominal" not in numbers


@pytest.mark.parametrize(("found", "word"), [(0.3, "too few"), (0.9, "enough")])
def test_as_many_bases_as_printed_are_enough_or_too_few(found, word):
    bases = validation_tuning.printed_pairs().base.nunique()
    about = {"unit": "base", "spread": "as printed", "n_passages": 96, "n_participants": 8}
    power = pd.DataFrame([about | {"n_bases": bases} | interval(found), about | {"n_bases": 32} | interval(1.0)])
    assert validation_tuning.power_by_bases(power)[1].endswith(f"{bases} bases are {word}")
    by_people, _ = validation_tuning.power_by_people(power)
    assert by_people.n_bases.tolist() == [bases]


def test_power_is_simulated_at_each_size_and_spread():
    noise = validation_tuning.noise(
        pd.DataFrame({"n_passages": [24, 24, 96, 96], "n_participants": [1, 1, 8, 8], "noise": [-9.0, 9.0, 0.0, 0.0]})
    )
    power = validation_tuning.power(noise, seed=0).set_index(["unit", "spread", "n_passages", "n_bases"]).estimate
    assert power["base", "as printed", 24, 8] < power["base", "as printed", 96, 8] < power["base", "as printed", 96, 32]
    assert power["base", "as printed", 96, 8] < power["base", "a quarter of it", 96, 8]


def test_the_printed_spread_is_that_of_the_pairs():
    spread, alike = validation_tuning.printed_spread()
    assert spread == pytest.approx(np.std(validation_tuning.printed_pairs().percent_change, ddof=1))
    assert 0 < alike < 1
