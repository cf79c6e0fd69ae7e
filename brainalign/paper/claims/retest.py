"""What the current study's own results say of a claim.

A verdict needs an interval: `supported` if all of it agrees with the claim, `contradicted` if none of it does,
`inconclusive` otherwise. That there is no effect at all can so be contradicted, but never supported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from brainalign import messages
from brainalign.paper.publish.numbers import number
from brainalign.statistics.correlations import pearson
from brainalign.statistics.pairs import make_pairs, t_test_over_bases
from brainalign.study.description.loading import averaged


@dataclass(frozen=True)
class Retested:
    """A claim's verdict in the current study, what was found, and on what it rests."""

    verdict: str
    value: str = ""
    why: str = ""


NOT_RUN = Retested("not run", why="This study measures nothing that bears on it.")


def run(name: str | None, results: pd.DataFrame) -> Retested:
    """Test a claim on a study's results by a key of `TESTS`; None where no test exists yet.

    Raises
    ------
    LookupError
        No such test.
    """
    if name is None or results.empty:
        return NOT_RUN
    if name not in TESTS:
        raise LookupError(messages.unknown("test of a claim", name, TESTS))
    try:
        return TESTS[name](results)
    except ValueError as error:  # too few models, pairs or bases for the statistics to say anything
        return Retested("not run", why=f"This study's results do not suffice: {error}.")


def comparable(results: pd.DataFrame) -> pd.DataFrame:
    """Results of trained models that read in one way: series where a study has them, else its own models.

    A series may have been computed with other context than ours, and an untrained twin is a control. Of series, those
    with the context of the published ones, or else of the first; a file that does not say its context has one of its
    own.
    """
    trained = results[results.kind.isin(["vanilla", "instruction-tuned"])]
    series = trained[trained.origin == "series"]
    if series.empty:
        return trained
    if "context" not in series:  # all of one collection
        return series
    context = series.context.astype(object).fillna("not said")
    published = series.collection.notna()
    return series[context == (context[published] if published.any() else context).iloc[0]]


def reading_time_scores(results: pd.DataFrame, measure: str = "r", alignment: str = "original") -> pd.DataFrame:
    """One measure of `behavioral_alignment` over all stories, a row a model; of several data sets, on the first.

    Returns
    -------
    DataFrame
        ``model``, ``family``, ``kind``, ``vanilla``, ``log_size`` (log10 parameters), ``value``, ``low``, ``high``.
    """
    if "alignment" not in results:  # a study of brains alone
        raise ValueError("no reading times were measured")
    read = results[(results.measure == measure) & (results.alignment == alignment) & (results.story == "all")]
    rows = comparable(read[read.dataset == read.dataset.iloc[0]] if len(read) else read)
    columns = ["model", "family", "kind", "vanilla", "log_size", "value", "low", "high"]
    return rows.assign(log_size=np.log10(rows.parameters))[columns].reset_index(drop=True)


def reading_time_pairs(results: pd.DataFrame, measure: str = "r", alignment: str = "original") -> pd.DataFrame:
    """Table of pairs (`pairs.make_pairs`) of one measure; tuned models without their base in the study are left out."""
    return _pairs(reading_time_scores(results, measure, alignment))


def brain_scores(results: pd.DataFrame, protocol: str = "aw2024") -> pd.DataFrame:
    """Brain alignment of each trained model under a protocol, the mean over data sets.

    Returns
    -------
    DataFrame
        ``model``, ``family``, ``kind``, ``vanilla``, ``log_size`` (log10 parameters), ``value`` (r). Empty if none was
        measured. Data sets count as in other averages (`averaged`).
    """
    if "protocol" not in results or "chosen" not in results:
        return pd.DataFrame(columns=["model", "family", "kind", "vanilla", "log_size", "value"])
    whole = (results[["participant", "region", "split"]] == ["pooled", "all", "all"]).all(axis=1)
    trained = results.kind.isin(["vanilla", "instruction-tuned"]) & results.chosen.eq(True)
    rows = results[whole & trained & (results.protocol == protocol) & results.dataset.isin(averaged(results))]
    keys = ["model", "family", "kind", "vanilla", "parameters"]
    table = rows.groupby(keys, sort=False, dropna=False).r.mean().rename("value").reset_index()
    return table.assign(log_size=np.log10(table.pop("parameters").astype(float)))


def _pairs(scores: pd.DataFrame) -> pd.DataFrame:
    """Pairs of scores; tuned models without their base are left out."""
    return make_pairs(scores[(scores.kind == "vanilla") | scores.vanilla.isin(scores.model)], "value")


def _brain_gain(results: pd.DataFrame) -> Retested:
    comparison = t_test_over_bases(_pairs(brain_scores(results)))
    why = f"mean change over {comparison.n} pairs, t over bases; protocol aw2024"
    return _retested(comparison.estimate, comparison, "+.1f", why, lambda change: change > 0, unit=" %")


def _brain_size(results: pd.DataFrame) -> Retested:
    return _brain_correlation(brain_scores(results), "log_size", "log size")


def _brain_knowledge(results: pd.DataFrame) -> Retested:
    if "benchmark" not in results:
        raise ValueError("no model was examined")
    knowledge = results[(results.measure == "world knowledge") & (results.domain == "all")].set_index("model").value
    scores = brain_scores(results)
    return _brain_correlation(scores.assign(knowledge=scores.model.map(knowledge)), "knowledge", "world knowledge")


def _brain_correlation(scores: pd.DataFrame, column: str, name: str) -> Retested:
    """Among tuned models, as in the paper."""
    tuned = scores[scores.kind == "instruction-tuned"].dropna(subset=[column, "value"])
    correlation = pearson(tuned[column], tuned.value)
    why = f"Pearson r with {name} over {correlation.n} tuned models; protocol aw2024"
    return _retested(correlation.r, correlation, ".2f", why, lambda r: r > 0)


def _behavior_gain(results: pd.DataFrame) -> Retested:
    comparison = t_test_over_bases(reading_time_pairs(results), effect="difference")
    why = f"mean change of r over {comparison.n} pairs, t over bases; original alignment"
    return _retested(comparison.estimate, comparison, "+.3f", why, lambda change: change <= 0)


def _behavior_share_without_gain(results: pd.DataFrame) -> Retested:
    pairs = reading_time_pairs(results)
    stuck = int((pairs.tuned <= pairs.vanilla).sum())
    interval = scipy.stats.binomtest(stuck, len(pairs)).proportion_ci()
    verdict = "contradicted" if not interval.low <= 0.5 <= interval.high else "inconclusive"
    return Retested(verdict, f"{stuck} of {len(pairs)} pairs", "exact binomial interval; original alignment")


def _behavior_size(results: pd.DataFrame) -> Retested:
    scores = reading_time_scores(results).dropna(subset="log_size")
    correlation = pearson(scores.log_size, scores.value)
    why = f"Pearson r over {correlation.n} models of known size; original alignment"
    return _retested(correlation.r, correlation, ".2f", why, lambda r: r == 0)


TESTS = {
    "behavior_gain": _behavior_gain,
    "behavior_share_without_gain": _behavior_share_without_gain,
    "behavior_size": _behavior_size,
    "brain_gain": _brain_gain,
    "brain_size": _brain_size,
    "brain_knowledge": _brain_knowledge,
}


def _retested(value: float, interval, form: str, why: str, agrees: Callable[[float], bool], unit="") -> Retested:
    """The verdict that an interval (its ``low`` and ``high``) gives, and the value with it."""
    low, high = interval.low, interval.high
    # Claims here are half-lines or points: an interval that straddles zero holds values on both sides of them.
    otherwise = "inconclusive" if low <= 0 <= high else "contradicted"
    text = f"{number(value, form)} [{number(low, form)}, {number(high, form)}]{unit}"
    return Retested("supported" if agrees(low) and agrees(high) else otherwise, text, why)
