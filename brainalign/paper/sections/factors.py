"""Section 4.2 on a study's own models: what correlates with their alignment?

Too few models have an empty table of correlations, and no figures.
"""

from typing import NamedTuple

import pandas as pd

from brainalign.paper.publish.numbers import Live, correlation, p_value
from brainalign.paper.sections import columns, covariates, scores
from brainalign.paper.sections.capability import SLUGS
from brainalign.paper.sections.covariates import BY_BASE, GIVEN_SIZE, KNOWLEDGE, LOSS, PLAIN, REASONING, SIZE, Property
from brainalign.paper.sections.estimates import live
from brainalign.statistics import ALPHA

# Methods in keys, and in words.
METHODS = {PLAIN: "", GIVEN_SIZE: ".given-size", BY_BASE: ".by-base"}
WORDS = {PLAIN: "plain", GIVEN_SIZE: "given size", BY_BASE: "bootstrap over bases"}
BEHAVIOR = "behavioral alignment"
BRAIN_AXIS, BEHAVIOR_AXIS = "Brain alignment (Pearson r)", "Behavioral alignment (Pearson r)"
COLUMNS_OF_CORRELATIONS = (
    {"protocol": "Brain alignment", "measure": "Measure", "scored": "Scored by", "category": "Category"}
    | columns.interval(".2f", estimate="r")
    | {"adjusted": "p, adjusted"}
    | columns.numbers(".2f", given="r given size")
    | {"given_p": "p given size, adjusted"}
)


class Scatter(NamedTuple):
    """A figure of properties against alignment: what `figures.scatter` takes, its data and its title."""

    points: pd.DataFrame
    panels: list[tuple[str, str, str]]
    data: pd.DataFrame
    title: str


def alignment(results: pd.DataFrame) -> pd.DataFrame:
    """Brain alignment of each model (`scores.by_model`) on the average of data sets, or on the only one.

    `results` are those of ``study.results(study, "brain")``.
    """
    return scores.headline(scores.by_model(scores.over_data_sets(results)))


def behavior(capability: pd.DataFrame, results: pd.DataFrame, reading_times: list[str]) -> pd.DataFrame:
    """Trained models as of `covariates.models`, with the magnitude of r of surprisal with reading times as `BEHAVIOR`.

    Reading times are the study's first, aligned with words as first released, as in the paper; models without are left
    out. `capability` is that of `covariates.scored`, `results` those of ``study.results(study, "behavior")``.
    """
    rows = results.reindex(columns=["model", "measure", "story", "alignment", "dataset", "value"])
    rows = rows[(rows.measure == "r") & (rows.story == "all") & (rows.alignment == "original")]
    rows = rows[rows.dataset.isin(reading_times[:1])]
    models = covariates.models(capability, rows.assign(r=rows.value.abs(), protocol=BEHAVIOR))
    return models.dropna(subset=BEHAVIOR) if BEHAVIOR in models else models[:0]


def numbers_of_models(models: pd.DataFrame) -> list[Live]:
    """How many models there are, of how many bases, and how many are tuned if these can be correlated alone."""
    tuned = select_tuned(models)
    return [
        Live("models.n", len(models), "d", method="trained models"),
        Live("bases.n", models.base.nunique(), "d", method="vanilla models"),
        *([Live("tuned.n", len(tuned), "d", method="tuned models")] if covariates.enough(tuned) else []),
    ]


def select_tuned(models: pd.DataFrame) -> pd.DataFrame:
    """Tuned models alone."""
    return models[models.kind == "instruction-tuned"]


def numbers_of_correlations(correlations: pd.DataFrame, properties: list[Property]) -> list[Live]:
    """Correlations of the properties that pages quote, as ``r.PROPERTY.PROTOCOL``, with their p and verdict."""
    slugs, n_tests = _slugs(properties), len(_plain(correlations))
    numbers = [Live("tests.n", n_tests, "d", method="tests of one method, adjusted together")]
    for row in correlations[correlations.property.isin(slugs)].to_dict("records"):
        key = f"r.{slugs[row['property']]}.{row['protocol']}{METHODS[row['method']]}"
        method = f"{row['protocol']}; {row['method']}"
        numbers += _estimate(key, row, method)
        numbers += [Live(f"{key}.{name}", p_value(row[name]), method=method) for name in ("p", "adjusted")]
    return numbers


def numbers_of_behavior(correlations: pd.DataFrame, properties: list[Property]) -> list[Live]:
    """The same of `behavior`, as ``behavior.PROPERTY``."""
    slugs, plain = _slugs(properties), _plain(correlations)
    return [
        number
        for row in plain[plain.property.isin(slugs)].to_dict("records")
        for number in _estimate(f"behavior.{slugs[row['property']]}", row, "Pearson r over models")
    ]


def _slugs(properties: list[Property]) -> dict[str, str]:
    return {item.name: SLUGS[role] for role, item in covariates.quoted(properties).items()}


def _estimate(key: str, row: dict, method: str) -> list[Live]:
    verdict = Live(f"{key}.verdict", _verb(row["adjusted"] < ALPHA), method="by the adjusted p")
    return [live(key, row, method=method), verdict]


def _verb(reliable: bool) -> str:
    return "correlates" if reliable else "does not reliably correlate"


def _plain(correlations: pd.DataFrame, protocol: str | None = None) -> pd.DataFrame:
    """Plain correlations with properties over all of a benchmark, of one protocol or all."""
    rows = correlations[correlations.overall & (correlations.method == PLAIN)]
    return rows if protocol is None else rows[rows.protocol == protocol]


def forest(correlations: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of `figures.correlates.forest`, by the figure's name; no figure where nothing can be correlated."""
    return {"correlations": correlations[correlations.overall]} if len(correlations) else {}


def title_of_correlations(correlations: pd.DataFrame, protocol: str) -> str:
    """Which properties correlate with brain alignment under a protocol, and which do given size."""
    rows = correlations[correlations.overall & (correlations.protocol == protocol)]
    plain, given = (_reliable(rows[rows.method == method]) for method in (PLAIN, GIVEN_SIZE))
    return f"Under {protocol}, {_reliably(plain)} with alignment; given size, {_listed(given) or 'none'}"


def _reliable(correlations: pd.DataFrame) -> list[str]:
    return list(correlations.property[correlations.adjusted < ALPHA])


def _reliably(names: list[str]) -> str:
    return f"{_listed(names) or 'no property'} reliably {'correlate' if len(names) > 1 else 'correlates'}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def scatters(
    models: pd.DataFrame, correlations: pd.DataFrame, properties: list[Property], protocols: list[str]
) -> dict[str, Scatter]:
    """Figure 2 under each protocol, the strictest first, and Figure 7; none where nothing can be correlated."""
    if correlations.empty:
        return {}
    (strict, *_), lenient = protocols, protocols[-1]
    figures = {}
    for protocol in protocols:
        title = f"Under {protocol}, {_closest(_plain(correlations, protocol))}"
        names, end = _quoted(properties, *SLUGS), "" if protocol == strict else f"-{protocol}"
        figures[f"study-figure-2{end}"] = _scatter(models, correlations, properties, protocol, names, title)
    verb = _verb(SIZE in _reliable(_plain(correlations, lenient)))
    title = f"With the vanilla models, size {verb} with alignment under {lenient}"
    names = _quoted(properties, SIZE, LOSS)
    return figures | {"study-figure-7": _scatter(models, correlations, properties, lenient, names, title)}


def scatter_of_tuned(
    models: pd.DataFrame, properties: list[Property], protocol: str, **bootstrap
) -> dict[str, Scatter]:
    """Figure 6: tuned models alone; none where they are too few."""
    tuned = select_tuned(models)
    correlations = covariates.correlations(tuned, properties, [protocol], **bootstrap)
    if correlations.empty:
        return {}
    title = f"Among tuned models alone, {_closest(_plain(correlations))}"
    names = _quoted(properties, KNOWLEDGE, REASONING, SIZE, LOSS)
    return {"study-figure-6": _scatter(tuned, correlations, properties, protocol, names, title)}


def scatters_of_behavior(
    models: pd.DataFrame, correlations: pd.DataFrame, properties: list[Property]
) -> dict[str, Scatter]:
    """Figures 3 and 9; none where nothing can be correlated."""
    if correlations.empty:
        return {}
    plain = _plain(correlations)
    title = f"{_reliably(_reliable(plain))} with {BEHAVIOR}"
    figures = {"study-figure-3": _quoted(properties, KNOWLEDGE, SIZE, LOSS), "study-figure-9": list(plain.property)}
    return {
        figure: _scatter(models, correlations, properties, BEHAVIOR, names, title[0].upper() + title[1:])
        for figure, names in figures.items()
    }


def _quoted(properties: list[Property], *roles: str) -> list[str]:
    quoted = covariates.quoted(properties)
    return [quoted[role].name for role in roles if role in quoted]


def _closest(correlations: pd.DataFrame) -> str:
    row = correlations.loc[correlations.estimate.abs().idxmax()]
    return f"{row.property} has the closest correlation, {correlation(row.estimate)}"


def _scatter(
    models: pd.DataFrame,
    correlations: pd.DataFrame,
    properties: list[Property],
    protocol: str,
    names: list[str],
    title: str,
) -> Scatter:
    """Those of the named properties that are correlated with alignment under a protocol, a panel each."""
    labels = {item.name: item.label for item in properties}
    axis = BEHAVIOR_AXIS if protocol == BEHAVIOR else BRAIN_AXIS
    rows = _plain(correlations, protocol).set_index("property")[["estimate", "low", "high"]]
    names = [name for name in names if name in rows.index]
    panels = [(labels[name], axis, f"{name[0].upper()}{name[1:]}: {correlation(*rows.loc[name])}") for name in names]
    data = models[["model", "family", "kind", "vanilla", *names, protocol]]
    return Scatter(models.rename(columns=labels | {protocol: axis}), panels, data, title)


def table_of_correlations(
    models: pd.DataFrame, correlations: pd.DataFrame, properties: list[Property], protocols: list[str]
) -> dict[str, pd.DataFrame]:
    """Table 2: each property by category, given size and inside families; none where nothing can be correlated.

    By the table's name, plain rows of `covariates.correlations` with ``given`` and ``given_p`` (size), a column a
    family (Pearson r), ``measure``, ``category``, ``scored`` (by which protocol) and ``mean`` over models.
    """
    if correlations.empty:
        return {}
    keys = ["protocol", "property"]
    families = covariates.by_family(models, properties, protocols).pivot(
        index=keys, columns="family", values="estimate"
    )
    by_method = dict(list(correlations.set_index(keys).groupby("method")))
    given = by_method.get(GIVEN_SIZE, by_method[PLAIN][:0])[["estimate", "adjusted"]]
    given = given.rename(columns={"estimate": "given", "adjusted": "given_p"})
    table = by_method[PLAIN].join(given).join(families).reset_index()
    items = table.property.map({item.name: item for item in properties})
    table = table.assign(
        measure=[item.measure for item in items],
        category=[item.domain for item in items],
        scored=[item.protocol or "" for item in items],
        mean=[models[name].mean() for name in table.property],
        adjusted=table.adjusted.map(p_value),
        given_p=table.given_p.map(p_value, na_action="ignore").fillna(""),
    )
    return {"study-table-2": table}


def columns_of_correlations(table: pd.DataFrame, models: pd.DataFrame) -> dict:
    """Columns of `table_of_correlations`; that of protocols only where a benchmark has several."""
    shown = {name: spec for name, spec in COLUMNS_OF_CORRELATIONS.items() if name != "scored" or table.scored.any()}
    families = {name: f"r in {name}" for name in table if name in set(models.family)}
    return shown | columns.numbers(".2f", **families, mean="Mean over models") | columns.numbers(".0f", n="Models")
