"""Comparisons of tuned with vanilla models against scipy, statsmodels and plain enumeration."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.mixed_linear_model import MixedLM

from brainalign.statistics import pairs as pairs_module
from brainalign.statistics.pairs import (
    change_of_mean,
    make_pairs,
    mean_of_changes,
    paired_tests,
    percent_changes,
    t_test_over_bases,
)

MODELS = Path(pairs_module.__file__).parents[1] / "catalog" / "printed" / "models.csv"
EFFECTS = ("percent", "difference")


@pytest.fixture(scope="module")
def models():
    return pd.read_csv(MODELS)


@pytest.fixture(scope="module")
def paper(models):
    """The 17 pairs of the paper, in average brain alignment."""
    return make_pairs(models[models["in_main_25"] == "yes"], "average")


def example(seed=0, sizes=(1, 3, 2, 4), between=0.01):
    """Pairs of made-up models, `sizes` of them from each base."""
    rng = np.random.default_rng(seed)
    bases = np.repeat(np.arange(len(sizes)), sizes)
    vanilla = rng.uniform(0.1, 0.3, len(sizes))[bases]
    tuned = vanilla + (0.005 + between * rng.normal(size=len(sizes)))[bases] + 0.01 * rng.normal(size=len(bases))
    names = [f"m{i}" for i in range(len(bases))]
    columns = {"base": [f"b{b}" for b in bases], "family": ["T5" if b < 2 else "LLaMA" for b in bases]}
    return pd.DataFrame({"model": names, **columns, "vanilla": vanilla, "tuned": tuned})


def effects_of(pairs, effect):
    difference = (pairs["tuned"] - pairs["vanilla"]).to_numpy()
    return 100 * difference / pairs["vanilla"].to_numpy() if effect == "percent" else difference


def row_of(tests, test, unit="base"):
    return tests.set_index(["test", "unit"]).loc[(test, unit)]


# The table of pairs


def test_every_tuned_model_of_the_paper_meets_its_base(models, paper):
    assert list(paper.columns) == ["model", "base", "family", "vanilla", "tuned"]
    assert (len(paper), paper["base"].nunique()) == (17, 8)
    assert paper.set_index("model").loc["vicuna-33b"].tolist() == ["llama-33b", "LLaMA", 0.227, 0.232]
    assert make_pairs(models, "average")["family"].value_counts()["GPT2"] == 4


def test_models_that_cannot_be_paired_are_named(models):
    with pytest.raises(ValueError, match=r"gpt2-xl-alpaca \(gpt2-xl\); add it"):
        make_pairs(models[models["model"] != "gpt2-xl"], "average")
    with pytest.raises(ValueError, match="'gpt2-xl'"):
        make_pairs(pd.concat([models, models[models["model"] == "gpt2-xl"]]), "average")
    with pytest.raises(ValueError, match="nothing to pair"):
        make_pairs(models[models["kind"] == "vanilla"], "average")
    with pytest.raises(ValueError, match=r"21 of 21 pairs lack a score: flan-t5-small, .*; leave them out"):
        make_pairs(models, "mmlu")  # not printed for vanilla models


def test_bases_with_two_scores_are_named():
    pairs = example()
    pairs.loc[2, "vanilla"] += 0.1
    with pytest.raises(ValueError, match="b1: more than one vanilla score"):
        mean_of_changes(pairs)


# Percent change


WORKED = pd.DataFrame(
    {
        "model": ["a1", "a2", "a3", "b1"],
        "base": ["a", "a", "a", "b"],
        "family": ["T5", "T5", "T5", "LLaMA"],
        "vanilla": [0.1, 0.1, 0.1, 0.4],
        "tuned": [0.12, 0.11, 0.13, 0.44],
    }
)


def test_three_percent_changes_of_a_worked_example():
    assert percent_changes(WORKED)["percent_change"].tolist() == pytest.approx([20, 10, 30, 10])
    assert mean_of_changes(WORKED).estimate == pytest.approx(17.5)
    # .8 over .7 when the vanilla model of a counts three times; .2 over .25 when it counts once.
    assert change_of_mean(WORKED).estimate == pytest.approx(100 * (0.80 / 0.70 - 1))
    assert change_of_mean(WORKED, over="models").estimate == pytest.approx(-20)


@pytest.mark.parametrize("over", ["pairs", "models"])
def test_the_interval_of_a_change_of_mean_is_a_plain_loop(over):
    pairs, draws = example(), []
    for counts in np.random.default_rng(5).multinomial(4, np.full(4, 0.25), size=300):
        parts = [pairs[pairs["base"] == f"b{b}"] for b in range(4) for _ in range(counts[b])]
        vanilla = [part["vanilla"] if over == "pairs" else part["vanilla"][:1] for part in parts]
        tuned = np.concatenate([part["tuned"] for part in parts])
        draws.append(100 * (np.mean(tuned) / np.mean(np.concatenate(vanilla)) - 1))
    found = change_of_mean(pairs, over, seed=5, resamples=300)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert (found.n, found.n_clusters) == (10, 4)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_percent_changes_do_not_depend_on_the_unit(seed, scale):
    pairs = example(seed)
    scaled = pairs.assign(vanilla=scale * pairs["vanilla"], tuned=scale * pairs["tuned"])
    for statistic in (mean_of_changes, change_of_mean):
        ours, theirs = statistic(pairs, resamples=50), statistic(scaled, resamples=50)
        assert (theirs.estimate, theirs.low) == pytest.approx((ours.estimate, ours.low), abs=1e-9)


def test_what_percent_changes_refuse():
    with pytest.raises(ValueError, match="b1: not so"):
        percent_changes(WORKED.assign(vanilla=[0.1, 0.1, 0.1, -0.1]))
    with pytest.raises(ValueError, match="over must be 'pairs' or 'models', not 'bases'"):
        change_of_mean(WORKED, over="bases")
    with pytest.raises(ValueError, match="1 of 4 pairs lack a score: a2"):
        mean_of_changes(WORKED.assign(tuned=[0.1, np.nan, 0.1, 0.1]))


# Tests


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_naive_tests_are_scipys(effect):
    pairs = example(sizes=(3, 4, 2, 5, 1))
    tests, effects = paired_tests(pairs, effect=effect), effects_of(pairs, effect)
    t_test, wilcoxon = row_of(tests, "t-test", "pair"), row_of(tests, "Wilcoxon signed-rank", "pair")
    theirs = scipy.stats.ttest_1samp(effects, 0)
    assert (t_test["estimate"], t_test["p"]) == pytest.approx((effects.mean(), theirs.pvalue))
    assert (t_test["low"], t_test["high"]) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert wilcoxon["p"] == pytest.approx(scipy.stats.wilcoxon(effects).pvalue)
    if effect == "difference":
        assert t_test["p"] == pytest.approx(scipy.stats.ttest_rel(pairs["tuned"], pairs["vanilla"]).pvalue)


def test_wilcoxon_keeps_ties_that_binary_numbers_break():
    # .3 - .2, .4 - .3 and .8 - .7 are three different floats.
    pairs = pd.DataFrame({"vanilla": [0.2, 0.3, 0.7, 0.5, 0.5], "tuned": [0.3, 0.4, 0.8, 0.4, 0.9]})
    pairs = pairs.assign(model=list("abcde"), base=list("uvwxx"), family="T5")
    tests = paired_tests(pairs, effect="difference")
    expected = scipy.stats.wilcoxon([1, 1, 1, -1, 4]).pvalue
    assert row_of(tests, "Wilcoxon signed-rank", "pair")["p"] == pytest.approx(expected)


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_tests_over_bases_count_bases(effect):
    pairs = example()
    tests = paired_tests(pairs, effect=effect, seed=2, resamples=500)
    means = pairs.assign(effect=effects_of(pairs, effect)).groupby("base")["effect"].mean()
    assert row_of(tests, "t-test")["p"] == pytest.approx(scipy.stats.ttest_1samp(means, 0).pvalue)
    assert row_of(tests, "t-test")["estimate"] == pytest.approx(means.mean())
    pd.testing.assert_series_equal(t_test_over_bases(pairs, effect=effect), row_of(tests, "t-test"))
    if effect == "percent":
        boot, found = mean_of_changes(pairs, seed=2, resamples=500), row_of(tests, "cluster bootstrap")
        assert found[["estimate", "low", "high", "p"]].tolist() == [
            boot.estimate,
            boot.low,
            boot.high,
            boot.p,
        ]
    assert set(tests["n"]) == {10}
    assert set(tests["n_bases"]) == {4}


def two_sided(null, observed):
    null = np.array(null)
    return min(1, 2 * min(np.mean(null >= observed - 1e-12), np.mean(null <= observed + 1e-12)))


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("seed", range(3))
def test_sign_flips_are_all_enumerated(effect, seed):
    pairs = example(seed)
    effects = effects_of(pairs, effect)
    codes = pd.factorize(pairs["base"])[0]
    null = [np.mean(np.array(signs)[codes] * effects) for signs in itertools.product([1, -1], repeat=4)]
    found = row_of(paired_tests(pairs, effect=effect), "sign flip")
    assert found["p"] == pytest.approx(two_sided(null, effects.mean()))
    assert found["note"] == "all 16 arrangements"


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("seed", range(3))
def test_permutations_within_bases_are_all_enumerated(effect, seed):
    pairs = example(seed)
    scores = [[part["vanilla"].iloc[0], *part["tuned"]] for _, part in pairs.groupby("base", sort=False)]
    null = []
    for chosen in itertools.product(*[range(len(part)) for part in scores]):
        relabelled = [
            {"vanilla": part[vanilla], "tuned": score}
            for part, vanilla in zip(scores, chosen, strict=True)
            for i, score in enumerate(part)
            if i != vanilla
        ]
        null.append(effects_of(pd.DataFrame(relabelled), effect).mean())
    found = row_of(paired_tests(pairs, effect=effect), "permutation")
    assert found["p"] == pytest.approx(two_sided(null, effects_of(pairs, effect).mean()))
    assert found["note"] == "all 120 arrangements"


def test_too_many_arrangements_are_sampled(monkeypatch):
    pairs = example(3, sizes=(2,) * 9, between=0.02)
    exact = paired_tests(pairs)
    monkeypatch.setattr(pairs_module, "EXACT_UP_TO", 100)
    sampled = paired_tests(pairs, resamples=20_000)
    for test in ("sign flip", "permutation"):
        assert row_of(sampled, test)["p"] == pytest.approx(row_of(exact, test)["p"], abs=0.02)
        assert row_of(sampled, test)["note"] == "20000 random arrangements"
    pd.testing.assert_frame_equal(sampled, paired_tests(pairs, resamples=20_000))
    # However extreme, what was observed is one of the arrangements.
    certain = paired_tests(pairs.assign(tuned=pairs["vanilla"] * np.linspace(1.1, 1.2, 18)), resamples=50)
    assert 2 / 51 <= row_of(certain, "sign flip")["p"] < 10 / 51


@pytest.mark.parametrize("seed", range(4))
def test_the_mixed_model_is_that_of_statsmodels(seed):
    pairs = example(seed, sizes=(3, 2, 5, 4, 1, 6), between=0.02)
    effects = effects_of(pairs, "percent")
    ours = row_of(paired_tests(pairs), "mixed model")
    fit = MixedLM(effects, np.ones((len(effects), 1)), groups=pairs["base"]).fit(reml=True)
    assert ours["estimate"] == pytest.approx(fit.fe_params[0], rel=1e-4)
    # Generalized least squares with statsmodels' variances; its own error is from a numerical Hessian.
    between, within = np.asarray(fit.cov_re).item(), fit.scale
    error = np.sum(1 / (between + within / pairs.groupby("base").size())) ** -0.5
    assert (ours["high"] - ours["low"]) / 2 == pytest.approx(error * scipy.stats.t.ppf(0.975, 5), rel=1e-3)
    assert ours["p"] == pytest.approx(2 * scipy.stats.t.sf(abs(ours["estimate"]) / error, 5), rel=5e-3)
    assert f"{between / (between + within):.0%} of variance between bases" in ours["note"]


def test_the_mixed_model_of_a_balanced_table_is_the_t_test_over_bases():
    tests = paired_tests(example(1, sizes=(3,) * 6, between=0.02))
    mixed, t_test = row_of(tests, "mixed model"), row_of(tests, "t-test")
    columns = ["estimate", "low", "high", "p"]
    assert mixed[columns].tolist() == pytest.approx(t_test[columns].tolist(), rel=1e-5)


def test_the_mixed_model_without_variance_between_bases_is_the_plain_mean():
    pairs = example(sizes=(4, 4))
    pairs["tuned"] = pairs["vanilla"] + [0.01, -0.01, 0.03, 0.02, 0.02, 0.03, -0.01, 0.011]
    tests = paired_tests(pairs, effect="difference")
    mixed, naive = row_of(tests, "mixed model"), row_of(tests, "t-test", "pair")
    error = (naive["high"] - naive["low"]) / 2 / scipy.stats.t.ppf(0.975, 7)
    assert mixed["estimate"] == pytest.approx(naive["estimate"])
    assert mixed["high"] - mixed["estimate"] == pytest.approx(error * scipy.stats.t.ppf(0.975, 1))
    assert mixed["note"].startswith("0% of variance between bases")


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 2)])
def test_the_mixed_model_without_variance_within_bases_is_the_t_test_over_bases(sizes):
    pairs = example(sizes=sizes)
    pairs["tuned"] = pairs.groupby("base")["tuned"].transform("first")
    tests = paired_tests(pairs)
    columns = ["estimate", "low", "high", "p"]
    assert row_of(tests, "mixed model")[columns].tolist() == row_of(tests, "t-test")[columns].tolist()
    assert "no variance within bases" in row_of(tests, "mixed model")["note"]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_tests_keep_under_scaling_and_turn_with_sign(seed, scale):
    pairs = example(seed)
    options = {"effect": "difference", "resamples": 201}
    ours = paired_tests(pairs, **options)
    turned = pairs.assign(vanilla=-scale * pairs["vanilla"], tuned=-scale * pairs["tuned"])
    theirs = paired_tests(turned, **options)
    for column, mirror in (("estimate", "estimate"), ("low", "high"), ("high", "low")):
        expected = pytest.approx((-scale * ours[mirror]).tolist(), rel=1e-4, abs=1e-6 * scale, nan_ok=True)
        assert theirs[column].tolist() == expected
    assert theirs["p"].tolist() == pytest.approx(ours["p"].tolist(), rel=1e-3)


def test_tests_do_not_depend_on_the_order_of_rows():
    pairs = example()
    shuffled = pairs.sample(frac=1, random_state=0)
    deterministic = paired_tests(pairs)["test"] != "cluster bootstrap"
    ours, theirs = (paired_tests(table)[deterministic] for table in (pairs, shuffled))
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "effect", "message"),
    [
        ({}, "ratio", "effect must be 'percent' or 'difference', not 'ratio'"),
        ({"base": "a", "vanilla": 0.1}, "percent", "two or more of them, not \\['a'\\]"),
        ({"tuned": WORKED["vanilla"] + 0.01}, "difference", "all 4 pairs have the same effect, 0.01"),
        ({"tuned": WORKED["vanilla"]}, "percent", "all 4 pairs have the same effect, 0"),
        ({"tuned": [0.1, -0.2, 0.1, 0.1]}, "percent", "a2: not so; use effect='difference'"),
        ({"tuned": [0.1, np.inf, 0.1, 0.1]}, "difference", "1 of 4 pairs lack a score: a2"),
    ],
)
def test_what_the_tests_refuse(change, effect, message):
    with pytest.raises(ValueError, match=message):
        paired_tests(WORKED.assign(**change), effect=effect)


# The paper's own table


@pytest.mark.parametrize(("score", "printed"), [("pereira2018", 6.9), ("blank2014", 8.0), ("wehbe2014", 3.8)])
def test_printed_changes_are_means_of_changes(models, score, printed):
    pairs = make_pairs(models[models["in_main_25"] == "yes"], score)
    # Scores are printed with three decimals: half of the last one is .7 % of the smallest.
    assert mean_of_changes(pairs, resamples=100).estimate == pytest.approx(printed, abs=0.2)


def test_bases_say_less_than_pairs_about_the_paper(paper):
    tests = paired_tests(paper)
    assert list(tests["unit"]) == ["pair"] * 2 + ["base"] * 5
    assert row_of(tests, "t-test", "pair")["p"] < 0.005
    for test in ("t-test", "sign flip", "mixed model"):
        assert 0.05 < row_of(tests, test)["p"] < 0.1
    assert row_of(tests, "permutation")["note"] == "all 5832 arrangements"


def test_gpt2_can_be_left_out_of_the_tests(models):
    pairs = make_pairs(models, "average")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tests = [paired_tests(table) for table in (pairs, pairs[pairs["family"] != "GPT2"])]
    assert [table["n"][0] for table in tests] == [21, 17]
    assert [table["n_bases"][0] for table in tests] == [12, 8]
