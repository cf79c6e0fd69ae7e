"""Language models, their untrained twins and controls go through a whole study: brains and reading times."""

import numpy as np
import pandas as pd
import pytest
import tiny
from test_study import little_stories

from brainalign import llm
from brainalign import study as studies
from brainalign.alignment import controls
from brainalign.alignment.behavior import behavioral_alignment
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.human import natural_stories

SENTENCES = [line for line in tiny.TEXT.splitlines() if line]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of a model and its twin, on a recording of three people and little stories."""
    tiny.gpt2(tmp_path / "little")
    rng = np.random.default_rng(0)
    rows = [(f"{SENTENCES[n]} {word}", f"p{n}", place) for n in range(6) for place, word in enumerate("abcdef", 1)]
    table = pd.DataFrame(rows, columns=["text", "passage", "position"])
    for unit in range(6):
        table[f"v{unit}"] = rng.normal(size=len(table))
    table.to_csv(tmp_path / "roi.csv", index=False)
    people = [f"v{unit},{'xyz'[unit // 2]},IFG" for unit in range(6)]
    (tmp_path / "people.csv").write_text("unit,participant,region\n" + "\n".join(people))
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nevidence: people\nresamples: 100\nreading_times: [natural_stories]\n"
        "recordings: [{table: roi.csv, participants: people.csv}]\n"
        "models: [little, {load: little, untrained: 1}, {load: little, name: other, vanilla: little, family: GPT2}]\n"
        "controls: [oasm, length+position]\n"
    )
    monkeypatch.setattr(natural_stories, "load", little_stories)
    return studies.load(str(tmp_path / "mine.yaml"))


def test_models_twins_and_controls_are_told_apart(study):
    table = studies.models(study)
    assert list(table.index) == ["little", "little-untrained-1", "other", "oasm", "length+position"]
    assert table.kind.tolist() == ["vanilla", "untrained", "instruction-tuned", "control", "control"]
    assert table.twin_of["little-untrained-1"] == table.vanilla["other"] == "little"
    assert study.parts == ["people", "models", "brain", "natural_stories"]


def test_a_model_is_scored_on_brains_and_reading_times(study):
    found = studies.run(study, "little")
    assert set(found.n_parameters) == {llm.load(study.models[0]).n_parameters}
    recording = studies.load_recordings(study)["roi"]
    model = studies.load_model(study, "little")
    states = llm.activations(model, recording.passages)
    layers = {
        str(k): to_stimuli(states.sel(layer=k).to_numpy(), recording, "contiguous") for k in states.layer.to_numpy()
    }
    mine = found[(found.analysis == "brain") & (found.protocol == "contiguous")].reset_index(drop=True)
    plain = brain_alignment(layers, recording, "contiguous")
    pd.testing.assert_series_equal(mine.r, plain.r)
    assert (mine.layer == plain.layer).all() and mine.ceiling.notna().any()
    behavior = found[(found.analysis == "behavior") & (found.alignment == "original")].reset_index(drop=True)
    times = little_stories()
    plain = behavioral_alignment(llm.surprisal(model, times.passages).to_numpy(), times, n_resamples=100)
    pd.testing.assert_frame_equal(behavior[plain.columns], plain, check_dtype=False)


def test_a_control_is_run_like_a_model(study):
    found = studies.run(study, "oasm")
    recording = studies.load_recordings(study)["roi"]
    plain = brain_alignment({"features": controls.oasm(recording)}, recording, "aw2024")
    pd.testing.assert_series_equal(found[found.protocol == "aw2024"].reset_index(drop=True).r, plain.r)
    assert set(found.analysis) == {"brain"}


def test_results_of_all_are_one_table_an_analysis(study):
    brain, behavior = studies.results(study, "brain"), studies.results(study)
    assert set(brain.model) == set(studies.models(study).index)
    assert set(behavior.model) == {"little", "little-untrained-1", "other"}
    assert behavior.parameters.notna().all() and brain.parameters.isna().any()
    assert "analysis" not in brain and "alignment" not in brain


def test_the_same_results_are_the_same_bytes(study):
    path = studies.result_path(study, "little")
    studies.run(study, "little")
    first = path.read_bytes()
    path.unlink()
    studies.run(study, "little")
    assert path.read_bytes() == first


def test_other_weights_compute_again(study, tmp_path):
    before = studies.run(study, "little").r.dropna()
    tiny.gpt2(tmp_path / "little", seed=1)
    assert not np.allclose(studies.run(study, "little").r.dropna(), before)


def test_a_name_that_is_no_model_suggests_one(study):
    with pytest.raises(LookupError, match="unknown language model of study mine 'oasm'"):
        studies.load_model(study, "oasm")
    with pytest.raises(LookupError, match="Did you mean little"):
        studies.run(study, "litle")


def test_the_base_of_a_catalog_model_counts_where_the_study_has_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nevidence: people\nmodels: [flan-t5-small, t5-small, vicuna-7b]\n")
    table = studies.models(studies.load(str(path)))
    assert table.vanilla["flan-t5-small"] == "t5-small" and table.vanilla.isna()["vicuna-7b"]
    assert table.kind.tolist() == ["instruction-tuned", "vanilla", "instruction-tuned"]
    assert table.parameters["t5-small"] == 76961152


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("[{load: gpt2-small, untraind: 1}]", "unknown setting 'untraind'. Did you mean untrained"),
        ("[{load: gpt2-small, dtype: float8}]", "models.0.dtype: input should be 'float32'"),
        ("[{untrained: 1}]", "models.0.load: field required"),
    ],
)
def test_wrong_settings_of_a_model_are_named(tmp_path, models, message):
    path = tmp_path / "mine.yaml"
    path.write_text(f"title: Mine\nevidence: people\nmodels: {models}\n")
    with pytest.raises(ValueError, match=message):
        studies.load(str(path))
