"""Printed brain alignment: the verdict is the sign flip's, and words and counts follow what is planted."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.paper.claims import printed
from brainalign.paper.sections import published_brain as section

FEW = {"seed": 0, "resamples": 200}


def with_average(make):
    """Printed tables whose average is computed anew from the models and independent noise."""
    tables = printed.load()
    noise = np.random.default_rng(0).normal(scale=0.001, size=len(tables.models))
    return replace(tables, models=tables.models.assign(average=make(tables.models, noise)))


def shifted(shift):
    return with_average(lambda models, noise: 0.2 + shift * (models.kind == "instruction-tuned") + noise)


@pytest.mark.parametrize(("shift", "verdict"), [(0.1, "raises"), (-0.1, "lowers"), (0.0, "does not reliably raise")])
def test_the_verdict_is_that_of_the_mean_over_bases(shift, verdict):
    tests = section.tests(shifted(shift), **FEW)
    finding = section.finding_of_tests(tests)
    numbers = {live.key: live for live in finding.numbers}
    assert numbers["change.verdict"].value == verdict and finding.title.startswith(f"Tuning {verdict} brain")
    assert numbers["change.verdict"].method.startswith("95 % interval of the mean over 8 bases")
    ends = numbers["change.base"]
    assert (verdict == "does not reliably raise") == (ends.low <= 0 <= ends.high) and ends.n == 8
    assert numbers["tests.base.n"].value == 5
    assert numbers["tests.base.significant"].value == (0 if shift == 0 else 5)


def test_the_base_without_which_the_gain_shrinks_most():
    tables = with_average(lambda models, noise: 0.2 + noise + 0.1 * (models.vanilla == "t5-xl"))
    robustness = section.robustness(tables, **FEW)
    numbers = {live.key: live.value for live in section.finding_of_robustness(robustness, tables).numbers}
    assert numbers["change.without-one.least.base"] == "t5-xl"
    assert abs(numbers["change.without-one.least"]) < 1
    assert section.finding_of_pairs(section.pairs(tables)).title.endswith("and T5 models most")


def test_models_above_the_ceiling_are_counted():
    tables = with_average(lambda models, noise: 0.2 + 0.1 * (models.family == "LLaMA"))
    numbers = {live.key: live.value for live in section.numbers_of_ceilings(tables)}
    assert numbers["ceiling.above.n"] == len(section.above_ceiling(tables)) == 8
    assert section.table_6(tables).dataset.tolist() == ["pereira2018", "blank2014", "wehbe2014", "average"]
