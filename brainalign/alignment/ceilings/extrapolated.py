"""Noise ceilings of fMRI: what the best possible model could score on recordings as noisy as these.

Schrimpf's ceiling, as in Brain-Score. Participants predict one another with the regression of the protocol; the score
grows with their number, and its limit is the ceiling. Brain-Score's published Pereira2018 ceilings average over 10
random combinations of participants a size and 5 random draws of whom to predict, in an order that changes from run to
run. Here, as in its Blank2014, every combination counts and every member is predicted in turn; of many participants,
combinations are dealt.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from brainalign import store
from brainalign.alignment.encoding import Penalties, predictivity, threads
from brainalign.alignment.encoding.splits import Split, check
from brainalign.statistics import INTERVAL

REVISION = 2  # of what `extrapolated` computes; a new one leaves cached ceilings behind
COMBINATIONS = 126  # of each size: all that nine participants have
DEALT_SIZES = 8  # all that nine participants have
BOOTSTRAPS = 100
BLOCK = 8192  # curves fitted at once
Members = tuple[int, ...]  # participants of a combination, or of the pool that predicts one of them


class Extrapolation(NamedTuple):
    """A ceiling and what it was made of; NaN for units that are NaN in the recording."""

    ceiling: float  # median over units; low and high are those of the units' intervals
    low: float
    high: float
    unit_ceiling: np.ndarray  # (n_units,) the median and the 95 % interval over bootstraps
    unit_low: np.ndarray
    unit_high: np.ndarray
    sizes: np.ndarray  # (n_sizes,) participants, the predicted one included
    curve: np.ndarray  # (n_sizes, n_units) their mean score: the points that the curve goes through


def extrapolated(
    responses: np.ndarray,
    participants: np.ndarray,
    splits: Sequence[Split],
    penalties: Penalties | None = None,
    n_combinations: int = COMBINATIONS,
    n_bootstraps: int = BOOTSTRAPS,
    n_deals: int | None = None,
) -> Extrapolation:
    """Score of participants who predict each other, for ever more of them: v0 of v(k) = v0 (1 - exp(-k / tau)).

    For every combination of k = 2 ... N participants, each member's units are predicted from those of the others.
    Per unit, the scores at each k, one a combination and split, are drawn with replacement, and the curve fitted to
    their means. v0 is the ceiling: its median over bootstraps, then over units. Schrimpf et al. 2021, PNAS,
    doi 10.1073/pnas.2105646118; draws and their order are those of Brain-Score's Blank2014.

    Two limits of the method: the curve flattens sooner than scores of simulated participants do, whose v0 comes out
    a tenth or so below the square root of their reliability. And the interval, over draws that share participants
    and stimuli, is no interval over people: with many combinations it is too narrow to reach the true value.

    Parameters
    ----------
    responses : ndarray
        (n_stimuli, n_units) any unit. A unit may be NaN throughout, where its participant saw none of this.
    participants : ndarray
        (n_units,) whose unit it is.
    splits, penalties
        Those of the protocol that the ceiling is for; all units of a participant share a penalty.
    n_combinations : int
        At most so many of each size, drawn at random where there are more. Brain-Score has 10 for Pereira2018.
    n_deals : int, optional
        Instead, of many participants, as `_dealt`. Simulated scores, which do not follow the curve exactly, have a v0
        from these sizes that is about a tenth higher, and nearer to the truth: small sizes weigh more.

    Raises
    ------
    ValueError
        Shapes differ, a response is not finite, there are fewer than three participants, or a split is unusable.
    """
    responses, participants = np.asarray(responses), np.asarray(participants)
    seen = predictivity.seen_units(responses, participants)
    check(splits, len(responses))
    members = members_of(participants, seen, "the recording")
    # Neither r nor regression sees a unit's mean, but products in float32 do.
    exact = [responses[:, units] - responses[:, units].mean(axis=0, dtype=float) for units in members]
    sizes, n = _sizes(len(members), n_deals), len(members)
    combinations = _combinations(n, sizes, n_combinations) if n_deals is None else _dealt(n, sizes, n_deals)
    v0 = np.full((n_bootstraps, len(seen)), np.nan)
    curve = np.full((len(sizes), len(seen)), np.nan)
    for units, scores in zip(members, _scores(exact, splits, penalties, combinations), strict=True):
        curve[:, units], *resamples = _bootstrapped(scores, n_bootstraps)
        limits, _ = saturation(sizes, np.concatenate(resamples, axis=1).T)
        v0[:, units] = limits.reshape(n_bootstraps, -1)
    units = np.median(v0, axis=0), *np.percentile(v0, INTERVAL, axis=0)
    return Extrapolation(*(float(np.nanmedian(values)) for values in units), *units, sizes, curve)


def cached(
    responses: np.ndarray,
    participants: np.ndarray,
    splits: Sequence[Split],
    penalties: Penalties | None = None,
    n_deals: int | None = None,
) -> Extrapolation:
    """`extrapolated`, computed once: kept in the store under all that it is made from."""
    responses, participants = np.asarray(responses), np.asarray(participants)
    identity = {
        "revision": REVISION,
        "recording": [store.fingerprint(values) for values in (responses, participants)],
        "splits": [[store.fingerprint(stimuli) for stimuli in split] for split in splits],
        "penalties": penalties and {name: _fingerprint(value) for name, value in asdict(penalties).items()},
        "n_deals": n_deals,
    }

    def compute() -> tuple[dict[str, np.ndarray], dict]:
        return extrapolated(responses, participants, splits, penalties, n_deals=n_deals)._asdict(), {}

    arrays = store.get("ceilings", identity, compute).arrays
    return Extrapolation(
        *(arrays[name] if arrays[name].ndim else float(arrays[name]) for name in Extrapolation._fields)
    )


def members_of(participants: np.ndarray, mask: np.ndarray, place: str) -> list[np.ndarray]:
    """Indices of each participant's units among those of the ``mask``, in order of the participants' names."""
    names = np.unique(participants[mask])
    if len(names) < 3:
        raise ValueError(
            f"a ceiling takes three participants or more, {place} has {len(names)} ({', '.join(map(str, names))}). "
            "Add participants, or report no ceiling."
        )
    return [np.flatnonzero(mask & (participants == name)) for name in names]


def _scores(
    exact: Sequence[np.ndarray], splits: Sequence[Split], penalties: Penalties | None, combinations: list[list[Members]]
) -> list[list[np.ndarray]]:
    """Scores of each participant at each size: combination x split x unit, combinations in order of names."""
    pools: dict[Members, list[int]] = {}  # by pool: the participants it predicts, who share its decomposition
    for members in itertools.chain(*combinations):
        for participant in members:
            pools.setdefault(_without(members, participant), []).append(participant)
    grams, single = [y @ y.T for y in exact], [y.astype(np.float32) for y in exact]

    def pool_scores(pool: Members) -> list[np.ndarray]:
        features = _features([exact[member] for member in pool], [grams[member] for member in pool])
        return predictivity.scores_of_each(features, [single[member] for member in pools[pool]], splits, penalties)

    with threads(exact[0]) as mapper:
        by_pool = {
            pool: dict(zip(pools[pool], values, strict=True))
            for pool, values in zip(pools, mapper(pool_scores, pools), strict=True)
        }

    def size_scores(participant: int, size: list[Members]) -> np.ndarray:
        predicted = [members for members in size if participant in members]
        values = [by_pool[_without(members, participant)][participant] for members in predicted]
        return np.reshape(values, (len(values), len(splits), exact[participant].shape[1]))

    return [[size_scores(participant, size) for size in combinations] for participant in range(len(exact))]


def _without(members: Members, participant: int) -> Members:
    return tuple(member for member in members if member != participant)


def _sizes(n_participants: int, n_deals: int | None) -> np.ndarray:
    """From two to all participants: every size, or of deals eight, each larger than the last by one factor."""
    if n_deals is None or n_participants - 1 <= DEALT_SIZES:
        return np.arange(2, n_participants + 1)
    return np.unique(np.geomspace(2, n_participants, DEALT_SIZES).round().astype(int))


def _combinations(n_participants: int, sizes: Sequence[int], limit: int) -> list[list[Members]]:
    """For each size, all combinations of participants or ``limit`` at random, in order."""
    rng = np.random.RandomState(0)
    by_size = []
    for size in sizes:
        if math.comb(n_participants, size) <= limit:
            by_size.append(list(itertools.combinations(range(n_participants), size)))
            continue
        subsets = set()
        while len(subsets) < limit:
            subsets.add(tuple(sorted(rng.choice(n_participants, size, replace=False).tolist())))
        by_size.append(sorted(subsets))
    return by_size


def _dealt(n_participants: int, sizes: Sequence[int], n_deals: int) -> list[list[Members]]:
    """For each size, combinations that all participants are dealt into, so that they are predicted equally often.

    Those dealt first fill up the last one.
    """
    rng = np.random.RandomState(0)

    def deal(size: int) -> list[Members]:
        order = np.resize(rng.permutation(n_participants), math.ceil(n_participants / size) * size)
        return [tuple(sorted(hand)) for hand in order.reshape(-1, size).tolist()]

    return [sorted({hand for _ in range(n_deals) for hand in deal(size)}) for size in sizes]


def _features(pool: Sequence[np.ndarray], grams: Sequence[np.ndarray]) -> np.ndarray:
    """Features with the inner products of the pool's units, at most as many as stimuli: (n_stimuli, n_features)."""
    if sum(y.shape[1] for y in pool) < len(pool[0]):
        return np.hstack(pool)
    # The Gram matrix of a pool is the sum of its participants': no pool touches voxels again.
    w, q = np.linalg.eigh(np.sum(grams, axis=0))
    return q * np.sqrt(np.maximum(w, 0))


def _bootstrapped(scores: Sequence[np.ndarray], n_bootstraps: int) -> np.ndarray:
    """Mean scores, then those of draws with replacement: (1 + n_bootstraps, n_sizes, n_units)."""
    counts = [size_scores.shape[0] * size_scores.shape[1] for size_scores in scores]
    shares = [np.zeros((1 + n_bootstraps, n)) for n in counts]
    rng = np.random.RandomState(0)  # Brain-Score starts it anew for each unit, so that all units share their draws
    for bootstrap in range(1 + n_bootstraps):
        for share, n in zip(shares, counts, strict=True):
            if n:
                draws = rng.choice(n, n) if bootstrap else np.arange(n)
                share[bootstrap] = np.bincount(draws, minlength=n) / n
    means = [
        share @ size_scores.reshape(n, size_scores.shape[2])
        for share, size_scores, n in zip(shares, scores, counts, strict=True)
    ]
    # A participant may be in none of the combinations drawn of a size.
    return np.stack([mean if n else np.full_like(mean, np.nan) for mean, n in zip(means, counts, strict=True)], axis=1)


def saturation(sizes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where growing scores end: v0, tau = argmin sum_k (score_k - v0 (1 - exp(-k / tau)))², 0 <= v0 <= 1, tau > 0.

    Given tau, v0 is a ratio of inner products, cut off at 0 and 1 (variable projection). That leaves one unknown:
    the best of a grid of log tau, refined by bisection of the derivative, for all curves at once. This finds the
    global minimum; `scipy.optimize.curve_fit`, which Brain-Score uses, now and then stops short of it.

    Sizes, (n_sizes,), are positive; scores, (n_curves, n_sizes), NaN where there is none. NaN for curves of fewer than
    two finite scores.
    """
    sizes, scores = np.asarray(sizes, float), np.asarray(scores, float)
    blocks = [_fit(sizes, scores[start : start + BLOCK]) for start in range(0, len(scores), BLOCK)]
    v0, tau = np.concatenate([np.empty((2, 0)), *blocks], axis=1)
    return v0, tau


def _fit(sizes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`saturation` of so few curves that intermediate results stay in the cache: (2, n_curves)."""
    finite = np.isfinite(scores)
    y, weight = np.where(finite, scores, 0.0), finite.astype(float)

    def best_v0(y_growth: np.ndarray, growth_growth: np.ndarray) -> np.ndarray:
        return np.clip(y_growth / np.maximum(growth_growth, 1e-300), 0, 1)

    grid = np.linspace(np.log(0.05), np.log(1e6), 120)
    growth = -np.expm1(-sizes[:, None] / np.exp(grid))  # size x tau
    y_growth, growth_growth = y @ growth, weight @ growth**2
    v0 = best_v0(y_growth, growth_growth)
    best = np.argmin(v0 * (v0 * growth_growth - 2 * y_growth), axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    for _ in range(30):  # halves two steps of the grid to 3e-10
        middle = (low + high) / 2
        ratio = sizes * np.exp(-middle)[:, None]
        growth = -np.expm1(-ratio)
        v0 = best_v0((y * growth).sum(axis=1), (weight * growth**2).sum(axis=1))
        slope = v0 * ((y - weight * v0[:, None] * growth) * ratio * (1 - growth)).sum(axis=1)
        low, high = np.where(slope > 0, low, middle), np.where(slope > 0, middle, high)
    return np.where(finite.sum(axis=1) < 2, np.nan, [v0, np.exp(middle)])


def _fingerprint(value):
    """A penalty's setting as JSON."""
    return store.fingerprint(value) if isinstance(value, np.ndarray) else value
