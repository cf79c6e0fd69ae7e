"""Figures of brain alignment: scores with participants, layers, and two scores of the same model joined."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import parts
from brainalign.paper.figures.parts import FAMILIES, GRAY, LINES, TUNED, color, intervals, name_rows, row_panels

UNTRAINED = "untrained"


def scores(table: pd.DataFrame) -> plt.Figure:
    """Scores of models over participants, a row a model, one panel below the other for each protocol.

    `table` is one of `scores.by_model`, of one data set, with ``panel``; its order is the order of the rows.
    """
    figure, panels = row_panels(table, "panel", 0.32, 0.7)
    for name, ax, rows in panels:
        tints = np.where(rows.kind == UNTRAINED, GRAY, rows.family.map(color))
        y = np.arange(len(rows))
        ax.hlines(y + 0.22, rows.r - rows.mad, rows.r + rows.mad, colors=tints, linewidth=0.8)
        ax.scatter(rows.r, y + 0.22, s=49, marker="|", color=tints)
        intervals(ax, rows, y - 0.12, tints, rows.kind == TUNED)
        name_rows(ax, rows.model)
        if np.isfinite(ceiling := rows.ceiling.iloc[0]):
            ax.axvline(ceiling, color=GRAY, linewidth=0.9, linestyle="--")
            place = {"xycoords": ("data", "axes fraction"), "ha": "right", "va": "top"}
            ax.annotate("noise ceiling ", (ceiling, 1), fontsize=8, **place)
        ax.set_title(name)
    ax.set_xlabel("Brain alignment (Pearson r)")
    return figure


def layers(table: pd.DataFrame) -> plt.Figure:
    """Scores by layer, a line a model, one panel below the other; untrained twins thin and gray.

    `table` has ``panel``, ``model``, ``kind``, ``depth`` (share of the way from the first layer to the last) and ``r``.
    """
    figure, panels = parts.panels_of(table, "panel", 2.4, sharey=True)
    trained = table.model[table.kind != UNTRAINED].unique()
    # More models than colors: they come again, dashed.
    looks = {
        name: {"color": LINES[i % len(LINES)], "linestyle": ("-", "--", ":")[i // len(LINES) % 3], "linewidth": 1.8}
        for i, name in enumerate(trained)
    }
    twin = {"color": GRAY, "linewidth": 0.8}
    for name, ax, part in panels:
        for model, rows in part.groupby("model", sort=False):
            look = looks.get(model, twin)
            ax.plot(rows.depth, rows.r, marker="o", markersize=2 + look["linewidth"], **look)
        ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.set(title=name, ylabel="Pearson r")
    twins = {"untrained twins": twin} if (table.kind == UNTRAINED).any() else {}
    parts.legend(
        figure, {name: look | {"marker": "o"} for name, look in (looks | twins).items()}, "upper left", ncols=2
    )
    ax.set_xlabel("Depth of the layer (0: embeddings, 1: last)")
    return figure


def dumbbells(table: pd.DataFrame, first: str, second: str, labels: tuple[str, str], xlabel: str) -> plt.Figure:
    """Two scores of the same thing, joined: the first hollow, the second filled.

    `table` has ``label`` and the columns `first` and `second`, NaN where there is none, in the order of the rows;
    `labels` say what they are, `xlabel` their unit.
    """
    figure, ax = plt.subplots(figsize=(4.6, 0.3 * len(table) + 1.3))
    y, tint = np.arange(len(table)), FAMILIES["T5"]
    ax.hlines(y, table[first], table[second], colors=GRAY, linewidth=1)
    ax.scatter(table[first], y, s=36, facecolor="none", edgecolor=tint, label=labels[0], zorder=3)
    ax.scatter(table[second], y, s=36, color=tint, label=labels[1], zorder=3)
    name_rows(ax, table.label)
    ax.set_xlabel(xlabel)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def differences(table: pd.DataFrame, xlabel: str) -> plt.Figure:
    """Differences with their intervals, one panel below the other on one scale; what lies above zero is filled.

    `table` has ``panel``, ``label``, ``estimate``, ``low`` and ``high``, in the order of panels and rows.
    """
    figure, panels = row_panels(table, "panel", 0.3)
    for name, ax, rows in panels:
        intervals(ax, rows, tint=LINES[0], filled=rows.low > 0)
        name_rows(ax, rows.label)
        ax.set_title(name)
    ax.set_xlabel(xlabel)
    return figure
