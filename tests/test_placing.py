"""Where a model stands: its values on the printed axes, its place among printed models, what it is held against."""

import numpy as np
import pandas as pd
import pytest

from brainalign import study as studies
from brainalign.paper.claims import printed
from brainalign.paper.figures import model_page
from brainalign.paper.sections import placing
from brainalign.study import LoadedModel, Study
from brainalign.study.description.members import CONTROL, SELF, TUNED, TWIN, VANILLA

pytestmark = pytest.mark.usefixtures("book_style")


@pytest.fixture
def study():
    models = [
        "stories260K",
        LoadedModel(load="stories260K", untrained=0),
        LoadedModel(load="stories260K", name="tuned", vanilla="stories260K"),
    ]
    return Study(
        name="own", title="own", evidence="people", recordings=["brennan2016"], models=models, controls=["oasm"]
    )


def brain(model: str, r: dict[str, float], **about) -> list[dict]:
    """Rows of one model on one data set: pooled, and by participant."""
    common = {
        "model": model, "analysis": "brain", "dataset": "pereira2018.384", "region": "all", "split": "all",
        "layer": "1", "chosen": True, "ceiling": 0.4, "r_normalized": 1.0, "mad": 0.01, "parameters": 1e6,
        "vanilla": None, "twin_of": None, "family": "other", "kind": "vanilla", "origin": "model",
    } | about  # fmt: skip
    return [
        common | {"protocol": protocol, "participant": who, "r": value + shift}
        for protocol, value in r.items()
        for who, shift in (("pooled", 0), ("a", -0.01), ("b", 0.01), ("c", 0.0))
    ]


def test_a_model_is_held_against_its_kin_and_controls(study):
    assert studies.related(study, "stories260K") == {
        "stories260K": SELF,
        "tuned": TUNED,
        "stories260K-untrained-0": TWIN,
        "oasm": CONTROL,
    }
    assert studies.related(study, "tuned") == {
        "tuned": SELF,
        "stories260K": VANILLA,
        "oasm": CONTROL,
    }


def test_a_model_that_is_in_no_study_joins_one(study):
    assert studies.with_model(study, "tuned") == (study, "tuned")
    joined, name = studies.with_model(study, "org/model")
    assert name == "model"
    assert [*studies.models(joined).index][:4] == ["stories260K", "stories260K-untrained-0", "tuned", "model"]


def test_values_say_what_they_were_measured_on_and_whether_the_paper_did():
    capability = {"model": "m", "analysis": "capability", "level": "overall", "parameters": 1e6}
    rows = [
        *brain("m", {"aw2024": 0.2, "contiguous": 0.1}),
        capability | {"measure": "MMLU", "protocol": "standard", "value": 0.3},
        capability | {"measure": "MMLU", "protocol": "instruct-eval", "value": 0.25},
        capability | {"measure": "BBH", "protocol": "standard", "value": 0.4},
        {
            "model": "m", "analysis": "behavior", "protocol": "aw2024", "story": "all", "dataset": "natural_stories",
            "value": -0.15, "parameters": 1e6,
        },
    ]  # fmt: skip
    values = placing.on_axes(pd.DataFrame(rows)).set_index("axis")
    assert values.value["log_size"] == pytest.approx(6)
    assert values.value["average"] == pytest.approx(0.2)
    assert values.of["average"] == "pereira2018.384" and not values.same["average"]
    assert values.value["mmlu"] == 0.25 and values.same["mmlu"]
    assert values.value["bbh"] == 0.4 and not values.same["bbh"]
    assert values.value["futrell2018"] == 0.15 and not values.same["futrell2018"]
    assert "wikitext2_nwp_loss" not in values.index


def test_places_among_printed_models_are_counts_of_those_below():
    tables = printed.load().models
    middle = tables.average.median()
    values = pd.DataFrame([{"model": "m", "axis": "average", "value": middle, "of": "x", "same": True}])
    placed = placing.beside_printed(values, tables).iloc[0]
    assert placed.above == f"{(tables.average < middle).sum()} of {tables.average.notna().sum()}"
    assert (placed.printed_low, placed.printed_high) == (tables.average.min(), tables.average.max())
    figure = model_page.strips(values, tables, {"m": SELF})
    drawn = sum(len(points.get_offsets()) for points in figure.axes[0].collections if len(points.get_offsets()))
    assert drawn == tables.average.notna().sum()


def test_differences_are_inside_participants():
    rows = pd.DataFrame(brain("m", {"aw2024": 0.2}) + brain("o", {"aw2024": 0.05}, kind="control", origin="control"))
    held = placing.held_against(rows, {"m": SELF, "o": CONTROL}, ["aw2024"])
    assert list(held.role) == [SELF, CONTROL]
    np.testing.assert_allclose(held.estimate, [0.2, 0.15])
    np.testing.assert_allclose(held.high[1] - held.low[1], 0, atol=1e-12)  # participants shift both alike
    assert list(held.verdict) == ["above zero", "above"]


def test_protocols_in_words_count_controls_and_twins_and_no_counterpart():
    def row(protocol, role, verdict):
        return {"protocol": protocol, "role": role, "verdict": verdict}

    rows = [
        row("aw2024", SELF, "above zero"),
        row("aw2024", CONTROL, "above"),
        row("aw2024", TWIN, "above"),
        row("aw2024", VANILLA, "below"),
        row("contiguous", SELF, "above zero"),
        row("contiguous", CONTROL, "above"),
        row("contiguous", TWIN, "not told apart"),
    ]
    words = placing.protocols_above(pd.DataFrame(rows))
    assert words == {"above-zero": "aw2024, contiguous", "above-controls": "aw2024"}
    alone = [row("aw2024", SELF, "not told from zero"), row("aw2024", VANILLA, "above")]
    assert placing.protocols_above(pd.DataFrame(alone)) == {"above-zero": "no protocol"}


def test_a_study_of_brains_alone_has_their_axes_alone():
    rows = pd.DataFrame(brain("m", {"aw2024": 0.2})).assign(parameters=1e6)
    assert set(placing.on_axes(rows).axis) >= {"log_size", "average"}
    assert not {"futrell2018", "mmlu", "bbh"} & set(placing.on_axes(rows).axis)
