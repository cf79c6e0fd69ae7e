"""Encoding models: every path of the solver against scikit-learn, plain loops and Brain-Score's answers."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut
from test_ceiling import REFERENCE, expected, needs_reference, recording

from brainalign.alignment.encoding import fits, gram
from brainalign.alignment.encoding.held_out import Scores, pearson
from brainalign.alignment.encoding.predictivity import Penalties, scores
from brainalign.alignment.encoding.splits import check, contiguous, grouped, leave_one_run_out, shuffled

ALPHAS = np.logspace(-2, 2, 5)
GROUPS = np.repeat(np.arange(10), 4)
N = len(GROUPS)


def features(kind: str) -> np.ndarray:
    """Features of N stimuli, far from zero: as wide as the name says, or short of rank."""
    width = {"n > p": 7, "n_train < p < n": 37, "n = p": N, "n < p": 90, "one feature": 1}.get(kind, 60)
    x = 3 + np.random.default_rng(0).normal(size=(N, 90))[:, :width]
    if kind == "rows twice":
        x[:20] = x[20:]
    if kind == "few rows twice":
        x[:3], x = x[3:6], x[:, :12]
    if kind == "columns twice":
        x = np.repeat(x[:, :10], 6, axis=1)
    if kind == "columns twice, few":
        x = np.repeat(x[:, :5], 2, axis=1)
    if kind == "constant features":
        x[:, ::3] = 0.1
    if kind == "seen in one group":
        x[:, ::2] = np.where(GROUPS[:, None] == 3, x[:, ::2], 0.3)
    return x


KINDS = [
    "n > p",
    "n_train < p < n",
    "n = p",
    "n < p",
    "one feature",
    "rows twice",
    "few rows twice",
    "columns twice",
    "columns twice, few",
    "constant features",
    "seen in one group",
]


def responses(n_units: int = 5, noise: float = 1.0) -> np.ndarray:
    """Responses that the first features explain in part, and groups too."""
    rng = np.random.default_rng(1)
    signal = features("n < p")[:, :4] @ rng.normal(size=(4, n_units))
    shared, own = rng.normal(size=(10, n_units))[GROUPS], rng.normal(size=(N, n_units))
    return 100 + signal + noise * (shared + own) * (1 + np.arange(n_units) % 7)


def plain_least_squares(x, y, train, test):
    mean = x[train].mean(axis=0)
    weights = np.linalg.lstsq(x[train] - mean, y[train] - y[train].mean(axis=0), rcond=1e-9)[0]
    return (x[test] - mean) @ weights + y[train].mean(axis=0)


def quiet(*arguments) -> Scores:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+% of choices")
        return scores(*arguments)


# Least squares


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("splits", [shuffled(N, 3), contiguous(N, 5, gap=3), grouped(GROUPS, 4)], ids=len)
def test_least_squares_is_a_plain_loop(kind, splits, dtype):
    x, y = features(kind), responses()
    y[:, 2] = 7.3  # constant
    ours = scores([x], y.astype(dtype), splits)
    assert ours.r.shape == (1, len(splits), 5)
    tolerance = 2e-5 if dtype == np.float32 else 1e-7
    for split, (train, test) in enumerate(splits):
        predicted = plain_least_squares(x, y, train, test)
        np.testing.assert_allclose(ours.r[0, split], pearson(predicted, y[test]), atol=10 * tolerance)
        (r2,) = scores([x], y.astype(dtype), [(train, test)]).concatenated()[1]
        wrong, total = (np.square(y[test] - guess).sum(axis=0) for guess in (predicted, y[train].mean(axis=0)))
        varied = [0, 1, 3, 4]
        np.testing.assert_allclose(r2[varied], (1 - wrong / total)[varied], rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_test_sets_concatenated_are_a_plain_loop(dtype):
    x, y, splits = features("n > p"), responses(), contiguous(N, 5, gap=2)
    predicted, measured = [], []
    for train, test in splits:
        predicted.append(plain_least_squares(x, y, train, test) - y[train].mean(axis=0))
        measured.append(y[test] - y[train].mean(axis=0))
    predicted, measured = np.concatenate(predicted), np.concatenate(measured)
    (r,), (r2,) = scores([x], y.astype(dtype), splits).concatenated()
    np.testing.assert_allclose(r, pearson(predicted, measured), atol=1e-5)
    theirs = 1 - np.square(measured - predicted).sum(axis=0) / np.square(measured).sum(axis=0)
    np.testing.assert_allclose(r2, theirs, atol=1e-5)


def test_what_is_not_known_scores_zero_over_concatenated_test_sets():
    # Predictions that are the training set's mean have r far below zero where they are counted from any other origin.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 20)), rng.normal(size=(200, 400))
    strong = Penalties([1e6, 1e7], groups=np.repeat(np.arange(20), 10))
    for penalties in (None, strong):
        (r,), (r2,) = scores([x], y, contiguous(200, 10), penalties).concatenated()
        assert np.mean(r) == pytest.approx(0, abs=4 * np.std(r) / 20)
    assert np.mean(r2) == pytest.approx(0, abs=1e-3)


# Ridge


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_units", [5, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_ridge_by_stimulus_is_scikit_learns(kind, n_units, dtype):
    x, splits = features(kind), shuffled(N, 2)
    for noise in (0.01, 1, 30):
        y = responses(n_units, noise).astype(dtype)
        ours, y = quiet([x], y, splits, Penalties(ALPHAS)), y.astype(float)
        for split, (train, test) in enumerate(splits):
            model = RidgeCV(ALPHAS).fit(x[train], y[train])
            assert ALPHAS[ours.chosen[0, split, 0]] == model.alpha_
            np.testing.assert_allclose(ours.errors[0, split, ours.chosen[0, split, 0]], -model.best_score_, rtol=1e-5)
            np.testing.assert_allclose(ours.r[0, split], pearson(model.predict(x[test]), y[test]), atol=1e-4)


def plain_errors(x, y, train, alphas):
    """Squared errors of what is left out: (n_alphas, n_units), means over stimuli."""
    errors = []
    for alpha in alphas:
        left_out = [
            np.square(Ridge(alpha).fit(x[train][rest], y[train][rest]).predict(x[train][part]) - y[train][part])
            for rest, part in LeaveOneGroupOut().split(x[train], groups=GROUPS[train])
        ]
        errors.append(np.concatenate(left_out).mean(axis=0))
    return np.stack(errors)


@pytest.mark.parametrize("per", ["all", "label", "unit"])
@pytest.mark.parametrize("n_units", [6, 102])
@pytest.mark.parametrize("kind", ["n > p", "n_train < p < n", "n < p", "rows twice", "columns twice, few"])
@pytest.mark.parametrize("splits", [grouped(GROUPS, 5)[:2], contiguous(N, 4, gap=2)[:2]], ids=["groups", "blocks"])
def test_ridge_by_group_is_a_plain_loop(kind, n_units, per, splits):
    x, y = features(kind), responses(n_units)
    labels = np.array(["b", "a", "c"])[np.arange(n_units) % 3]
    y[:, labels == "a"] += 30 * np.random.default_rng(2).normal(size=(N, n_units // 3))
    ours = quiet({"block 1": x}, y, splits, Penalties(ALPHAS, True, GROUPS, per, labels))
    np.testing.assert_array_equal(ours.alphas, ALPHAS)
    if per != "unit":
        np.testing.assert_array_equal(ours.labels, ["a", "b", "c"])
    for split, (train, test) in enumerate(splits):
        alphas = ALPHAS * np.square(x[train] - x[train].mean(axis=0)).sum() / len(train)
        errors = plain_errors(x, y, train, alphas)
        of_labels = np.stack([errors[:, labels == label].mean(axis=1) for label in "abc"], axis=1)
        np.testing.assert_allclose(ours.errors[0, split], errors if per == "unit" else of_labels, rtol=1e-6)
        chosen = {
            "all": np.full(n_units, errors.mean(axis=1).argmin()),
            "label": of_labels.argmin(axis=0)[np.unique(labels, return_inverse=True)[1]],
            "unit": errors.argmin(axis=0),
        }[per]
        expected_shape = {"all": chosen[:1], "label": of_labels.argmin(axis=0), "unit": chosen}[per]
        np.testing.assert_array_equal(ours.chosen[0, split], expected_shape)
        for unit, alpha in enumerate(alphas[chosen]):
            predicted = Ridge(alpha).fit(x[train], y[train, unit]).predict(x[test])
            r = pearson(predicted[:, None], y[test, unit : unit + 1])[0]
            assert ours.r[0, split, unit] == pytest.approx(r, abs=1e-6)
    if per == "unit":
        assert len(np.unique(ours.chosen)) > 1


def test_errors_keep_their_precision_as_the_penalty_vanishes():
    x, y = features("n < p"), responses(3)
    alphas, (train, test) = np.array([1e-9, 1e-6, 1e-3]), grouped(GROUPS, 5)[0]
    theirs = plain_errors(x, y, train, alphas)
    for dtype in (np.float32, np.float64):
        ours = quiet([x], y.astype(dtype), [(train, test)], Penalties(alphas, False, GROUPS, "unit"))
        np.testing.assert_allclose(ours.errors[0, 0], theirs, rtol=1e-4)


def test_nothing_of_the_test_set_is_in_the_choice_of_penalty_and_layer():
    layers, y, splits = [features("n < p"), features("n > p")], responses(100), grouped(GROUPS, 5)
    before = quiet(layers, y, splits, Penalties(ALPHAS, True, GROUPS))
    rng = np.random.default_rng(0)
    for split, (_, test) in enumerate(splits):
        changed, moved = y.copy(), [x.copy() for x in layers]
        changed[test] = 1000 * rng.normal(size=(len(test), 100))
        for x in moved:
            x[test] *= rng.normal(size=x[test].shape)
        after = quiet(moved, changed, splits, Penalties(ALPHAS, True, GROUPS))
        np.testing.assert_allclose(after.errors[:, split], before.errors[:, split], rtol=1e-6)
        assert not np.allclose(after.r[:, split], before.r[:, split])


def test_a_layer_can_be_chosen_for_each_split():
    layers, y, splits = [features(kind) for kind in ("n < p", "n > p", "n = p")], responses(), grouped(GROUPS, 5)
    every, some = quiet(layers, y, splits, Penalties(ALPHAS, True, GROUPS)), [0, 2, 1, 1, 0]
    chosen = every.select_layers(some)
    for split, layer in enumerate(some):
        np.testing.assert_array_equal(chosen.r[0, split], every.r[layer, split])
    for layer in range(3):
        same = every.select_layers(np.full(5, layer)).concatenated()
        np.testing.assert_array_equal(np.concatenate(same), np.stack(every.concatenated())[:, layer])


# Kinds of arrays


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_torch_is_numpy(kind, dtype):
    x, splits = features(kind).astype(dtype), contiguous(N, 4, gap=2)
    labels = np.arange(90) % 2
    y = responses(90).astype(dtype)
    y[:, 4] = np.nan
    for penalties in (
        None,
        Penalties(ALPHAS, True),
        Penalties(ALPHAS, True, GROUPS, "label", labels),
        Penalties(ALPHAS, True, GROUPS, "unit"),
    ):
        ours = quiet([x], y, splits, penalties)
        theirs = quiet([x], y, splits, penalties, "cpu")
        assert isinstance(theirs.r, np.ndarray)
        tolerance = 1e-4 if dtype == np.float32 else 1e-8
        np.testing.assert_allclose(ours.r, theirs.r, atol=tolerance)
        r2, their_r2 = ours.concatenated()[1], theirs.concatenated()[1]
        np.testing.assert_allclose(r2, their_r2, atol=100 * tolerance, rtol=100 * tolerance)
        if penalties:
            np.testing.assert_allclose(ours.errors, theirs.errors, rtol=tolerance)
            np.testing.assert_array_equal(ours.chosen, theirs.chosen)


def test_many_units_and_features_are_a_few_at_a_time(monkeypatch):
    x, y, splits = features("n < p"), responses(50), grouped(GROUPS, 5)
    kinds = (None, Penalties(ALPHAS, True, GROUPS, "label", np.arange(50) % 3), Penalties(ALPHAS, True, per="unit"))
    whole = [quiet([x], y, splits, penalties) for penalties in kinds]
    monkeypatch.setattr(gram, "BLOCK", 7)
    monkeypatch.setattr(fits, "SMALLEST", 5)
    monkeypatch.setattr(fits, "LARGEST", 7)
    for once, penalties in zip(whole, kinds, strict=True):
        blocks = quiet([x], y, splits, penalties)
        np.testing.assert_allclose(blocks.r, once.r, atol=1e-9)
        np.testing.assert_allclose(blocks.concatenated(), once.concatenated(), atol=1e-9)


def test_units_without_responses_are_nan():
    x, y, splits = features("n < p"), responses(100), grouped(GROUPS, 5)
    missing = np.isin(np.arange(100), [0, 5, 99])
    y_missing = np.where(missing, np.nan, y)
    labels = np.where(missing, "absent", np.where(np.arange(100) % 2, "odd", "even"))
    for penalties, shape in (
        (None, None),
        (Penalties(ALPHAS, True), (1, 5, 1)),
        (Penalties(ALPHAS, True, GROUPS, "label", labels), (1, 5, 2)),
        (Penalties(ALPHAS, True, GROUPS, "unit"), (1, 5, 100)),
    ):
        with_missing = quiet([x], y_missing, splits, penalties)
        if penalties and penalties.labels is not None:
            penalties = replace(penalties, labels=labels[~missing])
        without = quiet([x], y[:, ~missing], splits, penalties)
        np.testing.assert_array_equal(np.isnan(with_missing.r), np.broadcast_to(missing, (1, 5, 100)))
        np.testing.assert_array_equal(with_missing.r[..., ~missing], without.r)
        np.testing.assert_array_equal(np.stack(with_missing.concatenated())[..., ~missing], without.concatenated())
        if penalties:
            assert with_missing.chosen.shape == shape
    assert (with_missing.chosen[..., missing] == -1).all()


# What does not change the answer


PENALTIES = {
    "least squares": None,
    "by stimulus": Penalties(ALPHAS, True),
    "by group": Penalties(ALPHAS, True, GROUPS, "unit"),
}


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(["n > p", "n = p", "n < p"]),
    st.sampled_from(sorted(PENALTIES)),
    st.floats(-1e3, 1e3),
)
def test_rotation_order_and_origin_change_nothing(seed, kind, name, constant):
    rng = np.random.default_rng(seed)
    x, y, splits, penalties = features(kind), responses(), grouped(GROUPS, 5, seed), PENALTIES[name]
    first = quiet([x], y, splits, penalties)
    rotation, _ = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))
    order = rng.permutation(N)
    place = np.argsort(order)
    moved = [(place[rng.permutation(train)], place[rng.permutation(test)]) for train, test in splits]
    groups = None if penalties is None or penalties.groups is None else penalties.groups[order]
    permuted = penalties and replace(penalties, groups=groups)
    for other in (
        quiet([x @ rotation], y, splits, penalties),
        quiet([x + constant], y, splits, penalties),
        quiet([x], y + constant, splits, penalties),
        quiet([x[order]], y[order], moved, permuted),
    ):
        np.testing.assert_allclose(other.r, first.r, atol=1e-6)
        np.testing.assert_allclose(other.concatenated(), first.concatenated(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_recording_predicts_itself(dtype):
    y = responses(20).astype(dtype)
    for splits in (shuffled(N), grouped(GROUPS, 5)):
        np.testing.assert_allclose(scores([y], y, splits).r, 1, atol=1e-6)
        weak = Penalties([1e-6, 1e-5, 1e-4, 1e-3], True, GROUPS)
        assert quiet([y], y, splits, weak).r.min() > 0.999


# Against Brain-Score


@needs_reference
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["wide", "narrow"])
@pytest.mark.parametrize("name", ["blank", "pereira_243sentences", "pereira_384sentences"])
def test_scores_of_features_are_brainscores(name, kind, dtype):
    if name == "blank":
        of_people, n_folds = recording("Blank2014_fROI"), 8
    else:
        every = recording("Pereira2018_language")
        of_people, n_folds = every.isel(presentation=every.experiment == name.split("_")[1]).dropna("neuroid"), 10
    y, stories = of_people.data.to_numpy().astype(dtype), of_people.story.to_numpy()
    with np.load(REFERENCE / "features.npz") as saved:
        x = saved[f"{name}_{kind}"]
    theirs, tolerance = expected()[f"{name}_{kind}"], 1e-9 if dtype == np.float64 else 1e-5
    linear = np.median(scores([x], y, shuffled(len(y))).r[0], axis=1)
    np.testing.assert_allclose(linear, theirs["linear_shuffle"]["per_split"], atol=tolerance)
    assert np.mean(linear) == pytest.approx(theirs["linear_shuffle"]["score"], abs=1e-4)
    ridge = np.median(quiet([x], y, grouped(stories, n_folds), Penalties()).r[0], axis=1)
    np.testing.assert_allclose(ridge, theirs["ridge_group"]["per_split"], atol=tolerance)


# Bad input


def broken(array, value):
    array = array.copy()
    array[7, 3] = value
    return array


X, Y, SPLITS = features("n < p"), responses(), grouped(GROUPS, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": [X, X[:39]]}, r"layer 1 have shape \(39, 90\), responses \(40, 5\)"),
        ({"features": {"block 3": X[0]}}, r"layer block 3 have shape \(90,\), responses \(40, 5\)"),
        ({"features": [broken(X, np.inf)]}, "feature 3 of layer 0 is inf at stimulus 7"),
        ({"features": {"block 3": broken(X, np.nan)}}, "feature 3 of layer block 3 is nan at stimulus 7"),
        ({"responses": Y[:, 0]}, r"responses have shape \(40,\)"),
        ({"responses": broken(Y, np.nan)}, "unit 3 is nan at stimulus 7"),
        ({"responses": broken(Y, -np.inf)}, "unit 3 is -inf at stimulus 7"),
        ({"responses": np.full_like(Y, np.nan)}, "no unit has responses"),
        ({"responses": np.full_like(Y, 0.1)}, "no unit varies"),
        ({"splits": []}, "there are no splits"),
        ({"splits": [(np.arange(20), np.arange(19, 40))]}, "split 0 trains on 20 stimuli and tests on 21, 1 of them"),
        ({"splits": [*SPLITS, (np.arange(20), np.array([30]))]}, "split 5 trains on 20 stimuli and tests on 1,"),
        ({"splits": [(np.arange(20), np.arange(30, 50))]}, "split 0 has stimuli from 0 to 49, of 0 to 39"),
        ({"penalties": Penalties(groups=GROUPS[:9])}, r"groups have shape \(9,\) for 40 stimuli"),
        ({"penalties": Penalties(groups=np.zeros(40))}, r"split 0 trains on one group, 0\.0"),
        ({"penalties": Penalties(per="label", labels=np.arange(4))}, r"labels have shape \(4,\) for 5 units"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        scores(**{"features": [X], "responses": Y, "splits": SPLITS} | changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": [0, 1]}, r"positive numbers, got \[0, 1\]"),
        ({"alphas": [1, np.inf]}, "positive numbers"),
        ({"alphas": []}, "positive numbers"),
        ({"alphas": [2, 1]}, r"ascend, got \[2, 1\]"),
        ({"per": "participant"}, "'all', 'label' or 'unit', got 'participant'"),
        ({"per": "label"}, "takes labels"),
    ],
)
def test_bad_penalties_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Penalties(**arguments)


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        (np.logspace(4, 8, 5), r"% of choices fell on the smallest penalty, 10000\. Extend the grid downwards\."),
        (np.logspace(-20, -12, 5), "largest penalty, 1e-12. Extend the grid upwards, unless features say nothing"),
    ],
)
def test_a_grid_that_ends_too_soon_is_told(alphas, message):
    with pytest.warns(UserWarning, match=message):
        scores([X[:, :4]] * 2, responses(5, 30), SPLITS, Penalties(alphas, True, GROUPS))


def test_features_that_do_not_vary_predict_nothing():
    for constant in (np.full((N, 50), 0.1), np.full((N, 3), 0.1, np.float32)):
        with pytest.warns(UserWarning, match="layer 1 are the same for all stimuli"):
            ours = scores([X, constant], Y, SPLITS)
        np.testing.assert_array_equal(ours.r[1], 0)
        assert (ours.r[0] != 0).all()


# Splits


def test_a_run_is_left_out_with_what_is_near_to_it():
    runs = np.repeat(["a", "c", "b"], [10, 12, 9])
    splits = leave_one_run_out(runs, gap=2)
    check(splits, 31)
    for (train, test), rest, own in zip(
        splits,
        [np.arange(12, 31), np.r_[0:8, 24:31], np.arange(20)],
        [np.arange(10), np.arange(10, 22), np.arange(22, 31)],
        strict=True,
    ):
        np.testing.assert_array_equal(train, rest)
        np.testing.assert_array_equal(test, own)


@given(st.lists(st.integers(6, 20), min_size=2, max_size=5), st.integers(0, 3))
def test_runs_keep_their_distance(lengths, gap):
    runs = np.repeat(np.arange(len(lengths)), lengths)
    for run, (train, test) in enumerate(leave_one_run_out(runs, gap)):
        assert set(runs[test]) == {run}
        assert len(test) == lengths[run]
        assert run not in runs[train]
        inside = np.flatnonzero(runs == run)
        distance = np.abs(np.setdiff1d(np.arange(len(runs)), inside)[:, None] - inside).min(axis=1)
        assert len(train) == np.sum(distance > gap)


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        (np.zeros(20), {}, "takes two or more, got 1"),
        (np.repeat([0, 1, 0], 5), {}, "run 0 is in several pieces"),
        (np.repeat([0, 1], 8), {"gap": 7}, "run 0 leaves 1 stimuli to train on and 8 to test on, with a gap of 7"),
        (np.repeat([0, 1], [1, 8]), {"gap": 0}, "run 0 leaves 8 stimuli to train on and 1 to test on"),
    ],
)
def test_runs_that_leave_too_little_are_named(runs, options, message):
    with pytest.raises(ValueError, match=message):
        leave_one_run_out(runs, **options)
