"""What correlates with brain alignment among the models of a study: size, knowledge, reasoning, next-word loss.

A property is one number a model: its size, or what a benchmark gave it, over all of the benchmark or by category. A row
a model, correlations over models, and inside families.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.statistics.clusters import Estimate, correlation_by_cluster
from brainalign.statistics.correlations import Correlation, partial_pearson, pearson

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
RESULT = ["estimate", "low", "high", "p", "n"]


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
    """Properties that a study knows of its models (as of `scored`), by role; categories come after the whole."""
    measured = capability[capability.level != "task"].drop_duplicates(["measure", "protocol", "domain"])
    properties = [Property(SIZE, "Parameters (log10)", SIZE, SIZE, None, ALL)]
    for role, measures in ANSWERS.items():
        for measure in measures:
            rows = measured[measured.measure == measure]
            several = rows.protocol.nunique() > 1 or role == LOSS  # noqa: PD101 (missing ones do not count)
            for row in rows.sort_values("level", key=lambda level: level != OVERALL, kind="stable").itertuples():
                name = measure if row.domain == ALL else f"{measure}, {row.domain}"
                protocol = row.protocol if several and pd.notna(row.protocol) else None
                name += f" ({protocol})" if protocol else ""
                label = f"{name[0].upper()}{name[1:]} ({UNITS.get(measure, SHARE)})"
                properties.append(Property(name, label, role, measure, protocol, row.domain))
    return properties


def quoted(properties: list[Property]) -> dict[str, Property]:
    """The property of each role that pages quote."""
    first = {item.role: item for item in reversed(properties)}
    return {role: first[role] for role in ROLES if role in first}


def models(capability: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Trained models beside what may correlate with their alignment.

    `capability` is one of `scored`; `scores` has ``model``, ``protocol`` and ``r``, as from `scores.by_model`, of one
    data set.

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
    for item in properties(capability)[1:]:
        rows = trained[(trained.measure == item.measure) & (trained.domain == item.domain)]
        if item.protocol is not None or item.role == LOSS:
            rows = rows[rows.protocol.isna() if item.protocol is None else rows.protocol == item.protocol]
        table[item.name] = table.model.map(rows.groupby("model").value.mean())
    aligned = scores.pivot(index="model", columns="protocol", values="r")
    return table.merge(aligned, on="model", how="left").reset_index(drop=True)


def enough(models: pd.DataFrame) -> bool:
    """Whether there are models and bases enough to correlate anything over them."""
    return len(models) >= FEWEST and _varies(models.base)


def _varies(values: pd.Series) -> bool:
    return bool((values != values.iloc[0]).any())


def correlations(models: pd.DataFrame, properties: list[Property], protocols: list[str], **bootstrap) -> pd.DataFrame:
    """Correlations of each property with brain alignment under each protocol, both columns of `models`.

    A property that fewer than `FEWEST` models have is left out; `bootstrap` is as in `clusters.correlation_by_cluster`.

    Returns
    -------
    DataFrame
        ``protocol``, ``property``, ``overall``, ``method`` (`PLAIN`, `GIVEN_SIZE`, `BY_BASE`), ``estimate``, ``low``,
        ``high``, ``p``, ``n`` models, and ``adjusted``: p for the false discovery rate over all rows of one method,
        those of categories apart. No rows if there are not `enough` models.
    """
    rows = [
        {"protocol": protocol, "property": item.name, "overall": item.overall, "method": method} | estimate
        for protocol in protocols
        for item in (properties if enough(models) else [])
        for method, estimate in _by_methods(models, item, protocol, bootstrap).items()
    ]
    table = pd.DataFrame(rows, columns=["protocol", "property", "overall", "method", *RESULT]).astype({"overall": bool})
    groups = table.groupby(["method", "overall"]).p
    return table.assign(adjusted=groups.transform(scipy.stats.false_discovery_control) if rows else table.p)


def _by_methods(models: pd.DataFrame, item: Property, protocol: str, bootstrap: dict) -> dict[str, dict]:
    """Correlations of one property by method; none if too few models have it, or all have the same."""
    rows = models.dropna(subset=[item.name, SIZE, protocol])
    if len(rows) < FEWEST or not _varies(rows[item.name]):
        return {}
    results = {PLAIN: pearson(rows[item.name], rows[protocol])}
    if item.role != SIZE and len(rows) > FEWEST:  # a third property takes one model more
        results[GIVEN_SIZE] = partial_pearson(rows[item.name], rows[protocol], rows[SIZE])
    if item.overall:
        results[BY_BASE] = correlation_by_cluster(rows, item.name, protocol, "base", **bootstrap)
    return {method: as_row(result) for method, result in results.items()}


def as_row(result: Correlation | Estimate) -> dict[str, float]:
    """A correlation as part of a row: the columns of `RESULT`."""
    return {name: getattr(result, name) for name in RESULT}


def by_family(models: pd.DataFrame, properties: list[Property], protocols: list[str]) -> pd.DataFrame:
    """Plain correlations inside each ``family`` of `FEWEST` or more models; else as `correlations`."""
    rows = [
        {"protocol": protocol, "property": item.name, "family": family}
        | as_row(pearson(part[item.name], part[protocol]))
        for protocol in protocols
        for item in properties
        for family, part in models.dropna(subset=[item.name, protocol]).groupby("family", sort=False)
        if len(part) >= FEWEST and _varies(part[item.name])
    ]
    return pd.DataFrame(rows, columns=["protocol", "property", "family", *RESULT])
