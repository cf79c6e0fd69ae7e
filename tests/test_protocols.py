"""Protocols: how a recording is split, what is left out of what, and how words become volumes."""

import itertools

import numpy as np
import pytest
from recordings import STORIES, listening, noise, reading
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from brainalign.alignment import protocols, volumes
from brainalign.alignment.ceilings import extrapolated
from brainalign.alignment.encoding import Penalties
from brainalign.human import timeseries

# Which protocol, which splits


def test_protocols_are_found_by_name():
    recording = reading(noise(48, 4), STORIES)
    for name in ("aw2024", "brainscore-ridge", "contiguous"):
        assert protocols.resolve(name, recording).name == name
    one, four = (listening(noise(80, 2), np.repeat(np.arange(runs), 80 // runs)) for runs in (1, 4))
    assert protocols.resolve("aw2024", one) is protocols.AW2024
    assert protocols.resolve("aw2024", four) is protocols.AW2024_RUNS
    assert protocols.AW2024_RUNS.name == "aw2024"
    assert protocols.resolve("contiguous", four) is protocols.CONTIGUOUS
    with pytest.raises(LookupError, match=r"protocol 'contigous'.*contiguous"):
        protocols.resolve("contigous", recording)


def test_shuffled_splits_follow_the_file():
    row = np.random.default_rng(0).permutation(48) + 100
    recording = reading(noise(48, 4), STORIES, row=row)
    in_file = np.argsort(row)
    theirs = ShuffleSplit(10, train_size=0.9, random_state=1).split(np.empty(48))
    for ours, (train, test) in zip(protocols.splits_of(protocols.AW2024, recording), theirs, strict=True):
        np.testing.assert_array_equal(row[ours[0]], row[in_file][train])
        np.testing.assert_array_equal(row[ours[1]], row[in_file][test])


def test_grouped_splits_keep_stories_whole():
    recording = reading(noise(48, 4), STORIES)
    theirs = list(GroupKFold(8, shuffle=True, random_state=1234).split(np.empty(48), groups=STORIES))
    for protocol in (protocols.BRAINSCORE_RIDGE, protocols.CONTIGUOUS):
        for ours, split in zip(protocols.splits_of(protocol, recording), theirs, strict=True):
            np.testing.assert_array_equal(np.sort(ours[1]), split[1])


def test_neighbors_are_stories_passages_or_tenths():
    two = np.repeat(["one", "two"], 24)
    passage = [f"{story} {number // 6}" for number, story in enumerate(two)]
    by_story, by_passage = reading(noise(48, 4), STORIES), reading(noise(48, 4), two, passage=passage)
    by_place = listening(noise(100, 2), np.ones(100))
    np.testing.assert_array_equal(protocols.groups_of(by_story), STORIES)
    np.testing.assert_array_equal(protocols.groups_of(by_passage), passage)
    np.testing.assert_array_equal(protocols.groups_of(by_place), np.repeat(np.arange(10), 10).astype(str))
    for recording, gap in ((by_story, 0), (by_passage, 0), (by_place, 5)):
        groups = protocols.groups_of(recording)
        for train, test in protocols.splits_of(protocols.CONTIGUOUS, recording):
            assert not set(groups[train]) & set(groups[test])
            assert np.abs(train[:, None] - test).min() > gap


def test_runs_are_folds_with_a_gap():
    recording = listening(noise(80, 2), np.repeat(np.arange(4), 20))
    for number, (train, test) in enumerate(protocols.splits_of(protocols.AW2024_RUNS, recording)):
        np.testing.assert_array_equal(test, np.arange(20 * number, 20 * number + 20))
        np.testing.assert_array_equal(train, np.setdiff1d(np.arange(80), np.arange(test[0] - 5, test[-1] + 6)))


@pytest.mark.parametrize(
    ("recording", "protocol", "message"),
    [
        (reading(noise(12, 2), ["one"] * 12), "brainscore-ridge", "mine: protocol brainscore-ridge: it keeps stories"),
        (
            reading(noise(2, 2), ["one"] * 2),
            "aw2024",
            "aw2024: split 0 trains on 1 stimuli and tests on 1",
        ),
        (reading(noise(9, 2), list("aaaabbbbc")), "contiguous", "split . trains on 8 stimuli and tests on 1"),
        (reading(noise(9, 2), ["one"] * 9), "contiguous", "9 stimuli are too few for 10 folds with a gap of 5"),
    ],
)
def test_what_cannot_be_split_says_so(recording, protocol, message):
    with pytest.raises(ValueError, match=message):
        protocols.splits_of(protocols.resolve(protocol, recording), recording)


# Penalties and ceilings


def test_penalties_leave_out_what_the_protocol_says():
    recording = reading(noise(48, 4), STORIES)
    assert protocols.penalties_of(protocols.AW2024, recording) is None
    of_brainscore = protocols.penalties_of(protocols.BRAINSCORE_RIDGE, recording)
    assert (of_brainscore.groups, of_brainscore.per, of_brainscore.relative) == (None, "all", False)
    ours = protocols.penalties_of(protocols.CONTIGUOUS, recording)
    np.testing.assert_array_equal(ours.groups, STORIES)
    np.testing.assert_array_equal(ours.labels, recording.units.participant)
    series = listening(noise(80, 2), np.repeat(np.arange(4), 20))
    train, _ = protocols.splits_of(protocols.AW2024_RUNS, series)[1]
    of_runs = protocols.penalties_of(protocols.AW2024_RUNS, series, train)
    for number, (_, left_out) in enumerate(KFold(10).split(train)):
        np.testing.assert_array_equal(of_runs.groups[train] == number, np.isin(np.arange(len(train)), left_out))
    np.testing.assert_allclose(of_runs.alphas, 10.0 ** np.arange(-6, 10))


def test_the_ceilings_splits_are_the_protocols():
    shared = noise(48, 2)
    values = np.hstack([shared + noise(48, 2, seed) for seed in (1, 2, 3)])
    recording = reading(values, STORIES, n_participants=3)
    args = recording.responses.to_numpy(), recording.units.participant.to_numpy()
    for protocol in (protocols.AW2024, protocols.CONTIGUOUS):
        ours = protocols.ceiling_of(protocol, recording)
        penalties = None
        if protocol is protocols.CONTIGUOUS:
            penalties = Penalties(protocols.CONTIGUOUS.alphas, True, STORIES)
        theirs = extrapolated.extrapolated(*args, protocols.splits_of(protocol, recording), penalties)
        np.testing.assert_array_equal(ours.unit_ceiling, theirs.unit_ceiling)


def test_a_ceiling_of_many_people_takes_some_of_their_combinations(monkeypatch):
    asked = []
    monkeypatch.setattr(extrapolated, "cached", lambda *arguments: asked.append(arguments[-1]))
    for n_participants in (9, 27):
        recording = reading(noise(48, 27), STORIES, n_participants=n_participants)
        protocols.ceiling_of(protocols.AW2024, recording)
    assert asked == [None, 3]


# Words and volumes


def test_parts_come_in_the_order_of_stimuli():
    recording = reading(noise(12, 2), np.tile(["a", "b"], 6)[np.argsort(np.tile(["a", "b"], 6))])
    features = noise(12, 3)
    np.testing.assert_array_equal(volumes.parts_to_stimuli(features, recording), features[recording.part_rows])
    with pytest.raises(ValueError, match=r"mine: features have shape \(11, 3\), its text 12 parts"):
        volumes.parts_to_stimuli(features[1:], recording)


def test_words_become_delayed_means_of_volumes():
    recording = listening(noise(30, 2), np.repeat([1, 2], 15))
    features = noise(len(recording.onsets), 3).astype(np.float32)
    ours = volumes.parts_to_stimuli(features, recording)
    assert ours.shape == (30, 12)
    assert ours.dtype == np.float32
    for row, time in enumerate(recording.stimuli.time):
        for lag in (1, 2, 3, 4):
            start = time - 2 * lag
            words = (recording.onsets >= start) & (recording.onsets < start + 2)
            expected = features[words].mean(axis=0) if words.any() else np.zeros(3)
            np.testing.assert_allclose(ours[row, 3 * (lag - 1) : 3 * lag], expected, atol=1e-6)


def test_components_are_fitted_on_training_words():
    recording = listening(noise(60, 2), np.repeat([1, 2, 3], 20), words_a_volume=4)
    features = noise(len(recording.onsets), 15)
    splits = protocols.splits_of(protocols.AW2024_RUNS, recording)
    ours = volumes.components(features, recording, splits)
    assert ours.shape == (3, 60, 40)
    volume = (recording.onsets // 2).astype(int)
    for x, (train, _) in zip(ours, splits, strict=True):
        reduced = PCA(10).fit(features[np.isin(volume, recording.volumes[train])]).transform(features)
        means = timeseries.words_to_volumes(recording.onsets, reduced, 2.0, recording.volumes.max() + 1)
        expected = timeseries.zscore(timeseries.delays(means, [1, 2, 3, 4])[recording.volumes], recording.stimuli.run)
        np.testing.assert_allclose(np.abs(x), np.abs(expected), atol=1e-6)  # the sign of a component is arbitrary
    with pytest.raises(ValueError, match="words of 9 features have no 10 components"):
        volumes.components(features[:, :9], recording, splits)


def test_cleaning_passes_nothing_from_a_test_set_to_its_training_set():
    values, runs = noise(200, 4), np.repeat([1, 2], 100)
    motion = np.random.default_rng(1).normal(size=(2, 200))
    clean = volumes.responses_of(listening(values, runs, motion=motion), "neighbors")
    recording = listening(values, runs)
    for train, test in protocols.splits_of(protocols.CONTIGUOUS, recording)[3:5]:
        other, moved = values.copy(), motion.copy()
        other[test] = 50 + 9 * noise(len(test), 4, seed=2)
        moved[:, test] = 0.5 + moved[:, test][:, ::-1]
        changed = volumes.responses_of(listening(other, runs, motion=moved), "neighbors")
        np.testing.assert_array_equal(changed[train], clean[train])
        assert np.abs(changed[test] - clean[test]).max() > 0.5


@pytest.mark.parametrize("splits", ["shuffled", "neighbors"])
def test_motion_and_drift_are_taken_out_and_the_text_stays(splits):
    motion = np.cumsum(np.random.default_rng(1).normal(size=(2, 200)), axis=1)
    text = np.random.default_rng(2).normal(size=200)
    slow = np.linspace(0, 9, 200)
    values = np.stack([text + 3 * motion[0] + slow, text - 2 * motion[1] - slow], axis=1)
    clean = volumes.responses_of(listening(values, np.ones(200), motion=motion), splits)
    for unit, who in itertools.product(range(2), range(2)):
        r = np.corrcoef(clean[:, unit], [text, motion[who]])[0, 1:]
        assert r[0] > 0.8
        assert who != unit or abs(r[1]) < 0.05
    for piece in (clean,) if splits == "shuffled" else np.split(clean, 10):
        np.testing.assert_allclose(piece.std(axis=0), 1, atol=1e-5)


def test_a_sliver_between_the_ends_of_a_run_and_a_tenth_counts_as_the_mean():
    values = noise(200, 2)
    recording = listening(values, np.repeat([1, 2], [101, 99]))  # the tenths end at 100
    clean = volumes.responses_of(recording, "neighbors")
    assert (clean[100] == 0).all()
    assert (clean[:100] != 0).all() and (clean[101:] != 0).all()


def test_runs_are_z_scored_alone_and_texts_left_as_they_are():
    values = noise(80, 2)
    recording = listening(values, np.repeat([1, 2, 3, 4], 20))
    np.testing.assert_allclose(
        volumes.responses_of(recording, "runs"),
        timeseries.zscore(recording.responses, recording.stimuli.run),
        atol=1e-6,
    )
    as_read = reading(noise(48, 4), STORIES)
    np.testing.assert_array_equal(volumes.responses_of(as_read, "neighbors"), as_read.responses)
    with pytest.raises(ValueError, match="series: 3 volumes in a row are too few to take 1 regressors"):
        volumes.responses_of(listening(noise(30, 2), np.ones(30), motion=noise(2, 30)), "neighbors")
