"""Does the precision of least squares decide a score? Random numbers tell, with more features than stimuli.

Brain-Score computes in the precision of its input, single.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.alignment.encoding import held_out, predictivity, splits
from brainalign.paper.publish.numbers import Live

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


def verdict(scores: pd.DataFrame) -> str:
    """Whether the single-precision score depends on the order of the rows, far more than that in double precision."""
    spread = _spread(scores)
    return "depends" if spread["single"] > FAR_MORE * spread["double"] else "does not depend"


def numbers(scores: pd.DataFrame, ours: float) -> list[Live]:
    """Scores in both precisions and ours, and how they vary with the order of the rows."""
    first, spread = _first(scores), _spread(scores)
    over_orders = {"n": scores.order.nunique(), "method": "highest minus lowest over orders of rows"}
    return [
        Live("stimuli", N_STIMULI, "d"),
        Live("features", N_FEATURES, "d"),
        Live("single", first["single"], ".4f", method="scikit-learn, single precision, rows in order"),
        Live("double", first["double"], ".4f", method="scikit-learn, double precision, rows in order"),
        Live("ours", ours, ".4f", method="this library, from the same single-precision input"),
        *(Live(f"{precision}.spread", spread[precision], ".1e", **over_orders) for precision in PRECISIONS),
        Live("ours.difference", abs(ours - first["double"]), ".0e", method="from scikit-learn in double precision"),
        Live("verdict", verdict(scores), method="the single-precision score, on the order of rows"),
    ]


def differences(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores less the first in double precision, ``off``, for `figures.profile`."""
    return scores.assign(panel="Least squares, more features than stimuli", off=scores.r - _first(scores)["double"])


def title(scores: pd.DataFrame) -> str:
    """What the lines over orders show."""
    return f"In single precision the score {verdict(scores)} on the order of the rows"


def _first(scores: pd.DataFrame) -> pd.Series:
    return scores.groupby("precision").r.first()


def _spread(scores: pd.DataFrame) -> pd.Series:
    return scores.groupby("precision").r.agg(np.ptp)
