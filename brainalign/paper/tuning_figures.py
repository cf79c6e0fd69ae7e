"""What becomes of a model while it is tuned: checkpoints over seeds, under each condition."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.alignment.protocols import PROTOCOLS
from brainalign.paper.figures import FAMILIES, GRAY, name_rows
from brainalign.paper.statistics import student
from brainalign.study.sources import NULL

WITH, WITHOUT, CONTINUED = "with instruction", "without instruction", "continued pretraining"
CONDITIONS = {"instruction": WITH, "no-instruction": WITHOUT, "continued": CONTINUED}
TINTS = {WITH: FAMILIES["LLaMA"], WITHOUT: FAMILIES["T5"], CONTINUED: FAMILIES["GPT2"]}
BRAIN, NULL_BRAIN = "brain alignment", "null recording"
SHARE = "share of right answers"
# Beginnings of measures; of any other, a share of right answers.
UNITS = {BRAIN: "Pearson r", NULL_BRAIN: "Pearson r", "reading times": "Pearson r with time", "loss on": "bits a word"}


def curves(results: pd.DataFrame) -> pd.DataFrame:
    """Values of checkpoints by seed, averaged over recordings; those in which the text tells nothing are apart.

    Parameters
    ----------
    results : DataFrame
        As from ``study.results(study, "tuning")``.

    Returns
    -------
    DataFrame
        ``tuned``, ``condition`` (of `CONDITIONS`), ``measure`` (`BRAIN`, `NULL_BRAIN`, or what else was scored),
        ``protocol`` (of brain alignment; empty for others), ``seed``, ``step`` and ``value``.
    """
    of_brains = results.protocol.isin(PROTOCOLS)  # benchmarks have protocols of their own
    null = results.measure.str.endswith(NULL)
    measure = results.measure.mask(of_brains & ~null, BRAIN).mask(of_brains & null, NULL_BRAIN)
    condition = results.condition.map(CONDITIONS)
    table = results.assign(measure=measure, condition=condition, protocol=results.protocol.fillna(""))
    table = table.rename(columns={"tuning_seed": "seed"}).astype({"seed": int, "step": int})
    keys = ["tuned", "condition", "measure", "protocol", "seed", "step"]
    averaged = table.groupby(keys, sort=False).value.mean().reset_index()
    return averaged.sort_values("step", kind="stable", ignore_index=True)


def over_seeds(values) -> dict:
    """Mean over seeds with a 95 % interval, as `statistics.student`.

    Parameters
    ----------
    values : (n,) array or Series
        One a seed, none missing.

    Returns
    -------
    dict
        ``estimate``, ``low``, ``high`` (NaN with a single seed) and ``n``.

    Raises
    ------
    ValueError
        There are no values, or some are missing.
    """
    values = np.asarray(values, float)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(values))} of {values.size} seeds lack a value. Give those that have one."
        )
    return student(values)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Curves of `curves` over seeds: a row a step, with `over_seeds`."""
    keys = ["tuned", "condition", "measure", "protocol", "step"]
    rows = [dict(zip(keys, key, strict=True)) | over_seeds(some.value) for key, some in table.groupby(keys, sort=False)]
    return pd.DataFrame(rows)


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Value at the last step minus that at the first, for each seed.

    Parameters
    ----------
    table : DataFrame
        As from `curves`.

    Returns
    -------
    DataFrame
        ``tuned``, ``condition``, ``measure``, ``protocol``, ``seed``, ``change`` in the unit of the measure.
    """
    keys = ["tuned", "condition", "measure", "protocol", "seed"]
    ordered = table.sort_values("step").groupby(keys, sort=False).value
    return (ordered.last() - ordered.first()).rename("change").reset_index()


def unit(measure: str) -> str:
    """What a measure is measured in."""
    return next((found for beginning, found in UNITS.items() if measure.startswith(beginning)), SHARE)


def difference(table: pd.DataFrame, other: str = WITHOUT) -> dict | None:
    """Change with the instruction minus that under another condition, seed by seed; None where no seed has both.

    Parameters
    ----------
    table : DataFrame
        Of `changes`, of one model, measure and protocol. Equal seeds see the samples in one order.
    other : str
        Of `CONDITIONS`.

    Returns
    -------
    dict or None
        As from `over_seeds`.
    """
    wide = table.pivot(index="seed", columns="condition", values="change").reindex(columns=[WITH, other]).dropna()
    return over_seeds(wide[WITH] - wide[other]) if len(wide) else None


def draw_curves(table: pd.DataFrame, panels: list[tuple[str, str, str]], zero: bool = False) -> plt.Figure:
    """Checkpoints along the tuning: each seed thin, their mean thick with its interval, one panel below the other.

    Parameters
    ----------
    table : DataFrame
        As from `curves`, of one model.
    panels : list of (measure, protocol, title)
        What each panel shows, and what it finds.
    zero : bool
        Whether to draw a line at zero, and so to show how far away it is.
    """
    figure, axes = plt.subplots(len(panels), figsize=(4.4, 2.5 * len(panels)), sharex=True, squeeze=False)
    steps = sorted(table.step.unique())
    place = {step: i for i, step in enumerate(steps)}  # checkpoints lie closer where more happens
    for ax, (measure, protocol, title) in zip(axes[:, 0], panels, strict=True):
        rows = table[(table.measure == measure) & (table.protocol == protocol)]
        for shift, (condition, tint) in zip((-0.06, 0.06, 0.0), TINTS.items(), strict=True):
            some = rows[rows.condition == condition]
            for _, seed in some.groupby("seed"):
                ax.plot(seed.step.map(place), seed.value, color=tint, linewidth=0.7, alpha=0.5)
            if some.empty:
                continue
            mean = means(some)
            half = (mean.high - mean.estimate).fillna(0)
            x = mean.step.map(place) + shift
            ax.errorbar(
                x, mean.estimate, yerr=half, fmt="o-", color=tint, markersize=4, linewidth=1.8, elinewidth=1, capsize=2,
                label=condition,
            )  # fmt: skip
        if zero:
            ax.axhline(0, color=GRAY, linewidth=0.8)
        ax.set(title=title, ylabel=unit(measure).capitalize() if unit(measure) == SHARE else unit(measure))
    axes[-1, 0].set_xticks(range(len(steps)), [str(step) for step in steps])
    axes[-1, 0].set_xlabel("Steps of tuning (places of checkpoints, not to scale)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8, columnspacing=1.0)
    return figure


def draw_changes(table: pd.DataFrame) -> plt.Figure:
    """Changes with their intervals, and each seed's as a faint point; correlations and shares have a panel each.

    Parameters
    ----------
    table : DataFrame
        Of `changes`, of one model, with ``label`` of its row; its order is that of rows.
    """
    of_unit = table.measure.map(unit)
    units = dict(list(table.groupby(of_unit, sort=False)))
    heights = [rows.label.nunique() for rows in units.values()]
    size = (4.6, sum(0.5 * n + 0.75 for n in heights) + 0.3)
    figure, axes = plt.subplots(len(units), figsize=size, height_ratios=heights, squeeze=False)
    places = dict(zip(TINTS, (-0.2, 0.0, 0.2), strict=True))
    for ax, (name, rows) in zip(axes[:, 0], units.items(), strict=True):
        labels = list(dict.fromkeys(rows.label))
        for (label, condition), some in rows.groupby(["label", "condition"], sort=False):
            y, tint = labels.index(label) + places[condition], TINTS[condition]
            mean = over_seeds(some.change)
            ax.plot([mean["low"], mean["high"]], [y, y], color=tint, linewidth=1.8)
            ax.plot(some.change, [y] * len(some), "o", color=tint, markersize=3, alpha=0.45)
            ax.plot(mean["estimate"], y, "D", color=tint, markersize=6)
        name_rows(ax, labels)
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set_xlabel(f"Last checkpoint minus first ({name})")
    for condition in dict.fromkeys(table.condition):
        axes[0, 0].plot([], [], "D", color=TINTS[condition], label=condition)
    figure.legend(loc="outside upper right", ncols=3, fontsize=8, handletextpad=0.1, columnspacing=1.0)
    return figure
