"""Printed behavioral alignment: the verdict follows the change that is planted, titles what correlates."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.paper.claims import printed
from brainalign.paper.sections import published_behavior as section

LOSSES = "the loss of T5 models, the loss of LLaMA models"
FEW = {"seed": 0, "resamples": 200}


def with_scores(make):
    """Printed tables whose behavioral alignment is computed anew from the models and independent noise."""
    tables = printed.load()
    noise = np.random.default_rng(0).normal(scale=0.01, size=len(tables.models))
    return replace(tables, models=tables.models.assign(futrell2018=make(tables.models, noise)))


@pytest.mark.parametrize(
    ("shift", "verdict", "gain"), [(0.1, "raises", 17), (-0.1, "lowers", 0), (0.0, "does not raise", None)]
)
def test_the_verdict_follows_the_change(shift, verdict, gain):
    tables = with_scores(lambda models, noise: 0.2 + shift * (models.kind == "instruction-tuned") + noise)
    pairs = section.pairs(tables)
    tests = section.tests(pairs, **FEW)
    values = {live.key: live.value for live in section.finding_of_change(pairs, tests).numbers}
    assert values["behavior.verdict"] == verdict
    assert values["behavior.change"] == pytest.approx((pairs.tuned - pairs.vanilla).groupby(pairs.base).mean().mean())
    title = section.finding_of_change(pairs, tests).title
    assert title.startswith(f"Tuning {verdict} behavioral alignment: {17 - values['behavior.without-gain']} of 17")
    assert gain is None or values["behavior.without-gain"] == 17 - gain


def test_a_pair_without_change_does_not_gain():
    pairs = section.pairs(printed.load())
    pairs.loc[:, "tuned"] = pairs.vanilla + np.arange(len(pairs)) * 0.01
    values = {live.key: live.value for live in section.finding_of_change(pairs, section.tests(pairs, **FEW)).numbers}
    assert values["behavior.without-gain"] == 1


def test_correlations_find_what_is_planted():
    rows = section.correlations(with_scores(lambda models, noise: models.mmlu + noise))
    values = {live.key: live.value for live in section.finding_of_correlations(rows).numbers}
    assert values["behavior.mmlu.r"] > 0.95
    assert values["behavior.mmlu.p"] == "p\u00a0<\u00a00.001"
    assert values["behavior.factors.found"] == (rows.p < 0.05).sum()
    assert "MMLU" in section.finding_of_correlations(rows).title
    assert {"behavior.log-size.r", "behavior.wikitext2-nwp-loss.t5.r", "behavior.wikitext2-nwp-loss.llama.p"} <= {
        *values
    }
    assert rows.n.tolist() == [17, 17, 12, 5]
    assert section.panels(rows)[0][:2] == ("mmlu", "futrell2018")


def test_titles_say_what_correlates():
    rows = section.correlations(printed.load())
    none, every = rows.assign(p=0.5), rows.assign(p=0.01)
    assert section.finding_of_correlations(none).title == "Behavioral alignment correlates with none of four properties"
    assert section.finding_of_correlations(every).title == "Behavioral alignment correlates with MMLU, Size, " + LOSSES
    assert "LLaMA models, the loss does not correlate with" in section.title_of_loss(none.iloc[3])
    assert "T5 models, the loss correlates with" in section.title_of_loss(every.iloc[2])


def test_models_are_those_of_the_group():
    assert set(section.models(printed.load(), "llama-tuned").family) == {"LLaMA"}
    assert len(section.models(printed.load())) == 17
