"""What models know: the best of them, who is better than chance, and what is not known of either."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import capability, covariates

MODELS = {"base": ("vanilla", 1.0), "tuned": ("instruction-tuned", 2.0), "twin": ("untrained", 9.0)}


def measured(**values) -> pd.DataFrame:
    """Shares of right answers and losses of three models, the same of each but for a factor."""
    rows = [
        {"model": model, "kind": kind, "benchmark": "b", "family": "T5", "parameters": 1e6, "measure": measure,
         "protocol": np.nan, "level": "overall", "domain": "all", "n": 48, "value": value * factor,
         "low": value * factor - 0.1, "high": value * factor + 0.1}
        for measure, value in values.items() for model, (kind, factor) in MODELS.items()
    ]  # fmt: skip
    names = {"knowledge": "MMLU", "reasoning": "BBH", "loss": "next-word loss"}
    return pd.DataFrame(rows).assign(vanilla=np.nan, measure=lambda table: table.measure.map(names))


def shown(numbers: list[Live]) -> dict:
    return {live.key: live.value for live in numbers}


@pytest.mark.parametrize(
    ("share", "above", "verdict"), [(0.4, "2 of 2", "beyond chance"), (0.1, "0 of 2", "no better than chance")]
)
def test_chance_is_a_quarter_of_mmlu_and_untrained_twins_do_not_count(share, above, verdict):
    results = measured(knowledge=share)
    properties = covariates.properties(results)
    exams = capability.exams(results, properties, ["mmlu"])
    best = capability.best_in_exams(exams, properties)
    assert shown(capability.finding_of_exams(best).numbers) == {
        "knowledge.questions": 48, "knowledge.best.model": "tuned", "knowledge.best": 2 * share,
        "knowledge.chance": 0.25, "knowledge.above": above, "knowledge.verdict": verdict,
    }  # fmt: skip
    assert capability.finding_of_exams(best).title == f"{above} trained models know more than chance"


def test_where_chance_is_unknown_nothing_is_said_about_it():
    results = measured(knowledge=0.4, reasoning=0.3)
    properties = covariates.properties(results)
    best = capability.best_in_exams(capability.exams(results, properties, ["mmlu", "bbh"]), properties)
    numbers = shown(capability.finding_of_exams(best).numbers)
    assert numbers["reasoning.best"] == pytest.approx(0.6) and "reasoning.above" not in numbers
    assert capability.finding_of_exams(best).title == "2 of 2 trained models know more than chance"


def test_the_microworld_has_options_to_guess_from():
    assert capability.chances(["microworld"]) == {"MMLU": 0.25, covariates.KNOWLEDGE: 0.25, covariates.REASONING: 0.25}
    assert capability.chances([]) == {"MMLU": 0.25}


def test_the_lowest_loss_is_of_a_trained_model():
    results = measured(loss=2.0)
    numbers = capability.numbers_of_loss(results, covariates.properties(results))
    assert shown(numbers) == {"loss.best": 2.0, "loss.best.model": "base"} and numbers[0].unit == " bits per word"


def test_what_was_not_measured_has_no_numbers():
    results = measured(loss=2.0)
    properties = covariates.properties(results)
    exams = capability.exams(results, properties, [])
    best = capability.best_in_exams(exams, properties)
    assert capability.data_of_exams(exams) == {} and capability.finding_of_exams(best).numbers == []
    results = measured(knowledge=0.4)
    assert capability.numbers_of_loss(results, covariates.properties(results)) == []


def test_the_table_of_models_has_sizes_and_alignment_under_each_protocol():
    models = pd.DataFrame({"model": ["m"], covariates.SIZE: [np.log10(12345)], "aw2024": [0.1]})
    table = capability.table_of_models(models, ["aw2024"])
    assert table.parameters.item() == 12345 and table["brain, aw2024"].item() == 0.1
    properties = covariates.properties(measured(knowledge=0.4))
    labels = [spec[0] for spec in list(capability.columns_of_models(properties, ["aw2024"]).values())[3:]]
    assert labels == ["Parameters", "MMLU", "Brain, aw2024"]
