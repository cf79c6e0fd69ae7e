"""How close surprisal is to reading times: their correlation, and what surprisal adds to a regression.

- ``r``, protocol ``aw2024``: Pearson correlation of surprisal and mean reading time over all words but those that
  open a sentence. The paper reports its magnitude, divided by a ceiling. Its models read the ten stories as one
  growing text; here the context is whatever the surprisal was computed with.
- ``ppp``, protocol ``contiguous``: psychometric predictive power, the gain in log-likelihood (nats per word;
  divided by ln 2 it is bits) of a regression of reading time when surprisal joins length, frequency and position,
  on stories that the regression has not seen.

Either is a function of sums over stories. So an interval over stories resamples ten rows of numbers instead of ten
thousand words, and a table that keeps those rows lets two models be compared on the same resampled stories.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign.human.reading_times import ReadingTimes

SPILLOVER = 2  # words before the current one that still count (protocols, section 8)
RESAMPLES = 10_000
LEVEL = 95  # percent
KEYS = ["dataset", "alignment", "measure", "protocol"]
# What a measure needs of each story: columns that add up over stories. x is surprisal (bits), y time (ms).
SUMS = {
    "r": ["n_words", "sum_x", "sum_y", "sum_xx", "sum_yy", "sum_xy"],
    "ppp": ["n_words", "gain"],
}


class Correlation(NamedTuple):
    """Pearson's r, its magnitude (what Brain-Score reports), and how many words count or lack a time."""

    r: float
    magnitude: float
    n_words: int
    n_missing: int


def reading_time_correlation(
    surprisal: np.ndarray, reading_time: np.ndarray, keep: np.ndarray
) -> Correlation:
    """Correlate surprisal with reading time as the paper does (protocols, section 8).

    Parameters
    ----------
    surprisal : ndarray
        (n_words,) bits.
    reading_time : ndarray
        (n_words,) milliseconds; where it is NaN the word is left out, and counted.
    keep : ndarray of bool
        (n_words,) the words that count; the paper leaves out the first of each sentence.

    Returns
    -------
    Correlation
        NaN where surprisal or reading time does not vary.
    """
    known = ~np.isnan(reading_time)
    sums = _moments(surprisal, reading_time, np.zeros(len(keep), int), keep & known)
    r = float(correlation_of_sums(sums.to_numpy())[0])
    return Correlation(r, abs(r), int((keep & known).sum()), int((keep & ~known).sum()))


def correlation_of_sums(sums: np.ndarray) -> np.ndarray:
    """Pearson's r from sums over words, (..., 6) in the order of `SUMS`; NaN where something does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (xx - x * x / n) * (yy - y * y / n)
        # What rounding leaves of a constant is not variance.
        return np.where(spread > 1e-13 * xx * yy, (xy - x * y / n) / np.sqrt(spread), np.nan)


def _gain_per_word(sums: np.ndarray) -> np.ndarray:
    return sums[..., 1] / sums[..., 0]


STATISTIC = {"r": correlation_of_sums, "ppp": _gain_per_word}


def _moments(x: np.ndarray, y: np.ndarray, story: np.ndarray, keep: np.ndarray) -> pd.DataFrame:
    """Columns of `SUMS["r"]`, a row per story, over the words to keep."""
    columns = np.where(keep[:, None], np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1), 0.0)
    return pd.DataFrame(columns, columns=SUMS["r"]).groupby(story, sort=False).sum()


def predictive_power(surprisal: np.ndarray, words: pd.DataFrame) -> pd.DataFrame:
    """Gain in log-likelihood when surprisal joins a regression of reading time, by held-out story.

    Least squares of reading time on length, log frequency, both also of the two words before, position in the
    story and in the sentence; then with surprisal, also of the two words before. Fitted without one story at a
    time, with its residuals' variance (sum of squares over n), and scored on that story as a Gaussian. Words
    with fewer than two words before them in their story, or without a time, are left out of both.

    Parameters
    ----------
    surprisal : ndarray
        (n_words,) bits.
    words : DataFrame
        `ReadingTimes.table`, stories in order.

    Returns
    -------
    DataFrame
        A row per story: ``n_words``, and ``gain``, the sum over its words in nats.

    Raises
    ------
    ValueError
        A word that counts has no length or frequency, or fewer than two stories have words that count.
    """
    story = words.story.rename("story")
    now = pd.DataFrame({"length": words.length, "log_frequency": words.log_frequency, "surprisal": surprisal})
    spill = [now, *(now.groupby(story).shift(lag).add_suffix(f"-{lag}") for lag in range(1, SPILLOVER + 1))]
    design = pd.concat(spill, axis=1)
    # Controls first, surprisal last: the first columns are the smaller model.
    design = design[sorted(design, key=lambda name: name.startswith("surprisal"))]
    design.insert(0, "position", words.position)
    design.insert(0, "position_in_sentence", words.groupby(["story", "sentence"]).cumcount() + 1)
    n_controls = 1 + sum(not name.startswith("surprisal") for name in design)

    keep = words.groupby("story").cumcount().ge(SPILLOVER) & words.reading_time.notna()
    blank = design[keep].isna().any(axis=1)
    if blank.any():
        word = words.loc[blank.idxmax()]
        raise ValueError(
            f"story {word.story}, position {word.position} ({word.text!r}) has no length, frequency or surprisal, "
            "for itself or for the words before it. Complete the table, or set its reading time to NaN."
        )
    # Predictions do not change when columns are centered and scaled, but the normal equations gain digits.
    x, y = design[keep].to_numpy(float), words.reading_time[keep].to_numpy()
    scale = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1)
    joined = np.column_stack([np.ones(len(y)), x, y - y.mean()])
    parts = {name: joined[(story[keep] == name).to_numpy()] for name in story[keep].unique()}
    if len(parts) < 2:
        raise ValueError(f"predictive power needs two stories or more to cross-validate, got {len(parts)}.")
    n = np.array([len(part) for part in parts.values()])
    gram = np.stack([part.T @ part for part in parts.values()])  # story x column x column, y last
    gain = _log_likelihood(gram, n, joined.shape[1] - 1) - _log_likelihood(gram, n, n_controls)
    return pd.DataFrame({"n_words": n, "gain": gain}, index=pd.Index(parts, name="story"))


def _log_likelihood(gram: np.ndarray, n: np.ndarray, columns: int) -> np.ndarray:
    """Gaussian log-likelihood (nats) of each story under least squares fitted to all others."""
    train, n_train = gram.sum(axis=0) - gram, n.sum() - n
    use = slice(0, columns)
    inverse = np.linalg.pinv(train[:, use, use], rcond=1e-10, hermitian=True)
    weights = inverse @ train[:, use, -1:]

    def squares(of: np.ndarray) -> np.ndarray:
        """Sum of squared residuals."""
        residual = np.concatenate([-weights, np.zeros((len(of), of.shape[1] - columns - 1, 1)), ones], axis=1)
        return (residual.transpose(0, 2, 1) @ of @ residual)[:, 0, 0]

    ones = np.ones((len(gram), 1, 1))
    variance = squares(train) / n_train
    return -0.5 * (n * np.log(2 * np.pi * variance) + squares(gram) / variance)


def lag_profile(
    x: np.ndarray, reading_time: np.ndarray, story: np.ndarray, lags: Iterable[int] = range(-3, 4)
) -> pd.DataFrame:
    """Correlate a property of words with the reading time some words later (lag > 0) or earlier.

    Parameters
    ----------
    x, reading_time : ndarray
        (n_words,) any unit; NaN where missing.
    story : ndarray
        (n_words,) no pair crosses its borders.
    lags : iterable of int
        Words from x to the time: r[lag] = corr(x[i], reading_time[i + lag]).

    Returns
    -------
    DataFrame
        A row per lag: ``lag``, ``r`` (Pearson), ``n_words``.
    """
    table = pd.DataFrame({"x": x, "time": reading_time})
    rows = []
    for lag in lags:
        pairs = table.assign(time=table.groupby(np.asarray(story)).time.shift(-lag)).dropna()
        rows.append({"lag": lag, "r": pairs.x.corr(pairs.time), "n_words": len(pairs)})
    return pd.DataFrame(rows)


def reliability_of_means(mean: np.ndarray, sd: np.ndarray, n_readers: np.ndarray) -> float:
    """Share of the variance of word means that is not sampling noise: 1 - mean(sd² / n) / var(mean).

    The published standard deviations are over readers, fast and slow ones together. Where (nearly) the same people
    read all words of a story, their speed shifts all means alike and is no noise between words; here it counts as
    noise, so that this is closer to a lower bound than to an estimate.

    Parameters
    ----------
    mean, sd : ndarray
        (n_words,) milliseconds; words with NaN or fewer than two readers are left out.
    n_readers : ndarray
        (n_words,)

    Returns
    -------
    float
        At most 1; below 0 where noise exceeds the variance.
    """
    known = ~np.isnan(mean) & ~np.isnan(sd) & (np.asarray(n_readers) > 1)
    noise = np.mean(np.asarray(sd)[known] ** 2 / np.asarray(n_readers)[known])
    return float(1 - noise / np.var(np.asarray(mean)[known], ddof=1))


def resampled_stories(n_stories: int, seed: int, n_resamples: int = RESAMPLES) -> np.ndarray:
    """How often each story is drawn, with replacement: (n_resamples, n_stories) counts."""
    even = np.full(n_stories, 1 / n_stories)
    return np.random.default_rng(seed).multinomial(n_stories, even, size=n_resamples)


def _interval(values: np.ndarray) -> np.ndarray:
    tail = (100 - LEVEL) / 2
    return np.nanpercentile(values, [tail, 100 - tail])


def behavioral_alignment(...)
