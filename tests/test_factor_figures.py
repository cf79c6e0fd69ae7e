"""What goes with alignment: a row a model, correlations as the plain functions give them, and figures that draw all."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper import factor_figures
from brainalign.paper.factor_figures import BY_BASE, GIVEN_SIZE, KNOWLEDGE, LOSS, PLAIN, REASONING, SIZE
from brainalign.paper.statistics import fdr, partial_pearson, pearson

pytestmark = pytest.mark.usefixtures("book_style")

MEASURES = (KNOWLEDGE, REASONING, LOSS)
PROTOCOLS = ["contiguous", "aw2024"]


@pytest.fixture
def capability():
    """Five bases, a tuned model of each, and an untrained twin, with one domain beside all of them."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(5):
        for name, kind, vanilla in ((f"b{i}", "vanilla", None), (f"t{i}", "instruction-tuned", f"b{i}")):
            about = {"model": name, "kind": kind, "vanilla": vanilla, "family": "T5", "parameters": 1e4 * 2**i}
            rows += [
                about | {"measure": m, "domain": d, "value": rng.uniform()} for m in MEASURES for d in ("all", "x")
            ]
    twin = {"model": "b0-untrained-0", "kind": "untrained", "family": "T5", "parameters": 1e4, "domain": "all"}
    rows += [twin | {"measure": m, "value": 0.25} for m in MEASURES]
    return pd.DataFrame(rows).assign(n=40, low=0.1, high=0.9)


@pytest.fixture
def scores(capability):
    rng = np.random.default_rng(1)
    names = capability.model.unique()
    return pd.DataFrame([{"model": m, "protocol": p, "r": rng.normal()} for m in names for p in PROTOCOLS])


def test_models_are_the_trained_ones_with_what_was_measured_of_all_domains(capability, scores):
    table = factor_figures.models(capability, scores)
    assert list(table.model) == [name for i in range(5) for name in (f"b{i}", f"t{i}")]
    assert list(table.base) == [f"b{i}" for i in range(5) for _ in range(2)]
    row = table[table.model == "t3"].iloc[0]
    assert row[SIZE] == pytest.approx(np.log10(8e4))
    of_model = capability[(capability.model == "t3") & (capability.domain == "all")].set_index("measure").value
    assert [row[m] for m in MEASURES] == [of_model[m] for m in MEASURES]
    assert row.aw2024 == scores.set_index(["model", "protocol"]).r["t3", "aw2024"]


def test_correlations_are_those_of_the_plain_functions_and_adjusted_by_method(capability, scores):
    table = factor_figures.models(capability, scores)
    found = factor_figures.correlations(table, PROTOCOLS, seed=0, resamples=200)
    assert found.groupby("method").size().to_dict() == {PLAIN: 8, GIVEN_SIZE: 6, BY_BASE: 8}
    by = found.set_index(["protocol", "property", "method"]).sort_index()
    plain = pearson(table[KNOWLEDGE], table.aw2024)
    row = by.loc[("aw2024", KNOWLEDGE, PLAIN)]
    assert tuple(row[["estimate", "low", "high", "p", "n"]]) == (plain.r, plain.low, plain.high, plain.p, 10)
    given = partial_pearson(table[LOSS], table.contiguous, table[SIZE])
    assert by.loc[("contiguous", LOSS, GIVEN_SIZE)].estimate == given.r
    of_method = found[found.method == GIVEN_SIZE]
    np.testing.assert_allclose(of_method.adjusted, fdr(of_method.p))


def test_a_property_that_was_not_measured_is_left_out(capability, scores):
    table = factor_figures.models(capability[capability.measure != LOSS], scores)
    assert table[LOSS].isna().all()
    found = factor_figures.correlations(table, PROTOCOLS, seed=0, resamples=100)
    assert set(found.property) == {SIZE, KNOWLEDGE, REASONING}


def test_too_few_models_are_an_error(capability, scores):
    few = capability[capability.model.isin(["b0", "t0", "b1"])]
    with pytest.raises(ValueError, match="at least 4 are needed"):
        factor_figures.correlations(factor_figures.models(few, scores), PROTOCOLS, resamples=100)


def test_figures_show_all_of_their_tables(capability, scores):
    table = factor_figures.models(capability, scores)
    found = factor_figures.correlations(table, PROTOCOLS, seed=0, resamples=100)
    figure = factor_figures.forest(found, {"contiguous": "one", "aw2024": "other"})
    assert [ax.get_title("left") for ax in figure.axes] == ["one", "other"]
    drawn = [
        line.get_xdata()[0] for line in figure.axes[1].lines if line.get_marker() in "oDs" and len(line.get_xdata())
    ]
    np.testing.assert_allclose(sorted(drawn), sorted(found.estimate[found.protocol == "aw2024"]))
    examined = capability[(capability.domain == "all") & (capability.measure != LOSS)].sort_values("measure")
    figure = factor_figures.shares(examined, 0.25)
    assert [len(ax.get_yticklabels()) for ax in figure.axes] == [11, 11]
