"""Where one model of a study stands: among the printed ones, beside its counterparts, above its controls or not."""

import numpy as np
import pandas as pd

from brainalign.paper.claims.printed import BRAIN_DATASETS
from brainalign.paper.figures import NAMES, PRINTED_AXES
from brainalign.paper.sections import scores
from brainalign.paper.sections.estimates import over_participants, verdict
from brainalign.study.description.loading import averaged
from brainalign.study.description.members import CONTROL, SELF, TWIN

PAPER = "aw2024"  # the protocol that the printed scores come from
CAPABILITY = {"mmlu": "MMLU", "bbh": "BBH", "wikitext2_nwp_loss": "WikiText-2 loss"}
SCORED_BY = ("instruct-eval", "standard")  # the paper's first
BEHAVIOR = "futrell2018"
ABOVE, ABOVE_ZERO = "above", "above zero"
NONE = "no protocol"


def on_axes(results: pd.DataFrame) -> pd.DataFrame:
    """Values of models on the axes of the interactive scatter, as far as a study has them.

    `results` are rows of `study.results` of some models and all analyses, which the column ``analysis`` tells apart. A
    row has ``model``, ``axis`` (of `figures.PRINTED_AXES`), ``value``, ``of`` (what it was measured on), and ``same``:
    whether that is what the paper measured it on.
    """
    rows = [
        (model, axis, *value)
        for model, own in results.groupby("model", sort=False)
        for axis, value in _values(own).items()
    ]
    return pd.DataFrame(rows, columns=["model", "axis", "value", "of", "same"])


def _values(own: pd.DataFrame) -> dict[str, tuple[float, str, bool]]:
    """By axis: the value of one model, on what it was measured, and whether the paper did so."""
    # A study that measures one thing has no columns of another.
    own = own.reindex(columns=list(dict.fromkeys([*own.columns, "protocol", "story", "level", "measure", "value"])))
    values = {"log_size": (float(np.log10(own.parameters.dropna().iloc[0])), "its weights", True)}
    brain = own[(own.analysis == "brain") & (own.protocol == PAPER)]
    if len(brain):
        over_data_sets = scores.over_data_sets(brain)
        r, names = scores.by_model(over_data_sets).set_index("dataset").r, averaged(over_data_sets)
        values |= {name: (r[name], name, True) for name in names if name in NAMES}
        values["average"] = (r[names].mean(), ", ".join(names), set(names) == set(BRAIN_DATASETS))
    read = own[(own.analysis == "behavior") & (own.protocol == PAPER) & (own.story == "all")]
    if len(read):
        published = read.dataset.isin([BEHAVIOR])
        row = (read[published] if published.any() else read).iloc[0]
        values[BEHAVIOR] = (abs(row.value), row.dataset, bool(published.any()))
    capability = own[(own.analysis == "capability") & (own.level == "overall")]
    for axis, measure in CAPABILITY.items():
        scored = capability[capability.measure == measure].set_index("protocol").value
        if by := [protocol for protocol in SCORED_BY if protocol in scored.index]:
            values[axis] = (scored[by[0]], f"{measure}, {by[0]}", by[0] == SCORED_BY[0])
        elif len(scored):
            values[axis] = (scored.iloc[0], measure, True)
    return {axis: values[axis] for axis in PRINTED_AXES if axis in values}


def beside_printed(values: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """Where values, as from `on_axes`, lie among those of the printed models.

    The same rows with ``label`` of the axis, ``printed_low``, ``printed_median``, ``printed_high``, and ``above``:
    "ABOVE of N", the printed models below the value.
    """
    ends = printed[values.axis.unique()].agg(["min", "median", "max"])
    below = [(printed[axis] < value).sum() for axis, value in zip(values.axis, values.value, strict=True)]
    n = values.axis.map(printed.count())
    return values.assign(
        label=values.axis.map(NAMES),
        printed_low=values.axis.map(ends.loc["min"]),
        printed_median=values.axis.map(ends.loc["median"]),
        printed_high=values.axis.map(ends.loc["max"]),
        above=[f"{count} of {total}" for count, total in zip(below, n, strict=True)],
    )


def held_against(results: pd.DataFrame, roles: dict[str, str], protocols: list[str]) -> pd.DataFrame:
    """Brain alignment of a model, and what it is above each that it is held against, inside participants.

    `results` are as from `scores.over_data_sets`, of all of them; `roles` are of `study.related`. A row has
    ``protocol``, ``against`` (a name; empty for the model's own score), ``role``, ``estimate``, ``low``, ``high``,
    ``n`` participants, and ``verdict``.
    """
    people, model = scores.people(results), next(iter(roles))
    rows = []
    for protocol in protocols:
        table = people.xs(protocol, level="protocol")
        for name, role in roles.items():
            if name not in table:
                continue
            itself = role == SELF
            estimate = over_participants(table[model] if itself else table[model] - table[name])
            zero = (ABOVE_ZERO, "below zero", "not told from zero") if itself else (ABOVE, "below", "not told apart")
            about = {"protocol": protocol, "against": "" if itself else name, "role": role}
            rows.append(about | estimate | {"verdict": verdict(estimate, *zero)})
    return pd.DataFrame(rows)


def protocols_above(held: pd.DataFrame) -> dict[str, str]:
    """Protocols under which a model of `held_against` lies above zero, and above all controls and untrained twins.

    ``above-zero``, and ``above-controls`` if any of these was run.
    """
    controls = held[held.role.isin([CONTROL, TWIN])]
    zero = held[held.role == SELF].set_index("protocol").verdict == ABOVE_ZERO
    words = {"above-zero": ", ".join(zero.index[zero]) or NONE}
    if len(controls):
        over_controls = (controls.verdict == ABOVE).groupby(controls.protocol, sort=False).all()
        words["above-controls"] = ", ".join(over_controls.index[over_controls]) or NONE
    return words
