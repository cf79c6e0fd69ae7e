"""The microworld's people, models and questions go through a study; the models are little ones, not trained here."""

from functools import partial

import measuring
import numpy as np
import pandas as pd
import pytest
import tiny

from brainalign import study as studies
from brainalign.llm.exams.answers import answers
from brainalign.study.description import loading

pytestmark = pytest.mark.usefixtures("one_store")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of a model before and after tuning, and along it."""
    folders = {seed: tiny.llama(tmp_path / f"llama-{seed}", positions=256, seed=seed) for seed in (0, 1, 2)}
    monkeypatch.setattr(loading, "People", partial(loading.People, n_participants=3, n_units=4, n_passages=24))
    monkeypatch.setattr(loading.trained_here, "pretrained", lambda world, name: folders[0])
    asked = []

    def tuned(world, name, how):
        asked.append((name, how.condition, how.recipe.seed))
        return {0: folders[0], 5: folders[1], 20: folders[2]}

    monkeypatch.setattr(loading.trained_here, "tuned", tuned)
    few = loading.questions(loading.world())[::24]
    monkeypatch.setattr(loading, "questions", lambda world: few)
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nevidence: microworld\nresamples: 100\nprotocols: [contiguous]\nbenchmarks: [microworld]\n"
        "recordings: [microworld, microworld.null]\nreading_times: [microworld.readers]\n"
        "models: [{load: microworld/llama-small}, {load: microworld/llama-small-tuned, vanilla: llama-small}]\n"
        "tuning: [{model: llama-small, seed: 3, condition: no-instruction}]\n"
    )
    return studies.load(str(tmp_path / "mine.yaml")), asked, few


def test_people_of_the_microworld_are_recordings_by_name(study):
    recordings = studies.load_recordings(study[0])
    assert list(recordings) == ["microworld", "microworld.null"]
    told, nothing = (recording.responses.to_numpy() for recording in recordings.values())
    assert told.shape == nothing.shape and not np.allclose(told, nothing)
    assert {recording.evidence for recording in recordings.values()} == {"microworld"}


def test_a_tuned_model_is_the_end_of_its_tuning(study):
    settings, asked, _ = study
    base, tuned = (studies.load_model(settings, name) for name in ("llama-small", "llama-small-tuned"))
    assert (base.name, tuned.name) == ("llama-small", "llama-small-tuned")
    assert base.identity != tuned.identity and asked == [("llama-small", "instruction", 0)]
    assert studies.models(settings).vanilla["llama-small-tuned"] == "llama-small"


def test_a_model_is_examined_and_its_loss_is_taken(study):
    settings, _, few = study
    found = measuring.results(settings, "capability")
    mine = found[found.model == "llama-small"].set_index(["measure", "domain"])
    right = answers(studies.load_model(settings, "llama-small"), loading.load_benchmark("microworld"))
    right = right.groupby("category").right
    for kind in ("world knowledge", "reasoning"):
        row = mine.loc[(kind, "all")]
        assert (row.value, row.n) == (right.mean()[kind], right.size()[kind])
        assert row.low <= row.value <= row.high
    domains = mine[mine.level == "task"]
    assert domains.n.sum() == len(few) and set(mine.level) == {"overall", "task"}
    assert mine.loc[("next-word loss", "all"), "value"] > 0
    assert {"model", "words", *studies.SCORES} < set(studies.run(settings, "llama-small"))


def test_reading_times_of_the_microworld_have_one_alignment(study):
    assert set(measuring.results(study[0]).alignment) == {"original"}


def test_a_tuning_is_scored_at_every_checkpoint(study):
    settings, asked, _ = study
    table = measuring.results(settings, "tuning")
    assert list(studies.checkpoints(settings, settings.tuning[0])) == [0, 5, 20]
    assert ("llama-small", "no-instruction", 3) in asked
    assert set(table.model) == {"llama-small-no-instruction-3"}
    reading = {"loss on microworld.readers", "reading times, original"}
    counts = pd.crosstab(table.step, table.measure)
    assert list(counts.index) == [0, 5, 20] and (counts == 1).all(axis=None)
    assert set(counts) == {"microworld", "microworld.null", "world knowledge", "reasoning"} | reading
    assert set(table.condition) == {"no-instruction"} and set(table.tuning_seed) == {3}


def test_a_model_that_the_microworld_does_not_have_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("title: M\nevidence: microworld\nmodels: [microworld/llama-smal]\n")
    with pytest.raises(LookupError, match="llama-small"):
        studies.load_model(studies.load(str(tmp_path / "mine.yaml")), "llama-smal")
