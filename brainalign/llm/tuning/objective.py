"""The loss that tuning makes small, where labels count, without the logits of all tokens at once.

    with losses_of(network):
        objective, nats = network(input_ids=ids, labels=labels)
    objective.backward()

A vocabulary of 262,144 takes a megabyte of logits a token, and as much for their gradients. So the loss is taken of
some tokens at a time, and at once its gradients with respect to their states and the weights of the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brainalign.llm.models.heads import Head, in_place_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

IGNORED = -100  # label of a token that no loss is taken of


@contextmanager
def losses_of(network: PreTrainedModel, chunked: bool = True) -> Iterator[None]:
    """Have a network take labels of all tokens, too, and give the loss of those that are not `IGNORED`.

    It gives a tensor with the gradients of the loss, and the loss, in nats, summed over tokens. It does so within its
    own forward pass, which is where several processes put the shards of a network together. None of theirs may end a
    backward pass there, as then they give shards back: their losses are not chunked, but of all such tokens at once.
    """
    head, objective = Head(network), _chunked if chunked else _at_once

    def forward(labels: torch.Tensor, **arguments: torch.Tensor) -> tuple[torch.Tensor, float]:
        return objective(head, *_counted(head, labels, arguments))

    with in_place_of(network, forward):
        yield


def _counted(head: Head, labels: torch.Tensor, arguments: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """States of the tokens that count, and their labels."""
    states = head.states(**arguments)
    if not head.network.config.is_encoder_decoder:  # a causal model predicts the token that follows
        states, labels = states[:, :-1], labels[:, 1:]
    labels = labels.to(states.device)
    return states[labels != IGNORED], labels[labels != IGNORED]


def _at_once(head: Head, states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
    loss = _loss(head, states, labels)
    return loss, loss.item()


def _loss(head: Head, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    import torch

    logits = head.logits(states).float()
    return torch.nn.functional.cross_entropy(logits, labels.to(logits.device), reduction="sum")


def _chunked(head: Head, states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
    import torch

    weights = [weight for weight in head.network.parameters() if weight.requires_grad]
    nats, of_states, of_weights = 0.0, [], {}
    for rows, row_labels in zip(states.detach().split(head.n_at_once()), labels.split(head.n_at_once()), strict=True):
        loss = _loss(head, rows.requires_grad_(), row_labels)
        of_rows, *gradients = torch.autograd.grad(loss, [rows, *weights], allow_unused=True)
        nats += loss.item()
        of_states.append(of_rows)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:  # a weight of the head
                of_weights[weight] = of_weights[weight].add_(gradient) if weight in of_weights else gradient.float()
    # Linear in states and weights, so that its gradients are those that were computed.
    objective = (states.float() * torch.cat(of_states)).sum()
    return sum(((weight * gradient).sum() for weight, gradient in of_weights.items()), objective), nats
