"""What every layer of a model makes of the parts of a text, in one pass over each passage.

    activations(load("gpt2-small"), recording.passages)      # layer x part x feature

Layer k is the output of block k before any final norm, layer 0 what enters the first block. transformers' own
``hidden_states`` have the norm applied to the last, so states are taken by hooks, and of each only the rows of parts
are kept. The head is never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from brainalign import messages, store
from brainalign.human.recording import Passage
from brainalign.llm.models import networks
from brainalign.llm.reading import windows as reading
from brainalign.llm.reading.batches import Arrays, Batch, batched, identity, inputs, not_finite, read_all, record
from brainalign.llm.reading.tokens import coordinates, place_of, special_tokens
from brainalign.llm.reading.windows import Window

if TYPE_CHECKING:
    import torch

    from brainalign.llm.models.load import LanguageModel

REVISION = 1  # of what is computed here and in `windows`; a new one leaves cached activations behind
POOLING = ("last", "mean")


def activations(
    model: LanguageModel,
    passages: Sequence[Passage],
    *,
    context: int | None = None,
    pooling: str = "last",
    long: str = "strided",
    text: str = "text",
) -> xr.DataArray:
    """States of every layer at every part, computed once and kept in the store (protocols, section 2).

    Parameters
    ----------
    context, long
        As in `windows.beginning_windows`.
    pooling
        ``last``: the state of a part's last token; ``mean``: the mean over its tokens. An empty part has the state of
        what was read before it.
    text
        What the text is called on the progress bar.

    Returns
    -------
    DataArray
        Dims ``layer, part, feature``, in the model's precision (bfloat16 as float32). Coordinates ``layer``, and on
        ``part`` ``passage`` and ``text``. ``attrs``: the record of how it was computed.

    Raises
    ------
    LookupError
        No such pooling, or way to read what is long.
    ValueError
        There is nothing to read, a part does not fit into the model's positions, a part without tokens opens a text, or
        a state is not finite.
    MemoryError, OSError
        Not even one window fits into memory; the store cannot be written to.
    """
    if pooling not in POOLING:
        raise LookupError(messages.unknown("pooling", pooling, POOLING))
    reading.check(passages, long, context)
    options = {"context": context, "pooling": pooling, "layers": layer_names(model), "long": long}
    key = identity(model, passages, **options, revision=REVISION)
    title = f"{model.name}, {text}"
    entry = store.get("activations", key, lambda: _compute(model, passages, key, title))
    return xr.DataArray(
        entry.arrays["states"],
        dims=("layer", "part", "feature"),
        coords={"layer": options["layers"]} | coordinates(passages),
        attrs=entry.record,
    )


def layer_names(model: LanguageModel) -> list[str]:
    """Layers in order: ``0`` (embeddings), ``1``, ..., or ``encoder.0``, ..., ``decoder.0``, ..."""
    stacks = networks.blocks(model.blank)
    return [f"{stack}{k}" for stack, blocks in stacks.items() for k in range(len(blocks) + 1)]


def _compute(model: LanguageModel, passages: Sequence[Passage], key: dict, title: str) -> tuple[Arrays, dict]:
    """States, layer x part x feature, and notes on how they were computed."""
    prefix, suffix = special_tokens(model.tokenizer)
    room = len(prefix) + len(suffix) + model.encoder_decoder
    limit, shared = model.n_positions and model.n_positions - room, not model.encoder_decoder
    windows, n_anew = reading.beginning_windows(
        model.tokenizer, passages, limit, key["long"], key["context"], shared=shared
    )
    if not prefix:
        _require_tokens(passages, windows)
    batches = batched(model, windows)

    def work(batch: Batch) -> Arrays:
        states = _states(model, batch, key["layers"], key["pooling"], prefix, suffix)
        _require_finite(states, batch, passages, key["layers"], model)
        return {"states": states}

    results = read_all("activations", key, batches, work, title)
    n_parts, dtype = sum(len(parts) for parts, _ in results), results[0][1]["states"].dtype
    states = np.empty((len(key["layers"]), n_parts, model.width), dtype)
    for parts, arrays in results:
        states[:, parts] = arrays["states"].swapaxes(0, 1)
    notes = record(model, passages, windows, n_anew, [*prefix, *suffix]) | {
        "read_as": (
            "encoder: each part's beginning by itself; decoder: the same text, shifted right"
            if model.encoder_decoder
            else "one pass over each passage"
            if key["context"] is None
            else "each part by itself, with its context"
        ),
        "layer": "output of the block before any final norm; 0: what enters the first block",
    }
    return {"states": states}, notes


def _states(
    model: LanguageModel, batch: Batch, layers: list[str], pooling: str, prefix: list[int], suffix: list[int]
) -> np.ndarray:
    """States of a batch's parts: part x layer x feature."""
    import torch

    part, window, token = (torch.from_numpy(rows) for rows in batch.rows(pooling))
    counts = torch.bincount(part)[:, None]

    def pool(stack: str, states: torch.Tensor) -> torch.Tensor:
        # A decoder's text comes after the token that starts decoding.
        place = token + len(prefix) + (stack == "decoder.")
        rows = states[window.to(states.device), place.to(states.device)].cpu()
        if pooling == "last":
            return rows
        # In float32 whatever the model's precision: a mean of many halves loses digits.
        total = torch.zeros(len(counts), rows.shape[1]).index_add_(0, part, rows.float())
        return (total / counts).to(rows.dtype)

    with torch.inference_mode(), _layer_states(model, pool) as by_layer:
        networks.run_without_head(model.network, **inputs(model, batch, prefix, suffix))
        states = torch.stack([by_layer[layer] for layer in layers], dim=1)
        return (states.float() if states.dtype is torch.bfloat16 else states).numpy()


@contextmanager
def _layer_states(
    model: LanguageModel, pool: Callable[[str, torch.Tensor], torch.Tensor]
) -> Iterator[dict[str, torch.Tensor]]:
    """Collect, as the network runs, what `pool` makes of each layer's states, window x token x feature."""
    by_layer = {}

    def entering(stack: str, block, arguments: tuple, keywords: dict) -> None:
        by_layer[f"{stack}0"] = pool(stack, arguments[0] if arguments else keywords["hidden_states"])

    def leaving(stack: str, layer: str, block, arguments: tuple, output) -> None:
        by_layer[layer] = pool(stack, networks.states_of(output))

    with ExitStack() as hooks:
        for stack, blocks in networks.blocks(model.network).items():
            hooks.enter_context(blocks[0].register_forward_pre_hook(partial(entering, stack), with_kwargs=True))
            for k, block in enumerate(blocks, start=1):
                hooks.enter_context(block.register_forward_hook(partial(leaving, stack, f"{stack}{k}")))
        yield by_layer


def _require_tokens(passages: Sequence[Passage], windows: Sequence[Window]) -> None:
    """See that no part is read off before the first token."""
    for window in windows:
        for part, (_, stop) in zip(window.parts, window.spans, strict=True):
            if stop == 0:
                raise ValueError(
                    f"{place_of(passages, part)} has no tokens, nor does anything before it. Leave it out of the text."
                )


def _require_finite(
    states: np.ndarray, batch: Batch, passages: Sequence[Passage], layers: list[str], model: LanguageModel
) -> None:
    finite = np.isfinite(states).all(axis=2)
    if not finite.all():
        layer, part = np.argwhere(~finite.T)[0]  # of all the first layer: those above it only pass it on
        raise not_finite(model, f"layer {layers[layer]} is not finite at {place_of(passages, batch.parts[part])}")
