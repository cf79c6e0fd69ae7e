"""The one shape of reading times: words in order, what is known of each, and how long people took."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from brainalign import messages
from brainalign.human.recording import Passage

TITLES = {"Mr.", "Mrs.", "Ms.", "Dr."}  # whose stop ends no sentence
COORDINATES = ("story", "position", "sentence", "text", "length", "log_frequency", "n_readers", "sd")


@dataclass(frozen=True)
class ReadingTimes:
    """Reading times of every word of some stories.

    Raises ValueError if the words are not whole stories in order, or a coordinate is missing or impossible.
    """

    name: str  #: the data set, as in the catalog
    #: Milliseconds, NaN where missing. Dims ``word`` (means over readers) or ``word, reader``. Coordinates on ``word``
    #: are ``story`` (int or str), ``position`` and ``sentence`` (from 1 within the story), ``text`` (as shown),
    #: ``length`` (characters, punctuation at the edges left out), ``log_frequency`` (natural logarithm of a count;
    #: which, its loader says), ``n_readers``, ``sd`` (milliseconds, over readers).
    times: xr.DataArray
    licence: str  #: what may be done with the data
    citation: str
    alignment: str  #: which word a time was assigned to, where a data set has more than one answer; else ``original``

    def __post_init__(self):
        if self.times.dims not in (("word",), ("word", "reader")):
            raise ValueError(
                f"{self.name}: reading times have dims {self.times.dims}, expected ('word',) or "
                "('word', 'reader'). Transpose or rename them."
            )
        missing = [name for name in COORDINATES if name not in self.times.coords]
        if missing:
            raise ValueError(f"{self.name}: reading times lack {', '.join(missing)}. Assign coordinates on 'word'.")
        words = self._words()
        for name in ("position", "sentence"):
            if not pd.api.types.is_numeric_dtype(words[name]):
                raise ValueError(
                    f"{self.name}: {name}: expected numbers, got text, in which 10 comes before 2. Cast it."
                )
        values = self.times.to_numpy().reshape(len(words), -1)
        # Each word follows the one before: the next position of its story, or the first of a new one.
        story, opens = words.story, ~words.story.duplicated()
        position, step, sentence_step = words.position, words.position.diff(), words.sentence.diff()
        rules = {
            "the words of a story must stand together": opens != (story != story.shift()),
            "positions must count 1, 2, 3, ... within the story": np.where(opens, position != 1, step != 1),
            "sentences must count 1, 2, 3, ... within the story": np.where(
                opens, words.sentence != 1, ~sentence_step.isin([0, 1])
            ),
            "numbered stories must ascend": pd.api.types.is_numeric_dtype(story) and story.diff() < 0,
            "the word must not be empty": words.text == "",
            "the length must be at least 1 character": words.length < 1,
            "a time must be a positive number of milliseconds, or NaN": (np.isinf(values) | (values <= 0)).any(axis=1),
        }
        for rule, broken in rules.items():
            if np.any(broken):
                word = words.iloc[int(np.argmax(broken))]
                raise ValueError(
                    f"{self.name}: story {word.story}, position {word.position} ({word.text!r}, sentence "
                    f"{word.sentence}): {rule}. Correct the words before making ReadingTimes."
                )

    def __repr__(self) -> str:
        values = self.times.to_numpy()
        lines = [
            f"{self.name}: {self.shape}",
            f"missing: {int(np.isnan(values).sum()):,} of {values.size:,} values",
            f"text: {' '.join(self.times.text.to_numpy())}",
            f"license: {self.licence}",
            self.citation,
        ]
        return messages.lines(lines)

    @property
    def shape(self) -> str:
        """How many words, and readers if there are single ones."""
        return " x ".join(messages.count(size, name) for name, size in self.times.sizes.items())

    def table(self) -> pd.DataFrame:
        """Tidy table, a row per word: the coordinates, and ``reading_time``, in ms, the mean over readers."""
        means = self.times.mean("reader") if "reader" in self.times.dims else self.times
        return self._words().assign(reading_time=means.to_numpy().astype(float))

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The stories as a language model reads them, a part a word."""
        stories = self._words().groupby("story", sort=False).text
        return tuple(Passage(str(story), tuple(words)) for story, words in stories)

    @property
    def first_in_sentence(self) -> np.ndarray:
        """Whether a word opens its sentence, (n_words,) bool."""
        return ~self._words().duplicated(["story", "sentence"]).to_numpy()

    def _words(self) -> pd.DataFrame:
        return pd.DataFrame({name: self.times[name].to_numpy() for name in COORDINATES})


def by_reader(words: pd.DataFrame, times: pd.DataFrame) -> xr.DataArray:
    """Label the times (ms, NaN where missing) of single readers, a column each: dims ``word, reader``.

    ``words`` has a row a word and a column a coordinate, but ``n_readers`` and ``sd``, which are computed here.
    """
    counted = words.assign(n_readers=times.notna().sum(axis=1), sd=times.std(axis=1))
    return by_word(counted, times.to_numpy()).assign_coords(reader=times.columns.to_numpy())


def by_word(words: pd.DataFrame, times: np.ndarray) -> xr.DataArray:
    """Label times (ms), (n_words,) or (n_words, n_readers), with the columns of a table that has a row a word."""
    on_word = {name: ("word", words[name].to_numpy()) for name in COORDINATES}
    return xr.DataArray(times, dims=("word", "reader")[: times.ndim], coords=on_word, attrs={"units": "ms"})


def sentences(words: pd.DataFrame, goes_on: np.ndarray | bool = False) -> np.ndarray:
    """Sentence of each word, from 1 within its story: (n_words,) int.

    A word that ends in a stop, a closing quotation mark aside, ends one, unless it is a title or the sentence goes on,
    (n_words,) bool.
    """
    ends = words.text.str.contains(r"[.!?]['\"’”)]*$") & ~words.text.isin(TITLES) & ~np.asarray(goes_on)
    n_ended = ends.groupby(words.story).cumsum()
    return (1 + n_ended - ends).to_numpy(int)


def letters(words: pd.Series) -> np.ndarray:
    """Length of each word: (n_words,) characters, punctuation at the edges left out."""
    return words.str.replace(r"^\W+|\W+$", "", regex=True).str.len().to_numpy(int)
