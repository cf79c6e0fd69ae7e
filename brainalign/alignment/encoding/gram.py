"""Least squares and ridge from Gram matrices: one small decomposition a fold serves all penalties and all units.

The solver of every encoding model here. `predictivity.scores` runs it over layers, splits and units. A prediction is
linear in the training responses, and a row of weights for each test stimulus is all that a fit has to give: responses
meet it in one product. Protocols, section 6.

With X (n x p) the features, centred, the small problem is K = X Xᵀ (n x n, the dual) or Xᵀ X (p x p, the primal),
whichever is smaller. It is formed and decomposed in float64: centring leaves one eigenvalue of K zero, which float32
does not see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from brainalign.alignment.arrays import Array, inverse_definite, like, namespace, precision

# Eigenvalues of a Gram matrix below this share of the largest are rounding, which leaves about 1e-14.
CUT_OFF = 1e-12
BLOCK = 1024  # features or units at once: few enough for the cache


@dataclass(frozen=True, eq=False)
class Gram:
    """What all folds of a layer share: ``matrix`` is K (n_stimuli, n_stimuli) if ``dual``, else centred features."""

    matrix: Array  # float64
    dual: bool

    @cached_property
    def inverse(self) -> Array | None:
        """K⁺, if no direction but 1 is without variance."""
        if not self.dual:
            return None
        # Variance put there makes way for Cholesky, eight times faster than eigenvalues, and is taken off again.
        total = float(self.matrix.trace())
        inverse = inverse_definite(self.matrix + total / len(self.matrix) ** 2, 1000 * CUT_OFF * total)
        return None if inverse is None else inverse - 1 / total


class Spectrum(NamedTuple):
    """A fold's K_tr = Q diag(w) Qᵀ and K_te Q, both centred by the training set; without null directions.

    ``q``: (n_train, rank), ``w``: (rank,) squared units of the features, ``cross``: (n_test, rank); float64.
    """

    q: Array
    w: Array
    cross: Array


def gram(features: Array, mapper=map) -> Gram:
    """K = X Xᵀ of features, (n_stimuli, n_features), centred; or those where they are fewer than stimuli.

    The mapper maps a function over blocks of features, as the built-in `map` or that of an executor.
    """
    n_stimuli, n_features = features.shape
    if n_features < n_stimuli:
        return Gram(centred(like(features, features, "float64")), dual=False)

    def inner(start: int) -> Array:
        x = centred(like(features[:, start : start + BLOCK], features, "float64"))
        return x @ x.T

    return Gram(sum(mapper(inner, range(0, n_features, BLOCK))), dual=True)


def centred(array: Array) -> Array:
    """The array less its mean over stimuli; exactly zero where it is constant."""
    array = array - array[0]
    array -= array.mean(axis=0)
    return array


def least_squares(layer: Gram, train: np.ndarray, test: np.ndarray) -> Array:
    """K_te K_tr⁺: what turns training responses into predictions X_te b*, b* = argmin_b ||X_tr b - Y_tr||².

    Of minimum norm where features outnumber stimuli. Predictions are deviations from the training mean: weights,
    (n_test, n_train) float64, whose rows sum to zero.
    """
    if layer.inverse is not None:  # one for all folds: what is left out, o, has errors (K⁺_oo)⁻¹ (K⁺ Y)_o
        held_out = like(np.concatenate([test, unused_stimuli(len(layer.inverse), train, test)]), layer.inverse)
        rows = layer.inverse[held_out]
        weights = namespace(rows).linalg.inv(rows[:, held_out])[: len(test)] @ rows[:, like(train, rows)]
        return -weights - 1 / len(train)
    small, cross, offset = fold(layer, train, test)
    if not layer.dual:
        covariance = small.T @ small
        inverse = inverse_definite(covariance, 1000 * CUT_OFF * max(float(covariance.trace()), offset))
        if inverse is not None:
            return cross @ inverse @ small.T
    q, w, cross = _spectrum(layer.dual, small, cross, offset)
    return (cross / w) @ q.T


def unused_stimuli(n_stimuli: int, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Stimuli that a split neither trains nor tests on, in order."""
    return np.setdiff1d(np.arange(n_stimuli), np.concatenate([train, test]))


def ridge(spectrum: Spectrum, alpha: float) -> Array:
    """K_te (K_tr + alpha I)⁻¹: as `least_squares`, with b* = argmin_b ||X_tr b - Y_tr||² + alpha ||b||²."""
    q, w, cross = spectrum
    return (cross / (w + alpha)) @ q.T


def spectrum(layer: Gram, train: np.ndarray, test: np.ndarray) -> Spectrum:
    """The eigendecomposition of a fold, (n_train,) and (n_test,) stimuli, which serves every penalty."""
    return _spectrum(layer.dual, *fold(layer, train, test))


def fold(layer: Gram, train: np.ndarray, test: np.ndarray) -> tuple[Array, Array, float]:
    """K_tr and K_te, or X_tr and X_te, centred by the training set; and how much variance that took away."""
    matrix = layer.matrix
    train, test = like(train, matrix), like(test, matrix)
    if not layer.dual:
        x, x_test = matrix[train], matrix[test]
        mean = x.mean(axis=0)
        return x - mean, x_test - mean, len(x) * float(mean @ mean)
    k, cross = matrix[train][:, train], matrix[test][:, train]
    mean = k.mean(axis=0)
    grand = mean.mean()
    k -= mean - grand
    k -= mean[:, None]
    cross -= mean - grand
    cross -= (cross.mean(axis=1))[:, None]
    return k, cross, len(k) * float(grand)


def _spectrum(dual: bool, small: Array, cross: Array, offset: float) -> Spectrum:
    w, v = namespace(small).linalg.eigh(small if dual else small.T @ small)
    keep = w > CUT_OFF * max(float(w[-1]), offset)
    w, v = w[keep], v[:, keep]
    if dual:
        return Spectrum(v, w, cross @ v)
    return Spectrum((small @ v) / w**0.5, w, (cross @ v) * w**0.5)


# Leaving out parts of a training set is exact, and takes no other fit. With H = 11ᵀ/n + Q diag(w / (w + alpha)) Qᵀ,
# the errors of part g are (I - H_gg)⁻¹ (Y_g - Ŷ_g). Throughout it is I - H that is formed, not H: as alpha vanishes
# H nears I, and their difference would be rounding.


def parts(groups: np.ndarray | None, train: np.ndarray) -> list[np.ndarray] | None:
    """Positions in ``train`` of the stimuli of each group; None where each stimulus is a part of its own.

    Groups of one size lie together, (n_groups, n_stimuli), so that one call inverts the matrices of all of them.
    """
    if groups is None:
        return None
    _, labels, sizes = np.unique(groups[train], return_inverse=True, return_counts=True)
    members = np.argsort(labels, kind="stable")
    return [members[sizes[labels[members]] == size].reshape(-1, size) for size in np.unique(sizes)]


def left_out_forms(spectrum: Spectrum, alphas: Sequence[float], parts: list[np.ndarray] | None) -> Array:
    """Quadratic forms of left-out errors: e_g = (I - H_gg)⁻¹ (Y_g - Ŷ_g), and sum_g ‖e_g‖² = tr(Yᵀ M Y).

    The sum over many units needs only their Y Yᵀ: units are touched once for all layers, folds and penalties. A matrix
    M for each penalty, (n_alphas, n_train, n_train) float64; `parts` says what is left out together.
    """
    q, w, _ = spectrum
    xp, n = namespace(q), len(q)
    unseen = 0 if _full(spectrum) else like(np.eye(n) - 1 / n, q) - q @ q.T
    forms = []
    for alpha, part_divisors in zip(alphas, _divisors(spectrum, alphas, parts), strict=True):
        half = q * (alpha / (w + alpha)) ** 0.5  # a matrix times its own transpose takes half the operations
        removed = half @ half.T + unseen
        errors = _divide(removed, part_divisors, parts)
        forms.append(errors.T @ errors)
    return xp.stack(forms)


def left_out_errors(
    spectrum: Spectrum, alphas: Sequence[float], parts: list[np.ndarray] | None, responses: Array
) -> Array:
    """Sums over left-out stimuli of squared errors e_g = (I - H_gg)⁻¹ (Y_g - Ŷ_g), (n_alphas, n_units).

    Products with the responses, (n_train, n_units), are taken in their precision.
    """
    w, dtype, full = spectrum.w, precision(responses), _full(spectrum)
    q = like(spectrum.q, responses, dtype)
    damped, divisors = [], []
    for alpha, part_divisors in zip(alphas, _divisors(spectrum, alphas, parts), strict=True):
        damped.append(q * like(alpha / (w + alpha), q, dtype))
        divisors.append(
            [like(divisor, q, dtype) for divisor in part_divisors] if parts else like(part_divisors, q, dtype)
        )

    def block_errors(y: Array) -> Array:
        y = centred(y)
        projection = q.T @ y
        unseen = 0 if full else y - q @ projection
        errors = [_divide(d @ projection + unseen, divisor, parts) for d, divisor in zip(damped, divisors, strict=True)]
        return xp.stack([(residual * residual).sum(axis=0) for residual in errors])

    xp = namespace(responses)
    blocks = [block_errors(responses[:, start : start + BLOCK]) for start in range(0, responses.shape[1], BLOCK)]
    return xp.concatenate(blocks, axis=1)


def _full(spectrum: Spectrum) -> bool:
    """Whether features explain all of the training responses but their mean: I - 11ᵀ/n - QQᵀ is then rounding."""
    return spectrum.q.shape[1] >= len(spectrum.q) - 1


def _divisors(
    spectrum: Spectrum, alphas: Sequence[float], parts: list[np.ndarray] | None
) -> list[Array] | list[list[Array]]:
    """(I - H_gg)⁻¹ for each penalty: of each part, (n_parts, n_stimuli²) by size; of stimuli, one below the other."""
    q, w, _ = spectrum
    n, full = len(q), _full(spectrum)
    damping = [alpha / (w + alpha) for alpha in alphas]
    if parts is None:
        squares = q * q
        unseen = 0 if full else 1 - 1 / n - squares.sum(axis=1)
        return [(1 / (squares @ damped + unseen))[:, None] for damped in damping]
    blocks = [q[like(members, q)] for members in parts]
    unseen = [0 if full else like(np.eye(rows.shape[1]) - 1 / n, q) - rows @ rows.mT for rows in blocks]
    inverse = namespace(q).linalg.inv
    return [
        [inverse((rows * damped) @ rows.mT + rest) for rows, rest in zip(blocks, unseen, strict=True)]
        for damped in damping
    ]


def _divide(rows: Array, divisors: Array | list[Array], parts: list[np.ndarray] | None) -> Array:
    if parts is None:
        return rows * divisors
    for members, inverses in zip(parts, divisors, strict=True):
        members = like(members, rows)
        rows[members] = inverses @ rows[members]
    return rows
