"""Training of language models: one loop, for causal models and encoder-decoders, from scratch or from a checkpoint.

    train(network, examples, Recipe(), Path("runs/mine"), save=lambda step: ...)

A run that is killed at any moment goes on from its last saved state (`checkpoints`) and gives the same losses; the
order of examples depends on the seed alone. Several processes share the examples of a step between them
(`distributed`), as far as rounding with the outcome of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from brainalign import store
from brainalign.llm.reading.batches import masked, padded
from brainalign.llm.tuning import checkpoints, distributed
from brainalign.llm.tuning.objective import IGNORED, losses_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SMALL = 10_000_000  # parameters: with fewer, matrices gain nothing from a second thread


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are Alpaca's for LLaMA-7B (protocols, section 10)."""

    epochs: float = 3.0  #: how often each example is seen
    batch_size: int = 128  #: examples a step
    at_once: int = 8  #: examples that go through the network together; no change of the outcome but by rounding
    learning_rate: float = 2e-5  #: the highest; it grows linearly over the first steps, and falls to 0 as a cosine
    warmup: float = 0.03  #: share of the steps in which it grows
    weight_decay: float = 0.0  #: of AdamW
    beta2: float = 0.999  #: of AdamW; a short run from scratch forgets its first gradients with 0.95
    clip: float = 1.0  #: norm to which gradients are cut
    max_length: int = 512  #: tokens of an example; what is over is cut off on the right
    seed: int = 0  #: of the order of examples, and of dropout

    def n_steps(self, n_examples: int) -> int:
        """Steps in all; the last batch may be smaller."""
        return math.ceil(n_examples * self.epochs / self.batch_size)

    def rate(self, step: int, n_steps: int) -> float:
        """Learning rate of a step, counted from 0: linear warm-up, then cosine to 0, as in transformers."""
        n_warm = math.ceil(self.warmup * n_steps)
        if step < n_warm:
            return self.learning_rate * (step + 1) / (n_warm + 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))


class Example(NamedTuple):
    """Tokens to read, of which no loss is taken, and tokens to produce after them."""

    source: list[int]
    target: list[int]


def train(
    network: PreTrainedModel,
    examples: Sequence[Example],
    recipe: Recipe,
    folder: Path,
    *,
    save: Callable[[int], None],
    keep: Collection[int] = (),
    every: float = 300.0,
    gradient_checkpointing: bool = False,
    title: str = "training",
) -> np.ndarray:
    """Minimize the mean cross-entropy of target tokens by AdamW; go on where a killed run left off.

    Changes the weights that require a gradient, and gives the loss of each step before it was made: (n_steps,) nats a
    token. In float32 on a GPU the network computes in bfloat16 (autocast) and keeps its weights as they are. Raises
    ValueError where the folder is that of another run, no weights require a gradient, or the loss is not finite.

    Parameters
    ----------
    folder
        Where the run keeps its state, which is removed at the end, and its losses (`checkpoints.Run`).
    save
        Called with the number of steps made, at each of ``keep`` and at the end; of several processes, in all.
    every
        Seconds from one saved state to the next: a killed run loses no more than that and one step.
    """
    import torch
    from tqdm import tqdm

    crew, n_steps = distributed.current(), recipe.n_steps(len(examples))
    if gradient_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    progress = tqdm(total=n_steps, desc=title, unit=" steps", disable=crew.rank > 0 or None)
    with losses_of(network, chunked=crew.n == 1), torch.random.fork_rng(), progress as bar:
        wrapped, run = _prepared(network, examples, recipe, folder, crew)
        torch.manual_seed(recipe.seed + crew.rank)
        losses, last_save = run.begin(), time.monotonic()
        bar.n = bar.initial = len(losses)
        wrapped.train()
        for step, batch in enumerate(_batches(examples, recipe)):
            if step < len(losses):
                continue
            if step in keep:
                save(step)
            loss = _backward(network, batch, recipe.at_once, wrapped, crew)
            if not math.isfinite(loss):
                raise ValueError(f"step {step}: the loss is {loss}. Lower the learning rate, or train in float32.")
            _make_step(run, recipe.rate(step, n_steps), recipe.clip)
            losses.append(loss)
            bar.set_postfix_str(f"loss {loss:.3f}")
            bar.update()
            # Clocks differ: that of the first process counts.
            if crew.total(crew.rank == 0 and time.monotonic() - last_save >= every):
                run.save(losses)
                last_save = time.monotonic()
        wrapped.eval()
        save(n_steps)
    run.end(losses)
    return np.array(losses)


def _make_step(run: checkpoints.Run, rate: float, clip: float) -> None:
    """Change weights along their gradients, which are cut and then forgotten."""
    import torch

    for group in run.optimizer.param_groups:
        group["lr"] = rate
    torch.nn.utils.clip_grad_norm_(run.weights.values(), clip)
    run.optimizer.step()
    run.optimizer.zero_grad()


def _prepared(
    network: PreTrainedModel, examples: Sequence[Example], recipe: Recipe, folder: Path, crew: distributed.Alone
) -> tuple[torch.nn.Module, checkpoints.Run]:
    """What is called instead of the network, and the run, which has an optimizer."""
    import torch

    about = {"recipe": asdict(recipe), "samples": store.digest(list(examples)), "network": _fingerprint(network)}
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    if not trained:
        raise ValueError("no weights of the network require a gradient. Choose some: network.requires_grad_(True).")
    options = {"lr": recipe.learning_rate, "betas": (0.9, recipe.beta2), "weight_decay": recipe.weight_decay}
    wrapped, optimizer = crew.prepared(network, torch.optim.AdamW(trained, **options))
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    return wrapped, checkpoints.Run(folder, about, weights, optimizer, crew)


@contextmanager
def few_threads(n_parameters: int) -> Iterator[None]:
    """Train a small network on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if n_parameters < SMALL else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fingerprint(network: PreTrainedModel) -> str:
    """What tells a network from any other that is likely to be trained in its place: names, shapes, a few values."""
    weights = network.named_parameters()
    return store.digest({name: [*weight.shape, str(weight.flatten()[:1].tolist())] for name, weight in weights})


def _batches(examples: Sequence[Example], recipe: Recipe) -> Iterator[list[Example]]:
    """Batches of all epochs, each example once an epoch, in an order of its own."""
    rng = np.random.default_rng(recipe.seed)
    total = math.ceil(len(examples) * recipe.epochs)
    order = np.concatenate([rng.permutation(len(examples)) for _ in range(math.ceil(recipe.epochs))])[:total]
    for start in range(0, total, recipe.batch_size):
        yield [examples[i] for i in order[start : start + recipe.batch_size]]


def _backward(
    network: PreTrainedModel,
    batch: list[Example],
    at_once: int,
    wrapped: torch.nn.Module | None = None,
    crew: distributed.Alone | None = None,
) -> float:
    """Gradients of the mean loss over all target tokens of a batch, and that loss.

    Each process takes its share of as many examples as go through all networks at once. Gradients are averaged over
    processes after each share: kept back until the last, as could be, they would be whole in each instead of sharded.
    """
    wrapped, crew = wrapped or network, crew or distributed.current()
    # A causal model predicts no first token.
    causal = not network.config.is_encoder_decoder
    n_tokens = sum(len(target) - (causal and not source) for source, target in batch)
    batch = sorted(batch, key=lambda example: len(example.source) + len(example.target))  # less padding
    total, at_once = 0.0, at_once * crew.n
    for start in range(0, len(batch), at_once):
        group = batch[start : start + at_once]
        share = group[crew.rank :: crew.n]
        # All processes must take part, also one that has nothing to do.
        arguments, labels = _inputs(network, share or group[:1])
        with crew.precision(network):
            objective, nats = wrapped(**arguments, labels=labels)
        (objective * (bool(share) * crew.n / n_tokens)).backward()
        total += nats if share else 0.0
    return crew.total(total) / n_tokens


def _inputs(network: PreTrainedModel, examples: list[Example]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What the network takes, and the label of each token that it is to predict."""
    device = network.device
    if network.config.is_encoder_decoder:
        start = [network.config.decoder_start_token_id]
        decoder = padded([start + target[:-1] for _, target in examples], device)
        arguments = masked([source for source, _ in examples], device) | {"decoder_input_ids": decoder}
        labels = [target for _, target in examples]
    else:
        arguments = {"input_ids": padded([source + target for source, target in examples], device)}
        labels = [[IGNORED] * len(source) + target for source, target in examples]
    return arguments, padded(labels, device, IGNORED)
