"""Models shipped with SentencePiece's own file alone: loaded as fast tokenizers, token for token as SentencePiece."""

import io
import json

import pytest
import sentencepiece
import tiny

from brainalign.human.recording import Passage
from brainalign.llm import activations
from brainalign.llm.models import sources
from brainalign.llm.models.load import load

TEXTS = ["Once upon a time, there was a girl.", "He didn't know 日本 cafés", *tiny.TEXT.splitlines()]
T5 = {"model_type": "unigram", "vocab_size": 150, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
# LLaMA's keeps every space, and reads bytes where it has no piece.
LLAMA = {
    "model_type": "bpe",
    "vocab_size": 450,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}
# As LLaMA and Vicuna say it: transformers puts <s> in front of a text where this asks for it, and only there.
LLAMA_SETTINGS = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False}


def trained(**options) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(tiny.TEXT.splitlines()),
        model_writer=model,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


@pytest.mark.parametrize(
    ("make", "options", "file", "settings", "texts", "before", "after"),
    [
        (tiny.t5, T5, "spiece.model", {"tokenizer_class": "T5Tokenizer"}, TEXTS, [], [1]),
        (tiny.llama, LLAMA, "tokenizer.model", LLAMA_SETTINGS, [*TEXTS, "two  spaces"], [1], []),
    ],
    ids=["t5", "llama"],
)
def test_a_tokenizer_of_sentencepiece_is_loaded_as_a_fast_one(
    tmp_path, make, options, file, settings, texts, before, after
):
    folder, proto = make(tmp_path / "model"), trained(**options)
    for name in sources.TOKENIZER:
        (folder / name).unlink(missing_ok=True)
    (folder / file).write_bytes(proto)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    model, reference = load(folder), sentencepiece.SentencePieceProcessor(model_proto=proto)
    assert model.tokenizer.is_fast
    for text in texts:
        assert model.tokenizer(text)["input_ids"] == [*before, *reference.encode(text), *after]
    # It knows the characters of its tokens: parts are found in them.
    passage = Passage("p", tuple(tiny.TEXT.split()[:10]))
    assert activations(model, [passage]).sizes["part"] == 10
