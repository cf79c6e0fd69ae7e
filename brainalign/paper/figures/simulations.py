"""Curves of what simulations found, with intervals."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import GRAY, LINES


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

    Parameters
    ----------
    table : DataFrame
        ``estimate``, ``low``, ``high``, and the columns named by `x`, `line` and `panel`.
    x, line, panel : str
        Columns.
    labels : (str, str)
        Of the axes, with units.
    reference : float, optional
        Where a dashed line says what should be.
    log : bool
        Whether x doubles from step to step.
    """
    names, lines = (list(dict.fromkeys(table[column])) for column in (panel, line))
    figure, axes = plt.subplots(
        len(names), figsize=(4.2, 2.3 * len(names) + 0.4), sharex=True, sharey=True, squeeze=False
    )
    # Lines stand a little apart, so that their intervals can be told from each other.
    step = 0.03 if log else 0.01 * np.ptp(table[x])
    for ax, name in zip(axes[:, 0], names, strict=True):
        for number, label in enumerate(lines):
            rows = table[(table[panel] == name) & (table[line] == label)].sort_values(x)
            shift = (number - (len(lines) - 1) / 2) * step
            at = rows[x] * np.exp2(shift * 3) if log else rows[x] + shift
            errors = np.clip([rows.estimate - rows.low, rows.high - rows.estimate], 0, None)
            tint = LINES[number % len(LINES)]
            ax.errorbar(at, rows.estimate, yerr=errors, fmt="o-", color=tint, markersize=4, capsize=2, label=str(label))
        if reference is not None:
            ax.axhline(reference, color=GRAY, linewidth=0.9, linestyle="--")
        if log:
            ax.set_xscale("log", base=2)
        ticks = sorted(table[x].unique())
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set(title=name, ylabel=labels[1])
    axes[-1, 0].set_xlabel(labels[0])
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", fontsize=8, ncols=2)
    return figure
