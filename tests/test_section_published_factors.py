"""Correlations of printed scores: as closed formulas give them, and in words that follow what is planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.claims import printed
from brainalign.paper.sections import published_factors as section

FEW = {"seed": 0, "resamples": 200}


def planted(**columns):
    """Printed tables with columns of the models computed anew from size and independent noise."""
    tables = printed.load()
    models, rng = tables.models, np.random.default_rng(0)
    noise = {name: rng.normal(scale=0.2, size=len(models)) for name in ("a", "b", "c")}
    return replace(tables, models=models.assign(**{name: make(models, noise) for name, make in columns.items()}))


def by_size():
    """Scores that follow size, which MMLU follows with a noise of its own."""
    return planted(average=lambda m, noise: m.log_size + noise["a"], mmlu=lambda m, noise: m.log_size + noise["b"])


def by_knowledge():
    """Scores that follow MMLU, which has nothing to do with size."""
    return planted(
        mmlu=lambda m, noise: noise["b"],
        average=lambda m, noise: noise["b"] + 0.1 * noise["a"],
        wikitext2_nwp_loss=lambda m, noise: 0.5 * noise["c"] - noise["b"],
    )


def test_correlations_are_those_of_closed_formulas():
    tables = by_size()
    tuned, rows = tables.group("tuned"), section.correlations(tables, **FEW).set_index("label")
    r = tuned[["mmlu", "average", "log_size"]].corr()
    x, y, xy = r.mmlu.log_size, r.average.log_size, r.mmlu.average
    assert [rows.estimate["MMLU"], rows.estimate["MMLU, by base"]] == pytest.approx([xy, xy])
    assert rows.estimate["MMLU, given size"] == pytest.approx((xy - x * y) / np.sqrt((1 - x**2) * (1 - y**2)))
    assert rows.estimate["size, given MMLU"] == pytest.approx((y - x * xy) / np.sqrt((1 - x**2) * (1 - xy**2)))
    assert rows.estimate["size, ranks"] == pytest.approx(tuned.log_size.corr(tuned.average, method="spearman"))
    assert "size, given size" not in rows.index
    assert (rows.low <= rows.estimate).all() and (rows.estimate <= rows.high).all() and set(rows.n) == {17}


def test_numbers_of_correlations_are_named_by_their_labels():
    rows = section.correlations(by_size(), **FEW)
    numbers = {live.key: live for live in section.finding_of_correlations(rows).numbers}
    given = rows.set_index("label").loc["MMLU, given size"]
    live = numbers["r.mmlu.given-size"]
    assert (live.value, live.low, live.high, live.n) == (given.estimate, given.low, given.high, 17)
    assert {"r.wikitext-2-loss.by-base", "r.size.given-mmlu.p", "r.bbh.ranks"} <= set(numbers)


@pytest.mark.parametrize(
    ("make", "verdicts", "title", "closest"),
    [
        (by_size, ("does not remain", "remains"), "MMLU correlates with brain alignment, but hardly once size is held "
         "constant", "Size"),
        (by_knowledge, ("remains", "does not remain"), "MMLU correlates with brain alignment even with size held "
         "constant", "MMLU"),
    ],
)  # fmt: skip
def test_words_follow_what_survives(make, verdicts, title, closest):
    rows = section.correlations(make(), **FEW)
    values = {live.key: live.value for live in section.finding_of_correlations(rows).numbers}
    assert (values["mmlu.given-size.verdict"], values["size.given-mmlu.verdict"]) == verdicts
    assert section.finding_of_correlations(rows).title == title
    assert section.title_of_panels(rows) == f"{closest} correlates with brain alignment most closely"


def test_the_sign_of_the_printed_losses_is_told():
    assert "positively, not" not in section.title_of_losses(section.correlations(by_knowledge(), **FEW))
    positive = section.title_of_losses(section.correlations(printed.load(), **FEW))
    assert positive == "The printed losses correlate positively with brain alignment, not negatively as the paper says"


def test_panels_are_the_properties_with_their_correlations():
    panels = section.panels(section.correlations(by_size(), **FEW))
    assert [name for name, *_ in panels] == list(section.PROPERTIES)
    assert panels[2][2].startswith("size: r = 0.9")


def test_size_with_the_vanilla_models():
    finding = section.finding_with_vanilla(by_size())
    assert finding.numbers[0].n == 25
    assert finding.title == "With the vanilla models, too, size correlates with brain alignment"
    assert "no longer" in section.finding_with_vanilla(planted(average=lambda m, noise: noise["a"])).title


def test_families_apart_and_with_gpt2():
    def average(models, noise):
        return np.where(models.family == "LLaMA", noise["a"], models.log_size)

    families = section.families(planted(average=average))
    numbers = {live.key: live for live in section.finding_of_families(families).numbers}
    assert numbers["r.log-size.t5"].value == pytest.approx(1) and numbers["r.log-size.t5"].n == 12
    assert numbers["r.log-size.with-gpt2"].n == 21 and numbers["r.log-size.llama"].n == 5
    assert "r.wikitext2-nwp-loss.with-gpt2" not in numbers  # the paper prints no loss that compares
    assert section.finding_of_families(families).title == "Within LLaMA, size does not correlate with brain alignment"
    both = section.families(planted(average=lambda m, noise: m.log_size + 0.01 * noise["a"]))
    assert section.finding_of_families(both).title == "Size correlates with brain alignment within both families"


def test_table_2_has_the_intervals_of_its_r():
    rows = {"benchmark": ["MMLU", "BBH", "WikiText-2"], "r": [0.0, 0.5, 0.9], "n_models": [4, 7, 9]}
    table = section.table_2(replace(printed.load(), correlations=pd.DataFrame(rows)))
    assert list(table.benchmark) == ["MMLU", "BBH"]
    assert list(table.high) == pytest.approx([np.tanh(1.96), np.tanh(np.arctanh(0.5) + 0.98)])
    assert table.low.iloc[0] == -table.high.iloc[0]


def test_slopes_and_table_7_are_of_tuned_models():
    assert section.slopes(planted(average=lambda m, noise: 0.1 * m.log_size)).slope.tolist() == pytest.approx([0.1] * 3)
    assert set(section.table_7(printed.load()).kind) == {"instruction-tuned"}
