"""From words in time to volumes: plain functions on arrays whose first axis is time.

    x = words_to_volumes(onsets, features, tr=2.0, n=1351)      # mean over the words of a volume
    x = delays(x, lags=(1, 2, 3, 4))                             # or: convolve(x, hrf(2.0))
    x = zscore(x[recording.volumes], run)

A lag is positive where the response follows the text. `runs` labels each volume; nothing passes from one run to
the next.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

MICROTIME = 16  # bins a volume in which events are convolved (SPM's default resolution)


def words_to_volumes(onsets: np.ndarray, values: np.ndarray, tr: float, n: int, how: str = "mean") -> np.ndarray:
    """Bring values of words to volumes: a word belongs to the volume in which it begins.

    Parameters
    ----------
    onsets : ndarray
        (n_words,) s; volume k covers [k * tr, (k + 1) * tr). Words outside all volumes are left out.
    values : ndarray
        (n_words,) or (n_words, n_features).
    tr : float
        Seconds between volumes.
    n : int
        Number of volumes.
    how : str
        ``mean`` or ``sum`` over the words of a volume. Either is 0 where there is none.

    Returns
    -------
    ndarray
        (n,) or (n, n_features), float64.

    Raises
    ------
    ValueError
        `how` is neither, or there is not one value a word.
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


def delays(x: np.ndarray, lags: Iterable[int], runs: np.ndarray | None = None) -> np.ndarray:
    """Set copies of a series side by side, each some volumes late.

    Parameters
    ----------
    x : ndarray
        (n,) or (n, n_features).
    lags : iterable of int
        Volumes by which a copy is late (early if negative).
    runs : ndarray, optional
        (n,) run of each volume.

    Returns
    -------
    ndarray
        (n, n_lags * n_features): the columns of the first lag, then those of the second, and so on. 0 where a run
        has nothing earlier (or later).
    """
    x, copies = np.asarray(x).reshape(len(x), -1), []
    for lag in lags:
        delayed = np.zeros_like(x)
        for rows in _runs(len(x), runs):
            target, source = (rows[lag:], rows[: max(len(rows) - lag, 0)]) if lag >= 0 else (rows[:lag], rows[-lag:])
            delayed[target] = x[source]
        copies.append(delayed)
    return np.hstack(copies)


def hrf(dt: float, length: float = 32.0) -> np.ndarray:
    """Canonical hemodynamic response: h(t) = g(t; 6) - g(t; 16) / 6, with g the gamma density of scale 1 s.

    The parameters are those of SPM's ``spm_hrf``: response after 6 s, undershoot after 16 s, dispersion 1 s each,
    ratio 6 (Friston et al. 1998, NeuroImage 7, 30-40).

    Parameters
    ----------
    dt, length : float
        Seconds between samples, and in all.

    Returns
    -------
    ndarray
        (1 + length / dt,) from 0 s on, with sum 1. The peak is at 5 s.
    """
    t = np.arange(0, length + dt / 2, dt)
    gamma = scipy.stats.gamma
    h = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
    return h / h.sum()


def convolve(x: np.ndarray, kernel: np.ndarray, runs: np.ndarray | None = None) -> np.ndarray:
    """Convolve with a causal kernel: y[t] = sum over k of kernel[k] * x[t - k], within runs.

    Parameters
    ----------
    x : ndarray
        (n,) or (n, n_features).
    kernel : ndarray
        (n_kernel,) sampled as often as `x`.
    runs : ndarray, optional
        (n,) run of each volume.

    Returns
    -------
    ndarray
        The shape of `x`, float64.
    """
    y = np.asarray(x, float).reshape(len(x), -1).copy()
    for rows in _runs(len(y), runs):
        y[rows] = np.column_stack([np.convolve(column, kernel)[: len(rows)] for column in y[rows].T])
    return y.reshape(np.shape(x))


def events(onsets: np.ndarray, values: np.ndarray, tr: float, n: int) -> np.ndarray:
    """What words that are brief events predict at the beginning of each volume: their sum, convolved with `hrf`.

    Convolved at `MICROTIME` bins a volume, since words come faster than volumes.

    Parameters
    ----------
    onsets, values : ndarray
        (n_words,) s, and (n_words,) or (n_words, n_features).
    tr, n : float, int
        Seconds between volumes, and their number.

    Returns
    -------
    ndarray
        (n,) or (n, n_features).
    """
    bins = words_to_volumes(onsets, values, tr / MICROTIME, n * MICROTIME, "sum")
    return convolve(bins, hrf(tr / MICROTIME))[::MICROTIME]


def zscore(x: np.ndarray, runs: np.ndarray | None = None) -> np.ndarray:
    """Give each column mean 0 and standard deviation 1 within each run; what is constant in a run becomes 0.

    Parameters
    ----------
    x : ndarray
        (n,) or (n, n_columns).
    runs : ndarray, optional
        (n,) run of each volume.
    """
    z = np.asarray(x, float).copy()
    for rows in _runs(len(z), runs):
        part = z[rows] - z[rows].mean(axis=0)
        sd = part.std(axis=0)
        # Rounding leaves a constant with a tiny deviation: relative to its size it is none.
        flat = sd <= 1e-12 * np.abs(z[rows]).max(axis=0)
        z[rows] = np.where(flat, 0, part / np.where(flat, 1, sd))
    return z


def drifts(n: int, tr: float, cutoff: float = 128.0) -> np.ndarray:
    """Slow cosines, to be regressed out of a run of n volumes: a high-pass filter, as in SPM.

    Parameters
    ----------
    n, tr : int, float
        Number of volumes, and seconds between them.
    cutoff : float
        Seconds; slower waves are among the columns (SPM's default).

    Returns
    -------
    ndarray
        (n, n_cosines), without the constant.
    """
    order = np.arange(1, int(2 * n * tr / cutoff) + 1)
    return np.cos(np.pi * (2 * np.arange(n)[:, None] + 1) * order / (2 * n))


def regress_out(y: np.ndarray, nuisance: np.ndarray, runs: np.ndarray | None = None) -> np.ndarray:
    """What least squares on the nuisance and an intercept leaves of y, each run fitted by itself.

    Parameters
    ----------
    y : ndarray
        (n,) or (n, n_units).
    nuisance : ndarray
        (n,) or (n, n_regressors).
    runs : ndarray, optional
        (n,) run of each volume.
    """
    rest, nuisance = np.asarray(y, float).copy(), np.asarray(nuisance, float).reshape(len(nuisance), -1)
    for rows in _runs(len(rest), runs):
        # Scaled columns, since millimeters and sound power differ by orders of magnitude.
        design = np.column_stack([np.ones(len(rows)), zscore(nuisance[rows])])
        rest[rows] -= design @ np.linalg.lstsq(design, rest[rows], rcond=None)[0]
    return rest


def inner_volumes(runs: np.ndarray, first: int, last: int) -> np.ndarray:
    """Tell the volumes that are left when each run is trimmed at its edges.

    Parameters
    ----------
    runs : ndarray
        (n,) run of each volume.
    first, last : int
        Volumes to drop at the beginning and at the end of each run.

    Returns
    -------
    ndarray
        (n,) bool.

    Raises
    ------
    ValueError
        A run has no volume left.
    """
    keep = np.zeros(len(runs), bool)
    for rows in _runs(len(runs), runs):
        if len(rows) <= first + last:
            raise ValueError(f"runs: run {runs[rows[0]]} has {len(rows)} volumes, too few to drop {first} and {last}.")
        keep[rows[first : len(rows) - last]] = True
    return keep


def lagged_correlation(x: np.ndarray, y: np.ndarray, lags: Iterable[int]) -> np.ndarray:
    """Correlate a series with others some volumes later (lag > 0) or earlier.

    Parameters
    ----------
    x : ndarray
        (n,).
    y : ndarray
        (n, n_units).
    lags : iterable of int
        r of a lag is the Pearson correlation of x[t] with y[t + lag].

    Returns
    -------
    ndarray
        (n_lags, n_units).
    """
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
