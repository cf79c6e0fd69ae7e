"""Models while they are tuned: curves, changes and their intervals against plain loops, and figures that draw all."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from brainalign.paper import tuning_figures
from brainalign.paper.tuning_figures import BRAIN, NULL_BRAIN, WITH, WITHOUT, over_seeds

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    measures = [(name, "contiguous") for name in ("one", "two", "one.null")] + [("reasoning", None)]
    return pd.DataFrame(
        [
            {"tuned": "m", "condition": condition, "tuning_seed": float(seed), "step": float(step), "measure": measure,
             "protocol": protocol, "value": rng.uniform()}
            for step in (20, 0, 5) for condition in tuning_figures.CONDITIONS for seed in range(3)
            for measure, protocol in measures
        ]
    )  # fmt: skip


def value(results, measure, step, seed, condition="instruction"):
    at = (results.measure == measure) & (results.step == step) & (results.tuning_seed == seed)
    return results.value[at & (results.condition == condition)].item()


def test_recordings_are_averaged_and_the_null_one_is_kept_apart(results):
    by = tuning_figures.curves(results).set_index(["condition", "measure", "protocol", "seed", "step"]).value
    mean = (value(results, "one", 5, 1) + value(results, "two", 5, 1)) / 2
    assert by[WITH, BRAIN, "contiguous", 1, 5] == pytest.approx(mean)
    assert by[WITHOUT, NULL_BRAIN, "contiguous", 2, 20] == value(results, "one.null", 20, 2, "no-instruction")
    assert by[WITH, "reasoning", "", 0, 0] == value(results, "reasoning", 0, 0)


def test_changes_are_from_the_first_step_to_the_last_whatever_the_order_of_rows(results):
    changes = tuning_figures.changes(tuning_figures.curves(results))
    by = changes.set_index(["condition", "measure", "seed"]).change
    expected = value(results, "reasoning", 20, 1, "no-instruction") - value(
        results, "reasoning", 0, 1, "no-instruction"
    )
    assert by[WITHOUT, "reasoning", 1] == pytest.approx(expected)
    assert len(changes) == 3 * 3 * 3


def test_the_difference_pairs_seeds(results):
    changes = tuning_figures.changes(tuning_figures.curves(results))
    of_measure = changes[changes.measure == "reasoning"]
    by = of_measure.set_index(["condition", "seed"]).change
    each = [by[WITH, seed] - by[WITHOUT, seed] for seed in range(3)]
    assert tuning_figures.difference(of_measure.sample(frac=1, random_state=0)) == over_seeds(each)
    each = [by[WITH, seed] - by[tuning_figures.CONTINUED, seed] for seed in range(3)]
    assert tuning_figures.difference(of_measure, tuning_figures.CONTINUED) == over_seeds(each)
    assert tuning_figures.difference(of_measure[of_measure.condition == WITH]) is None


def test_each_measure_has_its_unit():
    of = {"reasoning": "share of right answers", "reading times, corrected": "Pearson r with time", BRAIN: "Pearson r"}
    assert {measure: tuning_figures.unit(measure) for measure in of} == of
    assert tuning_figures.unit("loss on natural_stories") == "bits a word"


def test_the_interval_over_seeds_is_students():
    values = [0.1, 0.4, 0.2]
    test = stats.ttest_1samp(values, 0).confidence_interval()
    found = over_seeds(values)
    assert (found["low"], found["high"], found["n"]) == (pytest.approx(test.low), pytest.approx(test.high), 3)
    assert np.isnan(over_seeds([0.1])["low"])


@pytest.mark.parametrize("values", [[], [0.1, np.nan]])
def test_seeds_without_a_value_are_an_error(values):
    with pytest.raises(ValueError, match="seeds lack a value"):
        over_seeds(values)


def test_figures_show_every_seed_and_the_means(results):
    curves = tuning_figures.curves(results)
    figure = tuning_figures.draw_curves(curves, [(BRAIN, "contiguous", "brain"), ("reasoning", "", "questions")])
    assert [ax.get_title("left") for ax in figure.axes] == ["brain", "questions"]
    thick = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    mean = tuning_figures.means(curves[(curves.measure == "reasoning") & (curves.condition == WITH)])
    np.testing.assert_allclose(thick[0].get_ydata().astype(float), mean.estimate)
    thin = [line for line in figure.axes[1].lines if line.get_alpha() == 0.5]
    assert len(thin) == 9 and list(mean.step) == [0, 5, 20]
    changes = tuning_figures.changes(curves)
    figure = tuning_figures.draw_changes(changes.assign(label=changes.measure))
    assert [len(ax.get_yticklabels()) for ax in figure.axes] == [2, 1]
    assert "share of right answers" in figure.axes[1].get_xlabel()
