"""Splits and noise ceilings: against Brain-Score's answers, obvious loops, and simulated truth."""

import functools
import itertools
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from brainalign.alignment.behavior import reading_time_correlation
from brainalign.alignment.ceilings import extrapolated, reliability
from brainalign.alignment.encoding import predictivity
from brainalign.alignment.encoding.held_out import pearson
from brainalign.alignment.encoding.splits import contiguous, grouped, shuffled

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "reference"
REFERENCE = Path(os.environ.get("BRAINALIGN_REFERENCE") or BESIDE) / "brainscore"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no {REFERENCE}; set BRAINALIGN_REFERENCE")


def expected() -> dict:
    return json.loads((REFERENCE / "expected.json").read_text())["expected"]


def recording(name: str) -> xr.Dataset:
    return xr.load_dataset(REFERENCE / f"assy_{name}.nc", engine="h5netcdf")


def people(n_participants=4, n_units=3, n_stimuli=40, reliability=0.5, seed=0):
    """Responses of participants who share two signals: stimulus x unit, and whose unit each is."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(2, n_participants * n_units))
    signal = rng.normal(size=(n_stimuli, 2)) @ (mixing / np.linalg.norm(mixing, axis=0))
    noise = rng.normal(size=signal.shape)
    names = np.repeat([f"s{number}" for number in range(n_participants)], n_units)
    return np.sqrt(reliability) * signal + np.sqrt(1 - reliability) * noise, names


# Against Brain-Score


@needs_reference
def test_the_ceiling_of_blank_is_brainscores():
    blank = recording("Blank2014_fROI")
    ours = extrapolated.extrapolated(blank.data.to_numpy(), blank.subject_id.to_numpy(), shuffled(96))
    theirs = expected()["blank_ceiling_linear_shuffle"]
    # Draws are the same, the optimiser is not: `curve_fit` stops when a step gains less than 1e-8 of the loss, and on
    # flat valleys that is up to 6e-4 from the minimum which ours goes down to.
    assert ours.ceiling == pytest.approx(theirs["score"], abs=1e-5)
    np.testing.assert_allclose(ours.unit_ceiling, theirs["per_neuroid"], atol=1e-3)


@needs_reference
def test_score_and_ceiling_of_futrell_are_brainscores():
    futrell, theirs = recording("Futrell2018"), expected()["futrell"]
    ours = reliability.split_half(futrell.data.to_numpy())
    assert ours == pytest.approx(theirs["ceiling"], abs=1e-9)
    with np.load(REFERENCE / "features.npz") as features:
        surprisal = features["futrell_surprisal"]
    inside = futrell.word_within_sentence_id.to_numpy() != 1
    r = reading_time_correlation(surprisal, futrell.data.mean("subject").to_numpy(), inside)
    assert abs(r) == pytest.approx(theirs["score"], abs=1e-9)  # raw, before the ceiling


def test_scores_of_each_array_are_scores():
    rng = np.random.default_rng(0)
    x, splits, groups = rng.normal(size=(40, 30)), shuffled(40, 3), np.arange(40) // 4
    several = [x[:, :3] @ rng.normal(size=(3, n)) + level * rng.normal(size=(40, n)) for n, level in ((4, 0.1), (9, 9))]
    penalties, chosen = predictivity.Penalties([0.1, 1, 10, 100], True, groups), []
    linear = predictivity.scores_of_each(x, several, splits)
    ridge = predictivity.scores_of_each(x, several, splits, penalties)
    for y, of_linear, of_ridge in zip(several, linear, ridge, strict=True):
        np.testing.assert_allclose(of_linear, predictivity.scores([x], y, splits).r[0], atol=1e-12)
        with warnings.catch_warnings(action="ignore"):
            alone = predictivity.scores([x], y, splits, penalties)
        np.testing.assert_allclose(of_ridge, alone.r[0], atol=1e-12)
        chosen.append(alone.chosen)
    assert not np.array_equal(*chosen)  # each array of responses has a penalty of its own


# The curve


def loss(sizes, scores, v0, tau):
    return np.square(scores - v0[:, None] * -np.expm1(-sizes / tau[:, None])).sum(axis=1)


def test_saturation_recovers_curves():
    v0, tau = (grid.ravel() for grid in np.meshgrid([0.01, 0.2, 0.9, 1], [0.3, 1, 5, 50]))
    sizes = np.arange(2, 9)
    scores = v0[:, None] * -np.expm1(-sizes / tau[:, None])
    found_v0, found_tau = extrapolated.saturation(sizes, scores)
    np.testing.assert_allclose(found_v0, v0, atol=1e-6)
    np.testing.assert_allclose(found_tau, tau, rtol=1e-5)


@pytest.mark.parametrize("noise", [0.003, 0.03, 0.2])
@pytest.mark.parametrize("n_sizes", [3, 8])
def test_saturation_is_never_worse_than_curve_fit(n_sizes, noise):
    rng = np.random.default_rng(n_sizes)
    sizes = np.arange(2, 2 + n_sizes)
    truth, tau = rng.uniform(0, 1, 60), np.exp(rng.uniform(-1, 3, 60))
    scores = truth[:, None] * -np.expm1(-sizes / tau[:, None]) + noise * rng.normal(size=(60, n_sizes))
    v0, found_tau = extrapolated.saturation(sizes, scores)

    def growth(k, v0, tau):
        with np.errstate(over="ignore", divide="ignore"):
            return v0 * (1 - np.exp(-k / tau))

    theirs, _ = zip(
        *(scipy.optimize.curve_fit(growth, sizes, row, bounds=([0, 0], [1, np.inf])) for row in scores), strict=True
    )
    theirs = np.array(theirs)
    our_loss, their_loss = loss(sizes, scores, v0, found_tau), loss(sizes, scores, *theirs.T)
    assert (our_loss <= their_loss + 1e-12).all()
    same = their_loss <= our_loss * (1 + 1e-9) + 1e-12
    assert same.mean() > 0.5
    np.testing.assert_allclose(v0[same], theirs[same, 0], atol=2e-3)


def test_saturation_keeps_to_its_bounds():
    sizes = np.arange(2, 6)
    v0, tau = extrapolated.saturation(
        sizes, np.array([[-0.1, -0.2, -0.1, -0.3], [0.1, 0.3, 0.6, 1.2], [0.4, 0.4, 0.4, 0.4]])
    )
    np.testing.assert_allclose(v0, [0, 1, 0.4], atol=1e-9)
    assert (tau > 0).all()


def test_failed_fits_are_nan():
    sizes, nan = np.arange(2, 6), np.nan
    rows = [[nan] * 4, [0.1, nan, nan, nan], [np.inf, nan, 0.2, -np.inf], [0.1, nan, 0.2, 0.3]]
    v0, tau = extrapolated.saturation(sizes, np.array(rows))
    np.testing.assert_array_equal(np.isnan(v0), [True, True, True, False])
    np.testing.assert_array_equal(np.isnan(tau), np.isnan(v0))
    known, _ = extrapolated.saturation(sizes[[0, 2, 3]], np.array([[0.1, 0.2, 0.3]]))
    assert v0[3] == known[0]
    assert extrapolated.saturation(sizes, np.empty((0, 4)))[0].shape == (0,)


# Ceilings of participants


def plain(responses, participants, splits, n_bootstraps):
    """Scores and draws as an obvious loop: (n_sizes, n_units) and (n_bootstraps, n_sizes, n_units)."""
    names = sorted(set(participants[~np.isnan(responses).all(axis=0)]))
    sizes = range(2, len(names) + 1)
    curve = np.full((len(sizes), len(participants)), np.nan)
    draws = np.full((n_bootstraps, *curve.shape), np.nan)
    for unit, owner in enumerate(participants):
        if np.isnan(responses[:, unit]).all():
            continue
        scores = []
        for size in sizes:
            of_size = []
            for combination in itertools.combinations(names, size):
                if owner in combination:
                    pool = np.isin(participants, [name for name in combination if name != owner])
                    x = responses[:, pool & ~np.isnan(responses).all(axis=0)]
                    for train, test in splits:
                        model = LinearRegression().fit(x[train], responses[train, unit])
                        predicted = model.predict(x[test])[:, None]
                        of_size.append(pearson(predicted, responses[test, unit][:, None])[0])
            scores.append(np.array(of_size))
        curve[:, unit] = [of_size.mean() for of_size in scores]
        rng = np.random.RandomState(0)
        for bootstrap in range(n_bootstraps):
            draws[bootstrap, :, unit] = [rng.choice(of_size, len(of_size)).mean() for of_size in scores]
    return curve, draws


@pytest.mark.parametrize("n_units", [3, 30], ids=["n > p", "n < p"])
def test_extrapolated_is_an_obvious_loop(n_units):
    responses, names = people(4, n_units, n_stimuli=24)
    responses, names = 1000 + responses[:, ::-1], names[::-1]  # participants in any order, means far from zero
    responses[:, 1] = 3.3  # constant
    responses[:, 5] = np.nan
    responses = np.hstack([responses, np.full((24, 2), np.nan)])
    names = np.append(names, ["absent", "absent"])
    splits = contiguous(24, 3, gap=1)
    ours = extrapolated.extrapolated(responses, names, splits, n_bootstraps=5)
    curve, draws = plain(responses, names, splits, 5)
    np.testing.assert_array_equal(ours.sizes, [2, 3, 4])
    np.testing.assert_allclose(ours.curve, curve, atol=2e-5)
    v0 = np.stack([extrapolated.saturation(ours.sizes, of_units.T)[0] for of_units in draws])
    np.testing.assert_allclose(ours.unit_ceiling, np.median(v0, axis=0), atol=1e-3)
    np.testing.assert_allclose(ours.unit_high, np.percentile(v0, 97.5, axis=0), atol=1e-3)
    assert ours.ceiling == np.nanmedian(ours.unit_ceiling)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(ours.unit_ceiling)), [5, len(names) - 2, len(names) - 1])
    assert ours.unit_ceiling[1] == 0


@pytest.mark.parametrize("n_units", [4, 50], ids=["n > p", "n < p"])
def test_features_of_a_pool_have_its_inner_products(n_units):
    responses, _ = people(3, n_units, n_stimuli=20)
    pool = np.split(responses, 3, axis=1)
    features = extrapolated._features(pool, [y @ y.T for y in pool])
    assert features.shape[1] == min(20, 3 * n_units)
    np.testing.assert_allclose(features @ features.T, responses @ responses.T, atol=1e-10)


def test_a_known_ceiling_is_within_its_interval():
    # What everybody shares explains 30 % of the variance: no model can correlate more than its square root.
    results = []
    for seed in range(6):
        responses, names = people(5, 3, n_stimuli=300, reliability=0.3, seed=seed)
        results.append(extrapolated.extrapolated(responses, names, shuffled(300)))
    inside = [result.low < np.sqrt(0.3) < result.high for result in results]
    assert np.mean(inside) >= 5 / 6
    assert np.mean([result.ceiling for result in results]) == pytest.approx(np.sqrt(0.3), rel=0.2)
    assert np.mean([np.median(result.curve[-1]) for result in results]) < np.mean([r.ceiling for r in results])


def test_few_combinations_of_many_participants():
    responses, names = people(7, 2)
    args = responses, names, shuffled(40, 2)
    few = extrapolated.extrapolated(*args, n_combinations=3, n_bootstraps=5)
    again = extrapolated.extrapolated(*args, n_combinations=3, n_bootstraps=5)
    np.testing.assert_array_equal(few.unit_ceiling, again.unit_ceiling)
    # Three pairs of seven leave someone out; that is a gap in the curve, no failure.
    assert np.isnan(few.curve[0]).any()
    assert np.isfinite(few.unit_ceiling).all()
    np.testing.assert_allclose(few.curve[-1], extrapolated.extrapolated(*args, n_bootstraps=1).curve[-1])


@pytest.mark.parametrize(("n_participants", "n_deals"), [(4, 1), (11, 2), (27, 3)])
def test_deals_predict_everybody_at_every_size(n_participants, n_deals):
    sizes = extrapolated._sizes(n_participants, n_deals)
    assert sizes[0] == 2
    assert sizes[-1] == n_participants
    assert len(sizes) <= 8
    assert (np.diff(sizes) > 0).all()
    dealt = extrapolated._dealt(n_participants, sizes, n_deals)
    for size, combinations in zip(sizes, dealt, strict=True):
        assert all(len(set(members)) == size for members in combinations)
        times = np.bincount(np.concatenate(combinations), minlength=n_participants)
        assert (times >= 1).all()
        assert times.max() <= 2 * n_deals  # twice in a deal at most, to fill it up
    assert dealt == extrapolated._dealt(n_participants, sizes, n_deals)
    assert len(dealt[-1]) == 1


def test_dealt_scores_are_a_plain_loop():
    responses, names = people(10, 2, n_stimuli=60)
    splits = contiguous(60, 2, gap=1)
    groups, alphas = np.arange(60) // 6, (0.1, 1.0, 10.0)
    penalties = predictivity.Penalties(alphas, True, groups)
    ours = extrapolated.extrapolated(responses, names, splits, penalties, n_bootstraps=1, n_deals=1)
    assert len(ours.sizes) < 9

    people_of = np.split(np.arange(20), 10)
    for row, combinations in enumerate(extrapolated._dealt(10, ours.sizes, 1)):
        of_units = [[] for _ in names]
        for members, (train, test) in itertools.product(combinations, splits):
            for one in members:
                pool = np.concatenate([people_of[other] for other in members if other != one])
                x, y = responses[:, pool], responses[:, people_of[one]]
                scale = np.square(x[train] - x[train].mean(axis=0)).sum() / len(train)
                losses = []
                for alpha in alphas:
                    left = [(train[groups[train] != g], train[groups[train] == g]) for g in np.unique(groups[train])]
                    fitted = [(Ridge(alpha * scale).fit(x[rest], y[rest]), out) for rest, out in left]
                    losses.append(sum(np.square(model.predict(x[out]) - y[out]).sum() for model, out in fitted))
                best = Ridge(alphas[np.argmin(losses)] * scale).fit(x[train], y[train])
                for unit, r in zip(people_of[one], pearson(best.predict(x[test]), y[test]), strict=True):
                    of_units[unit].append(r)
        np.testing.assert_allclose(ours.curve[row], [np.mean(scores) for scores in of_units], atol=2e-5)


def test_deals_change_little_of_a_ceiling():
    every, dealt = [], []
    for seed in range(3):
        responses, names = people(10, 3, n_stimuli=90, seed=seed)
        args = responses, names, shuffled(90, 3)
        every.append(extrapolated.extrapolated(*args, n_combinations=30, n_bootstraps=10).ceiling)
        dealt.append(extrapolated.extrapolated(*args, n_bootstraps=10, n_deals=3).ceiling)
    np.testing.assert_allclose(np.mean(dealt), np.mean(every), rtol=0.15)


def test_ceilings_are_cached_under_all_that_changes_them(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path))
    responses, names = people(n_stimuli=20)
    once = functools.partial(extrapolated.cached, responses, names.astype(object))
    splits = shuffled(20, 2)
    mild = predictivity.Penalties((1.0,), groups=np.arange(20) // 2)
    first = once(splits)
    for other in (
        once(contiguous(20, 2)),
        once(splits, predictivity.Penalties()),
        once(splits, mild),
        once(splits, replace(mild, alphas=(1e3,))),
        once(splits, replace(mild, groups=np.arange(20) // 5)),
        once(splits, n_deals=1),
        extrapolated.cached(responses + np.eye(20)[:, :12], names, splits),
    ):
        assert not np.array_equal(other.unit_ceiling, first.unit_ceiling)
    assert len(list((tmp_path / "ceilings").glob("*.safetensors"))) == 8

    fresh = extrapolated.extrapolated(responses, names, splits)
    monkeypatch.setattr(extrapolated, "_scores", None)
    for ours in (first, once(splits)):
        for name, value in fresh._asdict().items():
            np.testing.assert_array_equal(getattr(ours, name), value)
    assert isinstance(first.ceiling, float)


GOOD = people()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"participants": np.repeat("s0", 12)}, r"three participants or more, the recording has 1 \(s0\)"),
        ({"participants": np.repeat([0, 1], 6)}, r"three participants or more, the recording has 2 \(0, 1\)"),
        ({"participants": GOOD[1][:5]}, r"responses of shape \(40, 12\) do not fit participants of shape \(5,\)"),
        ({"responses": GOOD[0][0]}, r"responses of shape \(12,\) do not fit"),
        (
            {"responses": np.where(np.arange(480).reshape(40, 12) == 26, np.inf, GOOD[0])},
            "unit 2 of participant s0 is inf",
        ),
        ({"responses": np.where(np.arange(480).reshape(40, 12) == 26, np.nan, GOOD[0])}, "s0 is nan at stimulus 2"),
        ({"responses": np.full((40, 12), np.nan)}, r"the recording has 0 \(\)"),
        ({"splits": []}, "there are no splits"),
        (
            {"splits": [(np.arange(39), np.array([39]))]},
            "split 0 trains on 39 stimuli and tests on 1, 0 of them the same",
        ),
        ({"splits": [*shuffled(40), (np.arange(30), np.arange(25, 40))]}, "split 10 .* 5 of them the same"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        extrapolated.extrapolated(**{"responses": GOOD[0], "participants": GOOD[1], "splits": shuffled(40)} | changes)


# Readers and listeners


def test_split_half_is_a_plain_loop():
    rng = np.random.default_rng(0)
    times = 300 + 50 * rng.normal(size=(200, 1)) + 100 * rng.normal(size=(200, 11))
    times[rng.random(times.shape) < 0.4] = np.nan
    times[3, 1:] = np.nan  # a word that only one half has read
    corrected, state = [], np.random.RandomState(0)
    for _ in range(10):
        chosen = np.isin(np.arange(11), state.choice(11, 5, replace=False))
        halves = [
            [np.mean(word[~np.isnan(word)]) if np.isfinite(word).any() else np.nan for word in half]
            for half in (times[:, chosen], times[:, ~chosen])
        ]
        both = np.isfinite(halves).all(axis=0)
        r = scipy.stats.pearsonr(*np.array(halves)[:, both])[0]
        corrected.append(2 * r / (1 + r))
    assert reliability.split_half(times) == pytest.approx(np.median(corrected), rel=1e-12)


def test_split_half_estimates_the_reliability_of_the_mean():
    rng = np.random.default_rng(0)
    word, n_readers = rng.normal(size=(5000, 1)), 20
    ours = reliability.split_half(word + 4 * rng.normal(size=(5000, n_readers)))
    assert ours == pytest.approx(1 / (1 + 16 / n_readers), abs=0.02)


def test_split_half_of_bad_times():
    with pytest.raises(ValueError, match=r"shape \(5, 1\) cannot be halved"):
        reliability.split_half(np.ones((5, 1)))
    with pytest.raises(ValueError, match="reader 1 at word 0 is infinite"):
        reliability.split_half(np.array([[1.0, np.inf]]))
    assert np.isnan(reliability.split_half(np.full((5, 4), 7.25)))
    assert np.isnan(reliability.split_half(np.full((5, 4), np.nan)))


def leave_one_out(z):
    r = [np.corrcoef(one, np.delete(z, i, axis=0).mean(axis=0))[0, 1] for i, one in enumerate(z)]
    return np.mean(np.arctanh(r))


def test_intersubject_correlation_is_a_plain_loop():
    responses, names = people(6, 4, n_stimuli=200, reliability=0.7)
    responses *= np.repeat([1, 10, 100, 1, 1, 1], 4)  # scanners' units differ
    regions = np.tile(["front", "back", "back", "nowhere"], 6)
    responses[:, regions == "nowhere"] = np.nan
    table = reliability.intersubject_correlation(responses, names, regions).set_index("region")
    assert list(table.index) == ["back", "front"]
    for region in ("front", "back"):
        series = [responses[:, (regions == region) & (names == name)].mean(axis=1) for name in np.unique(names)]
        z = scipy.stats.zscore(series, axis=1)
        estimate = leave_one_out(z)
        without = np.array([leave_one_out(np.delete(z, i, axis=0)) for i in range(6)])
        error = np.sqrt(5 / 6 * np.square(without - without.mean()).sum()) * scipy.stats.t.ppf(0.975, 5)
        np.testing.assert_allclose(
            table.loc[region, ["value", "low", "high"]].astype(float),
            np.tanh([estimate, estimate - error, estimate + error]),
        )
        assert table.n_participants[region] == 6


def test_the_interval_of_intersubject_correlation_covers_the_truth():
    rng, covered = np.random.default_rng(0), []
    for shared in (0, 0.5):
        truth = 10 * shared**2 / np.sqrt((1 + shared**2) * (100 * shared**2 + 10))  # one and the sum of ten others
        for _ in range(150):
            series = shared * rng.normal(size=(150, 1)) + rng.normal(size=(150, 11))
            (row,) = reliability.intersubject_correlation(series, np.arange(11), np.zeros(11)).itertuples()
            covered.append(row.low < truth < row.high)
    assert 0.92 < np.mean(covered) < 1


def test_intersubject_correlation_of_bad_input():
    responses, names = people(4, 2)
    regions = np.tile(["a", "b"], 4)
    with pytest.raises(ValueError, match="region b has 2"):
        reliability.intersubject_correlation(responses[:, [0, 1, 2, 3, 4]], names[:5], np.array(list("ababa")))
    with pytest.raises(ValueError, match="participant s1 does not vary in region b"):
        reliability.intersubject_correlation(np.where(np.arange(8) == 3, 0.1, responses), names, regions)
    with pytest.raises(ValueError, match="do not fit participants"):
        reliability.intersubject_correlation(responses, names[:3], regions)


# Splits


def test_shuffled_splits_are_brainscores():
    splits = shuffled(627)
    assert [(len(train), len(test)) for train, test in splits] == [(564, 63)] * 10
    # ShuffleSplit(10, train_size=.9, random_state=1), as drawn by scikit-learn 1.9
    np.testing.assert_array_equal(shuffled(10)[0][1], [2])
    assert all(len(np.intersect1d(train, test)) == 0 for train, test in splits)


def test_grouped_splits_keep_groups_whole():
    groups = np.repeat([f"topic {i}" for i in range(24)], 16)
    splits = grouped(groups)
    assert len(splits) == 10
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(384))
    with pytest.raises(ValueError, match="10 folds need as many groups, got 8"):
        grouped(groups[: 8 * 16])


@given(st.integers(20, 400), st.integers(2, 10), st.integers(0, 5))
def test_contiguous_splits_keep_their_distance(n_stimuli, n_splits, gap):
    splits = contiguous(n_stimuli, n_splits, gap)
    np.testing.assert_array_equal(np.concatenate([test for _, test in splits]), np.arange(n_stimuli))
    for train, test in splits:
        np.testing.assert_array_equal(np.diff(test), 1)
        near = np.arange(test[0] - gap, test[-1] + gap + 1)
        np.testing.assert_array_equal(train, np.setdiff1d(np.arange(n_stimuli), near))


@pytest.mark.parametrize(("n_stimuli", "n_splits", "gap"), [(10, 11, 0), (10, 2, 5), (10, 1, 0)])
def test_contiguous_splits_of_too_little(n_stimuli, n_splits, gap):
    with pytest.raises(ValueError, match=f"{n_stimuli} stimuli are too few for {n_splits} folds with a gap of {gap}"):
        contiguous(n_stimuli, n_splits, gap)
