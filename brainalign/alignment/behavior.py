"""How close surprisal is to reading times: their correlation, and what surprisal adds to a regression.

- ``r``, protocol ``aw2024``: Pearson correlation of surprisal and mean reading time over all words but
  those that open a sentence. The paper reports its magnitude, divided by a ceiling. Its models read the ten
  stories as one growing text; here the context is whatever the surprisal was computed with.
- ``ppp``, protocol ``contiguous``: psychometric predictive power, the gain in log-likelihood (nats per
  word; divided by ln 2 it is bits) of a regression of reading time when surprisal joins length, frequency
  and position, on stories that the regression has not seen.
- ``exact``: where the true surprisal of every word is known (coordinate ``true_surprisal``, bits), its Pearson
  correlation with that of the model, over the words that count for ``r``.

Each is a function of sums over stories, so an interval over stories resamples ten rows, not ten thousand
words. A table keeps those rows: two models saved apart can be compared on the same resampled stories.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from brainalign.human.reading_times import ReadingTimes
from brainalign.statistics import INTERVAL
from brainalign.statistics.clusters import resampled
from brainalign.statistics.correlations import correlation_of_sums

SPILLOVER = 2  # words before the current one that still count (protocols, section 8)
RESAMPLES = 10_000
KEYS = ["dataset", "alignment", "measure", "protocol", "unit"]
# What a measure needs of each story: columns that add up over stories. x is surprisal (bits), y time (ms).
SUMS = {"r": ["n_words", "sum_x", "sum_y", "sum_xx", "sum_yy", "sum_xy"], "ppp": ["n_words", "gain"]}
SUMS["exact"] = SUMS["r"]  # y is true surprisal (bits)
# From sums over stories (..., column) to the measure.
STATISTIC = {
    "r": correlation_of_sums,
    "ppp": lambda sums: sums[..., 1] / sums[..., 0],
    "exact": correlation_of_sums,
}


def reading_time_correlation(surprisal: np.ndarray, reading_time: np.ndarray, keep: np.ndarray) -> float:
    """Pearson's r of surprisal (bits) and reading time (ms) over the words to keep, (n_words,) each.

    The paper keeps all but the first of each sentence (protocols, section 8). Words where either is NaN are left out.
    NaN where one does not vary.
    """
    return float(correlation_of_sums(_moments(surprisal, reading_time, keep).sum().to_numpy()))


def _moments(x: np.ndarray, y: np.ndarray, keep: np.ndarray) -> pd.DataFrame:
    """Columns of `SUMS["r"]`, a row per word; zero for those not to keep, or that lack either."""
    keep = keep & ~(np.isnan(x) | np.isnan(y))
    columns = np.where(keep[:, None], np.stack([np.ones_like(y), x, y, x * x, y * y, x * y], axis=1), 0.0)
    return pd.DataFrame(columns, columns=SUMS["r"])


def predictive_power(surprisal: np.ndarray, words: pd.DataFrame) -> pd.DataFrame:
    """Gain in log-likelihood when surprisal joins a regression of reading time, by held-out story.

    Least squares of reading time on position in the story and in the sentence, length and log frequency,
    the latter two also of the two words before; then with surprisal too, also of the two words before.
    Fitted to all stories but one, with the variance of its residuals (sum of squares over n), and scored on
    that one as a Gaussian. Left out of both: words with fewer than two words before them in their story,
    without a time, or without surprisal of their own or of the two before.

    Parameters
    ----------
    surprisal : ndarray
        (n_words,) bits; NaN where missing.
    words : DataFrame
        From `ReadingTimes.table`.

    Returns
    -------
    DataFrame
        A row per story: ``n_words``, and ``gain``, the sum over its words in nats.

    Raises
    ------
    ValueError
        A word that counts lacks length or frequency, or fewer than two stories have words that count.
    """
    keep, controls, surprisal_columns = _designs(surprisal, words)
    story = words.story[keep]
    if story.nunique() < 2:
        raise ValueError(f"words of two stories are needed to cross-validate, got {story.nunique()}.")
    # Centering and scaling changes no prediction, and saves the normal equations' digits.
    x, y = np.hstack([controls, surprisal_columns])[keep], words.reading_time[keep].to_numpy()
    scale = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1)
    matrix = np.column_stack([np.ones(len(y)), x, y - y.mean()])
    parts = {name: matrix[(story == name).to_numpy()] for name in story.unique()}
    n = np.array([len(part) for part in parts.values()])
    gram = np.stack([part.T @ part for part in parts.values()])  # story x column x column, time last
    control_columns = [*range(1 + controls.shape[1]), -1]
    gain = _log_likelihood(gram, n) - _log_likelihood(gram[:, control_columns][:, :, control_columns], n)
    return pd.DataFrame({"n_words": n, "gain": gain}, index=pd.Index(parts, name="story"))


def _designs(surprisal: np.ndarray, words: pd.DataFrame) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Which words count, and columns of the regression: of controls and of surprisal, with spill-over."""

    def with_spillover(columns: pd.DataFrame) -> np.ndarray:
        shifts = [columns.groupby(words.story).shift(lag) for lag in range(1, SPILLOVER + 1)]
        return np.hstack([columns, *shifts]).astype(float)

    place = words[["position"]].assign(in_sentence=words.groupby(["story", "sentence"]).cumcount())
    controls = np.hstack([place, with_spillover(words[["length", "log_frequency"]])])
    surprisal_columns = with_spillover(pd.DataFrame({"surprisal": surprisal}, index=words.index))
    keep = (words.position > SPILLOVER) & words.reading_time.notna() & ~np.isnan(surprisal_columns).any(axis=1)
    blank = keep & np.isnan(controls).any(axis=1)
    if blank.any():
        raise ValueError(
            f"{_place(words.loc[blank.idxmax()])}, or a word before it, lacks length or frequency. Complete the "
            "table, or leave its reading time out (NaN)."
        )
    return keep, controls, surprisal_columns


def _log_likelihood(gram: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Gaussian log-likelihood (nats) of each story's last column under least squares fitted to the others."""
    train = gram.sum(axis=0) - gram
    # The pseudo-inverse gives a constant column no weight.
    weights = np.linalg.pinv(train[:, :-1, :-1], rcond=1e-10, hermitian=True) @ train[:, :-1, -1:]
    residual = np.concatenate([-weights, np.ones((len(n), 1, 1))], axis=1)[..., 0]
    fitted, held_out = (np.einsum("si,sij,sj->s", residual, part, residual) for part in (train, gram))
    variance = fitted / (n.sum() - n)
    return -0.5 * (n * np.log(2 * np.pi * variance) + held_out / variance)


def lag_profile(
    x: np.ndarray, reading_time: np.ndarray, story: np.ndarray, lags: Iterable[int] = range(-3, 4)
) -> pd.DataFrame:
    """Correlate a property of words with the reading time some words later (lag > 0) or earlier: (n_words,) each.

    r of a lag is corr(x[i], reading_time[i + lag]); no pair crosses the borders of a story.

    Returns
    -------
    DataFrame
        ``lag``, ``r`` (Pearson), ``n_words``.
    """
    table = pd.DataFrame({"x": np.asarray(x), "time": np.asarray(reading_time)})
    rows = []
    for lag in lags:
        pairs = table.assign(time=table.groupby(np.asarray(story)).time.shift(-lag)).dropna()
        rows.append((lag, pairs.x.corr(pairs.time), len(pairs)))
    return pd.DataFrame(rows, columns=["lag", "r", "n_words"])


def reliability_of_means(mean: np.ndarray, sd: np.ndarray, n_readers: np.ndarray) -> float:
    """Share of the variance of word means (ms) that is not sampling noise: 1 - mean(sd² / n) / var(mean).

    The published standard deviations are over readers, fast and slow. Where (nearly) the same people read
    all words of a story, their speed shifts all means alike and is no noise between words. Here it counts
    as noise, which makes this a lower bound rather than an estimate. Like Brain-Score's split-half ceiling
    it is a reliability: what a perfect predictor could correlate is its square root. Words, (n_words,), with NaN or
    fewer than two readers are left out; NaN where fewer than two are left.
    """
    mean, sd, n_readers = (np.asarray(values, float) for values in (mean, sd, n_readers))
    measured = ~np.isnan(mean) & ~np.isnan(sd) & (n_readers > 1)
    if measured.sum() < 2:
        return np.nan
    return float(1 - np.mean(sd[measured] ** 2 / n_readers[measured]) / np.var(mean[measured], ddof=1))


def behavioral_alignment(
    surprisal: np.ndarray, times: ReadingTimes, seed: int = 0, n_resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Score one series of surprisal, (n_words,) bits, against reading times of two stories or more, by each measure.

    Surprisal is NaN where missing, as the first word of each story is to a model without a token for the beginning of
    a text.

    Returns
    -------
    DataFrame
        A row per measure and story, and one with story ``all``: `KEYS`, ``story`` (text), ``value`` (r
        signed), ``n_words``, ``n_missing`` (words that would count but lack time or surprisal; for PPP, that of
        the two words before too), ``low`` and ``high`` (95 % percentile interval over stories, for ``all``;
        PPP's regressions are not fitted anew), and the sums that `pair_difference` needs.

    Raises
    ------
    ValueError
        Surprisal does not fit the words, or as in `predictive_power`.
    """
    words, surprisal = times.table(), np.asarray(surprisal, float)
    _check_surprisal(surprisal, words, times.name)
    tables = []
    for measure, protocol, unit, sums, counts in _measures(surprisal, words, times):
        stories = sums.assign(n_missing=words.story[counts].value_counts()[sums.index] - sums.n_words)
        rows = pd.concat([stories, stories.sum().to_frame("all").T])
        rows["value"] = STATISTIC[measure](rows[SUMS[measure]].to_numpy())
        draws = STATISTIC[measure](resampled(len(sums), seed, n_resamples) @ sums.to_numpy())
        rows.loc["all", ["low", "high"]] = np.percentile(draws, INTERVAL)
        tables.append(rows.assign(measure=measure, protocol=protocol, unit=unit, story=rows.index.astype(str)))
    table = pd.concat(tables, ignore_index=True).assign(dataset=times.name, alignment=times.alignment)
    front = [*KEYS, "story", "value", "n_words", "n_missing", "low", "high"]
    return table[[*front, *SUMS["r"][1:], *SUMS["ppp"][1:]]].astype({"n_words": int, "n_missing": int})


def _check_surprisal(surprisal: np.ndarray, words: pd.DataFrame, name: str) -> None:
    n_values = len(np.unique(surprisal[~np.isnan(surprisal)]))
    if surprisal.shape != (len(words),) or n_values < 2:
        description = f"shape {surprisal.shape} with {n_values} different values"
        raise ValueError(f"{name} has {len(words)} words, got surprisal of {description}. Give one value a word.")
    if np.isinf(surprisal).any():
        word = words.iloc[int(np.isinf(surprisal).argmax())]
        raise ValueError(f"{name}: the surprisal of {_place(word)} is infinite. Compute it again.")


def _measures(surprisal: np.ndarray, words: pd.DataFrame, times: ReadingTimes) -> Iterator[tuple]:
    """Each measure, its protocol and unit, the sums by story, and the words that count or would count."""
    inner_words, later_words = ~times.first_in_sentence, (words.position > SPILLOVER).to_numpy()

    def moments(y: np.ndarray) -> pd.DataFrame:
        return _moments(surprisal, y, inner_words).groupby(words.story.to_numpy(), sort=False).sum()

    yield "r", "aw2024", "Pearson r", moments(words.reading_time.to_numpy()), inner_words
    yield "ppp", "contiguous", "nats per word", predictive_power(surprisal, words), later_words
    if "true_surprisal" in times.times.coords:
        yield "exact", "aw2024", "Pearson r", moments(times.times.true_surprisal.to_numpy()), inner_words


def pair_difference(
    table: pd.DataFrame, other: pd.DataFrame, seed: int = 0, n_resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Difference of two models' scores, ``table`` minus ``other``, on the same resampled stories.

    The tables are those of `behavioral_alignment`, one model each; saved and read again as they are. A `ValueError`
    says where the two were not scored on the same words.

    Returns
    -------
    DataFrame
        A row per combination of `KEYS`: ``value``, ``low`` and ``high`` (95 % percentile interval over
        stories), ``n_words``, ``n_stories``.
    """
    scores, other_scores = (part[part.story != "all"].set_index([*KEYS, "story"]) for part in (table, other))
    n_words = pd.concat([scores.n_words, other_scores.n_words], axis=1, keys=["ours", "theirs"]).fillna(0).astype(int)
    mismatch = n_words[n_words.ours != n_words.theirs]
    if len(mismatch):
        place = ", ".join(map(" ".join, zip((*KEYS, "story"), mismatch.index[0], strict=True)))
        raise ValueError(
            f"the two models were scored on different words: {mismatch.ours.iloc[0]} and "
            f"{mismatch.theirs.iloc[0]} of {place}. Score both on the same."
        )
    rows = []
    for key, stories in scores.groupby(level=KEYS, sort=False):
        measure = key[KEYS.index("measure")]
        pair = np.stack([stories[SUMS[measure]], other_scores.loc[stories.index, SUMS[measure]]])  # model x story x sum
        draws = np.vstack([np.ones(len(stories)), resampled(len(stories), seed, n_resamples)])
        values, other_values = STATISTIC[measure](draws @ pair)
        value, *differences = values - other_values
        rows.append((*key, value, *np.percentile(differences, INTERVAL), stories.n_words.sum(), len(stories)))
    return pd.DataFrame(rows, columns=[*KEYS, "value", "low", "high", "n_words", "n_stories"])


def _place(word: pd.Series) -> str:
    return f"story {word.story}, position {word.position} ({word.text!r})"
