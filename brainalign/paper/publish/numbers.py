"""Live numbers: each one in the book's prose is a link to the notebook cell that computed it.

    notebook.show(Live("change", 6.2, "+.1f", " %", low=1.0, high=11.3, n=17, method="bootstrap over bases"))

leaves a record in the executed notebook. `collected` reads those of a build, and pages quote them by name.
"""

import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, fields
from numbers import Integral
from pathlib import Path

EVIDENCE = {
    "printed": "the paper's printed tables",
    "people": "measured on human data",
    "microworld": "simulated in the microworld",
    "machine": "time, memory and rounding on one machine",
}
NO_BREAK = "\u00a0"
RECORD = "live"  # among the metadata of a cell's output


@dataclass(frozen=True)
class Live:
    """A number, or a word that follows from one, that pages quote.

    Attributes
    ----------
    key : str
        The name that pages quote it by.
    value : float or str
        The number, or the word.
    form : str
        Format of the number, as for `format`.
    unit : str
        Appended to the formatted number.
    low, high : float, optional
        Confidence interval, in the unit of the value; pages quote its ends as ``KEY.low`` and ``KEY.high``.
    n : int, optional
        On how many it rests.
    method : str
        Test or protocol, in a few words.
    evidence : str, optional
        On what it rests, a key of `EVIDENCE`, if not on what the notebook's numbers rest on.

    Raises
    ------
    ValueError
        The value or an end of the interval is missing, infinite or an empty word.
    """

    key: str
    value: float | str
    form: str = ".2f"
    unit: str = ""
    _: KW_ONLY
    low: float | None = None
    high: float | None = None
    n: int | None = None
    method: str = ""
    evidence: str | None = None

    def __post_init__(self):
        for name in ("value", "low", "high"):  # numbers of Python's own, which a file can hold
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                object.__setattr__(self, name, int(value) if isinstance(value, Integral) else float(value))
        object.__setattr__(self, "n", None if self.n is None else int(self.n))
        self.texts()

    def texts(self) -> dict[str, str]:
        """What each of its keys is quoted as: itself, and the ends of its interval."""
        ends = {} if self.low is None else {f"{self.key}.low": self.low, f"{self.key}.high": self.high}
        return {
            key: formatted(key, value, self.form, self.unit) for key, value in ({self.key: self.value} | ends).items()
        }

    def interval(self) -> str:
        """Its interval in words and without the unit, or nothing."""
        return "" if self.low is None else f"95 % interval {' to '.join(self._ends())}"

    def estimate(self) -> str:
        """Itself and its interval, if it has one: ``+6.2 % [+1.0, +11.3]``."""
        interval = "" if self.low is None else f" [{', '.join(self._ends())}]"
        return self.texts()[self.key] + interval

    def _ends(self) -> list[str]:
        return [number(end, self.form) for end in (self.low, self.high)]


class Numbers:
    """The numbers that one notebook hands to the book.

    Parameters
    ----------
    notebook : str
        Name of the notebook, without its ending.
    study : str
        Name of the study.
    evidence : str
        On what numbers rest unless they say otherwise; a key of `EVIDENCE`.
    book : dict, optional
        Texts of the numbers that the built book has; where one is another, `show` says so.
    """

    def __init__(self, notebook: str, study: str, evidence: str, book: Mapping[str, str] | None = None):
        self.notebook, self.book = notebook, book or {}
        self.study = study
        self.evidence = evidence
        self.shown: dict[str, str] = {}

    def show(self, live: Live) -> None:
        """Hand a number to the book, and show it in the notebook.

        Raises
        ------
        ValueError
            Its key was used before.
        """
        from IPython.display import HTML, display

        texts = live.texts()
        if twice := [name for name in texts if name in self.shown]:
            raise ValueError(f"live number {twice[0]!r} is shown twice in {self.notebook}.ipynb; give it another key")
        self.shown |= texts
        record = asdict(live) | {"evidence": live.evidence or self.evidence, "study": self.study}
        record["cell"] = f"{self.notebook}#{anchor(live.key)}"
        in_book = self.book.get(live.key, texts[live.key])
        other = "" if in_book == texts[live.key] else f" <em>The book has {html.escape(in_book)}.</em>"
        cell = (
            f'<div class="shown {record["evidence"]}" id="{anchor(live.key)}"><code>{html.escape(live.key)}</code> '
            f"<b>{html.escape(texts[live.key])}</b> <small>{html.escape(title_of(record))}</small>{other}</div>"
        )
        display(HTML(cell), metadata={RECORD: record})


def records(notebook: Path) -> list[dict]:
    """Numbers that an executed notebook has shown: what `Live` holds, the study, and the cell (``NOTEBOOK#anchor``)."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return [output["metadata"][RECORD] for output in outputs if RECORD in output.get("metadata", ())]


def collected(executed: Path) -> dict[str, dict]:
    """The `records` of all notebooks that were executed into a folder, by ``NOTEBOOK:KEY``."""
    paths = sorted(executed.glob("*.ipynb"))
    return {f"{path.stem}:{record['key']}": record for path in paths for record in records(path)}


def live_of(record: Mapping) -> Live:
    """The number of a record."""
    return Live(**{field.name: record[field.name] for field in fields(Live)})


def title_of(record: Mapping) -> str:
    """What a number rests on: evidence, study, n, interval, method."""
    n = f"n = {record['n']}" if record["n"] is not None else ""
    parts = (EVIDENCE[record["evidence"]], f"study {record['study']}", n, live_of(record).interval(), record["method"])
    return "; ".join(filter(None, parts))


def link(record: Mapping, text: str) -> str:
    """HTML of a number's text: a link to its cell, whose ``live:`` the Sphinx extension makes relative to a page."""
    title = html.escape(title_of(record), quote=True)
    word = f" is-{re.sub('[^a-z]+', '-', text)}" if isinstance(record["value"], str) else ""
    classes = f"live {record['evidence']}{word}"
    return f'<a class="{classes}" href="live:{record["cell"]}" title="{title}">{html.escape(text)}</a>'


def formatted(key: str, value: float | str, form: str, unit: str) -> str:
    """Text of a live number or word; what is missing, infinite or empty is an error that names the key."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"live number {key!r} is an empty word")
        return value
    if value is None or not math.isfinite(value):
        raise ValueError(f"live number {key!r} is {value}; show a number, or a word that says why there is none")
    return number(value, form) + unit.replace(" ", NO_BREAK)


def number(value: float, form: str) -> str:
    """A number in typographic form: a true minus sign, none before zero, powers of ten written out."""
    text = format(value, form)
    if not any(digit in text for digit in "123456789"):
        text = text.replace("-", "")
    if "e" in text:
        mantissa, exponent = text.split("e")
        superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"{mantissa}×10{superscript}"
    return text.replace("-", "−")


def correlation(r: float, low: float | None = None, high: float | None = None) -> str:
    """A correlation, with its interval if it has one: ``r = 0.38 [−0.12, 0.73]``."""
    text = f"r = {number(r, '.2f')}"
    return text if low is None else f"{text} [{number(low, '.2f')}, {number(high, '.2f')}]"


def p_value(p: float) -> str:
    """A p value with its sign of equality: three digits, and a bound below .001; anything else is an error."""
    if not 0 <= p <= 1:
        raise ValueError(f"a p value lies between 0 and 1, got {p}")
    text = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    return text.replace(" ", NO_BREAK)


def anchor(key: str) -> str:
    """HTML id of a number's cell output."""
    return "number-" + "".join(c if c.isalnum() else "-" for c in key)
