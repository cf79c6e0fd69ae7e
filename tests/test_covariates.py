"""What correlates with alignment: a row a model, correlations as plain functions give them, figures that draw all."""

import numpy as np
import pandas as pd
import pytest
import scipy
from matplotlib.collections import PathCollection

from brainalign.paper.figures import correlates
from brainalign.paper.sections import covariates, factors
from brainalign.paper.sections.covariates import BY_BASE, GIVEN_SIZE, KNOWLEDGE, LOSS, PLAIN, REASONING, SIZE
from brainalign.statistics.correlations import partial_pearson, pearson

pytestmark = pytest.mark.usefixtures("book_style")

MEASURES = (KNOWLEDGE, REASONING, LOSS)
PROTOCOLS = ["contiguous", "aw2024"]


def rows_of(about: dict, rng, scored: dict[str, list]) -> list[dict]:
    """All that is measured of a model: over all of it, in one category of it, and of one task of that."""
    places = (("overall", "all"), ("category", "people"), ("task", "a subject"))
    return [
        about | {"measure": measure, "protocol": by, "level": level, "domain": domain, "value": rng.uniform()}
        for measure, protocols in scored.items()
        for by in protocols
        for level, domain in (places if measure != LOSS else places[:1])
    ]


def measured(scored: dict[str, list]) -> pd.DataFrame:
    """Five bases, a tuned model of each, and an untrained twin."""
    rng, rows = np.random.default_rng(0), []
    for i in range(5):
        about = {"family": "T5" if i < 3 else "LLaMA", "parameters": 1e4 * 2**i}
        rows += rows_of(about | {"model": f"b{i}", "kind": "vanilla"}, rng, scored)
        rows += rows_of(about | {"model": f"t{i}", "kind": "instruction-tuned", "vanilla": f"b{i}"}, rng, scored)
    rows += rows_of({"model": "b0-untrained-0", "kind": "untrained", "family": "T5", "parameters": 1e4}, rng, scored)
    return pd.DataFrame(rows).assign(n=40, low=0.1, high=0.9)


@pytest.fixture
def capability():
    one_way = measured({measure: [None] for measure in MEASURES})
    return covariates.scored(one_way.drop(columns="protocol"))  # as of a study, which has no column without a value


@pytest.fixture
def scores(capability):
    rng = np.random.default_rng(1)
    names = capability.model.unique()
    return pd.DataFrame([{"model": m, "protocol": p, "r": rng.normal()} for m in names for p in PROTOCOLS])


def test_properties_are_wholes_and_categories_in_the_order_of_their_roles(capability):
    known = covariates.properties(capability)
    assert [one.name for one in known] == [
        SIZE, KNOWLEDGE, f"{KNOWLEDGE}, people", REASONING, f"{REASONING}, people", LOSS,
    ]  # fmt: skip
    assert [one.overall for one in known] == [True, True, False, True, False, True]
    assert known[-1].label == "Next-word loss (bits per word)"
    assert known[1].label == "World knowledge (share right)"
    assert {role: one.name for role, one in covariates.quoted(known).items()} == {
        role: role for role in covariates.ROLES
    }


def test_a_benchmark_that_is_scored_in_two_ways_is_two_properties(scores):
    capability = measured({"MMLU": ["standard", "instruct-eval"], "BBH": ["standard"]})
    known = covariates.properties(capability)
    names = [one.name for one in known]
    assert names[1:4] == ["MMLU (standard)", "MMLU (instruct-eval)", "MMLU, people (standard)"]
    assert names[-2:] == ["BBH", "BBH, people"]
    assert covariates.quoted(known)[KNOWLEDGE].name == "MMLU (standard)"
    table = covariates.models(capability, scores)
    row = capability[
        (capability.model == "t3") & (capability.protocol == "instruct-eval") & (capability.level == "category")
    ]
    assert table.set_index("model").loc["t3", "MMLU, people (instruct-eval)"] == row.value.item()


def test_models_are_the_trained_ones_with_what_was_measured_of_all_domains(capability, scores):
    table = covariates.models(capability, scores)
    assert list(table.model) == [name for i in range(5) for name in (f"b{i}", f"t{i}")]
    assert list(table.base) == [f"b{i}" for i in range(5) for _ in range(2)]
    row = table[table.model == "t3"].iloc[0]
    assert row[SIZE] == pytest.approx(np.log10(8e4))
    of_model = capability[(capability.model == "t3") & (capability.domain == "all")].set_index("measure").value
    assert [row[m] for m in MEASURES] == [of_model[m] for m in MEASURES]
    assert row.aw2024 == scores.set_index(["model", "protocol"]).r["t3", "aw2024"]


def test_correlations_are_those_of_the_plain_functions_and_adjusted_by_method(capability, scores):
    table, known = covariates.models(capability, scores), covariates.properties(capability)
    found = covariates.correlations(table, known, PROTOCOLS, seed=0, resamples=200)
    whole = found[found.overall]
    assert whole.groupby("method").size().to_dict() == {PLAIN: 8, GIVEN_SIZE: 6, BY_BASE: 8}
    assert found[~found.overall].groupby("method").size().to_dict() == {PLAIN: 4, GIVEN_SIZE: 4}
    by = found.set_index(["protocol", "property", "method"]).sort_index()
    plain = pearson(table[KNOWLEDGE], table.aw2024)
    row = by.loc[("aw2024", KNOWLEDGE, PLAIN)]
    assert tuple(row[["estimate", "low", "high", "p", "n"]]) == (plain.r, plain.low, plain.high, plain.p, 10)
    given = partial_pearson(table[LOSS], table.contiguous, table[SIZE])
    assert by.loc[("contiguous", LOSS, GIVEN_SIZE)].estimate == given.r
    for _, of_method in found.groupby(["method", "overall"]):
        np.testing.assert_allclose(of_method.adjusted, scipy.stats.false_discovery_control(of_method.p))


def test_inside_families_are_the_plain_correlations_of_their_models(capability, scores):
    table, known = covariates.models(capability, scores), covariates.properties(capability)
    inside = covariates.by_family(table, known, PROTOCOLS)
    assert inside.groupby("family").n.unique().map(list).to_dict() == {"T5": [6], "LLaMA": [4]}
    some = table[table.family == "LLaMA"]
    row = inside[(inside.family == "LLaMA") & (inside.property == KNOWLEDGE) & (inside.protocol == "aw2024")]
    assert row.estimate.item() == pearson(some[KNOWLEDGE], some.aw2024).r


def test_a_property_that_was_not_measured_or_does_not_vary_is_left_out(capability, scores):
    without = capability[capability.measure != LOSS]
    without = without.assign(value=without.value.where(without.measure != REASONING, 0.25))
    known, table = covariates.properties(without), covariates.models(without, scores)
    assert LOSS not in table
    found = covariates.correlations(table, known, PROTOCOLS, seed=0, resamples=100)
    assert set(found.property) == {SIZE, KNOWLEDGE, f"{KNOWLEDGE}, people"}


def test_too_few_models_have_no_correlations(capability, scores):
    few = capability[capability.model.isin(["b0", "t0", "b1"])]
    table = covariates.models(few, scores)
    assert not covariates.enough(table)
    none = covariates.correlations(table, covariates.properties(few), PROTOCOLS, resamples=100)
    assert none.empty and "adjusted" in none and none.overall.dtype == bool


def test_models_of_one_base_are_too_few(capability, scores):
    table = covariates.models(capability, scores)
    assert covariates.enough(table)
    assert not covariates.enough(table.assign(base="b0"))


def test_figures_show_all_of_their_tables(capability, scores):
    table, known = covariates.models(capability, scores), covariates.properties(capability)
    found = covariates.correlations(table, known, PROTOCOLS, seed=0, resamples=100)
    found = found[found.overall]
    figure = correlates.forest(found, {"contiguous": "one", "aw2024": "other"}, factors.WORDS)
    assert [ax.get_title("left") for ax in figure.axes] == ["one", "other"]
    marks = [points for points in figure.axes[1].collections if isinstance(points, PathCollection)]
    drawn = np.concatenate([points.get_offsets()[:, 0] for points in marks])
    np.testing.assert_allclose(sorted(drawn), sorted(found.estimate[found.protocol == "aw2024"]))
    examined = capability[(capability.domain == "all") & (capability.measure != LOSS)].sort_values("measure")
    examined = examined.assign(name=examined.measure, chance=examined.measure.map({KNOWLEDGE: 0.25}))
    figure = correlates.shares(examined)
    assert [len(ax.get_yticklabels()) for ax in figure.axes] == [11, 11]
    dashed = [[line for line in ax.lines if line.get_linestyle() == "--"] for ax in figure.axes]
    assert [len(lines) for lines in dashed] == [0, 1]  # reasoning, then knowledge
