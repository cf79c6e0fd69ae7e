"""Estimates with their intervals: means over participants or seeds, and what is said of them in numbers and words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.paper.publish.numbers import Live
from brainalign.statistics.correlations import student
from brainalign.study.description.loading import averaged

HOLDS = "holds"  # of a claim
CHANGES = ("raises", "lowers", "does not reliably change")  # words of `verdict` for what tuning or training does
BY_INTERVAL = "by the interval over participants"
OVER_PARTICIPANTS = "mean over participants, t"
SINGLE = "a single participant, or the mean of several people, has no interval"


class Finding(NamedTuple):
    """What a figure or a table shows: numbers that pages quote, and its title."""

    numbers: list[Live]
    title: str


def over_participants(values: pd.Series, together: int = 1) -> dict:
    """Mean over participants, then over data sets, with a 95 % interval.

    In one data set the interval is Student's, with n - 1 degrees of freedom. Over several, participants are others in
    each: variances add, and degrees of freedom are Welch's and Satterthwaite's.

    Parameters
    ----------
    values : Series
        Indexed by data set and participant, among others; NaN are left out, and so are data sets that do not count in
        averages (`averaged`).
    together : int
        Intervals that are to hold all at once, this one among them (Bonferroni).

    Returns
    -------
    dict
        ``estimate``, ``low``, ``high`` (NaN of a single participant), and ``n`` participants.

    Raises
    ------
    ValueError
        There is no value.
    """
    scored = values.dropna()
    if scored.empty:
        raise ValueError("no participant has a score. Give those of one protocol.")
    names = averaged(scored.index.to_frame(index=False))
    groups = scored[scored.index.get_level_values("dataset").isin(names)].groupby("dataset")
    means, n = groups.mean().to_numpy(), groups.size().to_numpy()
    variances = groups.var().to_numpy() / n / len(n) ** 2
    estimate, total = means.mean(), variances.sum()
    degrees = total**2 / np.sum(variances**2 / np.maximum(n - 1, 1)) if total > 0 else n.sum() - len(n)
    half = scipy.stats.t.ppf(1 - 0.025 / together, degrees) * np.sqrt(total) if (n > 1).all() else np.nan
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half, "n": int(n.sum())}


def difference(table: pd.DataFrame, ours: Sequence[str], theirs: Sequence[str]) -> dict:
    """Mean score of some models minus that of others in each participant, then as `over_participants`.

    The table has a column a model, as from `scores.people` under one protocol.
    """
    return over_participants(table[list(ours)].mean(axis=1) - table[list(theirs)].mean(axis=1))


def over_seeds(values) -> dict:
    """Mean over seeds, (n,), with a 95 % interval, as `statistics.student`.

    Raises
    ------
    ValueError
        There are no values, or some are missing.
    """
    values = np.asarray(values, float)
    missing = np.sum(~np.isfinite(values))
    if missing or not values.size:
        raise ValueError(f"{missing} of {values.size} seeds lack a value. Give those that have one.")
    return student(values)


def verdict(row: Mapping, above: str, below: str, neither: str) -> str:
    """A word for where an interval lies: all above zero, all below, or neither."""
    return above if row["low"] > 0 else below if row["high"] < 0 else neither


def live(key: str, row: Mapping, form: str = ".2f", unit: str = "", *, value: str = "estimate", **about) -> Live:
    """A number of a row, its `value`, with ``low``, ``high`` and ``n`` if the row has them; the rest as in `Live`."""
    interval = {end: row[end] for end in ("low", "high") if pd.notna(row.get(end))}
    if "participant" in (method := about.get("method", "")) and row.get("n") == 1 and not interval:
        about["method"] = f"{method}; {SINGLE}"
    return Live(key, row[value], form, unit, **{"n": row.get("n")} | interval | about)


def lives(table: pd.DataFrame, key: str, form: str = ".2f", unit: str = "", *, method: str = "", **about) -> list[Live]:
    """`live` of each row; key and method are filled from the row's columns, as by `str.format`."""
    return [
        live(key.format(**row).replace(" ", "-"), row, form, unit, method=method.format(**row), **about)
        for row in table.to_dict("records")
    ]


def share(which: pd.Series) -> str:
    """How many rows of all, in words."""
    return f"{which.sum()} of {len(which)}"
