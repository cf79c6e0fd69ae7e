"""Checkpoints along a tuning, over its seeds: what is measured, under which condition, and means with intervals."""

import numpy as np
import pandas as pd

from brainalign.statistics.correlations import student

WITH, WITHOUT, CONTINUED = "with instruction", "without instruction", "continued pretraining"
BRAIN, NULL_BRAIN = "brain alignment", "null recording"
LOSS_ON = "loss on "  # whichever text people read
SHARE = "share of right answers"
# Beginnings of measures; of any other, a share of right answers.
UNITS = {BRAIN: "Pearson r", NULL_BRAIN: "Pearson r", "reading times": "Pearson r with time", LOSS_ON: "bits a word"}


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
    missing = np.sum(~np.isfinite(values))
    if missing or not values.size:
        raise ValueError(f"{missing} of {values.size} seeds lack a value. Give those that have one.")
    return student(values)


def means(curves: pd.DataFrame) -> pd.DataFrame:
    """Curves over seeds: a row a step, with `over_seeds`."""
    keys = ["tuned", "condition", "measure", "protocol", "step"]
    groups = curves.groupby(keys, sort=False)
    return pd.DataFrame([dict(zip(keys, key, strict=True)) | over_seeds(rows.value) for key, rows in groups])


def unit(measure: str) -> str:
    """What a measure is measured in."""
    return next((unit for beginning, unit in UNITS.items() if measure.startswith(beginning)), SHARE)
