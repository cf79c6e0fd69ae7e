"""Training of language models: one loop, for causal models and encoder-decoders, from scratch or from a checkpoint.

    train(network, examples, Recipe(), Path("runs/mine"), save=lambda step: ...)

A run that is killed at any moment goes on from its last saved state and gives the same losses: weights, optimizer and
random numbers are saved in one safetensors file, and the order of examples depends on the seed alone.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from brainalign import store
from brainalign.llm import networks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

IGNORED = -100  # label of a token that no loss is taken of
STATE = "training.safetensors"


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are Alpaca's for LLaMA-7B (protocols, section 10).

    Attributes
    ----------
    epochs : float
        How often each example is seen.
    batch_size : int
        Examples a step.
    at_once : int
        Examples that go through the network together: as memory allows. It does not change the outcome but by rounding.
    learning_rate : float
        The highest; it grows linearly over the first steps, and falls to 0 as a cosine.
    warmup : float
        Share of the steps in which it grows.
    weight_decay, beta2 : float
        Of AdamW; a short run from scratch forgets its first gradients with a beta2 of 0.95.
    clip : float
        Norm to which gradients are cut.
    max_length : int
        Tokens of an example; what is over is cut off on the right.
    seed : int
        Of the order of examples, and of dropout.
    """

    epochs: float = 3.0
    batch_size: int = 128
    at_once: int = 8
    learning_rate: float = 2e-5
    warmup: float = 0.03
    weight_decay: float = 0.0
    beta2: float = 0.999
    clip: float = 1.0
    max_length: int = 512
    seed: int = 0

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
    title: str = "training",
    progress: bool | None = None,
) -> np.ndarray:
    """Minimize the mean cross-entropy of target tokens by AdamW; go on where a killed run left off.

    Parameters
    ----------
    network : PreTrainedModel
        Changed in place. In float32 on a GPU it computes in bfloat16 (autocast) and keeps its weights as they are.
    examples : sequence of Example
    recipe : Recipe
    folder : Path
        Where the state of the run is, ``training.safetensors``; removed at the end.
    save : function
        Called with the number of steps made, at each of ``keep`` and at the end.
    keep : collection of int
        See `tune`.
    every : float
        Seconds from one saved state to the next: a killed run loses no more than that and one step.
    title : str
        For the progress bar.
    progress : bool, optional
        Whether to draw that; by default on a terminal.

    Returns
    -------
    ndarray
        (n_steps,) loss of each step before it was made, nats a token.

    Raises
    ------
    ValueError
        The state in the folder is of another run, or the loss is not finite.
    OSError
        The folder cannot be written to.
    """
    import torch
    from tqdm import tqdm

    n_steps = recipe.n_steps(len(examples))
    weights = dict(network.named_parameters())
    optimizer = torch.optim.AdamW(
        weights.values(), lr=recipe.learning_rate, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay
    )
    state = _State(folder / STATE, store.digest(asdict(recipe), list(examples)), weights, optimizer)
    quiet = not (sys.stderr.isatty() if progress is None else progress)

    with torch.random.fork_rng(), tqdm(total=n_steps, desc=title, unit=" steps", disable=quiet) as bar:
        torch.manual_seed(recipe.seed)
        losses, saved = state.load(), time.monotonic()
        bar.n = bar.initial = len(losses)
        network.train()
        for step, some in enumerate(_batches(examples, recipe)):
            if step < len(losses):
                continue
            if step in keep:
                save(step)
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step, n_steps)
            loss = _backward(network, some, recipe.at_once)
            if not math.isfinite(loss):
                raise ValueError(f"step {step}: the loss is {loss}. Lower the learning rate, or train in float32.")
            torch.nn.utils.clip_grad_norm_(weights.values(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
            bar.set_postfix_str(f"loss {loss:.3f}")
            bar.update()
            if time.monotonic() - saved >= every:
                state.save(losses)
                saved = time.monotonic()
        network.eval()
        save(n_steps)
    state.path.unlink(missing_ok=True)
    return np.array(losses)


def _batches(examples: Sequence[Example], recipe: Recipe) -> Iterator[list[Example]]:
    """Batches of all epochs, each example once an epoch, in an order of its own."""
    rng = np.random.default_rng(recipe.seed)
    total = math.ceil(len(examples) * recipe.epochs)
    order = np.concatenate([rng.permutation(len(examples)) for _ in range(math.ceil(recipe.epochs))])[:total]
    for start in range(0, total, recipe.batch_size):
        yield [examples[i] for i in order[start : start + recipe.batch_size]]


def _backward(network: PreTrainedModel, batch: list[Example], at_once: int) -> float:
    """Gradients of the mean loss over all target tokens of a batch, and that loss."""
    import torch

    # A causal model predicts no first token.
    causal = not network.config.is_encoder_decoder
    n_tokens = sum(len(target) - (causal and not source) for source, target in batch)
    batch = sorted(batch, key=lambda example: len(example.source) + len(example.target))  # less padding
    total = 0.0
    for start in range(0, len(batch), at_once):
        fed, labels = _inputs(network, batch[start : start + at_once])
        half = network.device.type == "cuda" and network.dtype is torch.float32
        with torch.autocast(network.device.type, torch.bfloat16, enabled=half):
            logits = network(**fed).logits
        logits, labels = (logits[:, :-1], labels[:, 1:]) if causal else (logits, labels)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        (loss / n_tokens).backward()
        total += loss.item()
    return total / n_tokens


def _inputs(network: PreTrainedModel, examples: list[Example]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What the network takes, and the label of each token that it is to predict."""
    if network.config.is_encoder_decoder:
        fed = _padded([source for source, _ in examples], network.device)
        start = [network.config.decoder_start_token_id]
        shifted = _padded([start + target[:-1] for _, target in examples], network.device)
        fed |= {f"decoder_{name}": values for name, values in shifted.items()}
        labels = [target for _, target in examples]
    else:
        fed = _padded([source + target for source, target in examples], network.device) | {"use_cache": False}
        labels = [[IGNORED] * len(source) + target for source, target in examples]
    return fed, _padded(labels, network.device, IGNORED)["input_ids"]


def _padded(rows: list[list[int]], device: torch.device, filling: int = 0) -> dict[str, torch.Tensor]:
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([row + [filling] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": mask}


@dataclass(frozen=True, eq=False)
class _State:
    """All that a run needs to go on: weights, optimizer, losses and random numbers, in one file."""

    path: Path
    identity: str  # of recipe and examples
    weights: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer

    def save(self, losses: list[float]) -> None:
        import torch
        from safetensors.torch import save_file

        tensors = {f"weights/{name}": weight.data.contiguous() for name, weight in self.weights.items()}
        moments = self.optimizer.state_dict()["state"]
        for number, name in enumerate(self.weights):  # a weight that no gradient has reached has no moments
            tensors |= {f"{moment}/{name}": values for moment, values in moments.get(number, {}).items()}
        tensors |= {"losses": torch.tensor(losses, dtype=torch.float64), "random": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors |= {f"random/{gpu}": values for gpu, values in enumerate(torch.cuda.get_rng_state_all())}
        with store.writing(self.path, sum(tensor.nbytes for tensor in tensors.values())) as temporary:
            save_file(tensors, temporary, {"identity": self.identity})

    def load(self) -> list[float]:
        """Put everything back where it was, and give the losses so far; none where there is no file."""
        import torch
        from safetensors import safe_open

        if not self.path.exists():
            return []
        with safe_open(self.path, framework="pt") as file:
            if file.metadata().get("identity") != self.identity:
                raise ValueError(
                    f"{self.path} is the state of a run with other samples or another recipe. Give another folder, or "
                    "delete the file to begin anew."
                )
            names = set(file.keys())
            for name, weight in self.weights.items():
                weight.data.copy_(file.get_tensor(f"weights/{name}"))
            kinds = ("step", "exp_avg", "exp_avg_sq")
            moments = {
                number: {kind: file.get_tensor(f"{kind}/{name}") for kind in kinds}
                for number, name in enumerate(self.weights)
                if f"step/{name}" in names
            }
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
            torch.set_rng_state(file.get_tensor("random"))
            for gpu in range(torch.cuda.device_count()):
                torch.cuda.set_rng_state(file.get_tensor(f"random/{gpu}"), gpu)
            return file.get_tensor("losses").tolist()


def save_model(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Save a model in Hugging Face's layout: whole or not at all, and only where there is none yet.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OSError
        It cannot be written.
    """
    if (folder / "config.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with networks.quiet():
            network.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        temporary.chmod(0o755)  # mkdtemp makes folders that only their owner reads
        temporary.replace(folder)
    finally:
        rmtree(temporary, ignore_errors=True)
    return folder
