"""Brain scores of a study: of its models, their untrained twins and static embeddings, and its controls.

    scores = read(study)
    scores.under("contiguous")[scores.trained]

A score is the paper's: over the units of all participants, pooled. How sure it is, the participants say: each has a
score of its own, and their mean has an interval.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from brainalign import messages
from brainalign import study as studies
from brainalign.alignment.protocols import PROTOCOLS, by_strictness
from brainalign.alignment.summary import ALL, NESTED, POOLED, mean_over_experiments
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections.estimates import over_participants
from brainalign.study import Study
from brainalign.study.description.loading import averaged, informative

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
CONTROLS = {
    "oasm": "OASM (neighborhood)",
    "length": "length, or word rate",
    "position": "position",
    "length+position": "length and position",
    "random": "random features",
}
FEW = 6  # models that have a row of their own; of more, the mean


def over_data_sets(results: pd.DataFrame) -> pd.DataFrame:
    """Results with the experiments of one data set averaged (`summary.mean_over_experiments`), of all splits together.

    `results` are those of ``study.results(study, "brain")``.
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


def whole(results: pd.DataFrame) -> pd.DataFrame:
    """Rows over all units and all splits."""
    return results[(results.region == ALL) & (results.split == ALL)]


def people(results: pd.DataFrame, layer: str = CHOSEN) -> pd.DataFrame:
    """Scores of participants, over all of their units, from results as of `over_data_sets`.

    Indexed by protocol, data set and participant; a column a model, NaN where it lacks the layer.

    Parameters
    ----------
    layer : str
        ``chosen``: each model at the layer that its protocol chooses. ``best``: at the layer of highest pooled score on
        the test sets. Or a regular expression that the names of layers match.

    Raises
    ------
    ValueError
        A model has several such layers.
    """
    rows = whole(results)
    if layer == CHOSEN:
        rows = rows[rows.chosen]
    elif layer == BEST:
        single, keys = rows[rows.layer != NESTED], ["model", "dataset", "protocol"]
        pooled = single[single.participant == POOLED]
        rows = single.merge(pooled.loc[pooled.groupby(keys).r.idxmax(), [*keys, "layer"]], on=[*keys, "layer"])
    else:
        rows = rows[rows.layer.str.fullmatch(layer)]
    rows = rows[rows.participant != POOLED]
    twice = rows.duplicated([*WHO, "model"])
    if twice.any():
        model = rows.model[twice].iloc[0]
        raise ValueError(f"{model} has several layers {layer!r}. Give an expression that only one matches.")
    return rows.pivot(index=WHO, columns="model", values="r")


def by_model(results: pd.DataFrame) -> pd.DataFrame:
    """Score of each model on each data set, and on average where there are several, in results of `over_data_sets`.

    ``model``, ``dataset``, ``protocol``, ``layer``, ``r``, ``ceiling``, ``r_normalized``, ``mad``; ``estimate``,
    ``low``, ``high``, ``n`` of `over_participants`; and `ABOUT` the model. The average is over scores and ceilings of
    data sets that count in it (`averaged`); it has no layer, and no deviation.
    """
    rows, everyone = whole(results), people(results)
    rows = rows[rows.chosen & (rows.participant == POOLED)]
    rows = rows[["model", "dataset", "protocol", "layer", "r", "ceiling", "r_normalized", "mad", *ABOUT]]
    if len(several := averaged(results)) > 1:
        groups = rows[rows.dataset.isin(several)].groupby(["model", "protocol", *ABOUT], sort=False, dropna=False)
        mean = groups[["r", "ceiling"]].mean().reset_index()
        mean = mean.assign(dataset=AVERAGE, r_normalized=mean.r / mean.ceiling, layer="", mad=np.nan)
        rows = pd.concat([rows, mean], ignore_index=True)
    intervals = []
    for row in rows.itertuples():
        own = everyone.xs(row.protocol, level="protocol")[row.model]
        intervals.append(over_participants(own if row.dataset == AVERAGE else own.xs(row.dataset, drop_level=False)))
    return pd.concat([rows.reset_index(drop=True), pd.DataFrame(intervals)], axis=1)


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_model` on the average over data sets, or on the only one that counts in it."""
    if (table.dataset == AVERAGE).any():
        return table[table.dataset == AVERAGE]
    names = informative(table.dataset[table.n > 1]) or informative(table.dataset)
    return table[table.dataset == names[0]]


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
class Scores:
    """Brain scores of a study under some of its protocols, which go from the most lenient to the strictest.

    `measured` are rows of ``study.results(study, "brain")``, and `results` the same with experiments averaged.
    """

    study: Study
    protocols: list[str]
    measured: pd.DataFrame

    @cached_property
    def results(self) -> pd.DataFrame:
        """What was measured, as from `over_data_sets`."""
        return over_data_sets(self.measured)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Scores of all models on all data sets (`by_model`)."""
        return by_model(self.results)

    @property
    def headline(self) -> pd.DataFrame:
        """Scores on the average over data sets, or on the only one."""
        return headline(self.table)

    @cached_property
    def datasets(self) -> list[str]:
        """Data sets that count in averages; where there are several, their average comes first."""
        names = averaged(self.results)
        return [AVERAGE, *names] if len(names) > 1 else names

    @cached_property
    def models(self) -> pd.DataFrame:
        """`ABOUT` each model and control, by name."""
        return self.results.drop_duplicates("model").set_index("model")

    @property
    def trained(self) -> list[str]:
        """Language models, vanilla or tuned, without their untrained twins."""
        return list(self.models.index[(self.models.origin == "model") & (self.models.kind != UNTRAINED)])

    @property
    def twins(self) -> dict[str, list[str]]:
        """Untrained twins of each trained model that has any."""
        twins = {name: list(self.models.index[self.models.twin_of == name]) for name in self.trained}
        return {name: names for name, names in twins.items() if names}

    @property
    def untrained(self) -> list[str]:
        """All untrained twins."""
        return [name for names in self.twins.values() for name in names]

    @property
    def controls(self) -> list[str]:
        """Those of `CONTROLS` that the study has."""
        return [name for name in CONTROLS if name in self.models.index]

    @property
    def pairs(self) -> pd.DataFrame:
        """Rows of the tuned models whose vanilla model is here too."""
        tuned = (self.models.kind == "instruction-tuned") & (self.models.origin == "model")
        return self.models[tuned & self.models.vanilla.isin(self.models.index)]

    @property
    def members(self) -> dict[str, str]:
        """Labels of what is compared, by column of `under`."""
        models = {name: name for name in self.trained} if len(self.trained) <= FEW else {"ours": "trained models, mean"}
        controls = {name: CONTROLS[name] for name in self.controls}
        twins = {"twins": "untrained twins, mean"} if self.untrained else {}
        return {**models, "static": "static embeddings", **controls, **twins}

    @property
    def lenient(self) -> str:
        """The most lenient protocol."""
        return self.protocols[0]

    @property
    def strict(self) -> str:
        """The strictest protocol."""
        return self.protocols[-1]

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """Scores of participants at the layer that the protocol chooses (`people`)."""
        return people(self.results)

    @cached_property
    def best(self) -> pd.DataFrame:
        """Scores of participants at the layer that is best on the test sets."""
        return people(self.results, BEST)

    @cached_property
    def static(self) -> pd.DataFrame:
        """Scores of participants at static embeddings."""
        return people(self.results, STATIC)

    def people(self, protocol: str) -> pd.DataFrame:
        """Scores of participants under one protocol, at the layer that it chooses."""
        return self.chosen.xs(protocol, level="protocol")

    def under(self, protocol: str) -> pd.DataFrame:
        """The same with ``ours``, the models' mean, ``static`` and ``twins``, that of theirs."""
        chosen, static = self.people(protocol), self.static.xs(protocol, level="protocol")
        means = {"ours": chosen[self.trained].mean(axis=1), "static": static[self.trained].mean(axis=1)}
        means |= {"twins": chosen[self.untrained].mean(axis=1)} if self.untrained else {}
        return chosen.assign(**means)


def read(study: Study, protocol: str = "") -> Scores:
    """Read what a study measured under all of its protocols, or under the one that is asked for.

    Raises
    ------
    LookupError
        The study does not have the protocol.
    """
    protocols, results = chosen_protocols(study, protocol), studies.results(study, "brain")
    return Scores(study, protocols, results[results.protocol.isin(protocols)])


def number_of_models(scores: Scores) -> Live:
    """How many trained models there are."""
    n = len(scores.trained)
    return Live("models.n", f"{n} trained language model{'s' * (n != 1)}", method="run in this study")


def numbers_of_members(scores: Scores) -> list[Live]:
    """How many models and participants there are, and the two protocols of figures."""
    index = scores.chosen.index
    names = averaged(index.to_frame(index=False))
    people = index[index.get_level_values("dataset").isin(names)].droplevel("protocol")
    return [
        number_of_models(scores),
        Live("models", ", ".join(scores.trained)),
        Live("people.n", people.nunique(), "d", method="participants"),
        Live("pairs.n", len(scores.pairs), "d", method="tuned models with their vanilla one in the study"),
        Live("protocol.lenient", scores.lenient),
        Live("protocol.strict", scores.strict),
    ]
