"""A noise ceiling from predictions whose errors have nothing in common, and an interval that holds it.

`extrapolated` ends where prediction from people ends, and that is below what text can tell: a pool of people
is noisy, and so are weights fitted on few stimuli. Both only weaken a correlation, and two predictions that share
neither people nor training stimuli tell by how much.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.alignment.ceilings.extrapolated import members_of
from brainalign.alignment.encoding import gram, threads
from brainalign.alignment.encoding.predictivity import seen_units
from brainalign.alignment.encoding.splits import Split, check

PENALTY = 0.01  # of the mean eigenvalue: small, since what shrinkage does to both predictions is no error of one
DRAWS = 2  # random halves of each participant's others, and of each training set


class Ceiling(NamedTuple):
    """A ceiling, Pearson r, and its 95 % interval; ``error`` is the standard error."""

    ceiling: float
    low: float
    high: float
    error: float


def disattenuated(
    responses: np.ndarray,
    participants: np.ndarray,
    splits: Sequence[Split],
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Ceiling:
    """Correlation of responses with what others' responses to the text could at best tell: a triad of covariances.

    c² = cov(a, y) cov(b, y) / (cov(a, b) var(y)), where y are test responses of a participant, and a and b predict
    them by ridge from half of the other participants each, fitted on half of the training groups each. Where a and b
    are multiples of the signal plus errors of their own, what weakens cov(a, y) and cov(b, y) weakens cov(a, b) by
    their product (Spearman 1904, Am. J. Psychol. 15, 72-101, with predictions in place of two measurements).
    Covariances are summed over test sets and units, so that c is a root mean square over units.

    What both predictions lack is not seen: directions of the signal that pools carry too weakly, which bias c low,
    by less the more units there are; what both have that is no signal, such as drift that shuffled splits pass on
    from neighbors, biases it high. The variance is the sum of jackknife variances over predicted participants and
    over test sets, and the interval Student's, with one degree of freedom less than there are of the fewer: noise that
    is in both counts twice, which errs on the wide side.

    Recordings and splits are as in `extrapolated`; groups, (n_stimuli,), such as the story, are what a half of the
    training stimuli has whole.

    Raises
    ------
    ValueError
        Shapes differ, a response is not finite, there are fewer than three participants or two splits, a split is
        unusable or trains on one group, or predictions do not go together: no participant tells anything of another.
    """
    responses, participants = np.asarray(responses, float), np.asarray(participants)
    members = members_of(participants, seen_units(responses, participants), "the recording")
    check(splits, len(responses))
    if len(splits) < 2:
        raise ValueError("an interval over test sets takes two or more, got 1. Give all splits of the protocol.")
    groups = np.arange(len(responses)) if groups is None else np.asarray(groups)
    people = [gram.centred(responses[:, units]) for units in members]
    inner, rng = np.array([y @ y.T for y in people]), np.random.default_rng(seed)
    halves = [half for _ in range(DRAWS) for half in _halves(len(people), splits, groups, rng)]
    with threads(responses) as mapper:
        products = np.array(list(mapper(partial(_products, people, inner), halves)))
    products = products.reshape(DRAWS, len(people), len(splits), 4).sum(axis=0)
    squared = _squared(products.sum(axis=(0, 1)))
    if not squared > 0:
        raise ValueError(
            "predictions from different participants do not go together, so that there is no ceiling. "
            "Report that text tells nothing of these responses."
        )
    error = np.sqrt(sum(_jackknifed(products.sum(axis=1 - axis)) for axis in (0, 1)))
    half = scipy.stats.t.ppf(0.975, min(len(people), len(splits)) - 1) * error
    ceiling = float(np.sqrt(squared))
    return Ceiling(ceiling, max(0.0, ceiling - half), min(1.0, ceiling + half), float(error))


def _halves(
    n_participants: int, splits: Sequence[Split], groups: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple]:
    """Of each participant and split: who, the others in halves, the training stimuli in halves, and the test ones."""
    for participant in range(n_participants):
        pools = np.array_split(rng.permutation(np.delete(np.arange(n_participants), participant)), 2)
        for number, (train, test) in enumerate(splits):
            names = rng.permutation(np.unique(groups[train]))
            if len(names) < 2:
                raise ValueError(f"split {number} trains on one group, which has no halves. Name finer groups.")
            first = np.isin(groups[train], names[: len(names) // 2])
            yield participant, pools, (train[first], train[~first]), test


def _products(people: Sequence[np.ndarray], inner: np.ndarray, halves: tuple) -> np.ndarray:
    """Sums over test stimuli and units of a y, b y, a b and y y: (4,)."""
    participant, pools, trains, test = halves
    y = people[participant]
    a, b = (_predicted(inner[pool].sum(axis=0), y, train, test) for pool, train in zip(pools, trains, strict=True))
    observed = gram.centred(y[test])
    return np.array([(a * observed).sum(), (b * observed).sum(), (a * b).sum(), (observed * observed).sum()])


def _predicted(pool: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Ridge at the one penalty, for which no eigenvalues are needed."""
    inner, cross, _ = gram.fold(gram.Gram(pool, dual=True), train, test)
    inner[np.diag_indices_from(inner)] += PENALTY * inner.trace() / len(train)
    return gram.centred(cross @ np.linalg.solve(inner, gram.centred(y[train])))


def _squared(sums: np.ndarray) -> np.ndarray:
    """c² from sums, (..., 4); 0 where one of its factors is not positive."""
    positive = (sums > 0).all(axis=-1)
    ay, by, ab, yy = np.moveaxis(np.where(positive[..., None], sums, 1), -1, 0)
    return np.where(positive, ay * by / ab / yy, 0.0)


def _jackknifed(sums: np.ndarray) -> float:
    """Jackknife variance of c: each row of (n, 4) sums left out in turn."""
    replicates = np.sqrt(_squared(sums.sum(axis=0) - sums))
    return (len(sums) - 1) ** 2 / len(sums) * replicates.var(ddof=1)
