"""Surprisal that somebody else computed: a published collection, or a file of one's own.

A series has one value for every word of some text, in bits. Whatever the source, its words must be the words
that people read, each with a value: a series that is one word short would be compared one word off from there
on, and would still correlate.

    >>> words = natural_stories.load().table()
    >>> load_one("kuribayashi2024", "gpt2", words)
    >>> load_one("mine.csv", "mine", words, unit="nats")

A file is CSV with the columns ``story``, ``position``, ``surprisal`` and, if you like, ``word`` (rows in any
order), or without ``story`` and ``position`` (one row a word, in order); or JSON: a list of numbers, or an
object with for each story a list of numbers or a list of sentences (each a list of numbers).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog
from brainalign.human.download import fetch

UNITS = {"bits": 1.0, "nats": 1 / np.log(2)}  # times this is bits


@dataclass(frozen=True)
class Collection:
    """How a published collection is laid out, and what is known of how it was made.

    Attributes
    ----------
    words : str
        File with the words, by story and sentence.
    series : str
        File with a model's surprisal, in the same shape.
    unit : str
        ``bits`` or ``nats``.
    context : str
        What a model had read before a word.
    """

    words: str
    series: str
    unit: str
    context: str


COLLECTIONS = {
    "kuribayashi2024": Collection(
        words="data/NS/tokens.json",
        series="results/NS/{}/surprisal.json",
        unit="nats",
        # Not documented, but it shows: a model gives all sentences that open with "The" the same surprisal for
        # it, up to rounding.
        context="the sentence so far; nothing of the sentences before it",
    )
}


def models(source: str | Path) -> list[str]:
    """Names of the series in a source, without reading them.

    Parameters
    ----------
    source : str or Path
        A collection in the catalog, or a CSV or JSON file.

    Returns
    -------
    list of str
        The collection's models in the catalog's order; for a file, its name without the ending.

    Raises
    ------
    LookupError
        Neither a collection nor a file.
    """
    if str(source) in COLLECTIONS:
        return list(catalog.surprisal_series(str(source)).index)
    return [_file(source).stem]


def about(source: str | Path) -> dict[str, str]:
    """What the record says of a source: ``source``, ``context``, ``citation``, ``licence``.

    Raises
    ------
    LookupError
        Neither a collection nor a file.
    """
    if str(source) in COLLECTIONS:
        data, context = catalog.dataset(str(source)), COLLECTIONS[str(source)].context
        return {"source": data.title, "context": context, "citation": data.citation, "licence": data.licence}
    return {"source": _file(source).name, "context": "not recorded", "citation": "", "licence": ""}


def load(source: str | Path, words: pd.DataFrame, unit: str = "bits") -> dict[str, np.ndarray]:
    """Every series of a source, by name; parameters and errors as in `load_one`."""
    return {model: load_one(source, model, words, unit) for model in models(source)}


def load_one(source: str | Path, model: str, words: pd.DataFrame, unit: str = "bits") -> np.ndarray:
    """Surprisal of each word, from one series.

    Parameters
    ----------
    source : str or Path
        A collection in the catalog, or a CSV or JSON file.
    model : str
        One of `models`.
    words : DataFrame
        The words that people read, in order: ``story``, ``position``, ``text`` (`ReadingTimes.table`).
    unit : str
        Unit of a file's values, ``bits`` or ``nats``; a collection's is known.

    Returns
    -------
    ndarray
        (n_words,) bits.

    Raises
    ------
    LookupError
        No such source, model or unit, or a column is missing.
    ValueError
        Its words are not these words, or a value is not a surprisal; the message says where.
    OSError
        A file could not be fetched or read.
    """
    if model not in models(source):
        raise LookupError(catalog.unknown(f"series in {source}", model, models(source)))
    if unit not in UNITS:
        raise LookupError(catalog.unknown("unit of surprisal", unit, UNITS))
    if str(source) in COLLECTIONS:
        data, collection = catalog.dataset(str(source)), COLLECTIONS[str(source)]
        path, unit = fetch(data.file(collection.series.format(model))), collection.unit
        text = _from_json(fetch(data.file(collection.words))).rename(columns={"surprisal": "word"})
        series = _from_json(path)
        if len(text) == len(series):
            series["word"] = text.word
    else:
        path = _file(source)
        series = _from_json(path) if path.suffix == ".json" else _from_csv(path)
    found = _aligned(series, words.reset_index(drop=True), path)
    return _checked(found, words, path) * UNITS[unit]


def _file(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_file() or path.suffix not in (".csv", ".json"):
        raise LookupError(
            f"{catalog.unknown('collection of surprisal series', str(source), COLLECTIONS)} "
            "Or give the path of a .csv or .json file."
        )
    return path


def _from_csv(path: Path) -> pd.DataFrame:
    # As text: a word may read "NA" or "null", and a value that is no number gets a message of our own.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    given = [name for name in ("story", "position") if name in table]
    for name in ["surprisal", *(("story", "position") if given else ())]:
        if name not in table:
            raise LookupError(f"{path}: {catalog.unknown('column', name, table.columns)}")
    return table


def _from_json(path: Path) -> pd.DataFrame:
    """Columns ``story`` and ``position`` where the file is by story, and ``surprisal``: whatever the lists hold."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list):
        return pd.DataFrame({"surprisal": list(_flat(content))}, dtype=object)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a list, or an object with a list a story.")
    rows = [
        (story, position, value)
        for story, values in content.items()
        for position, value in enumerate(_flat(values), start=1)
    ]
    return pd.DataFrame(rows, columns=["story", "position", "surprisal"], dtype=object)


def _flat(values) -> Iterator:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _aligned(series: pd.DataFrame, words: pd.DataFrame, path: Path) -> np.ndarray:
    """Values in the order of the words, whichever way the file is keyed."""
    ...


def _checked(found: np.ndarray, words: pd.DataFrame, path: Path) -> np.ndarray:
    ...
