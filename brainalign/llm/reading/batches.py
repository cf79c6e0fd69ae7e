"""Windows in batches: alike in length, bounded in memory, saved as they are done, halved where memory runs out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brainalign import store
from brainalign.human.recording import Passage
from brainalign.llm.reading.tokens import spelled_out
from brainalign.llm.reading.windows import Window

if TYPE_CHECKING:
    import torch

    from brainalign.llm.models.load import LanguageModel

MEMORY = 1 << 30  # bytes that the intermediate results of a batch may take
WIDTHS = 24  # of a token's intermediate results, in units of the model's width
# Operations in a batch: enough to keep the processor busy, and little enough for its caches and for a killed run to
# lose seconds only. On two cores GPT-2 is fastest at a thousand tokens, a third slower at four thousand.
OPERATIONS = {"cpu": 2.5e11, "cuda": 2e14}
PIECES = "BRAINALIGN_PIECES"  # pieces that a batch is read in from the start, where a process was killed for its memory
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Windows that are read together."""

    windows: list[Window]

    @property
    def parts(self) -> list[int]:
        """Parts in the order in which they are read off."""
        return [part for window in self.windows for part in window.parts]

    @property
    def n_tokens(self) -> int:
        """Tokens, padding excluded."""
        return sum(len(window) for window in self.windows)

    def rows(self, selection: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where tokens of parts are: part (from 0, in order), window and token, (n_tokens,) int each.

        The selection is of each part ``all`` tokens, or the ``last``. An empty part has none; its last is the one
        before it, -1 where there is none. ``mean``: all, or the last of an empty part.
        """
        rows, part = [], 0
        for number, window in enumerate(self.windows):
            for start, stop in window.spans:
                whole = selection == "all" or (selection == "mean" and start < stop)
                rows += [(part, number, token) for token in (range(start, stop) if whole else [stop - 1])]
                part += 1
        part, window, token = np.array(rows, int).reshape(-1, 3).T.copy()
        return part, window, token


def identity(model: LanguageModel, passages: Sequence[Passage], **options) -> dict:
    """What tells the outcome of reading passages from any other: the model, the text itself, and how it is read."""
    options |= model.limited | spelled_out(model.tokenizer, (part for passage in passages for part in passage.parts))
    return {"model": model.identity, "text": store.digest([list(passage.parts) for passage in passages]), **options}


def record(
    model: LanguageModel, passages: Sequence[Passage], windows: Sequence[Window], n_anew: int, special: Sequence[int]
) -> dict:
    """Notes on how windows over passages were read, between special tokens that have these ids."""
    return {
        "tokens": sum(len(window) for window in windows),
        "parts": sum(len(window.parts) for window in windows),
        "parts_encoded_anew": n_anew,
        "special_tokens": model.tokenizer.convert_ids_to_tokens(list(special)),
    }


def batched(model: LanguageModel, windows: Sequence[Window], values_per_token: int = 0) -> list[Batch]:
    """Sort windows by length and cut them into batches that fit into `MEMORY`; always the same for the same model.

    Every token may take further values, such as a probability for each piece of the vocabulary.
    """
    size = 4 * (WIDTHS * model.width + values_per_token)
    operations = OPERATIONS.get(model.device.type, OPERATIONS["cuda"])
    limit = min(MEMORY / size, operations / (2 * model.n_parameters))
    batches, longest = [[]], 0
    for window in sorted(windows, key=len, reverse=True):
        if batches[-1] and longest * (len(batches[-1]) + 1) > limit:
            batches.append([])
        longest = len(window) if not batches[-1] else longest
        batches[-1].append(window)
    return [Batch(group) for group in batches]


def not_finite(model: LanguageModel, what: str) -> ValueError:
    """Error that says of what a model gave no number, and what to do about it."""
    return ValueError(
        f"{model.name}: {what}. In {model.network.dtype} large states overflow: load the model with dtype='bfloat16' "
        "or 'float32'."
    )


def inputs(model: LanguageModel, batch: Batch, prefix: list[int], suffix: list[int]) -> dict[str, torch.Tensor]:
    """What the network takes: ids, (n_windows, longest) int, padded on the right; for an encoder their mask, too.

    A causal model reads `tokens`; an encoder the `context`, or the same `tokens`, and its decoder the `tokens` shifted
    right, after the token that starts decoding. Special tokens are put around each text.
    """
    windows = batch.windows
    if not model.encoder_decoder:
        return {"input_ids": padded([prefix + window.tokens for window in windows], model.device)}
    encoder = [prefix + (window.tokens if window.context is None else window.context) + suffix for window in windows]
    start = [model.config.decoder_start_token_id]
    decoder = [start + prefix + window.tokens for window in windows]
    return masked(encoder, model.device) | {"decoder_input_ids": padded(decoder, model.device)}


def masked(sequences: Sequence[list[int]], device: torch.device) -> dict[str, torch.Tensor]:
    """What an encoder takes: ids, and 1 where they are text, 0 where they are padding."""
    ones = [[1] * len(sequence) for sequence in sequences]
    return {"input_ids": padded(sequences, device), "attention_mask": padded(ones, device)}


def padded(sequences: Sequence[list[int]], device: torch.device, filling: int = 0) -> torch.Tensor:
    """Sequences as rows of the length of the longest, (n_sequences, longest) int.

    A causal model or a decoder needs no mask: what is padding comes after all that is text, which does not see it.
    Without a mask attention takes a faster way.
    """
    import torch

    longest = max(map(len, sequences))
    return torch.tensor([[*sequence, *[filling] * (longest - len(sequence))] for sequence in sequences], device=device)


def read_all(
    kind: str, key: dict, batches: Sequence[Batch], work: Callable[[Batch], Arrays], title: str | None = None
) -> list[tuple[list[int], Arrays]]:
    """Do all batches, or those that an earlier run has not saved: parts of each, and arrays whose first axis they are.

    They are for an entry of the store of this kind and identity. The title is that of the progress bar on a terminal;
    without, there is none. Raises MemoryError where a single window does not fit into memory.
    """
    from tqdm import tqdm

    offsets = np.cumsum([0, *(batch.n_tokens for batch in batches)])
    n_pieces = int(os.environ.get(PIECES, "1"))
    drawn = {"desc": title, "disable": True if title is None else None}  # None: where it is no terminal
    with tqdm(total=int(offsets[-1]), unit=" tokens", unit_scale=True, **drawn) as bar:

        def step(number: int) -> Arrays:
            if bar.n < offsets[number]:  # an earlier run did those: they say nothing of the speed of this one
                bar.n = bar.initial = int(offsets[number])
            bar.set_postfix_str(f"batch {number + 1} of {len(batches)}")
            arrays = _in_pieces(work, batches[number], n_pieces)
            bar.update(batches[number].n_tokens)
            return arrays

        results = store.resumed(kind, key, len(batches), step)
    return [(batch.parts, arrays) for batch, arrays in zip(batches, results, strict=True)]


def _in_pieces(work: Callable[[Batch], Arrays], batch: Batch, n_pieces: int) -> Arrays:
    """Work on a batch piece by piece. Batches stay as they are, so that those that were saved still count."""
    size = -(-len(batch.windows) // n_pieces)
    pieces = [Batch(batch.windows[start : start + size]) for start in range(0, len(batch.windows), size)]
    return _joined([_halving(work, piece) for piece in pieces])


def _halving(work: Callable[[Batch], Arrays], batch: Batch) -> Arrays:
    """Work on a batch, on its halves if memory runs out."""
    import torch

    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        on_cpu = "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
        if not on_cpu and not isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            raise
        message = str(error).splitlines()[0]
    # Out of the handler, whose traceback holds on to what the failed attempt had computed.
    torch.cuda.empty_cache()
    if len(batch.windows) == 1:
        raise MemoryError(
            f"one window of {len(batch.windows[0])} tokens does not fit into memory ({message}). Load the model with a "
            "smaller dtype, over more devices (device='auto'), or read shorter texts."
        )
    middle = len(batch.windows) // 2
    return _joined([_halving(work, Batch(half)) for half in (batch.windows[:middle], batch.windows[middle:])])


def _joined(pieces: list[Arrays]) -> Arrays:
    return pieces[0] if len(pieces) == 1 else {k: np.concatenate([piece[k] for piece in pieces]) for k in pieces[0]}
