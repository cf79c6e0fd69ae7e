"""What becomes of a model while it is tuned: checkpoints over seeds, under each condition."""

import matplotlib.pyplot as plt
import pandas as pd

from brainalign.paper.figures import FAMILIES, GRAY, name_rows
from brainalign.paper.seeds import CONTINUED, SHARE, WITH, WITHOUT, means, over_seeds, unit

TINTS = {WITH: FAMILIES["LLaMA"], WITHOUT: FAMILIES["T5"], CONTINUED: FAMILIES["GPT2"]}


def draw_curves(table: pd.DataFrame, panels: list[tuple[str, str, str]], zero: bool = False) -> plt.Figure:
    """Checkpoints along the tuning: each seed thin, their mean thick with its interval, one panel below the other.

    Parameters
    ----------
    table : DataFrame
        As from `instruction_tuning.curves`, of one model.
    panels : list of (measure, protocol, title)
        What each panel shows, and what it finds.
    zero : bool
        Whether to draw a line at zero, and so to show how far away it is.
    """
    figure, axes = plt.subplots(len(panels), figsize=(4.4, 2.5 * len(panels)), sharex=True, squeeze=False)
    steps = sorted(table.step.unique())
    place = {step: i for i, step in enumerate(steps)}  # checkpoints lie closer where more happens
    for ax, (measure, protocol, title) in zip(axes[:, 0], panels, strict=True):
        rows = table[(table.measure == measure) & (table.protocol == protocol)]
        for shift, (condition, tint) in zip((-0.06, 0.06, 0.0), TINTS.items(), strict=True):
            part = rows[rows.condition == condition]
            for _, seed in part.groupby("seed"):
                ax.plot(seed.step.map(place), seed.value, color=tint, linewidth=0.7, alpha=0.5)
            if part.empty:
                continue
            mean = means(part)
            half = (mean.high - mean.estimate).fillna(0)
            x = mean.step.map(place) + shift
            ax.errorbar(
                x, mean.estimate, yerr=half, fmt="o-", color=tint, markersize=4, linewidth=1.8, elinewidth=1, capsize=2,
                label=condition,
            )  # fmt: skip
        if zero:
            ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.set(title=title, ylabel=unit(measure).capitalize() if unit(measure) == SHARE else unit(measure))
    axes[-1, 0].set_xticks(range(len(steps)), [str(step) for step in steps])
    axes[-1, 0].set_xlabel("Steps of tuning (places of checkpoints, not to scale)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8, columnspacing=1.0)
    return figure


def draw_changes(table: pd.DataFrame) -> plt.Figure:
    """Changes with their intervals, and each seed's as a faint point; correlations and shares have a panel each.

    Parameters
    ----------
    table : DataFrame
        Of `instruction_tuning.labelled`, with ``label`` of its row; its order is that of rows.
    """
    of_unit = table.measure.map(unit)
    units = dict(list(table.groupby(of_unit, sort=False)))
    heights = [rows.label.nunique() for rows in units.values()]
    size = (4.6, sum(0.5 * n + 0.75 for n in heights) + 0.3)
    figure, axes = plt.subplots(len(units), figsize=size, height_ratios=heights, squeeze=False)
    places = dict(zip(TINTS, (-0.2, 0.0, 0.2), strict=True))
    for ax, (name, rows) in zip(axes[:, 0], units.items(), strict=True):
        labels = list(dict.fromkeys(rows.label))
        for (label, condition), part in rows.groupby(["label", "condition"], sort=False):
            y, tint = labels.index(label) + places[condition], TINTS[condition]
            mean = over_seeds(part.change)
            ax.plot([mean["low"], mean["high"]], [y, y], color=tint, linewidth=1.8)
            ax.plot(part.change, [y] * len(part), "o", color=tint, markersize=3, alpha=0.45)
            ax.plot(mean["estimate"], y, "D", color=tint, markersize=6)
        name_rows(ax, labels)
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set_xlabel(f"Last checkpoint minus first ({name})")
    for condition in dict.fromkeys(table.condition):
        axes[0, 0].plot([], [], "D", color=TINTS[condition], label=condition)
    figure.legend(loc="outside upper right", ncols=3, fontsize=8, handletextpad=0.1, columnspacing=1.0)
    return figure
