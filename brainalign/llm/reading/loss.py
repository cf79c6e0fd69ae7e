"""Next-word loss on a long text, in nats per token and in bits per byte, which is the same for every tokenizer.

table = loss(load("gpt2-small"), benchmarks.wikitext2())       # a row a document
table.nats.sum() / table.tokens.sum(), table.nats.sum() / np.log(2) / table.bytes.sum()
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brainalign import messages, store
from brainalign.llm.reading.batches import Arrays, not_finite
from brainalign.llm.reading.surprisal import MODES, bits_of, mode_of, surrounding_tokens
from brainalign.llm.reading.tokens import Text, Tokens, spelled_out, tokenize, unknown_ids
from brainalign.llm.reading.windows import stream_windows

if TYPE_CHECKING:
    from brainalign.llm.models.load import LanguageModel

REVISION = 1  # of what is computed here and in `windows`; a new one leaves stored losses behind
WINDOW = 1024  # tokens that a model reads at once that sets no limit


def loss(
    model: LanguageModel, documents: Sequence[str], *, mode: str | None = None, text: str = "text"
) -> pd.DataFrame:
    """-ln p(token | tokens before it), over documents in a row, computed once and kept in the store (protocols, 9).

    The text is tokenized as a whole and read in windows that overlap by half; a token is scored in the first that has
    it. For encoder-decoder models there are the modes of `surprisal`: the encoder reads the same window, or what of it
    was scored before. Raises as `surprisal`, and ValueError where there is no text.

    Returns
    -------
    DataFrame
        A row a document: ``nats``, ``tokens`` that were scored, ``bytes`` (UTF-8). ``attrs``: the record, with the
        tokens of a ``window``, and those that are new to it, ``stride``. Where the tokenizer has no token for the
        beginning of a text, the first token of all is not scored. In tokens that stand for whatever the vocabulary
        lacks, bytes are lost: a document with such tokens has no ``bytes`` (NaN), and ``unknown_tokens`` counts them.
    """
    mode = mode_of(model, mode)
    if not any(document.strip() for document in documents):
        raise ValueError("there are no documents with text, so there is nothing to read. Give one or more.")
    window = model.n_positions or WINDOW
    how = {"mode": mode, "window": window, "stride": max(1, (window - _n_special(model)) // 2)}
    key = {"model": model.identity, "documents": store.digest(list(documents)), **how, "revision": REVISION}
    key |= spelled_out(model.tokenizer, documents)
    title = f"{model.name}, {text}"
    entry = store.get("loss", key, lambda: _compute(model, documents, key, title))
    table = pd.DataFrame({name: entry.arrays[name] for name in ("nats", "tokens", "bytes")})
    table.attrs = entry.record | how
    if n_unknown := _mask_unknown(table, model, documents):
        table.attrs["unknown_tokens"] = n_unknown
        warnings.warn(
            f"{model.name}, {text}: {messages.count(n_unknown, 'token')} for letters that are not in the vocabulary, "
            "so that there are no bits per byte.",
            stacklevel=2,
        )
    return table


def _mask_unknown(table: pd.DataFrame, model: LanguageModel, documents: Sequence[str]) -> int:
    """Leave documents with unknown tokens without bytes; gives the number of those tokens."""
    unknown = sorted(unknown_ids(model.tokenizer))
    if not unknown:
        return 0
    tokens = _tokens(model, documents)
    places = np.flatnonzero(np.isin(tokens.ids, unknown))
    documents_with = np.unique(np.searchsorted(tokens.stops[:-1], places, side="right"))
    if len(places):
        table["bytes"] = table.bytes.astype(float).mask(np.isin(table.index, documents_with))
    return len(places)


def _tokens(model: LanguageModel, documents: Sequence[str]) -> Tokens:
    ends = list(accumulate(len(document) for document in documents))
    return tokenize(model.tokenizer, Text("".join(documents), ends, set()))


def _n_special(model: LanguageModel) -> int:
    return sum(map(len, surrounding_tokens(model))) + model.encoder_decoder


def _compute(model: LanguageModel, documents: Sequence[str], key: dict, title: str) -> tuple[Arrays, dict]:
    """Loss of each document, and notes on how it was computed."""
    prefix, suffix = surrounding_tokens(model)
    tokens = _tokens(model, documents)
    # The last document has the last token, also where that stands for nothing.
    stops = [*tokens.stops[:-1], len(tokens.ids)]
    first = int(not (prefix or model.encoder_decoder))
    room = key["window"] - _n_special(model)
    separate_context = key["mode"] == MODES[1]
    windows = stream_windows(tokens.ids, stops, room, key["stride"], first=first, separate_context=separate_context)
    nats = np.zeros(len(documents))
    for parts, bits in bits_of("loss", key, model, windows, title):
        np.add.at(nats, parts, bits * np.log(2))
    if not np.isfinite(nats).all():
        raise not_finite(model, f"the loss of document {int(np.argmin(np.isfinite(nats))) + 1} is not a number")
    counts = np.diff([0, *stops])
    counts[0] -= first
    n_bytes = np.array([len(document.encode()) for document in documents])
    special = model.tokenizer.convert_ids_to_tokens([*prefix, *suffix])
    return {"nats": nats, "tokens": counts, "bytes": n_bytes}, {"windows": len(windows), "special_tokens": special}
