"""What the layers of one model look like, and how surprising it finds a story."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import FAMILIES, GRAY, LINES, NAMES, color
from brainalign.study.description.members import SELF, TUNED, TWIN, VANILLA


def norms(table: pd.DataFrame) -> plt.Figure:
    """Norms by layer, a line a text and a panel a stack; the table is the analysis ``norms`` of a study."""
    stacks = list(dict.fromkeys(table["stack"]))
    figure, axes = plt.subplots(len(stacks), figsize=(4.2, 2.6 * len(stacks)), sharex=True, squeeze=False)
    tints = dict(zip(dict.fromkeys(table.text), LINES, strict=False))
    for ax, stack in zip(axes[:, 0], stacks, strict=True):
        for text, rows in table[table["stack"] == stack].groupby("text", sort=False):
            ax.plot(rows.depth, rows.norm, "o-", color=tints[text], markersize=4, label=text)
            ax.fill_between(rows.depth, rows.low, rows.high, color=tints[text], alpha=0.25, linewidth=0)
        ax.set(title=stack.capitalize(), ylabel="Norm of the state")
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].legend(fontsize=8)
    axes[-1, 0].set_xlabel("Layer (0: embeddings)")
    return figure


def similarity(values: pd.DataFrame) -> plt.Figure:
    """Similarity of layers as an image.

    Parameters
    ----------
    values : DataFrame
        layer x layer, 1 on the diagonal.
    """
    figure, ax = plt.subplots(figsize=(4.2, 3.6))
    image = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
    step = max(1, len(values) // 12)
    ticks = range(0, len(values), step)
    ax.set_xticks(ticks, values.columns[::step], rotation=90 if values.columns.str.len().max() > 2 else 0)
    ax.set_yticks(ticks, values.index[::step])
    ax.set(xlabel="Layer", ylabel="Layer")
    figure.colorbar(image, ax=ax, label="Linear CKA")
    return figure


def surprisal_profile(words: pd.DataFrame) -> plt.Figure:
    """Surprisal word by word, a bar a word; those that open a sentence are gray.

    Parameters
    ----------
    words : DataFrame
        ``text``, ``sentence`` and ``surprisal`` (bits) of consecutive words.
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

    Parameters
    ----------
    values : DataFrame
        Of `placing.on_axes`, of the model and its counterparts.
    printed : DataFrame
        The models of the printed tables.
    roles : dict
        Of `study.related`: names, and what each is to the model.
    """
    axes_shown = list(dict.fromkeys(values.axis))
    figure, panels = plt.subplots(len(axes_shown), figsize=(4.6, 0.82 * len(axes_shown) + 0.5), squeeze=False)
    tints = {SELF: LINES[0], VANILLA: LINES[1], TUNED: LINES[1], TWIN: GRAY}
    for ax, axis in zip(panels[:, 0], axes_shown, strict=True):
        shown = printed.dropna(subset=[axis])
        for family, rows in shown.groupby("family", sort=False):
            filled = rows.kind == "instruction-tuned"
            ax.scatter(rows[axis][filled], np.zeros(filled.sum()), s=16, color=color(family), alpha=0.6, linewidth=0)
            ax.scatter(
                rows[axis][~filled],
                np.zeros((~filled).sum()),
                s=16,
                facecolor="none",
                edgecolor=color(family),
                alpha=0.6,
            )
        for row in values[values.axis == axis].iloc[::-1].itertuples():  # the model itself on top
            role = roles[row.model]
            fill = tints[role] if role in (SELF, TUNED) else "none"
            ax.plot(row.value, 0.5 if role != SELF else 1, "D", color=tints[role], markerfacecolor=fill, markersize=6)
        ax.set_ylim(-0.4, 1.4)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_title(NAMES[axis], fontsize=9)
    for role in dict.fromkeys(roles[name] for name in values.model):
        fill = tints[role] if role in (SELF, TUNED) else "none"
        panels[0, 0].plot([], [], "D", color=tints[role], markerfacecolor=fill, label=role)
    panels[0, 0].scatter([], [], s=16, color=GRAY, label="printed")
    figure.legend(loc="outside upper right", ncols=3, fontsize=8, handletextpad=0.1, columnspacing=1)
    return figure
