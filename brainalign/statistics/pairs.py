"""Tuned models against the vanilla models they were made from, with the base as the unit.

A pair is a tuned model and its vanilla one, the base. The paper's 17 pairs have 8 bases, and all pairs of a
base rise and fall with the one vanilla score that they share. Tests over pairs ignore that, tests over bases
do not, and `paired_tests` shows both. A table of pairs has the columns `model`, `base`, `family`, `vanilla`
and `tuned`, the last two being scores; `make_pairs` builds it.

The tests:

- t-test (pair) and Wilcoxon signed-rank (pair): the naive tests of the pairs' effects.
- t-test (base): of the bases' mean effects, so that each base counts once.
- cluster bootstrap (base): `bootstrap_mean_by_cluster`.
- sign flip (base): all effects of a base change sign together. Exact when a base's effects, as a whole,
  are symmetric around zero; models made from one base may resemble each other in any way.
- permutation (base): any model of a base may be the one called vanilla, and effects are computed anew.
  Exact when tuning does nothing and the models of a base, the vanilla one among them, are exchangeable;
  p is too small when tuned siblings resemble each other more than their base. It assumes no symmetry,
  and so allows for the upward bias of percent changes.
- mixed model (base): effect ~ 1 with a random intercept for each base, by restricted maximum likelihood.
  Interval and p take t with n_bases - 1 degrees of freedom, which is exact when bases have equally many
  pairs and differ; `note` has the p of the usual normal approximation, too small with few bases.

Sign flip and permutation go through all arrangements if these are at most `EXACT_UP_TO`, and else draw
`resamples` of them; p is twice the smaller tail, in which what was observed counts as one arrangement
(Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39). No sign flip of 8 bases has p < 1/128; the
bootstrap has no such bound, and with few bases its p is too small.
"""

from functools import reduce
from math import prod

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.statistics.clusters import Estimate, bootstrap_by_cluster, bootstrap_mean_by_cluster

# All relabellings of the paper's 8 bases (5,832), or of these and GPT-2's 4 (93,312), are enumerated.
EXACT_UP_TO = 2**17


def make_pairs(models: pd.DataFrame, score: str) -> pd.DataFrame:
    """Table of pairs: each instruction-tuned model beside the vanilla model it was made from.

    Parameters
    ----------
    models
        A row a model: `model`, `family`, `kind` ("vanilla", "instruction-tuned"), `vanilla` (the name of a
        tuned model's base) and the score. Rows of other kinds are ignored.
    score
        Name of the column with the score, in any unit.

    Raises
    ------
    ValueError
        When a name is there twice, no model is tuned, a base is not in the table, or a score is missing.
    """
    if twice := sorted(models["model"][models["model"].duplicated()]):
        raise ValueError(f"the models table has {twice} more than once")
    tuned = models[models["kind"] == "instruction-tuned"]
    if tuned.empty:
        raise ValueError("no model of the table has kind 'instruction-tuned': there is nothing to pair")
    scores = models[models["kind"] == "vanilla"].set_index("model")[score]
    orphans = tuned[~tuned["vanilla"].isin(scores.index)]
    if len(orphans):
        names = ", ".join(f"{row.model} ({row.vanilla})" for row in orphans.itertuples())
        raise ValueError(f"tuned models without their vanilla one in the table: {names}; add it or drop these")
    pairs = tuned[["model", "vanilla", "family"]].rename(columns={"vanilla": "base"}).reset_index(drop=True)
    vanilla_scores, tuned_scores = scores[tuned["vanilla"]].to_numpy(float), tuned[score].to_numpy(float)
    return _checked(pairs.assign(vanilla=vanilla_scores, tuned=tuned_scores))


def percent_changes(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs with one more column, `percent_change` = 100 (tuned - vanilla) / vanilla.

    A `ValueError` names those of which a score is missing, or the vanilla score is not positive.
    """
    _require_positive(_checked(pairs), ["vanilla"])
    return pairs.assign(percent_change=100 * (pairs["tuned"] - pairs["vanilla"]) / pairs["vanilla"])


def mean_of_changes(pairs: pd.DataFrame, **options) -> Estimate:
    """Mean over pairs of each one's percent change, by `bootstrap_by_cluster` over bases; raises as `percent_changes`.

    Were vanilla and tuned scores mere noise around one value, it would still be above zero on average, since
    E[tuned / vanilla] > 1 then. The permutation in `paired_tests` allows for that.
    """
    return bootstrap_mean_by_cluster(percent_changes(pairs)["percent_change"], pairs["base"], **options)


def change_of_mean(pairs: pd.DataFrame, over: str = "pairs", **options) -> Estimate:
    """Percent change from the mean vanilla to the mean tuned score, by `bootstrap_by_cluster` over bases.

    Over "pairs", a vanilla model counts once for each of its tuned ones; over "models", each model counts once.
    Raises as `percent_changes`.
    """
    if over not in ("pairs", "models"):
        raise ValueError(f"over must be 'pairs' or 'models', not {over!r}")
    _require_positive(_checked(pairs), ["vanilla"])
    # Summed over a base's pairs, these shares count its vanilla model as often as `over` says.
    share = 1 / pairs.groupby("base")["base"].transform("size") if over == "models" else 1.0
    columns = pairs.assign(one=1.0, share=share, vanilla=pairs["vanilla"] * share)
    return bootstrap_by_cluster(
        columns[["tuned", "one", "vanilla", "share"]],
        pairs["base"],
        lambda sums: 100 * (sums[..., 0] / sums[..., 1] * sums[..., 3] / sums[..., 2] - 1),
        **options,
    )


def paired_tests(
    pairs: pd.DataFrame, *, effect: str = "percent", seed: int = 0, resamples: int = 10_000
) -> pd.DataFrame:
    """Test tuned against vanilla scores, over pairs as if they were independent, and over bases, as the module says.

    The `effect` of a pair is "percent", 100 (tuned - vanilla) / vanilla, or their "difference".

    Returns
    -------
    DataFrame
        A row a test: `test`, `unit` ("pair" or "base"), `estimate` (of the mean effect), `low`, `high` (95 %, NaN
        where the test has no interval), `p` (two-sided), `n` (pairs), `n_bases` and `note`.

    Raises
    ------
    ValueError
        When `effect` is neither, scores are missing or, for percent, not positive, there are fewer than two
        bases, or all pairs have the same effect.
    """
    effects, bases = _effects(pairs, effect), pairs["base"].to_numpy()
    by_base = [effects[bases == base] for base in pd.unique(bases)]
    boot = bootstrap_mean_by_cluster(effects, bases, seed=seed, resamples=resamples)
    flips = [np.array([part.sum(), -part.sum()]) for part in by_base]
    labels = [_relabelled_sums(pairs[bases == base], effect) for base in pd.unique(bases)]
    tests = {
        ("t-test", "pair"): _t_test(effects),
        ("Wilcoxon signed-rank", "pair"): _wilcoxon(effects),
        ("t-test", "base"): _t_test(np.array([part.mean() for part in by_base])),
        ("cluster bootstrap", "base"): {key: getattr(boot, key) for key in ("estimate", "low", "high", "p")},
        ("sign flip", "base"): _rearranged(flips, effects, seed, resamples),
        ("permutation", "base"): _rearranged(labels, effects, seed, resamples),
        ("mixed model", "base"): _mixed_model(effects, bases),
    }
    rows = [{"test": test, "unit": unit, "note": "", **row} for (test, unit), row in tests.items()]
    columns = ["test", "unit", "estimate", "low", "high", "p", "n", "n_bases", "note"]
    return pd.DataFrame(rows).assign(n=len(pairs), n_bases=len(by_base))[columns]


def t_test_over_bases(pairs: pd.DataFrame, **options) -> pd.Series:
    """The t-test of `paired_tests` in which each base counts once; parameters and errors are the same."""
    return over_bases(paired_tests(pairs, **options))


def over_bases(tests: pd.DataFrame) -> pd.Series:
    """The t-test of `paired_tests` in which each base counts once, from a table of all tests."""
    return tests.set_index(["test", "unit"]).loc[("t-test", "base")]


def _checked(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs, once they are found to be complete and each base to have one vanilla score."""
    absent = pairs[~np.isfinite(pairs[["vanilla", "tuned"]].to_numpy(float)).all(axis=1)]
    if len(absent):
        names = ", ".join(absent["model"])
        raise ValueError(f"{len(absent)} of {len(pairs)} pairs lack a score: {names}; leave them out")
    several = pairs.groupby("base")["vanilla"].nunique().loc[lambda count: count > 1]
    if len(several):
        raise ValueError(f"{', '.join(several.index)}: more than one vanilla score in pairs of the same base")
    return pairs


def _require_positive(pairs: pd.DataFrame, columns: list[str]) -> None:
    """Refuse pairs in which a percent change would divide by a score that is not positive."""
    wrong = pairs[(pairs[columns] <= 0).any(axis=1)]
    if len(wrong):
        names = ", ".join(wrong["model"])
        raise ValueError(f"percent changes need scores above zero; {names}: not so; use effect='difference'")


def _effects(pairs: pd.DataFrame, effect: str) -> np.ndarray:
    """Effect of tuning in each pair, once a test of them is found to make sense."""
    if effect == "percent":
        # The permutation divides by every score of a base.
        _require_positive(_checked(pairs), ["vanilla", "tuned"])
        effects = percent_changes(pairs)["percent_change"].to_numpy()
    elif effect == "difference":
        effects = (_checked(pairs)["tuned"] - pairs["vanilla"]).to_numpy()
    else:
        raise ValueError(f"effect must be 'percent' or 'difference', not {effect!r}")
    if pairs["base"].nunique() < 2:
        raise ValueError(f"tests over bases need two or more of them, not {sorted(set(pairs['base']))}")
    if np.ptp(effects) <= 1e-12 * np.abs(effects).max():
        raise ValueError(f"all {len(effects)} pairs have the same effect, {effects[0]:g}: nothing to test")
    return effects


def _t_test(values: np.ndarray) -> dict:
    """One-sample t-test of the mean against zero."""
    result = scipy.stats.ttest_1samp(values, 0)
    low, high = result.confidence_interval(0.95)
    return {"estimate": values.mean(), "low": low, "high": high, "p": result.pvalue}


def _wilcoxon(effects: np.ndarray) -> dict:
    """Wilcoxon signed-rank test against zero."""
    # Rounding keeps ties: scores with three decimals differ by equal amounts, but not to the last bit.
    p = scipy.stats.wilcoxon(np.round(effects / np.abs(effects).max(), 10)).pvalue
    return {"estimate": effects.mean(), "p": p, "note": "tests ranks; the estimate is the mean"}


def _relabelled_sums(base: pd.DataFrame, effect: str) -> np.ndarray:
    """Sum of a base's effects with each of its k + 1 models called vanilla in turn, the true one first."""
    scores = np.array([base["vanilla"].iloc[0], *base["tuned"]])
    differences = scores.sum() - len(scores) * scores
    return 100 * differences / scores if effect == "percent" else differences


def _rearranged(sums: list[np.ndarray], effects: np.ndarray, seed: int, resamples: int) -> dict:
    """Test the mean effect against what it is when each base takes any of its sums, the first being true."""
    arrangements = prod(len(options) for options in sums)
    exact = arrangements <= EXACT_UP_TO
    if exact:
        totals = reduce(lambda total, options: np.add.outer(total, options).ravel(), sums)
    else:
        rng = np.random.default_rng(seed)
        totals = sum(options[rng.integers(len(options), size=resamples)] for options in sums)
    observed = sum(options[0] for options in sums)
    # Arrangements with the same total as the true one may differ from it by rounding.
    slack = 1e-9 * max(np.abs(options).max() for options in sums)
    tail = min(np.sum(totals >= observed - slack), np.sum(totals <= observed + slack))
    p = min(1.0, 2 * (tail / arrangements if exact else (tail + 1) / (resamples + 1)))
    note = f"all {arrangements} arrangements" if exact else f"{resamples} random arrangements"
    return {"estimate": effects.mean(), "p": p, "note": note}


def _mixed_model(effects: np.ndarray, bases: np.ndarray) -> dict:
    """Mean effect in a model with a random intercept for each base, by restricted maximum likelihood."""
    # Not statsmodels' MixedLM: it takes standard errors from a numerical Hessian. Where the variance between
    # bases is near zero, as often here, they come out NaN or several times too small, at times unannounced.
    groups = pd.Series(effects).groupby(bases)
    sizes, means = groups.size().to_numpy(), groups.mean().to_numpy()
    within = np.sum((effects - groups.transform("mean").to_numpy()) ** 2)
    if within <= 1e-20 * effects @ effects:
        return {**_t_test(means), "note": "no variance within bases: as the t-test over bases"}
    ratio = _variance_ratio(sizes, means, within)
    _, estimate, error = _profile(ratio, sizes, means, within)
    t, df = abs(estimate / error), len(sizes) - 1
    half = error * scipy.stats.t.ppf(0.975, df)
    share, normal_p = ratio / (1 + ratio), 2 * scipy.stats.norm.sf(t)
    return {
        "estimate": estimate,
        "low": estimate - half,
        "high": estimate + half,
        "p": 2 * scipy.stats.t.sf(t, df),
        "note": f"{share:.0%} of variance between bases; p = {normal_p:.2g} by the normal approximation",
    }


def _variance_ratio(sizes: np.ndarray, means: np.ndarray, within: float) -> float:
    """Variance between bases over that within, at the lowest deviance; zero is possible."""
    # The grid finds the lowest of several valleys; what it brackets is then refined.
    grid = np.array([0, *np.logspace(-6, 8, 400)])
    best = int(np.argmin(_profile(grid, sizes, means, within)[0]))
    if best == 0:
        return 0.0
    bounds = np.log([grid[max(best - 1, 1)], grid[min(best + 1, len(grid) - 1)]])
    optimum = scipy.optimize.minimize_scalar(
        lambda log: _profile(np.exp(log), sizes, means, within)[0], bounds=bounds, method="bounded"
    )
    return float(np.exp(optimum.x))


def _profile(ratio: np.ndarray, sizes: np.ndarray, means: np.ndarray, within: float) -> tuple[np.ndarray, ...]:
    """Deviance (REML, up to a constant), mean effect and its standard error at variances between bases over within."""
    # Harville (1977), J. Am. Stat. Assoc. 72, 320-338, with nothing but a random intercept. `ratio` has any shape.
    scaled = np.multiply.outer(ratio, sizes)
    weights = sizes / (1 + scaled)
    total = weights.sum(axis=-1)
    mean = weights @ means / total
    df = sizes.sum() - 1
    squares = within + (weights * (means - mean[..., None]) ** 2).sum(axis=-1)
    deviance = df * np.log(squares) + np.log1p(scaled).sum(axis=-1) + np.log(total)
    return deviance, mean, np.sqrt(squares / df / total)
