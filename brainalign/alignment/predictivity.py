"""How well one set of responses predicts another: the metrics that a protocol and its ceiling share.

A metric takes features, responses and one split, and gives a score for each unit. `least_squares` and `ridge` fit from
the smaller of features and stimuli, with one decomposition for all that is predicted.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import lapack

# Eigenvalues of a Gram matrix below this share of the largest are rounding, which leaves about 1e-14.
CUT_OFF = 1e-12
Metric = Callable[[np.ndarray, Sequence[np.ndarray], np.ndarray, np.ndarray], list[np.ndarray]]


def pearson(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each column as Brain-Score has it: ``sum(x y) / ((|x| + 1e-8) (|y| + 1e-8))``, x and y centred.

    Parameters
    ----------
    predicted, measured : ndarray
        (n_stimuli, n_units) any unit.

    Returns
    -------
    ndarray
        (n_units,) 0 where a column is constant.
    """
    x, y = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    norms = (np.linalg.norm(x, axis=0) + 1e-8) * (np.linalg.norm(y, axis=0) + 1e-8)
    return np.einsum("ij,ij->j", x, y) / norms


def least_squares(
    features: np.ndarray, responses: Sequence[np.ndarray], train: np.ndarray, test: np.ndarray
) -> list[np.ndarray]:
    """Linear predictivity in one split: r of Y_te and X_te b*, b* = argmin_b ||X_tr b - Y_tr||².

    With intercept, and of minimum norm where features outnumber stimuli. Rank is decided in float64. Protocols,
    sections 3 and 6.

    Parameters
    ----------
    features : ndarray
        (n_stimuli, n_features) any unit.
    responses : sequence of ndarray
        (n_stimuli, n_units) each, any unit, finite. Products with them are taken in their precision.
    train, test : ndarray of int
        (n_train,), (n_test,) stimuli.

    Returns
    -------
    list of ndarray
        (n_units,) Pearson r, an array for each of the responses.
    """
    weights = _minimum_norm(*_centred(features, train, test))
    return [_predictivity(weights, y, train, test) for y in responses]


def ridge(
    features: np.ndarray,
    responses: Sequence[np.ndarray],
    train: np.ndarray,
    test: np.ndarray,
    alphas: Sequence[float] = tuple(np.logspace(-3, 3, 7)),
    groups: np.ndarray | None = None,
    relative: bool = False,
) -> list[np.ndarray]:
    """Ridge predictivity in one split: r of Y_te and X_te b*, b* = argmin_b ||X_tr b - Y_tr||² + alpha ||b||².

    With an intercept that is not penalised. All units of an array share one alpha: the one with the smallest mean
    squared error when parts of the training set are left out of it. That is exact and takes no other fit: with
    H = 11ᵀ/n + Q diag(w / (w + alpha)) Qᵀ, the errors of part g are (I - H_gg)⁻¹ (Y_g - Ŷ_g). Protocols, sections
    5 and 6. The defaults are Brain-Score's.

    Parameters
    ----------
    features, responses, train, test
        As in `least_squares`.
    alphas : sequence of float
        Penalties, positive, in squared units of the features.
    groups : ndarray, optional
        (n_stimuli,) the part of each stimulus, such as its passage; without, each is left out alone.
    relative : bool
        Whether penalties are multiples of the mean eigenvalue of the centred training Gram matrix.

    Returns
    -------
    list of ndarray
        (n_units,) Pearson r, an array for each of the responses.

    Raises
    ------
    ValueError
        A penalty is not positive.
    """
    if np.min(alphas) <= 0:
        raise ValueError(f"penalties must be positive, got {np.min(alphas)}. `least_squares` has none.")
    q, w, cross = _spectrum(*_centred(features, train, test))
    n = len(train)
    alphas = np.asarray(alphas, float) * (w.sum() / n if relative else 1)
    unseen = np.eye(n) - 1 / n - q @ q.T
    # I - H, not H: as alpha vanishes H nears I, and their difference would be rounding.
    removed = [unseen + (q * (alpha / (w + alpha))) @ q.T for alpha in alphas]
    many = sum(y.shape[1] for y in responses) > n
    if many:  # errors are L Y, and |L Y|² the inner product of LᵀL and Y Yᵀ: units are touched once for all alphas
        operators = [_left_out(matrix, matrix, train, groups) for matrix in removed]
        squared = [operator.T @ operator for operator in operators]
    scores = []
    for y in responses:
        y_train = y[train] - y[train].mean(axis=0)
        if many:
            inner = y_train @ y_train.T
            errors = [np.vdot(matrix, inner) for matrix in squared]
        else:
            errors = [np.square(_left_out(matrix @ y_train, matrix, train, groups)).sum() for matrix in removed]
        scores.append(_predictivity((cross / (w + alphas[np.argmin(errors)])) @ q.T, y, train, test))
    return scores


def _left_out(rows: np.ndarray, removed: np.ndarray, train: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """(I - H)_gg⁻¹ times the rows of each part g, a stimulus or a group; ``removed`` is I - H."""
    if groups is None:
        return rows / np.diag(removed)[:, None]
    divided = np.empty_like(rows)
    for group in np.unique(groups[train]):
        part = np.flatnonzero(groups[train] == group)
        divided[part] = np.linalg.solve(removed[np.ix_(part, part)], rows[part])
    return divided


def _predictivity(weights: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Pearson r of each unit and its prediction, weights (n_test, n_train) times centred responses."""
    y_train = y[train]
    y_train -= y_train.mean(axis=0)
    return pearson(weights.astype(y.dtype) @ y_train, y[test])


def _centred(features: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training and test features in float64, less the mean of the training set."""
    x = features.astype(float)
    x -= x[train].mean(axis=0)
    return x[train], x[test]


def _minimum_norm(x_train: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """K_te K_tr⁺, which turns training responses into predictions: (n_test, n_train)."""
    if x_train.shape[1] >= len(x_train):
        # Centring leaves 1 without variance, and K_te 1 = 0: variance put there changes nothing, and makes way for
        # Cholesky, eight times faster than eigenvalues. Unless other directions are short of variance too.
        gram = x_train @ x_train.T
        gram += np.trace(gram) / len(gram) ** 2
        factor, failed = lapack.dpotrf(gram, lower=1)
        if not failed and lapack.dpocon(factor, np.abs(gram).sum(axis=0).max(), uplo="L")[0] > 1000 * CUT_OFF:
            return lapack.dpotrs(factor, x_train @ x_test.T, lower=1)[0].T
    q, w, cross = _spectrum(x_train, x_test)
    return (cross / w) @ q.T


def _spectrum(x_train: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K_tr = Q diag(w) Qᵀ and K_te Q, by way of the smaller side: (n_train, rank), (rank,), (n_test, rank)."""
    if x_train.shape[1] < len(x_train):
        q, s, v = np.linalg.svd(x_train, full_matrices=False)
        kept = s > s.max(initial=0) * len(q) * np.finfo(float).eps
        return q[:, kept], s[kept] ** 2, (x_test @ v[kept].T) * s[kept]
    w, q = np.linalg.eigh(x_train @ x_train.T)
    kept = w > CUT_OFF * w[-1]
    return q[:, kept], w[kept], x_test @ (x_train.T @ q[:, kept])
