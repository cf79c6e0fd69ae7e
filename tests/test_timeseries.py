import numpy as np
import pytest

from brainalign.human import timeseries as ts


def test_words_belong_to_the_volume_in_which_they_begin():
    onsets = [-0.1, 0.0, 1.99, 2.0, 5.5, 7.99, 8.0]
    values = np.arange(7.0)
    assert ts.words_to_volumes(onsets, values, 2.0, 4).tolist() == [1.5, 3, 4, 5]
    assert ts.words_to_volumes(onsets, values, 2.0, 4, "sum").tolist() == [3, 3, 4, 5]


def test_volume_without_a_word_is_zero():
    features = np.array([[1.0, 10], [3, 30]])
    for how in ("mean", "sum"):
        assert ts.words_to_volumes([4.5, 0.5], features, 2.0, 3, how).tolist() == [[3, 30], [0, 0], [1, 10]]


def test_rounding_moves_no_word():
    # 0.3 / 0.1 is 2.9999999999999996.
    assert ts.words_to_volumes([0.1 * 3], [1.0], 0.1, 4, "sum").tolist() == [0, 0, 0, 1]


def test_words_to_volumes_checks_its_input():
    with pytest.raises(ValueError, match="how: expected 'mean' or 'sum', got 'max'"):
        ts.words_to_volumes([0.0], [1.0], 2.0, 1, "max")
    with pytest.raises(ValueError, match="values: 2 onsets need as many rows, got 1"):
        ts.words_to_volumes([0.0, 1.0], [1.0], 2.0, 1)


def test_delays():
    x = np.arange(1, 5)
    assert ts.delays(x, [0, 1, 3, -1]).T.tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 0, 1], [2, 3, 4, 0]]
    two = np.column_stack([x, 10 * x])
    assert ts.delays(two, [1, 2])[3].tolist() == [3, 30, 2, 20]


def test_delays_longer_than_the_series():
    assert ts.delays(np.arange(1, 4), [3, 5, -3]).T.tolist() == [[0] * 3] * 3


def test_response_function_is_that_of_spm():
    h = ts.hrf(0.1)
    assert h.sum() == pytest.approx(1)
    assert len(h) == 321
    assert 0.1 * h.argmax() == pytest.approx(5.0)
    assert 0.1 * h.argmin() == pytest.approx(15.7, abs=0.1)
    # spm_hrf(2), as SPM12 gives it.
    spm = [0, 0.0866, 0.3749, 0.3849, 0.2161, 0.0769, 0.0016, -0.0306, -0.0373, -0.0308, -0.0205, -0.0116, -0.0058]
    np.testing.assert_allclose(ts.hrf(2.0)[:13], spm, atol=1e-4)


def test_events_add_up_and_columns_stay_apart():
    values = np.array([[1.0, -2], [3, 5]])
    both = ts.events([4.0, 9.5], values, 2.0, 30)
    single = [ts.events([onset], row[None], 2.0, 30) for onset, row in zip([4.0, 9.5], values, strict=True)]
    np.testing.assert_allclose(both, sum(single), atol=1e-12)
    np.testing.assert_allclose(both[:, 1], ts.events([4.0, 9.5], values[:, 1], 2.0, 30), atol=1e-12)
    assert (both[:3] == 0).all()  # nothing before the first event


@pytest.mark.parametrize("onset", [10.0, 11.0, 11.9])
def test_event_peaks_five_seconds_after_it(onset):
    response = ts.events([onset], [3.0], 0.5, 100)
    assert 0.5 * response.argmax() == pytest.approx(onset + 5, abs=0.5)
    # Its area does not depend on the sampling.
    assert response.sum() * 0.5 == pytest.approx(3 * 0.5 / ts.MICROTIME, rel=1e-3)


def test_known_delay_is_found():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(300)
    y = np.column_stack([ts.delays(x, [3])[:, 0], ts.delays(x, [-2])[:, 0]]) + 0.1 * rng.standard_normal((300, 2))
    r = ts.lagged_correlation(x, y, range(-4, 5))
    assert (r.argmax(axis=0) - 4).tolist() == [3, -2]
    assert r.max(axis=0).min() > 0.98
    assert r[4, 0] == pytest.approx(np.corrcoef(x, y[:, 0])[0, 1])


def test_convolved_words_correlate_at_lag_zero_with_a_response_to_them():
    rng = np.random.default_rng(1)
    onsets = np.sort(rng.uniform(0, 400, 600))
    fine = np.histogram(onsets, np.arange(0, 400.05, 0.05))[0]
    response = np.convolve(fine, ts.hrf(0.05))[: len(fine)][::40]  # at the beginning of each volume of 2 s
    r = ts.lagged_correlation(ts.events(onsets, np.ones(600), 2.0, 200), response[:, None], range(-3, 4))
    assert r[:, 0].argmax() == 3
    assert r[3, 0] > 0.99


def test_zscore_within_runs():
    rng = np.random.default_rng(0)
    x, runs = rng.standard_normal((40, 3)), np.repeat([1, 2], 20)
    x[20:] += 100
    x[:, 2] = runs
    z = ts.zscore(x, runs)
    for run in (1, 2):
        np.testing.assert_allclose(z[runs == run].mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(z[runs == run].std(axis=0), [1, 1, 0])
    np.testing.assert_allclose(ts.zscore(x[:, 0]), (x[:, 0] - x[:, 0].mean()) / x[:, 0].std())
    assert (ts.zscore(np.full(7, 0.1)) == 0).all()


def test_drifts_are_slow_and_orthogonal():
    slow = ts.drifts(362, 2.0)
    assert slow.shape == (362, 11)  # as SPM: 2 * 362 * 2 / 128
    gram = slow.T @ slow
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    np.testing.assert_allclose(slow.sum(axis=0), 0, atol=1e-9)


def test_nuisance_is_taken_out_and_the_rest_kept():
    rng = np.random.default_rng(0)
    nuisance = rng.standard_normal((60, 2)) * [1e-6, 1e3]
    signal = ts.regress_out(rng.standard_normal((60, 4)), nuisance)
    y = signal + 5 + nuisance @ rng.standard_normal((2, 4))
    np.testing.assert_allclose(ts.regress_out(y, nuisance), signal, atol=1e-9)


def test_edges_of_runs_are_trimmed():
    runs = np.repeat([1, 2, 3], [6, 4, 5])
    assert np.flatnonzero(ts.inner_volumes(runs, 2, 1)).tolist() == [2, 3, 4, 8, 12, 13]
    assert ts.inner_volumes(runs, 0, 0).all()
    with pytest.raises(ValueError, match="runs: run 2 has 4 volumes, too few to drop 3 and 1"):
        ts.inner_volumes(runs, 3, 1)


def test_runs_label_every_volume():
    with pytest.raises(ValueError, match="runs: 3 volumes need as many labels, got 2"):
        ts.zscore(np.zeros(3), [1, 2])
