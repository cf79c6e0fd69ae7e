"""What correlates with alignment, in numbers, words and figures: planted correlations, and none at all."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import covariates
from brainalign.paper.sections import factors as section
from brainalign.paper.sections.covariates import GIVEN_SIZE, KNOWLEDGE, LOSS, PLAIN, REASONING, SIZE, Property

PROPERTIES = [
    Property(SIZE, "Parameters (log10)", SIZE, SIZE, None, "all"),
    Property("MMLU", "MMLU (share right)", KNOWLEDGE, "MMLU", None, "all"),
    Property("MMLU, STEM", "MMLU, STEM (share right)", KNOWLEDGE, "MMLU", None, "STEM"),
    Property(LOSS, "Next-word loss (bits per word)", LOSS, LOSS, None, "all"),
]
PROTOCOLS = ["contiguous", "aw2024"]


@pytest.fixture
def models():
    """Five bases, each with a tuned model: alignment follows size under aw2024, and nothing under contiguous."""
    rng, size = np.random.default_rng(0), np.repeat(np.arange(5.0), 2) + 6
    columns = {
        "family": ["T5"] * 6 + ["LLaMA"] * 4,
        "kind": ["vanilla", "instruction-tuned"] * 5,
        "base": np.repeat(["a", "b", "c", "d", "e"], 2),
        SIZE: size,
        "MMLU": np.repeat([1.0, 0.0, 2.0, 0.0, 1.0], 2),
        "MMLU, STEM": np.repeat([0.0, 2.0, 1.0, 2.0, 0.0], 2),
        LOSS: np.tile([1.0, 2.0], 5),
        "contiguous": np.tile([0.1, 0.2, 0.2, 0.1], 3)[:10],
        "aw2024": size / 100 + rng.normal(scale=1e-4, size=10),
    }
    table = pd.DataFrame(columns)
    tuned = table.kind == "instruction-tuned"
    return table.assign(model=table.base.where(~tuned, table.base + "-tuned"), vanilla=table.base.where(tuned))


@pytest.fixture
def correlations(models):
    return covariates.correlations(models, PROPERTIES, PROTOCOLS, seed=0, resamples=100)


def shown(numbers: list[Live]) -> dict:
    return {live.key: live.value for live in numbers}


def test_verdicts_are_those_of_adjusted_p(correlations):
    numbers = shown(section.numbers_of_correlations(correlations, PROPERTIES))
    assert numbers["r.size.aw2024.verdict"] == "correlates"
    assert numbers["r.size.contiguous.verdict"] == "does not reliably correlate"
    assert numbers["tests.n"] == 6  # three properties over all of a benchmark, two protocols
    assert numbers["r.size.aw2024"] == pytest.approx(1, abs=1e-3)
    assert "r.knowledge.aw2024.given-size" in numbers and "r.size.aw2024.given-size" not in numbers
    assert not [key for key in numbers if "reasoning" in key]


def test_titles_name_what_correlates(models, correlations):
    title = section.title_of_correlations(correlations, "aw2024")
    assert title == "Under aw2024, size reliably correlates with alignment; given size, none"
    scatters = section.scatters(models, correlations, PROPERTIES, PROTOCOLS)
    assert list(scatters) == ["study-figure-2", "study-figure-2-aw2024", "study-figure-7"]
    assert scatters["study-figure-2-aw2024"].title == "Under aw2024, size has the closest correlation, r = 1.00"
    assert scatters["study-figure-7"].title == "With the vanilla models, size correlates with alignment under aw2024"


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ([0.01, 0.5, 0.01], "size and next-word loss reliably correlate"),
        ([0.5, 0.01, 0.5], "MMLU reliably correlates"),
        ([0.01] * 3, "size, MMLU and next-word loss reliably correlate"),
        ([0.5] * 3, "no property reliably correlates"),
    ],
)
def test_several_properties_are_listed(p, words):
    rows = [
        {"property": name, "protocol": "aw2024", "overall": True, "method": method, "adjusted": value}
        for method in (PLAIN, GIVEN_SIZE)
        for name, value in zip((SIZE, "MMLU", LOSS), p, strict=True)
    ]
    assert section.title_of_correlations(pd.DataFrame(rows), "aw2024").startswith(f"Under aw2024, {words} with")


def test_a_scatter_shows_the_properties_that_pages_quote(models, correlations):
    scatter = section.scatters(models, correlations, PROPERTIES, PROTOCOLS)["study-figure-2"]
    columns = ["model", "family", "kind", "vanilla", SIZE, "MMLU", LOSS, "contiguous"]
    assert list(scatter.data) == columns
    assert [x for x, _, _ in scatter.panels] == [
        "Parameters (log10)",
        "MMLU (share right)",
        "Next-word loss (bits per word)",
    ]
    assert {x for x, _, _ in scatter.panels} | {section.BRAIN_AXIS} <= set(scatter.points)
    row = correlations.set_index(["protocol", "property", "method"]).loc["contiguous", "MMLU", PLAIN]
    assert f"{row.low:.2f}".replace("-", "−") in scatter.panels[1][2]


def test_figure_6_is_of_tuned_models_alone(models):
    scatter = section.scatter_of_tuned(models, PROPERTIES, "aw2024", resamples=100)["study-figure-6"]
    assert set(scatter.data.kind) == {"instruction-tuned"} and len(scatter.data) == 5
    assert shown(section.numbers_of_models(models)) == {"models.n": 10, "bases.n": 5, "tuned.n": 5}
    few = models[:6]
    assert section.scatter_of_tuned(few, PROPERTIES, "aw2024", resamples=100) == {}
    assert "tuned.n" not in shown(section.numbers_of_models(few))


def test_table_2_has_categories_size_and_families(models, correlations):
    table = section.table_of_correlations(models, correlations, PROPERTIES, PROTOCOLS)["study-table-2"]
    row = table[(table.protocol == "aw2024") & (table.property == "MMLU, STEM")].iloc[0]
    assert (row.measure, row.category, row.n) == ("MMLU", "STEM", 10)
    assert row["mean"] == models["MMLU, STEM"].mean()
    llama = models[models.family == "LLaMA"]
    assert row.LLaMA == pytest.approx(llama["MMLU, STEM"].corr(llama.aw2024))
    assert table.given_p[table.property == SIZE].eq("").all()
    columns = section.columns_of_correlations(table, models)
    assert columns["T5"] == ("r in T5", ".2f") and "scored" not in columns
    assert "scored" in section.columns_of_correlations(table.assign(scored="standard"), models)


def test_too_few_models_have_numbers_but_no_figures(models):
    few = models[:3]
    none = covariates.correlations(few, PROPERTIES, PROTOCOLS)
    assert shown(section.numbers_of_correlations(none, PROPERTIES)) == {"tests.n": 0}
    assert section.forest(none) == section.scatters(few, none, PROPERTIES, PROTOCOLS) == {}
    assert section.table_of_correlations(few, none, PROPERTIES, PROTOCOLS) == {}
    assert section.numbers_of_behavior(none, PROPERTIES) == []
    assert section.scatters_of_behavior(few, none, PROPERTIES) == {}


def test_behavior_is_the_magnitude_of_r_with_the_first_reading_times():
    capability = pd.DataFrame(
        [{"model": m, "family": "T5", "kind": "vanilla", "vanilla": None, "parameters": 1e6, "measure": LOSS,
          "protocol": None, "level": "overall", "domain": "all", "value": 1.0} for m in "ab"]
    )  # fmt: skip
    about = {"model": "a", "measure": "r", "story": "all", "alignment": "original", "dataset": "first", "value": -0.3}
    others = [{"alignment": "corrected"}, {"dataset": "second"}, {"story": "one"}, {"measure": "gain"}]
    results = pd.DataFrame([about, *(about | other | {"value": 0.9} for other in others)])
    readers = section.behavior(capability, results, ["first", "second"])
    assert readers.set_index("model")[section.BEHAVIOR].to_dict() == {"a": 0.3}
    assert section.behavior(capability, pd.DataFrame(columns=["model"]), []).empty


def test_figures_3_and_9_name_what_correlates_with_behavior(models):
    readers = models.assign(**{section.BEHAVIOR: models.aw2024})
    correlations = covariates.correlations(readers, PROPERTIES, [section.BEHAVIOR], resamples=100)
    scatters = section.scatters_of_behavior(readers, correlations, PROPERTIES)
    assert scatters["study-figure-3"].title == "Size reliably correlates with behavioral alignment"
    assert [x for x, _, _ in scatters["study-figure-3"].panels][:2] == ["MMLU (share right)", "Parameters (log10)"]
    assert len(scatters["study-figure-9"].panels) == 3
    assert scatters["study-figure-9"].panels[0][1] == section.BEHAVIOR_AXIS
    numbers = shown(section.numbers_of_behavior(correlations, PROPERTIES))
    assert numbers["behavior.size.verdict"] == "correlates" and f"behavior.{REASONING}" not in numbers
