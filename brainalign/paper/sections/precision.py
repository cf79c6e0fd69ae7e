"""Does the precision of least squares decide a score? Random numbers tell, with more features than stimuli.

Brain-Score computes in the precision of its input, single.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.alignment.encoding import held_out, predictivity, splits
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections.estimates import Finding

N_STIMULI, N_FEATURES, N_UNITS = 96, 200, 40
N_SHARED = 20  # dimensions that features and responses have in common
PRECISIONS = {"single": np.float32, "double": np.float64}
FAR_MORE = 100  # times the spread that is put down to rounding

Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def folds() -> Folds:
    """Training and test stimuli of each split, as in ``aw2024``."""
    return splits.shuffled(N_STIMULI)


def random_numbers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features with an offset, stimulus x feature, and noisy responses, stimulus x unit, both in single precision."""
    shared = rng.normal(size=(N_STIMULI, N_SHARED))
    offset = 3 * rng.normal(size=N_FEATURES)
    features = shared @ rng.normal(size=(N_SHARED, N_FEATURES)) + rng.normal(size=(N_STIMULI, N_FEATURES)) + offset
    responses = shared @ rng.normal(size=(N_SHARED, N_UNITS)) + 8 * rng.normal(size=(N_STIMULI, N_UNITS))
    return features.astype(np.float32), responses.astype(np.float32)


def scores(features: np.ndarray, responses: np.ndarray, orders: int, rng: np.random.Generator) -> pd.DataFrame:
    """Score of scikit-learn's least squares, with the rows of the training sets in one order after another.

    A row per ``order``, of which the first is that of the splits, and ``precision``: ``r``.
    """
    rows = []
    for order in range(orders):
        turned = [(rng.permutation(train) if order else train, test) for train, test in folds()]
        for label, precision in PRECISIONS.items():
            r = score(features.astype(precision), responses.astype(precision), turned)
            rows.append({"order": order, "precision": label, "r": r})
    return pd.DataFrame(rows)


def score(features: np.ndarray, responses: np.ndarray, folds: Folds) -> float:
    """Median over units of Pearson's r, mean over splits, as scikit-learn's least squares predicts."""
    from sklearn.linear_model import LinearRegression

    values = []
    for train, test in folds:
        predicted = LinearRegression().fit(features[train], responses[train]).predict(features[test])
        values.append(np.median(held_out.pearson(predicted.astype(float), responses[test].astype(float))))
    return float(np.mean(values))


def our_score(features: np.ndarray, responses: np.ndarray) -> float:
    """The same, as this library predicts from the single-precision input."""
    return float(np.median(predictivity.scores([features], responses, folds()).r[0], axis=1).mean())


def finding(scores: pd.DataFrame, ours: float) -> Finding:
    """Scores in both precisions and ours, and how they vary with the order of the rows.

    The single-precision score depends on that order if it varies far more than the one in double precision.
    """
    by_precision = scores.groupby("precision").r
    first, spread = by_precision.first(), by_precision.agg(np.ptp)
    word = "depends" if spread["single"] > FAR_MORE * spread["double"] else "does not depend"
    over_orders = {"n": scores.order.nunique(), "method": "highest minus lowest over orders of rows"}
    numbers = [
        Live("stimuli", N_STIMULI, "d"),
        Live("features", N_FEATURES, "d"),
        Live("single", first["single"], ".4f", method="scikit-learn, single precision, rows in order"),
        Live("double", first["double"], ".4f", method="scikit-learn, double precision, rows in order"),
        Live("ours", ours, ".4f", method="this library, from the same single-precision input"),
        *(Live(f"{precision}.spread", spread[precision], ".1e", **over_orders) for precision in PRECISIONS),
        Live("ours.difference", abs(ours - first["double"]), ".0e", method="from scikit-learn in double precision"),
        Live("verdict", word, method="the single-precision score, on the order of rows"),
    ]
    return Finding(numbers, f"In single precision the score {word} on the order of the rows")


def differences(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores less the first in double precision, ``off``, for `figures.profile`."""
    first = scores.r[scores.precision == "double"].iloc[0]
    return scores.assign(panel="Least squares, more features than stimuli", off=scores.r - first)
