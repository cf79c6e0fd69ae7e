"""Scores of a study's participants: of its models, their untrained twins and static embeddings, and its controls.

scores = load(study)
scores.under("contiguous")[scores.trained]
"""

from dataclasses import dataclass

import pandas as pd

from brainalign import study as studies
from brainalign.paper import brain_tables
from brainalign.paper.publish.numbers import Live
from brainalign.study import Study
from brainalign.study.description.loading import informative

CONTROLS = {
    "oasm": "OASM (neighborhood)",
    "length": "length, or word rate",
    "position": "position",
    "length+position": "length and position",
    "random": "random features",
}
FEW = 6  # models that have a row of their own; of more, the mean


@dataclass(frozen=True)
class Scores:
    """Scores of the participants of a study, of its models and its controls.

    Attributes
    ----------
    study : Study
    protocols : list of str
        From the most lenient to the strictest.
    results : DataFrame
        As from ``study.results(study, "brain")``.
    about : DataFrame
        By name of a model or control: ``origin``, ``kind``, ``vanilla``, ``twin_of``.
    chosen, static, best : DataFrame
        As from `brain_tables.people`, at the layer that the protocol chooses, at static embeddings, and at the layer
        that is best on the test sets.
    """

    study: Study
    protocols: list[str]
    results: pd.DataFrame
    about: pd.DataFrame
    chosen: pd.DataFrame
    static: pd.DataFrame
    best: pd.DataFrame

    @property
    def trained(self) -> list[str]:
        """Language models, vanilla or tuned."""
        return list(self.about.index[(self.about.origin == "model") & (self.about.kind != "untrained")])

    @property
    def twins(self) -> list[str]:
        """Untrained twins of these."""
        return list(self.about.index[self.about.twin_of.isin(self.trained)])

    @property
    def controls(self) -> list[str]:
        """Those of `CONTROLS` that the study has."""
        return [name for name in CONTROLS if name in self.about.index]

    @property
    def pairs(self) -> pd.DataFrame:
        """Rows of the tuned models."""
        return self.about[(self.about.kind == "instruction-tuned") & (self.about.origin == "model")]

    @property
    def members(self) -> dict[str, str]:
        """Labels of what is compared, by column of `under`."""
        models = {name: name for name in self.trained} if len(self.trained) <= FEW else {"ours": "trained models, mean"}
        controls = {name: CONTROLS[name] for name in self.controls}
        twins = {"twins": "untrained twins, mean"} if self.twins else {}
        return {**models, "static": "static embeddings", **controls, **twins}

    @property
    def lenient(self) -> str:
        """The most lenient protocol."""
        return self.protocols[0]

    @property
    def strict(self) -> str:
        """The strictest protocol."""
        return self.protocols[-1]

    def under(self, protocol: str) -> pd.DataFrame:
        """Scores under one protocol; also ``ours``, the models' mean, ``static`` and ``twins``, that of theirs."""
        chosen, static = (table.xs(protocol, level="protocol") for table in (self.chosen, self.static))
        means = {"ours": chosen[self.trained].mean(axis=1), "static": static[self.trained].mean(axis=1)}
        means |= {"twins": chosen[self.twins].mean(axis=1)} if self.twins else {}
        return chosen.assign(**means)


def load(study: Study, protocol: str = "") -> Scores:
    """Read the results of a study, under one protocol or all of them."""
    protocols, results = brain_tables.chosen_protocols(study, protocol), studies.results(study, "brain")
    averaged = brain_tables.over_data_sets(results)
    about = averaged.drop_duplicates("model").set_index("model")
    layers = (brain_tables.CHOSEN, brain_tables.STATIC, brain_tables.BEST)
    return Scores(study, protocols, results, about, *(brain_tables.people(averaged, layer) for layer in layers))


def numbers_of_members(scores: Scores) -> list[Live]:
    """How many models and participants there are, and the two protocols of figures."""
    trained, index = scores.trained, scores.chosen.index
    plural = "" if len(trained) == 1 else "s"
    names = index.get_level_values("dataset")
    people = index[names.isin(informative(names))].droplevel("protocol")
    return [
        Live("models.n", f"{len(trained)} trained language model{plural}", method="run in this study"),
        Live("models", ", ".join(trained)),
        Live("people.n", people.nunique(), "d", method="participants"),
        Live("pairs.n", len(scores.pairs), "d", method="tuned models with their vanilla one in the study"),
        Live("protocol.lenient", scores.lenient),
        Live("protocol.strict", scores.strict),
    ]
