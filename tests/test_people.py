"""The microworld's people: shares of variance, ceilings and reading times, held against what was asked for."""

import numpy as np
import pandas as pd
import pytest

from brainalign.alignment import controls
from brainalign.alignment.encoding import Penalties, predictivity
from brainalign.alignment.encoding.held_out import pearson
from brainalign.alignment.encoding.splits import grouped, shuffled
from brainalign.microworld import grammar, make
from brainalign.microworld.participants import FROM_TEXT, People, Shares
from brainalign.microworld.readers import Effects, reading_times

WORLD = make(0)
FEW = {"n_participants": 2, "n_units": 30}


@pytest.fixture(scope="module")
def people():
    return People(WORLD, **FEW)


def values(people):
    return people.recording().responses.to_numpy().astype(float)


def topics(people):
    return people.stimuli.story.to_numpy()


# Shares


def test_parts_of_the_signal_have_their_shares_and_are_uncorrelated(people):
    parts = {part: people.signal([part]) for part in ("meaning", "position", "length")}
    for part, of in parts.items():
        np.testing.assert_allclose(of.var(axis=0), getattr(people.shares, part), rtol=1e-6)
        for other, another in parts.items():
            if other != part:
                assert np.abs(pearson(of, another)).max() < 1e-6
    np.testing.assert_allclose(sum(parts.values()), people.signal())


def test_drift_and_noise_have_their_shares():
    shares = Shares(meaning=0.2, position=0.1, length=0.1, drift=0.25, noise=0.35)
    people = People(WORLD, 4, 100, shares)
    y = values(people)
    rest = y - people.signal()
    assert y.var(axis=0).mean() == pytest.approx(1, abs=0.03)
    # Of neighbors in a passage, drift correlates by exp(-1 / length), noise not at all.
    together = people.stimuli.passage == people.stimuli.passage.shift()
    covariance = (rest[1:] * rest[:-1])[together.to_numpy()[1:]].mean()
    assert covariance == pytest.approx(0.25 * np.exp(-1 / people.drift_length), abs=0.02)
    assert (rest**2).mean() == pytest.approx(0.6, abs=0.03)


def test_drift_goes_on_from_passage_to_passage_in_each_participants_own_order(people):
    whens = people._times[:2]
    assert not np.array_equal(*whens)
    for when in whens:
        assert sorted(when) == list(range(len(when)))
        steps = pd.Series(when).groupby(topics(people) + people.stimuli.passage).diff().dropna()
        assert (steps == 1).all()


def test_participants_have_part_of_their_weights_in_common():
    for common in (0.0, 0.5, 1.0):
        signal = People(WORLD, 2, 60, Shares(1, 0, 0, 0, 0), common=common).signal()
        assert pearson(signal[:, :60], signal[:, 60:]).mean() == pytest.approx(common, abs=0.1)


def test_people_without_meaning_have_what_place_and_length_tell(people):
    null = People(WORLD, **FEW, shares=Shares().without("meaning"))
    assert np.all(null.signal(["meaning"]) == 0)
    for part in ("position", "length"):
        np.testing.assert_array_equal(null.signal([part]), people.signal([part]))
    assert values(null).var(axis=0).mean() == pytest.approx(1, abs=0.05)


def test_the_latent_meaning_explains_nothing_of_null_people():
    null = People(WORLD, 2, 60, Shares().without(*FROM_TEXT))
    splits = grouped(topics(null), 8)
    (r,) = predictivity.scores_of_each(null.meaning, [values(null)], splits, Penalties())
    of_units = r.mean(axis=0)
    assert abs(of_units.mean()) < 3 * of_units.std() / np.sqrt(len(of_units)) + 0.01
    assert np.all(null.true_ceiling(splits) == 0)


@pytest.mark.parametrize("shares", [{"meaning": 0.5}, {"noise": -0.1, "meaning": 0.8}])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match=r"sum to 1.*Let noise"):
        Shares(**shares)


# Ceilings


def test_the_true_ceiling_is_what_the_signal_scores_on_many_people():
    people = People(WORLD, 12, 100)
    n = len(people.stimuli)
    for splits in (grouped(topics(people), 8), shuffled(n), [(np.arange(2), np.arange(2, n))]):
        y, signal = values(people), people.signal()
        scored = np.mean([pearson(signal[test], y[test]) for _, test in splits], axis=0)
        assert scored.mean() == pytest.approx(people.true_ceiling(splits).mean(), abs=0.01)


def test_the_true_ceiling_without_drift_is_the_root_of_the_share():
    people = People(WORLD, **FEW, shares=Shares().without("drift"))
    nearly_all = [(np.arange(2), np.arange(2, len(people.stimuli)))]
    np.testing.assert_allclose(people.true_ceiling(nearly_all), np.sqrt(0.4), atol=5e-3)


def test_truth_as_features_nearly_reaches_the_true_ceiling_and_never_passes_it():
    people = People(WORLD, 2, 60, Shares(0.6, 0.05, 0.05, 0.1, 0.2))
    splits = grouped(topics(people), 8)
    recording = people.recording()
    truth = np.hstack([people.meaning, controls.position(recording), controls.length(recording)[:, :1]])
    (r,) = predictivity.scores_of_each(truth, [values(people)], splits, Penalties())
    ceiling = people.true_ceiling(splits)
    assert 0.93 < r.mean() / ceiling.mean() <= 1


def test_neighborhood_scores_under_shuffled_splits_only(people):
    recording = people.recording()
    near = controls.oasm(recording)
    apart, mixed = grouped(topics(people), 8), shuffled(len(people.stimuli))
    score = {
        name: predictivity.scores_of_each(near, [values(people)], splits, Penalties())[0].mean()
        for name, splits in (("a", apart), ("m", mixed))
    }
    assert abs(score["a"]) < 0.02
    assert score["m"] > 0.2


# Recordings


def test_a_participant_is_the_same_however_many_there_are(people):
    np.testing.assert_allclose(values(People(WORLD, 1, 30)), values(people)[:, :30])


def test_a_recording_says_what_it_is(people):
    recording = people.recording()
    assert recording.evidence == "microworld"
    assert recording.participants == ["m1", "m2"]
    assert recording.stimuli.story.nunique() == 24
    assert recording.responses.sizes["stimulus"] == sum(len(p.parts) for p in recording.passages)


def test_the_same_seed_gives_the_same_people_and_another_gives_others(people):
    np.testing.assert_array_equal(values(People(WORLD, **FEW)), values(people))
    assert not np.allclose(values(People(WORLD, **FEW, seed=1)), values(people))


# Reading times


@pytest.fixture(scope="module")
def times():
    return reading_times(WORLD, n_readers=200, n_stories=2, n_sentences=30)


def test_mean_reading_times_recover_the_effects(times):
    words = times.table()
    bits = times.times.true_surprisal.to_numpy()
    np.testing.assert_allclose(bits[words.story == 1], grammar.surprisal(WORLD, grammar.stories(WORLD, 2, 30)[0]))
    before = np.where(words.position == 1, 0, np.roll(bits, 1))
    x = np.column_stack([np.ones(len(bits)), bits, before, words.length])
    effects = Effects()
    pace = (times.times / times.times.mean("reader")).mean("word").to_numpy()
    scale = (
        words.reading_time.mean() / (x @ [effects.base, effects.surprisal, effects.spillover, effects.length]).mean()
    )
    found = np.linalg.lstsq(x, words.reading_time / scale, rcond=None)[0]
    np.testing.assert_allclose(found, [effects.base, effects.surprisal, effects.spillover, effects.length], rtol=0.15)
    assert np.log(pace).std() == pytest.approx(effects.readers, rel=0.2)


def test_reading_times_are_positive_and_of_every_reader(times):
    assert times.times.dims == ("word", "reader")
    assert float(times.times.min()) > 0
    assert (times.table().n_readers == 200).all()


def test_null_readers_do_not_care_for_surprisal(times):
    null = reading_times(WORLD, n_readers=200, n_stories=2, n_sentences=30, effects=Effects(surprisal=0, spillover=0))
    words = null.table()
    bits = null.times.true_surprisal.to_numpy()
    rest = words.reading_time - np.poly1d(np.polyfit(words.length, words.reading_time, 1))(words.length)
    assert abs(np.corrcoef(rest, bits)[0, 1]) < 3 / np.sqrt(len(words))
    assert np.corrcoef(times.table().reading_time, bits)[0, 1] > 0.5


def test_frequent_words_count_more(times):
    words = times.table().set_index("text")
    assert words.log_frequency["the"].max() > words.log_frequency.drop("the").median()
    assert np.isfinite(words.log_frequency).all()
