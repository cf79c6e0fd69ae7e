"""LoRA: small adapters that are trained in a network's stead, by peft, and then merged into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainalign.llm.models import networks

if TYPE_CHECKING:
    import torch
    from peft import LoraModel
    from transformers import PreTrainedModel

NAME = "default"  # of the adapter, in peft


@dataclass(frozen=True)
class Lora:
    """Adapters: a product of two thin matrices beside each target."""

    rank: int = 8  #: width of the thin matrices
    alpha: float = 16.0  #: the product counts ``alpha / rank``
    dropout: float = 0.05  #: of what adapters read
    #: Names of the layers that have one; if none is given, projections of attention, as peft knows them for the
    #: architecture (query and value for Llama).
    targets: tuple[str, ...] = ()


def attach(network: PreTrainedModel, lora: Lora, seed: int) -> None:
    """Put adapters into a network, in float32, and have gradients for them alone; they change nothing yet.

    The seed is that of the one of the two matrices that is not zero. Raises ValueError where the network has no such
    layers, or they are of a kind that takes no adapter.
    """
    import torch

    layers = {f".{name}": layer for name, layer in network.named_modules()}
    missing = [target for target in lora.targets if not any(name.endswith(f".{target}") for name in layers)]
    if missing:
        linear = {name.rpartition(".")[2] for name, layer in layers.items() if isinstance(layer, torch.nn.Linear)}
        raise ValueError(
            f"LoRA: {type(network).__name__} has no layers called {', '.join(missing)}. Give targets among "
            f"{', '.join(sorted(linear))}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        _inserted(network, lora)
    for weights in network.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    network.lora = lora


def merged(network: PreTrainedModel, weights: dict[str, torch.Tensor]) -> PreTrainedModel:
    """Copy of a network on the CPU, into whose weights its adapters are merged; that network goes on as it is.

    The weights are its own, adapters among them: of a network in shards, whole.
    """
    copy = networks.blank(network.config)
    tuner = _inserted(copy, network.lora)
    # Not tied anew: T5's head, which is its own, would be tied too. What is shared is shared here.
    places = {values.data_ptr(): values.cpu() for values in weights.values()}
    copy.load_state_dict({name: places[values.data_ptr()] for name, values in weights.items()}, assign=True)
    copy.generation_config = network.generation_config
    return tuner.merge_and_unload(safe_merge=True)  # into copies of weights that the network still has


def _inserted(network: PreTrainedModel, lora: Lora) -> LoraModel:
    """Put adapters into a network by peft."""
    from peft import LoraConfig, LoraModel

    targets = list(lora.targets) or None
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    try:
        return LoraModel(network, config, NAME)
    except ValueError as error:
        raise ValueError(f"LoRA: {error} Give names of linear layers as targets.") from error
