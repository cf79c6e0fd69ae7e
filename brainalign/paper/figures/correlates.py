"""Figures of what correlates with brain alignment: correlations in rows, and shares of right answers."""

import matplotlib.pyplot as plt
import pandas as pd

from brainalign.paper.factors import BY_BASE, GIVEN_SIZE, PLAIN, TRAINED
from brainalign.paper.figures import FAMILIES, GRAY, color, name_rows, row_panels

MARKS = {PLAIN: ("o", "plain"), GIVEN_SIZE: ("D", "given size"), BY_BASE: ("s", "bootstrap over bases")}


def forest(table: pd.DataFrame, panels: dict[str, str]) -> plt.Figure:
    """Correlations with their intervals: a row a property, a mark a method, one panel below the other a protocol.

    Parameters
    ----------
    table : DataFrame
        As from `factors.correlations`.
    panels : dict
        Titles of panels by protocol.
    """
    names = list(dict.fromkeys(table.property))
    methods = [method for method in MARKS if method in set(table.method)]
    tints = dict(zip(methods, FAMILIES.values(), strict=False))
    size = (4.6, len(panels) * (0.62 * len(names) + 0.4) + 0.9)
    figure, axes = plt.subplots(len(panels), figsize=size, sharex=True, squeeze=False)
    for ax, (protocol, title) in zip(axes[:, 0], panels.items(), strict=True):
        for row in table[table.protocol == protocol].itertuples():
            y = names.index(row.property) + 0.24 * (methods.index(row.method) - (len(methods) - 1) / 2)
            tint, (mark, _) = tints[row.method], MARKS[row.method]
            fill = tint if row.low > 0 or row.high < 0 else "none"
            ax.plot([row.low, row.high], [y, y], color=tint, linewidth=1.6)
            ax.plot(row.estimate, y, mark, color=tint, markerfacecolor=fill, markersize=5.5)
        name_rows(ax, names)
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set(title=title, xlim=(-1.05, 1.05))
    for method in methods:
        axes[0, 0].plot([], [], MARKS[method][0], color=tints[method], label=MARKS[method][1])
    figure.legend(loc="outside upper right", ncols=len(methods), fontsize=8, handletextpad=0.1, columnspacing=1)
    axes[-1, 0].set_xlabel("Correlation with brain alignment")
    return figure


def shares(table: pd.DataFrame) -> plt.Figure:
    """Shares of right answers, a row a model, one panel below the other a kind of question.

    Parameters
    ----------
    table : DataFrame
        ``name`` of the questions, ``model``, ``family``, ``kind``, ``value``, ``low``, ``high``, and ``chance``, the
        share that is right by guessing (NaN if unknown); its order is that of panels and rows.
    """
    figure, panels = row_panels(table, "name", 0.24)
    for name, (ax, rows) in panels.items():
        for y, row in enumerate(rows.itertuples()):
            tint = color(row.family) if row.kind in TRAINED else GRAY
            fill = tint if row.kind == "instruction-tuned" else "none"
            ax.plot([row.low, row.high], [y, y], color=tint, linewidth=1.8)
            ax.plot(row.value, y, "o", color=tint, markerfacecolor=fill, markersize=5.5)
        name_rows(ax, list(rows.model))
        if pd.notna(chance := rows.chance.iloc[0]):
            ax.axvline(chance, color=GRAY, linewidth=0.9, linestyle="--")
        ax.set_title(name[0].upper() + name[1:])
    ax.set_xlabel("Share of right answers (dashed: chance)")
    return figure
