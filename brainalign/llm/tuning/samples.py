"""Samples to tune with, in Alpaca's layout: what each says, under each condition, and as tokens.

    samples = load("alpaca_sample")                        # a data set of the catalog, or a JSON file of one's own
    examples = encode(tokenizer, samples, encoder_decoder=False, condition="no-instruction")

Three conditions see the same samples in the same order, and so make as many steps:

``instruction``
    Alpaca's frame around instruction and input; the loss is that of the response.
``no-instruction``
    The paper's ablation: of what stands before the response only the input is left, and nothing of a sample without
    one, whose response stands alone. The paper does not say what became of those.
``continued``
    A control: the words of the same samples as plain text, with the loss of all tokens. An example is the instruction
    with its input, and then the response of the NEXT sample, each a text that ends, as texts follow one another in
    pretraining. So whatever the words of the samples do to a model happens here too: as many examples, each field once
    an epoch, the same steps and rates. What is missing is the frame, and that a response follows its instruction. More
    tokens have a loss, since those of instructions have; and a step has about as many tokens as under ``instruction``
    less the frame's.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainalign import catalog, messages
from brainalign.human.download import fetch_all
from brainalign.llm.reading import tokens
from brainalign.llm.tuning.training import Example, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

INSTRUCTION, NO_INSTRUCTION, CONTINUED = CONDITIONS = ("instruction", "no-instruction", "continued")
FIELDS = ("instruction", "input", "output")
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


def names() -> list[str]:
    """Data sets of samples in the catalog."""
    return [name for name, data in catalog.datasets().items() if data.kind == "instructions"]


def load(name_or_path: str | Path) -> list[dict[str, str]]:
    """Samples of a data set of the catalog, or of a JSON file of one's own: a list of objects with `FIELDS`.

    Raises
    ------
    LookupError
        Neither a data set nor a file; the message suggests near names.
    ValueError
        The file is not JSON, or a sample lacks a field or a response.
    """
    path = Path(name_or_path)
    if str(name_or_path) in names():
        (path,) = fetch_all(str(name_or_path)).values()
    elif not path.is_file():
        message = messages.unknown("data set of samples", str(name_or_path), names())
        raise LookupError(f"{message} Or give the path of a JSON file.")
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Give a list of objects with {', '.join(FIELDS)}.") from error
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise ValueError(f"{path} is no list of objects. Give one, with {', '.join(FIELDS)} each.")
    check(samples, f"{path}: ")
    return samples


def check(samples: Sequence[dict[str, str]], place: str = "") -> None:
    """See that samples have all fields as texts, and a response; raises ValueError where one lacks some."""
    for number, sample in enumerate(samples):
        for name in FIELDS:
            if not isinstance(sample.get(name), str) or (name == "output" and not sample[name].strip()):
                raise ValueError(
                    f"{place}sample {number}: {name}: expected a text, got {sample.get(name)!r}. Correct it, or leave "
                    "the sample out."
                )


def prompt(sample: dict[str, str], condition: str = INSTRUCTION) -> str:
    """What stands before the response of a sample, which has ``instruction``, ``input`` (may be empty) and ``output``.

    Raises LookupError for a condition without prompts: in ``continued``, texts stand before no response of theirs.
    """
    if condition == INSTRUCTION:
        return (WITH_INPUT if sample["input"] else WITHOUT_INPUT).format_map(sample)
    if condition == NO_INSTRUCTION:
        return f"{sample['input']}\n\n" if sample["input"] else ""
    raise LookupError(messages.unknown("condition with prompts", condition, CONDITIONS[:2]))


def encode(
    tokenizer: PreTrainedTokenizerFast,
    samples: Sequence[dict[str, str]],
    encoder_decoder: bool,
    condition: str = INSTRUCTION,
    max_length: int = Recipe.max_length,
) -> list[Example]:
    """Samples as examples: what is read, and what a loss is taken of, which ends with the token for the end of a text.

    Parameters
    ----------
    encoder_decoder
        Whether what is read is for the encoder (in ``continued``, the end of a text alone, and the decoder has it all).
        If not, prompt and response are tokenized as one text, as in Alpaca.
    condition
        Of `CONDITIONS`; there are as many examples under each.
    max_length
        Tokens; what is over is cut off on the right. A warning says how many were cut. Of a causal model, samples whose
        instruction in Alpaca's frame leaves no room for a response are left out, in every condition.

    Raises
    ------
    ValueError
        A sample lacks a field or a response, the tokenizer has no token for the end, or nothing is left.
    LookupError
        No such condition.
    """
    end = tokenizer.eos_token_id
    if condition not in CONDITIONS:
        raise LookupError(messages.unknown("condition", condition, CONDITIONS))
    if end is None:
        raise ValueError("the tokenizer has no token that ends a text, so that no response would end. Give it one.")
    check(samples)
    framed = [_answered(tokenizer, sample, INSTRUCTION, encoder_decoder) for sample in samples]
    places = [i for i, example in enumerate(framed) if encoder_decoder or len(example.source) < max_length]
    if condition == CONTINUED:
        pairs = zip(places, places[1:] + places[:1], strict=True)
        whole = [_plain(tokenizer, samples[i], samples[j], encoder_decoder) for i, j in pairs]
    elif condition == NO_INSTRUCTION:
        whole = [_answered(tokenizer, samples[i], condition, encoder_decoder) for i in places]
    else:
        whole = [framed[i] for i in places]
    examples = [_cut(example, encoder_decoder, max_length) for example in whole]
    if n_cut := len(samples) - sum(map(Example.__eq__, whole, examples)):
        warnings.warn(f"{n_cut} of {len(samples)} samples were cut to {max_length} tokens.", stacklevel=2)
    if not examples:
        raise ValueError(
            f"no sample has a response within {max_length} tokens. Give samples, or allow for more tokens."
        )
    return examples


def _answered(tokenizer: PreTrainedTokenizerFast, sample: dict, condition: str, encoder_decoder: bool) -> Example:
    """Prompt and response of a sample."""
    end, prompt_text = tokenizer.eos_token_id, prompt(sample, condition)
    if encoder_decoder:
        # Even nothing is a text that ends, so that the encoder has something to read.
        source, target = _ids(tokenizer, prompt_text) or [end], _ids(tokenizer, sample["output"])
    else:
        (encoded,) = tokens.encode(tokenizer, [prompt_text + sample["output"]], special_tokens=True)
        ids, offsets = encoded.ids, np.array(encoded.offsets)
        # Special tokens in front have no characters; a token that holds characters of both belongs to the response.
        n_source = int(np.argmax(offsets[:, 1] > len(prompt_text)))
        source, target = ids[:n_source], ids[n_source:]
    return Example(source, _ended(target, end))


def _plain(tokenizer: PreTrainedTokenizerFast, sample: dict, next_sample: dict, encoder_decoder: bool) -> Example:
    """Instruction and input of one sample, and the response of another: two texts, one after the other."""
    end = tokenizer.eos_token_id
    texts = "\n\n".join(filter(None, (sample["instruction"], sample["input"]))), next_sample["output"]
    target = [token for text in texts for token in _ended(_ids(tokenizer, text), end)]
    return Example([end] if encoder_decoder else [], target)


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokens.encode(tokenizer, [text], special_tokens=True)[0].ids


def _ended(ids: list[int], end: int) -> list[int]:
    return ids if ids[-1:] == [end] else [*ids, end]


def _cut(example: Example, encoder_decoder: bool, max_length: int) -> Example:
    source = example.source[:max_length]
    return Example(source, example.target[: max_length - (0 if encoder_decoder else len(source))])
