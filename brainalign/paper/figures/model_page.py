"""What the layers of one model look like, and how surprising it finds a story."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures.parts import FAMILIES, GRAY, LINES, NAMES, TUNED, color, legend, lines, panels_of, stacked
from brainalign.study.description import members
from brainalign.study.description.members import SELF, TWIN, VANILLA


def norms(table: pd.DataFrame) -> plt.Figure:
    """Norms by layer, a line a text and a panel a stack; the table is the analysis ``norms`` of a study."""
    figure, panels = panels_of(table, "stack", 2.6)
    for stack, ax, rows in panels:
        lines(ax, rows, "depth", "norm", "text", table.text.unique())
        ax.set(title=stack.capitalize(), ylabel="Norm of the state")
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
    panels[0][1].legend()
    ax.set_xlabel("Layer (0: embeddings)")
    return figure


def similarity(values: pd.DataFrame) -> plt.Figure:
    """Similarity of layers as an image: layer x layer, 1 on the diagonal."""
    import seaborn  # no other figure of this module needs it

    figure, ax = plt.subplots(figsize=(4.2, 3.6))
    look = {"vmin": 0, "vmax": 1, "cmap": "viridis", "cbar_kws": {"label": "Linear CKA"}}
    seaborn.heatmap(values, square=True, rasterized=True, ax=ax, **look)
    ax.invert_yaxis()
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel="Layer", ylabel="Layer")
    return figure


def surprisal_profile(words: pd.DataFrame) -> plt.Figure:
    """Surprisal word by word, a bar a word; those that open a sentence are gray.

    `words` has ``text``, ``sentence`` and ``surprisal`` (bits) of consecutive words.
    """
    figure, ax = plt.subplots(figsize=(7.0, 2.8))
    x, opens = np.arange(len(words)), ~words.sentence.duplicated()
    ax.bar(x, words.surprisal, width=0.75, color=np.where(opens, GRAY, FAMILIES["T5"]))
    ax.set_xticks(x, words.text, rotation=90, fontsize=7)
    ax.set_ylabel("Surprisal (bits)")
    ax.margins(x=0.01)
    return figure


def strips(values: pd.DataFrame, printed: pd.DataFrame, roles: dict[str, str]) -> plt.Figure:
    """One strip an axis: printed models as circles, and on top of them this study's as diamonds.

    `values` are of `placing.on_axes`, `roles` of `study.related`; `printed` are the models of the printed tables.
    """
    shown = values.axis.unique()
    figure, axes = stacked(len(shown), 0.82 * len(shown) + 0.5, 4.6)
    tints = {SELF: LINES[0], VANILLA: LINES[1], members.TUNED: LINES[1], TWIN: GRAY}
    looks = {
        role: {"color": tint, "markerfacecolor": tint if role in (SELF, members.TUNED) else "none"}
        for role, tint in tints.items()
    }
    for ax, axis in zip(axes, shown, strict=True):
        for family, rows in printed.dropna(subset=[axis]).groupby("family", sort=False):
            faces = np.where(rows.kind == TUNED, color(family), "none")
            ax.scatter(rows[axis], 0 * rows[axis], s=16, facecolor=faces, edgecolor=color(family), alpha=0.6)
        for row in values[values.axis == axis].iloc[::-1].itertuples():  # the model itself on top
            role = roles[row.model]
            ax.plot(row.value, 0.5 if role != SELF else 1, "D", markersize=6, **looks[role])
        ax.set_ylim(-0.4, 1.4)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_title(NAMES[axis], fontsize=9)
    diamonds = {role: looks[role] | {"marker": "D"} for role in dict.fromkeys(roles[name] for name in values.model)}
    circles = {"printed": {"marker": "o", "color": GRAY, "markersize": 4}}
    legend(figure, {role: look | {"linestyle": "none"} for role, look in (diamonds | circles).items()})
    return figure
