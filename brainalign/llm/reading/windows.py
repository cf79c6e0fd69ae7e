"""What a model reads in one go, and which of its tokens are which part of a text.

The state of a causal model at a token does not depend on what follows, so one pass over a passage serves all its
parts, as long as the tokens of every beginning of the passage begin the passage's tokens. That is checked for each
part; where it fails (a trailing space, a merge across the boundary), the beginning is read anew::

    windows, n_anew = beginning_windows(tokenizer, passages, limit=1024)
    window.tokens[slice(*window.spans[0])]     # the tokens of the first part that is read off a window
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brainalign import messages
from brainalign.human.recording import Passage
from brainalign.llm.reading.tokens import Text, Tokens, describe, encode, join, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LONG = ("strided", "exact")  # ways to read a text with more tokens than a window holds
# The end of a beginning is tokenized with this many parts, and its tokens must agree over the last few. Whole
# beginnings would do the same at a cost that grows with the square of the text: no tokenizer reaches back so far.
REACH, AGREE = 32, 8


@dataclass(frozen=True)
class Window:
    """Tokens to be read in one go, special tokens excluded."""

    tokens: list[int]  #: of the text
    parts: list[int]  #: the parts to be read off, counted through all passages
    spans: list[tuple[int, int]]  #: start and stop of each part's tokens; an empty part is where the one before ended
    context: list[int] | None = None  #: what an encoder reads instead of `tokens`

    def __len__(self) -> int:
        return max(len(self.tokens), len(self.context or ()))


def beginning_windows(
    tokenizer: PreTrainedTokenizerFast,
    passages: Sequence[Passage],
    limit: int | None = None,
    long: str = "strided",
    context: int | None = None,
    shared: bool = True,
    words: bool = False,
) -> tuple[list[Window], int]:
    """Windows in which each part comes after what is before it in its passage, and nothing after it counts.

    Parameters
    ----------
    limit
        Most tokens that a window holds.
    long
        How to read a passage with more. ``exact``: a window for each part, cut on the left. ``strided``: windows that
        overlap by half, so that a part still comes at the end of at least half of what a window holds.
    context
        How many parts are read up to and including each; all of the passage if left out.
    shared
        Whether parts may share a window, as they may in a causal model. If not, each has its own.
    words
        Whether each part must have tokens that it shares with no other.

    Returns
    -------
    windows : list of Window
    n_anew : int
        Parts with a window of their own because their beginning's tokens do not begin those of the passage.

    Raises
    ------
    ValueError
        There is nothing to read, a part has more tokens than `limit`, or a word has no tokens of its own.
    LookupError
        No such way to read what is long.
    """
    check(passages, long, context)
    n_anew = 0

    def windows_of(passage: Passage) -> list[Window]:
        nonlocal n_anew
        windows, anew = [], range(len(passage.parts))
        if context is None:
            windows, anew = _from_whole(tokenizer, passage, limit, long, shared, words)
            n_anew += len(anew) if shared else 0
        windows += [_beginning(tokenizer, passage, part, limit, context, words) for part in anew]
        return windows if shared else sorted(windows, key=lambda window: window.parts)

    return _over(passages, windows_of), n_anew


def whole_text_windows(
    tokenizer: PreTrainedTokenizerFast, passages: Sequence[Passage], limit: int | None = None, long: str = "strided"
) -> list[Window]:
    """Windows over whole passages, for a model that reads what follows a word too; as `beginning_windows`."""
    check(passages, long)

    def windows_of(passage: Passage) -> list[Window]:
        tokens, parts = tokenize(tokenizer, join(passage.parts)), range(len(passage.parts))
        _require_words(passage, tokens, parts)
        return _cut(passage, tokens, parts, limit, long)

    return _over(passages, windows_of)


def continuation_windows(
    tokenizer: PreTrainedTokenizerFast, passages: Sequence[Passage], limit: int | None = None
) -> list[Window]:
    """A window for each part, and what comes before it as context, cut on the left; as `beginning_windows`."""
    check(passages)

    def window_of(passage: Passage, part: int) -> Window:
        tokens = tokenize(tokenizer, join([passage.parts[part]]))
        _require_words(passage, tokens, [0], first=part)
        _require_room(passage, part, len(tokens.ids), limit)
        context = tokenize(tokenizer, join(passage.parts[:part])).ids
        return Window(tokens.ids, [part], [(0, len(tokens.ids))], context[-limit:] if limit else context)

    return _over(passages, lambda passage: [window_of(passage, part) for part in range(len(passage.parts))])


def stream_windows(
    ids: Sequence[int], stops: Sequence[int], limit: int, stride: int, *, first: int = 0, separate_context: bool = False
) -> list[Window]:
    """Overlapping windows over one long text, of which each token is read off the first window that holds it.

    Parameters
    ----------
    stops
        Where each part of the text stops; a part is read off every window that has new tokens of it.
    limit, stride
        Tokens of a window, and those that are new to it, in all windows but the first.
    first
        Tokens at the beginning of the text that are not read off.
    separate_context
        Whether what is not new to a window is its context, for an encoder.
    """
    windows, new = [], 0
    for begin, end in bounds(len(ids), limit, LONG[0], stride):
        start = new if separate_context else begin
        ranges = [(max(new, first, a), min(end, b)) for a, b in itertools.pairwise([0, *stops])]
        spans = {part: (a - start, b - start) for part, (a, b) in enumerate(ranges) if a < b}
        context = list(ids[begin:new]) if separate_context else None
        windows.append(Window(list(ids[start:end]), [*spans], [*spans.values()], context))
        new = end
    return windows


def check(passages: Sequence[Passage], long: str = LONG[0], context: int | None = None) -> None:
    """See that there is something to read, and a way to; raises as `beginning_windows`."""
    if long not in LONG:
        raise LookupError(messages.unknown("way to read what is long", long, LONG))
    if context is not None and context < 1:
        raise ValueError(f"context: a part is read with at least itself, so 1 or more parts, not {context}.")
    if not passages:
        raise ValueError("there are no passages, so there is nothing to read. Give one or more.")
    for passage in passages:
        if not any(part.strip() for part in passage.parts):
            raise ValueError(f"passage {passage.id!r} has no text: all its {len(passage.parts)} parts are blank.")


def _over(passages: Sequence[Passage], windows_of: Callable[[Passage], list[Window]]) -> list[Window]:
    """Windows of all passages, whose parts are counted through."""
    firsts = itertools.accumulate((len(passage.parts) for passage in passages), initial=0)
    return [
        replace(window, parts=[first + part for part in window.parts])
        for first, passage in zip(firsts, passages, strict=False)
        for window in windows_of(passage)
    ]


def _from_whole(
    tokenizer, passage: Passage, limit: int | None, long: str, shared: bool, words: bool
) -> tuple[list[Window], list[int]]:
    """Windows of the passage's own tokens, and the parts that have to be read anew: all of them would take minutes."""
    text = join(passage.parts)
    tokens = tokenize(tokenizer, text)
    unstable = _unstable(tokenizer, text, tokens)
    stable = [part for part in range(len(passage.parts)) if part not in unstable]
    if words:
        _require_words(passage, tokens, stable)
    if shared:
        return _cut(passage, tokens, stable, limit, long), sorted(unstable)
    return [_ending_at(passage, tokens, part, part, limit) for part in stable], sorted(unstable)


def _unstable(tokenizer, text: Text, tokens: Tokens) -> set[int]:
    """Parts at whose end the passage's tokens are not those of the passage up to there."""
    # Where each part's piece of text begins: with the space before a part, as the tokenizer saw it in the passage.
    firsts = {part: max(0, part + 1 - REACH) for part in range(len(text.ends)) if part not in text.closed}
    pieces = [text.text[text.ends[first - 1] if first else 0 : text.ends[part]] for part, first in firsts.items()]
    unstable = set(text.closed)
    for (part, first), piece in zip(firsts.items(), encode(tokenizer, pieces), strict=True):
        # Where it begins in the middle of the passage, a piece's first tokens may differ, not its last.
        expected = tokens.ids[tokens.stops[part - AGREE] if first else 0 : tokens.stops[part]]
        piece_ids = piece.ids[max(0, len(piece.ids) - len(expected)) :] if first else piece.ids
        if piece_ids != expected:
            unstable.add(part)
    return unstable


def _beginning(tokenizer, passage: Passage, part: int, limit: int | None, context: int | None, words: bool) -> Window:
    """One part at the end of what is read up to it: the passage, or the last few parts of it."""
    first = max(0, part + 1 - context) if context else 0
    tokens = tokenize(tokenizer, join(passage.parts[first : part + 1]))
    if words:
        _require_words(passage, tokens, [part - first], first)
    return _ending_at(passage, tokens, part, part - first, limit)


def _cut(passage: Passage, tokens: Tokens, parts: Sequence[int], limit: int | None, long: str) -> list[Window]:
    """Windows over a passage's tokens, each of the parts in one of them."""
    places = bounds(len(tokens.ids), limit, long)
    windows = [Window(tokens.ids[begin:end], [], []) for begin, end in places]
    separate_windows = []
    for part in parts:
        start, stop = _span(tokens, part)
        number = next((number for number, (_, end) in enumerate(places) if stop <= end), None)
        if number is None or start < places[number][0]:  # none holds it, or all of it
            separate_windows.append(_ending_at(passage, tokens, part, part, limit))
        else:
            windows[number].parts.append(part)
            windows[number].spans.append((start - places[number][0], stop - places[number][0]))
    return [*(window for window in windows if window.parts), *separate_windows]


def bounds(n_tokens: int, limit: int | None, long: str = LONG[0], stride: int | None = None) -> list[tuple[int, int]]:
    """Where windows over so many tokens begin and end; a part is read off the first that holds its end."""
    if limit is None or n_tokens <= limit:
        return [(0, n_tokens)]
    if long == "exact":
        return [(0, limit)]
    stride = stride or max(1, limit // 2)
    ends = [*range(limit, n_tokens, stride), n_tokens]
    # The last window is not filled up on the left: half of what it could hold is context enough.
    return [(0, limit), *((previous_end - (limit - stride), end) for previous_end, end in itertools.pairwise(ends))]


def _ending_at(passage: Passage, tokens: Tokens, part: int, place: int, limit: int | None) -> Window:
    """The window that ends with a part, whose place among the parts of these tokens may be another."""
    start, stop = _span(tokens, place)
    _require_room(passage, part, stop - start, limit)
    begin = max(0, stop - limit) if limit else 0
    return Window(tokens.ids[begin:stop], [part], [(start - begin, stop - begin)])


def _span(tokens: Tokens, part: int) -> tuple[int, int]:
    return (tokens.stops[part - 1] if part else 0, tokens.stops[part])


def _require_words(passage: Passage, tokens: Tokens, parts: Sequence[int], first: int = 0) -> None:
    """See that parts, counted from `first`, have tokens of their own."""
    if tokenless := sorted(tokens.tokenless.intersection(parts)):
        raise ValueError(
            f"{describe(passage, first + tokenless[0])}: the tokenizer gives it no tokens of its own, so that it has "
            "no surprisal of its own. Join it with its neighbor, or use another model."
        )


def _require_room(passage: Passage, part: int, n_tokens: int, limit: int | None) -> None:
    if limit is not None and n_tokens > limit:
        raise ValueError(
            f"{describe(passage, part)} has {n_tokens} tokens, the model reads {limit} at a time. Split it into "
            "shorter parts, or use a model that reads more."
        )
