"""Plain words for errors."""

import difflib
import textwrap
from collections.abc import Iterable

LINE = 120  # characters
PLURALS = {"entry": "entries", "stimulus": "stimuli"}


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Message for a name that is not among the choices: the near ones, else all of them, in a sentence or two."""
    choices = sorted(choices)
    near = difflib.get_close_matches(str(name), choices, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(choices) or 'none'}."
    return f"unknown {kind} {name!r}. {hint}"


def require(kind: str, name: str, choices: Iterable[str]) -> None:
    """Raise LookupError with `unknown` for a name that is not among the choices."""
    if name not in choices:
        raise LookupError(unknown(kind, name, choices))


def count(n: int, noun: str) -> str:
    """So many of something: ``1 file``, ``1,200 files``."""
    return f"{n:,} {noun if n == 1 else PLURALS.get(noun, noun + 's')}"


def lines(texts: Iterable[str]) -> str:
    """Texts below each other, each cut where its line ends; those that are empty are left out."""
    return "\n".join(textwrap.shorten(text, LINE, placeholder=" ...") for text in texts if text)
