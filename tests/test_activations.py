"""Activations against the plain loop that reads every beginning of a passage by itself."""

import sys
from functools import partial

import close
import numpy as np
import pytest
import tiny
import torch
import transformers
from plain import beginning, states_of

from brainalign import store
from brainalign.human.recording import Passage
from brainalign.llm import activations, surprisal
from brainalign.llm.models import networks
from brainalign.llm.models.load import load
from brainalign.llm.reading import batches
from brainalign.llm.reading.activations import layer_names
from brainalign.llm.reading.loss import loss

ODD = Passage(
    "odd",
    (
        "Once upon a time,",
        'there  was a "girl" named Lily ',
        ".",
        "",
        "She liked naïve 日本 cafés",
        " ,  and",
        "a",
        "ball !",
    ),
)
STORY = Passage("story", tuple((tiny.TEXT * 2).split()[:150]))
SHORT = Passage("short", ("What would you do", "if you were a bird?"))
POSITIONS = 64


@pytest.fixture(scope="module", params=["gpt2", "llama", "t5"])
def model(request, tmp_path_factory):
    return load(getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return load(tiny.gpt2(tmp_path_factory.mktemp("gpt2")))


@pytest.fixture
def bare(model, monkeypatch):
    """The model without its final norms: what is computed before them is the same."""
    network = model.network
    stacks = [network.encoder, network.decoder] if model.encoder_decoder else [network.base_model]
    for stack in stacks:
        name = next(name for name in ("final_layer_norm", "ln_f", "norm") if hasattr(stack, name))
        monkeypatch.setitem(stack._modules, name, torch.nn.Identity())
    return model


assert_close = partial(close.assert_close, share=1e-4, axis=(1, 2))  # of each layer's scale


# Against the plain loop


@pytest.mark.parametrize("passages", [[ODD], [SHORT, ODD, SHORT]], ids=["one", "three"])
def test_every_layer_and_part_is_that_of_the_plain_loop(model, bare, passages):
    ours = activations(model, passages)
    plain = [states_of(bare, beginning(p, part))[:, -1] for p in passages for part in range(len(p.parts))]
    assert_close(ours.to_numpy(), np.stack(plain, axis=1))
    assert ours.dims == ("layer", "part", "feature") and list(ours.layer) == layer_names(model)
    assert list(ours.text) == [part for p in passages for part in p.parts]
    assert ours.attrs["parts_encoded_anew"] <= 3


def test_of_a_network_that_sees_too_the_layers_are_those_that_read(tmp_path):
    folder = tiny.llama(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    reads = {"vocab_size": 500, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "head_dim": 8,
             "num_key_value_heads": 2, "num_hidden_layers": 3}  # fmt: skip
    sees = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14}  # fmt: skip
    config = transformers.Gemma3Config(text_config=reads, vision_config=sees)
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    model = load(folder)
    ours = activations(model, [SHORT])
    states = np.stack([states_of(model, beginning(SHORT, part))[:, -1] for part in range(len(SHORT.parts))], axis=1)
    assert list(ours.layer) == layer_names(model) == ["0", "1", "2", "3"] and model.n_layers == 3
    assert_close(ours.to_numpy()[:3], states[:3])  # the last has its norm applied there


def test_a_story_longer_than_the_positions_is_that_of_the_plain_loop(model, bare):
    ours = activations(model, [STORY], long="exact")
    most = None if model.encoder_decoder else POSITIONS
    plain = [states_of(bare, beginning(STORY, part), most)[:, -1] for part in range(len(STORY.parts))]
    assert_close(ours.to_numpy(), np.stack(plain, axis=1))
    assert ours.attrs["identity"]["long"] == "exact"


def test_strided_windows_change_only_what_does_not_fit(gpt2):
    exact, strided = (activations(gpt2, [STORY], long=long).to_numpy() for long in ("exact", "strided"))
    lengths = [len(gpt2.tokenizer(beginning(STORY, part))["input_ids"]) for part in range(len(STORY.parts))]
    fits = np.array(lengths) <= POSITIONS
    assert 0 < fits.sum() < len(fits)
    assert_close(strided[:, fits], exact[:, fits])
    assert np.abs(strided[:, ~fits] - exact[:, ~fits]).max() > 0.1


def test_the_mean_is_over_the_tokens_of_the_part(model, bare):
    ours = activations(model, [SHORT], pooling="mean").to_numpy()
    first, both = (states_of(bare, beginning(SHORT, part)) for part in (0, 1))
    n = len(model.tokenizer(SHORT.parts[0], add_special_tokens=False)["input_ids"])
    assert_close(ours, np.stack([first[:, -n:].mean(axis=1), both[:, first.shape[1] :].mean(axis=1)], axis=1))


def test_context_is_counted_in_parts(model, bare):
    ours = activations(model, [ODD], context=2)
    plain = [states_of(bare, beginning(ODD, part, 2))[:, -1] for part in range(len(ODD.parts))]
    assert_close(ours.to_numpy(), np.stack(plain, axis=1))


def test_an_empty_part_has_the_state_of_what_was_read(gpt2):
    ours = activations(gpt2, [Passage("p", ("Once upon", "", "a time"))]).to_numpy()
    np.testing.assert_array_equal(ours[:, 0], ours[:, 1])


# Batches


def test_batches_do_not_change_what_is_found(model, monkeypatch):
    passages = [SHORT, ODD, Passage("again", SHORT.parts * 3)]
    together = activations(model, passages).to_numpy()
    monkeypatch.setenv("BRAINALIGN_STORE", str(store.root()) + "-other")
    monkeypatch.setattr(batches, "MEMORY", 1)
    alone = activations(model, passages).to_numpy()
    assert_close(alone, together)


def test_a_batch_that_runs_out_of_memory_is_halved(gpt2, monkeypatch):
    passages = [Passage(str(n), STORY.parts[: n + 1]) for n in range(8)]
    expected = activations(gpt2, passages).to_numpy()
    monkeypatch.setenv("BRAINALIGN_STORE", str(store.root()) + "-other")
    sizes, forward = [], gpt2.network.base_model.forward

    def small(input_ids, **given):
        sizes.append(len(input_ids))
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return forward(input_ids=input_ids, **given)

    monkeypatch.setattr(gpt2.network.base_model, "forward", small)
    assert_close(activations(gpt2, passages).to_numpy(), expected)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_a_batch_is_read_in_pieces_where_a_process_was_killed_for_its_memory(gpt2, monkeypatch):
    passages = [Passage(str(n), STORY.parts[: n + 1]) for n in range(8)]
    expected = activations(gpt2, passages).to_numpy()
    monkeypatch.setenv("BRAINALIGN_STORE", str(store.root()) + "-other")
    monkeypatch.setenv(batches.PIECES, "3")
    sizes, forward = [], gpt2.network.base_model.forward

    def small(input_ids, **given):
        sizes.append(len(input_ids))
        return forward(input_ids=input_ids, **given)

    monkeypatch.setattr(gpt2.network.base_model, "forward", small)
    assert_close(activations(gpt2, passages).to_numpy(), expected)
    assert sizes == [3, 3, 2]


def test_what_was_saved_counts_when_the_rest_is_read_in_pieces(gpt2, monkeypatch):
    passages = [Passage(str(n), STORY.parts[: n + 1]) for n in range(8)]
    expected = activations(gpt2, passages).to_numpy()
    monkeypatch.setenv("BRAINALIGN_STORE", str(store.root()) + "-other")
    monkeypatch.setattr(store.resumed, "__defaults__", (0.0,))
    halves = lambda model, windows: [batches.Batch(windows[:4]), batches.Batch(windows[4:])]  # noqa: E731
    monkeypatch.setattr(sys.modules[activations.__module__], "batched", halves)
    sizes, forward = [], gpt2.network.base_model.forward

    def failing(input_ids, **given):
        sizes.append(len(input_ids))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return forward(input_ids=input_ids, **given)

    monkeypatch.setattr(gpt2.network.base_model, "forward", failing)
    with pytest.raises(KeyboardInterrupt):
        activations(gpt2, passages)
    monkeypatch.setenv(batches.PIECES, "4")
    assert_close(activations(gpt2, passages).to_numpy(), expected)
    assert sizes == [4, 4, 1, 1, 1, 1]


def test_a_window_that_fits_nowhere_says_what_to_do(gpt2, monkeypatch):
    def full(**given):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")

    monkeypatch.setattr(gpt2.network.base_model, "forward", full)
    with pytest.raises(MemoryError, match=r"one window of \d+ tokens does not fit .*device='auto'"):
        activations(gpt2, [SHORT])


def test_other_errors_are_not_taken_for_a_lack_of_memory(gpt2, monkeypatch):
    def broken(**given):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(gpt2.network.base_model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        activations(gpt2, [SHORT])


# The store


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.t5])
@pytest.mark.parametrize("untrained", [None, 0])
def test_what_is_in_the_store_is_read_without_weights(tmp_path, make, untrained, monkeypatch):
    folder = make(tmp_path / "model")
    readings = (activations, surprisal, lambda model, passages: loss(model, [tiny.TEXT]))
    first = [reading(load(folder, untrained=untrained), [SHORT]) for reading in readings]
    for name in ("fresh", "trained"):
        monkeypatch.setattr(networks, name, lambda *_: pytest.fail("weights were read"))
    model = load(folder, untrained=untrained)
    for reading, before in zip(readings, first, strict=True):
        again = reading(model, [SHORT])
        assert again.equals(before) and again.attrs == before.attrs


def test_nothing_is_computed_twice(gpt2, monkeypatch):
    first = activations(gpt2, [SHORT])
    monkeypatch.setattr(gpt2.network.base_model, "forward", None)
    again = activations(gpt2, [SHORT])
    assert again.identical(first)
    for other in ({"pooling": "mean"}, {"context": 1}, {"long": "exact"}):
        with pytest.raises(TypeError):
            activations(gpt2, [SHORT], **other)
    with pytest.raises(TypeError):
        activations(gpt2, [Passage("short", ("What would you do", "if you were a cat?"))])
    np.testing.assert_array_equal(activations(gpt2, [Passage("other name", SHORT.parts)]), first)


def test_what_a_killed_run_has_done_is_not_done_again(gpt2, monkeypatch):
    passages = [Passage(str(n), STORY.parts[: n + 1]) for n in range(6)]
    whole = activations(gpt2, passages).to_numpy()
    (path,) = (store.root() / "activations").glob("*.safetensors")
    bytes_of = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(batches, "MEMORY", 1)  # a batch a window
    monkeypatch.setattr(store.resumed, "__defaults__", (0.0,))  # save after every batch
    calls, forward = [], gpt2.network.base_model.forward

    def killed(**given):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(1)
        return forward(**given)

    monkeypatch.setattr(gpt2.network.base_model, "forward", killed)
    with pytest.raises(KeyboardInterrupt):
        activations(gpt2, passages)
    monkeypatch.setattr(gpt2.network.base_model, "forward", lambda **given: calls.append(1) or forward(**given))
    assert_close(activations(gpt2, passages).to_numpy(), whole)
    assert len(calls) == 6
    resumed = path.read_bytes()
    path.unlink()
    activations(gpt2, passages)
    assert path.read_bytes() == resumed and len(resumed) == len(bytes_of)


# Progress


def test_progress_names_model_text_batch_and_speed(gpt2, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    activations(gpt2, [SHORT], text="two questions")
    shown = capsys.readouterr().err
    for words in (f"{gpt2.name}, two questions", "batch 1 of 1", "tokens/s"):
        assert words in shown


def test_nothing_is_shown_where_nobody_looks(gpt2, capsys):
    activations(gpt2, [SHORT])
    assert capsys.readouterr() == ("", "")


# Bad input


def test_states_that_are_not_finite_are_named(gpt2, monkeypatch):
    block, part = gpt2.network.base_model.h[1], len(gpt2.tokenizer(SHORT.parts[0])["input_ids"])
    forward = block.forward

    def overflowing(states, *given, **named):
        states = forward(states, *given, **named)
        (states[0] if isinstance(states, tuple) else states)[:, part:] = float("inf")
        return states

    monkeypatch.setattr(block, "forward", overflowing)
    with pytest.raises(ValueError, match=r"layer 2 is not finite at passage 'short', part 2 .*bfloat16"):
        activations(gpt2, [SHORT])


def test_unknown_names_suggest_known_ones(gpt2):
    with pytest.raises(LookupError, match="Known: last, mean"):
        activations(gpt2, [SHORT], pooling="first")
    with pytest.raises(LookupError, match="Did you mean strided"):
        activations(gpt2, [SHORT], long="stride")


def test_a_text_without_parts_and_a_context_of_none_are_errors(gpt2):
    with pytest.raises(ValueError, match="there are no passages"):
        activations(gpt2, [])
    with pytest.raises(ValueError, match="1 or more parts, not 0"):
        activations(gpt2, [SHORT], context=0)


def test_a_part_without_anything_to_read_is_an_error(gpt2):
    with pytest.raises(ValueError, match=r"passage 'p', part 1 \(' '\) has no tokens, nor does anything before it"):
        activations(gpt2, [Passage("p", (" ", "Once"))])
