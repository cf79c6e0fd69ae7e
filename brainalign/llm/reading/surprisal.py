"""Surprisal of words: how unlikely a model finds each of them, given what comes before it in its text.

    surprisal(load("gpt2-small"), times.passages)      # bits, a value a word

A word's surprisal is the sum over its tokens, whatever the tokenizer does with the space before it. A story is read
in one pass, not in a pass a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from brainalign import messages, store
from brainalign.human.recording import Passage
from brainalign.llm.models.heads import Head
from brainalign.llm.reading import windows as reading
from brainalign.llm.reading.batches import Arrays, Batch, batched, identity, inputs, not_finite, read_all, record
from brainalign.llm.reading.tokens import (
    coordinates,
    join,
    missing_where_unknown,
    place_of,
    special_tokens,
    unknown_ids,
)
from brainalign.llm.reading.windows import Window

if TYPE_CHECKING:
    from brainalign.llm.models.load import LanguageModel

REVISION = 1  # of what is computed here and in `windows`; a new one leaves cached surprisal behind
MODES = ("copy", "continuation")
NAMED = 10  # words outside the vocabulary that are named


def surprisal(
    model: LanguageModel,
    passages: Sequence[Passage],
    *,
    mode: str | None = None,
    long: str = "strided",
    text: str = "text",
) -> xr.DataArray:
    """-log2 p(word | what comes before it in its passage), computed once and kept in the store (protocols, section 8).

    Parameters
    ----------
    mode
        For encoder-decoder models. ``copy``: the encoder reads the same text as the decoder, what follows included
        (what the paper's losses suggest); it is what such a model has if left out. ``continuation``: the encoder reads
        what comes before a word, and the decoder is scored on that word.
    long, text
        As in `activations`.

    Returns
    -------
    DataArray
        (part,) bits, float64. 0 for an empty word; NaN for the first word of a passage where the tokenizer has no token
        for the beginning of a text, and for words with a token that stands for whatever the vocabulary lacks: its
        probability is no word's. A warning names those. Coordinates and ``attrs`` as those of `activations`.

    Raises
    ------
    LookupError, MemoryError, OSError
        No such mode; or as in `activations`.
    ValueError
        There is nothing to read, the tokenizer cannot tell a word from its neighbor, a word has more tokens than the
        model's positions, a probability is not a number, or a causal model is given a mode.
    """
    mode = mode_of(model, mode)
    reading.check(passages, long)
    key = identity(model, passages, mode=mode, long=long, revision=REVISION)
    key |= missing_where_unknown(model.tokenizer, [join(passage.parts).text for passage in passages])
    title = f"{model.name}, {text}"
    bits, notes = store.get("surprisal", key, lambda: _compute(model, passages, key, title))
    if notes.get("unknown_words"):
        warnings.warn(
            f"{model.name}, {text}: {messages.count(notes['unknown_words'], 'word')} with letters that are not in the "
            f"vocabulary, and so without surprisal: {', '.join(notes['unknown'])}.",
            stacklevel=2,
        )
    return xr.DataArray(bits["bits"], dims="part", coords=coordinates(passages), attrs=notes | {"units": "bits"})


def mode_of(model: LanguageModel, mode: str | None) -> str:
    """How a model reads: the mode asked for of an encoder-decoder, or its first; ``causal`` of any other model.

    Raises LookupError where there is no such mode, and ValueError where a causal model is given one.
    """
    if mode is not None and not model.encoder_decoder:
        raise ValueError(f"{model.name} is a causal model and reads in one way, not by mode {mode!r}. Leave it out.")
    if mode is not None and mode not in MODES:
        raise LookupError(messages.unknown("mode of surprisal", mode, MODES))
    return (mode or MODES[0]) if model.encoder_decoder else "causal"


def _compute(model: LanguageModel, passages: Sequence[Passage], key: dict, title: str) -> tuple[Arrays, dict]:
    """Bits of every word, and notes on how they were computed."""
    prefix, suffix = surrounding_tokens(model)
    windows, n_anew = _windows(model, passages, key, len(prefix) + len(suffix) + model.encoder_decoder)
    bits = np.empty(sum(len(passage.parts) for passage in passages))
    for parts, window_bits in bits_of("surprisal", key, model, windows, title):
        bits[parts] = window_bits
    _require_numbers(bits, passages, model, scored=bool(prefix) or model.encoder_decoder)
    unknown = _with_tokens(windows, unknown_ids(model.tokenizer))
    bits[unknown] = np.nan
    notes = record(model, passages, windows, n_anew, [*prefix, *suffix]) | {
        "first_word": f"after {model.tokenizer.convert_ids_to_tokens(prefix)[-1]}" if prefix
        else "after the token that starts decoding" if model.encoder_decoder
        else "missing: the tokenizer has no token for the beginning of a text",
    }  # fmt: skip
    if unknown:
        parts = [part for passage in passages for part in passage.parts]
        names = list(dict.fromkeys(parts[part] for part in unknown))
        notes |= {"unknown_words": len(unknown), "unknown": names[:NAMED] + ["..."] * (len(names) > NAMED)}
    return {"bits": bits}, notes


def _with_tokens(windows: Sequence[Window], ids: set[int]) -> list[int]:
    """Parts with any of these tokens, in order."""
    return sorted(
        part
        for window in windows
        for part, (start, stop) in zip(window.parts, window.spans, strict=True)
        if not ids.isdisjoint(window.tokens[start:stop])
    )


def surrounding_tokens(model: LanguageModel) -> tuple[list[int], list[int]]:
    """Special tokens before and after what is scored: a causal text has one before it, if the tokenizer has any."""
    prefix, suffix = special_tokens(model.tokenizer)
    beginning = model.tokenizer.bos_token_id
    return (prefix if prefix or model.encoder_decoder or beginning is None else [beginning]), suffix


def _windows(model: LanguageModel, passages: Sequence[Passage], key: dict, room: int) -> tuple[list[Window], int]:
    """What is read in which order, and how many words are read anew."""
    limit = model.n_positions and model.n_positions - room
    if key["mode"] == "continuation":
        return reading.continuation_windows(model.tokenizer, passages, limit), 0
    if key["mode"] == "copy":
        return reading.whole_text_windows(model.tokenizer, passages, limit, key["long"]), 0
    return reading.beginning_windows(model.tokenizer, passages, limit, key["long"], words=True)


def bits_of(
    kind: str, key: dict, model: LanguageModel, windows: Sequence[Window], title: str
) -> list[tuple[list[int], np.ndarray]]:
    """Parts of each batch of windows and their surprisal, summed over the tokens of each: (n_parts,) bits."""
    prefix, suffix = surrounding_tokens(model)
    batches, head = batched(model, windows), cache(lambda: Head(model.network))

    def work(batch: Batch) -> Arrays:
        return {"bits": _bits(model, head(), batch, prefix, suffix)}

    return [(parts, arrays["bits"]) for parts, arrays in read_all(kind, key, batches, work, title)]


def _bits(model: LanguageModel, head: Head, batch: Batch, prefix: list[int], suffix: list[int]) -> np.ndarray:
    """Surprisal of a batch's parts."""
    import torch

    part, window, token = batch.rows("all")
    arguments = inputs(model, batch, prefix, suffix)
    ids = arguments["decoder_input_ids" if model.encoder_decoder else "input_ids"]
    # The place of a token among the ids; its probability is in the output one place before.
    place = token + len(prefix) + model.encoder_decoder
    rows = torch.from_numpy(np.flatnonzero(place > 0))
    nats = torch.full([len(place)], torch.nan)
    with torch.inference_mode():
        states = head.states(**arguments)
        for subset in rows.split(head.n_at_once()):
            window_rows, positions = torch.from_numpy(window)[subset], torch.from_numpy(place)[subset]
            logits = head.logits(states[window_rows.to(states.device), positions.to(states.device) - 1])
            target = ids[window_rows.to(ids.device), positions.to(ids.device)].to(logits.device)
            nats[subset] = torch.nn.functional.cross_entropy(logits.float(), target, reduction="none").cpu()
    return np.bincount(part, nats.numpy(), minlength=len(batch.parts)) / np.log(2)


def _require_numbers(bits: np.ndarray, passages: Sequence[Passage], model: LanguageModel, scored: bool) -> None:
    """See that every word has a surprisal, but the first of a passage where nothing is before it."""
    first = np.cumsum([0, *(len(passage.parts) for passage in passages)])[:-1]
    wrong = ~np.isfinite(bits)
    if not scored:
        wrong[first] = False
    if wrong.any():
        first = int(wrong.argmax())
        raise not_finite(model, f"the surprisal of {place_of(passages, first)} is {bits[first]}")
