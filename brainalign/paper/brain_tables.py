"""Brain scores of a study as tables: what models score, over participants, and how scores of two models differ.

A score is the paper's: over the units of all participants, pooled. How sure it is, the participants say: each has a
score of its own, and their mean has an interval. Differences are taken inside participants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign import messages
from brainalign import study as studies
from brainalign.alignment.protocols import PROTOCOLS, by_strictness
from brainalign.alignment.summary import ALL, NESTED, POOLED, mean_over_experiments
from brainalign.paper.publish.numbers import Live
from brainalign.study import Study
from brainalign.study.description.loading import NULL, informative

AVERAGE = "average"  # over data sets
EXPERIMENTS = {"pereira2018": ("pereira2018.243", "pereira2018.384")}  # what counts as one data set
STATIC = r"(?:encoder\.)?0"  # the layer of static embeddings
ABOUT = ["family", "kind", "vanilla", "twin_of", "parameters", "origin"]
WHO = ["protocol", "dataset", "participant"]
CHOSEN, BEST = "chosen", "best"
SPLITS = {
    "shuffled": "shuffled, as in the paper",
    "stories": "stories kept whole",
    "neighbors": "neighbors share a fold",
    "runs": "runs kept whole",
}
LABELS = {name: f"{name}: {SPLITS[protocol.splits]}" for name, protocol in PROTOCOLS.items()}
UNTRAINED = "untrained"
CHANGES = ("raises", "lowers", "does not reliably change")  # words of `verdict` for what tuning or training does


def over_data_sets(results: pd.DataFrame) -> pd.DataFrame:
    """Results with the experiments of one data set averaged (`summary.mean_over_experiments`), of all splits together.

    Parameters
    ----------
    results : DataFrame
        As from ``study.results(study, "brain")``.
    """
    rows, tables = results[results.split == ALL], []
    for name, parts in EXPERIMENTS.items():
        of_parts = rows[rows.dataset.isin(parts)]
        if set(of_parts.dataset) == set(parts):
            rows = rows[~rows.dataset.isin(parts)]
            for (model, _), both in of_parts.groupby(["model", "protocol"], sort=False):
                experiments = [table for _, table in both.groupby("dataset")]
                tables.append(mean_over_experiments(experiments, name).assign(model=model))
    if not tables:
        return rows.reset_index(drop=True)
    about = results.drop_duplicates("model")[["model", *ABOUT]]
    averaged = pd.concat(tables, ignore_index=True).merge(about, on="model")
    return pd.concat([rows, averaged[[name for name in rows if name in averaged]]], ignore_index=True)


def people(results: pd.DataFrame, layer: str = CHOSEN) -> pd.DataFrame:
    """Scores of participants, over all of their units.

    Parameters
    ----------
    results : DataFrame
        As from `over_data_sets`.
    layer : str
        ``chosen``: each model at the layer that its protocol chooses. ``best``: at the layer of highest pooled score on
        the test sets. Or a regular expression that the names of layers match.

    Returns
    -------
    DataFrame
        Indexed by protocol, data set and participant; a column a model, NaN where it lacks the layer.

    Raises
    ------
    ValueError
        A model has several such layers.
    """
    rows = results[(results.region == ALL) & (results.split == ALL)]
    if layer == CHOSEN:
        rows = rows[rows.chosen]
    elif layer == BEST:
        single = rows[rows.layer != NESTED]
        pooled = single[single.participant == POOLED]
        keys = ["model", "dataset", "protocol"]
        best = pooled.loc[pooled.groupby(keys).r.idxmax(), [*keys, "layer"]]
        rows = single.merge(best, on=[*keys, "layer"])
    else:
        rows = rows[rows.layer.str.fullmatch(layer)]
    rows = rows[rows.participant != POOLED]
    twice = rows.duplicated([*WHO, "model"])
    if twice.any():
        model = rows.model[twice].iloc[0]
        raise ValueError(f"{model} has several layers {layer!r}. Give an expression that only one matches.")
    return rows.pivot(index=WHO, columns="model", values="r")


def over_participants(values: pd.Series, together: int = 1) -> dict:
    """Mean over participants, then over data sets, with a 95 % interval.

    In one data set the interval is Student's, with n - 1 degrees of freedom. Over several, participants are others in
    each: variances add, and degrees of freedom are Welch's and Satterthwaite's.

    Parameters
    ----------
    values : Series
        Indexed by data set and participant, among others; NaN are left out, and so are data sets of `NULL` if there is
        another.
    together : int
        Intervals that are to hold all at once, this one among them (Bonferroni).

    Returns
    -------
    dict
        ``estimate``, ``low``, ``high`` (NaN where a data set has a single participant), and ``n`` participants.

    Raises
    ------
    ValueError
        There is no value.
    """
    scored = values.dropna()
    if scored.empty:
        raise ValueError("no participant has a score. Give those of one protocol.")
    names = scored.index.get_level_values("dataset")
    null = names.str.endswith(NULL)
    groups = (scored if null.all() else scored[~null]).groupby("dataset")
    means, n = groups.mean().to_numpy(), groups.size().to_numpy()
    variances = groups.var().to_numpy() / n / len(n) ** 2
    estimate, total = means.mean(), variances.sum()
    degrees = total**2 / np.sum(variances**2 / np.maximum(n - 1, 1)) if total > 0 else n.sum() - len(n)
    half = scipy.stats.t.ppf(1 - 0.025 / together, degrees) * np.sqrt(total) if (n > 1).all() else np.nan
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "n": int(n.sum())}


def difference(table: pd.DataFrame, ours: Sequence[str], theirs: Sequence[str]) -> dict:
    """Mean score of some models minus that of others, in each participant, then as `over_participants`.

    Parameters
    ----------
    table : DataFrame
        Of `people`, of one protocol.
    ours, theirs : sequence of str
        Models.
    """
    return over_participants(table[list(ours)].mean(axis=1) - table[list(theirs)].mean(axis=1))


def live(key: str, row: dict | None, method: str, form: str = ".3f") -> list[Live]:
    """An estimate as a live number, with its interval if it has one; nothing where there is no row.

    Parameters
    ----------
    key, method, form : str
        As in `Live`.
    row : dict or None
        As from `over_participants`.
    """
    if row is None:
        return []
    interval = {"low": row["low"], "high": row["high"]} if np.isfinite(row["low"]) else {}
    return [Live(key, row["estimate"], form, n=row["n"], method=method, **interval)]


def verdict(row: dict, above: str, below: str, neither: str) -> str:
    """A word for where an interval lies: all above zero, all below, or neither."""
    return above if row["low"] > 0 else below if row["high"] < 0 else neither


def scores(results: pd.DataFrame) -> pd.DataFrame:
    """Score of each model on each data set, and on average where there are several.

    Parameters
    ----------
    results : DataFrame
        As from `over_data_sets`.

    Returns
    -------
    DataFrame
        ``model``, ``dataset``, ``protocol``, ``layer``, ``r``, ``ceiling``, ``r_normalized``, ``mad``; ``estimate``,
        ``low``, ``high``, ``n`` of `over_participants`; and what is known of the model. The average is over scores and
        ceilings; it has no layer, and no deviation.
    """
    rows = results[results.chosen & (results.participant == POOLED) & (results.region == ALL) & (results.split == ALL)]
    everyone = people(results)
    wanted = ["model", "dataset", "protocol", "layer", "r", "ceiling", "r_normalized", "mad", *ABOUT]
    rows = rows[wanted]
    if len(several := informative(results.dataset)) > 1:
        keys = ["model", "protocol", *ABOUT]
        of_data_sets = rows[rows.dataset.isin(several)]
        mean = of_data_sets.groupby(keys, sort=False, dropna=False)[["r", "ceiling"]].mean().reset_index()
        mean = mean.assign(dataset=AVERAGE, r_normalized=mean.r / mean.ceiling, layer="", mad=np.nan)
        rows = pd.concat([rows, mean], ignore_index=True)
    intervals = []
    for row in rows.itertuples():
        own = everyone.xs(row.protocol, level="protocol")[row.model]
        intervals.append(over_participants(own if row.dataset == AVERAGE else own.xs(row.dataset, drop_level=False)))
    return pd.concat([rows.reset_index(drop=True), pd.DataFrame(intervals)], axis=1)


def chosen_protocols(study: Study, protocol: str) -> list[str]:
    """The protocols of a study from the most lenient to the strictest; or the one that is asked for.

    Raises
    ------
    LookupError
        The study does not have it; the message suggests near names.
    """
    protocols = by_strictness(study.protocols)
    if protocol and protocol not in protocols:
        raise LookupError(messages.unknown(f"protocol of study {study.name}", protocol, protocols))
    return [protocol] if protocol else protocols


def both_ends(study: Study, protocol: str) -> list[str]:
    """The strictest of `chosen_protocols` and the most lenient, if they are two."""
    ordered = chosen_protocols(study, protocol)
    return list(dict.fromkeys([ordered[-1], ordered[0]]))


@dataclass(frozen=True)
class BrainScores:
    """Brain scores of a study under some of its protocols.

    Attributes
    ----------
    study : Study
        Whose they are.
    protocols : list of str
        From the most lenient to the strictest.
    results : DataFrame
        As from `over_data_sets`.
    """

    study: Study
    protocols: list[str]
    results: pd.DataFrame

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores of all models on all data sets (`scores`)."""
        return scores(self.results)

    @cached_property
    def datasets(self) -> list[str]:
        """Data sets that count; where there are several, their average comes first."""
        names = informative(self.results.dataset)
        return [AVERAGE, *names] if len(names) > 1 else names

    @property
    def headline(self) -> pd.DataFrame:
        """Scores on the average over data sets, or on the only one."""
        return self.scores[self.scores.dataset == self.datasets[0]]

    @cached_property
    def models(self) -> pd.DataFrame:
        """What is known of each model, by name."""
        return self.results.drop_duplicates("model").set_index("model")

    @property
    def trained(self) -> list[str]:
        """Language models, without their untrained twins."""
        return list(self.models.index[(self.models.origin == "model") & (self.models.kind != UNTRAINED)])

    @property
    def twins(self) -> dict[str, list[str]]:
        """Untrained twins of each trained model that has any."""
        twins = {name: list(self.models.index[self.models.twin_of == name]) for name in self.trained}
        return {name: names for name, names in twins.items() if names}

    def people(self, protocol: str) -> pd.DataFrame:
        """Scores of participants under a protocol (`people`)."""
        return self._people.xs(protocol, level="protocol")

    @cached_property
    def _people(self) -> pd.DataFrame:
        return people(self.results)


def read(study: Study, protocol: str = "") -> BrainScores:
    """Read what a study measured under all of its protocols, or under the one that is asked for.

    Raises
    ------
    LookupError
        The study does not have the protocol.
    """
    protocols = chosen_protocols(study, protocol)
    results = studies.results(study, "brain")
    return BrainScores(study, protocols, over_data_sets(results[results.protocol.isin(protocols)]))
