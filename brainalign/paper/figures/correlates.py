"""Figures of what correlates with brain alignment: correlations in rows, and shares of right answers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import parts
from brainalign.paper.figures.parts import GRAY, LINES, TUNED, color, intervals, name_rows, row_panels

MARKS = "oDs"


def forest(table: pd.DataFrame, panels: dict[str, str], methods: dict[str, str]) -> plt.Figure:
    """Correlations with their intervals: a row a property, a mark a method, one panel below the other a protocol.

    `table` is one of `covariates.correlations`; `panels` and `methods` have titles of protocols and names of methods.
    """
    names = list(table.property.unique())
    shown = [method for method in methods if method in set(table.method)]
    height = len(panels) * (0.62 * len(names) + 0.4) + 0.9
    figure, axes = parts.stacked(len(panels), height, 4.6, sharex=True)
    for ax, (protocol, title) in zip(axes, panels.items(), strict=True):
        for place, method in enumerate(shown):
            rows = table[(table.protocol == protocol) & (table.method == method)]
            y = rows.property.map(names.index) + 0.24 * (place - (len(shown) - 1) / 2)
            intervals(ax, rows, y, LINES[place], (rows.low > 0) | (rows.high < 0), MARKS[place], 30)
        name_rows(ax, names)
        ax.set(title=title, xlim=(-1.05, 1.05))
    looks = {
        methods[method]: {"marker": MARKS[place], "color": LINES[place], "linestyle": "none"}
        for place, method in enumerate(shown)
    }
    parts.legend(figure, looks)
    ax.set_xlabel("Correlation with brain alignment")
    return figure


def shares(table: pd.DataFrame) -> plt.Figure:
    """Shares of right answers, a row a model, one panel below the other a kind of question.

    `table` has ``name`` of the questions, ``model``, ``family``, ``kind``, ``value``, ``low``, ``high``, and
    ``chance``, the share that is right by guessing (NaN if unknown), in the order of panels and rows.
    """
    figure, panels = row_panels(table.rename(columns={"value": "estimate"}), "name", 0.24)
    for name, ax, rows in panels:
        tints = np.where(rows.kind.isin(["vanilla", TUNED]), rows.family.map(color), GRAY)
        intervals(ax, rows, tint=tints, filled=rows.kind == TUNED, size=30)
        name_rows(ax, rows.model, zero=None)
        if pd.notna(chance := rows.chance.iloc[0]):
            ax.axvline(chance, color=GRAY, linewidth=0.9, linestyle="--")
        ax.set_title(name[0].upper() + name[1:])
    ax.set_xlabel("Share of right answers (dashed: chance)")
    return figure
