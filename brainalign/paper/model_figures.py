"""What the layers of one model look like, and how surprising it finds a story."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures import FAMILIES, GRAY, LINES


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
