"""Rows of what a model knows: shares at every level, intervals as their formulas say, and a study that has them all."""

import measuring
import numpy as np
import pandas as pd
import pytest
import tiny
from scipy.stats import binomtest
from test_capability import bbh, mmlu

from brainalign import study as studies
from brainalign.llm.exams import benchmarks
from brainalign.llm.exams.answers import answers
from brainalign.llm.models.load import load
from brainalign.llm.reading.loss import loss
from brainalign.study.measurement import capability
from brainalign.study.running import keys

ARTICLES = [f" = One =\n{tiny.TEXT[:300]}", f" = Two =\n{tiny.TEXT[300:]}"]


def table(name: str, right: dict[str, list[bool]], over: str) -> pd.DataFrame:
    known = benchmarks.catalog.benchmark_tasks(name)
    rows = pd.concat([pd.DataFrame({"name": file, "right": some}) for file, some in right.items()], ignore_index=True)
    rows = rows.join(known, on="name")
    rows.attrs = {"over": over}
    return rows


def wilson(n_right: int, n: int) -> tuple[float, float]:
    found = binomtest(n_right, n).proportion_ci(method="wilson")
    return found.low, found.high


def test_a_mean_over_questions_weighs_questions():
    right = {"anatomy": [True] * 3 + [False], "astronomy": [False] * 2, "abstract_algebra": [True] * 2 + [False] * 4}
    found = capability.scores(table("mmlu", right, "questions"), mmlu()).set_index(["level", "domain"])
    assert set(found.measure) == {"MMLU"} and len(found) == 1 + 2 + 3
    whole = found.loc[("overall", "all")]
    assert (whole.value, whole.n) == (pytest.approx(5 / 12), 12)
    assert (whole.low, whole.high) == pytest.approx(wilson(5, 12))
    assert found.loc[("category", "STEM"), ["value", "n"]].tolist() == [2 / 8, 8]
    assert found.loc[("category", "Others"), "value"] == found.loc[("task", "anatomy"), "value"] == 3 / 4


def test_a_mean_over_files_weighs_files_and_its_interval_adds_theirs():
    right = {"snarks": [True] * 4 + [False], "logical_deduction_three_objects": [False] * 20}
    right["logical_deduction_seven_objects"] = [True] * 5 + [False] * 5
    found = capability.scores(table("bbh", right, "files"), bbh()).set_index(["level", "domain"])
    assert found.loc[("overall", "all"), "value"] == pytest.approx((4 / 5 + 0 + 1 / 2) / 3)
    sizes = found.loc[("task", "logical_deduction")]
    assert (sizes.value, sizes.n) == (pytest.approx(1 / 4), 30)
    (low, high), (_, none) = wilson(5, 10), wilson(0, 20)
    assert sizes.low == pytest.approx(1 / 4 - np.sqrt((1 / 2 - low) ** 2 + 0) / 2, abs=1e-6)
    assert sizes.high == pytest.approx(1 / 4 + np.sqrt((high - 1 / 2) ** 2 + none**2) / 2)
    assert found.loc[("category", "Algorithmic reasoning"), "value"] == sizes.value
    nothing = capability.over_files(table("bbh", {"snarks": [False] * 30}, "files"))
    assert nothing["low"] == 0 < nothing["high"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    tiny.llama(tmp_path / "causal", positions=400)
    monkeypatch.setattr(benchmarks, "load", lambda name: {"mmlu": mmlu(4), "bbh": bbh()}[name])
    monkeypatch.setattr(benchmarks, "wikitext2", lambda: ARTICLES)
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nevidence: people\nresamples: 100\nitems: 3\n"
        "benchmarks: [mmlu, bbh, wikitext2]\nmodels: [causal]\n"
    )
    return studies.load(str(tmp_path / "mine.yaml"))


def test_a_study_examines_a_model_in_all_that_it_names(study):
    model = studies.load_model(study, "causal")
    found = measuring.results(study, "capability")
    assert "capability" in study.parts and set(found.model) == {"causal"}
    assert set(found.level) == {"overall", "category", "task"}
    whole = found[found.level == "overall"].set_index(["measure", "protocol"])
    for name, asked in (("MMLU", mmlu(4)), ("BBH", bbh())):
        for protocol in ("standard", "instruct-eval"):
            expected = answers(model, asked, protocol, items=3)
            row = whole.loc[(name, protocol)]
            assert (row.value, row.n) == (expected.right.mean(), len(expected))
            assert row.low <= row.value <= row.high
    expected = loss(model, ARTICLES)
    losses = found[found.benchmark == "wikitext2"].set_index("measure")
    assert losses.value["WikiText-2 loss"] == pytest.approx(expected.nats.sum() / expected.tokens.sum())
    bits_per_byte = expected.nats.sum() / np.log(2) / expected.bytes.sum()
    assert losses.value["WikiText-2 bits per byte"] == pytest.approx(bits_per_byte)
    assert (losses.low <= losses.value).all() and (losses.value <= losses.high).all()
    assert (losses.n == expected.tokens.sum()).all() and losses.protocol.isna().all()


def test_an_encoder_decoder_has_a_loss_in_each_mode(study, tmp_path):
    model = load(tiny.t5(tmp_path / "t5", letters="".join(sorted(set("".join(benchmarks.wikitext2()))))))
    found = capability.examined(study.model_copy(update={"benchmarks": ["wikitext2"]}), model)
    assert found.groupby("protocol").size().to_dict() == {"continuation": 2, "copy": 2}
    assert found.value.nunique() == 4


def test_what_is_asked_is_part_of_a_results_key(study):
    found = {
        keys.key(keys.dependencies(changed, studies.members(changed)["causal"]), "capability")
        for changed in (
            study,
            study.model_copy(update={"items": 2}),
            study.model_copy(update={"benchmarks": ["mmlu"]}),
            study.model_copy(update={"benchmark_protocols": ["standard"]}),
        )
    }
    assert len(found) == 4


def test_a_setting_that_was_called_otherwise_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("title: M\nevidence: people\nbenchmark: [mmlu]\n")
    with pytest.raises(ValueError, match="Did you mean benchmarks"):
        studies.load(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("title: M\nevidence: people\nbenchmarks: [mmlu]\nitems: 0\n")
    with pytest.raises(ValueError, match=r"items: .*greater than or equal to 1"):
        studies.load(str(tmp_path / "mine.yaml"))
