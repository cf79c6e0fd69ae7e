"""Reading times of your own: a table with a row a word, or a row a word and reader.

load("my.csv")                               # the column time
load("eyes.csv", measure="gaze_duration")    # another, such as a measure of eye movements
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.human import own
from brainalign.human.reading_times import ReadingTimes, by_reader, by_word, letters, sentences

MEASURE = "time"
NUMBERS = ("length", "log_frequency", "n_readers", "sd")  # of words, that a table may give
LONGEST = 1e9  # ms: days
DIGITS = 18  # of the number of a story
FREQUENCY = (
    "Add the natural logarithm of each word's frequency, of any corpus, such as that of the package wordfreq: "
    "numpy.log(wordfreq.word_frequency(word, 'en', minimum=1e-8))"
)


def load(table: Path | str, measure: str = MEASURE) -> ReadingTimes:
    """Read reading times from CSV, named as the file, and as the measure if that is not ``time``.

    Stories are in the order of their numbers, else in that of the file; rows may be in any order.

    Raises FileNotFoundError, or ValueError if the file is not in this layout, which names file, row and remedy.

    Parameters
    ----------
    table : path
        Columns ``story``, ``position`` (from 1 in its story), ``word`` (as shown, with its punctuation),
        ``log_frequency`` (natural logarithm of a frequency or a count), the measure, and if you like ``reader``, with
        a row for each reader and word. ``sentence`` says which words are of one; without it a word with final
        punctuation ends one. ``length`` is in characters, by default without punctuation at the edges. Without
        readers, the times are means, of which ``n_readers`` and ``sd`` (ms, over readers) may be given.
    measure : str
        The column with the times, in ms; empty where there is none, as for a word that was skipped.
    """
    table = Path(table)
    cells = own.read(table, ("story", "position", "word", measure))
    if "log_frequency" not in cells:
        raise ValueError(f"{table}: log_frequency: the column is missing. {FREQUENCY}.")
    if cells.empty:
        raise ValueError(f"{table}: no word is in it. Give a row for each.")
    rows = _rows(cells, measure, table)
    keys = ["story", "position"]
    _check_repeats(rows, keys, table)
    words = rows.drop_duplicates(keys).sort_values(keys, ignore_index=True)
    words["sentence"] = _numbered(words, table) if "sentence" in words else sentences(words)
    words = own.filled(words, {"length": letters(words.text), "n_readers": np.nan, "sd": np.nan})
    if "reader" in rows:
        times = rows.pivot(index=keys, columns="reader", values="time")[list(dict.fromkeys(rows.reader))]
        labeled = by_reader(_named(words, cells), times.reset_index(drop=True))
    else:
        labeled = by_word(_named(words, cells), words.time.to_numpy())
    try:
        return ReadingTimes(name_of(table, measure), labeled, "not stated", "", "original")
    except ValueError as error:
        raise ValueError(f"{table}: {error}") from error


def name_of(table: Path | str, measure: str = MEASURE) -> str:
    """What reading times are called: their file, and the measure if it is not the only one."""
    return Path(table).stem + ("" if measure == MEASURE else f".{measure}")


def _rows(cells: pd.DataFrame, measure: str, path: Path) -> pd.DataFrame:
    """Cells as numbers and labels; ``story`` is a number that sorts, from 0 on."""
    rows = pd.DataFrame({"text": cells.word.str.strip(), "time": own.numbers(cells[measure], path)})
    rows["position"] = own.numbers(cells.position, path)
    for name in NUMBERS:
        if name in cells:
            rows[name] = own.numbers(cells[name], path)
    for name in ("sentence", "reader"):
        if name in cells:
            rows[name] = cells[name]
    no_time = (rows.time <= 0) | (rows.time > LONGEST)
    for column, broken, problem in (
        (measure, no_time, "is no time. Leave the cell empty where a word was skipped"),
        ("position", ~own.are_whole(rows.position), "is no place in a story. Count its words from 1"),
        ("word", rows.text == "", "is no word. Fill it in, or leave the row out and count anew"),
        *((name, np.isinf(rows[name]), "is infinite. Leave it empty if missing") for name in NUMBERS if name in rows),
    ):
        if broken.any():
            row = int(broken.argmax())
            raise ValueError(f"{path}: {column}: row {row + 2}: {cells[column][row]!r} {problem}.")
    order = _stories(cells)
    rows["position"] = rows.position.astype(int)
    return rows.assign(story=cells.story.map({label: place for place, label in enumerate(order)}))


def _stories(cells: pd.DataFrame) -> list[str]:
    """Stories in order: of their numbers, if they have such, else of the file."""
    labels = list(dict.fromkeys(cells.story))
    return sorted(labels, key=int) if _are_numbers(labels) else labels


def _are_numbers(labels: list[str]) -> bool:
    """Whether labels are numbers, each another one."""
    numbers = {int(label) for label in labels if label.strip().isdecimal() and len(label) <= DIGITS}
    return len(numbers) == len(labels)


def _named(words: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Words with the stories' own names, or numbers, instead of their places."""
    order = _stories(cells)
    names = [int(label) for label in order] if _are_numbers(order) else order
    return words.assign(story=[names[place] for place in words.story])


def _check_repeats(rows: pd.DataFrame, keys: list[str], path: Path) -> None:
    """Refuse two times of one word (and reader), and a word that is another in another row."""
    whose = [*keys, *(["reader"] if "reader" in rows else [])]
    twice = rows.duplicated(whose)
    if twice.any():
        row = int(twice.argmax())
        remedy = "Give each a row" + ("" if "reader" in rows else ", or add a column reader")
        raise ValueError(f"{path}: row {row + 2}: {rows.text[row]!r} has a second time. {remedy}.")
    for name in ("text", "sentence", "length", "log_frequency"):
        if name in rows:
            first = rows.groupby(keys)[name].transform("first")
            differs = (rows[name] != first) & ~(rows[name].isna() & first.isna())
            if differs.any():
                row = int(differs.argmax())
                column = "word" if name == "text" else name
                raise ValueError(
                    f"{path}: {column}: row {row + 2}: {rows[name][row]!r}, where another reader's row has "
                    f"{first[row]!r}. Correct one of them."
                )


def _numbered(words: pd.DataFrame, path: Path) -> np.ndarray:
    """Sentence of each word, counted from 1 within its story, from what the table calls it."""
    opens = words.sentence.ne(words.groupby("story").sentence.shift())
    returns = opens & words.duplicated(["story", "sentence"])
    if returns.any():
        word = words[returns].iloc[0]
        raise ValueError(
            f"{path}: sentence: {word.sentence!r} comes back at position {word.position} ({word.text!r}). Give each "
            "sentence of a story a name of its own."
        )
    return opens.groupby(words.story).cumsum().to_numpy(int)
