"""The one shape of a recording: what people's brains did while they read or heard a text, and that text.

Two kinds, told apart by `Recording.tr`. In the first each stimulus (a sentence, a few words) has a text of its
own, which is one part of one passage. In the second, a time series, a stimulus is a volume: the parts are words,
each with its onset, and a volume's text is the words that begin in it.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from brainalign import messages
from brainalign.human.checks import check


@dataclass(frozen=True)
class Passage:
    """A text in reading order: what a language model reads in one go.

    Raises ValueError if there are no parts, their number differs from that of stimuli or onsets, or onsets descend.
    """

    id: str  #: its name, unique in a recording
    parts: tuple[str, ...]  #: texts in order; the context of a part is those before it
    #: For each part, the `stimulus_id` that it belongs to; empty where the passage belongs to no recording. In a time
    #: series many words belong to one volume, and ``""`` marks a word outside the recorded ones.
    stimuli: tuple[str, ...] = ()
    #: For each part, the second at which it begins, on the clock of the recording's ``time``; for time series only.
    onsets: tuple[float, ...] = ()

    def __post_init__(self):
        if not self.parts or isinstance(self.parts, str):
            raise ValueError(f"passage {self.id!r}: parts: expected a tuple of texts, got {self.parts!r}.")
        for field in ("stimuli", "onsets"):
            if (count := len(getattr(self, field))) not in (0, len(self.parts)):
                raise ValueError(f"passage {self.id!r}: {field}: {len(self.parts)} parts need as many, got {count}.")
        if np.any(np.diff(self.onsets) < 0):
            part = int(np.argmax(np.diff(self.onsets) < 0)) + 2
            raise ValueError(f"passage {self.id!r}: onsets: part {part} begins before the one before it. Sort them.")


@dataclass(frozen=True, eq=False)
class Recording:
    """What was measured while people read or heard a text.

    Raises ValueError if its parts do not fit each other; the message names source, field and remedy.
    """

    name: str  #: the data set, as `brainalign.human.load` knows it
    #: float32, dims ``stimulus, unit``, NaN where missing. Coordinates on ``stimulus`` are ``stimulus_id``, ``text``,
    #: ``passage`` (what people saw in one piece), ``position`` (from 1 in its passage), ``story`` (or topic),
    #: ``experiment``; in a time series also ``time`` (s) and ``run``. On ``unit`` they are ``participant``, ``region``
    #: and ``unit_id``. More do no harm, such as ``trimmed`` of texts (`trimmed`).
    responses: xr.DataArray
    #: The text as a language model reads it. Its pieces may be others than the ``passage`` of ``responses``, since how
    #: much context a sentence gets is a choice. A part that belongs to no stimulus is read, and is context.
    passages: tuple[Passage, ...]
    licence: str  #: what may be done with the data
    citation: str
    evidence: str = "people"  #: or ``microworld``
    source: str = ""  #: the file or folder that it was read from; errors name it
    tr: float | None = None  #: seconds between volumes, if the responses are a time series
    #: What may drive a time series beside the text, float32, dims ``participant, stimulus, regressor``, of which the
    #: first and the last are named.
    nuisance: xr.DataArray | None = None

    def __post_init__(self):
        check(self)

    def __repr__(self) -> str:
        participants, values = self.participants, self.responses.to_numpy()
        lines = [
            f"{self.name}: {self.shape}",
            f"participants: {len(participants)} ({', '.join(participants)})",
            f"regions: {', '.join(dict.fromkeys(self.units.region))}",
            f"missing: {int(np.isnan(values).sum()):,} of {values.size:,} values",
            f"text: {' '.join(self.passages[0].parts)}",
            f"license: {self.licence}",
            self.citation,
        ]
        return messages.lines(lines)

    @property
    def shape(self) -> str:
        """How many stimuli, units, participants and passages, and how far volumes are apart, in words."""
        sizes = " x ".join(messages.count(size, name) for name, size in self.responses.sizes.items())
        more = {"participant": len(self.participants), "passage": len(self.passages)}
        counts = ", ".join([sizes, *(messages.count(n, noun) for noun, n in more.items())])
        return counts + (f", a volume every {self.tr:g} s" if self.tr else "")

    @cached_property
    def stimuli(self) -> pd.DataFrame:
        """The coordinates on ``stimulus``, a row per stimulus."""
        return self._table("stimulus")

    @cached_property
    def units(self) -> pd.DataFrame:
        """The coordinates on ``unit``, a row per unit."""
        return self._table("unit")

    @property
    def participants(self) -> list[str]:
        """Who took part, in the order of the units."""
        return list(dict.fromkeys(self.responses["participant"].to_numpy().tolist()))

    @property
    def onsets(self) -> np.ndarray:
        """When each part of all passages begins, the passages one after the other, (n_parts,) s."""
        return np.concatenate([np.asarray(passage.onsets, float) for passage in self.passages])

    @property
    def part_rows(self) -> np.ndarray:
        """Row of each stimulus in a table with a row a part, the passages one below the other, (n_stimuli,) int.

        Raises ValueError for a time series, whose words have to be brought to volumes.
        """
        if self.tr is not None:
            raise ValueError(f"{self.name}: a time series has many parts a stimulus; use timeseries.words_to_volumes.")
        ids = [stimulus for passage in self.passages for stimulus in passage.stimuli]
        row = {stimulus: number for number, stimulus in enumerate(ids) if stimulus}
        return np.array([row[stimulus] for stimulus in self.responses["stimulus_id"].to_numpy().tolist()])

    @property
    def volumes(self) -> np.ndarray:
        """Where each stimulus of a time series (else ValueError) is among the volumes since time 0, (n_stimuli,)."""
        if self.tr is None:
            raise ValueError(f"{self.name} is no time series; use part_rows.")
        return np.rint(self.responses["time"].to_numpy() / self.tr).astype(int)

    def _table(self, dim: str) -> pd.DataFrame:
        coordinates = self.responses.coords.items()
        return pd.DataFrame({name: values.to_numpy() for name, values in coordinates if values.dims == (dim,)})


def responses(values: np.ndarray, stimuli: pd.DataFrame, units: pd.DataFrame) -> xr.DataArray:
    """Label (n_stimuli, n_units) responses with the columns of a table of each; not copied if float32."""
    coordinates = {
        name: (dim, np.array(table[name].tolist()))
        for dim, table in (("stimulus", stimuli), ("unit", units))
        for name in table
    }
    with np.errstate(over="ignore"):  # what is too large is infinite, and refused
        values = np.asarray(values, np.float32)
    return xr.DataArray(values, dims=("stimulus", "unit"), coords=coordinates)


def trimmed(stimuli: pd.DataFrame) -> pd.DataFrame:
    """Stimuli whose texts have single spaces, and none at an edge; ``trimmed`` says which had, if any did.

    Texts are read joined by one space, and a second one is a token that nobody saw.
    """
    text = stimuli.text.astype(str)
    single_spaced = text.str.split().str.join(" ")
    changed = single_spaced != text
    stimuli = stimuli.assign(text=single_spaced)
    return stimuli.assign(trimmed=changed) if changed.any() else stimuli


def in_order(stimuli: pd.DataFrame, passage: pd.Series) -> pd.DataFrame:
    """Stimuli in reading order with the passage of each, and its position in it, from 1."""
    return stimuli.assign(passage=passage, position=passage.groupby(passage).cumcount() + 1)


def passages(stimuli: pd.DataFrame, group: Iterable[Hashable]) -> tuple[Passage, ...]:
    """Passages of stimuli in reading order that have a text each, by the group of each: (n_stimuli,)."""
    groups = stimuli.groupby(np.asarray(group), sort=False)
    return tuple(Passage(str(name), tuple(part.text), tuple(part.stimulus_id)) for name, part in groups)


def chapter(
    name: str, words: Sequence[str], onsets: np.ndarray, time: np.ndarray, tr: float
) -> tuple[pd.DataFrame, Passage]:
    """A text that was read or heard in one go, while volumes were recorded at some times; all times are in seconds.

    Returns the volumes with the words that begin in them, as stimuli without ``experiment`` and ``run``, and the text,
    whose parts are words.
    """
    # The last volume that begins before the word does, whatever rounding; a word between runs belongs to none.
    volume = np.searchsorted(time, onsets + 1e-9, side="right") - 1
    recorded = (volume >= 0) & (onsets < time[volume] + tr - 1e-9)
    position = np.arange(1, len(time) + 1)
    ids = np.array([f"{name}.{number}" for number in position])
    text = pd.Series(words)[recorded].groupby(volume[recorded]).agg(" ".join)
    stimuli = pd.DataFrame({"stimulus_id": ids, "text": text.reindex(range(len(time)), fill_value="")})
    stimulus_of_word = np.where(recorded, ids[volume], "").tolist()
    passage = Passage(name, tuple(words), tuple(stimulus_of_word), tuple(onsets.tolist()))
    return stimuli.assign(position=position, time=time, passage=name, story=name), passage
