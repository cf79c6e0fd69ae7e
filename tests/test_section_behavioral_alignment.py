"""Section 5 on planted scores: what changes with size and with tuning, and in which words."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.claims import printed
from brainalign.paper.sections import behavioral_alignment as section
from brainalign.paper.sections.reading_times import Readers
from brainalign.statistics.pairs import make_pairs, paired_tests

N_BASES = 6
BOOTSTRAP = {"seed": 0, "resamples": 100}
# Sums over words of two stories whose correlation is r.
STORIES = {"n_words": 100, "sum_x": 0.0, "sum_y": 0.0, "sum_xx": 100.0, "sum_yy": 100.0}


def readers(slope=0.1, change=0.02, alignments=("original",), measures=("r", "ppp"), flipped=()):
    """Models whose scores are linear in their log size; tuning changes them, with more or less of it for each base.

    `flipped` names alignments in which the slope has the other sign.
    """
    rows = []
    for measure in measures:
        for alignment in alignments:
            for number in range(N_BASES):
                base = 0.4 + (-slope if alignment in flipped else slope) * number / N_BASES
                tuned = base + change + 0.001 * (-1) ** number
                rows += model_rows(f"base-{number}", None, number, measure, alignment, base)
                rows += model_rows(f"tuned-{number}", f"base-{number}", number, measure, alignment, tuned)
    words = pd.DataFrame({"reading_time": [300.0, 320, 340, np.nan], "sd": 10.0, "n_readers": [25, 25, 25, 0]})
    return Readers("stories", dict.fromkeys(alignments, words), pd.DataFrame(rows))


def model_rows(name, vanilla, number, measure, alignment, score):
    about = {"model": name, "family": "T5" if number % 2 else "LLaMA", "parameters": 10.0 ** (6 + number)}
    about |= {"kind": "vanilla" if vanilla is None else "instruction-tuned", "vanilla": vanilla, "origin": "model"}
    about |= {"dataset": "stories", "alignment": alignment, "measure": measure, "protocol": "aw2024", "unit": ""}
    whole = about | {"story": "all", "value": score, "low": score - 0.01, "high": score + 0.01}
    sums = STORIES | {"sum_xy": 100 * score, "gain": 100 * score}
    return [whole, *(about | {"story": story, "value": score} | sums for story in ("1", "2"))]


def texts(numbers):
    return {key: text for live in numbers for key, text in live.texts().items()}


@pytest.mark.parametrize(
    ("slope", "change", "verdict"),
    [(0.1, 0.0, "rises with model size"), (-0.1, 0.0, "falls with model size"), (0.0, 0.2, "does not reliably change")],
)
def test_scores_and_size(slope, change, verdict):
    sizes = section.size_correlations(readers(slope, change))
    assert list(sizes.measure) == ["r", "ppp"] and (sizes.n == 2 * N_BASES).all()
    shown = texts(section.numbers_of_sizes(sizes))
    assert shown["size.r.original.verdict"].startswith(verdict)
    assert section.title_of_sizes(sizes, "ppp").startswith(f"Predictive power {verdict}")


def test_a_title_of_two_verdicts_says_so():
    sizes = section.size_correlations(readers(0.1, 0.0, ("original", "corrected"), flipped=("corrected",)))
    title = "The correlation with reading times changes with model size under one alignment only"
    assert section.title_of_sizes(sizes, "r") == title


@pytest.mark.parametrize(
    ("change", "verdict", "lower", "higher"),
    [(0.02, "raises", 0, N_BASES), (-0.02, "lowers", N_BASES, 0), (0.0, "does not reliably change", 3, 3)],
)
def test_change_with_tuning(change, verdict, lower, higher):
    planted = readers(change=change)
    changes, differences = section.changes(planted, **BOOTSTRAP), section.differences(planted, **BOOTSTRAP)
    np.testing.assert_allclose(changes.estimate, change, atol=1e-12)
    shown = texts(section.numbers_of_changes(changes, differences))
    assert (shown["pairs.n"], shown["tuning.r.original.verdict"]) == (str(N_BASES), verdict)
    assert (shown["tuning.r.original.lower"], shown["tuning.r.original.higher"]) == (str(lower), str(higher))
    rows = section.rows_of_differences(differences, "ppp")
    assert list(rows.label) == [f"tuned-{number}, original" for number in range(N_BASES)]
    expected = f"Tuning lowers predictive power in {lower} of {N_BASES} comparisons, raises it in {higher}"
    assert section.title_of_differences(rows, "ppp") == expected


def test_an_interval_that_holds_zero_counts_neither_way():
    table = pd.DataFrame({"value": [0.1, -0.1, -0.1], "clear": [False, False, True]})
    assert section.lower_and_higher(table) == (1, 0)


def test_best_and_least():
    shown = texts(section.numbers_of_scores(readers(slope=0.6, change=0.1)))
    assert (shown["r.original.best.model"], shown["r.original.best"]) == ("tuned-5", "0.999")
    assert (shown["ppp.original.least"], shown["r.original.best.high"]) == ("0.4000", "1.009")


def test_table_of_scores():
    planted = readers(measures=("r", "ppp", "exact"))
    table = section.scores(planted).set_index("model")
    base = table.loc["base-0"]
    assert (base.r_original, base.ppp_original_low, base.log_size) == pytest.approx((0.4, 0.39, 6))
    # Means 300, 320 and 340 vary by 400, of which 10² / 25 is noise.
    assert base.normalized == pytest.approx(0.4 / 0.99)
    columns = section.columns_of_scores(planted)
    assert set(columns) <= {"model", *table} and "exact_original" in columns
    assert "exact_original" not in section.columns_of_scores(readers())


def test_truth_is_known_only_where_it_is():
    planted = section.scores(readers(measures=("r", "ppp", "exact")))
    assert texts(section.numbers_of_truth(planted)) == {"exact.rising": "2 of 2"}
    planted.loc[planted.model == "base-4", "exact_original"] = 0.0  # a LLaMA
    assert texts(section.numbers_of_truth(planted)) == {"exact.rising": "1 of 2"}
    assert section.numbers_of_truth(section.scores(readers())) == []


@pytest.mark.parametrize(
    ("alignments", "labels"),
    [
        (("original",), ["this study"]),
        (("original", "corrected"), ["this study, original", "this study, corrected"]),
    ],
)
def test_strip_of_printed_and_measured(alignments, labels):
    tables = printed.load()
    strip = section.strip(section.changes(readers(0.1, 0.02, alignments), **BOOTSTRAP), tables, **BOOTSTRAP)
    assert list(strip.label) == ["as printed", "recomputed", *labels]
    tests = paired_tests(make_pairs(tables.group("main"), "futrell2018"), effect="difference", **BOOTSTRAP)
    recomputed = tests[(tests.test == "t-test") & (tests.unit == "base")].iloc[0]
    assert strip.estimate.isna().tolist() == [True, *[False] * (1 + len(labels))]
    assert tuple(strip.loc[1, ["estimate", "low", "high"]]) == tuple(recomputed[["estimate", "low", "high"]])
    assert strip.note[1] == "17 pairs, 8 bases, t over bases"
    title = "Tuning does not reliably change behavioral alignment in the printed scores and raises it on these readers"
    assert section.title_of_strip(strip) == title


def test_sets_of_readers_side_by_side():
    falls, rises = readers(slope=-0.1, change=0.0), readers(slope=0.1, change=0.02)
    table = section.compare_readers([falls, rises], **BOOTSTRAP)
    assert {*section.COLUMNS_OF_CEILINGS, *section.COLUMNS_OF_READERS} <= set(table)
    assert (table.words == 3).all() and (table.readers == 25).all()
    np.testing.assert_allclose(table.reliability, 0.99)
    assert list(np.sign(table["size"])) == [-1, 1]
    shown = texts(section.numbers_of_readers(table))
    assert shown == {"readers.n": "2", "readers.falls": "1", "readers.changes": "1"}
