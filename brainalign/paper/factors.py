"""What goes with brain alignment among the models of a study: size, knowledge, reasoning, next-word loss.

A property is one number a model: its size, or what a benchmark gave it, over all of the benchmark or by category. A row
a model, correlations over models, and inside families.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign.paper.clusters import correlation_by_cluster
from brainalign.paper.statistics import fdr, partial_pearson, pearson

SIZE, KNOWLEDGE, REASONING, LOSS = "size", "world knowledge", "reasoning", "next-word loss"
ROLES = (SIZE, KNOWLEDGE, REASONING, LOSS)  # what the paper asks of; several measures may answer
# What answers which, those first that a page quotes where a study has more than one. Tokens differ between
# tokenizers, so of losses a share of words or bytes comes first.
ANSWERS = {
    KNOWLEDGE: ("MMLU", KNOWLEDGE),
    REASONING: ("BBH", REASONING),
    LOSS: (LOSS, "WikiText-2 bits per byte", "WikiText-2 loss"),
}
UNITS = {LOSS: "bits per word", "WikiText-2 bits per byte": "bits per byte", "WikiText-2 loss": "nats per token"}
SHARE = "share right"
PLAIN, GIVEN_SIZE, BY_BASE = "Pearson", "partial Pearson", "Pearson, bootstrap over bases"
TRAINED = ("vanilla", "instruction-tuned")
FEWEST = 4  # models that a correlation with an interval takes
OVERALL, ALL = "overall", "all"


class Property(NamedTuple):
    """A number that each model has: ``name`` is short, ``label`` has its unit, ``role`` is one of `ROLES`."""

    name: str
    label: str
    role: str
    measure: str
    protocol: str | None  # of the benchmark; None where there is one
    domain: str

    @property
    def overall(self) -> bool:
        """Whether it is over all of a benchmark, not one of its categories."""
        return self.domain == ALL


def scored(capability: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``study.results(study, "capability")``, with a ``protocol`` even where all is scored in one way.

    Losses of encoder-decoders on what continues a text count as those of causal models, which read no other way.
    """
    protocol = capability.reindex(columns=["protocol"]).protocol
    return capability.assign(protocol=protocol.where(protocol != "continuation"))


def properties(capability: pd.DataFrame) -> list[Property]:
    """Properties that a study knows of its models, as their roles go; categories come after the whole.

    Parameters
    ----------
    capability : DataFrame
        Of `scored`.
    """
    known = capability[capability.level != "task"].drop_duplicates(["measure", "protocol", "domain"])
    found = [Property(SIZE, "Parameters (log10)", SIZE, SIZE, None, ALL)]
    for role, measures in ANSWERS.items():
        for measure in measures:
            rows = known[known.measure == measure]
            several = rows.protocol.nunique() > 1 or role == LOSS  # noqa: PD101 (missing ones do not count)
            for row in rows.sort_values("level", key=lambda level: level != OVERALL, kind="stable").itertuples():
                name = measure if row.domain == ALL else f"{measure}, {row.domain}"
                protocol = row.protocol if several and pd.notna(row.protocol) else None
                name += f" ({protocol})" if protocol else ""
                label = f"{name[0].upper()}{name[1:]} ({UNITS.get(measure, SHARE)})"
                found.append(Property(name, label, role, measure, protocol, row.domain))
    return found


def quoted(known: list[Property]) -> dict[str, Property]:
    """The property of each role that pages quote."""
    return {
        role: next(one for one in known if one.role == role) for role in ROLES if any(p.role == role for p in known)
    }


def models(capability: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Trained models beside what may go with their alignment.

    Parameters
    ----------
    capability : DataFrame
        Of `scored`.
    scores : DataFrame
        As from `brain_tables.scores`, of one data set: ``model``, ``protocol`` and ``r``.

    Returns
    -------
    DataFrame
        ``model``, ``family``, ``kind``, ``vanilla``, ``base`` (the model itself if it is vanilla); a column for each of
        `properties` by name, means over texts; and a column a protocol (Pearson r). NaN where something was not
        measured.
    """
    trained = capability[capability.kind.isin(TRAINED)]
    table = trained.drop_duplicates("model")[["model", "family", "kind", "vanilla", "parameters"]]
    table = table.assign(base=table.vanilla.fillna(table.model), **{SIZE: np.log10(table.pop("parameters"))})
    for one in properties(capability)[1:]:
        rows = trained[(trained.measure == one.measure) & (trained.domain == one.domain)]
        if one.protocol is not None or one.role == LOSS:
            rows = rows[rows.protocol.isna() if one.protocol is None else rows.protocol == one.protocol]
        table[one.name] = table.model.map(rows.groupby("model").value.mean())
    aligned = scores.pivot(index="model", columns="protocol", values="r")
    return table.merge(aligned, on="model", how="left").reset_index(drop=True)


def enough(table: pd.DataFrame) -> bool:
    """Whether there are models and bases enough to correlate anything over them."""
    return len(table) >= FEWEST and _varies(table.base)


def correlations(table: pd.DataFrame, known: list[Property], protocols: list[str], **bootstrap) -> pd.DataFrame:
    """Correlations of each property with brain alignment under each protocol.

    Parameters
    ----------
    table : DataFrame
        As from `models`.
    known : list of Property
        Columns of it; one that fewer than `FEWEST` models have is left out.
    protocols : list of str
        Columns of it.
    **bootstrap
        As in `clusters.correlation_by_cluster`.

    Returns
    -------
    DataFrame
        ``protocol``, ``property``, ``overall``, ``method`` (`PLAIN`, `GIVEN_SIZE`, `BY_BASE`), ``estimate``, ``low``,
        ``high``, ``p``, ``n`` models, and ``adjusted``: p for the false discovery rate over all rows of one method,
        those of categories apart.

    Raises
    ------
    ValueError
        There is nothing to correlate, or as in `statistics.pearson`, `statistics.partial_pearson` and
        `clusters.correlation_by_cluster`.
    """
    rows = []
    for protocol in protocols:
        for one in known:
            some = table.dropna(subset=[one.name, SIZE, protocol])
            if len(some) < FEWEST or not _varies(some[one.name]):  # the study does not measure it, or cannot tell
                continue
            for method, (r, of) in _by_methods(some, one, protocol, bootstrap).items():
                row = {"protocol": protocol, "property": one.name, "overall": one.overall, "method": method}
                rows.append(row | {"estimate": r, "low": of.low, "high": of.high, "p": of.p, "n": of.n})
    if not rows:
        raise ValueError(f"of {len(table)} models none can be correlated; at least {FEWEST} are needed")
    result = pd.DataFrame(rows)
    return result.assign(adjusted=result.groupby(["method", "overall"]).p.transform(fdr))


def _varies(values: pd.Series) -> bool:
    return bool((values != values.iloc[0]).any())


def _by_methods(some: pd.DataFrame, one: Property, protocol: str, bootstrap: dict) -> dict:
    plain = pearson(some[one.name], some[protocol])
    found = {PLAIN: (plain.r, plain)}
    if one.role != SIZE and len(some) > FEWEST:  # a third property takes one model more
        given = partial_pearson(some[one.name], some[protocol], some[SIZE])
        found[GIVEN_SIZE] = (given.r, given)
    if one.overall:
        clustered = correlation_by_cluster(some, one.name, protocol, "base", **bootstrap)
        found[BY_BASE] = (clustered.estimate, clustered)
    return found


def by_family(table: pd.DataFrame, known: list[Property], protocols: list[str]) -> pd.DataFrame:
    """Plain correlations inside each family of `FEWEST` or more models.

    Parameters
    ----------
    table, known, protocols
        As in `correlations`.

    Returns
    -------
    DataFrame
        ``protocol``, ``property``, ``family``, ``estimate``, ``low``, ``high``, ``p``, ``n``.
    """
    rows = []
    for protocol in protocols:
        for one in known:
            for family, some in table.dropna(subset=[one.name, protocol]).groupby("family", sort=False):
                if len(some) >= FEWEST and _varies(some[one.name]):
                    of = pearson(some[one.name], some[protocol])
                    about = {"protocol": protocol, "property": one.name, "family": family}
                    rows.append(about | {"estimate": of.r, "low": of.low, "high": of.high, "p": of.p, "n": of.n})
    columns = ["protocol", "property", "family", "estimate", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=columns)
