"""Plain words for errors, and notes that are said once."""

import difflib
import re
import textwrap
from collections import Counter
from collections.abc import Iterable

LINE = 120  # characters
PLURALS = {"entry": "entries", "stimulus": "stimuli"}
NOTE = "note: "
MORE = re.compile(r"(\d+) more like “(.*)”")
NUMBER = re.compile(r"\b\d[\d.,]*")  # of a layer, a fold, a share; not of a name, such as s33


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


class Notes:
    """Tells the first note of each cause from those that say the same of another layer, fold or model.

    Notes of one cause differ in numbers alone. Those of several processes are counted together by what each of them has
    summed up.
    """

    def __init__(self):
        self.first: dict[str, str] = {}
        self.more: Counter[str] = Counter()

    def is_first(self, note: str) -> bool:
        """Whether a note is the first of its cause; if not, it is counted."""
        summed_up = MORE.fullmatch(note)
        n, text = (int(summed_up[1]), summed_up[2]) if summed_up else (1, note)
        cause = NUMBER.sub("#", text)
        if cause not in self.first and not summed_up:
            self.first[cause] = text
            return True
        self.more[cause] += n
        return False

    def summary(self) -> list[str]:
        """Lines that say how many more there were of each cause."""
        return [f"{NOTE}{n} more like “{self.first.get(cause, cause)}”" for cause, n in self.more.items()]
