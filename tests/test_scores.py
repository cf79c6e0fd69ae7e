"""Tables of brain scores: participants, intervals, differences and pairs, against plain formulas."""

import numpy as np
import pandas as pd
import pytest
import scipy
from recordings import STORIES, noise, reading

from brainalign import study as studies
from brainalign.alignment.brain import brain_alignment
from brainalign.paper.sections import estimates
from brainalign.paper.sections import scores as section
from brainalign.study.description.loading import informative

KINDS = {"base": "vanilla", "tuned": "instruction-tuned", "base-untrained-0": "untrained"}


def about(name):
    return {
        "model": name,
        "family": "T5",
        "kind": KINDS[name],
        "vanilla": "base" if name == "tuned" else None,
        "twin_of": "base" if name.startswith("base-") else None,
        "parameters": 1e6,
        "origin": "model",
    }


@pytest.fixture(scope="module")
def results():
    """Three models on two data sets, one of them of two experiments, under both protocols."""
    frames = []
    for number, dataset in enumerate(("blank2014", "pereira2018.243", "pereira2018.384")):
        values = noise(48, 12, seed=number)
        recording = reading(values, STORIES, n_participants=4)
        for place, name in enumerate(KINDS):
            hidden = noise(48, 5, seed=10 + place)
            layers = {"0": hidden, "1": hidden + (2 + place) * values[:, :5], "2": noise(48, 5, seed=20 + place)}
            for protocol in ("aw2024", "contiguous"):
                table = brain_alignment(layers, recording, protocol).assign(dataset=dataset)
                frames.append(table.assign(**about(name)))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def averaged(results):
    return section.over_data_sets(results)


def of_people(values, dataset="one"):
    index = pd.MultiIndex.from_product([[dataset], range(len(values))], names=["dataset", "participant"])
    return pd.Series(values, index, dtype=float)


# --- intervals --------------------------------------------------------------------------------------------


def test_an_interval_over_participants_is_students():
    values = np.array([0.1, 0.3, 0.2, 0.25])
    found = estimates.over_participants(of_people(values))
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert found == pytest.approx({"estimate": values.mean(), "low": low, "high": high, "n": 4})


def test_an_interval_over_two_data_sets_is_welchs():
    one, two = np.array([0.1, 0.3, 0.2, 0.25]), np.array([0.5, 0.9, 0.6])
    both = pd.concat([of_people(one), of_people(two, "two")])
    found = estimates.over_participants(both)
    # A mean of two means is half the difference of one and minus the other.
    welch = scipy.stats.ttest_ind(one, -two, equal_var=False).confidence_interval()
    assert found["estimate"] == pytest.approx((one.mean() + two.mean()) / 2)
    assert (found["low"], found["high"]) == pytest.approx((welch.low / 2, welch.high / 2))


def test_a_data_set_in_which_nothing_is_told_counts_only_by_itself():
    real, null = of_people([0.1, 0.2], "world"), of_people([9.0, 9.5], "world.null")
    assert estimates.over_participants(pd.concat([real, null])) == estimates.over_participants(real)
    assert estimates.over_participants(null)["estimate"] == 9.25


def test_the_mean_of_several_people_counts_only_by_itself():
    people, mean = of_people([0.1, 0.2]), of_people([0.9], "mean of five")
    assert estimates.over_participants(pd.concat([mean, people])) == estimates.over_participants(people)
    assert estimates.over_participants(mean)["estimate"] == 0.9


def test_a_number_without_an_interval_says_why():
    mean, people = (estimates.over_participants(of_people(values)) for values in ([0.4], [0.4, 0.5]))
    method = estimates.OVER_PARTICIPANTS
    assert estimates.live("key", mean, method=method).method == f"{method}; {estimates.SINGLE}"
    assert estimates.live("key", people, method=method).method == method
    assert estimates.live("key", mean, method="over seeds").method == "over seeds"


def test_a_single_participant_has_no_interval():
    found = estimates.over_participants(of_people([0.4]))
    assert found["estimate"] == 0.4
    assert np.isnan(found["low"]) and np.isnan(found["high"])


def test_equal_participants_have_an_interval_of_no_width():
    assert estimates.over_participants(of_people([0.5, 0.5])) == {"estimate": 0.5, "low": 0.5, "high": 0.5, "n": 2}


def test_no_participant_is_an_error():
    with pytest.raises(ValueError, match="no participant has a score"):
        estimates.over_participants(of_people([np.nan, np.nan]))


def test_differences_are_taken_inside_participants():
    table = pd.DataFrame({"a": of_people([1.0, 2.0]), "b": of_people([0.5, 1.4]), "c": of_people([0.7, 1.6])})
    found = estimates.difference(table, ["a"], ["b", "c"])
    assert found["estimate"] == pytest.approx(((1 - 0.6) + (2 - 1.5)) / 2)
    assert found["high"] - found["low"] < 2


@pytest.mark.parametrize(("low", "high", "word"), [(0.1, 0.2, "up"), (-0.2, -0.1, "down"), (-0.1, 0.1, "neither")])
def test_a_verdict_goes_by_the_interval(low, high, word):
    assert estimates.verdict({"low": low, "high": high}, "up", "down", "neither") == word


# --- scores -----------------------------------------------------------------------------------------------


def test_experiments_of_one_data_set_become_one(results, averaged):
    assert set(averaged.dataset) == {"blank2014", "pereira2018"}
    keys = {"model": "tuned", "protocol": "contiguous", "participant": "p1", "region": "all", "layer": "1"}

    def row(table, dataset):
        rows = table[(table[list(keys)] == pd.Series(keys)).all(axis=1) & (table.dataset == dataset)]
        (r,) = rows[rows.split == "all"].r
        return r

    expected = np.mean([row(results, name) for name in ("pereira2018.243", "pereira2018.384")])
    assert row(averaged, "pereira2018") == pytest.approx(expected)


def test_a_single_experiment_stays_what_it_is(results):
    alone = results[results.dataset != "pereira2018.243"]
    assert set(section.over_data_sets(alone).dataset) == {"blank2014", "pereira2018.384"}


def test_what_is_known_of_a_model_stays(averaged):
    assert set(averaged.model) == set(KINDS)
    assert averaged.groupby("model").kind.first().to_dict() == KINDS


def test_people_have_their_own_scores(averaged):
    table = section.people(averaged)
    assert list(table.columns) == sorted(KINDS)
    rows = averaged.query("model == 'tuned' and protocol == 'aw2024' and dataset == 'blank2014'")
    (expected,) = rows.query("participant == 'p2' and region == 'all' and chosen").r
    assert table.loc[("aw2024", "blank2014", "p2"), "tuned"] == expected


def test_people_at_the_best_layer_score_what_that_layer_does(averaged):
    table = section.people(averaged, "best")
    rows = averaged.query("model == 'base' and protocol == 'contiguous' and dataset == 'blank2014' and region == 'all'")
    pooled = rows[(rows.participant == "pooled") & (rows.layer != "nested")].set_index("layer").r
    (expected,) = rows[(rows.participant == "p0") & (rows.layer == pooled.idxmax())].r
    assert table.loc[("contiguous", "blank2014", "p0"), "base"] == expected


def test_people_at_static_embeddings_have_layer_zero(averaged):
    table = section.people(averaged, section.STATIC)
    rows = averaged.query("model == 'base' and protocol == 'contiguous' and dataset == 'blank2014' and layer == '0'")
    (expected,) = rows.query("participant == 'p3' and region == 'all'").r
    assert table.loc[("contiguous", "blank2014", "p3"), "base"] == expected


@pytest.mark.parametrize(("layer", "static"), [("0", True), ("encoder.0", True), ("decoder.0", False), ("10", False)])
def test_static_embeddings_are_those_of_the_encoder(layer, static):
    assert bool(pd.Series([layer]).str.fullmatch(section.STATIC).item()) is static


def test_several_layers_that_match_are_an_error(averaged):
    with pytest.raises(ValueError, match="base has several layers"):
        section.people(averaged, "[01]")


def test_scores_have_a_row_for_each_data_set_and_their_average(averaged):
    table = section.by_model(averaged)
    assert len(table) == 3 * 2 * 3
    rows = table[(table.model == "tuned") & (table.protocol == "contiguous")].set_index("dataset")
    both = rows.loc[["blank2014", "pereira2018"]]
    assert rows.r["average"] == pytest.approx(both.r.mean())
    assert rows.estimate["average"] == pytest.approx(both.estimate.mean())
    assert rows.n["average"] == both.n.sum() == 8
    own = averaged.query("model == 'tuned' and protocol == 'contiguous' and dataset == 'blank2014' and region == 'all'")
    people = own[own.chosen & (own.participant != "pooled")].r
    assert rows.estimate["blank2014"] == pytest.approx(people.mean())
    assert rows.mad["blank2014"] == pytest.approx((people - people.median()).abs().median())


def test_one_data_set_has_no_average(averaged):
    table = section.by_model(averaged[averaged.dataset == "blank2014"])
    assert set(table.dataset) == {"blank2014"}


def test_a_data_set_in_which_nothing_is_told_is_not_averaged(averaged):
    renamed = averaged.replace({"dataset": {"pereira2018": "blank2014.null"}})
    assert informative(renamed.dataset) == ["blank2014"]
    assert set(section.by_model(renamed).dataset) == {"blank2014", "blank2014.null"}


def test_the_mean_of_several_people_is_in_no_average(averaged):
    mean = averaged[averaged.participant.isin(["pooled", "p0"])].assign(dataset="mean of five")
    first = mean.drop_duplicates(["model", "protocol", "participant", "region", "layer", "split"])
    for results, headline in ((averaged, "average"), (averaged[averaged.dataset == "blank2014"], "blank2014")):
        table = section.by_model(pd.concat([first, results], ignore_index=True))
        alone = section.by_model(results)
        assert set(table.dataset) == {"mean of five", *alone.dataset}
        assert table[table.dataset == "mean of five"][["low", "high"]].isna().all(axis=None)
        assert set(section.headline(table).dataset) == {headline}
        columns = ["r", "ceiling", "estimate", "low", "high"]
        ours, theirs = (section.headline(rows)[columns].to_numpy(float) for rows in (table, alone))
        np.testing.assert_array_equal(ours, theirs)


def test_intervals_that_hold_together_are_bonferronis():
    index = pd.MultiIndex.from_product([["blank2014"], list("abcde")], names=["dataset", "participant"])
    values = pd.Series([0.1, 0.2, 0.15, 0.3, 0.22], index)
    one, many = estimates.over_participants(values), estimates.over_participants(values, 20)
    half = scipy.stats.t.ppf(1 - 0.05 / 40, 4) * values.std() / np.sqrt(5)
    assert many["estimate"] == one["estimate"] and many["high"] - many["estimate"] == pytest.approx(half)


def test_a_protocol_that_the_study_lacks_is_named():
    study = studies.load("microworld")
    assert section.chosen_protocols(study, "") == ["aw2024", "brainscore-ridge", "contiguous"]
    assert section.chosen_protocols(study, "contiguous") == ["contiguous"]
    with pytest.raises(LookupError, match="Did you mean contiguous"):
        section.chosen_protocols(study, "contigous")


# --- numbers ----------------------------------------------------------------------------------------------


def test_an_estimate_is_quoted_with_its_interval():
    live = estimates.live("key", {"estimate": 0.25, "low": 0.1, "high": 0.4, "n": 9})
    assert live.texts() == {"key": "0.25", "key.low": "0.10", "key.high": "0.40"} and live.n == 9


def test_a_single_participant_gives_an_estimate_without_an_interval():
    live = estimates.live("key", {"estimate": 0.25, "low": np.nan, "high": np.nan, "n": 1})
    assert live.texts() == {"key": "0.25"}


def test_rows_are_quoted_under_keys_and_methods_of_their_own():
    table = pd.DataFrame({"name": ["a b", "c"], "r": [0.1, 0.2], "low": [0.0, np.nan], "high": [0.3, np.nan]})
    numbers = estimates.lives(table, "score.{name}", ".1f", value="r", method="of {name}")
    assert [live.texts() for live in numbers] == [
        {"score.a-b": "0.1", "score.a-b.low": "0.0", "score.a-b.high": "0.3"},
        {"score.c": "0.2"},
    ]
    assert [(live.method, live.n) for live in numbers] == [("of a b", None), ("of c", None)]
