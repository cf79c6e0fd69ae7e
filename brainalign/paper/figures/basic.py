"""Figures of models and of estimates: one message each.

Functions take tidy tables and return matplotlib figures.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import parts
from brainalign.paper.figures.parts import FAMILIES, GRAY, NAMES, TUNED, color, intervals, lines, name_rows, stacked


def tuning(pairs: pd.DataFrame, score: str, ceiling: float | None = None, labels: bool = True) -> plt.Figure:
    """Tuned against vanilla of `pairs.make_pairs`, a point a pair; above the diagonal tuning raised the score.

    `score` is a column of `NAMES`, or words for it; the noise ceiling is in its unit; `labels` name the points.
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
        parts.label_points(ax, pairs.vanilla, pairs.tuned, pairs.model, pairs.family)
    ax.legend(loc="lower right")
    return figure


def changes(changes: pd.DataFrame, means: pd.DataFrame) -> plt.Figure:
    """Percent change with tuning by data set: a faint point a pair, the mean with its interval.

    `changes` has ``dataset``, ``family`` and ``percent_change`` of each pair; `means` has ``dataset``, ``estimate``,
    ``low``, ``high``, in the order of the rows.
    """
    import seaborn  # no other figure of this module needs it

    figure, ax = plt.subplots(figsize=(4.2, 0.55 * len(means) + 1.0))
    axes = {"x": "percent_change", "y": "dataset", "order": means.dataset, "hue": "family"}
    palette = {family: color(family) for family in changes.family.unique()}
    seaborn.swarmplot(changes, **axes, palette=palette, size=4, alpha=0.55, ax=ax)
    intervals(ax, means, marker="D")
    name_rows(ax, means.dataset)
    ax.set(xlabel="Change with instruction tuning (%)", ylabel="")
    ax.legend(loc="best")
    return figure


def bases(pairs: pd.DataFrame, means: pd.DataFrame, narrow: bool = False) -> plt.Figure:
    """Change with tuning, a row a base model: a dot a tuned model, a diamond their mean; below a rule, overall means.

    `pairs` has ``base``, ``family``, ``model`` and ``percent_change``; `means` has ``label``, ``estimate``, ``low``
    and ``high``. `narrow` draws it for a phone.
    """
    order = pairs.groupby("base").percent_change.mean().sort_values(ascending=False)
    size = (3.6 if narrow else 7.1, 0.3 * (len(order) + len(means)) + 0.8)
    figure, ax = plt.subplots(figsize=size)
    for y, base in enumerate(order.index):
        rows = pairs[pairs.base == base]
        tint = color(rows.family.iloc[0])
        ax.scatter(0, y, s=30, facecolor="white", edgecolor=tint, zorder=3)
        for row in rows.itertuples():
            ax.scatter(row.percent_change, y, s=18, color=tint, alpha=0.55).set_gid(f"data-model={row.model}")
        ax.scatter(order[base], y, s=42, marker="D", color=tint, zorder=4)
    below = len(order) + np.arange(len(means))
    intervals(ax, means, below, marker="D")
    ax.axhline(len(order) - 0.5, color=GRAY, linewidth=0.6)
    name_rows(ax, [*order.index, *means.label])
    looks = [{"color": color(family), "marker": "D", "linestyle": ""} for family in pairs.family.unique()]
    parts.legend(figure, dict(zip(pairs.family.unique(), looks, strict=True)))
    ax.set_xlabel("Change with tuning (%)")
    return figure


def counts(table: pd.DataFrame, link: str, narrow: bool = False) -> plt.Figure:
    """How many have each verdict, as parts of one bar that lead to the table of them.

    `table` has ``verdict``, ``n`` and ``tint``; `link` is the address of a part, with the verdict to be filled in.
    `narrow` draws it for a phone.
    """
    figure, ax = plt.subplots(figsize=(3.6 if narrow else 7.1, 1.2 if narrow else 0.9))
    starts = table.n.cumsum() - table.n
    drawn = ax.barh(0, table.n, left=starts, color=table.tint, edgecolor="white", height=0.5)
    for part, row in zip(drawn, table.itertuples(), strict=True):
        part.set_url(link.format(row.verdict))
        words = f"{row.n}\n{row.verdict}".replace("not ", "not\n") if narrow else f"{row.n} {row.verdict}"
        # The first name begins where its part does; the others, of narrow parts, end where theirs do.
        is_first = row.Index == table.index[0]
        x = part.get_x() if is_first else part.get_x() + part.get_width()
        ax.annotate(words, (x, 0.3), ha="left" if is_first else "right", va="bottom", fontsize=8 if narrow else 9)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set(xticks=[], yticks=[], ylim=(-0.3, 1.6 if narrow else 0.8), xlabel="Claims")
    return figure


def forest(table: pd.DataFrame, xlabel: str, groups: str | None = None, zero: float = 0.0) -> plt.Figure:
    """Estimates with their intervals, one below the other, and a line at `zero`, where no effect is.

    `table` has ``label``, ``estimate``, ``low``, ``high`` and, optionally, ``color``, in the order of the rows; a thin
    line sets values of the column `groups` apart. `xlabel` says what estimates are, with their unit.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.3 * len(table) + 0.9))
    intervals(ax, table, tint=table.color if "color" in table else GRAY)
    if groups:
        apart = table[groups].to_numpy()[1:] != table[groups].to_numpy()[:-1]
        for y in np.flatnonzero(apart) + 0.5:
            ax.axhline(y, color=GRAY, linewidth=0.4)
    name_rows(ax, table.label, zero)
    ax.set_xlabel(xlabel)
    return figure


def scatter(
    models: pd.DataFrame, panels: list[tuple[str, str, str]], labels: bool = True, ylabel: str = ""
) -> plt.Figure:
    """A property against a score, one panel below the other; tuned models filled, vanilla ones hollow.

    `models` has ``model``, ``family``, ``kind``, ``vanilla`` and the columns of the panels (x, y, title); rows without
    a value are left out. `labels` name the points; `ylabel` says what scores are, with their unit, if they are not of
    `NAMES`.
    """
    height = 4.2 if labels else 3.1  # names need room
    figure, axes = stacked(len(panels), height * len(panels))
    for ax, (x, y, title) in zip(axes, panels, strict=True):
        _scatter(ax, models.dropna(subset=[x, y]), x, y)
        ax.set(xlabel=NAMES.get(x, x), ylabel=ylabel or NAMES.get(y, y).replace(", average", ""))
        ax.set_title(title)
    if labels:
        # Each name is placed by drawing the figure: laid out once, and without the other panels, that is quick.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for ax, (x, y, _) in zip(axes, panels, strict=True):
            rows = models.dropna(subset=[x, y])
            for other in axes:
                other.set_visible(other is ax)
            parts.label_points(ax, rows[x], rows[y], rows.model, rows.family)
    for ax in axes:
        ax.set_visible(True)
        ax.legend()
    return figure


def _scatter(ax: plt.Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    """Models as points, joined with those they were tuned from, and the line of least squares."""
    scores = rows.set_index("model")
    for name, base in scores.vanilla.items():
        if base in scores.index:
            ax.plot(*scores.loc[[base, name], [x, y]].to_numpy(float).T, color=GRAY, linewidth=0.6)
    for family, group in rows.groupby("family", sort=False):
        tuned, tint = group.kind == TUNED, color(family)
        ax.scatter(group[x][tuned], group[y][tuned], s=30, color=tint, label=family, zorder=3)
        ax.scatter(group[x][~tuned], group[y][~tuned], s=30, facecolor="none", edgecolor=tint, zorder=3)
    ends = np.array([rows[x].min(), rows[x].max()])
    ax.plot(ends, np.polyval(np.polyfit(rows[x], rows[y], 1), ends), color=GRAY, linewidth=1, linestyle=":")


def profile(table: pd.DataFrame, x: str, y: str, line: str, panel: str, xlabel: str, ylabel: str) -> plt.Figure:
    """Lines over a few whole numbers, one panel below the other.

    `table` is long: `x`, `y`, `line` (one line each) and `panel` (one panel each) are columns; labels have units.
    """
    figure, panels = parts.panels_of(table, panel, 2.3, sharey=True)
    for name, ax, rows in panels:
        lines(ax, rows, x, y, line, table[line].unique())
        ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.axvline(0, color=GRAY, linewidth=0.8, linestyle=":")
        ax.set(title=name, ylabel=ylabel)
    panels[0][1].legend()
    ax.set_xlabel(xlabel)
    return figure


def strip(panels: pd.DataFrame, xlabel: str, zero: float = 0.0) -> plt.Figure:
    """As printed, as recomputed and in this study, on one scale, with a line at `zero`, where no effect is.

    `panels` has ``label`` (say, "printed"), ``estimate``, ``low``, ``high``, ``note`` (n and test); a row without an
    estimate says its note. `xlabel` says what estimates are, with their unit.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.55 * len(panels) + 0.75))
    intervals(ax, panels, tint=FAMILIES["T5"], marker="D", size=42)
    for y, note in enumerate(panels.note):
        place = {"xycoords": ("axes fraction", "data"), "xytext": (0, 8), "textcoords": "offset points"}
        ax.annotate(note, (0.01, y), fontsize=8, **place)
    name_rows(ax, panels.label, zero)
    ends = [*panels[["estimate", "low", "high"]].to_numpy(float).ravel(), zero]
    low, high = np.nanmin(ends), np.nanmax(ends)
    pad = 0.08 * (high - low or 1)
    ax.set_xlim(low - pad, high + pad)
    ax.set_xlabel(xlabel)
    return figure


def bars(table: pd.DataFrame, xlabel: str = "Seconds (logarithmic)") -> plt.Figure:
    """Seconds as bars on a logarithmic axis, ours in color; the number stands at the bar's end.

    `table` has ``label``, ``seconds`` and ``ours``; its order is the order of the rows.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.32 * len(table) + 0.8))
    drawn = ax.barh(range(len(table)), table.seconds, height=0.7, color=np.where(table.ours, FAMILIES["T5"], GRAY))
    ax.bar_label(drawn, [f"{s:.2g}" if s < 10 else f"{s:,.0f}" for s in table.seconds], padding=3, fontsize=8)
    ax.set_xscale("log")
    ax.set_xlim(table.seconds.min() / 2, table.seconds.max() * 4)
    name_rows(ax, table.label, zero=None)
    ax.set_xlabel(xlabel)
    return figure
