"""Verdicts follow from numbers, and the numbers from the printed tables, computed here a second time and plainly."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from brainalign import catalog
from brainalign.paper import claims
from brainalign.paper.claims import printed, recompute, retest
from brainalign.paper.claims.recompute import Finding

BRAIN = ["pereira2018", "blank2014", "wehbe2014"]


@pytest.fixture(scope="module")
def tables():
    return printed.load()


# --- verdicts ---------------------------------------------------------------------------------------------


@pytest.fixture
def check(monkeypatch):
    """Function that checks a claim whose recomputation gives a value as printed, and others within rounding."""

    def run(expect, *values, **claim):
        monkeypatch.setattr(recompute, "made_up", lambda tables: Finding(values[0], "made up"), raising=False)
        monkeypatch.setattr(printed, "rounding_range", lambda tables, function: (min(values), max(values)))
        claim = {"expect": expect, "recompute": {"function": "made_up"}} | claim
        return claims.check(claim, None)

    return run


@pytest.mark.parametrize(
    ("expect", "values", "verdict"),
    [
        # Half a unit of the last printed digit either way.
        ({"value": 6.2, "digits": 1}, [6.25, 6.25], "matches"),
        ({"value": 6.2, "digits": 1}, [6.15, 6.15], "matches"),
        ({"value": 6.2, "digits": 1}, [6.2501, 6.2501], "differs"),
        ({"value": 6.2, "digits": 1}, [6.1499, 6.1499], "differs"),
        ({"value": -0.035, "digits": 3}, [-0.0355, -0.0355], "matches"),
        ({"value": -0.035, "digits": 3}, [-0.0356, -0.0356], "differs"),
        ({"value": -0.035, "digits": 3}, [0.035, 0.035], "differs"),
        ({"value": 33e9, "digits": -9}, [32.5e9, 32.5e9], "matches"),
        ({"value": 33e9, "digits": -9}, [32.4e9, 32.4e9], "differs"),
        ({"value": 8.52e-05, "digits": 7}, [8.525e-05, 8.525e-05], "matches"),
        ({"value": 8.52e-05, "digits": 7}, [8.53e-05, 8.53e-05], "differs"),
        # What rounding leaves open counts: any value between the extremes may be the true one.
        ({"value": 6.2, "digits": 1}, [6.0, 5.9, 6.16], "matches"),
        ({"value": 6.2, "digits": 1}, [6.4, 6.24, 6.6], "matches"),
        ({"value": 6.2, "digits": 1}, [6.0, 5.0, 7.0], "matches"),
        ({"value": 6.2, "digits": 1}, [6.0, 5.9, 6.14], "differs"),
        # The tables as printed are one of the ways in which they may have been.
        ({"value": 33, "digits": 0}, [33, 30, 31], "matches"),
        ({"below": 0.05}, [0.049, 0.2], "matches"),
        ({"below": 0.05}, [0.05, 0.01], "differs"),
        ({"above": 0}, [1, 1], "matches"),
        ({"above": 0}, [0, 1], "differs"),
        ({"holds": True}, [True, True], "matches"),
        ({"holds": True}, [False, True], "differs"),
        ({"holds": False}, [False, False], "matches"),
    ],
)
def test_verdict(check, expect, values, verdict):
    found = check(expect, *values)
    assert found.verdict == verdict
    assert found.value == values[0]


def test_range_holds_the_value_itself(check):
    found = check({"value": 6.2, "digits": 1}, 6.0, 6.1, 6.2)
    assert (found.value, found.low, found.high) == (6.0, 6.0, 6.2)
    assert check({"holds": True}, True, True).low is None


def test_claim_that_matches_says_on_what_it_rests(check):
    assert check({"above": 0}, 1, 1, explain="A slip.").why == "made up"


@pytest.mark.parametrize("explain", ["A slip", "A slip."])
def test_claim_that_differs_says_what_would_explain_it(check, explain):
    assert check({"above": 0}, -1, -1, explain=explain).why == "made up. A slip."
    assert check({"above": 0}, -1, -1).why == "made up."


def test_claim_without_a_recomputation_is_not_testable():
    found = claims.check({"expect": {"value": 1, "digits": 0}, "why": "No data."}, None)
    assert found == claims.Recomputed(None, None, None, "not testable", "No data.")


@pytest.mark.parametrize("name", ["percent_chang", "_pairs", "np.mean"])
def test_unknown_function_is_named(name):
    claim = {"expect": {"above": 0}, "recompute": {"function": name}}
    with pytest.raises(LookupError, match=f"unknown function of a claim '{name}'"):
        claims.check(claim, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "holds"),
        (np.False_, "does not hold"),
        (25.0, "25"),
        (0.0, "0"),
        (12155.0, "12,155"),
        (77e6, "77 M"),
        (33e9, "33 B"),
        (1.5e9, "1.5 B"),
        (5.983166, "5.98"),
        (0.809, "0.809"),
        (-0.5448, "−0.545"),
        (0.0237, "0.0237"),
        (9.43e-9, "9.43×10⁻⁹"),
        (47.0588, "47.1"),
    ],
)
def test_display(value, text):
    assert claims.display(value) == text


def test_display_with_more_digits():
    assert claims.display(5.983166, digits=5) == "5.9832"


# --- rounding ---------------------------------------------------------------------------------------------


def numbers_of(tables):
    """Every printed number that rounding cut, with the digits that it was cut to."""
    digits = dict.fromkeys([*BRAIN, "average", "futrell2018", "wikitext2_nwp_loss", "mmlu", "bbh"], 3)
    parts = [tables.models[name].rename(name) for name in digits]
    cut = [np.full(len(part), 3) for part in parts]
    for name in ("linear", "cka", "rsa"):
        parts.append(tables.gemma_llama2[name])
        cut.append(np.full(8, 2))
    parts += [tables.ceilings, tables.correlations.r]
    of_table_2 = tables.correlations.benchmark.isin(["MMLU", "BBH"])
    cut += [np.full(5, 3), np.where(of_table_2, 3, 2)]
    return np.concatenate([part.to_numpy(float) for part in parts]), np.concatenate(cut)


def test_half_a_unit_is_that_of_the_printed_digits(tables):
    values, digits = numbers_of(tables)
    halves = np.concatenate(list(printed._halves(tables).values()))
    known = ~np.isnan(values)
    assert known.sum() > 250
    assert sorted(halves[halves > 0]) == pytest.approx(sorted(0.5 * 10.0 ** -digits[known]))


def test_range_of_a_linear_function_is_exact(tables):
    """A mean of n entries, each with half a unit of rounding, is open by half a unit."""
    low, high = printed.rounding_range(tables, lambda moved: moved.group("tuned").mmlu.mean())
    assert (low, high) == pytest.approx(tables.group("tuned").mmlu.mean() + np.array([-0.0005, 0.0005]), abs=1e-12)


def test_range_holds_every_table_that_rounds_to_the_printed_ones(tables):
    """Against brute force: random tables within rounding, and random corners, never leave the range."""

    def r(moved):
        return recompute.correlation(moved, "mmlu").value

    low, high = printed.rounding_range(tables, r)
    rng = np.random.default_rng(0)
    halves = {place: printed._halves(tables)[place] for place in (("models", "mmlu"), ("models", "average"))}
    draws = [lambda half: half * rng.uniform(-1, 1, len(half)), lambda half: half * rng.choice([-1, 1], len(half))]
    for draw in draws:
        found = [r(printed._moved(tables, {place: draw(half) for place, half in halves.items()})) for _ in range(150)]
        assert low <= min(found)
        assert max(found) <= high


def test_range_of_what_no_printed_number_moves_is_a_point(tables):
    assert (
        printed.rounding_range(tables, lambda moved: float(moved.models["size"].sum()))
        == (tables.models["size"].sum(),) * 2
    )


def test_moving_leaves_the_printed_tables_alone(tables):
    printed.rounding_range(tables, lambda moved: recompute.percent_change(moved, "average").value)
    pd.testing.assert_frame_equal(tables.models, printed.load().models)


# --- recomputed values ------------------------------------------------------------------------------------


def pairs_by_hand(models, score):
    """Vanilla and tuned score of each tuned model of the 25."""
    by_name = models.set_index("model")
    tuned = by_name[(by_name.kind == "instruction-tuned") & (by_name.in_main_25 == "yes")]
    return by_name[score][tuned.vanilla].to_numpy(), tuned[score].to_numpy()


def expected_values(tables):
    """Claims by id, computed with pandas and scipy alone."""
    models = tables.models
    main = models[models.in_main_25 == "yes"]
    tuned = main[main.kind == "instruction-tuned"]
    expected = {"models-total": 25, "models-vanilla": 8, "models-tuned": 17, "models-smallest": 77e6}
    for score in ("average", *BRAIN):
        vanilla, after = pairs_by_hand(models, score)
        expected[f"change-{score}"] = np.mean(100 * (after - vanilla) / vanilla)
    vanilla, after = pairs_by_hand(models, "average")
    expected["change-significant"] = scipy.stats.ttest_rel(after, vanilla).pvalue
    expected["change-everywhere"] = all(expected[f"change-{score}"] > 0 for score in BRAIN)
    for name, rows, x, y in (
        ("r-mmlu-overall", tuned, "mmlu", "average"),
        ("r-bbh-overall", tuned, "bbh", "average"),
        ("r-loss-tuned", tuned, "wikitext2_nwp_loss", "average"),
        ("r-size-tuned", tuned, "log_size", "average"),
        ("r-size-all", main, "log_size", "average"),
    ):
        result = scipy.stats.pearsonr(rows[x], rows[y])
        expected[name] = result.statistic
        expected["p" + name[1:]] = result.pvalue
    for name, x, family in (
        ("behavior-mmlu", "mmlu", None),
        ("behavior-size", "log_size", None),
        ("behavior-loss-t5", "wikitext2_nwp_loss", "T5"),
        ("behavior-loss-llama", "wikitext2_nwp_loss", "LLaMA"),
    ):
        rows = tuned if family is None else tuned[tuned.family == family]
        expected[name] = scipy.stats.pearsonr(rows[x], rows.futrell2018).pvalue
    # P of an r over 17 models, through the beta distribution of r itself; then Benjamini-Hochberg over eleven.
    table2 = catalog.printed("correlations").query("benchmark in ['MMLU', 'BBH']")
    beta = scipy.stats.beta(17 / 2 - 1, 17 / 2 - 1, loc=-1, scale=2)
    q = scipy.stats.false_discovery_control(2 * beta.sf(table2.r.abs()))
    for claim in catalog.claims():
        arguments = claim.get("recompute", {})
        if arguments.get("function") == "adjusted_p":
            place = (table2.benchmark == arguments["benchmark"]) & (table2.category == arguments["category"])
            expected[claim["id"]] = q[place.to_numpy()].item()
    expected["p-bbh-world"] = 2 * beta.sf(0.679)
    vanilla, after = pairs_by_hand(models, "futrell2018")
    expected["behavior-half"] = 100 * np.mean(after <= vanilla)
    expected["behavior-no-gain"] = scipy.stats.ttest_rel(after, vanilla, alternative="greater").pvalue > 0.05
    ceiling = pd.read_csv(catalog.HERE / "printed" / "ceilings.csv", index_col="dataset").ceiling
    expected["ceiling-average"] = np.mean([0.359, 0.210, 0.104])
    expected["ceiling-pereira2018"] = (0.35378928 + 0.36343748) / 2
    expected["ceiling-blank2014"] = 0.21026591
    expected["above-ceiling"] = (main.average > ceiling["average"]).sum()
    expected["near-ceiling-llama"] = (main[main.model.str.match("llama")].average / ceiling["average"]).min() >= 0.9
    expected["near-ceiling-t5-xl"] = main.set_index("model").average["t5-xl"] / ceiling["average"] >= 0.9
    expected["mmlu-accuracy"], expected["bbh-accuracy"] = tuned.mmlu.mean(), tuned.bbh.mean()
    expected["smaller-beats-larger-size"] = 100 * 13 / 33
    newer = catalog.printed("gemma_llama2").groupby("kind")[["linear", "cka", "rsa"]].mean()
    for metric in newer:
        expected[f"gemma-llama2-{metric}"] = newer[metric]["instruction-tuned"] - newer[metric]["vanilla"]
    expected["voxels-pereira2018"] = catalog.dataset("pereira2018").counts["units_384"]
    return {name: value for name, value in expected.items() if name in {claim["id"] for claim in catalog.claims()}}


EXPECTED = expected_values(printed.load())


def test_most_claims_are_recomputed_here_too(checked):
    assert len(EXPECTED) >= 45
    assert len(EXPECTED) > 0.6 * (checked.verdict != "not testable").sum()


@pytest.mark.parametrize("name", EXPECTED)
def test_recomputed_value(checked, name):
    value = checked.set_index("id").value[name]
    if isinstance(EXPECTED[name], bool | np.bool_):
        assert value is bool(EXPECTED[name])
    else:
        assert value == pytest.approx(EXPECTED[name], rel=1e-9)


def test_little_change_is_less_than_half_of_the_average(checked, tables):
    by_name = tables.models.set_index("model").average
    tuned = tables.group("tuned")
    gains = 100 * (tuned.average.to_numpy() / by_name[tuned.vanilla].to_numpy() - 1)
    for name, bases in (("t5-xl", tuned.vanilla == "t5-xl"), ("llama", tuned.family == "LLaMA")):
        holds = gains[bases.to_numpy()].mean() < gains.mean() / 2
        assert checked.set_index("id").value[f"little-change-{name}"] is bool(holds)


# --- all of them ------------------------------------------------------------------------------------------


def test_each_claim_has_a_row_and_known_verdicts(checked):
    assert list(checked.id) == [claim["id"] for claim in catalog.claims()]
    assert set(checked.verdict) == set(claims.RECOMPUTED)
    assert set(checked.study_verdict) == {"not run"}
    assert checked.why.str.strip().ne("").all()


def test_range_is_around_the_value(checked):
    ranged = checked[checked.low.notna()]
    assert len(ranged) > 40
    assert (ranged.low <= ranged.value).all()
    assert (ranged.value <= ranged.high).all()
    # Nothing that depends on a printed score is left without a range.
    assert ranged[ranged.id.str.match("(r|p|q|change)-")].eval("low < high").all()


def test_same_answers_again(checked, tables):
    rows = checked.set_index("id")[["value", "low", "high", "verdict", "why"]]
    for claim in catalog.claims()[::5]:
        again = claims.check(claim, tables)
        for name, expected in rows.loc[claim["id"]].items():
            found = getattr(again, name)
            assert found == expected or (pd.isna(found) and pd.isna(expected)), claim["id"]


# --- the current study ------------------------------------------------------------------------------------


RESTS_ON = ("first", "r", "original", "all")


def results(change, n_bases=5, sizes=True, spread=0.002):
    """Behavioral alignment of as many bases, each with a tuned model that scores `change` more."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n_bases):
        base = 0.3 + 0.01 * number
        for name, kind, score in (
            (f"base-{number}", "vanilla", base),
            (f"tuned-{number}", "instruction-tuned", base + change + spread * rng.normal()),
        ):
            rows += [
                {
                    "model": name,
                    "family": "LLaMA-2",
                    "kind": kind,
                    "origin": "series",
                    "vanilla": None if kind == "vanilla" else f"base-{number}",
                    "parameters": 10.0 ** (8 + number) if sizes else 1e9 * rng.uniform(1, 2),
                    "dataset": dataset,
                    "measure": measure,
                    "alignment": alignment,
                    "story": story,
                    "value": score if (dataset, measure, alignment, story) == RESTS_ON else -9.0,
                    "low": score - 0.01,
                    "high": score + 0.01,
                }
                # What a claim does not rest on must not move its verdict.
                for dataset in ("first", "second")
                for measure, alignment in (("r", "original"), ("r", "corrected"), ("ppp", "original"))
                for story in ("all", "1")
            ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("name", "found", "verdict"),
    [
        ("behavior_gain", results(-0.05), "supported"),
        ("behavior_gain", results(+0.05), "contradicted"),
        ("behavior_gain", results(0, spread=0.02), "inconclusive"),
        ("behavior_share_without_gain", results(-0.05, n_bases=8), "contradicted"),
        ("behavior_share_without_gain", results(+0.05, n_bases=8), "contradicted"),
        ("behavior_share_without_gain", results(+0.05, n_bases=1), "inconclusive"),
        ("behavior_size", results(0), "contradicted"),
        ("behavior_size", results(0, sizes=False), "inconclusive"),
    ],
)
def test_retest(name, found, verdict):
    tested = retest.run(name, found)
    assert tested.verdict == verdict
    assert tested.verdict in claims.RETESTED
    assert tested.value
    assert tested.why


def test_retest_says_what_it_found():
    tested = retest.run("behavior_gain", results(-0.05))
    pairs = retest.reading_time_pairs(results(-0.05))
    change = (pairs.tuned - pairs.vanilla).to_numpy()
    low, high = scipy.stats.ttest_1samp(change, 0).confidence_interval()
    assert tested.value == f"{change.mean():+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
    assert retest.run("behavior_share_without_gain", results(-0.05)).value == "5 of 5 pairs"


@pytest.mark.parametrize("name", [None, *retest.TESTS])
def test_study_without_results_is_not_run(name):
    assert retest.run(name, pd.DataFrame(columns=["model"])) == retest.NOT_RUN


def test_claim_without_a_test_is_not_run():
    assert retest.run(None, results(0.05)) == retest.NOT_RUN


def test_unknown_test_is_named():
    with pytest.raises(LookupError, match=r"unknown test of a claim 'behavior_gian'\. Did you mean behavior_gain"):
        retest.run("behavior_gian", results(0.05))


TOO_LITTLE = {
    "one model": results(0.05).query("model == 'base-0'"),
    "another alignment": results(0.05).query("alignment == 'corrected'"),
    "one pair": results(0.05, n_bases=1),
}


@pytest.mark.parametrize(
    ("name", "case"),
    # One pair has a share, if one that says nothing.
    [pair for pair in product(retest.TESTS, TOO_LITTLE) if pair != ("behavior_share_without_gain", "one pair")],
)
def test_study_with_too_little_is_not_run_and_says_why(name, case):
    tested = retest.run(name, TOO_LITTLE[case])
    assert tested.verdict == "not run"
    assert tested.why.startswith("This study's results do not suffice: ")


def test_study_verdicts_reach_the_claims(monkeypatch):
    tested = [claim for claim in catalog.claims() if "study" in claim]
    monkeypatch.setattr(catalog, "claims", lambda: tested)
    found = claims.check_all(results(-0.05)).set_index("id")
    assert found.study_verdict["behavior-no-gain"] == "supported"
    assert found.study_value["behavior-no-gain"].startswith("−0.05")


def test_only_models_that_read_in_one_way_are_compared():
    rows = [
        ("a", "vanilla", "series"),
        ("b", "vanilla", "model"),
        ("c", "untrained", "model"),
        ("d", "vanilla", "model"),
    ]
    results = pd.DataFrame(rows, columns=["model", "kind", "origin"])
    assert retest.comparable(results).model.tolist() == ["a"]
    assert retest.comparable(results[results.origin == "model"]).model.tolist() == ["b", "d"]


def test_series_are_compared_with_those_of_the_same_context():
    rows = [("a", "k", "sentence"), ("b", None, "sentence"), ("c", None, "story"), ("d", None, None), ("e", None, None)]
    results = pd.DataFrame(rows, columns=["model", "collection", "context"]).assign(kind="vanilla", origin="series")
    assert retest.comparable(results).model.tolist() == ["a", "b"]
    assert retest.comparable(results[2:]).model.tolist() == ["c"]
    assert retest.comparable(results[3:]).model.tolist() == ["d", "e"]


def brains(change, n_bases=5, knowledge=True):
    """Brain alignment of as many bases and their tuned models, and what they know, as a study's results have it."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n_bases):
        base = 0.2 + 0.02 * number
        for name, kind, score in (
            (f"base-{number}", "vanilla", base),
            (f"tuned-{number}", "instruction-tuned", base * (1 + change + 0.005 * rng.normal())),
        ):
            about = {
                "model": name,
                "family": "LLaMA",
                "kind": kind,
                "origin": "model",
                "vanilla": None if kind == "vanilla" else f"base-{number}",
                "parameters": 10.0 ** (8 + number),
            }
            for dataset, r in (("one", score - 0.05), ("two", score + 0.05), ("two.null", -9.0)):
                for protocol, chosen in (("aw2024", True), ("aw2024", False), ("contiguous", True)):
                    counts = chosen and protocol == "aw2024"
                    where = {"participant": "pooled", "region": "all", "split": "all", "chosen": chosen}
                    rows.append(about | where | {"dataset": dataset, "protocol": protocol, "r": r if counts else -9.0})
            if knowledge:
                known = {"benchmark": "b", "measure": "world knowledge", "domain": "all", "value": 0.3 + 0.1 * number}
                rows.append(about | known)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("name", "found", "verdict"),
    [
        ("brain_gain", brains(0.06), "supported"),
        ("brain_gain", brains(-0.06), "contradicted"),
        ("brain_gain", brains(0.0), "inconclusive"),
        ("brain_gain", brains(0.06, n_bases=1), "not run"),
        ("brain_size", brains(0.06), "supported"),
        ("brain_knowledge", brains(0.06), "supported"),
        ("brain_knowledge", brains(0.06, knowledge=False), "not run"),
        ("brain_gain", results(0.1), "not run"),
        ("behavior_gain", brains(0.06), "not run"),
    ],
)
def test_claims_on_brains_are_held_against_a_study(name, found, verdict):
    assert retest.run(name, found).verdict == verdict


def test_brain_scores_are_means_over_data_sets():
    scores = retest.brain_scores(brains(0.06)).set_index("model")
    assert scores.value["base-3"] == pytest.approx(0.26) and scores.log_size["base-3"] == pytest.approx(11)
    assert "%" in retest.run("brain_gain", brains(0.06)).value
