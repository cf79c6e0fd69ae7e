"""How alike two representations are without a fit: linear CKA, and RSA on correlation distances.

Both compare stimuli with stimuli, so that neither side's units need to be matched with the other's. There is nothing
to train and therefore nothing to leak, but nothing either to keep apart what neighbors in time share: a control that
knows only who is whose neighbor (`controls.oasm`) belongs beside each value. As Brain-Score does, a score may be the
mean over random subsets of the stimuli.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

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
    x, y = checked(features, "features"), checked(responses, "responses", len(features))
    # The mean says nothing here, but rounding of products grows with it.
    grams = [z @ z.T for z in (x - x.mean(axis=0), y - y.mean(axis=0))]

    def alignment(subset: np.ndarray) -> float:
        for z in (x, y):
            _vary(np.ptp(z[subset], axis=0).max() > 0)
        first, second = (_centered(gram[np.ix_(subset, subset)]) for gram in grams)
        return np.vdot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second))

    return _mean_over(subsets, len(x), alignment)


def rsa(features: np.ndarray, responses: np.ndarray, subsets: Sequence[np.ndarray] | None = None) -> float:
    """Representational similarity analysis: rank correlation of the upper triangles of two `rdm`.

    Kriegeskorte et al. 2008, doi 10.3389/neuro.06.004.2008; as `linear_cka`, of two dimensions or more. Also raises
    where a stimulus has the same value in all dimensions, which correlates with nothing.
    """
    x, y = checked(features, "features"), checked(responses, "responses", len(features))
    distances = [rdm(x, "features"), rdm(y, "responses")]

    def correlation(subset: np.ndarray) -> float:
        triangle = np.triu_indices(len(subset), 1)
        pairs = [distance[np.ix_(subset, subset)][triangle] for distance in distances]
        for pair in pairs:
            _vary(np.ptp(pair) > 1e-12)  # of numbers up to 2, what rounding leaves
        return np.corrcoef(*map(scipy.stats.rankdata, pairs))[0, 1]

    return _mean_over(subsets, len(x), correlation)


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


def _mean_over(subsets: Sequence[np.ndarray] | None, n_stimuli: int, compare: Callable[[np.ndarray], float]) -> float:
    """Compare on each subset, or on everything."""
    subsets = [np.arange(n_stimuli)] if subsets is None else subsets
    for number, subset in enumerate(subsets):
        if len(subset) < 3:
            raise ValueError(f"subset {number} has {len(subset)} stimuli, too few to compare. Give three or more.")
    return float(np.mean([compare(subset) for subset in subsets]))


def _vary(varies: bool) -> None:
    if not varies:
        raise ValueError("all stimuli are alike in features or in responses. Leave out what does not vary.")


def _centered(gram: np.ndarray) -> np.ndarray:
    """H K H: the Gram matrix of what is left without the mean over stimuli."""
    means = gram.mean(axis=0)
    return gram - means - means[:, None] + means.mean()
