"""What a network costs, by the arithmetic of its settings: parameters, operations, bytes. Nothing is loaded.

    network = of(catalog.architecture("gpt2"))
    network.parameters                      # 124,439,808
    network.flops(windows=4, tokens=512)    # of one forward pass without the head

An operation is a multiplication or an addition: a product of m x k and k x n matrices has 2 m k n. Products of
matrices are counted, attention's own among them, nothing else: what is left out is about a thousandth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from brainalign import catalog

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Network:
    """Sizes of a causal model, or of an encoder-decoder.

    Attributes
    ----------
    vocabulary, width : int
        Tokens, and features of a hidden state.
    encoder, decoder : int
        Blocks of each; a causal model has a decoder only.
    heads, groups, head : int
        Heads of queries, heads of keys and values, features of a head.
    inner, products : int
        Features of the feed-forward layer, and its matrices: 3 where it is gated, else 2.
    tied : bool
        Whether the head is the embedding.
    vectors : int
        Parameters that are in no product: norms, biases, positions.
    positions : int or None
        Most tokens that it reads at once.
    """

    vocabulary: int
    width: int
    encoder: int
    decoder: int
    heads: int
    groups: int
    head: int
    inner: int
    products: int
    tied: bool
    vectors: int
    positions: int | None

    @property
    def attention(self) -> int:
        """Parameters of one attention's matrices: queries, keys, values, output."""
        return 2 * self.width * self.head * (self.heads + self.groups)

    @property
    def feed_forward(self) -> int:
        """Parameters of one feed-forward layer's matrices."""
        return self.products * self.width * self.inner

    @property
    def parameters(self) -> int:
        """All of them, with those that are shared counted once."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        attentions = self.encoder + self.decoder * (2 if self.encoder else 1)
        blocks = attentions * self.attention + (self.encoder + self.decoder) * self.feed_forward
        return embeddings + blocks + self.vectors

    @property
    def layers(self) -> int:
        """Layers whose states are kept: the blocks, and what enters the first of each stack."""
        return self.encoder + self.decoder + (2 if self.encoder else 1)

    def flops(self, windows: int, tokens: int, head: bool = False) -> float:
        """Operations of a forward pass over windows of a length, which encoder and decoder both read.

        Parameters
        ----------
        windows, tokens : int
            How many, and how long, padding and special tokens included.
        head : bool
            Whether probabilities over the vocabulary are computed.
        """
        stacks = self.encoder + self.decoder
        attentions = stacks + (self.decoder if self.encoder else 0)
        weights = attentions * self.attention + stacks * self.feed_forward
        weights += self.vocabulary * self.width if head else 0
        # Each query meets each key, and each weight each value; masks save nothing.
        between = 2 * attentions * self.heads * self.head * tokens
        return 2.0 * windows * tokens * (weights + between)


def of(settings: Mapping) -> Network:
    """Sizes of the network that settings describe, in transformers' keys (a ``config.json``).

    Raises
    ------
    LookupError
        Nobody has done the arithmetic of this architecture here.
    """
    kind = settings.get("model_type")
    if kind not in ARCHITECTURES:
        raise LookupError(catalog.unknown("architecture", kind, ARCHITECTURES))
    return ARCHITECTURES[kind](settings)


def _gpt2(s: Mapping) -> Network:
    width, blocks, positions = s["n_embd"], s["n_layer"], s["n_positions"]
    inner = s.get("n_inner") or 4 * width
    # Of a block: two norms; biases of queries, keys and values, of the output, and of the feed-forward layer.
    vectors = positions * width + blocks * (4 * width + 4 * width + inner + width) + 2 * width
    return Network(
        s["vocab_size"], width, 0, blocks, s["n_head"], s["n_head"], width // s["n_head"], inner, 2,
        s.get("tie_word_embeddings", True), vectors, positions,
    )  # fmt: skip


def _gpt_neox(s: Mapping) -> Network:
    width, blocks, heads, inner = (
        s["hidden_size"],
        s["num_hidden_layers"],
        s["num_attention_heads"],
        s["intermediate_size"],
    )
    biases = 4 * width if s.get("attention_bias", True) else 0
    vectors = blocks * (4 * width + biases + inner + width) + 2 * width
    return Network(
        s["vocab_size"], width, 0, blocks, heads, heads, width // heads, inner, 2,
        s.get("tie_word_embeddings", False), vectors, s.get("max_position_embeddings"),
    )  # fmt: skip


def _llama(s: Mapping, biased: bool = False, tied: bool = False) -> Network:
    width, blocks, heads = s["hidden_size"], s["num_hidden_layers"], s["num_attention_heads"]
    groups, inner = s.get("num_key_value_heads") or heads, s["intermediate_size"]
    head = s.get("head_dim") or width // heads
    of_block = 2 * width
    if biased or s.get("attention_bias"):
        of_block += head * (heads + 2 * groups) + (0 if biased else width)  # Qwen's output has none
    if s.get("mlp_bias"):
        of_block += 2 * inner + width
    return Network(
        s["vocab_size"], width, 0, blocks, heads, groups, head, inner, 3,
        s.get("tie_word_embeddings", tied), blocks * of_block + width, s.get("max_position_embeddings"),
    )  # fmt: skip


def _t5(s: Mapping) -> Network:
    width, blocks, heads = s["d_model"], s["num_layers"], s["num_heads"]
    decoder = s.get("num_decoder_layers") or blocks
    gated = s.get("feed_forward_proj", "relu").startswith("gated")
    # Norms alone: two in a block of the encoder, three in one of the decoder, one at the end of each; and, where a
    # stack begins, the table of how far apart tokens are.
    vectors = width * (2 * blocks + 3 * decoder + 2) + 2 * heads * s.get("relative_attention_num_buckets", 32)
    # A gated one is T5 v1.1, whose published head is its own, whatever the setting says (see `networks.fresh`).
    tied = False if gated else s.get("tie_word_embeddings", True)
    return Network(
        s["vocab_size"], width, blocks, decoder, heads, heads, s["d_kv"], s["d_ff"], 3 if gated else 2,
        tied, vectors, s.get("model_max_length"),
    )  # fmt: skip


ARCHITECTURES: dict[str, Callable[[Mapping], Network]] = {
    "gemma": lambda settings: _llama(settings, tied=True),
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "mistral": _llama,
    "qwen2": lambda settings: _llama(settings, biased=True),
    "t5": _t5,
}
