"""Simulations that validate the method: batches held against the pipeline, and known truths that must come out."""

import numpy as np
import pandas as pd
import pytest
import scipy

from brainalign.alignment.brain import brain_alignment
from brainalign.alignment.encoding.held_out import pearson
from brainalign.microworld import coverage, tuning_power, validation
from brainalign.microworld.validation import PROTOCOLS, by_participants, crowd, space
from brainalign.paper.figures.simulations import curves
from brainalign.paper.sections.validation_tuning import printed_pairs
from brainalign.statistics.correlations import summary


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """All tests of this file share a store, and leave others alone."""
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path_factory.getbasetemp() / "validation"))


@pytest.fixture(scope="module")
def people():
    return crowd(3, 0, n_participants=4, n_passages=24)


# Spaces


def test_a_space_holds_the_share_of_meaning_that_is_asked_for(people):
    rng = np.random.default_rng(0)
    meaning = people[0].meaning
    told = meaning @ rng.normal(size=(meaning.shape[1], 400))
    for overlap in (0.0, 0.5, 1.0):
        explained = []
        for seed in range(10):
            held = space(people[0], overlap, "unrelated", seed)[:, : round(overlap * meaning.shape[1])]
            fit = held @ np.linalg.lstsq(held, told, rcond=None)[0] if held.shape[1] else 0 * told
            explained.append(fit.var() / told.var())
        assert np.mean(explained) == pytest.approx(overlap, abs=0.05)


def test_only_neighborhood_makes_neighbors_alike(people):
    passage = people[0].stimuli.passage.to_numpy()
    near = passage[1:] == passage[:-1]
    alike = {
        filler: pearson(of[:-1][near].T, of[1:][near].T).mean()
        for filler in validation.FILLERS
        for of in [space(people[0], 0.0, filler, 0)]
    }
    assert alike["neighborhood"] > 0.5
    assert abs(alike["unrelated"]) < 0.1


@pytest.mark.parametrize(("overlap", "filler"), [(1.5, "unrelated"), (0.5, "smooth")])
def test_impossible_spaces_are_refused(people, overlap, filler):
    with pytest.raises(ValueError, match="Give a share"):
        space(people[0], overlap, filler, 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_batch_of_crowds_scores_as_each_crowd_does_alone(people, protocol):
    features = [space(people[0], overlap, "unrelated", 0) for overlap in (0.25, 1.0)]
    (*_, (n, scores)) = by_participants(features, people, protocol)
    assert n == 4
    for number, of in enumerate(people):
        table = brain_alignment(dict(zip("ab", features, strict=True)), of.recording(), protocol)
        alone = table.query("participant == 'pooled' and region == 'all' and split == 'all' and layer in ['a', 'b']")
        np.testing.assert_allclose(scores[:, number], alone.r, atol=1e-5)


@pytest.mark.parametrize(("protocol", "rule"), [("aw2024", "best on test"), ("contiguous", "nested")])
def test_layers_are_chosen_as_the_pipeline_chooses_them(people, protocol, rule):
    features = [space(people[0], overlap, "unrelated", seed) for seed, overlap in enumerate((0.6, 0.5, 0.5))]
    result = validation._scored(features, people, protocol)
    rows = pd.DataFrame(validation._choices(result, people, 3))
    of_split = np.median(validation._r(result, people).reshape(3, 10, len(people), -1), axis=3)
    for number, of in enumerate(people):
        table = brain_alignment({str(layer): x for layer, x in enumerate(features)}, of.recording(), protocol)
        whole = table.query("participant == 'pooled' and region == 'all' and split == 'all'")
        row = rows[(rows.rule == rule) & (rows.repetition == number)].iloc[0]
        layers = whole[whole.layer != "nested"]
        assert row.found == (layers.share.argmax() == 0)
        # The chosen score less what the choice scores in others; of one layer, that is a difference of means.
        if protocol == "aw2024":
            best = layers.r.argmax()
            others = of_split[best].mean(axis=0)[np.arange(len(people)) != number].mean()
            assert row.bias == pytest.approx(whole.r[whole.chosen].iloc[0] - others, abs=1e-5)


# What must come out


def test_more_people_recover_the_order_better_and_neighborhood_misleads_shuffled_splits():
    ranks = validation.ranks(validation.spaces(6, passages=(24,)))
    mean = ranks.groupby(["protocol", "filler", "n_participants"])["rank"].mean()
    assert mean["contiguous", "unrelated", 8] > 0.9
    for filler in ("unrelated", "neighborhood", "either"):
        assert mean["contiguous", filler, 8] > mean["contiguous", filler, 1]
    assert mean["aw2024", "either", 8] < mean["contiguous", "either", 8] - 0.05


def test_ranks_are_spearmans():
    scores = validation.spaces(6, passages=(24,))
    ranks = validation.ranks(scores).query("filler != 'either'")
    for row in ranks.iloc[::37].itertuples():
        mine = scores[
            (scores.protocol == row.protocol)
            & (scores.filler == row.filler)
            & (scores.n_participants == row.n_participants)
            & (scores.repetition == row.repetition)
        ]
        assert row.rank == pytest.approx(scipy.stats.spearmanr(mine.overlap, mine.r).statistic)


def test_null_people_score_zero_where_neighbors_are_kept_together_and_neighborhood_scores_under_shuffled_splits():
    table = summary(validation.neighborhood(12, n_passages=24), ["people", "protocol", "features"], "r", of="crowds")
    at = table.set_index(["people", "protocol", "features"])
    assert at.low["null", "aw2024", "oasm"] > 0
    for features in ("meaning", "oasm", "random"):
        assert at.low["null", "contiguous", features] <= 0 <= at.high["null", "contiguous", features]
    assert at.low["reading", "contiguous", "meaning"] > 0.08


def test_the_best_of_more_null_layers_is_more_inflated_and_a_nested_choice_is_not():
    table = validation.layers(12, sizes=(2, 8), n_passages=24)
    null = summary(table[table.kind == "null"], ["protocol", "rule", "n_layers"], "bias")
    at = null.set_index(["protocol", "rule", "n_layers"])
    assert at.low["aw2024", "best on test", 8] > 0
    assert at.estimate["aw2024", "best on test", 8] > at.estimate["aw2024", "best on test", 2]
    assert at.low["contiguous", "nested", 8] < 0.005


def test_the_disattenuated_ceiling_is_nearer_the_truth_than_the_extrapolated_one():
    table = coverage.ceilings(3, sizes=(coverage.SLOW,))
    bias = table[table.protocol == "contiguous"].groupby("estimator").bias.mean().abs()
    assert bias["disattenuated"] < 0.05 < bias["extrapolated"]
    assert table[(table.estimator == "disattenuated") & (table.protocol == "contiguous")].covered.all()


def test_tests_over_bases_keep_their_level_and_tests_over_pairs_do_not():
    rates = summary(tuning_power.false_positives(printed_pairs(), 80, alike=(0.9,)), ["unit", "test"], "rejected")
    at = rates.set_index(["unit", "test"])
    assert at.low["pair", "t-test"] > 0.05
    for test in ("t-test", "sign flip", "mixed model"):
        assert at.low["base", test] <= 0.05


def test_differences_of_one_base_correlate_as_asked_and_have_variance_one(monkeypatch):
    seen = []

    def noted(pairs, **options):
        seen.append(pairs)
        return pd.DataFrame({"test": ["none"], "unit": ["pair"], "p": [1.0]})

    monkeypatch.setattr(tuning_power, "paired_tests", noted)
    tuning_power.false_positives(printed_pairs(), 400, seed=7, alike=(0.5,))
    change = np.array([pairs.tuned - pairs.vanilla for pairs in seen])
    base = seen[0].base.to_numpy()
    correlation = np.corrcoef(change.T)
    same = (base[:, None] == base) & ~np.eye(len(base), dtype=bool)
    assert len(base) == 17
    assert len(set(base)) == 8
    assert change.var() == pytest.approx(1, abs=0.1)
    assert correlation[same].mean() == pytest.approx(0.5, abs=0.1)
    assert correlation[base[:, None] != base].mean() == pytest.approx(0, abs=0.05)


def test_power_grows_with_bases_and_shrinks_with_noise_and_spread():
    def found(*given):
        return tuning_power.power([3, 3, 1, 2, 2, 2, 2, 2], *given).groupby("unit").found.mean()["base"]

    assert found(1, 6, 0.5, 16) > found(1, 6, 0.5, 8) > found(1, 12, 0.5, 8) > found(12, 12, 0.5, 8)
    assert found(0.1, 0.1, 0.5, 8) == 1


# Summaries


def test_summaries_have_students_and_wilsons_intervals():
    table = pd.DataFrame({"kind": ["a"] * 8 + ["b"] * 4, "x": [*range(8), *range(4)], "yes": [True, False] * 6})
    means, shares = summary(table, ["kind"], "x"), summary(table, ["kind"], "yes")
    assert list(means.kind) == ["a", "b"]
    low, high = scipy.stats.t.interval(0.95, 7, 3.5, scipy.stats.sem(range(8)))
    assert (means.low[0], means.high[0]) == (pytest.approx(low), pytest.approx(high))
    assert (shares.low[0], shares.high[0]) == tuple(pytest.approx(x, abs=1e-4) for x in (0.2152, 0.7848))
    assert summary(table, ["kind"], "x", of="crowds").high[0] == pytest.approx(np.quantile(range(8), 0.975))


def test_what_is_kept_comes_back_as_it_was_and_is_computed_once():
    table = pd.DataFrame({"word": ["b", "a", "b"], "yes": [True, False, True], "n": [1, 2, 3], "x": [0.5, np.nan, 2]})
    calls = []

    def compute():
        calls.append(1)
        return table.copy()

    for _ in range(2):
        pd.testing.assert_frame_equal(validation.cached_table("test", compute, seed=0), table, check_dtype=False)
    assert len(calls) == 1


def test_the_same_seed_gives_the_same_crowds_and_another_gives_others():
    one, same, other = (crowd(2, seed, n_participants=1, n_passages=24) for seed in (0, 0, 1))
    values = [of[1].recording().responses.to_numpy() for of in (one, same, other)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.allclose(values[0], values[2])


def test_curves_draw_a_line_with_intervals_for_each():
    table = summary(
        validation.ranks(validation.spaces(6, passages=(24,))), ["protocol", "filler", "n_participants"], "rank"
    )
    figure = curves(table, "n_participants", "filler", "protocol", ("Participants", "Rank"), reference=1.0, log=True)
    assert len(figure.axes) == 2
    for ax in figure.axes:
        assert len(ax.containers) == table.filler.nunique()
