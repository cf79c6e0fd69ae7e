"""What a run of training keeps in its folder: what it is, its state, its losses, and models along the way.

    run.json              what the run is of: a folder of another run is refused
    training/             weights, optimizer, losses and random numbers, a file a process; gone when the run is over
    step-N/               the model after N steps, in Hugging Face's layout
    losses.safetensors    of each step; written last, so that a run which has them is whole

Each process saves the shard that it holds. So a run goes on with as many processes as it began with, and only then are
its losses the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import numpy as np

from brainalign import store
from brainalign.llm.models import networks
from brainalign.llm.tuning import adapters, distributed

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

ABOUT, STATES, LOSSES = "run.json", "training", "losses.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW


@dataclass(frozen=True, eq=False)
class Run:
    """A run of training in a folder of its own."""

    folder: Path
    about: dict  #: what tells it from other runs, as plain JSON; that of the first process counts
    weights: dict[str, torch.nn.Parameter]  #: those that are trained
    optimizer: torch.optim.Optimizer  #: AdamW
    crew: distributed.Alone  #: the processes that train

    def begin(self) -> list[float]:
        """Claim the folder, put everything back where it was, and give the losses so far: none, of a new run.

        Raises ValueError where the folder is that of another run, or of one with another number of processes.
        """
        if self.crew.rank == 0:
            self._claim()
        self.crew.wait()
        files = [path for path in (self.folder / STATES).glob("*.safetensors") if not path.name.startswith(".")]
        counts = {n for _, _, n in map(_parts, files)} - {self.crew.n}
        if counts:
            raise ValueError(
                f"{self.folder / STATES} was saved by {min(counts)} processes, and these are {self.crew.n}. Go on with "
                f"as many, or delete it to begin anew."
            )
        # A kill may have come when some had saved and others had not.
        steps = [step for step, _, _ in map(_parts, files)]
        complete_steps = [step for step in steps if steps.count(step) == self.crew.n]
        return self._load(max(complete_steps)) if complete_steps else []

    def save(self, losses: list[float]) -> None:
        """Save the state after some steps; then let the one before go."""
        import torch
        from safetensors.torch import save_file

        tensors = {f"weights/{name}": _local(weight.data).contiguous() for name, weight in self.weights.items()}
        for name, weight in self.weights.items():  # one that no gradient has reached has no moments
            moments = self.optimizer.state.get(weight, {})
            tensors |= {f"{moment}/{name}": _local(values) for moment, values in moments.items()}
        tensors |= {"losses": torch.tensor(losses, dtype=torch.float64), "random": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["random/gpu"] = torch.cuda.get_rng_state()
        path = self._file(len(losses))
        with store.writing(path, sum(tensor.nbytes for tensor in tensors.values())) as temporary:
            save_file(tensors, temporary)
        self.crew.wait()
        for earlier in path.parent.glob(f"*-{self.crew.rank}-of-*.safetensors"):
            if earlier != path:
                earlier.unlink()

    def end(self, losses: list[float]) -> None:
        """Keep the losses, and let the state go."""
        from safetensors.numpy import save_file

        if self.crew.rank == 0:
            with store.writing(self.folder / LOSSES) as temporary:
                save_file({"losses": np.array(losses)}, temporary)
            rmtree(self.folder / STATES, ignore_errors=True)
        self.crew.wait()

    def _claim(self) -> None:
        path = self.folder / ABOUT
        if path.exists():
            recorded = json.loads(path.read_text(encoding="utf-8"))
            differences = [name for name in self.about if recorded.get(name) != self.about[name]]
            if differences:
                raise ValueError(
                    f"{self.folder} is the folder of another run: not the same {', nor the same '.join(differences)}. "
                    "Give another folder, or delete this one to begin anew."
                )
        elif checkpoints := _checkpoints(self.folder):
            raise ValueError(
                f"{self.folder} holds {checkpoints[min(checkpoints)].name} of a run that is not known: it has no "
                f"{ABOUT}. Give another folder."
            )
        else:
            with store.writing(path) as temporary:
                temporary.write_text(json.dumps(self.about, indent=1) + "\n", encoding="utf-8")

    def _file(self, step: int) -> Path:
        return self.folder / STATES / f"{step}-{self.crew.rank}-of-{self.crew.n}.safetensors"

    def _load(self, step: int) -> list[float]:
        import torch
        from safetensors import safe_open

        with safe_open(self._file(step), framework="pt") as file:
            names = set(file.keys())
            for name, weight in self.weights.items():
                _local(weight.data).copy_(file.get_tensor(f"weights/{name}"))
                if f"step/{name}" in names:
                    # Like the weight, in shards where that is.
                    moments = {kind: torch.zeros_like(weight.data) for kind in MOMENTS[1:]}
                    for kind, values in moments.items():
                        _local(values).copy_(file.get_tensor(f"{kind}/{name}"))
                    self.optimizer.state[weight] = {MOMENTS[0]: file.get_tensor(f"step/{name}"), **moments}
            torch.set_rng_state(file.get_tensor("random"))
            if "random/gpu" in names:
                torch.cuda.set_rng_state(file.get_tensor("random/gpu"))
            return file.get_tensor("losses").tolist()


def losses(folder: Path) -> np.ndarray:
    """Loss of each step of a run that is over: (n_steps,) nats a token."""
    from safetensors.numpy import load_file

    return load_file(folder / LOSSES)["losses"]


def finished(folder: Path) -> dict[int, Path]:
    """Models of a run by the number of steps made, in order; nothing unless it is over."""
    return _checkpoints(folder) if (folder / LOSSES).exists() else {}


def save_model(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Save a model in Hugging Face's layout: whole or not at all, and only where there is none yet.

    Adapters are merged into the weights that are saved. Of several processes the first one saves.
    """
    crew, is_saved = distributed.current(), (folder / "config.json").exists()
    crew.wait()  # all have looked before one saves
    if is_saved:
        return folder
    weights = crew.weights(network)
    if crew.rank == 0:
        with networks.writing(folder) as temporary:
            if hasattr(network, "lora"):
                adapters.merged(network, weights).save_pretrained(temporary)
            else:
                network.save_pretrained(temporary, state_dict=weights)
            tokenizer.save_pretrained(temporary)
    crew.wait()
    return folder


def _checkpoints(folder: Path) -> dict[int, Path]:
    folders = {int(path.name.removeprefix("step-")): path for path in folder.glob("step-*")}
    return dict(sorted(folders.items()))


def _parts(path: Path) -> Iterable[int]:
    """Step, process, and number of processes of a file."""
    step, rank, _, n = path.stem.split("-")
    return int(step), int(rank), int(n)


def _local(values: torch.Tensor) -> torch.Tensor:
    """The shard of a tensor that this process holds; all of one that is not sharded."""
    return values.to_local() if hasattr(values, "to_local") else values
