"""Figures of brain alignment: scores with participants, layers, and two scores of the same model joined."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import FAMILIES, GRAY, LINES, color, name_rows, row_panels

UNTRAINED = "untrained"


def scores(table: pd.DataFrame) -> plt.Figure:
    """Scores of models over participants, a row a model, one panel below the other for each protocol.

    Parameters
    ----------
    table : DataFrame
        As from `brain_tables.scores`, of one data set, with ``panel``: ``model``, ``family``, ``kind``, ``r``, ``mad``,
        ``estimate``, ``low``, ``high`` and ``ceiling``. Its order is the order of the rows.
    """
    figure, panels = row_panels(table, "panel", 0.32, 0.7)
    for name, (ax, rows) in panels.items():
        for y, row in enumerate(rows.itertuples()):
            tint = GRAY if row.kind == UNTRAINED else color(row.family)
            if np.isfinite(row.mad):
                ax.plot([row.r - row.mad, row.r + row.mad], [y + 0.22] * 2, color=tint, linewidth=0.8)
            ax.plot(row.r, y + 0.22, "|", color=tint, markersize=7)
            ax.plot([row.low, row.high], [y - 0.12] * 2, color=tint, linewidth=2)
            fill = tint if row.kind == "instruction-tuned" else "none"
            ax.plot(row.estimate, y - 0.12, "o", color=tint, markerfacecolor=fill, markersize=6)
        name_rows(ax, list(rows.model))
        _ceiling(ax, rows.ceiling.iloc[0])
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set_title(name)
    ax.set_xlabel("Brain alignment (Pearson r)")
    return figure


def layers(table: pd.DataFrame) -> plt.Figure:
    """Scores by layer, a line a model, one panel below the other; untrained twins thin and gray.

    Parameters
    ----------
    table : DataFrame
        ``panel``, ``model``, ``kind``, ``depth`` (share of the way from the first layer to the last) and ``r``.
    """
    panels = list(dict.fromkeys(table.panel))
    figure, axes = plt.subplots(len(panels), figsize=(4.2, 2.4 * len(panels)), sharex=True, sharey=True, squeeze=False)
    trained = list(dict.fromkeys(table.model[table.kind != UNTRAINED]))
    # More models than colors: they come again, dashed.
    looks = {name: (LINES[i % len(LINES)], ("-", "--", ":")[i // len(LINES) % 3]) for i, name in enumerate(trained)}
    for ax, name in zip(axes[:, 0], panels, strict=True):
        for model, rows in table[table.panel == name].groupby("model", sort=False):
            tint, style = looks.get(model, (GRAY, "-"))
            width = 1.8 if model in looks else 0.8
            label = model if model in looks else None
            ax.plot(
                rows.depth, rows.r, style, marker="o", color=tint, linewidth=width, markersize=2 + width, label=label
            )
        ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.set(title=name, ylabel="Pearson r")
    if (table.kind == UNTRAINED).any():
        axes[0, 0].plot([], [], "o-", color=GRAY, linewidth=0.8, markersize=2.8, label="untrained twins")
    lines, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper left", ncols=2, fontsize=8)
    axes[-1, 0].set_xlabel("Depth of the layer (0: embeddings, 1: last)")
    return figure


def dumbbells(
    table: pd.DataFrame, first: str, second: str, labels: tuple[str, str], xlabel: str, ceiling: float | None = None
) -> plt.Figure:
    """Two scores of the same thing, joined: the first hollow, the second filled.

    Parameters
    ----------
    table : DataFrame
        ``label``, and the columns named by `first` and `second`, NaN where there is none; its order is that of the
        rows.
    first, second : str
        Columns.
    labels : (str, str)
        What they are.
    xlabel : str
        Their unit.
    ceiling : float, optional
        Noise ceiling in that unit.
    """
    figure, ax = plt.subplots(figsize=(4.6, 0.3 * len(table) + 1.3))
    for y, (a, b) in enumerate(table[[first, second]].to_numpy(float)):
        ax.plot([a, b], [y, y], color=GRAY, linewidth=1)
    y = np.arange(len(table))
    tint = FAMILIES["T5"]
    ax.scatter(table[first], y, s=36, facecolor="none", edgecolor=tint, label=labels[0], zorder=3)
    ax.scatter(table[second], y, s=36, color=tint, label=labels[1], zorder=3)
    name_rows(ax, list(table.label))
    ax.axvline(0, color=GRAY, linewidth=0.8)
    if ceiling is not None:
        _ceiling(ax, ceiling)
    ax.set_xlabel(xlabel)
    figure.legend(loc="outside upper right", ncols=2, fontsize=8, handletextpad=0.2)
    return figure


def differences(table: pd.DataFrame, xlabel: str) -> plt.Figure:
    """Differences with their intervals, one panel below the other on one scale; what lies above zero is filled.

    Parameters
    ----------
    table : DataFrame
        ``panel``, ``label``, ``estimate``, ``low`` and ``high``; its order is that of panels and rows.
    xlabel : str
        What the differences are, with their unit.
    """
    figure, panels = row_panels(table, "panel", 0.3)
    for name, (ax, rows) in panels.items():
        for y, row in enumerate(rows.itertuples()):
            fill = LINES[0] if row.low > 0 else "none"
            ax.plot([row.low, row.high], [y, y], color=LINES[0], linewidth=1.8)
            ax.plot(row.estimate, y, "o", color=LINES[0], markerfacecolor=fill, markersize=6)
        name_rows(ax, list(rows.label))
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set_title(name)
    ax.set_xlabel(xlabel)
    return figure


def _ceiling(ax: plt.Axes, value: float) -> None:
    if np.isfinite(value):
        ax.axvline(value, color=GRAY, linewidth=0.9, linestyle="--")
        ax.annotate("noise ceiling ", (value, 1), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=8)
