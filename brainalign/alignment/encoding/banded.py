"""What a model explains beyond nuisance features: banded ridge, from Gram matrices.

    both = banded_ridge({"model": features, "length": length(recording), "position": position(recording)}, ...)
    both - banded_ridge({"length": length(recording), "position": position(recording)}, ...)

Ridge with one penalty would let many features of a model crowd out two of a control; with a penalty for each band of
features, each is shrunk as suits it.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from brainalign.alignment.encoding import gram
from brainalign.alignment.encoding.splits import Split
from brainalign.alignment.similarity import checked

ALPHAS = tuple(np.logspace(-2, 4, 7))  # multiples of the mean variance of a stimulus


def banded_ridge(
    bands: Mapping[str, np.ndarray],
    responses: np.ndarray,
    splits: Sequence[Split],
    groups: np.ndarray,
    n_weights: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """Out-of-sample R² of ridge with a penalty for each band: 1 - sum (y - ŷ)² / sum (y - mean of y_tr)².

    Sums go over the test sets of all splits. A penalty a band is a weight a band and one penalty for their weighted
    Gram matrices (Dupré la Tour et al. 2022, NeuroImage 264, 119728, section 2). Both are chosen for each unit by
    the squared error of groups left out of the training set. Bands are brought to one mean variance first, so that
    neither width nor unit favors one.

    Parameters
    ----------
    bands : mapping
        (n_stimuli, n_features) by name, finite.
    responses : ndarray
        (n_stimuli, n_units) any unit, finite.
    splits : sequence of Split
        Those of the protocol; passages kept whole.
    groups : ndarray
        (n_stimuli,) what choosing weights keeps together inside the training sets.
    n_weights, seed : int
        Random weights of the bands to try, beside each set of bands in equal shares.

    Returns
    -------
    ndarray
        (n_units,) at most 1; negative where the mean predicts better, NaN where the unit does not vary.

    Raises
    ------
    ValueError
        There is no band, stimuli differ in number, a value is not finite, or a training set is all of one group.
    """
    y, groups = np.asarray(responses), np.asarray(groups)
    checked(y, "responses")
    if not bands:
        raise ValueError("banded_ridge: there is no band of features. Give one or more.")
    kernels = [_inner_products(checked(x, name, len(y))) for name, x in bands.items()]
    # A band that is the same for all stimuli, as position is where each stands alone, would double the sets to try.
    kernels = [kernel for kernel in kernels if kernel.any()] or kernels[:1]
    weights = _weights(len(kernels), n_weights, seed)
    errors, total = np.zeros((2, y.shape[1]))
    for train, test in splits:
        if len(np.unique(groups[train])) < 2:
            raise ValueError("banded_ridge: a training set is all of one group. Give groups that can be left out.")
        mean = y[train].mean(axis=0)
        predicted = _predicted(_normalized(kernels, train), weights, y - mean, train, test, groups)
        errors += np.square(y[test] - mean - predicted).sum(axis=0)
        total += np.square(y[test] - mean).sum(axis=0)
    return 1 - errors / np.where(total == 0, np.nan, total)


def _predicted(
    kernels: np.ndarray, weights: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Predictions for a test set with the weights and the penalty that suit each unit in the training set."""
    parts, y_train = gram.parts(groups, train), y[train]
    spectra = [gram.spectrum(gram.Gram(np.tensordot(w, kernels, 1), dual=True), train, test) for w in weights]
    errors = np.stack([gram.left_out_errors(spectrum, ALPHAS, parts, y_train) for spectrum in spectra])
    best = errors.reshape(-1, y.shape[1]).argmin(axis=0)
    predicted = np.empty((len(test), y.shape[1]))
    for choice in np.unique(best):
        weighting, alpha = divmod(choice, len(ALPHAS))
        units = best == choice
        predicted[:, units] = gram.ridge(spectra[weighting], ALPHAS[alpha]) @ y_train[:, units]
    return predicted


def _inner_products(features: np.ndarray) -> np.ndarray:
    x = gram.centred(features)
    return x @ x.T


def _normalized(kernels: Sequence[np.ndarray], train: np.ndarray) -> np.ndarray:
    """Gram matrices whose mean variance in the training set is 1, or 0 where there is none: bands x stimuli²."""
    training = [kernel[np.ix_(train, train)] for kernel in kernels]
    variances = [np.trace(k) / len(k) - k.mean() for k in training]
    # Rounding leaves constant features with a tiny variance: relative to their size it is none.
    flat = [v <= 1e-12 * np.trace(k) / len(k) for v, k in zip(variances, training, strict=True)]
    return np.stack([np.zeros_like(k) if f else k / v for k, v, f in zip(kernels, variances, flat, strict=True)])


def _weights(n_bands: int, n_random: int, seed: int) -> np.ndarray:
    """Weights of bands to try, each of sum 1: equal ones of every set of bands, then random ones."""
    sets = np.array([members for members in itertools.product((0.0, 1.0), repeat=n_bands) if any(members)])
    n_random = n_random if n_bands > 1 else 0
    draws = np.random.default_rng(seed).dirichlet(np.ones(n_bands), n_random)
    return np.vstack([sets / sets.sum(axis=1, keepdims=True), draws])
