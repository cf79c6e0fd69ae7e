"""Printed models are counted, and newer ones compared pair by pair, on tables whose answer is known."""

from dataclasses import replace

import pandas as pd
import pytest

from brainalign.paper.claims import printed
from brainalign.paper.sections import published_models as section

PAIRS = {"Gemma-9B": ([0.5, 1.0, 0.6], [0.7, 1.5, 0.6]), "LLaMA-9B": ([0.5, 1.0, 0.6], [0.4, 1.1, 0.5])}


def with_pairs(pairs):
    rows = [
        {"model": model, "kind": kind, **dict(zip(section.METRICS, scores, strict=True))}
        for model, both in pairs.items()
        for kind, scores in zip(("vanilla", "instruction-tuned"), both, strict=True)
    ]
    return replace(printed.load(), gemma_llama2=pd.DataFrame(rows))


def test_models_are_those_that_the_paper_counts():
    numbers = {live.key: live.texts()[live.key] for live in section.numbers_of_models(printed.load())}
    assert numbers == {
        "models.n": "25", "models.vanilla": "8", "models.tuned": "17", "models.gpt2": "8",
        "models.smallest": "77\u00a0M", "models.largest": "33\u00a0B",
    }  # fmt: skip
    assert section.by_family(printed.load()).loc["T5"].to_dict() == {"instruction-tuned": 12, "vanilla": 5}


def test_newer_models_change_as_planted():
    newer = section.newer(with_pairs(PAIRS))
    changes = newer.set_index("label").estimate
    assert changes.to_dict() == pytest.approx(
        {"linear, Gemma-9B": 0.2, "linear, LLaMA-9B": -0.1, "CKA, Gemma-9B": 0.5, "CKA, LLaMA-9B": 0.1,
         "RSA, Gemma-9B": 0.0, "RSA, LLaMA-9B": -0.1},
    )  # fmt: skip
    assert newer[["low", "high"]].isna().all(axis=None)
    values = {live.key: live.value for live in section.finding_of_newer(newer).numbers}
    assert (values["newer.gains"], values["newer.n"]) == (3, 6)
    assert [values[f"newer.{metric}.gains"] for metric in section.METRICS] == [1, 2, 0]
    assert values["newer.cka.change"] == pytest.approx(0.3)


def test_the_title_names_cka_only_where_it_always_rises():
    newer = section.newer(with_pairs(PAIRS))
    assert section.finding_of_newer(newer).title == "Tuned models score higher in 3 of 6 comparisons, by CKA in all"
    falls = newer.assign(estimate=-newer.estimate)
    assert section.finding_of_newer(falls).title == "Tuned models score higher in 2 of 6 comparisons"
