"""Models of the microworld: what they are trained on, that they learn it, and that they are made once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from brainalign import llm
from brainalign.human.recording import Passage
from brainalign.microworld import grammar, learners, make, questions

WORLD = make(seed=0)


@pytest.fixture(autouse=True)
def little(monkeypatch):
    """Shapes and texts so little that training takes seconds."""
    few = {
        "llama-small": replace(learners.SHAPES["llama-small"], width=16, n_blocks=1, n_steps=60),
        "t5-small": replace(learners.SHAPES["t5-small"], width=16, n_blocks=1, n_steps=60, batch_size=8),
    }
    monkeypatch.setattr(learners, "SHAPES", few)
    monkeypatch.setattr(learners, "N_WORDS", 4000)
    monkeypatch.setattr(learners, "N_RECITATIONS", 50)
    monkeypatch.setattr(learners, "N_SAMPLES", 48)
    monkeypatch.setattr(learners, "TUNING", replace(learners.TUNING, checkpoints=(0, 2)))


def loss(folder):
    """Mean bits a word of a text that is not in the corpus."""
    (story,) = grammar.stories(WORLD, 1, 30, seed=7)
    return float(llm.surprisal(llm.load(folder), [Passage("story", tuple(str(story).split()))]).mean())


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_tokenizer_knows_every_word_that_anybody_says(family):
    words = learners.tokenizer(family)
    said = [str(text) for text in grammar.corpus(WORLD, 3000)] + questions.recitations(WORLD, 100)
    said += [one.prompt + " " + " ".join(one.choices) for one in questions.questions(WORLD)]
    samples = questions.instructions(WORLD, 100)
    said += [learners.samples.prompt(one) + one["output"] for one in samples]
    unknown = words.unk_token_id
    assert [text for text in said if unknown in words(text).input_ids] == []
    assert words("Zyx").input_ids.count(unknown) == 1


def test_causal_examples_tile_the_stream_of_texts():
    shape = learners.SHAPES["llama-small"]
    examples, stream = learners._examples(WORLD, shape), learners._stream(WORLD)
    assert {len(one.target) for one in examples} == {shape.length} and not any(one.source for one in examples)
    joined = np.concatenate([one.target for one in examples])
    np.testing.assert_array_equal(joined, stream[: len(joined)])
    assert len(stream) - len(joined) < shape.length
    assert (stream[np.flatnonzero(stream == learners.END)[:-1] + 1] == learners.BEGIN).all()


def test_an_encoder_reads_the_beginning_of_a_piece_and_the_decoder_goes_on():
    examples = learners._examples(WORLD, learners.SHAPES["t5-small"])
    whole = " ".join(map(str, learners._stream(WORLD)))
    assert all(one.source[-1] == learners.END and len(one.source) > 1 and one.target for one in examples)
    for one in examples[::20]:
        assert " ".join(map(str, [*one.source[:-1], *one.target])) in whole
    assert len({len(one.source) for one in examples}) > 10


@pytest.mark.parametrize("name", ["llama-small", "t5-small"])
def test_a_model_learns_and_is_made_once(name):
    folder = learners.pretrained(WORLD, name)
    twin = llm.load(folder, untrained=0)
    trained = llm.load(folder)
    assert trained.n_parameters == twin.n_parameters and trained.encoder_decoder == (name == "t5-small")
    assert not folder.with_suffix(".run").exists()
    if name == "llama-small":
        assert loss(folder) < np.log2(trained.n_vocabulary) - 1
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert learners.pretrained(WORLD, name) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_made_anew_a_model_is_the_same(monkeypatch, tmp_path):
    ours = learners.tuned(WORLD, "llama-small")
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "elsewhere"))
    again = learners.tuned(WORLD, "llama-small")
    assert list(ours) == list(again)
    for step in ours:
        assert ours[step] != again[step] and ours[step].name == again[step].name
        assert (ours[step] / "model.safetensors").read_bytes() == (again[step] / "model.safetensors").read_bytes()


def test_another_world_or_another_recipe_is_another_model(monkeypatch):
    here = learners._folder("llama-small", learners._identity(WORLD, "llama-small"))
    assert here != learners._folder("llama-small", learners._identity(make(seed=1), "llama-small"))
    longer = replace(learners.SHAPES["llama-small"], n_steps=61)
    monkeypatch.setitem(learners.SHAPES, "llama-small", longer)
    assert here != learners._folder("llama-small", learners._identity(WORLD, "llama-small"))


def test_tuning_begins_with_the_base_and_keeps_checkpoints():
    folders = learners.tuned(WORLD, "llama-small")
    steps = list(folders)
    assert steps[:2] == [0, 2] and len(steps) == 3
    base, first, last = map(weights, (learners.pretrained(WORLD, "llama-small"), folders[0], folders[steps[-1]]))
    assert all(torch.equal(base[name], first[name]) for name in base)
    assert any(not torch.equal(base[name], last[name]) for name in base)
    assert learners.tuned(WORLD, "llama-small") == folders
    hows = (
        replace(learners.TUNING, condition="no-instruction"),
        replace(learners.TUNING, recipe=replace(learners.TUNING.recipe, seed=1)),
    )
    others = [learners.tuned(WORLD, "llama-small", how) for how in hows]
    assert len({folder[0].parent for folder in (folders, *others)}) == 3
    ends = [weights(list(folder.values())[-1]) for folder in (folders, *others)]
    name = "model.embed_tokens.weight"
    assert not torch.equal(ends[0][name], ends[1][name]) and not torch.equal(ends[0][name], ends[2][name])


def test_an_unknown_model_is_named():
    with pytest.raises(LookupError, match=r"llama-smal'\. Did you mean llama-small"):
        learners.pretrained(WORLD, "llama-smal")
    with pytest.raises(LookupError, match="llama-smal"):
        learners.tuned(WORLD, "llama-smal")
