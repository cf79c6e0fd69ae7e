"""Models while they are tuned: curves, changes and their intervals against plain loops, and figures that draw all."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from brainalign import study as studies
from brainalign.paper.figures import tuning_course
from brainalign.paper.figures.tuning_course import BRAIN, NULL_BRAIN, WITH, WITHOUT, unit
from brainalign.paper.sections import instruction_tuning as section
from brainalign.paper.sections.estimates import over_seeds
from brainalign.paper.sections.instruction_tuning import Panel

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    measures = [(name, "contiguous") for name in ("one", "two", "one.null")] + [("reasoning", None)]
    return pd.DataFrame(
        [
            {"tuned": "m", "condition": condition, "tuning_seed": float(seed), "step": float(step), "measure": measure,
             "protocol": protocol, "value": rng.uniform()}
            for step in (20, 0, 5) for condition in section.CONDITIONS for seed in range(3)
            for measure, protocol in measures
        ]
    )  # fmt: skip


def value(results, measure, step, seed, condition="instruction"):
    at = (results.measure == measure) & (results.step == step) & (results.tuning_seed == seed)
    return results.value[at & (results.condition == condition)].item()


def test_recordings_are_averaged_and_the_null_one_is_kept_apart(results):
    by = section.curves(results).set_index(["condition", "measure", "protocol", "seed", "step"]).value
    mean = (value(results, "one", 5, 1) + value(results, "two", 5, 1)) / 2
    assert by[WITH, BRAIN, "contiguous", 1, 5] == pytest.approx(mean)
    assert by[WITHOUT, NULL_BRAIN, "contiguous", 2, 20] == value(results, "one.null", 20, 2, "no-instruction")
    assert by[WITH, "reasoning", "", 0, 0] == value(results, "reasoning", 0, 0)


def test_changes_are_from_the_first_step_to_the_last_whatever_the_order_of_rows(results):
    changes = section.changes(section.curves(results))
    by = changes.set_index(["condition", "measure", "seed"]).change
    expected = value(results, "reasoning", 20, 1, "no-instruction") - value(
        results, "reasoning", 0, 1, "no-instruction"
    )
    assert by[WITHOUT, "reasoning", 1] == pytest.approx(expected)
    assert len(changes) == 3 * 3 * 3


def test_the_difference_pairs_seeds(results):
    changes = section.changes(section.curves(results))
    of_measure = changes[changes.measure == "reasoning"]
    by = of_measure.set_index(["condition", "seed"]).change
    each = [by[WITH, seed] - by[WITHOUT, seed] for seed in range(3)]
    assert section.difference(of_measure.sample(frac=1, random_state=0)) == over_seeds(each)
    each = [by[WITH, seed] - by[section.CONTINUED, seed] for seed in range(3)]
    assert section.difference(of_measure, section.CONTINUED) == over_seeds(each)
    assert section.difference(of_measure[of_measure.condition == WITH]) is None


def test_each_measure_has_its_unit():
    of = {"reasoning": "share of right answers", "reading times, corrected": "Pearson r with time", BRAIN: "Pearson r"}
    assert {measure: unit(measure) for measure in of} == of
    assert unit("loss on natural_stories") == "bits a word"


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


def planted(**ends) -> pd.DataFrame:
    """Curves of three seeds from 0 to the ends of each condition, of one measure under one protocol."""
    rows = [
        {"condition": condition, "seed": seed, "step": step, "value": step / 20 * end}
        for condition, values in ends.items()
        for seed, end in enumerate(values)
        for step in (0, 20)
    ]
    table = pd.DataFrame(rows).assign(tuned="m", measure=BRAIN, protocol="contiguous")
    return table.assign(condition=table.condition.map(section.CONDITIONS | {"none": WITHOUT}))


def test_effects_have_their_verdicts():
    effects = section.effects(section.changes(planted(instruction=[2.0, 2.1, 1.9], none=[0.1, -0.1, 0.0])))
    assert dict(zip(effects.effect, effects.verdict, strict=True)) == {
        "with": "rises", "without": "does not reliably change", "difference": "exceeds",
    }  # fmt: skip
    assert effects.set_index("effect").estimate.to_dict() == pytest.approx({"with": 2, "without": 0, "difference": 2})
    title = "Brain alignment rises with the instruction and does not reliably change without it"
    assert section.title_of_changes(Panel(BRAIN, "contiguous"), effects) == title
    effects = section.effects(section.changes(planted(instruction=[-2.0, -2.1, -1.9], continued=[-2.0, -2.0, -2.0])))
    assert dict(zip(effects.effect, effects.verdict, strict=True)) == {
        "with": "falls", "continued": "falls", "over-continued": "does not reliably differ from",
    }  # fmt: skip


def test_a_condition_that_was_not_run_has_no_number():
    curves = planted(instruction=[2.0, 2.1, 1.9])
    keys = [live.key for live in section.numbers_of_effects(section.effects(section.changes(curves)))]
    assert keys == ["change.brain.contiguous.with", "change.brain.contiguous.with.verdict"]
    assert section.numbers_of_null(curves) == []
    assert section.null_panels(curves, ["contiguous"]) == {}


def test_the_null_recording_is_scored_at_the_last_checkpoint(results):
    (live,) = section.numbers_of_null(section.curves(results))
    assert live.key == "null.last.contiguous"
    assert live.value == pytest.approx(np.mean([value(results, "one.null", 20, seed) for seed in range(3)]))


def test_panels_are_those_that_were_measured_in_the_order_of_protocols(results):
    other = results[results.measure == "reasoning"].assign(measure="world knowledge")
    benchmark = other.assign(protocol="standard")  # by a protocol of its own
    curves = section.curves(pd.concat([results, other, benchmark]))
    panels = section.panels(curves, ["contiguous", "aw2024"])
    assert panels == {
        "figure-1d": [Panel(BRAIN, "contiguous")],
        "figure-1e": [Panel("world knowledge", ""), Panel("reasoning", "")],
    }
    null = section.null_panels(curves, ["contiguous", "aw2024"])
    assert null == {"tuning-null": [Panel(NULL_BRAIN, "contiguous")]}
    drawn = section.labelled(section.changes(curves), [Panel("reasoning", ""), Panel(BRAIN, "contiguous")])
    assert list(dict.fromkeys(drawn.label)) == ["Reasoning", "Brain alignment, contiguous"]


def test_keys_name_the_measure_and_its_protocol():
    keys = {
        Panel(BRAIN, "aw2024"): "change.brain.aw2024",
        Panel("loss on natural_stories", ""): "change.text-loss",
        Panel("reading times, original", ""): "change.reading-times-original",
    }
    assert {panel: panel.key for panel in keys} == keys


def test_a_model_or_protocol_that_the_study_lacks_is_named(results):
    study, curves = studies.load("microworld"), section.curves(results)
    assert set(section.select(curves, "", study).tuned) == {"m"}
    with pytest.raises(LookupError, match="model that study microworld tunes"):
        section.select(curves, "n", study)
    assert section.protocols(curves, "", study) == ["contiguous", "aw2024"]
    with pytest.raises(LookupError, match="protocol under which checkpoints are scored"):
        section.protocols(curves, "aw2024", study)


def test_figures_show_every_seed_and_the_means(results):
    curves = section.curves(results)
    figure = tuning_course.draw_curves(curves, [(BRAIN, "contiguous", "brain"), ("reasoning", "", "questions")])
    assert [ax.get_title("left") for ax in figure.axes] == ["brain", "questions"]
    thick = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    mean = section.means(curves[(curves.measure == "reasoning") & (curves.condition == WITH)])
    np.testing.assert_allclose(thick[0].get_ydata().astype(float), mean.estimate)
    thin = [line for line in figure.axes[1].lines if line.get_alpha() == 0.5 and len(line.get_xdata())]
    assert len(thin) == 9 and list(mean.step) == [0, 5, 20]
    changes = section.changes(curves)
    figure = tuning_course.draw_changes(changes.assign(label=changes.measure))
    assert [len(ax.get_yticklabels()) for ax in figure.axes] == [2, 1]
    assert "share of right answers" in figure.axes[1].get_xlabel()
