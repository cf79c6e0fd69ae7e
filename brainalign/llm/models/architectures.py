"""What a network costs, as the class that builds it says: parameters, states, operations. No weights are read.

    network = from_settings(catalog.architectures()["gpt2"])
    network.parameters                      # 124,439,808
    network.flops(windows=4, tokens=512)    # of one forward pass without the head

An operation is a multiplication or an addition: a product of m x k and k x n matrices has 2 m k n. torch counts those
of all products of matrices (`FlopCounterMode`), attention's own among them: each query meets each key, as masks save
nothing, not even those of a sliding window, behind which transformers computes what it then hides. Of experts, those
count to which tokens are routed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from brainalign import store
from brainalign.llm.models import networks

if TYPE_CHECKING:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import PreTrainedConfig, PreTrainedModel

REVISION = 2  # of what is counted here; another number makes what is kept of that stale
# Tokens of the longest pass in which operations are counted; of others, a quarter and a half, which are multiples of
# what a block of local attention or of a scan is filled up to.
LONGEST = 1024
ROUTED = "batched_mm"  # way of transformers to compute experts: each token with those that it is routed to
SCALARS = (bool, int, float, str)


@dataclass(frozen=True)
class Architecture:
    """Sizes of a causal model, or of an encoder-decoder."""

    parameters: int  #: numbers in its weights, those that are shared counted once
    widths: tuple[int, ...]  #: features of each layer whose states are kept: blocks, and what enters the first of each
    vocabulary: int  #: tokens that it predicts among
    head: int  #: numbers in the weights that predict them
    positions: int | None  #: most tokens that it reads at once
    encoder_decoder: bool
    linear: float  #: operations of a pass over t tokens, without the head: linear t + quadratic t²
    quadratic: float

    @property
    def width(self) -> int:
        """Features of the widest hidden state."""
        return max(self.widths)

    @property
    def layers(self) -> int:
        """Layers whose states are kept."""
        return len(self.widths)

    def flops(self, windows: int, tokens: int, head: bool = False) -> float:
        """Operations of a forward pass over windows of so many tokens each, padding included.

        Encoder and decoder both read them. With the head, probabilities over the vocabulary are computed.
        """
        linear = self.linear + (2.0 * self.head if head else 0.0)
        return windows * tokens * (linear + self.quadratic * tokens)


def from_settings(settings: Mapping) -> Architecture:
    """Sizes of the network that settings describe, in transformers' keys (a ``config.json``); kept in the store.

    Raises ValueError where transformers has no class for it, or it predicts no words, or its operations cannot be
    counted.
    """
    return _from_settings(json.dumps(dict(settings), sort_keys=True))


@cache
def _from_settings(settings: str) -> Architecture:
    versions = {name: version(name) for name in ("torch", "transformers")}
    identity = {"settings": json.loads(settings), "versions": versions, "revision": REVISION}
    count = cache(lambda: ({}, _counted(identity["settings"])))
    try:
        sizes = store.get("architectures", identity, count).record
    except OSError:  # a plan can be made where nothing can be written
        sizes = count()[1]
    sizes = {name: sizes[name] for name in Architecture.__dataclass_fields__}
    return Architecture(**sizes | {"widths": tuple(sizes["widths"])})


def configured(settings: Mapping) -> PreTrainedConfig:
    """Settings of a network from the entries of a ``config.json``; raises ValueError if they are of no known kind."""
    from transformers import CONFIG_MAPPING

    kind = settings.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise ValueError(
            f"transformers {version('transformers')} has no class for models of type {kind!r}, and a model's own code "
            "is never run."
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(dict(settings))
    except Exception as error:  # of any kind: each class checks in its own way
        raise ValueError(f"transformers refuses these settings of a {kind}: {error}") from error


def _counted(settings: dict) -> dict:
    """Attributes of an `Architecture`, as JSON has them."""
    with networks.quiet():
        config = configured(settings)
        networks.architecture(config)
        try:
            return _sizes(config, settings.get("model_max_length"))
        except Exception as error:  # of any kind: this is other people's code
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"what a {config.model_type} takes cannot be counted without weights: {reason}") from error


def _sizes(config: PreTrainedConfig, limit: int | None) -> dict:
    """Attributes of an `Architecture`; the limit is the tokenizer's, which the catalog writes beside the settings."""
    config._experts_implementation = ROUTED
    network = networks.blank(config).eval()
    blocks, positions = networks.blocks(network), networks.positions(network) or limit
    sizes = {
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "widths": [
            width
            for name, stack in networks.stacks(network).items()
            for width in [stack.config.get_text_config().hidden_size] * (len(blocks[name]) + 1)
        ],
        "vocabulary": config.get_text_config().vocab_size,
        "head": network.get_output_embeddings().weight.numel(),
        "positions": positions,
        "encoder_decoder": bool(config.is_encoder_decoder),
    }
    _share(network)
    longest = min(LONGEST, positions or LONGEST)
    lengths = longest // 4, longest // 2, longest
    return sizes | _polynomial(lengths, operations(network, lengths))


def _polynomial(lengths: tuple[int, int, int], counts: Mapping[int, int]) -> dict[str, float]:
    """Coefficients of a pass's operations, a polynomial of its tokens without a constant; the longest must agree."""
    short, long, longest = lengths
    quadratic = (counts[long] / long - counts[short] / short) / (long - short)
    linear = counts[short] / short - quadratic * short
    expected = longest * (linear + quadratic * longest)
    if abs(expected - counts[longest]) > 1e-3 * counts[longest]:
        raise ValueError(
            f"operations do not grow with tokens and their square: by passes over {short} and {long} tokens, one over "
            f"{longest} takes {expected:.4g}, and it takes {counts[longest]:.4g}."
        )
    return {"linear": linear, "quadratic": quadratic}


def _share(network: PreTrainedModel) -> None:
    """Put the first of blocks that are alike in the place of the others: its operations are counted once."""
    for blocks in networks.blocks(network).values():
        first = {}
        for place, block in enumerate(blocks):
            blocks[place] = first.setdefault(_kind(block), block)


def _kind(block: torch.nn.Module) -> tuple:
    """What is equal for blocks that do the same: classes of their parts, settings of each, and shapes of weights."""
    return tuple(
        (
            name,
            type(part),
            tuple(
                (key, value) for key, value in vars(part).items() if isinstance(value, SCALARS) and key != "layer_idx"
            ),
            tuple((key, weights.shape) for key, weights in part.named_parameters(recurse=False)),
        )
        for name, part in block.named_modules()
    )


def operations(network: PreTrainedModel, lengths: Sequence[int]) -> dict[int, int]:
    """Count the operations of passes over one window of so many tokens each, without the head.

    The network, of `networks.blank`, has fake tensors from now on. Those have shapes and no values, like tensors of the
    meta device, and transformers knows of them that it must not ask for values.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counts = {}
    # The counter sees attention's products where they are written out.
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
        network.to_empty(device="cpu")
        for tokens in lengths:
            with FlopCounterMode(display=False) as counter, _once(network, counter) as repeated:
                ids = torch.zeros((1, tokens), dtype=torch.long)
                networks.run_without_head(network, ids, decoder_input_ids=ids)
            counts[tokens] = counter.get_total_flops() + sum(repeated)
    return counts


@contextmanager
def _once(network: PreTrainedModel, counter: FlopCounterMode) -> Iterator[list[int]]:
    """Have each block compute once, and give the same again; yields the operations that it would have taken again."""
    repeated = []

    def once(forward: Callable) -> Callable:
        first = []

        def run(*arguments, **keywords):
            if first:
                repeated.append(first[1])
            else:
                start = counter.get_total_flops()
                first.extend([forward(*arguments, **keywords), counter.get_total_flops() - start])
            return first[0]

        return run

    blocks = {block for stack in networks.blocks(network).values() for block in stack}
    for block in blocks:
        block.forward = once(block.forward)
    try:
        yield repeated
    finally:
        for block in blocks:
            del block.forward
