"""Controls: what each knows, what it does not, and what a model explains beyond them."""

import itertools

import numpy as np
import pytest
from himalaya.kernel_ridge import predict_weighted_kernel_ridge, solve_multiple_kernel_ridge_random_search
from recordings import listening, noise, reading
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut

from brainalign.alignment import controls
from brainalign.alignment.encoding import banded, gram
from brainalign.alignment.encoding.held_out import pearson
from brainalign.alignment.encoding.splits import contiguous, grouped, shuffled
from brainalign.human import timeseries


def sentences(n_passages=12, n_sentences=4, n_units=5, seed=0):
    """Sentences of passages, whose responses are a drift that passages share and noise."""
    rng = np.random.default_rng(seed)
    passage = np.repeat([f"p{number:02}" for number in range(n_passages)], n_sentences)
    text = ["word " * int(n) + "end." for n in rng.integers(3, 12, len(passage))]
    drift = np.repeat(rng.normal(size=(n_passages, n_units)), n_sentences, axis=0)
    return reading(drift + 0.3 * rng.normal(size=drift.shape), passage, text=text)


SERIES = listening(noise(60, 2), np.repeat([1, 2], 30))


def test_oasm_is_a_gaussian_within_passages():
    ours = controls.oasm(sentences(3, 4))
    for one in range(12):
        for other in range(12):
            same = one // 4 == other // 4
            near = same and abs(one - other) < 3
            assert ours[one, other] == pytest.approx(np.exp(-((one - other) ** 2) / 2) if near else 0)


def test_oasm_of_a_time_series_ends_with_its_run_and_over_a_gap():
    ours = controls.oasm(SERIES)
    assert ours[28, 29] > 0
    assert ours[29, 30] == 0
    for train, test in contiguous(60, 5, gap=5):
        assert not (ours[test] @ ours[train].T).any()


def test_oasm_predicts_drift_under_shuffled_splits_only():
    recording = sentences(40)
    values, groups = recording.responses.to_numpy(), recording.stimuli.passage.to_numpy()

    def score(splits):
        layer = gram.gram(controls.oasm(recording))
        predicted = [gram.least_squares(layer, *split) @ values[split[0]] for split in splits]
        return np.mean([pearson(p, values[test]).mean() for p, (_, test) in zip(predicted, splits, strict=True)])

    assert score(shuffled(len(groups))) > 0.5
    assert score(grouped(groups)) == pytest.approx(0, abs=1e-6)


def test_length_counts_words_and_characters():
    recording = sentences()
    words = [len(text.split()) for text in recording.stimuli.text]
    characters = [len(text) for text in recording.stimuli.text]
    np.testing.assert_allclose(controls.length(recording), timeseries.zscore(np.column_stack([words, characters])))


def test_length_in_a_time_series_is_the_convolved_rate():
    (story,) = SERIES.passages
    rate = timeseries.events(SERIES.onsets, np.ones(len(story.parts)), 2.0, 200)[SERIES.volumes]
    letters = timeseries.events(SERIES.onsets, [len(word) for word in story.parts], 2.0, 200)[SERIES.volumes]
    ours = controls.length(SERIES)
    np.testing.assert_allclose(ours, timeseries.zscore(np.column_stack([rate, letters])), atol=1e-12)


def test_position_has_indicators_in_short_passages_and_a_curve_in_long_ones():
    np.testing.assert_array_equal(controls.position(sentences(3, 4)), np.tile(np.eye(4), (3, 1)))
    place = np.tile(np.arange(20), 3)
    expected = timeseries.zscore(np.column_stack([place, place**2, np.log(1 + place)]))
    np.testing.assert_allclose(controls.position(sentences(3, 20)), expected)
    np.testing.assert_allclose(controls.position(SERIES)[:30], controls.position(SERIES)[30:])


def test_every_recording_gets_every_control():
    for recording in (sentences(), sentences(3, 20), SERIES):
        every = controls.features(recording, width=7, seed=3)
        assert list(every) == ["oasm", "length", "position", "length+position", "random"]
        n = recording.responses.sizes["stimulus"]
        assert all(len(features) == n and np.isfinite(features).all() for features in every.values())
        np.testing.assert_array_equal(every["random"], controls.random(n, 7, 3))
        np.testing.assert_array_equal(every["length+position"], np.hstack([every["length"], every["position"]]))


def test_projection_keeps_inner_products_and_its_seed():
    x = np.random.default_rng(0).normal(size=(20, 4000)).astype(np.float32)
    small = controls.project(x, 2000, seed=1)
    assert small.shape == (20, 2000)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small @ small.T, x @ x.T, atol=5 * 4000 / np.sqrt(2000))
    np.testing.assert_array_equal(small, controls.project(x, 2000, seed=1))
    np.testing.assert_allclose(small[3:4], controls.project(x[3:4], 2000, seed=1), atol=1e-4)
    assert not np.allclose(small, controls.project(x, 2000, seed=2))
    for width in (0, 4001):
        with pytest.raises(ValueError, match=f"4000 features cannot be brought to {width}"):
            controls.project(x, width, seed=0)


# Banded ridge


def bands(n_units=6, seed=0):
    """Two bands of features in 8 groups of 5 stimuli, and units that depend on the first, the second, both or none."""
    rng = np.random.default_rng(seed)
    model, nuisance = rng.normal(size=(40, 30)), 100 * rng.normal(size=(40, 3))
    mixing = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])[:n_units]
    signal = np.stack([model[:, 0], nuisance[:, 0] / 100], axis=1) @ mixing.T
    return model, nuisance, signal + 0.3 * rng.normal(size=signal.shape), np.repeat(np.arange(8), 5)


def by_scikit_learn(features, y, train, test, groups, weights):
    """Predictions by ridge on scaled bands, weights and penalty of each unit chosen by leaving groups out."""
    features = [x - x[train].mean(axis=0) for x in features]
    features = [x / np.sqrt(np.square(x[train]).sum(axis=1).mean()) for x in features]
    errors, predicted = [], []
    for weight, alpha in itertools.product(weights, banded.ALPHAS):
        x = np.hstack([np.sqrt(w) * x for w, x in zip(weight, features, strict=True)])
        own, y_own = x[train], y[train]
        errors.append(0)
        for fit, out in LeaveOneGroupOut().split(train, groups=groups[train]):
            errors[-1] += np.square(Ridge(alpha).fit(own[fit], y_own[fit]).predict(own[out]) - y_own[out]).sum(axis=0)
        predicted.append(Ridge(alpha).fit(own, y_own).predict(x[test]))
    best = np.argmin(errors, axis=0)
    return np.stack([predicted[choice][:, unit] for unit, choice in enumerate(best)], axis=1)


def r2(y, predicted, splits):
    wrong = sum(np.square(y[test] - values).sum(axis=0) for (_, test), values in zip(splits, predicted, strict=True))
    return 1 - wrong / sum(np.square(y[test] - y[train].mean(axis=0)).sum(axis=0) for train, test in splits)


def test_banded_ridge_is_a_plain_loop():
    model, nuisance, y, groups = bands()
    splits, weights = grouped(groups, 4), banded._weights(2, 2, 0)
    ours = banded.banded_ridge({"model": model, "nuisance": nuisance}, y, splits, groups, n_weights=2)
    predicted = [by_scikit_learn([model, nuisance], y, *split, groups, weights) for split in splits]
    np.testing.assert_allclose(ours, r2(y, predicted, splits), atol=1e-6)


def test_banded_ridge_is_himalayas():
    model, nuisance, y, groups = bands()
    splits, predicted = grouped(groups, 4), []
    for train, test in splits:
        kernels = banded._normalized([banded._inner_products(x) for x in (model, nuisance)], train)
        with np.errstate(divide="ignore"):  # the logarithm of a weight of 0
            deltas, dual, _, intercept = solve_multiple_kernel_ridge_random_search(
                kernels[:, train[:, None], train], y[train], banded._weights(2, 10, 0), alphas=np.array(banded.ALPHAS),
                cv=list(LeaveOneGroupOut().split(train, groups=groups[train])), fit_intercept=True,
                return_weights="dual", progress_bar=False,
            )  # fmt: skip
        own = kernels[:, test[:, None], train]
        predicted.append(predict_weighted_kernel_ridge(own, dual, deltas, intercept=intercept))
    ours = banded.banded_ridge({"model": model, "nuisance": nuisance}, y, splits, groups)
    np.testing.assert_allclose(ours, r2(y, predicted, splits), atol=1e-6)


def test_unique_variance_is_what_the_nuisance_does_not_explain():
    model, nuisance, y, groups = bands()
    model, splits = model[:, :4], grouped(groups, 8)
    both = {"model": np.hstack([model, nuisance / 100]), "nuisance": nuisance}
    alone = banded.banded_ridge({"nuisance": nuisance}, y, splits, groups)
    unique = banded.banded_ridge(both, y, splits, groups) - alone
    assert (alone[[1, 5]] > 0.8).all()
    assert (np.abs(unique[[1, 3, 5]]) < 0.2).all()  # what the nuisance has, and what nobody has
    assert (unique[[0, 4]] > 0.2).all()
    # Units of features do not matter: each band is brought to one variance.
    scaled = banded.banded_ridge({"model": 1000 * model + 5, "nuisance": nuisance / 1e4}, y, splits, groups)
    plain = banded.banded_ridge({"model": model, "nuisance": nuisance}, y, splits, groups)
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


def test_a_band_without_variance_changes_nothing():
    model, _, y, groups = bands()
    splits = grouped(groups, 4)
    alone = banded.banded_ridge({"model": model}, y, splits, groups)
    both = banded.banded_ridge({"model": model, "flat": np.full((40, 2), 0.1)}, y, splits, groups)
    np.testing.assert_array_equal(both, alone)
    y[:, 0] = 2.5
    still = banded.banded_ridge({"flat": np.full((40, 2), 0.1)}, y, splits, groups)
    assert np.isnan(still[0])
    np.testing.assert_allclose(still[1:], 0, atol=1e-9)  # the mean of the training set


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": {}}, "there is no band of features"),
        ({"bands": {"length": np.ones((39, 2))}}, "length have 39 stimuli"),
        ({"bands": {"length": np.full((40, 1), np.inf)}}, "length: dimension 0 is inf at stimulus 0"),
        ({"responses": np.full((40, 1), np.nan)}, "responses: dimension 0 is nan at stimulus 0"),
        ({"groups": np.zeros(40)}, "a training set is all of one group"),
    ],
)
def test_bad_bands_are_named(changes, message):
    model, _, y, groups = bands()
    good = {"bands": {"model": model}, "responses": y, "splits": grouped(groups, 4), "groups": groups}
    with pytest.raises(ValueError, match=message):
        banded.banded_ridge(**good | changes)
