"""What figures are made of: one palette, families by color; panels, rows with their names, intervals, lines, legends.

Lines and ticks are a gray that holds on light and dark pages; text has no color of its own, so that the page colors it.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

TICKS = 4  # intervals between values below rows that are named
GRAY = "#888888"
# Told apart by people with any common color blindness, and on white as on black.
FAMILIES = {"T5": "#3a87c8", "LLaMA": "#d9691e", "GPT2": "#209e78", "other": "#a679c8"}
# Lines that are no families; the first four are the same.
LINES = [*FAMILIES.values(), "#b8901f", "#c9567f"]
ALIASES = {"LLaMA-2": "LLaMA", "GPT-2": "GPT2"}
TUNED = "instruction-tuned"
STYLE = {
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRAY,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.0,
    "figure.constrained_layout.use": True,
    "savefig.pad_inches": 0.04,
}
NAMES = {
    "average": "Brain alignment, average (Pearson r)",
    "pereira2018": "Brain alignment, Pereira2018 (Pearson r)",
    "blank2014": "Brain alignment, Blank2014 (Pearson r)",
    "wehbe2014": "Brain alignment, Wehbe2014 (Pearson r)",
    "futrell2018": "Behavioral alignment (Pearson r)",
    "mmlu": "MMLU (share correct)",
    "bbh": "BBH (share correct)",
    "log_size": "Parameters (log10)",
    "wikitext2_nwp_loss": "WikiText-2 loss (nats per token)",
}
# What the interactive scatter offers.
PRINTED_AXES = list(NAMES)


def use_style() -> None:
    """Draw all figures that follow in the book's style."""
    plt.rcParams.update(STYLE)


def color(family: str) -> str:
    """Color of a model family."""
    return FAMILIES.get(ALIASES.get(family, family), FAMILIES["other"])


def stacked(n: int, height: float, width: float = 4.2, **shared) -> tuple[plt.Figure, list[plt.Axes]]:
    """A figure of that height and width (inches), and its axes, one below the other."""
    figure, axes = plt.subplots(n, figsize=(width, height), squeeze=False, **shared)
    return figure, list(axes[:, 0])


def panels_of(
    table: pd.DataFrame, panel: str, height: float, extra: float = 0.0, width: float = 4.2, **shared
) -> tuple[plt.Figure, list[tuple[str, plt.Axes, pd.DataFrame]]]:
    """A figure with a panel for each value of a column, in their order: its name, its axes and its rows.

    Panels have one height (inches) and one scale of x; `extra` is what the figure takes beside them.
    """
    parts = dict(list(table.groupby(panel, sort=False)))
    figure, axes = stacked(len(parts), len(parts) * height + extra, width, sharex=True, **shared)
    return figure, list(zip(parts, axes, parts.values(), strict=True))


def row_panels(table: pd.DataFrame, panel: str, row_height: float, head: float = 0.45):
    """`panels_of` a table that is drawn a row a row; a panel takes `head` (inches) beside its rows."""
    n_rows = table.groupby(panel).size().max()
    return panels_of(table, panel, row_height * n_rows + head, 0.5, 4.6)


def intervals(ax: plt.Axes, rows: pd.DataFrame, y=None, tint=GRAY, filled=True, marker="o", size: float = 36) -> None:
    """Draw ``estimate`` of each row with its interval, if it has one, from ``low`` to ``high``.

    `y` is where, by default one below the other; tint and whether a point is filled are of all rows, or of each.
    """
    y = np.arange(len(rows)) if y is None else y
    tints = np.broadcast_to(np.asarray(tint, object), len(rows)).astype(str)
    ax.hlines(y, rows.low, rows.high, colors=tints, linewidth=1.8)
    faces = np.where(filled, tints, "none")
    ax.scatter(rows.estimate, y, s=size, marker=marker, facecolor=faces, edgecolor=tints, zorder=3)


def name_rows(ax: plt.Axes, names, zero: float | None = 0.0) -> None:
    """Name the rows of an axes, from top to bottom, and draw a line where no effect is."""
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=TICKS)  # names leave little room for values
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if zero is not None:
        ax.axvline(zero, color=GRAY, linewidth=0.8)


def lines(ax: plt.Axes, rows: pd.DataFrame, x: str, y: str, line: str, order) -> None:
    """Draw a line for each value of a column, in the color of its place among all of them."""
    tints = dict(zip(order, LINES, strict=False))
    for label, part in rows.groupby(line, sort=False):
        ax.plot(part[x], part[y], "o-", color=tints[label], markersize=4, label=label)
        if "low" in part:
            ax.fill_between(part[x], part.low, part.high, color=tints[label], alpha=0.25, linewidth=0)


def legend(figure: plt.Figure, looks: dict[str, dict], where: str = "upper right", ncols: int = 3) -> None:
    """A legend outside of the axes: what lines of these looks mean."""
    handles = [plt.Line2D([], [], label=label, **look) for label, look in looks.items()]
    figure.legend(handles=handles, loc=f"outside {where}", ncols=ncols)


def label_points(ax: plt.Axes, x, y, names, families) -> None:
    """Name each point in its family's color, moved apart where names would overlap."""
    from adjustText import adjust_text

    texts = [
        ax.text(a, b, name, fontsize=7, color=color(family))
        for a, b, name, family in zip(x, y, names, families, strict=True)
    ]
    adjust_text(
        texts, x=list(x), y=list(y), ax=ax, expand=(1.05, 1.2), max_move=15, ensure_inside_axes=True,
        iter_lim=150,  # by default it stops after a second, and draws another figure on another machine
        arrowprops={"arrowstyle": "-", "color": GRAY, "linewidth": 0.4},
    )  # fmt: skip
