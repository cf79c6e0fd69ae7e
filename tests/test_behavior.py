import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import statsmodels.api as sm
import xarray as xr

from brainalign.alignment import behavior
from brainalign.human.reading_times import ReadingTimes


def reading_times(make_time, sizes=(120, 90, 150, 100, 80), seed=0, names=None, alignment="original"):
    """Stories of random words in sentences of five, with surprisal; `make_time` gives their milliseconds."""
    rng = np.random.default_rng(seed)
    stories = []
    for number, size in enumerate(sizes):
        position = np.arange(1, size + 1)
        stories.append(
            pd.DataFrame(
                {
                    "story": names[number] if names else number + 1,
                    "position": position,
                    "sentence": (position - 1) // 5 + 1,
                    "text": [f"w{i}" for i in position],
                    "length": rng.integers(1, 12, size),
                    "log_frequency": rng.normal(18, 3, size),
                    "n_readers": rng.integers(60, 98, size),
                    "sd": rng.uniform(80, 200, size),
                    "surprisal": rng.gamma(2, 3, size),
                }
            )
        )
    words = pd.concat(stories, ignore_index=True)
    surprisal = words.pop("surprisal")
    milliseconds = make_time(words.assign(surprisal=surprisal), rng)
    on_word = {name: ("word", words[name].to_numpy()) for name in words}
    times = xr.DataArray(milliseconds, dims="word", coords=on_word)
    return surprisal.to_numpy(copy=True), ReadingTimes("made-up", times, "", "", alignment)


def noise(words, rng):
    return 300 + rng.normal(0, 30, len(words))


def driven(lag, slope=6.0):
    """Reading times that follow the surprisal of `lag` words before, within a story."""

    def make(words, rng):
        source = words.groupby("story").surprisal.shift(lag).fillna(words.surprisal.mean())
        return (300 + slope * source + 2 * words.length - words.log_frequency).to_numpy() + rng.normal(
            0, 30, len(words)
        )

    return make


def test_correlation_is_scipys_without_what_does_not_count():
    surprisal, times = reading_times(driven(0))
    reading_time, keep = times.table().reading_time.to_numpy(copy=True), ~times.first_in_sentence
    reading_time[[1, 5, 7]] = np.nan  # 5 opens a sentence
    found = behavior.reading_time_correlation(surprisal, reading_time, keep)
    here = keep & ~np.isnan(reading_time)
    assert found == pytest.approx(scipy.stats.pearsonr(surprisal[here], reading_time[here]).statistic, abs=1e-12)


def test_correlation_with_a_constant_is_nan():
    time = np.linspace(300, 400, 1000)
    assert np.isnan(behavior.reading_time_correlation(np.full(1000, 7.1), time, np.full(1000, True)))


def test_where_true_surprisal_is_known_a_model_is_held_against_it():
    surprisal, times = reading_times(driven(0))
    rng = np.random.default_rng(1)
    true = surprisal + rng.normal(0, 1, len(surprisal))
    known = ReadingTimes("made-up", times.times.assign_coords(true_surprisal=("word", true)), "", "", "original")
    table = behavior.behavioral_alignment(surprisal, known, n_resamples=200)
    whole = table[table.story == "all"].set_index("measure")
    keep = ~times.first_in_sentence
    expected = scipy.stats.pearsonr(surprisal[keep], true[keep]).statistic
    assert whole.value["exact"] == pytest.approx(expected, abs=1e-12)
    assert whole.low["exact"] < expected < whole.high["exact"]
    plain = behavior.behavioral_alignment(surprisal, times, n_resamples=200)
    assert "exact" not in set(plain.measure)
    pd.testing.assert_frame_equal(table[table.measure != "exact"], plain)
    other = behavior.behavioral_alignment(rng.permutation(surprisal), known, n_resamples=200)
    difference = behavior.pair_difference(table, other, n_resamples=200).set_index("measure")
    assert difference.value["exact"] == pytest.approx(expected - other.value[other.measure.eq("exact")].iloc[-1])


@pytest.mark.parametrize("planted", [-1, 0, 1, 2])
def test_lag_profile_finds_where_the_signal_was_planted(planted):
    surprisal, times = reading_times(driven(planted))
    words = times.table()
    profile = behavior.lag_profile(surprisal, words.reading_time, words.story).set_index("lag")
    assert list(profile.index) == [-3, -2, -1, 0, 1, 2, 3]
    assert profile.r.idxmax() == planted
    assert profile.r[planted] > 0.5 > 0.2 > profile.r.drop(planted).max()


def test_lag_profile_is_an_explicit_loop():
    surprisal, times = reading_times(driven(1))
    words = times.table()
    reading_time = words.reading_time.to_numpy(copy=True)
    reading_time[[0, 40, 120]] = np.nan
    story = words.story.to_numpy()
    profile = behavior.lag_profile(surprisal, reading_time, story, lags=[-2, 0, 1])
    for row in profile.itertuples():
        pairs = [
            (surprisal[i], reading_time[i + row.lag])
            for i in range(len(story))
            if 0 <= i + row.lag < len(story)
            and story[i] == story[i + row.lag]
            and not np.isnan(reading_time[i + row.lag])
        ]
        assert row.n_words == len(pairs)
        assert row.r == pytest.approx(np.corrcoef(np.transpose(pairs))[0, 1], abs=1e-12)


def spilled(words, columns):
    return [words.groupby("story")[name].shift(lag) for name in columns for lag in (0, 1, 2)]


def by_statsmodels(surprisal, words):
    """Gain of each story (nats) and its words, from statsmodels' least squares, fold by fold."""
    words = words.assign(surprisal=surprisal, within=words.groupby(["story", "sentence"]).cumcount())
    smaller = pd.concat([words.position, words.within, *spilled(words, ["length", "log_frequency"])], axis=1)
    larger = pd.concat([smaller, *spilled(words, ["surprisal"])], axis=1)
    keep = larger.notna().all(axis=1) & words.reading_time.notna()
    gains = {}
    for story in words.story.unique():
        held_out, train = keep & (words.story == story), keep & (words.story != story)
        score = []
        for design in (smaller, larger):
            x = sm.add_constant(design.to_numpy(), has_constant="add")
            fit = sm.OLS(words.reading_time[train], x[train]).fit()
            sd = np.sqrt(fit.ssr / train.sum())
            log_likelihood = scipy.stats.norm.logpdf(words.reading_time[held_out], fit.predict(x[held_out]), sd)
            score.append(log_likelihood.sum())
        gains[story] = (held_out.sum(), score[1] - score[0])
    return pd.DataFrame(gains, index=["n_words", "gain"]).T


@pytest.mark.parametrize("unknown", [[], [0, 120, 210, 310, 410, 18, 119]])
@pytest.mark.parametrize("missing", [[], [0, 17, 18, 130, 350]])
def test_predictive_power_is_statsmodels_fold_by_fold(missing, unknown):
    surprisal, times = reading_times(driven(1))
    surprisal[unknown] = np.nan
    words = times.table()
    words.loc[missing, "reading_time"] = np.nan
    found, expected = behavior.predictive_power(surprisal, words), by_statsmodels(surprisal, words)
    assert found.index.tolist() == expected.index.tolist()
    assert found.n_words.tolist() == expected.n_words.tolist()
    np.testing.assert_allclose(found.gain, expected.gain, rtol=1e-8)


def test_spillover_stays_in_its_story():
    surprisal, times = reading_times(driven(1), sizes=(60, 60, 60))
    words = times.table()
    found = behavior.predictive_power(surprisal, words)
    assert found.n_words.tolist() == [58, 58, 58]
    # What stands at the ends of the other stories does not matter to the first words of the next.
    order = np.concatenate([np.arange(120, 180), np.arange(60), np.arange(60, 120)])
    turned = behavior.predictive_power(surprisal[order], words.iloc[order].reset_index(drop=True))
    np.testing.assert_allclose(turned.gain[found.index], found.gain, rtol=1e-9)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_predictive_power_finds_a_signal_on_the_word_and_the_two_before(lag):
    surprisal, times = reading_times(driven(lag))
    found = behavior.predictive_power(surprisal, times.table())
    # The variance explained, as log-likelihood: half the log of total over residual variance.
    signal = 36 * surprisal.var()
    assert found.gain.sum() / found.n_words.sum() == pytest.approx(0.5 * np.log1p(signal / 900), abs=0.1)
    assert (found.gain > 0).all()


def test_noise_has_no_predictive_power():
    surprisal, times = reading_times(noise, sizes=[200] * 10)
    words = times.table()
    rng = np.random.default_rng(1)
    gains = [behavior.predictive_power(rng.permutation(surprisal), words) for _ in range(50)]
    mean = np.mean([gain.gain.sum() / gain.n_words.sum() for gain in gains])
    assert -0.01 < mean < 0


def test_what_the_controls_explain_is_no_predictive_power():
    _, times = reading_times(lambda words, rng: noise(words, rng) + 10 * words.length, sizes=[200] * 10)
    words = times.table()
    surprisal = words.length + np.random.default_rng(0).normal(0, 0.1, len(words))
    assert behavior.behavioral_alignment(surprisal, times).query("story == 'all'").set_index("measure").value.gt(
        [0.5, 0.01]
    ).tolist() == [True, False]


def test_constant_controls_change_nothing():
    surprisal, times = reading_times(driven(0))
    words = times.table()
    flat = behavior.predictive_power(surprisal, words.assign(log_frequency=3.0))
    assert np.isfinite(flat.gain).all()
    assert flat.gain.sum() / flat.n_words.sum() > 0.1


def test_controls_must_be_known():
    surprisal, times = reading_times(driven(0))
    words = times.table()
    words.loc[124, "log_frequency"] = np.nan
    with pytest.raises(ValueError, match=r"story 2, position 5 \('w5'\), or a word before it, lacks"):
        behavior.predictive_power(surprisal, words)
    words.loc[124:126, "reading_time"] = np.nan
    assert behavior.predictive_power(surprisal, words).n_words[2] == 85


def test_one_story_cannot_be_cross_validated():
    surprisal, times = reading_times(driven(0), sizes=(100,))
    with pytest.raises(ValueError, match="two stories are needed"):
        behavior.behavioral_alignment(surprisal, times)


def test_table_has_a_row_per_measure_and_story_and_all():
    surprisal, times = reading_times(driven(0), names=["boar", "aqua", "tulips", "elvis", "birds"])
    table = behavior.behavioral_alignment(surprisal, times, n_resamples=200)
    sums = ["sum_x", "sum_y", "sum_xx", "sum_yy", "sum_xy", "gain"]
    rest = ["story", "value", "n_words", "n_missing", "low", "high"]
    assert list(table.columns) == [*behavior.KEYS, *rest, *sums]
    assert table.story.tolist() == ["boar", "aqua", "tulips", "elvis", "birds", "all"] * 2
    assert table.groupby(["measure", "protocol", "unit"], sort=False).size().to_dict() == {
        ("r", "aw2024", "Pearson r"): 6,
        ("ppp", "contiguous", "nats per word"): 6,
    }
    assert set(table.dataset) == {"made-up"}
    assert table.low.notna().tolist() == table.high.notna().tolist() == (table.story == "all").tolist()
    pooled = table[table.story == "all"].set_index("measure")
    keep = ~times.first_in_sentence
    expected = behavior.reading_time_correlation(surprisal, times.table().reading_time.to_numpy(), keep)
    assert pooled.value["r"] == pytest.approx(expected, abs=1e-12)
    assert pooled.n_words.tolist() == [keep.sum(), 540 - 2 * 5]
    assert (pooled.low < pooled.value).all()
    assert (pooled.value < pooled.high).all()
    ppp = table[(table.measure == "ppp") & (table.story != "all")]
    assert pooled.value["ppp"] == pytest.approx((ppp.value * ppp.n_words).sum() / ppp.n_words.sum())
    here = keep & (times.table().story == "aqua").to_numpy()
    r = scipy.stats.pearsonr(surprisal[here], times.table().reading_time[here]).statistic
    assert table.value[1] == pytest.approx(r, abs=1e-12)


def test_missing_times_are_left_out_and_counted():
    surprisal, times = reading_times(driven(0))
    gone = times.times.copy()
    gone[[0, 1, 6]] = np.nan  # 0 opens a story; 1 counts for r only; 6 for both
    table = behavior.behavioral_alignment(surprisal, ReadingTimes("made-up", gone, "", "", "corrected"))
    full = behavior.behavioral_alignment(surprisal, times)
    for measure, missing in (("r", 2), ("ppp", 1)):
        rows, before = (x[(x.measure == measure) & x.story.isin(["1", "all"])] for x in (table, full))
        assert rows.n_missing.tolist() == [missing, missing]
        assert (before.n_words - rows.n_words).tolist() == [missing, missing]
    assert set(table.alignment) == {"corrected"}


def test_missing_surprisal_is_left_out_and_counted():
    surprisal, times = reading_times(driven(1))
    full = behavior.behavioral_alignment(surprisal, times)
    words, inside = times.table(), ~times.first_in_sentence
    # 0 and 120 open stories, and count for the third word's spill-over only; 6 lies within a sentence.
    surprisal[[0, 6, 120]] = np.nan
    table = behavior.behavioral_alignment(surprisal, times)
    for measure, missing in (("r", [1, 0, 0, 0, 0, 1]), ("ppp", [4, 1, 0, 0, 0, 5])):
        rows, before = (x[x.measure == measure] for x in (table, full))
        assert rows.n_missing.tolist() == missing
        assert (before.n_words - rows.n_words).tolist() == missing
        assert np.isfinite(rows.value).all() and not before.n_missing.any()
    here = inside & ~np.isnan(surprisal)
    pooled = table[table.story == "all"].set_index("measure").value
    assert pooled.r == pytest.approx(
        scipy.stats.pearsonr(surprisal[here], words.reading_time[here]).statistic, abs=1e-12
    )
    expected = by_statsmodels(surprisal, words)
    assert pooled.ppp == pytest.approx(expected.gain.sum() / expected.n_words.sum(), rel=1e-8)


def test_a_word_that_lacks_both_is_missing_once():
    surprisal, times = reading_times(driven(0))
    gone = times.times.copy()
    gone[6] = surprisal[6] = np.nan
    table = behavior.behavioral_alignment(surprisal, ReadingTimes("made-up", gone, "", "", "original"))
    assert table[table.story == "all"].n_missing.tolist() == [1, 3]


def loop(measure, stories, picks):
    """A measure over resampled stories, from their words."""
    picked = [stories[pick] for pick in picks]
    if measure == "ppp":
        return sum(gain for _, gain in picked) / sum(n for n, _ in picked)
    return np.corrcoef(np.concatenate(picked, axis=1))[0, 1]


def parts(surprisal, times):
    words = times.table()
    keep = ~times.first_in_sentence
    pairs = np.stack([surprisal, words.reading_time])
    ppp = behavior.predictive_power(surprisal, words)
    of_r = [pairs[:, keep & (words.story == story).to_numpy()] for story in words.story.unique()]
    return {"r": of_r, "ppp": list(ppp.itertuples(index=False))}


@pytest.mark.parametrize("measure", ["r", "ppp"])
def test_bootstrap_is_a_loop_over_words_of_resampled_stories(measure):
    surprisal, times = reading_times(driven(0))
    other, _ = reading_times(noise, seed=9)
    other = surprisal + other
    tables = [behavior.behavioral_alignment(x, times, seed=3, n_resamples=300) for x in (surprisal, other)]
    ours, theirs = (parts(x, times)[measure] for x in (surprisal, other))
    counts = np.random.default_rng(3).multinomial(5, [0.2] * 5, size=300)
    picks = [np.repeat(np.arange(5), count) for count in counts]
    draws = [[loop(measure, stories, pick) for pick in picks] for stories in (ours, theirs)]
    for table, drawn in zip(tables, draws, strict=True):
        row = table[(table.measure == measure) & (table.story == "all")].iloc[0]
        np.testing.assert_allclose([row.low, row.high], np.percentile(drawn, [2.5, 97.5]), rtol=1e-9)
    difference = behavior.pair_difference(*tables, seed=3, n_resamples=300).set_index("measure").loc[measure]
    expected = np.percentile(np.subtract(*draws), [2.5, 97.5])
    np.testing.assert_allclose([difference.low, difference.high], expected, rtol=1e-9)
    values = [t[(t.measure == measure) & (t.story == "all")].value.iloc[0] for t in tables]
    assert difference.value == pytest.approx(np.subtract(*values))
    assert difference.n_stories == 5


def test_pairs_are_compared_from_saved_files(tmp_path):
    surprisal, times = reading_times(driven(0), sizes=[150] * 8)
    worse = surprisal + np.random.default_rng(5).normal(0, 2, len(surprisal))
    tables = {
        "tuned": behavior.behavioral_alignment(worse, times),
        "base": behavior.behavioral_alignment(surprisal, times),
    }
    for name, table in tables.items():
        table.assign(model=name).to_parquet(tmp_path / f"{name}.parquet")
    read = [pd.read_parquet(tmp_path / f"{name}.parquet") for name in tables]
    difference = behavior.pair_difference(*read)
    pd.testing.assert_frame_equal(difference, behavior.pair_difference(*tables.values()))
    assert list(difference.columns) == [*behavior.KEYS, "value", "low", "high", "n_words", "n_stories"]
    assert (difference.high < 0).all()
    # Pairing pays: the two vary together over stories.
    base = tables["base"].query("story == 'all' and measure == 'r'").iloc[0]
    assert difference.high[0] - difference.low[0] < base.high - base.low
    swapped = behavior.pair_difference(*reversed(read))
    np.testing.assert_allclose(swapped[["value", "low", "high"]], -difference[["value", "high", "low"]])


def test_a_model_does_not_differ_from_itself():
    surprisal, times = reading_times(driven(0))
    table = behavior.behavioral_alignment(surprisal, times)
    assert (behavior.pair_difference(table, table)[["value", "low", "high"]] == 0).all(axis=None)


def test_pairs_must_rest_on_the_same_words():
    surprisal, times = reading_times(driven(0))
    table = behavior.behavioral_alignment(surprisal, times)
    gone = times.times.copy()
    gone[131] = np.nan
    other = behavior.behavioral_alignment(surprisal, ReadingTimes("made-up", gone, "", "", "original"))
    with pytest.raises(ValueError, match=r"72 and 71 of dataset made-up.*measure r,.*story 2"):
        behavior.pair_difference(table, other)
    with pytest.raises(ValueError, match=r"and 0 of dataset made-up.*measure ppp"):
        behavior.pair_difference(table, table[table.measure == "r"])


def test_seed_gives_the_same_bytes():
    surprisal, times = reading_times(driven(0))
    first, again, other = (behavior.behavioral_alignment(surprisal, times, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.low.equals(other.low)


def test_bad_surprisal_is_named():
    surprisal, times = reading_times(driven(0))
    with pytest.raises(ValueError, match=r"made-up has 540 words, got surprisal of shape \(539,\)"):
        behavior.behavioral_alignment(surprisal[1:], times)
    with pytest.raises(ValueError, match="with 1 different values"):
        behavior.behavioral_alignment(np.full(540, 3.3), times)
    with pytest.raises(ValueError, match="with 0 different values"):
        behavior.behavioral_alignment(np.full(540, np.nan), times)
    surprisal[[0, 121]] = np.nan, -np.inf
    with pytest.raises(ValueError, match=r"made-up: the surprisal of story 2, position 2 \('w2'\) is infinite"):
        behavior.behavioral_alignment(surprisal, times)


def test_reliability_of_means():
    rng = np.random.default_rng(0)
    words, readers = 4000, 40
    times = rng.normal(300, 30, (words, 1)) + rng.normal(0, 100, (words, readers))
    mean, sd = times.mean(axis=1), times.std(axis=1, ddof=1)
    n_readers = np.full(words, readers)
    expected = 900 / (900 + 100**2 / readers)
    assert behavior.reliability_of_means(mean, sd, n_readers) == pytest.approx(expected, abs=0.02)
    # Words without a time, or with one reader, are left out.
    mean[:2], sd[:2], n_readers[2], sd[2] = np.nan, np.nan, 1, 1e6
    assert behavior.reliability_of_means(mean, sd, n_readers) == pytest.approx(expected, abs=0.02)
    # Readers who differ in speed leave the order of words as it was, and lower the estimate.
    faster = times + rng.normal(0, 150, readers)
    lower = behavior.reliability_of_means(faster.mean(axis=1), faster.std(axis=1, ddof=1), np.full(words, readers))
    assert lower < expected - 0.1


def test_ten_thousand_words_take_milliseconds():
    surprisal, times = reading_times(driven(1), sizes=[1000] * 10)
    start = time.perf_counter()
    behavior.behavioral_alignment(surprisal, times, n_resamples=2000)
    assert time.perf_counter() - start < 1
