"""What becomes of a model while it is tuned: checkpoints over seeds, under each condition."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn

from brainalign.paper.figures.parts import FAMILIES, GRAY, legend, name_rows, stacked
from brainalign.statistics.correlations import student

WITH, WITHOUT, CONTINUED = "with instruction", "without instruction", "continued pretraining"
TINTS = {WITH: FAMILIES["LLaMA"], WITHOUT: FAMILIES["T5"], CONTINUED: FAMILIES["GPT2"]}
BRAIN, NULL_BRAIN = "brain alignment", "null recording"
LOSS_ON = "loss on "  # whichever text people read
SHARE = "share of right answers"
# Beginnings of measures; of any other, a share of right answers.
UNITS = {BRAIN: "Pearson r", NULL_BRAIN: "Pearson r", "reading times": "Pearson r with time", LOSS_ON: "bits a word"}


def unit(measure: str) -> str:
    """What a measure is measured in."""
    return next((unit for beginning, unit in UNITS.items() if measure.startswith(beginning)), SHARE)


def interval(values) -> tuple[float, float]:
    """Ends of Student's 95 % interval of a mean over seeds."""
    row = student(values)
    return row["low"], row["high"]


def draw_curves(table: pd.DataFrame, panels: list[tuple[str, str, str]], zero: bool = False) -> plt.Figure:
    """Checkpoints along the tuning: each seed thin, their mean thick with its interval, one panel below the other.

    `table` is one of `instruction_tuning.curves`, of one model; `panels` have the measure, the protocol, and what is
    found. A line at `zero` shows how far away it is.
    """
    figure, axes = stacked(len(panels), 2.5 * len(panels), 4.4, sharex=True)
    steps = sorted(table.step.unique())
    table = table.assign(place=table.step.map(steps.index))  # checkpoints lie closer where more happens
    look = {"x": "place", "y": "value", "hue": "condition", "hue_order": list(TINTS), "palette": TINTS, "legend": False}
    for ax, (measure, protocol, title) in zip(axes, panels, strict=True):
        rows = table[(table.measure == measure) & (table.protocol == protocol)]
        seaborn.lineplot(rows, **look, ax=ax, units="seed", estimator=None, linewidth=0.7, alpha=0.5)
        mean = {"errorbar": interval, "markersize": 4, "linewidth": 1.8, "capsize": 0.08, "err_kws": {"linewidth": 1}}
        seaborn.pointplot(rows, **look, **mean, ax=ax, dodge=0.12, native_scale=True)
        if zero:
            ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.set(title=title, ylabel=unit(measure).capitalize() if unit(measure) == SHARE else unit(measure))
    ax.set_xticks(range(len(steps)), steps)
    ax.set_xlabel("Steps of tuning (places of checkpoints, not to scale)")
    _conditions(figure, table, "o")
    return figure


def draw_changes(table: pd.DataFrame) -> plt.Figure:
    """Changes with their intervals, and each seed's as a faint point; correlations and shares have a panel each.

    `table` is one of `instruction_tuning.labelled`; its order is that of rows.
    """
    units = dict(list(table.groupby(table.measure.map(unit), sort=False)))
    heights = [rows.label.nunique() for rows in units.values()]
    height = sum(0.5 * n + 0.75 for n in heights) + 0.3
    figure, axes = stacked(len(units), height, 4.6, height_ratios=heights)
    look = {
        "x": "change",
        "y": "label",
        "hue": "condition",
        "hue_order": list(TINTS),
        "palette": TINTS,
        "legend": False,
    }
    for ax, (name, rows) in zip(axes, units.items(), strict=True):
        seaborn.stripplot(rows, **look, ax=ax, dodge=True, jitter=False, size=3, alpha=0.45)
        mean = {
            "errorbar": interval,
            "markers": "D",
            "markersize": 6,
            "linestyle": "none",
            "err_kws": {"linewidth": 1.8},
        }
        seaborn.pointplot(rows, **look, **mean, ax=ax, dodge=0.8 * 2 / 3)  # as far apart as the points of seeds
        name_rows(ax, rows.label.unique())
        ax.set(xlabel=f"Last checkpoint minus first ({name})", ylabel="")
    _conditions(figure, table, "D")
    return figure


def _conditions(figure: plt.Figure, table: pd.DataFrame, marker: str) -> None:
    """A legend of the conditions that were run."""
    shown = [condition for condition in TINTS if condition in set(table.condition)]
    legend(figure, {name: {"color": TINTS[name], "marker": marker, "linestyle": "none"} for name in shown})
