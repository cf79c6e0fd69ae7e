"""What is measured of features on a recording, beside their scores: each against the plain way."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
from recordings import STORIES, noise, reading

from brainalign import llm
from brainalign import study as studies
from brainalign.alignment import controls, protocols, similarity, volumes
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.alignment.encoding import banded, gram
from brainalign.alignment.summary import ALL, POOLED
from brainalign.study.description.settings import LoadedModel
from brainalign.study.measurement import brains
from brainalign.study.measurement.brains import Features
from brainalign.study.measurement.readings import encoding_device, features_of

LAYERS = {"0": noise(len(STORIES), 7, 1), "1": noise(len(STORIES), 30, 2)}


@pytest.fixture
def recording():
    text = [" ".join(tiny.TEXT.split()[place : place + 4]) for place in range(len(STORIES))]
    return reading(noise(len(STORIES), 9), STORIES, n_participants=3, text=text)


@pytest.fixture
def study(tmp_path):
    """A study of two models of different width."""
    tiny.gpt2(tmp_path / "wide")
    tiny.t5(tmp_path / "other")
    (tmp_path / "mine.yaml").write_text("title: M\nevidence: people\nmodels: [wide, other]\n")
    return studies.load(str(tmp_path / "mine.yaml"))


def plain_scores(layers, recording, protocol):
    rows = brain_alignment(layers, recording, protocol)
    return rows[rows.chosen & (rows.region == ALL) & (rows.split == ALL)].set_index("participant").r


def test_features_of_parts_are_brought_to_stimuli(study, recording):
    states = llm.activations(studies.load_model(study, "wide"), recording.passages)
    brought = features_of(states).at_stimuli(recording, "contiguous")
    assert list(brought) == [str(k) for k in states.layer.to_numpy()]
    for k in states.layer.to_numpy():
        np.testing.assert_array_equal(
            brought[str(k)], to_stimuli(states.sel(layer=k).to_numpy(), recording, "contiguous")
        )
    assert Features(LAYERS, at_parts=False).at_stimuli(recording, "contiguous") == LAYERS


def test_encoding_models_are_fitted_on_the_gpu_that_a_study_names(study, recording):
    assert [encoding_device(LoadedModel(load="a", device=device)) for device in (None, "auto", "cpu", "cuda:1")] == [
        *[None] * 3, "cuda:1",
    ]  # fmt: skip
    states = llm.activations(studies.load_model(study, "wide"), recording.passages)
    assert features_of(states, "cuda:1").device == "cuda:1"
    plain, by_torch = (Features(LAYERS, at_parts=False, device=device) for device in (None, "cpu"))
    for measure in (brains.scores, brains.scores_at_one_width):
        r, other = (measure(study, features, recording).r for features in (plain, by_torch))
        np.testing.assert_allclose(other, r, atol=1e-4)
        assert not np.array_equal(other, r)


def test_layers_side_by_side_are_all_their_features():
    layers = {"0": noise(20, 7, 1), "1": 9 * noise(20, 30, 2), "constant": np.ones((20, 3)), "2": noise(20, 40, 3)}
    ours = brains.side_by_side(layers)
    centered = [x - x.mean(axis=0) for name, x in layers.items() if name != "constant"]
    plain = np.concatenate([x / np.sqrt((x**2).sum() / len(x)) for x in centered], axis=1)
    assert ours.shape == (20, 20)
    np.testing.assert_allclose(ours @ ours.T, plain @ plain.T, atol=1e-10)
    train, test = np.arange(15), np.arange(15, 20)
    one, two = (gram.ridge(gram.spectrum(gram.gram(x), train, test), 0.5) for x in (ours, plain))
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_scores_at_one_width_are_those_of_projected_features(study, recording):
    width = min(studies.load_model(study, name).width for name in ("wide", "other"))
    assert brains.common_width(study) == width
    table = brains.scores_at_one_width(study, Features(LAYERS, at_parts=False), recording)
    assert set(table.width) == {min(width, len(STORIES) * 9 // 10)} and set(table.protocol) == set(study.protocols)
    narrow = {
        layer: controls.project(x, table.width[0], study.seed) if x.shape[1] >= table.width[0] else x
        for layer, x in LAYERS.items()
    }
    for protocol in study.protocols:
        ours = table[table.protocol == protocol].set_index("participant").r
        plain = plain_scores(narrow, recording, protocol)
        assert list(ours.index) == [POOLED, "p0", "p1", "p2"]
        np.testing.assert_allclose(ours, plain[ours.index], atol=1e-9)


@pytest.mark.parametrize("set_width", [3, 4096])
def test_a_width_is_what_the_study_sets_and_no_more_than_there_are_training_stimuli(study, recording, set_width):
    wide = {"0": noise(len(STORIES), 6000, 1)}
    table = brains.scores_at_one_width(
        study.model_copy(update={"width": set_width}), Features(wide, at_parts=False), recording
    )
    n_train = min(
        len(train)
        for name in study.protocols
        for train, _ in protocols.splits_of(protocols.resolve(name, recording), recording)
    )
    assert set(table.width) == {min(set_width, n_train)} and table.r.notna().all()


def test_features_that_are_narrower_take_part_as_they_are(study, recording):
    little = {"features": noise(len(STORIES), 2, 1)}
    table = brains.scores_at_one_width(study, Features(little, at_parts=False), recording)
    ours = table[table.protocol == "contiguous"].set_index("participant").r
    plain = plain_scores(little, recording, "contiguous")
    np.testing.assert_array_equal(ours, plain[ours.index])


def test_a_width_is_read_off_settings_of_any_kind(tmp_path):
    widths = {}
    for name in ("gpt2", "llama", "t5"):
        getattr(tiny, name)(tmp_path / name)
        (tmp_path / name / "model.safetensors").unlink()
    (tmp_path / "mine.yaml").write_text(
        "title: M\nevidence: people\nmodels: [gpt2, llama, t5, microworld/llama-large, microworld/t5-small-tuned]\n"
    )
    for entry in studies.load(str(tmp_path / "mine.yaml")).entries:
        widths[entry.member_name] = brains.width_of(entry)
    assert widths["llama-large"] == 96 and widths["t5-small-tuned"] == 32
    for name, key in (("gpt2", "n_embd"), ("llama", "hidden_size"), ("t5", "d_model")):
        assert widths[name] == json.loads((tmp_path / name / "config.json").read_text())[key]


def test_unique_variance_is_that_of_all_layers_beside_length_and_position(recording):
    table = brains.unique_variance(Features(LAYERS, at_parts=False), recording)
    recipe = protocols.resolve("contiguous", recording)
    made = controls.features(recording)
    nuisance = {name: made[name] for name in brains.NUISANCE}

    def explained(bands):
        responses = volumes.responses_of(recording, recipe.splits).astype(float)
        splits, groups = protocols.splits_of(recipe, recording), protocols.groups_of(recording)
        return banded.banded_ridge(bands, responses, splits, groups, brains.WEIGHTS)

    plain = {"both": explained({"model": brains.side_by_side(LAYERS), **nuisance}), "nuisance": explained(nuisance)}
    plain["unique"] = plain["both"] - plain["nuisance"]
    owners = recording.units.participant.to_numpy()
    assert list(table.participant) == ["p0", "p1", "p2"]
    for row in table.itertuples():
        for column, values in plain.items():
            assert getattr(row, column) == pytest.approx(np.median(values[owners == row.participant]), abs=1e-9)


def test_what_length_and_position_explain_is_computed_once_a_recording(recording, monkeypatch):
    features, asked = Features(LAYERS, at_parts=False), []
    brains.unique_variance(features, recording)
    monkeypatch.setattr(brains, "_explained", lambda bands, _: asked.append(list(bands)) or np.zeros(9))
    brains.unique_variance(features, recording)
    assert asked == [["model", *brains.NUISANCE]]
    brains.unique_variance(features, dataclasses.replace(recording, responses=-recording.responses))
    assert asked[1:] == [["model", *brains.NUISANCE], [*brains.NUISANCE]]


def test_similarities_are_those_of_each_layer_with_all_responses(recording):
    flat = {**LAYERS, "flat": np.ones((len(STORIES), 4))}
    table = brains.similarities(Features(flat, at_parts=True), recording).set_index("layer")
    responses = volumes.responses_of(recording, protocols.resolve("aw2024", recording).splits)
    subsets = similarity.brainscore_subsets(len(responses))
    for layer, x in LAYERS.items():
        assert table.cka[layer] == pytest.approx(similarity.linear_cka(x, responses, subsets))
        assert table.rsa[layer] == pytest.approx(similarity.rsa(x, responses, subsets))
    assert table.loc["flat", ["cka", "rsa"]].isna().all()
