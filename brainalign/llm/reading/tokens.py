"""A passage as a string and as tokens, and where its parts end in either."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from brainalign.human.recording import Passage

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

MARKS = ".,!?;:"
NO_TEXT = "\ufdd0"  # Unicode promises that no text has it
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
    (encoded,) = encode(tokenizer, ["a"], special_tokens=True)
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


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], special_tokens: bool = False) -> list[Encoding]:
    """Encodings of texts, the tokenizer's own, which keep track of characters; if asked, with its special tokens.

    A special token that is spelled out in a text is text: it is read letter by letter, and controls nothing.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # transformers sets it anew, as it sets the other two
    encodings = backend.encode_batch(texts, add_special_tokens=special_tokens)
    if spells_special_tokens(tokenizer, texts) or _reads_special_tokens(tokenizer, encodings):
        return spelling_out(backend).encode_batch(texts, add_special_tokens=special_tokens)
    return encodings


def spells_special_tokens(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> bool:
    """Whether a special token is spelled out in a text."""
    text = "\n".join(texts)
    return any(token in text for token in _special_ids(tokenizer.backend_tokenizer).values())


def spelled_out(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> dict:
    """What tells the outcome of reading such texts from one with the tokens that they spell out; of others, nothing."""
    return {"special_tokens": "spelled out"} if spells_special_tokens(tokenizer, texts) else {}


def spelling_out(backend: Tokenizer) -> Tokenizer:
    """Copy of a tokenizer that takes no piece of a text for a special token.

    Its vocabulary may have those among its pieces, as in a Unigram model, which would prefer them to letters.
    """
    from tokenizers import Tokenizer

    content, special = json.loads(backend.to_str()), set(_special_ids(backend).values())
    model = content["model"]
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in model.get("merges", ())]
    special -= {"".join(pair) for pair in merges} | {piece for pair in merges for piece in pair}

    def renamed(piece: str) -> str:
        return NO_TEXT + piece if piece in special else piece

    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {renamed(piece): number for piece, number in vocabulary.items()}
    else:
        model["vocab"] = [[renamed(piece), score] for piece, score in vocabulary]
    if model.get("unk_token"):
        model["unk_token"] = renamed(model["unk_token"])
    copy = Tokenizer.from_str(backend.to_str())
    copy.model = Tokenizer.from_str(json.dumps(content | {"added_tokens": [], "post_processor": None})).model
    copy.encode_special_tokens = True
    return copy


def _reads_special_tokens(tokenizer: PreTrainedTokenizerFast, encodings: Sequence[Encoding]) -> bool:
    """Whether a special token was made of a text that a tokenizer first rewrote; one for what it lacks may be."""
    ids = set(_special_ids(tokenizer.backend_tokenizer)) - {tokenizer.unk_token_id}
    suspects = [encoded for encoded in encodings if not ids.isdisjoint(encoded.ids)]
    return any(
        token in ids and not added
        for encoded in suspects
        for token, added in zip(encoded.ids, encoded.special_tokens_mask, strict=True)
    )


def _special_ids(backend: Tokenizer) -> dict[int, str]:
    return {number: token.content for number, token in backend.get_added_tokens_decoder().items() if token.special}


def unknown_ids(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Tokens that stand for whatever the vocabulary lacks; none where it can spell everything out."""
    model = tokenizer.backend_tokenizer.model
    name = getattr(model, "unk_token", None)
    if type(model).__name__ == "BPE" and (model.byte_fallback or name is None):
        return set()  # what such a tokenizer calls unknown is the end of a text, or never comes up
    return {tokenizer.unk_token_id, name and model.token_to_id(name)} - {None}


def missing_where_unknown(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> dict:
    """What tells values that are missing where tokens are unknown from any that are not; if none is, nothing."""
    unknown = unknown_ids(tokenizer)
    lacking = unknown and any(not unknown.isdisjoint(encoded.ids) for encoded in encode(tokenizer, texts))
    return {"unknown_tokens": "missing"} if lacking else {}


def ids_of_parts(tokenizer: PreTrainedTokenizerFast, passages: Sequence[Passage]) -> list[list[int]]:
    """Token ids of each part of all passages, as the whole passage is tokenized, without special tokens."""
    ids = []
    for passage in passages:
        tokens = tokenize(tokenizer, join(passage.parts))
        ids += [tokens.ids[start:stop] for start, stop in itertools.pairwise([0, *tokens.stops])]
    return ids


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
