"""A passage as a string and as tokens, and where its parts end in either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from brainalign.human.recording import Passage

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

MARKS = ".,!?;:"
BEFORE_MARK = re.compile(rf"\s+([{MARKS}])")


class Text(NamedTuple):
    """A passage as a string, with the place where each part ends."""

    text: str
    ends: list[int]
    closed: set[int]  # parts that lost white space at their end to the part that follows


class Tokens(NamedTuple):
    """A passage as tokens, with the place where each part stops."""

    ids: list[int]
    stops: list[int]
    tokenless: set[int]  # parts with text and no tokens of their own: they have none, or share the first


def join(parts: Sequence[str]) -> Text:
    """Join parts by one space, without blank ones and without space before ``. , ! ? ; :`` (protocols, section 2)."""
    text, ends, closed = "", [], set()
    for part in parts:
        if part.strip():
            piece = BEFORE_MARK.sub(r"\1", part)
            if piece[0] in MARKS:
                text = text.rstrip()
                for previous in reversed(range(len(ends))):
                    if ends[previous] <= len(text):
                        break
                    closed.add(previous)
                    ends[previous] = len(text)
            elif text:
                text += " "
            text += piece
        ends.append(len(text))
    return Text(text, ends, closed)


def special_tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """What a tokenizer puts of its own before and after every text."""
    encoded = tokenizer.backend_tokenizer.encode("a")
    text_places = np.flatnonzero(np.array(encoded.special_tokens_mask) == 0)
    return encoded.ids[: text_places[0]], encoded.ids[text_places[-1] + 1 :]


def tokenize(tokenizer: PreTrainedTokenizerFast, text: Text) -> Tokens:
    """Tokenize a passage, without special tokens, and find its parts in the tokens."""
    (encoded,) = encode(tokenizer, [text.text])
    offsets = np.array(encoded.offsets, int).reshape(-1, 2)
    ends = np.maximum.accumulate(offsets[:, 1]) if len(offsets) else offsets[:, 1]
    stops = np.searchsorted(ends, text.ends, side="right").tolist()
    tokenless, end = set(), 0
    for part, stop in enumerate(stops):
        # From the first letter on: white space between two parts may well belong to a token of either.
        new = text.text[end : text.ends[part]]
        begin = end + len(new) - len(new.lstrip())
        part_offsets = offsets[stops[part - 1] if part else 0 : stop]
        shared = len(part_offsets) and part_offsets[0, 0] < len(text.text[:end].rstrip())
        if new.strip() and (shared or not (part_offsets[:, 1] > begin).any()):
            tokenless.add(part)
        end = text.ends[part]
    return Tokens(encoded.ids, stops, tokenless)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[Encoding]:
    """Encodings of texts without special tokens; the tokenizer's own, which keep track of characters."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend.encode_batch(texts, add_special_tokens=False)


def coordinates(passages: Sequence[Passage]) -> dict[str, tuple[str, np.ndarray]]:
    """Coordinates on ``part`` of what is read off passages, one after the other: ``passage`` and ``text``."""
    ids = np.repeat([passage.id for passage in passages], [len(passage.parts) for passage in passages])
    return {"passage": ("part", ids), "text": ("part", np.array([part for p in passages for part in p.parts]))}


def place_of(passages: Sequence[Passage], part: int) -> str:
    """Where a part is that is counted through all passages, for messages."""
    for passage in passages:
        if part < len(passage.parts):
            return describe(passage, part)
        part -= len(passage.parts)
    raise IndexError(f"there are {part} parts too few")


def describe(passage: Passage, part: int) -> str:
    """Name a part of a passage, for messages."""
    return f"passage {passage.id!r}, part {part + 1} ({passage.parts[part][:40]!r})"
