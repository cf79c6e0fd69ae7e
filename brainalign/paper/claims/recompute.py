"""What each claim of the paper comes to when it is computed from the paper's own tables.

Every public function takes the printed tables and the arguments that `catalog/claims.yaml` gives it, and returns a
`Finding`. None computes an interval: `claims.check` calls them again on tables moved within their rounding.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import scipy

from brainalign import catalog
from brainalign.paper.claims.printed import BRAIN_DATASETS, Printed
from brainalign.statistics.pairs import make_pairs, percent_changes


@dataclass(frozen=True)
class Finding:
    """A recomputed value (a number, or whether a statement holds) and on what it rests, in words."""

    value: float | bool
    basis: str = ""


# --- counts and sizes -------------------------------------------------------------------------------------------------


def count_models(tables: Printed, group: str) -> Finding:
    """Number of models in a group."""
    return Finding(len(tables.group(group)), "rows of Table 3")


def smallest_model(tables: Printed) -> Finding:
    """Parameters of the smallest of the 25 models."""
    return Finding(tables.group("main")["size"].min(), "Table 3")


def largest_model(tables: Printed) -> Finding:
    """Parameters of the largest of the 25 models."""
    return Finding(tables.group("main")["size"].max(), "Table 3")


def size_share(tables: Printed, model: str, other: str) -> Finding:
    """Size of one model in percent of another's."""
    size = tables.models.set_index("model")["size"]
    return Finding(100 * size[model] / size[other], "sizes of Table 3")


def count_tasks(tables: Printed, benchmark: str) -> Finding:
    """Tasks of a benchmark, added up over its categories."""
    rows = tables.correlations[tables.correlations.benchmark == benchmark]
    return Finding(rows[rows.category != "Overall"].n_tasks.sum(), "sum over the categories of Table 2")


def published_count(tables: Printed, dataset: str, count: str) -> Finding:
    """A count of a data set as its publisher gives it."""
    return Finding(catalog.dataset(dataset).counts[count], "the public file")


# --- scores -----------------------------------------------------------------------------------------------------------


def score_of(tables: Printed, model: str, score: str) -> Finding:
    """One model's score."""
    return Finding(tables.models.set_index("model")[score][model], "Table 5")


def mean_of(tables: Printed, column: str) -> Finding:
    """Mean of a column over the tuned models."""
    values = tables.group("tuned")[column]
    return Finding(values.mean(), f"mean over {len(values)} rows of Table 7")


def near_chance(tables: Printed, column: str, group: str, chance: float, margin: float) -> Finding:
    """Whether every model of a group scores within a margin of chance."""
    values = tables.group(group)[column]
    farthest = (values - chance).abs().max()
    return Finding(bool(farthest < margin), f"farthest of {len(values)} from chance: {farthest:.3f}")


def beats(tables: Printed, model: str, other: str, score: str) -> Finding:
    """Whether one model scores above another."""
    scores = tables.models.set_index("model")[score]
    return Finding(bool(scores[model] > scores[other]), f"{scores[model]:.3f} against {scores[other]:.3f}")


def count_consistent_averages(tables: Printed) -> Finding:
    """Rows of Table 5 whose average is the mean of its data sets, give or take the rounding of all four entries."""
    gap = (tables.models[BRAIN_DATASETS].mean(axis=1) - tables.models["average"]).abs()
    return Finding(int((gap <= 0.001 + 1e-9).sum()), f"of {len(gap)} rows; the widest gap is {gap.max():.4f}")


# --- what tuning changes ----------------------------------------------------------------------------------------------


def percent_change(tables: Printed, score: str) -> Finding:
    """Mean over pairs of the percent change with tuning."""
    pairs = _changes(tables, score)
    of_means = 100 * (pairs.tuned.mean() / pairs.vanilla.mean() - 1)
    return Finding(
        pairs.percent_change.mean(),
        f"mean over {len(pairs)} pairs of {pairs.base.nunique()} bases; change of the mean {of_means:+.1f} %",
    )


def positive_everywhere(tables: Printed) -> Finding:
    """Whether the mean percent change is above zero on each data set."""
    changes = {name: _changes(tables, name).percent_change.mean() for name in BRAIN_DATASETS}
    basis = ", ".join(f"{name} {change:+.1f} %" for name, change in changes.items())
    return Finding(all(change > 0 for change in changes.values()), basis)


def paired_p(tables: Printed, score: str) -> Finding:
    """P of a paired t test over pairs, which treats pairs that share a base as independent."""
    pairs = _changes(tables, score)
    result = scipy.stats.ttest_rel(pairs.tuned, pairs.vanilla)
    return Finding(result.pvalue, f"paired t test over {len(pairs)} pairs, t = {result.statistic:.2f}")


def gains_less_than_average(tables: Printed, bases: list[str]) -> Finding:
    """Whether the models made from some bases gain less than half of what all models gain on average."""
    pairs = _changes(tables, "average")
    of_bases, overall = pairs[pairs.base.isin(bases)].percent_change, pairs.percent_change.mean()
    basis = f"{of_bases.mean():+.1f} % over {len(of_bases)} pairs, against {overall:+.1f} % over all"
    return Finding(bool(of_bases.mean() < overall / 2), basis)


def share_without_gain(tables: Printed, score: str) -> Finding:
    """Percent of pairs in which tuning leaves a score as it is or lowers it."""
    pairs = _pairs(tables, score)
    stuck = pairs.tuned <= pairs.vanilla
    return Finding(100 * stuck.mean(), f"{stuck.sum()} of {len(stuck)} pairs")


def no_gain(tables: Printed, score: str) -> Finding:
    """Whether a paired t test fails to find a gain."""
    pairs = _pairs(tables, score)
    result = scipy.stats.ttest_rel(pairs.tuned, pairs.vanilla, alternative="greater")
    change = (pairs.tuned - pairs.vanilla).mean()
    basis = f"mean change {change:+.3f} over {len(pairs)} pairs, one-sided p = {result.pvalue:.2f}"
    return Finding(bool(result.pvalue > 0.05), basis)


def newer_models_change(tables: Printed, metric: str) -> Finding:
    """Mean change of the Gemma and LLaMA-2 models with tuning."""
    change = _newer_changes(tables)[metric]
    return Finding(change.mean(), f"{(change > 0).sum()} of {len(change)} models gain")


def newer_models_all_gain(tables: Printed) -> Finding:
    """Whether each Gemma and LLaMA-2 model gains by each metric."""
    gains = _newer_changes(tables) > 0
    return Finding(bool(gains.all(axis=None)), f"{gains.to_numpy().sum()} of {gains.size} comparisons gain")


# --- correlations -----------------------------------------------------------------------------------------------------


def correlation(tables: Printed, property: str, score: str = "average", group: str = "tuned") -> Finding:
    """Pearson r of a property with a score."""
    result = _pearson(tables, property, score, group)
    return Finding(result.statistic, f"{len(tables.group(group))} models")


def correlation_p(tables: Printed, property: str, score: str = "average", group: str = "tuned") -> Finding:
    """Two-sided p of that correlation."""
    result = _pearson(tables, property, score, group)
    return Finding(result.pvalue, f"r = {result.statistic:.3f}, {len(tables.group(group))} models")


def weaker(tables: Printed, property: str, than: str) -> Finding:
    """Whether one property goes with the average less than another does, whatever the sign."""
    r, other = (_pearson(tables, name, "average", "tuned").statistic for name in (property, than))
    return Finding(bool(abs(r) < abs(other)), f"r = {r:+.2f} against {other:+.2f}")


def weakest_dataset(tables: Printed, property: str, score: str) -> Finding:
    """Whether a data set is the one that goes least with a property."""
    r = {name: _pearson(tables, property, name, "tuned").statistic for name in BRAIN_DATASETS}
    basis = ", ".join(f"{name} {value:.2f}" for name, value in r.items())
    return Finding(min(r, key=r.get) == score, basis)


def p_of_printed_r(tables: Printed, benchmark: str, category: str) -> Finding:
    """Two-sided p that a printed r has for its number of models."""
    row = _printed_row(tables, benchmark, category)
    return Finding(_p_of_r(row.r, row.n_models), f"r as printed, {row.n_models} models")


def adjusted_p(tables: Printed, benchmark: str, category: str) -> Finding:
    """P of a printed r after Benjamini-Hochberg over the eleven rows of Table 2."""
    q = _table2(tables)
    return Finding(q.loc[(benchmark, category), "q"], f"Benjamini-Hochberg over the p of {len(q)} printed r")


def only_world_knowledge_significant(tables: Printed) -> Finding:
    """Whether world knowledge is the one part of BBH with an adjusted p below .05."""
    q = _table2(tables).loc["BBH", "q"]
    below = sorted(q.index[q < 0.05])
    return Finding(below == ["World knowledge"], f"below .05: {', '.join(below) or 'none'}")


# --- ceilings ---------------------------------------------------------------------------------------------------------


def mean_ceiling(tables: Printed) -> Finding:
    """Mean of the three fMRI ceilings."""
    return Finding(tables.ceilings[BRAIN_DATASETS].mean(), "mean of the three ceilings of Table 6")


def published_ceiling(tables: Printed, dataset: str) -> Finding:
    """Ceiling that Brain-Score publishes, averaged over a data set's parts."""
    parts = list(catalog.dataset(dataset).ceilings.values())
    return Finding(float(np.mean(parts)), f"Brain-Score's, mean of {len(parts)}" if len(parts) > 1 else "Brain-Score's")


def near_ceiling(tables: Printed, models: list[str], share: float) -> Finding:
    """Whether models reach a share of the average's ceiling."""
    shares = tables.models.set_index("model").average[models] / tables.ceilings["average"]
    basis = "share of the ceiling: " + ", ".join(f"{value:.2f}" for value in shares)
    return Finding(bool((shares >= share).all()), basis)


def count_above_ceiling(tables: Printed) -> Finding:
    """Number of the 25 models whose average exceeds its ceiling."""
    above = tables.group("main").query("average > @tables.ceilings['average']")
    return Finding(len(above), f"the smallest of them has {above['size'].min() / 1e9:g} B parameters")


# --- shared -----------------------------------------------------------------------------------------------------------


@cache
def _pairs(tables: Printed, score: str) -> pd.DataFrame:
    return make_pairs(tables.group("main"), score)


@cache
def _changes(tables: Printed, score: str) -> pd.DataFrame:
    return percent_changes(_pairs(tables, score))


@cache
def _newer_changes(tables: Printed) -> pd.DataFrame:
    by_kind = tables.gemma_llama2.set_index(["kind", "model"])[["linear", "cka", "rsa"]]
    return by_kind.loc["instruction-tuned"] - by_kind.loc["vanilla"]


@cache
def _pearson(tables: Printed, property: str, score: str, group: str):
    models = tables.group(group)
    return scipy.stats.pearsonr(models[property], models[score])


def _printed_row(tables: Printed, benchmark: str, category: str) -> pd.Series:
    rows = tables.correlations.set_index(["benchmark", "category"])
    return rows.loc[(benchmark, category)]


@cache
def _table2(tables: Printed) -> pd.DataFrame:
    rows = tables.correlations[tables.correlations.benchmark.isin(["MMLU", "BBH"])]
    p = [_p_of_r(r, n) for r, n in zip(rows.r, rows.n_models, strict=True)]
    return rows.assign(p=p, q=scipy.stats.false_discovery_control(p)).set_index(["benchmark", "category"])


def _p_of_r(r: float, n: int) -> float:
    # Student's t with n - 2 degrees of freedom (the usual test of a Pearson r).
    t = r * np.sqrt((n - 2) / (1 - r**2))
    return float(2 * scipy.stats.t.sf(abs(t), n - 2))
