"""Instruction tuning: any model that can be loaded, by Alpaca's recipe or another, in full or with LoRA.

    folders = tuned("llama-7b", samples.load("alpaca_data.json"), Tuning())    # in the store; made once
    tune(network, tokenizer, some_samples, Path("runs/mine"), Tuning())        # a network and a folder of one's own

Protocols, section 10. `samples` says what is read under each condition, and why; the loop is that of `training`: a run
that is killed goes on where it was. For several GPUs, `distributed`. Every checkpoint is a folder in Hugging Face's
layout, for `llm.load`; LoRA's adapters are merged into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainalign import store
from brainalign.llm.models import networks, sources
from brainalign.llm.models.load import load, tokenizer_of
from brainalign.llm.reading.tokens import spelled_out
from brainalign.llm.tuning import adapters, checkpoints, distributed
from brainalign.llm.tuning.adapters import Lora
from brainalign.llm.tuning.samples import INSTRUCTION, encode
from brainalign.llm.tuning.training import Recipe, few_threads, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

REVISION = 1  # of what is tuned here; a new one leaves tuned models behind


@dataclass(frozen=True)
class Tuning:
    """How to tune a model; the defaults are Alpaca's for LLaMA-7B."""

    condition: str = INSTRUCTION  #: of `samples.CONDITIONS`
    recipe: Recipe = field(default_factory=Recipe)
    lora: Lora | None = None  #: adapters to train in the network's stead; without, all weights are trained
    checkpoints: tuple[int, ...] = ()  #: steps after which the model is kept, beside the last; 0 is before the first
    gradient_checkpointing: bool = False  #: less memory, a third more time, the same outcome


def tune(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    samples: Sequence[dict[str, str]],
    folder: Path,
    tuning: Tuning | None = None,
    **options,
) -> np.ndarray:
    """Tune a network, save it in Hugging Face's layout along the way, and give the losses as `train`.

    Parameters
    ----------
    network
        A causal model or an encoder-decoder. It is changed in place: those of its weights that require a gradient, or
        adapters that are put into it.
    folder
        Where ``step-N`` folders and the losses are saved, and the state of a run that is under way (`checkpoints.Run`).
    tuning
        Alpaca's if left out.
    **options
        ``every`` and ``title``, as in `train`.

    Raises
    ------
    ValueError, LookupError
        A checkpoint lies behind the last step; or as in `samples.encode`, `adapters.attach` and `train`.
    """
    tuning = tuning or Tuning()
    encoder_decoder = bool(network.config.is_encoder_decoder)
    with networks.quiet():  # it would say that samples are long, which they are cut for
        examples = encode(tokenizer, samples, encoder_decoder, tuning.condition, tuning.recipe.max_length)
    n_steps = tuning.recipe.n_steps(len(examples))
    late = [step for step in tuning.checkpoints if not 0 <= step <= n_steps]
    if late:
        raise ValueError(
            f"there is no checkpoint after step {late[0]}: {len(examples)} samples take {n_steps} steps. Choose other "
            "checkpoints, or train for more epochs."
        )
    if tuning.lora:
        adapters.attach(network, tuning.lora, tuning.recipe.seed)

    def save(step: int) -> None:
        checkpoints.save_model(network, tokenizer, Path(folder) / f"step-{step}")

    options |= {"keep": tuning.checkpoints, "gradient_checkpointing": tuning.gradient_checkpointing}
    return train(network, examples, tuning.recipe, Path(folder), save=save, **options)


def tuned(
    name_or_path: str | Path,
    samples: Sequence[dict[str, str]],
    tuning: Tuning | None = None,
    *,
    name: str | None = None,
    device: str | None = None,
    every: float = 300.0,
    **options,
) -> dict[int, Path]:
    """Tune a model that `load` knows, once: folders in the store, by the number of steps made.

    They are under a digest of all that determines them: the base, the samples, and the tuning. One process works on a
    model, or several that were launched together; any others wait for them. The name is what the folder is called,
    before the condition; by default that of the base. Options are ``revision``, ``dtype`` and ``base`` of `load`.
    Raises as `load` and `tune`.
    """
    tuning, crew = tuning or Tuning(), distributed.current()
    folder = _folder(name_or_path, samples, tuning, name, options)
    with crew.alone_with(folder):
        if not checkpoints.finished(folder):
            model = load(name_or_path, device="cpu" if crew.n > 1 else device, **options)
            network = model.network.requires_grad_(True)
            with few_threads(model.n_parameters):
                tune(network, model.tokenizer, samples, folder, tuning, every=every, title=folder.name)
    return checkpoints.finished(folder)


def losses(folders: dict[int, Path]) -> np.ndarray:
    """Losses along a run from `tuned`: (n_steps,) nats a token, each before its step was made."""
    return checkpoints.losses(next(iter(folders.values())).parent)


def _folder(name_or_path: str | Path, samples: Sequence[dict], tuning: Tuning, name: str | None, options: dict) -> Path:
    load_options = {key: value for key, value in options.items() if value is not None and key != "revision"}
    if "base" in load_options:
        load_options["base"] = sources.find(load_options["base"]).identity
    source = sources.find(name_or_path, options.get("revision"))
    identity = {
        "revision": REVISION,
        "base": source.identity,
        "options": {"dtype": "float32"} | load_options,
        "samples": store.digest(list(samples)),
        "condition": tuning.condition,
        "recipe": asdict(tuning.recipe),
        "lora": tuning.lora and asdict(tuning.lora),
        "checkpoints": sorted(set(tuning.checkpoints)),
    } | spelled_out(tokenizer_of(source.folder), (str(text) for sample in samples for text in sample.values()))
    method = "-lora" if tuning.lora else ""
    title = f"{name or source.name}-{tuning.condition}{method}-{tuning.recipe.seed}"
    return store.root() / "models" / f"{title.replace('/', '--')}-{store.digest(identity)[:16]}"
