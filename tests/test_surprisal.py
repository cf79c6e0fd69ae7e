"""Surprisal against the plain loop that reads the text up to each word, and against a whole text's probability."""

import itertools

import numpy as np
import pytest
import tiny
import torch
from close import assert_close
from plain import beginning, bits_after

from brainalign.human.recording import Passage
from brainalign.llm import surprisal
from brainalign.llm.models.load import load

ODD = Passage(
    "odd", ("Once upon", "a time, ", 'there  was "a girl"', "", "who", "liked naïve 日本 cafés", "and", "3", "balls !")
)
POSITIONS = 64
STORY = Passage("story", tuple((tiny.TEXT * 2).split()[:150]))


def plain(model, passage: Passage, most: int | None = None) -> list[float]:
    before = ["", *(beginning(passage, part) for part in range(len(passage.parts)))]
    return [bits_after(model, text, len(seen), most) for seen, text in itertools.pairwise(before)]


# Against the plain loop


@pytest.mark.parametrize("passages", [[ODD], [STORY, ODD]], ids=["odd", "two"])
def test_every_word_is_that_of_the_plain_loop(causal, passages):
    passages = [Passage(p.id, p.parts[:20]) for p in passages]
    ours = surprisal(causal, passages)
    expected = [bits for passage in passages for bits in plain(causal, passage)]
    assert_close(ours.to_numpy(), expected)
    assert list(ours.text) == [part for passage in passages for part in passage.parts]
    assert ours.attrs["units"] == "bits"


def test_a_story_longer_than_the_positions_is_that_of_the_plain_loop(causal):
    ours = surprisal(causal, [STORY], long="exact")
    assert_close(ours.to_numpy(), plain(causal, STORY, POSITIONS))


def test_strided_windows_keep_the_words_that_fit(causal):
    exact, strided = (surprisal(causal, [STORY], long=long).to_numpy() for long in ("exact", "strided"))
    fits = np.array([len(causal.tokenizer(beginning(STORY, part))["input_ids"]) for part in range(150)]) < POSITIONS
    assert_close(strided[fits], exact[fits])
    assert np.isfinite(strided).all() and np.corrcoef(strided, exact)[0, 1] > 0.9


def test_words_add_up_to_the_text(causal):
    passage = Passage("p", STORY.parts[:25])
    total = bits_after(causal, " ".join(passage.parts), 0)
    assert surprisal(causal, [passage]).sum() == pytest.approx(total, rel=1e-5)


def test_an_empty_word_surprises_nobody(causal):
    assert surprisal(causal, [Passage("p", ("Once", "", "upon"))])[1] == 0


# The first word


def test_the_first_word_comes_after_the_beginning_of_the_text(causal):
    assert surprisal(causal, [ODD]).attrs["first_word"].startswith("after <")


def test_the_first_word_is_missing_where_nothing_stands_for_the_beginning(tmp_path):
    model = load(tiny.gpt2(tmp_path))
    expected = surprisal(model, [ODD, STORY])
    model.tokenizer.bos_token = None
    model.identity["tokenizer"] = "without a beginning"
    ours = surprisal(model, [ODD, STORY])
    assert np.flatnonzero(np.isnan(ours)).tolist() == [0, len(ODD.parts)]
    assert ours.attrs["first_word"].startswith("missing") and ours.shape == expected.shape


# Encoder-decoder models


@torch.inference_mode()
def bits_of(model, encoder: str, decoder: str) -> np.ndarray:
    """Bits of each token of the decoder's text."""
    ids = model.tokenizer(encoder, return_tensors="pt")["input_ids"]
    labels = model.tokenizer(decoder, add_special_tokens=False, return_tensors="pt")["input_ids"]
    logits = model.network(input_ids=ids, labels=labels).logits[0].double()
    return -(torch.log_softmax(logits, -1).gather(1, labels[0, :, None])[:, 0] / np.log(2)).numpy()


def test_copy_reads_the_same_text_in_both(t5):
    words = STORY.parts[:30]
    ours = surprisal(t5, [Passage("p", words)], mode="copy")
    lengths = [len(t5.tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words]
    tokens = bits_of(t5, " ".join(words), " ".join(words))
    expected = [some.sum() for some in np.split(tokens, np.cumsum(lengths)[:-1])]
    assert_close(ours, expected)
    assert surprisal(t5, [Passage("p", words)]).identical(ours)


def test_continuation_reads_what_comes_before(t5):
    words = STORY.parts[:30]
    ours = surprisal(t5, [Passage("p", words)], mode="continuation")
    expected = [bits_of(t5, " ".join(words[:n]), words[n]).sum() for n in range(30)]
    assert_close(ours, expected)
    assert ours.attrs["identity"]["mode"] == "continuation"


def test_an_unknown_mode_suggests_a_known_one(t5, causal):
    with pytest.raises(LookupError, match="Did you mean continuation"):
        surprisal(t5, [ODD], mode="continue")
    with pytest.raises(ValueError, match="is a causal model"):
        surprisal(causal, [ODD], mode="copy")


# Bad input


def test_words_that_share_a_token_are_named(t5):
    with pytest.raises(ValueError, match=r"passage 'p', part 2 \('\.'\): the tokenizer gives it no tokens of its own"):
        surprisal(t5, [Passage("p", ("Lily", "."))])


def test_a_surprisal_that_is_no_number_is_named(causal, monkeypatch):
    head = causal.network.get_output_embeddings()
    forward = head.forward
    monkeypatch.setattr(head, "forward", lambda states: forward(states) * float("nan"))
    with pytest.raises(ValueError, match=r"the surprisal of passage 'p', part 1 \('Once'\) is nan"):
        surprisal(causal, [Passage("p", ("Once", "upon"))])


def test_nothing_to_read_is_an_error(causal):
    with pytest.raises(ValueError, match="there are no passages"):
        surprisal(causal, [])
