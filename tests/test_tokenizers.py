"""Tokenizers: what is saved with one beside its tokens, and special tokens that a text spells out."""

import json
from functools import cache

import numpy as np
import pytest
import tiny
import torch
import transformers
from close import assert_close
from plain import bits_after

from brainalign.human.recording import Passage
from brainalign.llm import activations, surprisal
from brainalign.llm.models.load import load
from brainalign.llm.reading.loss import loss
from brainalign.llm.reading.tokens import encode, special_tokens
from brainalign.llm.tuning import samples

WORDS = ("Once", "upon", "a", "time", "there", "was", "a", "little", "girl", "named", "Lily")
MAKERS = {"gpt2": tiny.gpt2, "llama": tiny.llama, "t5": tiny.t5}
SPELLED = "Lily <s>saw</s> a <pad> in<|endoftext|> the park"
PADDING = {
    "strategy": {"Fixed": 20},
    "direction": "Left",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "<pad>",
}
TRUNCATION = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}


@pytest.fixture(params=MAKERS)
def folder(request, tmp_path):
    return MAKERS[request.param](tmp_path / request.param)


def save_with(folder, **entries):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


# What is saved with a tokenizer


@pytest.mark.parametrize("state", [{"padding": PADDING}, {"truncation": TRUNCATION}], ids=["padding", "truncation"])
def test_padding_and_truncation_that_were_saved_are_switched_off(folder, state):
    passages = [Passage("p", WORDS)]
    expected = load(folder)
    bits, states = surprisal(expected, passages), activations(expected, passages)
    around = special_tokens(expected.tokenizer)
    model = load(save_with(folder, **state))
    assert special_tokens(model.tokenizer) == around
    assert special_tokens(model.tokenizer) == around  # nor is the second call another
    assert_close(surprisal(model, passages), bits)
    assert_close(activations(model, passages), states)
    assert model.identity["tokenizer"].startswith("without padding")
    assert "tokenizer" not in expected.identity  # what is stored of other models still counts


def test_merges_are_not_left_out_by_chance(tmp_path):
    folder = tiny.gpt2(tmp_path / "model")
    expected = [encoded.ids for encoded in encode(load(folder).tokenizer, [" ".join(WORDS)])]
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokenizer = load(save_with(folder, model=vocabulary | {"dropout": 0.5})).tokenizer
    assert all([encoded.ids for encoded in encode(tokenizer, [" ".join(WORDS)])] == expected for _ in range(5))


# Special tokens that are spelled out


def plain_ids(folder, text: str) -> list[int]:
    """Tokens of a text none of which is special: transformers' own, or of a Unigram model the best of all ways."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    if model["type"] == "BPE":
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    pieces = {piece: (number, score) for number, (piece, score) in enumerate(model["vocab"])}
    for special in tokenizer.all_special_tokens:
        pieces.pop(special)
    unknown = min(score for _, score in model["vocab"]) - 10

    @cache
    def best(rest: str) -> tuple[float, list[int]]:
        ways = [(0.0, [])] if not rest else [(unknown + best(rest[1:])[0], [2, *best(rest[1:])[1]])]
        for end in range(1, len(rest) + 1):
            if rest[:end] in pieces:
                number, score = pieces[rest[:end]]
                ways.append((score + best(rest[end:])[0], [number, *best(rest[end:])[1]]))
        return max(ways, key=lambda way: way[0])

    ids = [token for word in text.split(" ") for token in best("▁" + word)[1]]
    # Unknown letters in a row are one unknown token.
    return [token for place, token in enumerate(ids) if not (token == 2 == ids[place - 1] and place)]


def test_special_tokens_in_a_text_are_text(folder):
    tokenizer = load(folder).tokenizer
    expected = plain_ids(folder, SPELLED)
    (encoded,) = encode(tokenizer, [SPELLED])
    assert encoded.ids == expected
    assert not set(encoded.ids) & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
    before, after = special_tokens(tokenizer)
    (whole,) = encode(tokenizer, [SPELLED], special_tokens=True)
    assert whole.ids == [*before, *expected, *after]
    tokenizer(SPELLED)  # transformers sets anew what a tokenizer does with special tokens
    assert encode(tokenizer, [SPELLED])[0].ids == expected


@torch.inference_mode()
@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama])
def test_words_that_spell_a_special_token_are_scored_as_text(make, tmp_path):
    folder = make(tmp_path / "model")
    model = load(folder)
    ids = plain_ids(folder, SPELLED)
    logits = model.network(torch.tensor([[model.tokenizer.bos_token_id, *ids]])).logits[0, :-1].double()
    expected = -torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None]).sum() / np.log(2)
    ours = surprisal(model, [Passage("p", tuple(SPELLED.split()))])
    assert ours.sum() == pytest.approx(float(expected), rel=1e-5)
    assert ours.attrs["identity"]["special_tokens"] == "spelled out"
    plain = surprisal(model, [Passage("p", WORDS)])
    assert "special_tokens" not in plain.attrs["identity"]
    assert plain.sum() == pytest.approx(bits_after(model, " ".join(WORDS), 0), rel=1e-5)


@pytest.mark.parametrize("encoder_decoder", [True, False])
@pytest.mark.parametrize("condition", samples.CONDITIONS)
def test_special_tokens_in_samples_are_text(folder, condition, encoder_decoder):
    tokenizer = load(folder).tokenizer
    control = set(tokenizer.all_special_ids) - ({tokenizer.unk_token_id} if tokenizer.unk_token == "<unk>" else set())

    def controls(*texts: str) -> list[list[int]]:
        sample = dict(zip(samples.FIELDS, texts, strict=True))
        (example,) = samples.encode(tokenizer, [sample], encoder_decoder, condition)
        return [[token for token in ids if token in control] for ids in (example.source, example.target)]

    spelled = controls("What is <s>?", "</s> <|endoftext|>", "It is a </s> <pad>")
    assert spelled == controls("What is it?", "a girl", "It is a tree")


# Words outside the vocabulary


def test_words_with_unknown_tokens_have_no_surprisal(tmp_path):
    words = ("Lily", "日本", "saw", "ウサギ", "in", "the日", "park", "日本")
    model = load(tiny.t5(tmp_path / "model"))
    with pytest.warns(UserWarning, match=r"4 words with letters that are not.*: 日本, ウサギ, the日\."):
        ours = surprisal(model, [Passage("p", words)])
    assert np.flatnonzero(np.isnan(ours)).tolist() == [1, 3, 5, 7]
    assert ours.attrs["unknown_words"] == 4 and ours.attrs["unknown"] == ["日本", "ウサギ", "the日"]
    ids = model.tokenizer(" ".join(words), return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = model.network(input_ids=ids, labels=ids[:, :-1]).logits[0].double()
    tokens = -torch.log_softmax(logits, -1).gather(1, ids[0, :-1, None])[:, 0] / np.log(2)
    lengths = [len(model.tokenizer(word, add_special_tokens=False).input_ids) for word in words]
    expected = np.array([part.sum() for part in np.split(tokens.numpy(), np.cumsum(lengths)[:-1])])
    scored = ~np.isnan(ours.to_numpy())
    assert_close(ours[scored], expected[scored])


def test_words_inside_the_vocabulary_are_stored_as_before(tmp_path):
    ours = surprisal(load(tiny.t5(tmp_path / "model")), [Passage("p", WORDS)])
    assert "unknown_tokens" not in ours.attrs["identity"] and "unknown_words" not in ours.attrs


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama])
def test_what_is_spelled_in_bytes_is_never_unknown(make, tmp_path):
    ours = surprisal(load(make(tmp_path / "model")), [Passage("p", ("Lily", "日本", "saw"))])
    assert np.isfinite(ours).all() and "unknown_words" not in ours.attrs


def test_there_are_no_bytes_where_tokens_are_unknown(tmp_path):
    model = load(tiny.t5(tmp_path / "model"))
    with pytest.warns(UserWarning, match=r"2 tokens for letters.*no bits per byte"):
        table = loss(model, ["Lily saw ", "a 日本 in the 日 ", "park"])
    assert table.bytes.isna().tolist() == [False, True, False]
    assert np.isfinite(table.nats).all() and table.attrs["unknown_tokens"] == 2
