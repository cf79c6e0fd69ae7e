"""Instruction tuning, by the recipe that made Alpaca: its layout of samples, and the loss of the response only.

    samples = json.loads(Path("alpaca_data.json").read_text())
    model = load("llama-7b", dtype="bfloat16")
    tune(model.network.requires_grad_(True), model.tokenizer, samples, Path("runs/llama-7b-tuned"))

Protocols, section 10. The loop is that of `training`: a run that is killed goes on where it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainalign.llm.training import Example, Recipe, save_model, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# Stanford Alpaca's (github.com/tatsu-lab/stanford_alpaca, train.py), with and without an input.
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)


def prompt(sample: dict[str, str], instruction: bool = True) -> str:
    """What stands before the response of a sample in Alpaca's layout.

    Parameters
    ----------
    sample : dict
        ``instruction``, ``input`` (may be empty) and ``output``.
    instruction : bool
        Without it, for the paper's ablation, what is left is the input alone; of a sample without input nothing is,
        so that the response stands alone. The paper does not say what became of those.
    """
    if not instruction:
        return f"{sample['input']}\n\n" if sample["input"] else ""
    return (WITH_INPUT if sample["input"] else WITHOUT_INPUT).format_map(sample)


def encode(
    tokenizer: PreTrainedTokenizerFast,
    samples: Sequence[dict[str, str]],
    encoder_decoder: bool,
    instruction: bool = True,
    max_length: int = Recipe.max_length,
) -> list[Example]:
    """Samples in Alpaca's layout as examples: the response, and the token that ends it, is what a loss is taken of.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        The model's; it has a token for the end of a text.
    samples : sequence of dict
        See `prompt`.
    encoder_decoder : bool
        Whether the prompt is for the encoder. If not, prompt and response are tokenized as one text, as in Alpaca.
    instruction : bool
        See `prompt`.
    max_length : int
        Tokens; what is over is cut off on the right. A sample whose response is cut off whole is left out. A warning
        says how many were cut.

    Returns
    -------
    list of Example

    Raises
    ------
    ValueError
        A sample lacks a field or a response, the tokenizer has no token for the end, or nothing is left.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ValueError("the tokenizer has no token that ends a text, so that no response would end. Give it one.")
    examples, n_cut = [], 0
    for number, sample in enumerate(samples):
        for name in ("instruction", "input", "output"):
            if not isinstance(sample.get(name), str) or (name == "output" and not sample[name].strip()):
                raise ValueError(f"sample {number}: {name}: expected a text, got {sample.get(name)!r}. Correct it.")
        before = prompt(sample, instruction)
        if encoder_decoder:
            # Even nothing is a text that ends, so that the encoder has something to read.
            source, target = tokenizer(before)["input_ids"] or [end], tokenizer(sample["output"])["input_ids"]
        else:
            encoded = tokenizer(before + sample["output"], return_offsets_mapping=True)
            ids, offsets = encoded["input_ids"], np.array(encoded["offset_mapping"])
            # Special tokens in front have no characters; a token that holds characters of both belongs to the response.
            n_source = int(np.argmax(offsets[:, 1] > len(before)))
            source, target = ids[:n_source], ids[n_source:]
        target = target if target[-1] == end else [*target, end]
        room = max_length if encoder_decoder else max(0, max_length - len(source))
        n_cut += len(source) > max_length or len(target) > room
        if room:
            examples.append(Example(source[:max_length], target[:room]))
    if n_cut:
        warnings.warn(f"{n_cut} of {len(samples)} samples were cut to {max_length} tokens.", stacklevel=2)
    if not examples:
        raise ValueError(
            f"no sample has a response within {max_length} tokens. Give samples, or allow for more tokens."
        )
    return examples


def tune(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    samples: Sequence[dict[str, str]],
    folder: Path,
    recipe: Recipe | None = None,
    *,
    instruction: bool = True,
    keep: Collection[int] = (),
    **options,
) -> np.ndarray:
    """Tune a network to follow instructions, and save it in Hugging Face's layout.

    Parameters
    ----------
    network, tokenizer
        Of a causal model or an encoder-decoder. The network is changed in place.
    samples : sequence of dict
        See `prompt`.
    folder : Path
        Where ``step-N`` folders are saved, and the state of a run that is under way.
    recipe : Recipe, optional
        Alpaca's if left out.
    instruction : bool
        Without, for the paper's ablation, the instruction of each sample is dropped (see `prompt`).
    keep : collection of int
        Steps after which to save, beside the last; 0 is before the first.
    **options
        As in `train`.

    Returns
    -------
    ndarray
        (n_steps,) loss of each step before it was made, nats a token.
    """
    recipe = recipe or Recipe()
    found = encode(tokenizer, samples, bool(network.config.is_encoder_decoder), instruction, recipe.max_length)

    def save(step: int) -> None:
        save_model(network, tokenizer, Path(folder) / f"step-{step}")

    return train(network, found, recipe, Path(folder), save=save, keep=keep, **options)
