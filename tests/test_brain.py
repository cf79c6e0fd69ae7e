"""Brain alignment: against Brain-Score's answers, plain loops, and what must come out whatever the data."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recordings import STORIES, listening, noise, reading
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneGroupOut

from brainalign.alignment import controls, protocols, volumes
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.alignment.ceilings import extrapolated
from brainalign.alignment.encoding.held_out import pearson
from brainalign.alignment.summary import mean_over_experiments
from brainalign.human import blank2014, pereira2018, timeseries

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "reference"
REFERENCE = Path(os.environ.get("BRAINALIGN_REFERENCE") or BESIDE) / "brainscore"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no {REFERENCE}; set BRAINALIGN_REFERENCE")
EVERY = ("aw2024", "brainscore-ridge", "contiguous")
pytestmark = pytest.mark.filterwarnings("ignore:.*Extend the grid downwards")


def score(table, **more):
    """Give the one row of the model's score."""
    where = {"participant": "pooled", "region": "all", "split": "all", "chosen": True} | more
    (row,) = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])].itertuples()
    return row


def interval(table):
    """Give the score of the chosen layer, and twice the standard error over its splits."""
    splits = table[(table.split != "all") & table.chosen].r
    return score(table).r, 2 * splits.std(ddof=1) / np.sqrt(len(splits))


def drifting(n_stories=40, n_stimuli=8, n_units=30, seed=0):
    """Responses that differ between stories and hardly within, of two participants."""
    rng = np.random.default_rng(seed)
    story = np.repeat([f"t{number:02}" for number in range(n_stories)], n_stimuli)
    drift = np.repeat(rng.normal(size=(n_stories, n_units)), n_stimuli, axis=0)
    return story, drift + 0.5 * rng.normal(size=drift.shape)


# Against Brain-Score


@needs_reference
@pytest.mark.parametrize(("protocol", "key"), [("aw2024", "linear_shuffle"), ("brainscore-ridge", "ridge_group")])
@pytest.mark.parametrize("name", ["blank", "pereira_243sentences", "pereira_384sentences"])
def test_scores_are_brainscores(name, protocol, key):
    if name == "blank":
        recording = blank2014.load(REFERENCE / "assy_Blank2014_fROI.nc")
    else:
        experiment = name.removeprefix("pereira_").removesuffix("sentences")
        recording = pereira2018.load(experiment, path=REFERENCE / "assy_Pereira2018_language.nc")
    in_file = recording.stimuli.row.rank().astype(int).to_numpy() - 1
    with np.load(REFERENCE / "features.npz") as file:
        features = {kind: file[f"{name}_{kind}"][in_file] for kind in ("wide", "narrow")}
    table = brain_alignment(features, recording, protocol)
    answers = json.loads((REFERENCE / "expected.json").read_text())["expected"]
    for kind in features:
        theirs, ours = answers[f"{name}_{kind}"][key], table[table.layer == kind]
        np.testing.assert_allclose(ours[ours.split != "all"].r, theirs["per_split"], atol=1e-5)
        pooled = ours[(ours.split == "all") & (ours.participant == "pooled") & (ours.region == "all")]
        assert pooled.r.item() == pytest.approx(theirs["score"], abs=1e-5)
    assert score(table).layer == "wide"
    assert score(table).layer_choice == "best on test"


# Against plain loops


def test_aw2024_is_a_plain_loop():
    values = noise(48, 6)
    layers = {"weak": noise(48, 20, 1), "strong": np.hstack([values[:, :3], noise(48, 3, 2)]), "flat": np.ones((48, 2))}
    recording = reading(values, STORIES)
    with pytest.warns(UserWarning, match="the same for all stimuli"):
        table = brain_alignment(layers, recording, "aw2024")
    splits, y = protocols.splits_of(protocols.AW2024, recording), recording.responses.to_numpy()
    assert score(table).layer == "strong"
    assert not table[table.layer != "strong"].chosen.any()
    for name, x in layers.items():
        r = []
        for train, test in splits:
            r.append(pearson(LinearRegression().fit(x[train], y[train]).predict(x[test]), y[test]))
        r = np.array(r)
        owners, regions = recording.units.participant, recording.units.region
        for who in ("pooled", "p0", "p1"):
            for region in ("all", "front", "back"):
                mine = np.array(
                    [who in ("pooled", o) and region in ("all", g) for o, g in zip(owners, regions, strict=True)]
                )
                row = score(table, layer=name, participant=who, region=region, chosen=name == "strong")
                assert row.r == pytest.approx(np.median(r[:, mine], axis=1).mean(), abs=1e-5)
                assert row.n_units == mine.sum()
        people = [np.median(r[:, owners == who], axis=1).mean() for who in ("p0", "p1")]
        row = score(table, layer=name, chosen=name == "strong")
        assert row.mad == pytest.approx(np.median(np.abs(people - np.median(people))), abs=1e-5)
        assert np.isnan([row.r2, row.alpha, row.ceiling, row.r_normalized]).all()


def test_units_without_a_region_of_their_own_count_once():
    values = noise(48, 6)
    recording = reading(values, STORIES)
    nowhere = recording.responses.assign_coords(region=("unit", ["front", "all"] * 3))
    table = brain_alignment({"x": values}, replace(recording, responses=nowhere), "aw2024")
    assert not table.duplicated(["participant", "region", "layer", "split"]).any()
    assert set(table.region) == {"all", "front"}
    assert score(table).n_units == 6


def left_out(x, y, groups, alpha):
    """Squared error of ridge on groups left out one after the other."""
    return sum(
        np.square(Ridge(alpha).fit(x[fit], y[fit]).predict(x[out]) - y[out]).sum()
        for fit, out in LeaveOneGroupOut().split(x, groups=groups)
    )


def nested_loop(layers, recording):
    """Predictions of the contiguous protocol, and which layer and penalties each split chose."""
    y, owners = recording.responses.to_numpy().astype(float), recording.units.participant.to_numpy()
    predicted, chosen = [], []
    for train, test in protocols.splits_of(protocols.CONTIGUOUS, recording):
        fits = []
        for x in layers.values():
            mean_eigenvalue = np.square(x[train] - x[train].mean(axis=0)).sum() / len(train)
            of_layer = {}
            for who in np.unique(owners):
                own = np.ix_(train, owners == who)
                errors = [
                    left_out(x[train], y[own], recording.stimuli.story.to_numpy()[train], alpha * mean_eigenvalue)
                    for alpha in protocols.CONTIGUOUS.alphas
                ]
                alpha = protocols.CONTIGUOUS.alphas[np.argmin(errors)]
                fit = Ridge(alpha * mean_eigenvalue).fit(x[train], y[own])
                of_layer[who] = min(errors), alpha, fit.predict(x[test]).reshape(len(test), -1)
            fits.append(of_layer)
        errors = np.array([[of_layer[who][0] for who in of_layer] for of_layer in fits])
        best = (errors / errors.min(axis=0)).mean(axis=1).argmin()
        predicted.append(np.hstack([fits[best][who][2] for who in fits[best]]))
        chosen.append((best, [fits[best][who][1] for who in fits[best]]))
    return predicted, chosen


def test_contiguous_is_a_plain_loop():
    one, other = noise(40, 3, 1), noise(40, 30, 2)
    values = 0.2 * one @ noise(3, 6, 3) + 0.5 * other[:, :3] @ noise(3, 6, 4) + noise(40, 6, 5)
    values[:, 3:] *= 100  # participants whose scales differ count alike
    layers, recording = {"one": one, "other": other}, reading(values, np.repeat(list("abcde"), 8))
    table = brain_alignment(layers, recording, "contiguous")
    predicted, chosen = nested_loop(layers, recording)
    splits, y = protocols.splits_of(protocols.CONTIGUOUS, recording), recording.responses.to_numpy()
    r = np.stack([pearson(p, y[test]) for p, (_, test) in zip(predicted, splits, strict=True)])
    rows = table[table.split != "all"].set_index(["layer", "split"])
    np.testing.assert_allclose(rows.loc["nested"].r, np.median(r, axis=1), atol=1e-4)
    for number, (layer, alphas) in enumerate(chosen):
        assert rows.r["nested", str(number)] == rows.r[list(layers)[layer], str(number)]
        assert rows.alpha["nested", str(number)] == pytest.approx(np.median(np.repeat(alphas, 3)))
    assert len({layer for layer, _ in chosen}) == 2
    share = [score(table, layer=name, chosen=False).share for name in layers]
    np.testing.assert_allclose(share, np.bincount([layer for layer, _ in chosen]) / len(chosen))
    wrong = sum(np.square(p - y[test]).sum(axis=0) for p, (_, test) in zip(predicted, splits, strict=True))
    total = sum(np.square(y[test] - y[train].mean(axis=0)).sum(axis=0) for train, test in splits)
    assert score(table).r2 == pytest.approx(np.median(1 - wrong / total), abs=1e-5)
    assert (score(table).layer, score(table).share) == ("nested", 1)
    assert score(table).layer_choice == "nested leave-one-group-out"
    assert score(table).alpha_choice == "leave-one-group-out"
    for who, units in (("p0", slice(3)), ("p1", slice(3, 6))):
        assert score(table, participant=who).r == pytest.approx(np.median(r[:, units], axis=1).mean(), abs=1e-4)


def test_aw2024_of_runs_is_a_plain_loop():
    runs = np.repeat([1, 2, 3, 4], 30)
    recording = listening(noise(120, 4), runs, words_a_volume=3)
    words = noise(len(recording.onsets), 12, 1) * np.append(np.ones(4), np.full(8, 0.5))
    values = volumes.parts_to_stimuli(words, recording)[:, 12:] @ noise(36, 4, 2) + noise(120, 4)
    recording = listening(values, runs, words_a_volume=3)
    table = brain_alignment({"words": to_stimuli(words, recording, "aw2024")}, recording, "aw2024")
    volume, run = (recording.onsets // 2).astype(int), recording.stimuli.run.to_numpy()
    y, r = timeseries.zscore(recording.responses.to_numpy(), run), []
    for number, (train, test) in enumerate(protocols.splits_of(protocols.AW2024_RUNS, recording)):
        assert set(run[test]) == {number + 1}
        reduced = PCA(10).fit(words[np.isin(volume, recording.volumes[train])]).transform(words)
        means = timeseries.words_to_volumes(recording.onsets, reduced, 2.0, recording.volumes.max() + 1)
        x = timeseries.zscore(timeseries.delays(means, [1, 2, 3, 4])[recording.volumes], run)
        predicted, tenths = [], np.digitize(np.arange(len(train)), [len(train) * n // 10 for n in range(1, 10)])
        for unit in y.T:
            errors = [left_out(x[train], unit[train], tenths, a) for a in 10.0 ** np.arange(-6, 10)]
            alpha = 10.0 ** (np.argmin(errors) - 6)
            predicted.append(Ridge(alpha).fit(x[train], unit[train]).predict(x[test]))
        r.append(np.median(pearson(np.stack(predicted, axis=1), y[test])))
    np.testing.assert_allclose(table[table.split != "all"].r, r, atol=1e-3)
    assert score(table).r == pytest.approx(np.mean(r), abs=1e-3)
    assert score(table).alpha_choice == "leave-one-tenth-out"


# What must come out


def test_every_field_of_a_protocol_changes_the_table():
    other = {
        "name": "other",
        "regression": "least squares",
        "splits": "neighbors",
        "layer": protocols.NESTED_CHOICE,
        "alphas": (10.0,),
        "relative": True,
        "per": "all",
        "left_out": "stimulus",
        "series": "delays",
    }
    assert list(other) == [field.name for field in fields(protocols.Protocol)]
    recording = listening(noise(120, 4), np.repeat([1, 2, 3, 4], 30), words_a_volume=3)
    words = {name: noise(len(recording.onsets), 12, seed) for seed, name in enumerate(("one", "two"), 1)}

    def table(protocol):
        layers = {name: to_stimuli(x, recording, protocol) for name, x in words.items()}
        return brain_alignment(layers, recording, protocol)

    usual = table(protocols.AW2024_RUNS)
    for name, value in other.items():
        changed = table(replace(protocols.AW2024_RUNS, **{name: value}))
        # Beyond the words for how layer and penalty were chosen.
        assert not changed.iloc[:, :-2].equals(usual.iloc[:, :-2]), name


@pytest.mark.parametrize("protocol", EVERY)
def test_a_recording_predicts_itself(protocol):
    recording = reading(noise(48, 6), STORIES)
    own = recording.responses.to_numpy()
    assert score(brain_alignment({"own": own}, recording, protocol)).r == pytest.approx(1, abs=1e-4)
    order = np.random.default_rng(0).permutation(48)
    r, error = interval(brain_alignment({"permuted": own[order]}, recording, protocol))
    assert abs(r) < 2 * error
    assert r < 0.3


@pytest.mark.parametrize(("protocol", "n_runs"), [("aw2024", 1), ("aw2024", 4), ("contiguous", 1), ("contiguous", 4)])
def test_a_time_series_predicts_itself(protocol, n_runs):
    recording = listening(noise(200, 4), np.repeat(np.arange(n_runs), 200 // n_runs))
    own = volumes.responses_of(recording, protocols.resolve(protocol, recording).splits)
    table = brain_alignment({"own": own}, recording, protocol)
    assert score(table).r == pytest.approx(1, abs=1e-4)


def test_slow_drift_scores_under_shuffled_splits_only():
    story, values = drifting()
    _, other = drifting(n_units=60, seed=1)
    recording, features = reading(values, story), {"unrelated drift": other}
    assert score(brain_alignment(features, recording, "aw2024")).r > 0.5
    r, error = interval(brain_alignment(features, recording, "contiguous"))
    assert abs(r) < error + 0.02


def test_slow_drift_of_a_time_series_scores_under_shuffled_splits_only():
    rng = np.random.default_rng(0)
    smooth = np.exp(-0.5 * (np.arange(-15, 16) / 4) ** 2)

    def drift(n_columns):
        return np.stack([np.convolve(rng.normal(size=430), smooth, "valid") for _ in range(n_columns)], axis=1)

    recording, features = listening(drift(20), np.ones(400)), {"unrelated drift": drift(80)}
    assert score(brain_alignment(features, recording, "aw2024")).r > 0.3
    r, error = interval(brain_alignment(features, recording, "contiguous"))
    assert abs(r) < error + 0.03


def test_oasm_scores_under_shuffled_splits_only():
    story, values = drifting()
    recording = reading(values, story)
    features = {"oasm": controls.oasm(recording)}
    assert score(brain_alignment(features, recording, "aw2024")).r > 0.5
    assert score(brain_alignment(features, recording, "contiguous")).r == pytest.approx(0, abs=1e-6)
    series = listening(np.cumsum(noise(200, 6), axis=0), np.ones(200))
    features = {"oasm": controls.oasm(series)}
    assert score(brain_alignment(features, series, "aw2024")).r > 0.3
    assert score(brain_alignment(features, series, "contiguous")).r == pytest.approx(0, abs=1e-6)


def test_nothing_of_a_test_set_decides():
    values, planted = 0.5 * noise(48, 6), noise(48, 4, 1)
    layers = {"useful": values[:, :4] + 0.3 * noise(48, 4, 2), "planted": planted}
    plain = brain_alignment(layers, reading(values, STORIES), "contiguous")
    for number, (_, test) in enumerate(protocols.splits_of(protocols.CONTIGUOUS, reading(values, STORIES))):
        changed = values.copy()
        changed[test] = 5 * planted[test][:, [0, 1, 2, 3, 0, 1]]
        table = brain_alignment(layers, reading(changed, STORIES), "contiguous")
        before, after = (t[t.split == str(number)].set_index("layer") for t in (plain, table))
        pd.testing.assert_series_equal(before.alpha, after.alpha)
        chosen = {name for name in layers if after.r["nested"] == after.r[name]}
        assert chosen == {name for name in layers if before.r["nested"] == before.r[name]} == {"useful"}
        assert (before.r["useful"], before.r["planted"]) != (after.r["useful"], after.r["planted"])


# The table


def test_scores_are_divided_by_the_ceiling_and_not_clipped():
    shared = noise(48, 3)
    values = np.hstack([shared + 2 * noise(48, 3, seed) for seed in (1, 2, 3)])
    recording = reading(values, STORIES, n_participants=3)
    limit = protocols.ceiling_of(protocols.CONTIGUOUS, recording)
    table = brain_alignment({"own": recording.responses.to_numpy()}, recording, "contiguous", limit)
    assert score(table).ceiling == pytest.approx(limit.ceiling)
    assert score(table).r_normalized == score(table).r / limit.ceiling > 1
    front = (recording.units.region == "front") & (recording.units.participant == "p1")
    mine = score(table, participant="p1", region="front")
    assert mine.ceiling == pytest.approx(np.median(limit.unit_ceiling[front]))
    assert isinstance(limit, extrapolated.Extrapolation)


@pytest.mark.parametrize("protocol", EVERY)
def test_the_table_has_a_row_for_everything_and_one_score(protocol):
    recording = reading(noise(48, 6), STORIES)
    table = brain_alignment({"0": noise(48, 3, 1), "1": noise(48, 80, 2)}, recording, protocol)
    n_layers = 3 if protocol == "contiguous" else 2
    n_splits = len(protocols.splits_of(protocols.resolve(protocol, recording), recording))
    keys = ["participant", "region", "layer", "split"]
    assert len(table) == n_layers * (3 * 3 + n_splits)
    assert not table.duplicated(keys).any()
    assert (table.groupby(["participant", "region", "split"]).chosen.sum() == 1).all()
    assert (table.dataset == "mine").all()
    assert (table.protocol == protocol).all()


def test_pereira_is_the_mean_of_its_experiments():
    recordings = [reading(noise(48, 6, seed), STORIES, n_participants=people) for seed, people in ((0, 2), (1, 3))]
    layers = [
        {"a": r.responses.to_numpy() + s * noise(48, 6, 2), "b": noise(48, 4, 3)}
        for r, s in zip(recordings, (1, 2), strict=True)
    ]
    for protocol in ("aw2024", "contiguous"):
        tables = [brain_alignment(x, recording, protocol) for x, recording in zip(layers, recordings, strict=True)]
        mean = mean_over_experiments(tables, "pereira2018")
        assert score(mean).layer == ("a" if protocol == "aw2024" else "nested")
        assert score(mean).r == pytest.approx(np.mean([score(table).r for table in tables]))
        assert score(mean).n_units == 12
        assert score(mean, participant="p2").r == score(tables[1], participant="p2").r
        people = [score(mean, participant=who).r for who in ("p0", "p1", "p2")]
        assert score(mean).mad == pytest.approx(np.median(np.abs(people - np.median(people))))
        assert list(mean.columns) == list(tables[0].columns)
        assert (mean.groupby(["participant", "region"]).chosen.sum() == 1).all()
    with pytest.raises(ValueError, match="tables are of the protocols aw2024, contiguous"):
        mean_over_experiments(
            [brain_alignment(layers[0], recordings[0], name) for name in ("aw2024", "contiguous")], "p"
        )


# Bad input

GOOD = reading(noise(48, 4), STORIES)
HOLE = noise(48, 4)
HOLE[7, 2] = np.nan


@pytest.mark.parametrize(
    ("features", "recording", "message"),
    [
        ({"3": np.ones((47, 2))}, GOOD, r"mine: features of layer 3 have shape \(47, 2\), responses \(48, 4\)"),
        ({"3": np.ones(48)}, GOOD, r"layer 3 have shape \(48,\)"),
        ({"3": np.ones((10, 48, 2))}, GOOD, r"layer 3 have shape \(10, 48, 2\)"),
        ({"ok": noise(48, 3), "3": HOLE}, GOOD, "mine: feature 2 of layer 3 is nan at stimulus 7"),
        ({"nested": noise(48, 2)}, GOOD, "mine: give one layer of features or more, none called 'nested'"),
        ({}, GOOD, "mine: give one layer of features or more"),
        ({"3": noise(48, 2)}, reading(HOLE, STORIES), "mine: unit 2 of participant p1 is nan at stimulus 7"),
    ],
)
def test_bad_input_is_named(features, recording, message):
    with pytest.raises(ValueError, match=message):
        brain_alignment(features, recording, "contiguous")
