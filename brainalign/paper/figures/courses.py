"""Figures of the data themselves: time courses, response matrices, reading-time profiles."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.figures.parts import FAMILIES, GRAY, panels_of

TINT = FAMILIES["T5"]


def courses(table: pd.DataFrame) -> plt.Figure:
    """Time courses, one panel a region.

    `table` has ``unit``, the region; ``seconds``; ``response`` in standard deviations, with ``low`` and ``high``.
    """
    figure, panels = panels_of(table, "unit", 0.75, 0.6, sharey=True)
    for region, ax, rows in panels:
        ax.fill_between(rows.seconds, rows.low, rows.high, color=TINT, alpha=0.3, linewidth=0)
        ax.plot(rows.seconds, rows.response, color=TINT, linewidth=0.8)
        ax.set_ylabel(region, rotation=0, ha="right", va="center")
    ax.set_xlabel("Time (s); response in standard deviations")
    return figure


def matrix(table: pd.DataFrame) -> plt.Figure:
    """Responses as an image, z-scored per unit, participants side by side.

    `table` has ``participant``, ``unit``, ``stimulus`` and ``response``, a row per unit and stimulus, in this order;
    units without variance stay blank.
    """
    n_stimuli = table.stimulus.nunique()
    values = table.response.to_numpy(float).reshape(-1, n_stimuli).T
    owners = table.participant.to_numpy()[::n_stimuli]
    spread = values.std(axis=0)
    z = (values - values.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
    figure, ax = plt.subplots(figsize=(4.2, 3.2))
    image = ax.imshow(z, aspect="auto", cmap="RdBu_r", vmin=-2.5, vmax=2.5, interpolation="nearest", rasterized=True)
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    for start in starts[1:]:
        ax.axvline(start - 0.5, color=GRAY, linewidth=0.6)
    middles = (starts + np.r_[starts[1:], len(owners)]) / 2
    ax.set_xticks(middles, owners[starts], fontsize=7, rotation=45, ha="right")
    ax.set(xlabel="Units, by participant", ylabel="Stimuli")
    figure.colorbar(image, ax=ax, label="Response (standard deviations)")
    return figure


def reading_profile(words: pd.DataFrame) -> plt.Figure:
    """Mean reading time word by word.

    `words` has ``text``, ``reading_time`` (ms), ``sd`` and ``n_readers`` of consecutive words.
    """
    figure, ax = plt.subplots(figsize=(7.0, 2.8))
    x, error = np.arange(len(words)), words.sd / np.sqrt(words.n_readers)
    ax.fill_between(x, words.reading_time - error, words.reading_time + error, color=TINT, alpha=0.3, linewidth=0)
    ax.plot(x, words.reading_time, color=TINT, linewidth=1)
    ax.set_xticks(x, words.text, rotation=90, fontsize=7)
    ax.set_ylabel("Reading time (ms)")
    ax.margins(x=0.01)
    return figure
