"""Figures 1D and 1E: what becomes of a model while it is tuned, over seeds and under each condition.

What a study did not run has no number.
"""

import re
from typing import NamedTuple

import pandas as pd

from brainalign import messages
from brainalign.alignment.protocols import PROTOCOLS
from brainalign.paper.figures.tuning_course import BRAIN, CONTINUED, LOSS_ON, NULL_BRAIN, WITH, WITHOUT
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import estimates, scores
from brainalign.paper.sections.estimates import live, lives, over_seeds
from brainalign.study import Study
from brainalign.study.description.loading import NULL

CONDITIONS = {"instruction": WITH, "no-instruction": WITHOUT, "continued": CONTINUED}
NAMES = {WITH: "with", WITHOUT: "without", CONTINUED: "continued"}  # in keys
# Verbs for what lies above zero, below, or neither: of differences between conditions, and of changes.
COMPARED = ("exceeds", "falls behind", "does not reliably differ from")
CHANGED = ("rises", "falls", "does not reliably change")
DIFFERENCES = {"difference": WITHOUT, "over-continued": CONTINUED}  # what is taken from the change with the instruction
KNOWLEDGE, REASONING = "world knowledge", "reasoning"
SLUGS = {BRAIN: "brain", NULL_BRAIN: "null", KNOWLEDGE: "knowledge"}


class Panel(NamedTuple):
    """What one panel shows: a measure, under a protocol if it is an alignment with recordings."""

    measure: str
    protocol: str

    @property
    def title(self) -> str:
        """What figures call it."""
        return self.measure.capitalize() + (f", {self.protocol}" if self.protocol else "")

    @property
    def key(self) -> str:
        """What keys of its changes begin with: ``change.brain.contiguous``."""
        slug = "text-loss" if self.measure.startswith(LOSS_ON) else re.sub(r"\W+", "-", self.measure)
        return ".".join(filter(None, ["change", SLUGS.get(self.measure, slug), self.protocol]))


def curves(results: pd.DataFrame) -> pd.DataFrame:
    """Values of checkpoints by seed, averaged over recordings; those without a text-driven signal are apart.

    `results` are those of ``study.results(study, "tuning")``; benchmarks that have protocols of their own are left out.
    ``tuned``, ``condition`` (of `CONDITIONS`), ``measure`` (`BRAIN`, `NULL_BRAIN`, or what else was scored),
    ``protocol`` (of brain alignment; empty for others), ``seed``, ``step`` and ``value``.
    """
    results = results[results.protocol.isna() | results.protocol.isin(PROTOCOLS)]
    null, scored = results.measure.str.endswith(NULL), results.protocol.notna()
    measure = results.measure.mask(scored & ~null, BRAIN).mask(scored & null, NULL_BRAIN)
    condition = results.condition.map(CONDITIONS)
    table = results.assign(measure=measure, condition=condition, protocol=results.protocol.fillna(""))
    table = table.rename(columns={"tuning_seed": "seed"}).astype({"seed": int, "step": int})
    keys = ["tuned", "condition", "measure", "protocol", "seed", "step"]
    averaged = table.groupby(keys, sort=False).value.mean().reset_index()
    return averaged.sort_values("step", kind="stable", ignore_index=True)


def select(curves: pd.DataFrame, model: str, study: Study) -> pd.DataFrame:
    """Curves of one model that the study tunes, or of the first if none is named.

    Raises
    ------
    LookupError
        The study does not tune it; the message suggests near names.
    """
    tuned = list(dict.fromkeys(curves.tuned))
    if model and model not in tuned:
        raise LookupError(messages.unknown(f"model that study {study.name} tunes", model, tuned))
    return curves[curves.tuned == (model or tuned[0])]


def protocols(curves: pd.DataFrame, protocol: str, study: Study) -> list[str]:
    """The strictest and the most lenient protocol of the study, or the one that is asked for.

    Raises
    ------
    LookupError
        The study does not have it, or no checkpoint is scored under it; the message suggests near names.
    """
    ends = scores.both_ends(study, protocol)
    scored = list(dict.fromkeys(curves.protocol[curves.protocol != ""]))
    if protocol and protocol not in scored:
        raise LookupError(messages.unknown("protocol under which checkpoints are scored", protocol, scored))
    return ends


def panels(curves: pd.DataFrame, protocols: list[str]) -> dict[str, list[Panel]]:
    """What Figures 1D and 1E show: brain alignment, and whatever else was measured."""
    others = dict.fromkeys(name for name in curves.measure if name not in (BRAIN, NULL_BRAIN))
    order = sorted(others, key=lambda name: {KNOWLEDGE: 0, REASONING: 1}.get(name, 2))
    groups = {"figure-1d": _measured(curves, BRAIN, protocols), "figure-1e": [Panel(name, "") for name in order]}
    return {name: group for name, group in groups.items() if group}


def null_panels(curves: pd.DataFrame, protocols: list[str]) -> dict[str, list[Panel]]:
    """The same for the recording without a text-driven signal; nothing if the study has none."""
    group = _measured(curves, NULL_BRAIN, protocols)
    return {"tuning-null": group} if group else {}


def _measured(curves: pd.DataFrame, measure: str, protocols: list[str]) -> list[Panel]:
    scored = set(curves.protocol[curves.measure == measure])
    return [Panel(measure, protocol) for protocol in protocols if protocol in scored]


def changes(curves: pd.DataFrame) -> pd.DataFrame:
    """Value at the last step minus that at the first as ``change``, in the unit of the measure, for each seed."""
    keys = ["tuned", "condition", "measure", "protocol", "seed"]
    ordered = curves.sort_values("step").groupby(keys, sort=False).value
    return (ordered.last() - ordered.first()).rename("change").reset_index()


def difference(changes: pd.DataFrame, other: str = WITHOUT) -> dict | None:
    """Change of one measure with the instruction minus that under another condition, as `over_seeds`.

    Seed by seed, since equal seeds see the samples in one order; None where no seed has both.
    """
    wide = changes.pivot(index="seed", columns="condition", values="change").reindex(columns=[WITH, other]).dropna()
    return over_seeds(wide[WITH] - wide[other]) if len(wide) else None


def effects(changes: pd.DataFrame) -> pd.DataFrame:
    """Changes of one model over seeds (`over_seeds`), under each condition and between conditions.

    Rows have their ``measure``, ``protocol``, ``effect`` (of `NAMES` or `DIFFERENCES`) and ``verdict``, a verb.
    """
    rows = []
    for (measure, protocol), group in changes.groupby(["measure", "protocol"], sort=False):
        seeds = {NAMES[condition]: over_seeds(part.change) for condition, part in group.groupby("condition")}
        between = {name: difference(group, other) for name, other in DIFFERENCES.items()}
        rows += [
            {"measure": measure, "protocol": protocol, "effect": name, **row, "verdict": estimates.verdict(row, *words)}
            for effects, words in ((seeds, CHANGED), (between, COMPARED))
            for name, row in effects.items()
            if row is not None
        ]
    return pd.DataFrame(rows)


def numbers_of_design(curves: pd.DataFrame) -> list[Live]:
    """Which model is tuned, over how many seeds, steps and checkpoints, and under which conditions."""
    conditions = [condition for condition in NAMES if condition in set(curves.condition)]
    return [
        Live("model", curves.tuned.iloc[0]),
        Live("seeds.n", curves.seed.nunique(), "d", method="seeds, of the order of samples"),
        Live("steps.last", curves.step.max(), "d", method="steps of tuning"),
        Live("checkpoints.n", curves.step.nunique(), "d", method="checkpoints"),
        Live("conditions", ", ".join(conditions)),
    ]


def numbers_of_effects(effects: pd.DataFrame) -> list[Live]:
    """Each effect, as ``change.MEASURE.PROTOCOL.EFFECT``, and its verdict."""
    pairs = zip(effects.measure, effects.protocol, strict=True)
    rows = effects.assign(key=[Panel(*pair).key for pair in pairs])
    return [
        *lives(rows, "{key}.{effect}", "+.3f", method="last minus first checkpoint; t over seeds"),
        *(
            Live(f"{row.key}.{row.effect}.verdict", row.verdict, method="by the interval over seeds")
            for row in rows.itertuples()
        ),
    ]


def numbers_of_null(curves: pd.DataFrame) -> list[Live]:
    """Alignment with the null recording at the last checkpoint, as ``null.last.PROTOCOL``."""
    last = curves[(curves.measure == NULL_BRAIN) & (curves.condition == WITH) & (curves.step == curves.step.max())]
    method = "last checkpoint, with the instruction; t over seeds"
    return [
        live(f"null.last.{protocol}", over_seeds(values), ".3f", method=method)
        for protocol, values in last.groupby("protocol", sort=False).value
    ]


def labelled(changes: pd.DataFrame, panels: list[Panel]) -> pd.DataFrame:
    """Changes of what the panels show, in their order, with the ``label`` of each row."""
    place = {panel: number for number, panel in enumerate(panels)}
    measured = [Panel(*pair) for pair in zip(changes.measure, changes.protocol, strict=True)]
    table = changes.assign(label=[panel.title for panel in measured], place=[place.get(panel) for panel in measured])
    return table.dropna(subset="place").sort_values("place", kind="stable").drop(columns="place")


def means(curves: pd.DataFrame) -> pd.DataFrame:
    """Curves over seeds: a row a step, with `over_seeds`."""
    keys = ["tuned", "condition", "measure", "protocol", "step"]
    groups = curves.groupby(keys, sort=False).value
    return pd.DataFrame([dict(zip(keys, key, strict=True)) | over_seeds(values) for key, values in groups])


def means_of(panels: list[Panel], curves: pd.DataFrame) -> pd.DataFrame:
    """`means` of what the panels show."""
    table = means(curves)
    return table[[pair in panels for pair in zip(table.measure, table.protocol, strict=True)]]


def null_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Curves of alignment with the null recording."""
    return curves[curves.measure == NULL_BRAIN].drop(columns="tuned")


def verdict(effects: pd.DataFrame, panel: Panel, effect: str = "with") -> str:
    """What tuning does to a measure, in a verb."""
    return effects.set_index(["measure", "protocol", "effect"]).verdict.get((*panel, effect), "not run")


def findings(panels: list[Panel], effects: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Panels with their titles, as `figures.tuning_course.draw_curves` takes them."""
    return [(*panel, f"{panel.title}: {verdict(effects, panel)} with the instruction") for panel in panels]


def title_of_changes(panel: Panel, effects: pd.DataFrame) -> str:
    """What tuning does to brain alignment, with the instruction and without it."""
    with_it, without = verdict(effects, panel), verdict(effects, panel, "without")
    return f"Brain alignment {with_it} with the instruction and {without} without it"


def title_of_curves(panels: list[Panel], effects: pd.DataFrame) -> str:
    """What tuning with the instruction does to each measure."""
    return "While a model is tuned: " + "; ".join(f"{panel.title} {verdict(effects, panel)}" for panel in panels)


def title_of_null(panels: list[Panel], effects: pd.DataFrame) -> str:
    """What tuning does to alignment with the null recording."""
    verdicts = [f"{verdict(effects, panel)} under {panel.protocol}" for panel in panels]
    return f"Without a text-driven signal, alignment {'; '.join(verdicts)}"
