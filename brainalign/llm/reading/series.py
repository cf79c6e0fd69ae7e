"""Surprisal that somebody else computed: a published collection, or a file of one's own.

A series has one value for every word of some text, in bits. Whatever the source, its words must be the words
that people read, each with a value: a series that is one word short would be compared one word off from there
on, and would still correlate. In a file of one's own a value may be missing: an empty cell, or null.

    words = natural_stories.load().table()
    load_one("kuribayashi2024", "gpt2", words)
    load_one("mine.csv", "mine", words, unit="nats")

A file is CSV with the columns ``story``, ``position``, ``surprisal`` and, if you like, ``word`` (rows in any
order), or without ``story`` and ``position`` (one row a word, in order); or JSON: a list of numbers, or an
object with, for each story, a list of numbers or a list of sentences that are lists of numbers.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog, messages
from brainalign.human import own, plain_text
from brainalign.human.download import fetch, find

GPT3 = "probs/all_stories_gpt3.csv"  # in the repository of Natural Stories
ZEROS = 3  # in a row, from which they are taken for missing values
NATS_WITHIN = 0.1  # of the factor between nats and bits, relative to it
UNITS = {"bits": 1.0, "nats": 1 / np.log(2)}  # times this is bits

CONTEXTS = {
    "sentence": "the sentence so far, nothing of the sentences before it",
    "story": "the story so far",
    "window": "a window of words, which is moved along the story",
}


@dataclass(frozen=True)
class Collection:
    """How a published collection is laid out, and what is known of how it was made."""

    words: str  # file with the words, by story and sentence
    series: str  # file with a model's surprisal, in the same shape
    unit: str
    context: str  # what a model had read before a word: one of `CONTEXTS`


COLLECTIONS = {
    "kuribayashi2024": Collection(
        words="data/NS/tokens.json",
        series="results/NS/{}/surprisal.json",
        unit="nats",
        # Not documented, but it shows: to a model, every "The" that opens a sentence is equally surprising.
        context="sentence",
    )
}


def models(source: str | Path) -> list[str]:
    """List the series of a collection in the catalog's order, or name the one of a file by the file's name.

    Raises LookupError where the source is neither a collection nor a CSV or JSON file.
    """
    if str(source) in COLLECTIONS:
        return list(catalog.surprisal_series(str(source)).index)
    return [_file(source).stem]


def load_one(source: str | Path, model: str, words: pd.DataFrame, unit: str = "bits") -> np.ndarray:
    """Surprisal of each word, from one series: (n_words,) bits, NaN where a file of one's own has none.

    Warns of a file whose values look like something else: probabilities, or zeros in place of missing values.

    Parameters
    ----------
    source, model
        A collection in the catalog, or a CSV or JSON file; and one of its `models`.
    words
        The words that people read, in order: ``story``, ``position``, ``text`` (`ReadingTimes.table`).
    unit
        Unit of a file's values, ``bits`` or ``nats``; a collection's is known.

    Raises
    ------
    LookupError
        No such source, model or unit, or a column is missing.
    ValueError
        Its words are not these words, or a value is not a surprisal; the message says where.
    """
    if model not in models(source):
        raise LookupError(messages.unknown(f"series in {source}", model, models(source)))
    if unit not in UNITS:
        raise LookupError(messages.unknown("unit of surprisal", unit, UNITS))
    if str(source) in COLLECTIONS:
        data, collection = catalog.dataset(str(source)), COLLECTIONS[str(source)]
        text = fetch(data.file(collection.words))
        _in_order(_read(text, "word"), "word", words, text)
        path, unit = fetch(data.file(collection.series.format(model))), collection.unit
    else:
        path = _file(source)
    entries = _in_order(_read(path, "surprisal"), "surprisal", words, path)
    values = np.array([_number(value) for value in entries])
    own = str(source) not in COLLECTIONS
    missing = np.array([own and (value is None or str(value).strip() == "") for value in entries])
    wrong = ~missing & ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        first = int(wrong.argmax())
        story, position, word = words[["story", "position", "text"]].iloc[first]
        raise ValueError(
            f"{path}: the surprisal of story {story}, position {position} ({word!r}) is {entries[first]!r}. "
            f"Of {len(values)} values, {wrong.sum()} are not finite numbers from 0 up. Surprisal is minus "
            "the logarithm of a probability: compute these again, leave their cells empty, or change the sign of "
            "log-probabilities."
        )
    if missing.all():
        raise ValueError(f"{path}: surprisal: every value is missing. Fill the column in.")
    if own:
        for suspicion in _suspicions(values, words):
            warnings.warn(f"{path}: {suspicion}", stacklevel=2)
    return values * UNITS[unit]


def check_unit(bits: np.ndarray, yardstick: np.ndarray, place: str) -> None:
    """Warn of a series that is smaller than a yardstick, (n_words,) bits each, by the factor that makes bits nats."""
    both = np.isfinite(bits) & np.isfinite(yardstick)
    ratio = bits[both].mean() / yardstick[both].mean() if both.any() else np.nan
    if abs(ratio * UNITS["nats"] - 1) < NATS_WITHIN:
        warnings.warn(
            f"{place}: surprisal is {ratio:.2f} of what it should be about, and nats are .69 of bits. If it is in "
            "nats, say unit: nats.",
            stacklevel=2,
        )


def _suspicions(values: np.ndarray, words: pd.DataFrame) -> Iterator[str]:
    """What values may be if they are no surprisal, with a remedy each."""
    zero = values == 0
    longest = max((len(list(run)) for is_zero, run in groupby(zero) if is_zero), default=0)
    if longest >= ZEROS or zero[~words.story.duplicated().to_numpy()].all():
        yield (
            f"surprisal: it is exactly 0 {messages.count(int(zero.sum()), 'time')}, at the first word of every "
            f"story or at {longest} words in a row: no word is certain. Leave the cells of missing values empty."
        )
    if np.nanmax(values) <= 1:
        yield (
            "surprisal: all values lie between 0 and 1, as probabilities are. If they are, take minus their logarithm "
            "to the base of 2."
        )


def has_gpt3() -> bool:
    """Whether the file of `gpt3` is here, so that nothing has to be fetched."""
    file = catalog.dataset("natural_stories").files.get(GPT3)
    return file is not None and find(file) is not None


def gpt3(words: pd.DataFrame) -> np.ndarray:
    """Surprisal that GPT-3 (davinci) gave to the words of Natural Stories, as the corpus was released with it.

    Takes the words of all ten stories, in order: ``story`` (from 1), ``text``. Gives (n_words,) bits, summed over a
    word's tokens; NaN for the first of a story, which nothing comes before. Raises ValueError where a story's tokens
    are not its words.
    """
    path = fetch(catalog.dataset("natural_stories").file(GPT3))
    tokens = pd.read_csv(path, keep_default_na=False)
    bits = []
    for story, texts in words.groupby("story", sort=False).text:
        story_tokens = tokens[tokens.story == story - 1]
        # It read "peeked" where people read "peaked", and is else the same.
        spelled = "".join(story_tokens.token).split(" ")
        if len(spelled) != len(texts) or sum(a != b for a, b in zip(spelled, texts, strict=True)) > 1:
            raise ValueError(f"{path}: the tokens of story {story} are not its words. Fetch the corpus again.")
        # A token belongs to the word in which it ends, the space before a word to that word.
        ends = np.cumsum([len(word) + 1 for word in spelled])
        word = np.searchsorted(ends, story_tokens.offset + story_tokens.token.str.len(), side="right")
        nats = -pd.to_numeric(story_tokens.logprob).groupby(word).agg(lambda token_nats: token_nats.sum(skipna=False))
        bits.append(nats.to_numpy() * UNITS["nats"])
    return np.concatenate(bits)


def _file(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_file() or path.suffix not in (".csv", ".json"):
        problem = messages.unknown("collection of surprisal series", str(source), COLLECTIONS)
        raise LookupError(f"{problem} Or give the path of a .csv or .json file.")
    return path


def _read(path: Path, value: str) -> pd.DataFrame:
    """Read a row per value: the column ``value``, with ``story`` and ``position`` if the file has them."""
    table = own.read(path, ()) if path.suffix == ".csv" else _read_json(path, value)
    key_columns = {"story", "position"} & set(table)
    for name in (value, "story", "position") if key_columns else (value,):
        if name not in table:
            raise LookupError(f"{path}: {messages.unknown('column', name, table.columns)}")
    return table


def _read_json(path: Path, value: str) -> pd.DataFrame:
    text = plain_text.read(path)
    try:
        content = json.loads(text)
        by_story = isinstance(content, dict)
        stories = content.items() if by_story else [("", content)]
        # A story's values may come in sentences.
        flat = {s: chain.from_iterable(x if isinstance(x, list) else [x] for x in xs) for s, xs in stories}
        rows = [(story, n, x) for story, values in flat.items() for n, x in enumerate(values, start=1)]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not laid out as brainalign.llm.reading.series says: {error}.") from error
    table = pd.DataFrame(rows, columns=["story", "position", value], dtype=object)
    return table if by_story else table[[value]]


def _number(value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _in_order(table: pd.DataFrame, value: str, words: pd.DataFrame, path: Path) -> list:
    """Value of each word: by story and position where the table has them, else in its own order."""
    keys, has_keys, has_words = ["story", "position"], "story" in table, "word" in table
    table = table[[name for name in table if name in {*keys, value, "word"}]]
    text = words[[*keys, "text"]].reset_index(drop=True).astype({"story": str, "position": float})
    if has_keys:
        table = table.assign(story=table.story.astype(str), position=table.position.map(_number))
    else:
        table = table.assign(**text[keys].reindex(range(len(table))))

    def refuse(problem: str, story: str | None) -> ValueError:
        counts = f"expected {len(words)} values, got {len(table)}"
        if has_keys:
            counts += f"; in story {story} expected {sum(text.story == story)}, got {sum(table.story == story)}"
        hint = "" if has_words else " A column 'word' would show where the two texts part."
        return ValueError(f"{path} {problem}: {counts}. Compute it on the very words that people read.{hint}")

    if has_keys and (repeated := table.duplicated(keys)).any():
        row = table[repeated].iloc[0]
        raise refuse(f"has two values for story {row.story}, position {row.position:g}", row.story)
    ordered = text.merge(table, "left", on=keys, indicator="place")
    wrong = (ordered.place == "left_only") | (has_words and ordered.word != ordered.text)
    if wrong.any():
        row = ordered[wrong].iloc[0]
        problem = "has no value for" if row.place == "left_only" else f"has the word {row.word!r} at"
        raise refuse(f"{problem} story {row.story}, position {row.position:g} ({row.text!r})", row.story)
    extra = table.merge(text[keys], "left", on=keys, indicator="place").query("place == 'left_only'")
    if len(extra):
        row = extra.iloc[0]
        place = f"story {row.story}, position {row.position:g}" if has_keys else "the end of the text"
        word = f" ({row.word!r})" if has_words else ""
        raise refuse(f"has more values than words, the first at {place}{word}", row.story)
    return ordered[value].tolist()
