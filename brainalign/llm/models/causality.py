"""Whether what a network makes of a token depends on what must not count: later tokens, padding, other texts.

A name in a list does not tell: the same class may read both ways, as a setting says. So each network is probed once,
by two passes over a few tokens, before anything is read off it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from brainalign.llm.models import networks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TOKENS, SEED = 8, 0  # of a probe
TOLERANCE = 1e-3  # of a token's states; in lower precision, the square root of that precision
ANOTHER = "Use a model that reads each text from left to right, by itself"


def check(network: PreTrainedModel) -> None:
    """See that states and probabilities at a token depend on nothing but the tokens up to it.

    An encoder may look ahead; it must not see padding, nor other texts. Raises ValueError with what it depends on, or
    with the network's class where it cannot be run on tokens alone.
    """
    import torch

    n, first, other = texts(network)
    padded = torch.cat([first, torch.zeros_like(other)])
    continued = torch.cat([first[:-1], other[:1], other])
    with torch.inference_mode():
        alone = _outputs(network, first[None], first[None])
        encoded = torch.stack([padded, padded, continued[: 2 * n]])
        mask = torch.ones_like(encoded)
        mask[:2, n:] = 0
        together = _outputs(network, encoded, torch.stack([padded, continued[: 2 * n], continued[: 2 * n]]), mask)
    for name, values in alone.items():
        if not isinstance(values, torch.Tensor) or values.shape[:2] != (1, n):
            raise ValueError(
                f"{networks.title(network)} cannot be read: its blocks give no states by text and token ({name}). "
                f"{ANOTHER}."
            )
        if not name.startswith("encoder."):
            _require_equal(network, values[0, : n - 1], together[name][1, : n - 1], f"{name} changes with later tokens")
    for name, values in alone.items():
        what = f"{name} changes with padding or a longer text beside it"
        _require_equal(network, values[0, :n], together[name][0, :n], what)


def texts(network: PreTrainedModel) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Number of tokens, and two texts of so many for a probe, without tokens that the network's settings single out."""
    import torch

    settings = network.config.to_dict() | network.config.get_text_config().to_dict()
    special = {value for name, value in settings.items() if "token" in name and isinstance(value, int)}
    vocabulary = network.config.get_text_config().vocab_size
    ids = torch.tensor([number for number in range(1, vocabulary) if number not in special] or [0])
    n = min(TOKENS, (networks.positions(network) or 2 * TOKENS) // 2)
    drawn = torch.randint(len(ids), (2 * n,), generator=torch.Generator().manual_seed(SEED))
    drawn[n] = (drawn[n - 1] + 1) % len(ids)  # the later token that is exchanged is another
    first, other = ids[drawn].to(network.device).split(n)
    return n, first, other


def _outputs(
    network: PreTrainedModel, encoded: torch.Tensor, read: torch.Tensor, mask: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """States after each block, and log-probabilities: row x token x feature each, by name."""
    import torch

    options = {"input_ids": read}
    if network.config.is_encoder_decoder:
        options = {"input_ids": encoded, "attention_mask": mask, "decoder_input_ids": read}
    outputs = {}

    def leaving(name: str, block, arguments: tuple, output) -> None:
        outputs[name] = networks.states_of(output)

    try:
        with ExitStack() as hooks:
            for name, block in _named_blocks(network):
                hooks.enter_context(block.register_forward_hook(partial(leaving, name)))
            logits = network(**options, use_cache=False).logits
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any kind: this is other people's code
        raise ValueError(
            f"{networks.title(network)} cannot be run on tokens alone: {' '.join(str(error).split())}. {ANOTHER}."
        ) from error
    return {"the probability of a token": torch.log_softmax(logits.float(), dim=-1)} | outputs


def _named_blocks(network: PreTrainedModel) -> Iterator[tuple[str, torch.nn.Module]]:
    for stack, blocks in networks.blocks(network).items():
        for number, block in enumerate(blocks, start=1):
            yield f"{stack}layer {number}", block


def _require_equal(network: PreTrainedModel, expected: torch.Tensor, values: torch.Tensor, what: str) -> None:
    """See that vectors of tokens are equal but for rounding, relative to the length of each."""
    import torch

    epsilon = torch.finfo(network.dtype).eps
    scale = expected.float().norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    change = (expected.float() - values.float()).norm(dim=-1) / scale
    # In lower precision rounding may send a token to another expert, which is no leak: all tokens would have one.
    largest = change.max() if network.dtype is torch.float32 else change.median()
    if not largest <= max(TOLERANCE, epsilon**0.5) and torch.isfinite(expected).all():
        raise ValueError(
            f"{networks.title(network)} cannot be scored: {what} (by {float(largest):.2g} of its size). {ANOTHER}."
        )
