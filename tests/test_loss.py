"""Next-word loss against a strided pass written out, and bits per byte under two tokenizers."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from close import assert_close

from brainalign.llm.exams import benchmarks
from brainalign.llm.models.load import LanguageModel, load
from brainalign.llm.reading import loss as losses
from brainalign.llm.reading.loss import loss

DOCUMENTS = [f"\n = One =\n\n{tiny.TEXT[:300]}", f" = Naïve =\n{tiny.TEXT[300:700]}\n", tiny.TEXT[700:]]


def bits_per_byte(table: pd.DataFrame) -> float:
    return table.nats.sum() / np.log(2) / table.bytes.sum()


def ids_of(model, text: str) -> list[int]:
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.inference_mode()
def strided(model, ids: list[int], room: int, stride: int, mode: str | None = None) -> list[float]:
    """Nats of each token: windows one after the other, of each the tokens that no earlier one had."""
    nats, done, begin = [], 0, 0
    while done < len(ids):
        end = min(begin + room, len(ids))
        if model.encoder_decoder:
            scored = ids[done:end] if mode == "continuation" else ids[begin:end]
            read = ids[begin:done] if mode == "continuation" else scored
            given = {"input_ids": torch.tensor([[*read, model.tokenizer.eos_token_id]])}
            logits = model.network(**given, labels=torch.tensor([scored])).logits[0]
        else:
            scored = ids[begin:end]
            whole = torch.tensor([[model.tokenizer.bos_token_id, *scored]])
            logits = model.network(whole).logits[0, :-1]
        found = -logits.log_softmax(-1).gather(1, torch.tensor(scored)[:, None])[:, 0]
        nats += found[len(found) - (end - done) :].tolist()
        done, begin = end, begin + stride
    return nats


def test_a_causal_model_is_read_in_strides(causal):
    found = loss(causal, DOCUMENTS)
    ids = ids_of(causal, "".join(DOCUMENTS))
    expected = strided(causal, ids, 63, 31)
    assert found.tokens.sum() == len(ids) == len(expected)
    assert found.nats.sum() / found.tokens.sum() == pytest.approx(np.mean(expected), rel=1e-5)
    assert found.bytes.tolist() == [len(document.encode()) for document in DOCUMENTS]
    assert bits_per_byte(found) == pytest.approx(sum(expected) / np.log(2) / len("".join(DOCUMENTS).encode()), rel=1e-5)
    assert (found.attrs["window"], found.attrs["stride"]) == (64, 31)


def test_documents_share_the_loss_at_their_borders(causal):
    text, encoded = "".join(DOCUMENTS), causal.tokenizer("".join(DOCUMENTS), return_offsets_mapping=True)
    own = [(a, b) for a, b in encoded["offset_mapping"] if b > 0]
    nats = strided(causal, ids_of(causal, text), 63, 31)
    borders = np.cumsum([len(document) for document in DOCUMENTS])
    of = np.searchsorted(borders, [b for _, b in own])
    found = loss(causal, DOCUMENTS)
    if len(own) == len(nats):  # else <s> or a byte has no characters
        assert_close(found.nats, np.bincount(of, nats))
    assert found.nats.sum() == pytest.approx(sum(nats), rel=1e-5)


@pytest.mark.parametrize("mode", ["copy", "continuation"])
def test_an_encoder_reads_the_same_or_what_comes_before(t5, mode, monkeypatch):
    monkeypatch.setattr(losses, "WINDOW", 50)  # it sets no limit
    found = loss(t5, DOCUMENTS, mode=mode)
    expected = strided(t5, ids_of(t5, "".join(DOCUMENTS)), 48, 24, mode)
    assert found.nats.sum() / found.tokens.sum() == pytest.approx(np.mean(expected), rel=1e-5)
    assert found.attrs["mode"] == mode


def test_the_first_token_is_not_scored_where_nothing_comes_before_it(tmp_path):
    model = load(tiny.gpt2(tmp_path))
    whole = loss(model, DOCUMENTS)
    model.tokenizer.bos_token = None
    model.identity["tokenizer"] = "without a beginning"
    found = loss(model, DOCUMENTS)
    assert found.tokens.tolist() == [whole.tokens[0] - 1, *whole.tokens[1:]]
    assert np.isfinite(found.nats).all()


def test_it_is_kept(causal, monkeypatch):
    found = loss(causal, DOCUMENTS)
    monkeypatch.setattr(losses, "_compute", None)
    pd.testing.assert_frame_equal(loss(causal, DOCUMENTS), found)


def uniform(folder, vocabulary: dict, pattern: str) -> LanguageModel:
    """A model that finds every token of a vocabulary as likely as any other; the tokenizer cuts at a pattern."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, PreTrainedTokenizerFast

    from brainalign.llm.models.networks import fresh

    words = Tokenizer(models.WordLevel(vocabulary, unk_token="aa" if "aa" in vocabulary else "a"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    size = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 32, "vocab_size": len(vocabulary)}
    config = GPT2Config(**size, bos_token_id=0, eos_token_id=0)
    network = fresh(config, 0)
    torch.nn.init.zeros_(network.lm_head.weight)
    network.save_pretrained(folder)
    special = {"bos_token": next(iter(vocabulary)), "eos_token": next(iter(vocabulary))}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    return load(folder)


def test_bits_per_byte_do_not_depend_on_the_tokenizer(tmp_path):
    letters = "abcdefghijklmnop"
    byte = uniform(tmp_path / "byte", {letter: i for i, letter in enumerate(letters)}, ".")
    pairs = {a + b: 16 * i + j for i, a in enumerate(letters) for j, b in enumerate(letters)}
    pair = uniform(tmp_path / "pair", pairs, "..")
    # Without the letters of the token for the beginning.
    documents = ["".join(np.random.default_rng(seed).choice([*letters[1:]], 60)) for seed in range(3)]
    found = {name: loss(model, documents) for name, model in (("byte", byte), ("pair", pair))}
    assert [found[name].tokens.sum() for name in ("byte", "pair")] == [180, 90]
    assert [bits_per_byte(found[name]) for name in ("byte", "pair")] == pytest.approx([4, 4], rel=1e-6)


def test_bad_settings_are_named(causal, t5):
    with pytest.raises(ValueError, match="is a causal model"):
        loss(causal, DOCUMENTS, mode="copy")
    with pytest.raises(LookupError, match="Did you mean continuation"):
        loss(t5, DOCUMENTS, mode="continue")
    with pytest.raises(ValueError, match="nothing to read"):
        loss(causal, ["", " \n"])


def test_articles_of_wikitext_are_its_text(mirror):
    articles = benchmarks.wikitext2()
    path = benchmarks.fetch(benchmarks.catalog.dataset("wikitext2").file(benchmarks.WIKITEXT))
    assert "".join(articles).encode() == path.read_bytes() and len(articles) == 62
    assert all(article.lstrip("\n").startswith(" = ") for article in articles)
