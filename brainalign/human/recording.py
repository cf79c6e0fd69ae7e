"""The one shape of a recording: what people's brains did while they read or heard a text, and that text.

Two kinds, told apart by `Recording.tr`. In the first each stimulus (a sentence, a few words) has a text of its
own, which is one part of one passage. In the second, a time series, a stimulus is a volume: the parts are words,
each with its onset, and a volume's text is the words that begin in it.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from brainalign.human.checks import check


@dataclass(frozen=True)
class Passage:
    """A text in reading order: what a language model reads in one go.

    Attributes
    ----------
    id : str
        Its name, unique in a recording.
    parts : tuple of str
        Texts in order; the context of a part is those before it.
    stimuli : tuple of str
        For each part, the `stimulus_id` that it belongs to; empty where the passage belongs to no recording. In
        a time series many words belong to one volume, and ``""`` marks a word outside the recorded ones.
    onsets : tuple of float
        For each part, the second at which it begins, on the clock of the recording's ``time``; empty but for time
        series.

    Raises
    ------
    ValueError
        There are no parts, their number differs from that of stimuli or onsets, or onsets descend.
    """

    id: str
    parts: tuple[str, ...]
    stimuli: tuple[str, ...] = ()
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

    Attributes
    ----------
    name : str
        The data set, as `brainalign.human.load` knows it.
    responses : DataArray
        float32, dims ``stimulus, unit``, NaN where missing. Coordinates on ``stimulus``: ``stimulus_id``, ``text``,
        ``passage`` (what people saw in one piece), ``position`` (from 1 in its passage), ``story`` (or topic),
        ``experiment``; in a time series also ``time`` (s) and ``run``. On ``unit``: ``participant``, ``region``,
        ``unit_id``. More coordinates do no harm.
    passages : tuple of Passage
        The text as a language model reads it. Its pieces may be others than the ``passage`` of ``responses``: how
        much context a sentence gets is a choice.
    licence, citation : str
        What may be done with the data, and whom to cite.
    evidence : str
        What it is: ``people`` or ``microworld``.
    source : str
        The file or folder that it was read from; errors name it.
    tr : float, optional
        Seconds between volumes: the responses are a time series.
    nuisance : DataArray, optional
        float32, dims ``participant, stimulus, regressor``, named on ``participant`` and ``regressor``: what may
        drive a time series beside the text.

    Raises
    ------
    ValueError
        The parts do not fit each other; the message names source, field and remedy.
    """

    name: str
    responses: xr.DataArray
    passages: tuple[Passage, ...]
    licence: str
    citation: str
    evidence: str = "people"
    source: str = ""
    tr: float | None = None
    nuisance: xr.DataArray | None = None

    def __post_init__(self):
        check(self)

    @property
    def stimuli(self) -> pd.DataFrame:
        """The coordinates on ``stimulus``, a row per stimulus."""
        return self._table("stimulus")

    @property
    def units(self) -> pd.DataFrame:
        """The coordinates on ``unit``, a row per unit."""
        return self._table("unit")

    @property
    def participants(self) -> list[str]:
        """Who took part, in the order of the units."""
        return list(dict.fromkeys(self.responses["participant"].to_numpy().tolist()))

    @property
    def onsets(self) -> np.ndarray:
        """When each part of all passages begins, the passages one after the other: (n_parts,) s."""
        return np.concatenate([np.asarray(passage.onsets, float) for passage in self.passages])

    @property
    def part_rows(self) -> np.ndarray:
        """Where the text of each stimulus is, when the parts of all passages stand one below the other.

        Returns
        -------
        ndarray
            (n_stimuli,) int: ``features[part_rows]`` has a row per stimulus if `features` has one per part.

        Raises
        ------
        ValueError
            The recording is a time series: its words have to be brought to volumes.
        """
        if self.tr is not None:
            raise ValueError(f"{self.name}: a time series has many parts a stimulus; use timeseries.words_to_volumes.")
        ids = [stimulus for passage in self.passages for stimulus in passage.stimuli]
        return pd.Index(ids).get_indexer(self.responses["stimulus_id"].to_numpy())

    @property
    def volumes(self) -> np.ndarray:
        """Where each stimulus of a time series is among the volumes since time 0: (n_stimuli,) int.

        Raises
        ------
        ValueError
            The recording is no time series.
        """
        if self.tr is None:
            raise ValueError(f"{self.name} is no time series; use part_rows.")
        return np.rint(self.responses["time"].to_numpy() / self.tr).astype(int)

    def _table(self, dim: str) -> pd.DataFrame:
        coordinates = self.responses.coords.items()
        return pd.DataFrame({name: values.to_numpy() for name, values in coordinates if values.dims == (dim,)})


def responses(values: np.ndarray, stimuli: pd.DataFrame, units: pd.DataFrame) -> xr.DataArray:
    """Label the responses of a recording.

    Parameters
    ----------
    values : ndarray
        (n_stimuli, n_units), any unit; not copied if float32.
    stimuli, units : DataFrame
        (n_stimuli, ...) and (n_units, ...): each column becomes a coordinate.
    """
    coordinates = {
        name: (dim, np.array(table[name].tolist()))
        for dim, table in (("stimulus", stimuli), ("unit", units))
        for name in table
    }
    return xr.DataArray(np.asarray(values, np.float32), dims=("stimulus", "unit"), coords=coordinates)


def passages(stimuli: pd.DataFrame, group: Iterable[Hashable]) -> tuple[Passage, ...]:
    """Passages of stimuli that have a text each.

    Parameters
    ----------
    stimuli : DataFrame
        (n_stimuli, ...) with `stimulus_id` and `text`, in reading order.
    group : iterable
        (n_stimuli,) the passage of each; passages come in the order in which they begin.
    """
    groups = stimuli.groupby(np.asarray(group), sort=False)
    return tuple(Passage(str(name), tuple(part.text), tuple(part.stimulus_id)) for name, part in groups)
