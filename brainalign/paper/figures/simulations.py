"""Curves of what simulations found, with intervals."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures.parts import GRAY, LINES, panels_of


def curves(
    table: pd.DataFrame,
    x: str,
    line: str,
    panel: str,
    labels: tuple[str, str],
    reference: float | None = None,
    log: bool = False,
) -> plt.Figure:
    """Estimates with their intervals along x, a line each of a few, one panel below the other.

    `table` has ``estimate``, ``low``, ``high``, and the columns `x`, `line` and `panel`; `labels` are of both axes,
    with units. A dashed line at `reference` says what should be; with `log`, x doubles from step to step.
    """
    figure, panels = panels_of(table, panel, 2.3, 0.4, sharey=True)
    names = list(table[line].unique())
    # Lines stand a little apart, so that their intervals can be told from each other.
    step = 0.03 if log else 0.01 * np.ptp(table[x])
    for name, ax, rows in panels:
        for number, label in enumerate(names):
            part = rows[rows[line] == label].sort_values(x)
            shift = (number - (len(names) - 1) / 2) * step
            at = part[x] * np.exp2(shift * 3) if log else part[x] + shift
            errors = np.clip([part.estimate - part.low, part.high - part.estimate], 0, None)
            look = {"fmt": "o-", "color": LINES[number % len(LINES)], "markersize": 4, "capsize": 2}
            ax.errorbar(at, part.estimate, yerr=errors, label=str(label), **look)
        if reference is not None:
            ax.axhline(reference, color=GRAY, linewidth=0.9, linestyle="--")
        if log:
            ax.set_xscale("log", base=2)
        ticks = sorted(table[x].unique())
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set(title=name, ylabel=labels[1])
    ax.set_xlabel(labels[0])
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
