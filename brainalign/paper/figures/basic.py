"""Figures: one message each, one palette, families by color and vanilla/tuned by marker everywhere.

Functions take tidy tables and return matplotlib figures. Lines and ticks are a gray that holds on light and dark
pages; text has no color of its own, so that the page colors it.
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


def tuning(pairs: pd.DataFrame, score: str, ceiling: float | None = None, labels: bool = True) -> plt.Figure:
    """Tuned against vanilla, a point a pair; above the diagonal tuning raised the score.

    Parameters
    ----------
    pairs : DataFrame
        As from `pairs.make_pairs`.
    score : str
        Column of `NAMES`, for the axis labels.
    ceiling : float, optional
        Noise ceiling, in the unit of the score.
    labels : bool
        Whether to name the points.
    """
    figure, ax = plt.subplots(figsize=(4.2, 4.2))
    values = pairs[["vanilla", "tuned"]].to_numpy()
    if ceiling is not None:
        values = np.append(values, ceiling)
    low, high = values.min(), values.max()
    pad = 0.06 * (high - low)
    limits = (low - pad, high + pad)
    ax.plot(limits, limits, color=GRAY, linewidth=0.8)
    if ceiling is not None:
        for draw in (ax.axhline, ax.axvline):
            draw(ceiling, color=GRAY, linewidth=0.9, linestyle="--")
        ax.annotate("noise ceiling", (limits[0], ceiling), xytext=(3, 3), textcoords="offset points", fontsize=8)
    for family, rows in pairs.groupby("family", sort=False):
        ax.scatter(rows.vanilla, rows.tuned, s=34, color=color(family), label=family, zorder=3)
    ax.set(xlim=limits, ylim=limits, xlabel="Vanilla model", ylabel="Instruction-tuned model")
    ax.set_title(NAMES.get(score, score))
    ax.set_aspect("equal")
    if labels:
        label_points(ax, pairs.vanilla, pairs.tuned, pairs.model, pairs.family)
    ax.legend(loc="lower right")
    return figure


def changes(changes: pd.DataFrame, means: pd.DataFrame) -> plt.Figure:
    """Percent change with tuning by data set: a faint point a pair, the mean with its interval.

    Parameters
    ----------
    changes : DataFrame
        ``dataset``, ``family`` and ``percent_change`` of each pair.
    means : DataFrame
        ``dataset``, ``estimate``, ``low``, ``high``; its order is the order of the rows.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.55 * len(means) + 1.0))
    rng = np.random.default_rng(0)  # jitter only
    for y, row in enumerate(means.itertuples()):
        points = changes[changes.dataset == row.dataset]
        jitter = rng.uniform(-0.18, 0.18, len(points))
        ax.scatter(points.percent_change, y + jitter, s=14, c=[color(f) for f in points.family], alpha=0.55)
        ax.errorbar(
            row.estimate, y, xerr=[[row.estimate - row.low], [row.high - row.estimate]],
            fmt="D", color=GRAY, markersize=6, capsize=3, zorder=3,
        )  # fmt: skip
    name_rows(ax, list(means.dataset))
    ax.axvline(0, color=GRAY, linewidth=0.8)
    ax.set_xlabel("Change with instruction tuning (%)")
    _family_legend(ax, changes.family.unique())
    return figure


def forest(table: pd.DataFrame, xlabel: str, groups: str | None = None, zero: float = 0.0) -> plt.Figure:
    """Estimates with their intervals, one below the other.

    Parameters
    ----------
    table : DataFrame
        ``label``, ``estimate``, ``low``, ``high`` and, optionally, ``color``; its order is the order of the rows.
    xlabel : str
        What the estimates are, with their unit.
    groups : str, optional
        Column by whose value rows are set apart with a thin line.
    zero : float
        Where no effect is.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.3 * len(table) + 0.9))
    colors = table.color if "color" in table else [GRAY] * len(table)
    for y, (row, tint) in enumerate(zip(table.itertuples(), colors, strict=True)):
        if np.isfinite(row.low):
            ax.plot([row.low, row.high], [y, y], color=tint, linewidth=1.6)
        ax.plot(row.estimate, y, "o", color=tint, markersize=6)
    if groups:
        starts = np.flatnonzero(table[groups].to_numpy()[1:] != table[groups].to_numpy()[:-1]) + 0.5
        for y in starts:
            ax.axhline(y, color=GRAY, linewidth=0.4)
    name_rows(ax, list(table.label))
    ax.axvline(zero, color=GRAY, linewidth=0.8)
    ax.set_xlabel(xlabel)
    return figure


def scatter(
    models: pd.DataFrame, panels: list[tuple[str, str, str]], labels: bool = True, ylabel: str = ""
) -> plt.Figure:
    """A property against a score, one panel below the other; tuned models filled, vanilla ones hollow.

    Parameters
    ----------
    models : DataFrame
        ``model``, ``family``, ``kind``, ``vanilla`` and the columns of the panels; rows without a value are left out.
    panels : list of (x, y, title)
        Columns, and what each panel finds.
    labels : bool
        Whether to name the points.
    ylabel : str
        What the scores are, with their unit, where they are not of `NAMES`.
    """
    height = 4.2 if labels else 3.1  # names need room
    figure, axes = plt.subplots(len(panels), figsize=(4.2, height * len(panels)), squeeze=False)
    for ax, (x, y, title) in zip(axes[:, 0], panels, strict=True):
        rows = models.dropna(subset=[x, y])
        scores = rows.set_index("model")
        for name, base in rows.set_index("model").vanilla.items():
            if base in scores.index:
                ax.plot(*scores.loc[[base, name], [x, y]].to_numpy(float).T, color=GRAY, linewidth=0.6)
        for family, group in rows.groupby("family", sort=False):
            tuned = group.kind == "instruction-tuned"
            tint = color(family)
            ax.scatter(group[x][tuned], group[y][tuned], s=30, color=tint, label=family, zorder=3)
            ax.scatter(group[x][~tuned], group[y][~tuned], s=30, facecolor="none", edgecolor=tint, zorder=3)
        slope, intercept = np.polyfit(rows[x], rows[y], 1)
        ends = np.array([rows[x].min(), rows[x].max()])
        ax.plot(ends, intercept + slope * ends, color=GRAY, linewidth=1, linestyle=":")
        ax.set(xlabel=NAMES.get(x, x), ylabel=ylabel or NAMES.get(y, y).replace(", average", ""))
        ax.set_title(title)
    if labels:
        # Each name is placed by drawing the figure: laid out once, and without the other panels, that is quick.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for ax, (x, y, _) in zip(axes[:, 0], panels, strict=True):
            rows = models.dropna(subset=[x, y])
            for other in axes[:, 0]:
                other.set_visible(other is ax)
            label_points(ax, rows[x], rows[y], rows.model, rows.family)
    for ax in axes[:, 0]:
        ax.set_visible(True)
        ax.legend(fontsize=8, handletextpad=0.2)
    return figure


def profile(table: pd.DataFrame, x: str, y: str, line: str, panel: str, xlabel: str, ylabel: str) -> plt.Figure:
    """Lines over a few whole numbers, one panel below the other.

    Parameters
    ----------
    table : DataFrame
        Long: the columns named by `x`, `y`, `line` (one line each) and `panel` (one panel each).
    x, y, line, panel : str
        Columns.
    xlabel, ylabel : str
        With units.
    """
    panels = list(dict.fromkeys(table[panel]))
    figure, axes = plt.subplots(len(panels), figsize=(4.2, 2.3 * len(panels)), sharex=True, sharey=True, squeeze=False)
    tints = dict(zip(dict.fromkeys(table[line]), LINES, strict=False))
    for ax, name in zip(axes[:, 0], panels, strict=True):
        for label, rows in table[table[panel] == name].groupby(line, sort=False):
            ax.plot(rows[x], rows[y], "o-", color=tints[label], markersize=4, label=label)
        ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.axvline(0, color=GRAY, linewidth=0.8, linestyle=":")
        ax.set(title=name, ylabel=ylabel)
    axes[0, 0].legend(fontsize=8)
    axes[-1, 0].set_xlabel(xlabel)
    return figure


def strip(panels: pd.DataFrame, xlabel: str, zero: float = 0.0) -> plt.Figure:
    """As printed, as recomputed and in this study, on one scale.

    Parameters
    ----------
    panels : DataFrame
        ``label`` (say, "printed"), ``estimate``, ``low``, ``high``, ``note`` (n and test); a row without an estimate
        says its note.
    xlabel : str
        What the estimates are, with their unit.
    zero : float
        Where no effect is.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.55 * len(panels) + 0.75))
    estimated = panels[panels.estimate.notna()]
    low, high = (
        min(estimated[["estimate", "low"]].min().min(), zero),
        max(estimated[["estimate", "high"]].max().max(), zero),
    )
    for y, row in enumerate(panels.itertuples()):
        if pd.notna(row.estimate):
            if pd.notna(row.low):
                ax.plot([row.low, row.high], [y, y], color=GRAY, linewidth=1.8)
            ax.plot(row.estimate, y, "D", color=FAMILIES["T5"], markersize=7)
        ax.annotate(
            row.note,
            (0.01, y),
            xycoords=("axes fraction", "data"),
            xytext=(0, 8),
            textcoords="offset points",
            fontsize=8,
        )
    name_rows(ax, list(panels.label))
    pad = 0.08 * (high - low or 1)
    ax.set_xlim(low - pad, high + pad)
    ax.axvline(zero, color=GRAY, linewidth=0.8)
    ax.set_xlabel(xlabel)
    return figure


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


def row_panels(
    table: pd.DataFrame, panel: str, row_height: float, head: float = 0.45
) -> tuple[plt.Figure, dict[str, tuple[plt.Axes, pd.DataFrame]]]:
    """Panels one below the other on one scale, for tables that are drawn a row a row.

    Parameters
    ----------
    table : DataFrame
        Its order is that of panels and rows.
    panel : str
        Column with the panel of each row.
    row_height, head : float
        Inches of a row, and what a panel takes beside its rows.

    Returns
    -------
    figure : Figure
    panels : dict
        By name, the axes of a panel and its rows.
    """
    parts = dict(list(table.groupby(panel, sort=False)))
    n_rows = max(map(len, parts.values()))
    size = (4.6, len(parts) * (row_height * n_rows + head) + 0.5)
    figure, axes = plt.subplots(len(parts), figsize=size, sharex=True, squeeze=False)
    return figure, {name: (ax, rows) for ax, (name, rows) in zip(axes[:, 0], parts.items(), strict=True)}


def name_rows(ax: plt.Axes, names: list[str]) -> None:
    """Name the rows of an axes, from top to bottom."""
    ax.locator_params(axis="x", nbins=TICKS)  # names leave little room for values
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _family_legend(ax: plt.Axes, families) -> None:
    for family in families:
        ax.scatter([], [], s=20, color=color(family), label=family)
    ax.legend(loc="best", fontsize=8, handletextpad=0.2)
