"""Language models, their untrained twins and controls go through a whole study: brains and reading times."""

import json

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
from brainalign.study import runs

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
    assert study.parts == ["reading-times", "people", "models", "brain", "natural_stories"]


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


# Models that are tuned on the spot

SAMPLES = [{"instruction": "Say a word.", "input": "", "output": f"{line.split()[0]} and more"} for line in SENTENCES]


def tuned_study(
    tmp_path, tuning, tune="{samples: mine.json, max_length: 400, batch_size: 4, epochs: 2, checkpoints: [0]}"
):
    tiny.llama(tmp_path / "little", positions=512)
    (tmp_path / "mine.json").write_text(json.dumps(SAMPLES))
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nevidence: people\nresamples: 100\nreading_times: [natural_stories]\n"
        f"models:\n  - little\n  - {{load: little, name: after, vanilla: little, tune: {tune}}}\ntuning: {tuning}\n"
    )
    return studies.load(str(tmp_path / "mine.yaml"))


def test_a_model_is_tuned_on_the_spot_and_its_checkpoints_are_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(natural_stories, "load", little_stories)
    how = "samples: mine.json, max_length: 400, batch_size: 4, epochs: 2, checkpoints: [0, 2]"
    study = tuned_study(tmp_path, f"[{{model: little, condition: continued, {how}}}]", f"{{{how}}}")
    assert studies.own_files(study) == [tmp_path / "mine.json"] and "continued" in study.parts
    assert studies.bases(study) == {"after": "little", "little-continued-0": "little"}
    after, base = (studies.load_model(study, name) for name in ("after", "little"))
    assert after.name == "after" and after.identity != base.identity
    (tuning,) = study.tuning
    assert list(studies.checkpoints(study, tuning)) == [0, 2, 4]
    found = studies.results(study, "tuning")
    assert set(found.condition) == {"continued"} and set(found.tuned) == {"little"} and set(found.method) == {"full"}
    loss = found[found.measure == "loss on natural_stories"].set_index("step").value
    bits = llm.surprisal(base, little_stories().passages).to_numpy()
    assert loss[0] == pytest.approx(bits[np.isfinite(bits)].mean()) and loss[4] != loss[0]
    corrected = found[found.measure == "reading times, corrected"]
    assert corrected.step.tolist() == [0, 2, 4] and corrected.value.notna().all()
    path, before = studies.result_path(study, "little-continued-0"), runs._key(study, runs._member(study, "after"))
    assert path.exists()
    (tmp_path / "mine.json").write_text(json.dumps(SAMPLES[1:]))
    assert runs._key(study, runs._member(study, "after")) != before


@pytest.mark.parametrize(
    ("tuning", "tune", "message"),
    [
        ("[{model: little}]", "{samples: mine.json}", "tuning: little-instruction-0: no samples to tune it with"),
        ("[]", "{samples: alpaca}", "models: after: unknown data set of samples 'alpaca'. Did you mean alpaca_sample"),
        ("[]", "{sample: mine.json}", "unknown setting 'sample'. Did you mean samples"),
        ("[]", "{samples: mine.json, condition: none}", "tune.condition: input should be 'instruction'"),
        ("[{model: microworld/llama-small, samples: mine.json}]", "{samples: mine.json}", "samples of its own"),
    ],
)
def test_wrong_settings_of_a_tuning_are_named(tmp_path, tuning, tune, message):
    with pytest.raises(ValueError, match=message):
        tuned_study(tmp_path, tuning, tune)


def test_what_a_study_does_not_tune_is_named(tmp_path):
    study = tuned_study(tmp_path, "[]")
    assert list(studies.tuned(study)) == ["after"]
    with pytest.raises(LookupError, match=r"unknown model that study mine tunes 'little'"):
        studies.tuned(study, ["little"])
