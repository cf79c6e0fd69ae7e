"""Live numbers: each one in the book's prose is a link to the notebook cell that computed it."""

import html
import math
from dataclasses import dataclass

EVIDENCE = {
    "printed": "the paper's printed tables",
    "people": "measured on human data",
    "microworld": "simulated in the microworld",
    "machine": "time, memory and rounding on one machine",
}
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class LiveNumber:
    """What a page shows where it quotes a number.

    Attributes
    ----------
    text : str
        The number or word as formatted; its plain text and LaTeX are this and nothing else.
    target : str
        ``NOTEBOOK#anchor`` of the cell that computed it.
    title : str
        What it rests on: evidence, study, n, interval, method.
    evidence : str
        A key of `EVIDENCE`.
    """

    text: str
    target: str
    title: str
    evidence: str

    def __repr__(self) -> str:
        return self.text

    def _repr_latex_(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        # The book's Sphinx extension turns `live:` into a path relative to the quoting page.
        title = html.escape(self.title, quote=True)
        return f'<a class="live {self.evidence}" href="live:{self.target}" title="{title}">{html.escape(self.text)}</a>'


class Numbers:
    """The numbers that one notebook hands to the book.

    Parameters
    ----------
    notebook : str
        Name of the notebook, without its ending.
    study : str
        Name of the study.
    evidence : str
        On what numbers rest unless `show` says otherwise; a key of `EVIDENCE`.
    book : dict, optional
        Texts of the numbers that the built book has; where one is another, `show` says so.
    """

    def __init__(self, notebook: str, study: str, evidence: str, book: dict[str, str] | None = None):
        self.notebook, self.book = notebook, book or {}
        self.study = study
        self.evidence = evidence
        self.shown: dict[str, str] = {}

    def show(
        self,
        key: str,
        value: float | str,
        form: str = ".2f",
        unit: str = "",
        *,
        low: float | None = None,
        high: float | None = None,
        n: int | None = None,
        method: str = "",
        evidence: str | None = None,
    ) -> None:
        """Hand a number or a word to the book under a key, and show it in the notebook.

        Parameters
        ----------
        key : str
            The name that pages quote it by.
        value : float or str
            The number, or the word that follows from one.
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
            On what it rests, if not on what the notebook's numbers rest on by default.

        Raises
        ------
        ValueError
            The key was used before, or the value is missing, infinite or an empty word.
        """
        from IPython.display import HTML, display
        from myst_nb import glue

        text = formatted(key, value, form, unit)
        texts, interval = {key: text}, ""
        if low is not None:
            texts |= {f"{key}.low": formatted(key, low, form, unit), f"{key}.high": formatted(key, high, form, unit)}
            interval = f"95 % interval {number(low, form)} to {number(high, form)}"
        if twice := [name for name in texts if name in self.shown]:
            raise ValueError(f"live number {twice[0]!r} is shown twice in {self.notebook}.ipynb; give it another key")
        evidence = evidence or self.evidence
        parts = [
            EVIDENCE[evidence],
            f"study {self.study}",
            f"n = {n}" if n is not None else "",
            interval,
            method,
        ]
        title = "; ".join(part for part in parts if part)
        for name, words in texts.items():
            glue(name, LiveNumber(words, f"{self.notebook}#{anchor(key)}", title, evidence), display=False)
        self.shown |= texts
        there = self.book.get(key, text)
        other = "" if there == text else f" <em>The book has {html.escape(there)}.</em>"
        display(
            HTML(
                f'<div class="shown {evidence}" id="{anchor(key)}"><code>{html.escape(key)}</code> '
                f"<b>{html.escape(text)}</b> <small>{html.escape(title)}</small>{other}</div>"
            )
        )

    def quote(self, key: str) -> str:
        """MyST that quotes a number which this notebook has shown, for captions.

        Raises
        ------
        LookupError
            No such number was shown.
        """
        if key not in self.shown:
            raise LookupError(f"{self.notebook}.ipynb quotes {key!r} before it shows it")
        return f"{{glue:}}`/executed/{self.notebook}.ipynb::{key}`"


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
    found = f"r = {number(r, '.2f')}"
    return found if low is None else f"{found} [{number(low, '.2f')}, {number(high, '.2f')}]"


def p_value(p: float) -> str:
    """A p value with its sign of equality: three digits, and a bound below .001; anything else is an error."""
    if not 0 <= p <= 1:
        raise ValueError(f"a p value lies between 0 and 1, got {p}")
    text = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    return text.replace(" ", NO_BREAK)


def anchor(key: str) -> str:
    """HTML id of a number's cell output."""
    return "number-" + "".join(c if c.isalnum() else "-" for c in key)
