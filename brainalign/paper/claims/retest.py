"""What the current study's own results say of a claim.

A verdict needs an interval: `supported` if all of it agrees with the claim, `contradicted` if none of it does,
`inconclusive` otherwise. That there is no effect at all can so be contradicted, but never supported.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from brainalign import messages
from brainalign.paper.publish.numbers import number
from brainalign.statistics.correlations import pearson
from brainalign.statistics.pairs import make_pairs, t_test_over_bases


@dataclass(frozen=True)
class Retested:
    """A claim's verdict in the current study, what was found, and on what it rests."""

    verdict: str
    value: str = ""
    why: str = ""


NOT_RUN = Retested("not run", why="This study measures nothing that bears on it.")


def run(name: str | None, results: pd.DataFrame) -> Retested:
    """Test a claim on a study's results.

    Parameters
    ----------
    name : str or None
        A key of `TESTS`; None where no test exists yet.
    results : DataFrame
        As from `study.results`; may be empty.

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
    """Results of trained models that read in one way: published series where a study has them, else its own models.

    A series may have been computed with other context than ours, and an untrained twin is a control.
    """
    trained = results[results.kind.isin(["vanilla", "instruction-tuned"])]
    published = trained[trained.origin == "series"]
    return trained if published.empty else published


def reading_time_scores(results: pd.DataFrame, measure: str = "r", alignment: str = "original") -> pd.DataFrame:
    """One measure of behavioral alignment over all stories, a row a model; of several data sets, on the first.

    Parameters
    ----------
    results : DataFrame
        As from `study.results`.
    measure, alignment : str
        As in `behavioral_alignment`.

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
    scores = reading_time_scores(results, measure, alignment)
    paired = (scores.kind == "vanilla") | scores.vanilla.isin(scores.model)
    return make_pairs(scores[paired], "value")


def brain_scores(results: pd.DataFrame, protocol: str = "aw2024") -> pd.DataFrame:
    """Brain alignment of each trained model under a protocol, the mean over data sets.

    Parameters
    ----------
    results : DataFrame
        As from `study.results`, with the rows of `brain_alignment`.
    protocol : str
        One of `protocols.PROTOCOLS`; the paper's own if left out.

    Returns
    -------
    DataFrame
        ``model``, ``family``, ``kind``, ``vanilla``, ``log_size`` (log10 parameters), ``value`` (r). Empty if none was
        measured. People whom no text can tell anything, which is a control, do not count.
    """
    if "protocol" not in results or "chosen" not in results:
        return pd.DataFrame(columns=["model", "family", "kind", "vanilla", "log_size", "value"])
    whole = (results[["participant", "region", "split"]] == ["pooled", "all", "all"]).all(axis=1)
    trained = results.kind.isin(["vanilla", "instruction-tuned"]) & ~results.dataset.astype(str).str.endswith(".null")
    rows = results[whole & trained & results.chosen.eq(True) & (results.protocol == protocol)]
    keys = ["model", "family", "kind", "vanilla", "parameters"]
    table = rows.groupby(keys, sort=False, dropna=False).r.mean().rename("value").reset_index()
    return table.assign(log_size=np.log10(table.pop("parameters").astype(float)))


def _brain_gain(results: pd.DataFrame) -> Retested:
    scores = brain_scores(results)
    pairs = make_pairs(scores[(scores.kind == "vanilla") | scores.vanilla.isin(scores.model)], "value")
    comparison = t_test_over_bases(pairs)
    verdict = _verdict(comparison.low, comparison.high, agrees=lambda change: change > 0)
    value = _with_interval(comparison.estimate, comparison.low, comparison.high, "+.1f") + " %"
    return Retested(verdict, value, f"mean change over {comparison.n} pairs, t over bases; protocol aw2024")


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
    verdict = _verdict(correlation.low, correlation.high, agrees=lambda r: r > 0)
    why = f"Pearson r with {name} over {correlation.n} tuned models; protocol aw2024"
    return Retested(verdict, _with_interval(correlation.r, correlation.low, correlation.high, ".2f"), why)


def _behavior_gain(results: pd.DataFrame) -> Retested:
    comparison = t_test_over_bases(reading_time_pairs(results), effect="difference")
    verdict = _verdict(comparison.low, comparison.high, agrees=lambda change: change <= 0)
    value = _with_interval(comparison.estimate, comparison.low, comparison.high, "+.3f")
    return Retested(verdict, value, f"mean change of r over {comparison.n} pairs, t over bases; original alignment")


def _behavior_share_without_gain(results: pd.DataFrame) -> Retested:
    pairs = reading_time_pairs(results)
    stuck = int((pairs.tuned <= pairs.vanilla).sum())
    interval = scipy.stats.binomtest(stuck, len(pairs)).proportion_ci()
    verdict = "contradicted" if not interval.low <= 0.5 <= interval.high else "inconclusive"
    return Retested(verdict, f"{stuck} of {len(pairs)} pairs", "exact binomial interval; original alignment")


def _behavior_size(results: pd.DataFrame) -> Retested:
    scores = reading_time_scores(results).dropna(subset="log_size")
    correlation = pearson(scores.log_size, scores.value)
    verdict = _verdict(correlation.low, correlation.high, agrees=lambda r: r == 0)
    value = _with_interval(correlation.r, correlation.low, correlation.high, ".2f")
    return Retested(verdict, value, f"Pearson r over {correlation.n} models of known size; original alignment")


TESTS = {
    "behavior_gain": _behavior_gain,
    "behavior_share_without_gain": _behavior_share_without_gain,
    "behavior_size": _behavior_size,
    "brain_gain": _brain_gain,
    "brain_size": _brain_size,
    "brain_knowledge": _brain_knowledge,
}


def _with_interval(value: float, low: float, high: float, form: str) -> str:
    return f"{number(value, form)} [{number(low, form)}, {number(high, form)}]"


def _verdict(low: float, high: float, agrees) -> str:
    if agrees(low) and agrees(high):
        return "supported"
    # Claims here are half-lines or points: an interval that straddles zero holds values on both sides of them.
    return "inconclusive" if low <= 0 <= high else "contradicted"
