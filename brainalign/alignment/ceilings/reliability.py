"""How much people agree: halves of readers, and listeners one against the others."""

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.alignment.ceilings.extrapolated import members_of
from brainalign.alignment.encoding.predictivity import seen_units
from brainalign.statistics import INTERVAL

HALVINGS = 10


def split_half(times: np.ndarray) -> float:
    """Reliability of mean reading times: median of 2 r / (1 + r), r between the means of two halves of the readers.

    As Brain-Score's Futrell2018: ten random halves, Pearson r, Spearman-Brown correction. A word counts for a pair of
    halves that both have a reader for it. Brain-Score takes the magnitude of r; here times without any reliability
    may turn out negative. What is common to readers could correlate with their mean as the square root of this.
    Times are (n_words, n_readers) milliseconds, NaN where not read; NaN where fewer than two words count, or means do
    not vary.

    Raises
    ------
    ValueError
        There are fewer than two readers, or a time is infinite.
    """
    if np.ndim(times) != 2 or np.shape(times)[1] < 2:
        raise ValueError(f"times of shape {np.shape(times)} cannot be halved. Give word x reader, two readers or more.")
    if np.isinf(times).any():
        word, reader = np.argwhere(np.isinf(times))[0]
        raise ValueError(f"the time of reader {reader} at word {word} is infinite. Make it NaN if it is not known.")
    n_readers, rng = times.shape[1], np.random.RandomState(0)
    half = np.zeros((n_readers, HALVINGS))
    for halving in range(HALVINGS):
        half[rng.choice(n_readers, n_readers // 2, replace=False), halving] = 1
    measured = ~np.isnan(times)
    values = np.where(measured, times, 0.0)
    with np.errstate(invalid="ignore"):
        first, second = ((values @ mask / (measured @ mask)).T for mask in (half, 1 - half))
    r = np.array([_correlation(*means) for means in zip(first, second, strict=True)])
    return float(np.median(2 * r / (1 + r)))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson r where both are known; NaN where one does not vary."""
    pairs = ~np.isnan(x) & ~np.isnan(y)
    if pairs.sum() < 2 or np.ptp(x[pairs]) == 0 or np.ptp(y[pairs]) == 0:
        return np.nan
    return np.corrcoef(x[pairs], y[pairs])[0, 1]


def intersubject_correlation(responses: np.ndarray, participants: np.ndarray, regions: np.ndarray) -> pd.DataFrame:
    """How alike people respond: r of each participant and the mean of the others, by region.

    For few regions and many listeners, as in Brennan2016. Leave-one-out inter-subject correlation, averaged over
    participants as Fisher's z (Nastase et al. 2019, doi 10.1093/scan/nsz037). All count alike, whatever the scale of
    their responses, which are z-scored; the units that a participant has in a region are averaged. Everybody is part
    of everybody else's mean, so resampling the participants' r would give too narrow an interval. It is a jackknife
    instead, which leaves people out altogether.

    Parameters
    ----------
    responses : ndarray
        (n_times, n_units) any unit. A unit may be NaN throughout.
    participants, regions : ndarray
        (n_units,) whose unit it is, and where.

    Returns
    -------
    DataFrame
        A row per region: ``region``, ``value`` (Pearson r), ``low`` and ``high`` (95 % interval over participants),
        ``n_participants``.

    Raises
    ------
    ValueError
        Shapes differ, a response is not finite, a participant's responses are constant, or a region has fewer
        than three participants.
    """
    responses, participants, regions = np.asarray(responses), np.asarray(participants), np.asarray(regions)
    seen, rows = seen_units(responses, participants), []
    for region in np.unique(regions[seen]):
        members = members_of(participants, seen & (regions == region), f"region {region}")
        series = np.stack([responses[:, units].mean(axis=1, dtype=float) for units in members])
        if (constant := np.ptp(series, axis=1) == 0).any():
            name = participants[members[np.argmax(constant)][0]]
            raise ValueError(f"participant {name} does not vary in region {region}. Leave this participant out.")
        correlations, n = np.corrcoef(series), len(members)
        left_out = [_leave_one_out(correlations[np.ix_(rest, rest)]) for rest in ~np.eye(n, dtype=bool)]
        error = np.sqrt((n - 1) * np.var(left_out)) * scipy.stats.t.ppf(INTERVAL[1] / 100, n - 1)
        rows.append((region, *np.tanh(_leave_one_out(correlations) + error * np.array([0, -1, 1])), n))
    return pd.DataFrame(rows, columns=["region", "value", "low", "high", "n_participants"])


def _leave_one_out(correlations: np.ndarray) -> float:
    """Mean Fisher's z of each z-scored series and the sum of the others, from the correlations of all pairs."""
    shared = correlations.sum(axis=1) - 1
    variance = correlations.sum() - 2 * shared - 1
    return float(np.arctanh(np.clip(shared / np.sqrt(variance), -1, 1)).mean())
