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


def folds(table: pd.DataFrame, xlabel: str, narrow: bool = False) -> plt.Figure:
    """Scores under two protocols joined, the lenient one hollow, the strict one filled, with intervals and ceilings.

    `table` has ``label``, ``note`` (what the row is), ``family``, ``end`` (``lenient`` or ``strict``), ``folds``,
    ``estimate``, ``low``, ``high`` and ``ceiling``. A page can hide either end, and what joins them. `narrow` draws it
    for a phone: names stand above their rows.
    """
    labels = table.label.unique()
    height, top = (0.66, 0.5) if narrow else (0.45, 0.4)
    size = (3.6 if narrow else 7.1, height * len(labels) + top + 0.5)
    figure, ax = plt.subplots(figsize=size, layout="none")
    figure.subplots_adjust(0.03 if narrow else 0.34, 0.5 / size[1], 0.98, 1 - top / size[1])
    for y, (label, rows) in enumerate(table.groupby("label", sort=False)):
        tint = color(rows.family.iloc[0]) if rows.family.iloc[0] else GRAY
        _name_row(ax, y, label, rows.note.iloc[0], narrow)
        ax.hlines(y, rows.estimate.min(), rows.estimate.max(), colors=GRAY, linewidth=0.8).set_gid("data-end=both")
        touching = np.ptp(rows.estimate) < (0.16 if narrow else 0.1) * np.ptp(
            table[["low", "high"]].fillna(0).to_numpy()
        )
        anchors = ["right", "left"] if touching and len(rows) > 1 else ["center"] * len(rows)
        _ends(ax, y, rows.sort_values("estimate").assign(anchor=anchors), tint)
    for end, rows in table.groupby("end"):
        if np.isfinite(ceiling := rows.ceiling.iloc[0]):
            line = ax.axvline(ceiling, color=GRAY, linewidth=0.9, linestyle="--")
            words = ax.text(
                ceiling, 1, f"ceiling,\n{rows.folds.iloc[0]}", fontsize=8, va="bottom", ha="center",
                transform=ax.get_xaxis_transform(),
            )  # fmt: skip
            for artist in (line, words):
                artist.set_gid(f"data-end={end}")
    ax.set(ylim=(len(labels) - 0.5, -0.6), yticks=[], xlabel=xlabel)
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=GRAY, linewidth=0.8)
    return figure


def _name_row(ax: plt.Axes, y: int, label: str, note: str, narrow: bool) -> None:
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
    if narrow:
        ax.annotate(f"{label}: {note}", (0, y), (0, 19), fontsize=8.5, va="bottom", **place)
        return
    ax.annotate(label, (0, y), (-10, 1), ha="right", va="bottom", fontweight="bold", **place)
    ax.annotate(note, (0, y), (-10, -1), ha="right", va="top", fontsize=8.5, **place)


def _ends(ax: plt.Axes, y: int, rows: pd.DataFrame, tint: str) -> None:
    """Scores of a row with their values, which are anchored at a side where they would touch."""
    for row in rows.itertuples():
        strict = row.end == "strict"
        drawn = [
            ax.hlines(y, row.low, row.high, colors=tint, linewidth=1.8),
            ax.scatter(row.estimate, y, s=44, facecolor=tint if strict else "white", edgecolor=tint, zorder=3),
            ax.annotate(
                f"{row.estimate:z.2f}".replace("-", "−"), (row.estimate, y), (0, 6), textcoords="offset points",
                ha=row.anchor, va="bottom", fontsize=8.5,
            ),
        ]  # fmt: skip
        for artist in drawn:
            artist.set_gid(f"data-end={row.end}")


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
