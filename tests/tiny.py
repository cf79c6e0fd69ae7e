"""Tiny language models in Hugging Face's layout: random weights large enough that layers differ, real tokenizers."""

import json
import math
from collections import Counter
from pathlib import Path

TEXT = """\
Once upon a time, there was a little girl named Lily. She liked to play outside in the park with her friends.
One day she saw a big red ball in the tree, and her mom said, "Do not climb up there, please!"
The old man who had lived by the river for years didn't know why the water was so cold in the morning.
There is something in the way that people read: slowly, word by word, and yet they always look ahead.
A bird can fly over the house; a fish can swim under the boat. What would you do if you were a bird?
He gave 3 apples to 12 children, 45 pears to 678 others, and kept the last one (90 grams) for himself.
Scientists think that languages are learned quickly because the brain is looking for rules everywhere.
"""
WIDTH = 32


def gpt2(folder: Path, merges: Path | None = None, positions: int = 64, seed: int = 0) -> Path:
    """GPT-2-shaped, 3 blocks; a byte-level BPE tokenizer with GPT-2's own ``merges`` (vocab.bpe), or trained here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import GPT2Config

    end = "<|endoftext|>"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # by code point: the order of GPT-2's first 256 tokens
    if merges:
        pairs = [tuple(line.split(" ")) for line in Path(merges).read_text(encoding="utf-8").splitlines()[1:] if line]
        pieces = [*alphabet, *map("".join, pairs), end]
        tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, pairs))
    else:
        tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if not merges:
        trainer = trainers.BpeTrainer(
            vocab_size=500, initial_alphabet=alphabet, special_tokens=[end], show_progress=False
        )
        tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    settings = {
        "n_embd": WIDTH,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": positions,
        "vocab_size": tokenizer.get_vocab_size(),
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.token_to_id(end),
        "eos_token_id": tokenizer.token_to_id(end),
    }
    special = {"bos_token": end, "eos_token": end, "unk_token": end, "model_max_length": positions}
    return _saved(folder, GPT2Config(**settings), tokenizer, special, seed)


def llama(folder: Path, positions: int = 64, seed: int = 0) -> Path:
    """Llama-shaped, 3 blocks, grouped queries; a SentencePiece-like BPE that falls back on bytes, ``<s>`` in front."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig

    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()  # no merges across words
    first = [*special.values(), *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=first, show_progress=False)
    trained.train_from_iterator(TEXT.splitlines(), trainer)
    merges = [tuple(pair) for pair in _model(trained)["merges"]]
    tokenizer = Tokenizer(models.BPE(_model(trained)["vocab"], merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    settings = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": positions,
        "vocab_size": tokenizer.get_vocab_size(),
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return _saved(folder, LlamaConfig(**settings), tokenizer, special, seed)


def gemma(folder: Path, positions: int = 64, seed: int = 0) -> Path:
    """Gemma-shaped, 2 blocks, one key for all queries, tied head; the tokenizer of `llama`."""
    from transformers import AutoTokenizer, GemmaConfig

    from brainalign.llm.models.networks import fresh

    words = AutoTokenizer.from_pretrained(llama(folder, positions))
    (folder / "model.safetensors").unlink()
    settings = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": positions,
        "vocab_size": len(words),
        "initializer_range": 0.2,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
    }
    fresh(GemmaConfig(**settings), seed).save_pretrained(folder)
    return Path(folder)


def t5(folder: Path, positions: int | None = None, seed: int = 0, letters: str = "") -> Path:
    """T5-shaped (v1.1: gated, untied head), 2 encoder and 2 decoder blocks; Unigram tokenizer, ``</s>`` at the end.

    It knows the letters of `TEXT`, and those asked for.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import T5Config

    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    pieces = [*((piece, 0.0) for piece in special.values()), *_log_frequencies(300)]
    pieces += [(letter, pieces[-1][1]) for letter in letters if letter not in dict(pieces)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    settings = {
        "d_model": WIDTH,
        "d_kv": 8,
        "d_ff": 2 * WIDTH,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": tokenizer.get_vocab_size(),
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
    if positions:
        special["model_max_length"] = positions
    return _saved(folder, T5Config(**settings), tokenizer, special, seed)


def _log_frequencies(n_pieces: int) -> list[tuple[str, float]]:
    """Letters of the text and its most frequent parts of words; `UnigramTrainer` differs from process to process."""
    words = ["▁" + word for word in TEXT.split()]
    parts = Counter(word[i:j] for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1))
    kept = sorted(parts, key=lambda part: (len(part) > 1, -parts[part], part))[:n_pieces]
    return [(part, math.log(parts[part] / parts.total())) for part in kept]


def _model(tokenizer) -> dict:
    return json.loads(tokenizer.to_str())["model"]


def _saved(folder: Path, config, tokenizer, special: dict, seed: int) -> Path:
    from transformers import PreTrainedTokenizerFast

    from brainalign.llm.models.networks import fresh

    fresh(config, seed).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return Path(folder)
