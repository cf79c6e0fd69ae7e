"""Logits of the tokens that count, a few at a time: all those of a text may take gigabytes.

    head = Head(network)
    states = head.states(input_ids=ids)              # window x token x feature
    head.logits(states[windows, tokens])             # (n_tokens, n_vocabulary)

What lies between the last states and the logits differs between architectures: scales, caps, biases. It is left to the
network's own code, which runs with given states in place of what its decoder computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brainalign.llm.models import causality, networks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

MEMORY = 1 << 28  # bytes of logits at once; fewer rows would keep a product from its full rate


class Head:
    """What makes logits of a network's last states.

    A network that turns out not to run in two steps, or not to treat each token by itself in the second, runs whole:
    its states are its logits.
    """

    def __init__(self, network: PreTrainedModel):
        self.network = network
        self._output = _decoder_output(network)

    def states(self, **arguments: torch.Tensor) -> torch.Tensor:
        """Last states of what `batches.inputs` gives, window x token x feature."""
        if self._output is None:
            return _own_forward(self.network, arguments)
        return networks.run_without_head(self.network, **arguments)[0]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of some states, (n, n_vocabulary) of (n, n_features)."""
        return states if self._output is None else _logits(self.network, states, self._output)

    def n_at_once(self) -> int:
        """States whose logits take `MEMORY`."""
        return max(1, MEMORY // (4 * self.network.config.get_text_config().vocab_size))


def _decoder_output(network: PreTrainedModel) -> type[ModelOutput] | None:
    """What a decoder's output is, if the logits of a few states are those that the network gives at their tokens."""
    import torch

    n, ids, _ = causality.texts(network)
    arguments = {"input_ids": ids[None]}
    if network.config.is_encoder_decoder:
        arguments |= {"decoder_input_ids": ids[None]}
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            expected = _own_forward(network, arguments)[0, n // 2 :].float()
            output = networks.run_without_head(network, **arguments)
            logits = _logits(network, output[0][0, n // 2 :], type(output)).float()
    except torch.OutOfMemoryError:
        raise
    except Exception:  # of any kind: this is other people's code
        return None
    finally:
        network.train(training)
    tolerance = max(causality.TOLERANCE, torch.finfo(network.dtype).eps ** 0.5)
    alike = logits.shape == expected.shape and (logits - expected).norm() <= tolerance * expected.norm()
    return type(output) if alike else None


def _own_forward(network: PreTrainedModel, arguments: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits by the code of the network's class, whatever stands in for it (`tuning.objective`)."""
    return type(network).forward(network, **arguments, use_cache=False).logits


def _logits(network: PreTrainedModel, states: torch.Tensor, output: type[ModelOutput]) -> torch.Tensor:
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    ids = torch.zeros((1, len(states)), dtype=torch.long, device=network.device)
    arguments = {"input_ids": ids}
    if network.config.is_encoder_decoder:
        arguments = {"encoder_outputs": BaseModelOutput(states[None]), "decoder_input_ids": ids}
    with in_place_of(network.get_decoder(), lambda *_, **options: output(last_hidden_state=states[None])):
        return _own_forward(network, arguments)[0]


@contextmanager
def in_place_of(module: torch.nn.Module, forward: Callable) -> Iterator[None]:
    """Have a module do something else when it is called."""
    replaced = module.__dict__.get("forward")  # accelerate's, where a network is spread over devices
    module.forward = forward
    try:
        yield
    finally:
        if replaced is None:
            del module.forward
        else:
            module.forward = replaced
