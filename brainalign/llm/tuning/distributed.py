"""Processes that train a network together: one, or several that accelerate has started.

    accelerate launch --config_file workflow/accelerate/fsdp.yaml -m brainalign.cli tune STUDY MODEL

With FSDP (its second version) each process holds a shard of weights, gradients and moments; else, as without GPUs,
each holds all of them. Both ways are tested with two processes on a CPU, in float32; neither was run on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from brainalign.store.entries import locked

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Alone:
    """The only process."""

    rank, n = 0, 1

    def prepared(
        self, network: PreTrainedModel, optimizer: torch.optim.Optimizer
    ) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        """What is called instead of the network, and the optimizer of its weights."""
        return network, optimizer

    def precision(self, network: PreTrainedModel) -> AbstractContextManager:
        """On a GPU, compute in bfloat16 with weights in float32."""
        import torch

        half = network.device.type == "cuda" and network.dtype is torch.float32
        return torch.autocast(network.device.type, torch.bfloat16, enabled=half)

    def total(self, value: float) -> float:
        """Sum over processes."""
        return value

    def wait(self) -> None:
        """Go on when all processes are here."""

    def weights(self, network: PreTrainedModel) -> dict[str, torch.Tensor]:
        """All weights, whole; in the first process alone."""
        return network.state_dict()

    def alone_with(self, path: Path) -> AbstractContextManager:
        """Be the only ones that work on something in the store."""
        return locked(path)


class _Launched(Alone):
    """One of several processes, as the configuration says with which accelerate has started them."""

    def __init__(self):
        import torch
        from accelerate import Accelerator

        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.rank, self.n = self.accelerator.process_index, self.accelerator.num_processes
        plugin = self.accelerator.state.fsdp_plugin if self.accelerator.distributed_type == "FSDP" else None
        if plugin and plugin.fsdp_version != 2:
            raise ValueError(
                "the configuration of accelerate asks for the first version of FSDP, whose shards are not saved here. "
                "Set fsdp_version: 2, as in workflow/accelerate/fsdp.yaml."
            )

    def prepared(self, network: PreTrainedModel, optimizer: torch.optim.Optimizer):
        return self.accelerator.prepare(network, optimizer)  # the network is sharded in place

    def precision(self, network: PreTrainedModel) -> AbstractContextManager:
        return nullcontext()  # what `prepared` gives has its precision from the configuration

    def total(self, value: float) -> float:
        import torch

        values = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(values, "sum").item()

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def weights(self, network: PreTrainedModel) -> dict[str, torch.Tensor]:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        return get_model_state_dict(network, options=StateDictOptions(full_state_dict=True, cpu_offload=True))

    @contextmanager
    def alone_with(self, path: Path) -> Iterator[None]:
        with locked(path) if self.rank == 0 else nullcontext():
            self.wait()
            yield
            self.wait()


@cache
def current() -> Alone:
    """The process that this is, among those that it was started with."""
    return _Launched() if int(os.environ.get("WORLD_SIZE", 1)) > 1 else Alone()
