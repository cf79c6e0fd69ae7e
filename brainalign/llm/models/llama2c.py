"""Models and tokenizers of llama2.c, as folders in Hugging Face's layout.

Reads what llama2.c's ``export.py`` writes as version 0 and its ``tokenizer.py`` writes beside it. Two things differ
between the layouts: llama2.c rotates neighboring entries of queries and keys, Hugging Face's Llama those half a head
apart, so their rows change places; and llama2.c merges whatever pair makes the piece of the best score, while a BPE
tokenizer has a list of merges, so each piece becomes one merge for every pair that it can be made of.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainalign import store
from brainalign.llm.models import networks

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

REVISION = 1  # of what `convert` writes; a new one leaves converted models behind
# The header: int32 each, by Hugging Face's names.
FIELDS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
FIELDS += ("vocab_size", "max_position_embeddings")
VERSIONED = 0x616B3432  # "ak42", where later versions begin
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
RESERVED = [*SPECIAL.values(), *(f"<0x{byte:02X}>" for byte in range(256))]


def identify(weights: Path) -> dict:
    """Hashes that tell an export from any other, as JSON.

    The tokenizer is the one ``tok*.bin`` beside the weights. Raises FileNotFoundError where either is missing, and
    ValueError where there are several tokenizers.
    """
    tokenizer = _beside(weights)
    return {"weights": store.checksum(weights), "tokenizer": store.checksum(tokenizer), "revision": REVISION}


def converted(weights: Path) -> Path:
    """Folder in the store with a converted model, converted once; raises as `identify` and `convert`."""
    return networks.converted("llama2c", identify(weights), lambda folder: convert(weights, _beside(weights), folder))


def _beside(weights: Path) -> Path:
    """Tokenizer of an export."""
    if not weights.is_file():
        raise FileNotFoundError(f"there is no {weights}. Give the .bin file of a llama2.c export.")
    tokenizers = sorted(path for path in weights.parent.glob("tok*.bin") if path != weights)
    if len(tokenizers) != 1:
        names = ", ".join(path.name for path in tokenizers) or "none"
        raise (ValueError if tokenizers else FileNotFoundError)(
            f"expected one tokenizer tok*.bin beside {weights}, got {names}. Keep the model's own there, as llama2.c's "
            "tokenizer.py writes it, and no other."
        )
    return tokenizers[0]


def convert(weights: Path, tokenizer: Path, folder: Path) -> None:
    """Write a llama2.c export and its tokenizer as a Llama folder, whole or not at all.

    The tokenizer puts ``<s>`` and a space in front of a text, and falls back on bytes, as llama2.c's ``run.c``. As in
    SentencePiece and every Llama, spaces are ``▁`` in its pieces, and ``<s>`` in a text is the special token.

    Parameters
    ----------
    weights
        Version 0: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len), then float32
        tensors. A negative vocab_size means that the classifier is not the embedding.
    tokenizer
        int32 length of the longest piece in bytes, then for each piece float32 score, int32 length, bytes.

    Raises
    ------
    ValueError
        A file is not of that format, cut short or too long, or the two do not belong together.
    """
    from safetensors.numpy import save_file

    config, tensors = _network(weights)
    fast_tokenizer = _tokenizer(*_pieces(tokenizer, config.vocab_size), config.max_position_embeddings)
    with networks.writing(folder) as temporary:
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        fast_tokenizer.save_pretrained(temporary)
        config.save_pretrained(temporary)


def _network(path: Path) -> tuple[PreTrainedConfig, dict[str, np.ndarray]]:
    """Settings and tensors, by Hugging Face's names for them."""
    from transformers import LlamaConfig

    sizes, shared = _header(path)
    shapes = _shapes(*sizes.values(), shared)
    stops = np.cumsum([np.prod(shape) for shape in shapes.values()])
    n_bytes = 4 * (len(sizes) + int(stops[-1]))
    if path.stat().st_size != n_bytes:
        raise _refused(path, f"it has {path.stat().st_size} bytes, expected {n_bytes} for {sizes}")
    tensors, heads = {}, {"q_proj": sizes["num_attention_heads"], "k_proj": sizes["num_key_value_heads"]}
    parts = np.split(np.fromfile(path, "<f4", offset=4 * len(sizes)), stops[:-1])
    for (name, shape), part in zip(shapes.items(), parts, strict=True):
        values = part.reshape(shape)
        if n_heads := heads.get(name.rpartition(".")[2]):  # entries that rotate together come half a head apart
            values = values.reshape(shape[0], n_heads, -1, 2, shape[2]).swapaxes(2, 3).reshape(shape)
        layers = enumerate(values) if "{}" in name else [("", values)]
        tensors |= {f"{name.format(layer)}.weight": layer_values for layer, layer_values in layers}
    del tensors["rotary.weight"]  # run.c computes its own too
    # What is a constant here is one in llama2.c's run.c.
    options = {"architectures": ["LlamaForCausalLM"], "dtype": "float32", "rms_norm_eps": 1e-5}
    return LlamaConfig(**sizes, tie_word_embeddings=shared, **options), tensors


def _header(path: Path) -> tuple[dict[str, int], bool]:
    """Sizes of a network by `FIELDS`, and whether its classifier is its embedding."""
    header = np.fromfile(path, "<i4", len(FIELDS)).tolist()
    if len(header) < len(FIELDS):
        raise _refused(path, f"it has {path.stat().st_size} bytes, less than a header")
    if header[0] == VERSIONED:
        raise _refused(path, f"it is of version {header[1]}")
    sizes = dict(zip(FIELDS, header, strict=True))
    shared, sizes["vocab_size"] = sizes["vocab_size"] > 0, abs(sizes["vocab_size"])
    heads = sizes["num_attention_heads"]
    fits = min(sizes.values()) > 0 and sizes["vocab_size"] > len(RESERVED)
    if not fits or sizes["hidden_size"] % (2 * heads) or heads % sizes["num_key_value_heads"]:
        problem = f"it begins with {sizes}, expected positive sizes, heads of an even width, a multiple of"
        raise _refused(path, f"{problem} num_key_value_heads, and a vocabulary of more than {len(RESERVED)}")
    return sizes, shared


def _refused(path: Path, problem: str) -> ValueError:
    return ValueError(
        f"{path} is no whole llama2.c export of version 0 (float32): {problem}. Fetch it again, or export it anew: "
        "export.py --version 0."
    )


def _shapes(
    dim: int, hidden: int, n: int, heads: int, kv_heads: int, vocabulary: int, positions: int, shared: bool
) -> dict[str, tuple[int, ...]]:
    """What is in the file after the header, in order; names with a layer stand for one tensor over layers."""
    kv, block = dim // heads * kv_heads, "model.layers.{}."
    return {
        "model.embed_tokens": (vocabulary, dim),
        block + "input_layernorm": (n, dim),
        block + "self_attn.q_proj": (n, dim, dim),
        block + "self_attn.k_proj": (n, kv, dim),
        block + "self_attn.v_proj": (n, kv, dim),
        block + "self_attn.o_proj": (n, dim, dim),
        block + "post_attention_layernorm": (n, dim),
        block + "mlp.gate_proj": (n, hidden, dim),
        block + "mlp.down_proj": (n, dim, hidden),
        block + "mlp.up_proj": (n, hidden, dim),
        "model.norm": (dim,),
        "rotary": (2, positions, dim // heads // 2),
    } | ({} if shared else {"lm_head": (vocabulary, dim)})


def _pieces(path: Path, n_pieces: int) -> tuple[list[str], list[float]]:
    """Pieces in order, with ``▁`` for a space, and their scores."""
    content, place, pieces, scores = path.read_bytes(), 4, [], []
    try:
        for _ in range(n_pieces):
            score, length = struct.unpack_from("<fi", content, place)
            (piece,) = struct.unpack_from(f"{length}s", content, place + 8)
            pieces.append(piece.decode())
            scores.append(score)
            place += 8 + length
        if place != len(content):
            raise ValueError("the file goes on")
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read after {len(pieces)} of {n_pieces} pieces: {error}. It is cut short, or not the "
            "tokenizer.bin that belongs to the model."
        ) from None
    # run.c gives these two line ends, so that it prints them on lines of their own.
    pieces[1:3] = [piece.strip("\n") for piece in pieces[1:3]]
    for number, expected in enumerate(RESERVED):
        if pieces[number] != expected:
            raise ValueError(
                f"piece {number} of {path} is {pieces[number]!r}, expected {expected!r}, as in SentencePiece."
            )
    if len(set(pieces)) < n_pieces:
        repeated = next(piece for piece in pieces if pieces.count(piece) > 1)
        raise ValueError(f"{path} has the piece {repeated!r} more than once. Export the tokenizer again.")
    return [piece.replace(" ", "▁") for piece in pieces], scores


def _tokenizer(pieces: list[str], scores: list[float], limit: int) -> PreTrainedTokenizerFast:
    """Tokenizer like Llama's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    numbers, ordinary = {piece: number for number, piece in enumerate(pieces)}, set(pieces[len(RESERVED) :])
    best_first = sorted(range(len(RESERVED), len(pieces)), key=lambda number: -scores[number])
    splits = ((pieces[number][:i], pieces[number][i:]) for number in best_first for i in range(1, len(pieces[number])))
    merges = [pair for pair in splits if ordinary.issuperset(pair)]
    unknown, first, _ = SPECIAL.values()
    tokenizer = Tokenizer(models.BPE(numbers, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[(first, numbers[first])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=limit, **SPECIAL)
