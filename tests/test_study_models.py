"""Language models, their untrained twins and controls go through a whole study: brains and reading times."""

import json
import shutil
import subprocess
import sys

import measuring
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
from brainalign.llm.reading import series
from brainalign.study.measurement import measures

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
    monkeypatch.setattr(series, "gpt3", lambda words: np.linspace(1, 2, len(words)))
    return studies.load(str(tmp_path / "mine.yaml"))


def test_models_twins_and_controls_are_told_apart(study):
    table = studies.models(study)
    assert list(table.index) == ["little", "little-untrained-1", "other", "oasm", "length+position"]
    assert table.kind.tolist() == ["vanilla", "untrained", "instruction-tuned", "control", "control"]
    assert table.twin_of["little-untrained-1"] == table.vanilla["other"] == "little"
    assert study.parts == ["reading-times", "people", "models", "brain", "natural_stories"]


def test_a_model_is_scored_on_brains_and_reading_times(study):
    found = studies.run(study, "little")
    assert found["model"].n_parameters.tolist() == [llm.load(study.models[0]).n_parameters]
    recording = studies.load_recordings(study)["roi"]
    model = studies.load_model(study, "little")
    states = llm.activations(model, recording.passages)
    layers = {
        str(k): to_stimuli(states.sel(layer=k).to_numpy(), recording, "contiguous") for k in states.layer.to_numpy()
    }
    mine = found["brain"][found["brain"].protocol == "contiguous"].reset_index(drop=True)
    plain = brain_alignment(layers, recording, "contiguous")
    pd.testing.assert_series_equal(mine.r, plain.r)
    assert (mine.layer == plain.layer).all() and mine.ceiling.notna().any()
    behavior = found["behavior"][found["behavior"].alignment == "original"].reset_index(drop=True)
    times = little_stories()
    plain = behavioral_alignment(llm.surprisal(model, times.passages).to_numpy(), times, n_resamples=100)
    pd.testing.assert_frame_equal(behavior[plain.columns], plain, check_dtype=False)


def test_what_a_model_is_and_how_it_read_is_told(study):
    found, model = studies.run(study, "little"), studies.load_model(study, "little")
    (about,) = found["model"].itertuples()
    assert (about.n_layers, about.width, about.n_vocabulary) == (model.n_layers, model.width, model.n_vocabulary)
    assert about.n_positions == model.n_positions and json.loads(about.identity) == model.identity
    states = llm.activations(model, studies.load_recordings(study)["roi"].passages)
    bits = llm.surprisal(model, little_stories().passages)
    read = found["texts"].set_index("what")
    assert read.tokens.to_dict() == {"states": states.attrs["tokens"], "surprisal": bits.attrs["tokens"]}
    assert read.text.to_dict() == {"states": "roi", "surprisal": "natural_stories"}
    assert read.first_word["surprisal"] == bits.attrs["first_word"]
    np.testing.assert_array_equal(found["words"].surprisal, bits)
    assert found["words"].text.tolist() == little_stories().table().text.tolist()
    assert found["words"].yardstick.iloc[-1] == 2 and set(found["words"].whose) == {"GPT-3's"}


def test_controls_beside_a_model_are_measured_with_it(study):
    found, twin = studies.run(study, "little"), studies.run(study, "little-untrained-1")
    assert set(found) - set(twin) == {"similarity", "tokens"}
    layers = [str(k) for k in range(studies.load_model(study, "little").n_layers + 1)]
    assert found["similarity"].layer.tolist() == found["norms"].layer.tolist() == layers
    assert found["layers"].layer.nunique() ** 2 == len(found["layers"])
    people = ["x", "y", "z"]
    assert found["unique"].participant.tolist() == people
    assert found["one-width"].participant.tolist() == ["pooled", *people] * 2
    # All are as wide as the narrowest, but there are fewer stimuli to train on.
    assert set(found["one-width"].width) == {30}


def test_layers_that_a_study_leaves_out_count_for_nothing(study):
    some = study.model_copy(update={"layers": "1:3"})
    ours, all_layers = studies.run(some, "little")["brain"], studies.run(study, "little")["brain"]
    assert set(ours.layer) == {"1", "2", "nested"}
    keys = ["protocol", "layer", "participant", "region", "split"]
    single = ours[ours.layer != "nested"].set_index(keys).r
    np.testing.assert_allclose(single, all_layers.set_index(keys).r[single.index], atol=1e-6)
    recording = studies.load_recordings(study)["roi"]
    states = llm.activations(studies.load_model(study, "little"), recording.passages)
    layers = {k: to_stimuli(states.sel(layer=k).to_numpy(), recording, "contiguous") for k in ("1", "2")}
    plain = brain_alignment(layers, recording, "contiguous")
    nested = ours[(ours.layer == "nested") & (ours.protocol == "contiguous")]
    np.testing.assert_allclose(nested.r, plain[plain.layer == "nested"].r, atol=1e-6)
    with pytest.raises(ValueError, match="embeddings among them, and none in 9:"):
        studies.run(study.model_copy(update={"layers": "9:"}), "little")


def test_only_the_analysis_that_a_setting_touches_is_measured_again(study, monkeypatch):
    studies.run(study, "little")
    asked, measure = [], measures.measure
    monkeypatch.setattr(measures, "measure", lambda *given: asked.append(list(given[2])) or measure(*given))
    for settings in ({}, {"width": 4}, {"resamples": 101}, {"protocols": ["contiguous"]}):
        studies.run(study.model_copy(update=settings), "little")
    assert asked == [
        ["one-width"],
        ["behavior", "one-width", "capability"],
        ["behavior", "brain", "one-width", "capability"],
    ]


def test_a_control_is_run_like_a_model(study):
    found = studies.run(study, "oasm")
    recording = studies.load_recordings(study)["roi"]
    plain = brain_alignment({"features": controls.oasm(recording)}, recording, "aw2024")
    brain = found["brain"]
    pd.testing.assert_series_equal(brain[brain.protocol == "aw2024"].reset_index(drop=True).r, plain.r)
    assert set(found) == {"brain", "one-width"}


def test_results_of_all_are_one_table_an_analysis(study):
    brain, behavior = measuring.results(study, "brain"), measuring.results(study)
    assert set(brain.model) == set(studies.models(study).index)
    assert set(behavior.model) == {"little", "little-untrained-1", "other"}
    assert behavior.parameters.notna().all() and brain.parameters.isna().any()
    assert "analysis" not in brain and "alignment" not in brain
    both = measuring.results(study, ["brain", "behavior"])
    assert both.analysis.value_counts().to_dict() == {"brain": len(brain), "behavior": len(behavior)}


def test_the_same_results_are_the_same_bytes(study):
    folder = studies.result_path(study, "little")
    tables = studies.run(study, "little")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {f"{name}.parquet" for name in tables} | {studies.DONE}
    shutil.rmtree(folder)
    studies.run(study, "little")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_what_was_measured_is_read_without_torch(study, tmp_path):
    (tmp_path / "brains.yaml").write_text(
        "title: Mine\nevidence: people\nrecordings: [{table: roi.csv, participants: people.csv}]\n"
        "models: [little, {load: little, untrained: 1}]\ncontrols: [oasm]\n"
    )
    brains = studies.load(str(tmp_path / "brains.yaml"))
    tables = {name: measuring.results(brains, name) for name in measures.ANALYSES}
    assert {name for name, table in tables.items() if table.empty} == {
        *("words", "behavior", "capability", "tuning", "reading", "readers")
    }
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers')))\n"
        "from brainalign import study as studies; study = studies.load(sys.argv[1])\n"
        "for name in sys.argv[2:]: print(name, len(studies.results(study, name)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "brains.yaml"), *tables]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == [str(part) for name, table in tables.items() for part in (name, len(table))]


def test_what_is_moved_is_not_measured_again(study, tmp_path, tmp_path_factory, monkeypatch):
    before, elsewhere = studies.run(study, "little"), tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(tmp_path, elsewhere, ignore=shutil.ignore_patterns("store"), dirs_exist_ok=True)
    moved = studies.load(str(elsewhere / "mine.yaml"))
    monkeypatch.setattr(measures, "measure", lambda *_: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(studies.run(moved, "little")["brain"], before["brain"])
    with (elsewhere / "roi.csv").open("a") as table:
        table.write("\n")
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        studies.run(moved, "little")


def test_other_weights_compute_again(study, tmp_path):
    before = studies.run(study, "little")["brain"].r.dropna()
    tiny.gpt2(tmp_path / "little", seed=1)
    assert not np.allclose(studies.run(study, "little")["brain"].r.dropna(), before)


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
        ("[gpt2-small]\nlayers: '2'", "layers: string should match pattern"),
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
    monkeypatch.setattr(series, "gpt3", lambda words: np.linspace(1, 2, len(words)))
    how = "samples: mine.json, max_length: 400, batch_size: 4, epochs: 2, checkpoints: [0, 2]"
    study = tuned_study(tmp_path, f"[{{model: little, condition: continued, {how}}}]", f"{{{how}}}")
    assert "continued" in study.parts
    assert studies.bases(study) == {"after": "little", "little-continued-0": "little"}
    after, base = (studies.load_model(study, name) for name in ("after", "little"))
    assert after.name == "after" and after.identity != base.identity
    (tuning,) = study.tuning
    assert list(studies.checkpoints(study, tuning)) == [0, 2, 4]
    found = measuring.results(study, "tuning")
    assert set(found.condition) == {"continued"} and set(found.tuned) == {"little"} and set(found.method) == {"full"}
    loss = found[found.measure == "loss on natural_stories"].set_index("step").value
    bits = llm.surprisal(base, little_stories().passages).to_numpy()
    assert loss[0] == pytest.approx(bits[np.isfinite(bits)].mean()) and loss[4] != loss[0]
    corrected = found[found.measure == "reading times, corrected"]
    assert corrected.step.tolist() == [0, 2, 4] and corrected.value.notna().all()
    assert studies.status(study).state.unique().tolist() == ["up to date"]
    (tmp_path / "mine.json").write_text(json.dumps(SAMPLES[1:]))
    why = studies.status(study).why
    assert why.to_dict() == {
        "people": "",
        "little": "",
        "after": "data: mine.json",
        "little-continued-0": "data: mine.json",
    }


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
