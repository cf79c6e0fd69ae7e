"""Models and tokenizers of llama2.c, as folders in Hugging Face's layout.

Reads what llama2.c's ``export.py`` writes as version 0 and its ``tokenizer.py`` writes beside it. Two things differ
between the layouts: llama2.c rotates neighboring entries of queries and keys, Hugging Face's Llama those half a head
apart, so their rows change places; and llama2.c merges whatever pair makes the piece of the best score, while a BPE
tokenizer has a list of merges, so each piece becomes one merge for every pair that it can be made of.
"""

import json
import struct
from pathlib import Path

import numpy as np

from brainalign import store

REVISION = 1  # of what `convert` writes; a new one leaves converted models behind
HEADER = struct.Struct("<7i")
FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
VERSIONED = 0x616B3432  # "ak42", where later versions begin
SPECIAL = ("<unk>", "<s>", "</s>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
N_RESERVED = len(SPECIAL) + len(BYTES)


def converted(weights: Path) -> tuple[Path, dict]:
    """Folder in the store with a converted model, converted once, and what tells it from any other.

    Parameters
    ----------
    weights : Path
        The ``.bin`` file; its tokenizer is the one ``tok*.bin`` beside it.

    Returns
    -------
    folder : Path
        ``STORE/models/llama2c-KEY``, with a key made of the content of both files.
    identity : dict
        Hashes of both files and the revision of the conversion, as plain JSON.

    Raises
    ------
    FileNotFoundError
        There is no such file, or no tokenizer beside it.
    ValueError
        There are several tokenizers, or as in `convert`.
    """
    weights = Path(weights)
    if not weights.is_file():
        raise FileNotFoundError(f"there is no {weights}. Give the .bin file of a llama2.c export.")
    tokenizer = _beside(weights)
    identity = {"weights": store.checksum(weights), "tokenizer": store.checksum(tokenizer), "revision": REVISION}
    folder = store.root() / "models" / f"llama2c-{store.digest(identity)}"
    if not (folder / "config.json").exists():
        convert(weights, tokenizer, folder)
    return folder, identity


def convert(weights: Path, tokenizer: Path, folder: Path) -> None:
    """Write a llama2.c export and its tokenizer as a Llama folder: config, safetensors, fast tokenizer.

    The tokenizer puts ``<s>`` and a space in front of a text, and falls back on bytes, as llama2.c's ``run.c``. As
    in SentencePiece and every Llama, spaces are ``▁`` in its pieces, and ``<s>`` in a text is the special token.

    Parameters
    ----------
    weights : Path
        Version 0: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len), then float32
        tensors. A negative vocab_size means that the classifier is not the embedding.
    tokenizer : Path
        int32 length of the longest piece in bytes, then for each piece float32 score, int32 length, bytes.
    folder : Path
        Made where it is not there. Each file is written whole, ``config.json`` last: where that is, all are.

    Raises
    ------
    ValueError
        A file is not of that format, cut short or too long, or the two do not belong together.
    """
    config, tensors = _read_weights(Path(weights))
    pieces, scores = _read_pieces(Path(tokenizer), config["vocab_size"])
    from safetensors.numpy import save_file

    folder = Path(folder)
    with store.writing(folder / "model.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    with store.writing(folder / "tokenizer.json") as temporary:
        _tokenizer(pieces, scores).save(str(temporary))
    unknown, first, last = SPECIAL
    tokens = {"unk_token": unknown, "bos_token": first, "eos_token": last}
    limit = {"model_max_length": config["max_position_embeddings"]}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens, **limit}
    for name, content in (("tokenizer_config.json", settings), ("config.json", config)):
        with store.writing(folder / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _beside(weights: Path) -> Path:
    tokenizers = sorted(path for path in weights.parent.glob("tok*.bin") if path != weights)
    if not tokenizers:
        raise FileNotFoundError(
            f"there is no tokenizer beside {weights}. Put it there as tokenizer.bin; llama2.c's tokenizer.py writes it."
        )
    if len(tokenizers) > 1:
        raise ValueError(
            f"which tokenizer belongs to {weights}: {', '.join(path.name for path in tokenizers)}? "
            "Keep the right one beside it, and no other tok*.bin."
        )
    return tokenizers[0]


def _read_weights(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Settings and tensors, by Hugging Face's names for them; tensors are views of the file where they can be."""
    with path.open("rb") as file:
        header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        raise ValueError(f"{path} has {len(header)} bytes, a header of llama2.c has {HEADER.size}. Fetch it again.")
    sizes = dict(zip(FIELDS, HEADER.unpack(header), strict=True))
    if sizes["dim"] == VERSIONED:
        raise ValueError(
            f"{path} is a llama2.c export of version {sizes['hidden_dim']}, expected version 0 (float32, no magic "
            "number). Export it anew: export.py --version 0."
        )
    shared, sizes["vocab_size"] = sizes["vocab_size"] > 0, abs(sizes["vocab_size"])
    _check_sizes(path, sizes)
    shapes = _shapes(sizes, shared)
    expected = HEADER.size + 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    if path.stat().st_size != expected:
        settings = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes, expected {expected} for {settings}. "
            "It was cut short, or is no float32 export of version 0: fetch or export it again."
        )
    values = np.memmap(path, dtype="<f4", mode="r", offset=HEADER.size)
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = np.split(values, ends[:-1])
    stored = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    return _config(sizes, shared), _renamed(stored, sizes)


def _check_sizes(path: Path, sizes: dict[str, int]) -> None:
    fits = min(sizes.values()) > 0 and sizes["vocab_size"] > N_RESERVED
    fits = fits and sizes["dim"] % (2 * sizes["n_heads"]) == 0 and sizes["n_heads"] % sizes["n_kv_heads"] == 0
    if not fits:
        settings = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(
            f"{path} does not begin like a llama2.c export: {settings}. Expected positive sizes, heads of an even "
            f"width, n_heads a multiple of n_kv_heads, and a vocabulary of more than {N_RESERVED}."
        )


def _shapes(sizes: dict[str, int], shared: bool) -> dict[str, tuple[int, ...]]:
    """What is in the file after the header, in order, by llama2.c's names."""
    dim, hidden, n, heads, kv_heads, vocabulary, positions = sizes.values()
    head = dim // heads
    shapes = {
        "tok_embeddings": (vocabulary, dim),
        "rms_att": (n, dim),
        "wq": (n, dim, dim),
        "wk": (n, kv_heads * head, dim),
        "wv": (n, kv_heads * head, dim),
        "wo": (n, dim, dim),
        "rms_ffn": (n, dim),
        "w1": (n, hidden, dim),
        "w2": (n, dim, hidden),
        "w3": (n, hidden, dim),
        "rms_final": (dim,),
        "freq_cis_real": (positions, head // 2),  # of no use: run.c computes its own too
        "freq_cis_imag": (positions, head // 2),
    }
    return shapes if shared else {**shapes, "wcls": (vocabulary, dim)}


NAMES = {
    "rms_att": "input_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "rms_ffn": "post_attention_layernorm",
    "w1": "mlp.gate_proj",
    "w2": "mlp.down_proj",
    "w3": "mlp.up_proj",
}


def _renamed(stored: dict[str, np.ndarray], sizes: dict[str, int]) -> dict[str, np.ndarray]:
    tensors = {"model.embed_tokens.weight": stored["tok_embeddings"], "model.norm.weight": stored["rms_final"]}
    if "wcls" in stored:
        tensors["lm_head.weight"] = stored["wcls"]
    for name, target in NAMES.items():
        n_heads = {"wq": sizes["n_heads"], "wk": sizes["n_kv_heads"]}.get(name)
        for layer, values in enumerate(stored[name]):
            tensors[f"model.layers.{layer}.{target}.weight"] = _half_apart(values, n_heads) if n_heads else values
    return tensors


def _half_apart(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of each head with those at even places first: entries that rotate together end up half a head apart."""
    pairs = rows.reshape(n_heads, -1, 2, rows.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def _config(sizes: dict[str, int], shared: bool) -> dict:
    """Settings of a Hugging Face Llama; what is a constant here is one in llama2.c's run.c."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": sizes["dim"],
        "intermediate_size": sizes["hidden_dim"],
        "num_hidden_layers": sizes["n_layers"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": sizes["n_kv_heads"],
        "vocab_size": sizes["vocab_size"],
        "max_position_embeddings": sizes["seq_len"],
        "tie_word_embeddings": shared,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "bos_token_id": SPECIAL.index("<s>"),
        "eos_token_id": SPECIAL.index("</s>"),
        "dtype": "float32",
    }


def _read_pieces(path: Path, n_pieces: int) -> tuple[list[str], list[float]]:
    """Pieces in order, with ``▁`` for a space, and their scores."""
    content, place, pieces, scores = path.read_bytes(), 4, [], []
    try:
        (longest,) = struct.unpack_from("<i", content)
        for _ in range(n_pieces):
            score, length = struct.unpack_from("<fi", content, place)
            if not 0 < length <= longest or place + 8 + length > len(content):
                raise ValueError(f"a piece of {length} bytes, where the longest should have {longest}")
            pieces.append(content[place + 8 : place + 8 + length].decode())
            scores.append(score)
            place += 8 + length
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read after {len(pieces)} of {n_pieces} pieces: {error}. "
            "It is cut short, or not the tokenizer.bin that belongs to the model."
        ) from None
    if place != len(content):
        raise ValueError(
            f"{path} goes on after {n_pieces} pieces, as many as its model has. Put the model's own tokenizer there."
        )
    # run.c gives these two line ends, so that it prints them on lines of their own.
    pieces = [piece.strip("\n") if number in (1, 2) else piece for number, piece in enumerate(pieces)]
    for number, expected in enumerate(SPECIAL + BYTES):
        if pieces[number] != expected:
            raise ValueError(
                f"piece {number} of {path} is {pieces[number]!r}, expected {expected!r}, as in SentencePiece."
            )
    if len(set(pieces)) < n_pieces:
        repeated = next(piece for piece in pieces if pieces.count(piece) > 1)
        raise ValueError(f"{path} has the piece {repeated!r} more than once. Export the tokenizer again.")
    return [piece.replace(" ", "▁") for piece in pieces], scores


def _tokenizer(pieces: list[str], scores: list[float]):
    """`tokenizers.Tokenizer` like Llama's."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    numbers = {piece: number for number, piece in enumerate(pieces)}
    bpe = models.BPE(numbers, _merges(pieces, scores), unk_token=SPECIAL[0], fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", numbers["<s>"])]
    )
    return tokenizer


def _merges(pieces: list[str], scores: list[float]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, the best scores first."""
    ordinary = set(pieces[N_RESERVED:])
    best_first = sorted(range(N_RESERVED, len(pieces)), key=lambda number: -scores[number])
    splits = ((pieces[number][:i], pieces[number][i:]) for number in best_first for i in range(1, len(pieces[number])))
    return [pair for pair in splits if ordinary.issuperset(pair)]
