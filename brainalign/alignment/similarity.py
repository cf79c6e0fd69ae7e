"""How alike two representations are without a fit: linear CKA, and RSA on correlation distances.

Both compare stimuli with stimuli, so that neither side's units need to be matched with the other's. There is nothing
to train and therefore nothing to leak, but nothing either to keep apart what neighbors in time share: a control that
knows only who is whose neighbor (`controls.oasm`) belongs beside each value. As Brain-Score does, a score may be the
mean over random subsets of the stimuli.
"""

from collections.abc import Callable, Sequence

import numpy as np

from brainalign.alignment.encoding.splits import shuffled


def linear_cka(features: np.ndarray, responses: np.ndarray, subsets: Sequence[np.ndarray] | None = None) -> float:
    """Linear centered kernel alignment: <HKH, HLH> / (‖HKH‖ ‖HLH‖), K = X Xᵀ, L = Y Yᵀ, H = I - 11ᵀ/n.

    Kornblith et al. 2019 (arXiv 1905.00414), section 3. Invariant to rotation and to one scale for all of a side,
    between 0 and 1. It is biased upward, the more so the fewer the stimuli: random features of many dimensions come
    out above 0 (`controls.random`).

    Parameters
    ----------
    features, responses : ndarray
        (n_stimuli, n_features) and (n_stimuli, n_units) any unit, finite.
    subsets : sequence of ndarray of int, optional
        Stimuli to compare at a time, such as `brainscore_subsets`, for the mean over them; without, all at once.

    Raises
    ------
    ValueError
        The two differ in their stimuli, a value is not finite, a subset has fewer than three stimuli, or all of its
        stimuli are the same to one side.
    """
    return _compared(cka_patterns, features, responses, subsets)


def rsa(features: np.ndarray, responses: np.ndarray, subsets: Sequence[np.ndarray] | None = None) -> float:
    """Representational similarity analysis: rank correlation of the upper triangles of two `rdm`.

    Kriegeskorte et al. 2008, doi 10.3389/neuro.06.004.2008; as `linear_cka`, of two dimensions or more. Also raises
    where a stimulus has the same value in all dimensions, which correlates with nothing.
    """
    return _compared(rsa_patterns, features, responses, subsets)


def cka_patterns(values: np.ndarray, name: str, subsets: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """HKH of each subset as a vector of length 1: `linear_cka` is the `agreement` of two sides' patterns."""
    x = checked(values, name)
    # The mean says nothing here, but rounding of products grows with it.
    gram = (x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T
    patterns = []
    for subset in _subsets(subsets, len(x)):
        first, rest = x[subset[0]], x[subset[1:]]
        _vary((rest[:, 0] != first[0]).any() or (rest != first).any())
        pattern = _centered(gram[np.ix_(subset, subset)]).ravel()
        patterns.append(pattern / np.linalg.norm(pattern))
    return patterns


def rsa_patterns(values: np.ndarray, name: str, subsets: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """Ranks of each subset's distances, centered, as a vector of length 1: `rsa` is the `agreement` of two of them."""
    distances, patterns = rdm(checked(values, name), name), []
    # Sorted once: ranks within a subset follow from how often each distance is there.
    order = np.unique(distances, return_inverse=True)[1].reshape(distances.shape)
    for subset in _subsets(subsets, len(distances)):
        above = np.triu_indices(len(subset), 1)
        place = order[np.ix_(subset, subset)][above]
        _vary(np.ptp(distances[np.ix_(subset, subset)][above]) > 1e-12)  # of numbers up to 2, what rounding leaves
        counts = np.bincount(place)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
        ranks -= ranks.mean()
        patterns.append(ranks / np.linalg.norm(ranks))
    return patterns


def agreement(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """Mean over subsets of the inner products of two sides' patterns."""
    return float(np.mean([np.dot(a, b) for a, b in zip(first, second, strict=True)]))


def rdm(values: np.ndarray, name: str = "values") -> np.ndarray:
    """Representational dissimilarity matrix, (n_stimuli, n_stimuli): 1 - Pearson r of the patterns of two stimuli.

    A `ValueError` says where a stimulus has the same value in all dimensions.
    """
    z = np.asarray(values, float)
    if (flat := np.ptp(z, axis=1) == 0).any():
        raise ValueError(
            f"{name}: stimulus {int(flat.argmax())} has the same value in all {z.shape[1]} dimensions, so that it "
            "correlates with no other. Leave it out, or use linear_cka."
        )
    distances = 1 - np.corrcoef(z)
    np.fill_diagonal(distances, 0)
    return distances


def brainscore_subsets(n_stimuli: int) -> list[np.ndarray]:
    """Ten random nine tenths of the stimuli, those of Brain-Score's cross-validated CKA and RDM metrics.

    Brain-Score compares on the test sets of `ShuffleSplit(10, test_size=.9, random_state=1)` over the recording's
    order; in a `Recording` that is the order of the coordinate ``row``.
    """
    return [test for _, test in shuffled(n_stimuli, train_size=0.1)]


def checked(values: np.ndarray, name: str, n_stimuli: int | None = None) -> np.ndarray:
    """Values as float64; a `ValueError` if not finite, stimulus x dimension, of as many stimuli as expected."""
    values = np.asarray(values, float)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name}: expected stimulus x dimension, got shape {values.shape}. Reshape them.")
    if n_stimuli not in (None, len(values)):
        raise ValueError(
            f"{name} have {len(values)} stimuli, not {n_stimuli}. Give features and responses for the same stimuli."
        )
    if not np.isfinite(values).all():
        stimulus, dimension = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{name}: dimension {dimension} is {values[stimulus, dimension]} at stimulus {stimulus}. Leave out one or "
            "the other."
        )
    return values


def _compared(patterns: Callable, features: np.ndarray, responses: np.ndarray, subsets) -> float:
    x = checked(features, "features")
    y = checked(responses, "responses", len(x))
    return agreement(patterns(x, "features", subsets), patterns(y, "responses", subsets))


def _subsets(subsets: Sequence[np.ndarray] | None, n_stimuli: int) -> Sequence[np.ndarray]:
    """Those that are given, or one of everything."""
    subsets = [np.arange(n_stimuli)] if subsets is None else subsets
    for number, subset in enumerate(subsets):
        if len(subset) < 3:
            raise ValueError(f"subset {number} has {len(subset)} stimuli, too few to compare. Give three or more.")
    return subsets


def _vary(varies: bool) -> None:
    if not varies:
        raise ValueError("all stimuli are alike in features or in responses. Leave out what does not vary.")


def _centered(gram: np.ndarray) -> np.ndarray:
    """H K H: the Gram matrix of what is left without the mean over stimuli."""
    means = gram.mean(axis=0)
    return gram - means - means[:, None] + means.mean()
