"""From words in time to volumes: plain functions on arrays whose first axis is time.

    x = words_to_volumes(onsets, features, tr=2.0, n=1351)      # mean over the words of a volume
    x = delays(x, lags=(1, 2, 3, 4))                             # or, of brief events: events(onsets, features, ...)
    x = zscore(x[recording.volumes], run)

Arrays are (n,) or (n, n_columns). A lag is positive where the response follows the text. `runs` labels each volume,
(n,); nothing passes from one run to the next.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

MICROTIME = 16  # bins a volume in which events are convolved (SPM's default resolution)


def words_to_volumes(onsets: np.ndarray, values: np.ndarray, tr: float, n: int, how: str = "mean") -> np.ndarray:
    """Bring values of words to n volumes: their mean, or ``sum``, over the words that begin in a volume, else 0.

    Volume k covers [k * tr, (k + 1) * tr) of the words' onsets, in seconds; words outside all volumes are left out.

    Raises ValueError if `how` is neither, or there is not one value a word.
    """
    onsets, values = np.asarray(onsets, float), np.asarray(values, float)
    if how not in ("mean", "sum"):
        raise ValueError(f"how: expected 'mean' or 'sum', got {how!r}.")
    if len(values) != len(onsets):
        raise ValueError(f"values: {len(onsets)} onsets need as many rows, got {len(values)}.")
    # A word that begins with a volume belongs to it, whatever rounding does to the quotient.
    volume = np.floor(onsets / tr + 1e-9).astype(int)
    covered = (volume >= 0) & (volume < n)
    total = np.zeros((n, *values.shape[1:]))
    np.add.at(total, volume[covered], values[covered])
    if how == "mean":
        count = np.bincount(volume[covered], minlength=n)
        total /= np.maximum(count, 1).reshape(-1, *[1] * (values.ndim - 1))
    return total


def delays(x: np.ndarray, lags: Iterable[int]) -> np.ndarray:
    """Set copies of a series side by side, each some volumes late (early if negative), 0 where nothing is known.

    Returns (n, n_lags * n_columns): the columns of the first lag, then those of the second, and so on.
    """
    x = np.asarray(x).reshape(len(x), -1)
    copies = []
    for lag in lags:
        delayed = np.zeros_like(x)
        target, source = (delayed[lag:], x[: max(len(x) - lag, 0)]) if lag >= 0 else (delayed[:lag], x[-lag:])
        target[:] = source
        copies.append(delayed)
    return np.hstack(copies)


def hrf(dt: float, length: float = 32.0) -> np.ndarray:
    """Canonical hemodynamic response, every dt s from 0 s on, with sum 1: h(t) = g(t; 6) - g(t; 16) / 6.

    g is the gamma density of scale 1 s. The parameters are those of SPM's ``spm_hrf``: response after 6 s, undershoot
    after 16 s, dispersion 1 s each, ratio 6 (Friston et al. 1998, NeuroImage 7, 30-40). The peak is at 5 s.
    """
    t = np.arange(0, length + dt / 2, dt)
    gamma = scipy.stats.gamma
    h = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
    return h / h.sum()


def events(onsets: np.ndarray, values: np.ndarray, tr: float, n: int) -> np.ndarray:
    """What words that are brief events predict at the beginning of each of n volumes: their sum, convolved with `hrf`.

    Convolved at `MICROTIME` bins a volume, since words come faster than volumes. Onsets and `tr` are in seconds.
    """
    bins = words_to_volumes(onsets, values, tr / MICROTIME, n * MICROTIME, "sum")
    response = hrf(tr / MICROTIME)
    return np.apply_along_axis(lambda column: np.convolve(column, response)[: len(bins)], 0, bins)[::MICROTIME]


def zscore(x: np.ndarray, runs: np.ndarray | None = None) -> np.ndarray:
    """Give each column mean 0 and standard deviation 1 within each run; what is constant in a run becomes 0."""
    z = np.asarray(x, float).copy()
    for rows in _runs(len(z), runs):
        part = z[rows] - z[rows].mean(axis=0)
        sd = part.std(axis=0)
        # Rounding leaves a constant with a tiny deviation: relative to its size it is none.
        flat = sd <= 1e-12 * np.abs(z[rows]).max(axis=0)
        z[rows] = np.where(flat, 0, part / np.where(flat, 1, sd))
    return z


def drifts(n: int, tr: float, cutoff: float = 128.0) -> np.ndarray:
    """Slow cosines, to be regressed out of a run of n volumes, (n, n_cosines) without the constant: a high-pass filter.

    Slower waves than `cutoff` seconds are among them (128 s is SPM's default).
    """
    order = np.arange(1, int(2 * n * tr / cutoff) + 1)
    return np.cos(np.pi * (2 * np.arange(n)[:, None] + 1) * order / (2 * n))


def regress_out(y: np.ndarray, nuisance: np.ndarray) -> np.ndarray:
    """What least squares on the nuisance and an intercept leaves of y."""
    y, nuisance = np.asarray(y, float), np.asarray(nuisance, float).reshape(len(nuisance), -1)
    # Scaled columns, since millimeters and sound power differ by orders of magnitude.
    design = np.column_stack([np.ones(len(y)), zscore(nuisance)])
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def inner_volumes(runs: np.ndarray, first: int, last: int) -> np.ndarray:
    """Tell the volumes that are left, (n,) bool, when each run loses its `first` ones and its `last` ones.

    Raises ValueError if a run has no volume left.
    """
    keep = np.zeros(len(runs), bool)
    for rows in _runs(len(runs), runs):
        if len(rows) <= first + last:
            raise ValueError(f"runs: run {runs[rows[0]]} has {len(rows)} volumes, too few to drop {first} and {last}.")
        keep[rows[first : len(rows) - last]] = True
    return keep


def lagged_correlation(x: np.ndarray, y: np.ndarray, lags: Iterable[int]) -> np.ndarray:
    """Pearson correlation of x[t] with each column of y[t + lag]: (n_lags, n_columns)."""
    rows = []
    for lag in lags:
        early, late = (x[: len(x) - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[:lag])
        rows.append(zscore(early) @ zscore(late) / len(early))
    return np.array(rows)


def _runs(n: int, runs: np.ndarray | None) -> list[np.ndarray]:
    """Rows of each run, in order."""
    if runs is None:
        return [np.arange(n)]
    if len(runs) != n:
        raise ValueError(f"runs: {n} volumes need as many labels, got {len(runs)}.")
    runs = np.asarray(runs)
    return [np.flatnonzero(runs == run) for run in pd.unique(runs)]
