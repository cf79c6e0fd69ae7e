"""Controls that take a model's states again: against the plain way, and computed once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tiny
from recordings import STORIES, noise, reading

from brainalign import llm
from brainalign import study as studies
from brainalign.alignment import banded, controls, gram, protocols, volumes
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.alignment.summary import ALL, POOLED
from brainalign.paper import brain_controls


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of two models of different width and two controls, on three people."""
    tiny.gpt2(tmp_path / "wide")
    tiny.t5(tmp_path / "other")
    text = [" ".join(tiny.TEXT.split()[place : place + 4]) for place in range(len(STORIES))]
    recording = reading(noise(len(STORIES), 9), STORIES, n_participants=3, text=text)
    monkeypatch.setattr(studies, "load_recordings", lambda study: {"mine": recording})
    (tmp_path / "mine.yaml").write_text(
        "title: M\nevidence: people\nprotocols: [aw2024, contiguous]\nmodels: [wide, other]\ncontrols: [oasm, length]\n"
    )
    return studies.load(str(tmp_path / "mine.yaml")), recording


def layers_of(study, name, recording, protocol):
    states = llm.activations(studies.load_model(study, name), recording.passages)
    return {str(k): to_stimuli(states.sel(layer=k).to_numpy(), recording, protocol) for k in states.layer.to_numpy()}


def test_layers_side_by_side_are_all_their_features():
    layers = {"0": noise(20, 7, 1), "1": 9 * noise(20, 30, 2), "constant": np.ones((20, 3)), "2": noise(20, 40, 3)}
    ours = brain_controls.side_by_side(layers)
    centered = [x - x.mean(axis=0) for name, x in layers.items() if name != "constant"]
    plain = np.concatenate([x / np.sqrt((x**2).sum() / len(x)) for x in centered], axis=1)
    assert ours.shape == (20, 20)
    np.testing.assert_allclose(ours @ ours.T, plain @ plain.T, atol=1e-10)
    train, test = np.arange(15), np.arange(15, 20)
    one, two = (gram.ridge(gram.spectrum(gram.gram(x), train, test), 0.5) for x in (ours, plain))
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_results_of_some_layers_are_those_of_models_without_the_others(study, monkeypatch):
    settings, recording = study
    tables = [
        brain_alignment(layers_of(settings, name, recording, protocol), recording, protocol).assign(model=name)
        for name in ("wide", "other")
        for protocol in settings.protocols
    ]
    rows = pd.concat(tables).merge(studies.models(settings), left_on="model", right_index=True)
    monkeypatch.setattr(studies, "results", lambda study, analysis: rows)
    some = brain_controls.of_layers(settings, "1:3")
    assert set(some) >= set(rows) - {"index"} and set(some.model) == {"wide", "other"}
    keys = ["model", "protocol", "layer", "participant", "region", "split"]
    single = some[some.layer != "nested"].set_index(keys).r
    assert set(single.index.get_level_values("layer")) == {"1", "2", "encoder.1", "encoder.2"}
    np.testing.assert_allclose(single, rows.set_index(keys).r[single.index], atol=1e-6)
    nested = some[(some.model == "wide") & (some.protocol == "contiguous") & some.chosen].set_index(keys[3:]).r
    layers = dict(list(layers_of(settings, "wide", recording, "contiguous").items())[1:3])
    plain = brain_alignment(layers, recording, "contiguous")
    np.testing.assert_allclose(nested, plain[plain.chosen].set_index(keys[3:]).r[nested.index], atol=1e-6)
    for layers, message in (("2", "range FIRST:END"), ("a:b", "range FIRST:END"), ("9:", "layers, and none in 9:")):
        with pytest.raises(ValueError, match=message):
            brain_controls.of_layers(settings, layers)


def test_scores_at_one_width_are_those_of_projected_features(study):
    settings, recording = study
    assert set(brain_controls.widths(settings)) == {"wide", "other"}
    width = min(brain_controls.widths(settings).values()) // 2
    table = brain_controls.at_width(settings, width)
    assert set(table.model) == {"wide", "other", "oasm"}  # length is narrow as it is
    for name, protocol in [("wide", "aw2024"), ("other", "contiguous"), ("oasm", "contiguous")]:
        if name == "oasm":
            layers = {"features": controls.oasm(recording)}
        else:
            layers = layers_of(settings, name, recording, protocol)
        narrow = {k: controls.project(x, width, settings.seed) for k, x in layers.items()}
        plain = brain_alignment(narrow, recording, protocol)
        plain = plain[plain.chosen & (plain.region == ALL) & (plain.split == ALL)].set_index("participant").r
        mine = table[(table.model == name) & (table.protocol == protocol)].set_index("participant").r
        assert set(mine.index) == {POOLED, "p0", "p1", "p2"}
        np.testing.assert_allclose(mine, plain[mine.index], atol=1e-6)


def test_unique_variance_is_that_of_all_layers_beside_length_and_position(study):
    settings, recording = study
    table = brain_controls.unique_variance(settings)
    assert set(table.model) == {"wide", "other"}
    recipe = protocols.of("contiguous", recording)
    made = controls.of(recording)
    plain = banded.unique_variance(
        brain_controls.side_by_side(layers_of(settings, "wide", recording, "contiguous")),
        {name: made[name] for name in brain_controls.NUISANCE},
        volumes.responses_of(recording, recipe.splits).astype(float),
        protocols.splits_of(recipe, recording),
        protocols.groups_of(recording),
        brain_controls.WEIGHTS,
    )
    mine = table[table.model == "wide"].set_index("participant")
    owners = recording.units.participant.to_numpy()
    for participant, row in mine.iterrows():
        own = owners == participant
        for column in ("both", "nuisance", "unique"):
            assert row[column] == pytest.approx(np.median(getattr(plain, column)[own]), abs=1e-9)


def test_what_was_found_is_kept_until_responses_change(study, monkeypatch):
    settings, recording = study
    first = brain_controls.at_width(settings, 4)
    monkeypatch.setattr(brain_controls, "_scores", lambda *_: pytest.fail("computed again"))
    assert brain_controls.at_width(settings, 4).equals(first)
    changed = dataclasses.replace(recording, responses=-recording.responses)
    monkeypatch.setattr(studies, "load_recordings", lambda study: {"mine": changed})
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        brain_controls.at_width(settings, 4)


def test_a_width_that_a_model_lacks_is_an_error(study):
    with pytest.raises(ValueError, match="width"):
        brain_controls.at_width(study[0], 10_000)
