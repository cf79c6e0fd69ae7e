"""Recordings of your own: a table, or a netCDF file in Brain-Score's layout."""

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.human import brainscore, missing, plain_text
from brainalign.human.checks import SERIES, STIMULUS
from brainalign.human.recording import Recording, in_order, passages, responses, trimmed

# Our name of a coordinate, and what it is called in Brain-Score's files, in order of preference.
PRESENTATION = {
    "stimulus_id": ("stimulus_id",),
    "text": ("stimulus", "sentence", "word"),
    "story": ("story", "passage_category", "passage_label", "story_id"),
    "experiment": ("experiment",),
    "index": ("passage_index", "passage_label"),
    "sentence": ("sentence_number_in_story",),
    "part": ("part_number_in_sentence",),
}
NEUROID = {
    "participant": ("subject", "subject_id", "subject_UID"),
    "region": ("roi", "fROI_area", "region", "atlas"),
    "unit_id": ("neuroid_id",),
}


def load_table(table: Path | str, participants: Path | str | None = None, missing_rule: str | None = None) -> Recording:
    """Read a recording from CSV, named as the file: a row per stimulus, in reading order; each passage by itself.

    Raises FileNotFoundError, or ValueError if a file is not in this layout, which names file, row and column.

    Parameters
    ----------
    table : path
        Columns ``text``, ``passage``, ``position`` (from 1 in its passage), if you like ``stimulus_id``, ``story``
        and ``experiment``, and one of numbers for each unit. A cell is empty where a response is missing.
    participants : path, optional
        CSV with a row per unit: ``unit`` (its column in the table), ``participant``, and if you like ``region``.
        Without it all units are taken to be of one participant.
    missing_rule : str, optional
        What is done about missing responses, one of `missing.RULES`; without it they are kept.
    """
    table = Path(table)
    cells = read(table, ("text", "passage", "position"))
    for name in SERIES:
        if name in cells:
            raise ValueError(
                f"{table}: {name}: a table holds no time series: give volumes as responses, with a table of words. "
                "Or rename the column, or leave it out."
            )
    units = [name for name in cells if name not in STIMULUS]
    if not units:
        raise ValueError(f"{table}: no column is a unit: all are of {', '.join(STIMULUS)}. Add a column of responses.")
    values = np.column_stack([numbers(cells[name], table) for name in units])
    stimuli = trimmed(cells.drop(columns=units)).assign(position=_positions(cells, table))
    defaults = {"stimulus_id": stimuli.passage + "." + stimuli.position.astype(str)}
    defaults |= {"story": stimuli.passage, "experiment": table.stem}
    stimuli = filled(stimuli, defaults)
    labeled = responses(values, stimuli, _units(units, participants, table))
    text = passages(stimuli, stimuli.passage)
    return _checked(Recording(table.stem, labeled, text, "not stated", "", source=str(table)), missing_rule)


def load_netcdf(path: Path | str, experiment: str | None = None, missing_rule: str | None = None) -> Recording:
    """Read a recording from a netCDF file in Brain-Score's layout, named as the file.

    Each passage is read by itself: stimuli of one story and ``passage_index`` (else ``passage_label``, else story).
    Without either, each stimulus is a passage.

    Raises FileNotFoundError, or ValueError if it is not in this layout, which names file and coordinate.

    Parameters
    ----------
    path : path
        A variable ``data`` (presentation x neuroid) with the coordinates ``stimulus`` (or ``sentence``, ``word``),
        ``stimulus_id`` and ``subject`` (or ``subject_id``, ``subject_UID``), and of these what it has: ``story``,
        ``experiment``, ``passage_label``, ``passage_index``, ``sentence_number_in_story`` with
        ``part_number_in_sentence``, ``neuroid_id``, ``roi`` (or ``fROI_area``, ``region``, ``atlas``).
    experiment : str, optional
        Take the stimuli of one experiment, and leave out the units that are NaN for it.
    missing_rule : str, optional
        As in `load_table`.
    """
    path = Path(path)
    with brainscore.opened(path) as data:
        stimuli = _order(_coordinates(data, "presentation", PRESENTATION, ("stimulus_id", "text")), path.stem)
        units = _coordinates(data, "neuroid", NEUROID, ("participant",))
        participants = None
        if experiment is not None:
            stimuli, participants = stimuli[stimuli.experiment == experiment], units.participant.to_numpy()
            if stimuli.empty:
                raise ValueError(f"{path}: experiment: no stimulus is of {experiment!r}. Name one that the file has.")
        values, columns = brainscore.responses(data, stimuli.row.to_numpy(), participants)
    units = filled(units, {"region": "all", "unit_id": np.arange(len(units))})
    labeled = responses(values, stimuli, units.iloc[columns].astype(str))
    text = passages(stimuli, stimuli.passage)
    return _checked(Recording(path.stem, labeled, text, "not stated", "", source=str(path)), missing_rule)


def _checked(recording: Recording, missing_rule: str | None) -> Recording:
    """The recording by a rule for what is missing, after a warning of a number that may stand for that."""
    if suspicion := missing.suspicion(recording):
        warnings.warn(f"{recording.source}: {suspicion}", stacklevel=3)
    return missing.completed(recording, missing_rule) if missing_rule else recording


def filled(table: pd.DataFrame, defaults: dict) -> pd.DataFrame:
    """A table with the columns that it lacks."""
    return table.assign(**{name: value for name, value in defaults.items() if name not in table})


def _coordinates(data, dim: str, names: dict[str, tuple[str, ...]], needed: tuple[str, ...]) -> pd.DataFrame:
    """Coordinates of a dimension under our names: those needed, and what there is of the others."""
    coordinates = {}
    for column, candidates in names.items():
        matches = [name for name in candidates if name in data.coords]
        if matches or column in needed:
            coordinates[column] = (matches or candidates)[0]
    return brainscore.coordinates(data, dim, coordinates, counted=("sentence", "part"))


def _order(stimuli: pd.DataFrame, name: str) -> pd.DataFrame:
    """Stimuli in reading order, with every coordinate, and their row in the file."""
    stimuli = trimmed(stimuli).assign(row=range(len(stimuli)), stimulus_id=stimuli.stimulus_id.astype(str))
    story = name if "index" in stimuli else stimuli.stimulus_id
    stimuli = filled(stimuli, {"story": story, "experiment": name}).astype({"story": str})
    keys = [key for key in ("index", "sentence", "part") if key in stimuli]
    if "sentence" in keys:
        order = stimuli[["story", *keys]].assign(**({"index": _ranks(stimuli["index"])} if "index" in keys else {}))
        stimuli = stimuli.loc[order.sort_values(["story", *keys], kind="stable").index].reset_index(drop=True)
    passage = stimuli.story + ("." + stimuli["index"].astype(str) if "index" in keys else "")
    return in_order(stimuli, passage).drop(columns=keys)


def _ranks(labels: pd.Series) -> np.ndarray:
    """Order of passages: that of their numbers, or, of names, that in which the file has them."""
    numbers = pd.to_numeric(labels, errors="coerce")
    return pd.factorize(labels)[0] if numbers.isna().any() else numbers.to_numpy()


def read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """Cells of a CSV file, as text."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Correct the path.")
    # Not by pandas, which fills up a row that lacks cells.
    reader = csv.reader(io.StringIO(plain_text.read(path), newline=""))
    try:
        header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise ValueError(
            f"{path}: row {reader.line_num}: {error}. See that every quotation mark in a cell is closed, and double."
        ) from error
    for name in (*needed, *header):
        if header.count(name) != 1:
            problem = "missing" if name not in header else "there twice"
            raise ValueError(
                f"{path}: {name}: the column is {problem}; it has {', '.join(header[:8])}. Name each once."
            )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path}: row {number}: {len(row)} cells, the header has {len(header)}. Quote the commas.")
    return pd.DataFrame(rows, columns=header, dtype=str)


def numbers(cells: pd.Series, path: Path) -> np.ndarray:
    """A column's cells as numbers, NaN where empty."""
    empty = cells.str.strip() == ""
    values = pd.to_numeric(cells.mask(empty, "nan"), errors="coerce").to_numpy(float)
    invalid = np.isnan(values) & ~empty.to_numpy()
    if invalid.any():
        row = int(invalid.argmax())
        raise ValueError(
            f"{path}: {cells.name}: row {row + 2}: {cells[row]!r} is no number. Leave it empty if missing."
        )
    return values


def are_whole(values: np.ndarray) -> np.ndarray:
    """Whether each of some numbers is a whole one, and not so large that it could be another."""
    return (values == np.rint(values)) & (np.abs(values) < 2**53)


def _positions(cells: pd.DataFrame, path: Path) -> np.ndarray:
    """The column `position` as whole numbers, none of them twice in a passage."""
    position = numbers(cells.position, path)
    for broken, problem in (
        (~are_whole(position), "is no whole number"),
        (cells.duplicated(["passage", "position"]).to_numpy(), "is there twice"),
    ):
        if broken.any():
            row = int(broken.argmax())
            raise ValueError(
                f"{path}: position: row {row + 2}: {cells.position[row]!r} of passage {cells.passage[row]!r} "
                f"{problem}. Number the rows of each passage 1, 2, 3, ..."
            )
    return position.astype(int)


def _units(names: list[str], sheet: Path | str | None, table: Path) -> pd.DataFrame:
    """Participant and region of each unit."""
    if sheet is None:
        return pd.DataFrame({"participant": "1", "region": "all", "unit_id": names})
    sheet = Path(sheet)
    rows = read(sheet, ("unit", "participant"))
    for problem, units in (
        ("is not a column of the table", set(rows.unit) - set(names)),
        ("has no row, but is a column of the table", set(names) - set(rows.unit)),
        ("has two rows", set(rows.unit[rows.unit.duplicated()])),
    ):
        if units:
            raise ValueError(f"{sheet}: unit: {min(units)!r} {problem} ({table}). Give each unit one row.")
    rows = filled(rows.set_index("unit").loc[names].reset_index(names="unit_id"), {"region": "all"})
    return rows[["participant", "region", "unit_id"]]
