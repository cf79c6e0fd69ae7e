"""Time series of your own: an array of volumes, and a table of words with their onsets.

    load("my.npy", "words.csv", tr=2.0, volumes=(180, 175), units="units.csv", nuisance="nuisance.csv")

Each run counts its seconds from its own first volume. A recording has one clock, on which runs follow each other
after a pause that is longer than any response, so that no word reaches the volumes of another run.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from brainalign.human import npy, own
from brainalign.human.recording import Passage, Recording, chapter, responses

PAUSE, LEAST_PAUSE = 32.0, 16  # between runs: seconds of a hemodynamic response, and volumes where they are long
NIFTI = (".nii", ".nii.gz")
SHORTEST, LONGEST = 0.001, 100.0  # seconds between volumes: more are milliseconds
REGRESSOR = "nuisance."  # begins names of regressors, by which `alignment.volumes` knows what to take out
NILEARN = "nilearn, which is not installed. Install brainalign with the extra nifti, or save the volumes as .npy"


def load(
    place: Path | str,
    words: Path | str,
    tr: float,
    volumes: Sequence[int] | None = None,
    units: Path | str | None = None,
    nuisance: Path | str | None = None,
    mask: Path | str | None = None,
) -> Recording:
    """Read a time series, named as the file of its responses.

    Raises FileNotFoundError, or ValueError if a file is not in this layout, which names file, row and remedy.

    Parameters
    ----------
    place : path
        Responses in any unit: .npy, (n_volumes, n_units), the runs one below the other; or NIfTI of one participant.
    words : path
        CSV with a row per word, in order: ``word``, ``onset`` (s, from the first volume of its run), and if you like
        ``run`` and ``passage`` (what a model reads in one go; it may go on in the next run).
    tr : float
        Seconds between volumes.
    volumes : sequence of int, optional
        Number of volumes of each run, in the order of the runs in ``words``; needed where there are several.
    units : path, optional
        CSV with a row per unit, in the order of the columns of the responses: ``participant``, and if you like
        ``region`` and ``unit``. Without it all units are taken to be of one participant.
    nuisance : path, optional
        CSV with a row per volume, and a column per regressor, all of which are taken out of the responses. With a
        column ``participant`` it has as many rows of each; else the regressors are everybody's.
    mask : path, optional
        NIfTI file with the voxels to take; needed for NIfTI, and only there.
    """
    place, words = Path(place), Path(words)
    if not SHORTEST <= tr <= LONGEST:
        raise ValueError(f"{place}: tr: {tr:g} s is no time between volumes. Give seconds.")
    values = _responses(place, mask)
    cells = own.read(words, ("word", "onset"))
    runs = _runs(cells, words)
    lengths = _lengths(volumes, list(dict.fromkeys(runs)), len(values), place)
    text, stimuli = _timed(cells, _onsets(cells, runs, lengths, tr, words), runs, lengths, tr, words, name_of(place))
    about = _units(units, values.shape[1], place)
    participants = list(dict.fromkeys(about.participant))
    regressors = None if nuisance is None else _nuisance(Path(nuisance), participants, len(values))
    labeled = responses(values, stimuli, about)
    return Recording(
        name_of(place), labeled, text, "not stated", "", source=str(place), tr=float(tr), nuisance=regressors
    )


def is_time_series(place: Path | str) -> bool:
    """Whether a file, by its name, holds volumes."""
    return str(place).endswith((".npy", *NIFTI))


def name_of(place: Path | str) -> str:
    """What a recording is called: its file, without the ending."""
    return Path(place).name.removesuffix(".gz").removesuffix(".nii").removesuffix(".npy")


def _responses(place: Path, mask: Path | str | None) -> np.ndarray:
    """Responses, (n_volumes, n_units) float32."""
    if not is_time_series(place):
        raise ValueError(f"{place}: responses are .npy or NIfTI (.nii, .nii.gz). Save them as one of these.")
    if not place.name.endswith(".npy"):
        return _masked(place, mask)
    if mask is not None:
        raise ValueError(f"{place}: mask: it is for NIfTI. Leave it out, or give responses as .nii or .nii.gz.")
    values = npy.load(place)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{place}: expected numbers, (volumes, units), found {values.dtype} {values.shape}. Save such an array."
        )
    with np.errstate(over="ignore"):  # what is too large is infinite, and refused
        return _finite(values.astype(np.float32), place)


def _finite(values: np.ndarray, place: Path) -> np.ndarray:
    """The same values, none of which is missing or infinite."""
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{place}: row {row + 1}, column {column + 1}: {values[row, column]} is no response. Interpolate the "
            "volume, or leave out the unit."
        )
    return values


def _masked(place: Path, mask: Path | str | None) -> np.ndarray:
    """Voxels of a NIfTI file that are in a mask, (n_volumes, n_voxels) float32."""
    if mask is None:
        raise ValueError(f"{place}: mask: NIfTI needs one. Give a NIfTI file with the voxels to take.")
    for file in (place, Path(mask)):
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist. Correct the path.")
    try:
        from nilearn.masking import apply_mask
    except ImportError as error:
        raise ValueError(f"{place}: NIfTI is read by {NILEARN}.") from error
    try:
        values = apply_mask(str(place), str(mask), dtype="f", ensure_finite=False)
    except Exception as error:  # of nilearn's, nibabel's and zlib's own kinds
        problem = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{place}: {problem}. Give a series of volumes, and a mask in its space.") from error
    if values.ndim != 2:
        raise ValueError(f"{place}: it is one volume. Give a series of volumes.")
    return _finite(values, place)


def _runs(cells: pd.DataFrame, path: Path) -> np.ndarray:
    """Run of each word, (n_words,) str, whose words must stand together."""
    if cells.empty:
        raise ValueError(f"{path}: no word is in it. Give a row for each.")
    _check_filled(cells, path, "word")
    if "run" not in cells:
        return np.full(len(cells), "1")
    _check_together(cells, path, "run")
    return cells.run.to_numpy(str)


def _check_filled(cells: pd.DataFrame, path: Path, name: str) -> None:
    empty = cells[name].str.strip() == ""
    if empty.any():
        raise ValueError(f"{path}: {name}: row {int(empty.argmax()) + 2}: it is empty. Fill it in.")


def _check_together(cells: pd.DataFrame, path: Path, name: str) -> None:
    """Refuse a label that is empty, or that comes back after another."""
    _check_filled(cells, path, name)
    labels = cells[name]
    returns = labels.duplicated() & (labels != labels.shift())
    if returns.any():
        row = int(returns.argmax())
        raise ValueError(
            f"{path}: {name}: row {row + 2}: {labels[row]!r} comes back after {labels[row - 1]!r}. Put the words in "
            f"order, and give each {name} a name of its own."
        )


def _lengths(volumes: Sequence[int] | None, runs: list[str], n_volumes: int, place: Path) -> list[int]:
    """Number of volumes of each run."""
    if volumes is None and len(runs) > 1:
        raise ValueError(
            f"{place}: volumes: words are of {len(runs)} runs ({', '.join(runs[:8])}). Give the volumes of each, in "
            "this order, as volumes: [180, 175]."
        )
    lengths = [n_volumes] if volumes is None else list(volumes)
    if len(lengths) != len(runs):
        raise ValueError(
            f"{place}: volumes: {len(lengths)} numbers for {len(runs)} runs ({', '.join(runs[:8])}). Give one for each."
        )
    if min(lengths) < 1 or sum(lengths) != n_volumes:
        raise ValueError(
            f"{place}: volumes: {' + '.join(map(str, lengths))} make {sum(lengths)}, the responses have {n_volumes} "
            "rows. Correct volumes, or save the responses with a row per volume."
        )
    return lengths


def _onsets(cells: pd.DataFrame, runs: np.ndarray, lengths: list[int], tr: float, path: Path) -> np.ndarray:
    """Second of each word in its run, (n_words,)."""
    onsets = own.numbers(cells.onset, path)
    end = pd.Series(runs).map(dict(zip(dict.fromkeys(runs), lengths, strict=True))).to_numpy() * tr
    same_run = np.append(False, runs[1:] == runs[:-1])
    descends = same_run & (np.diff(onsets, prepend=-np.inf) < 0)
    for broken, problem in (
        (np.isnan(onsets), "has no onset. Fill it in, or leave the word out if nobody heard or read it"),
        (onsets < 0, "begins before the first volume of its run. Count seconds from there"),
        (onsets >= end, "begins after the last volume of its run has ended. Correct the onset, tr or volumes"),
        (descends, "begins before the word above it. Sort the words, and count seconds from each run's first volume"),
    ):
        if broken.any():
            row = int(broken.argmax())
            when = "" if np.isnan(onsets[row]) else f", {onsets[row]:g} s, run {runs[row]}"
            raise ValueError(f"{path}: onset: row {row + 2}: {cells.word[row]!r}{when}: it {problem}.")
    return onsets


def _timed(
    cells: pd.DataFrame,
    onsets: np.ndarray,
    runs: np.ndarray,
    lengths: list[int],
    tr: float,
    path: Path,
    name: str,
) -> tuple[tuple[Passage, ...], pd.DataFrame]:
    """Passages with their words on the clock of the recording, and its volumes as stimuli."""
    pause = max(LEAST_PAUSE, int(np.ceil(PAUSE / tr)))
    starts = np.cumsum([0, *lengths[:-1]]) + pause * np.arange(len(lengths))  # in volumes
    labels = list(dict.fromkeys(runs))
    number = np.concatenate([start + np.arange(length) for start, length in zip(starts, lengths, strict=True)])
    onsets = onsets + pd.Series(runs).map(dict(zip(labels, starts * tr, strict=True))).to_numpy()
    stimuli, whole = chapter(name, cells.word.str.strip().tolist(), onsets, number * tr, tr)
    stimuli = stimuli.assign(run=np.repeat(labels, lengths), experiment=name)
    if "passage" not in cells:
        return (whole,), stimuli
    _check_together(cells, path, "passage")
    table = pd.DataFrame({"part": whole.parts, "stimulus": whole.stimuli, "onset": whole.onsets})
    passages = table.groupby(cells.passage.to_numpy(), sort=False)
    text = tuple(
        Passage(str(label), tuple(rows.part), tuple(rows.stimulus), tuple(rows.onset)) for label, rows in passages
    )
    return text, stimuli


def _units(sheet: Path | str | None, n_units: int, place: Path) -> pd.DataFrame:
    """Participant, region and name of each unit."""
    if sheet is None:
        rows = pd.DataFrame({"participant": ["1"] * n_units})
    else:
        sheet = Path(sheet)
        rows = own.read(sheet, ("participant",))
        _check_filled(rows, sheet, "participant")
        if len(rows) != n_units:
            raise ValueError(
                f"{sheet}: it has {len(rows)} rows, the responses {n_units} columns ({place}). Give each unit one row."
            )
    number = rows.groupby("participant").cumcount() + 1
    rows = own.filled(rows, {"region": "all", "unit": number.astype(str)})
    return rows[["participant", "region"]].assign(unit_id=rows.participant + "." + rows.unit)


def _nuisance(path: Path, participants: list[str], n_volumes: int) -> xr.DataArray:
    """Regressors of each participant at each volume."""
    cells = own.read(path, ())
    names = [name for name in cells if name != "participant"]
    if not names:
        raise ValueError(f"{path}: no column is a regressor. Add some, or leave nuisance out.")
    with np.errstate(over="ignore"):
        table = pd.DataFrame({name: own.numbers(cells[name], path).astype(np.float32) for name in names})
    missing = ~np.isfinite(table.to_numpy())
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise ValueError(f"{path}: {names[column]}: row {row + 2}: no number is there. Fill it in, such as with 0.")
    rows = [np.flatnonzero(cells.participant == who) for who in participants] if "participant" in cells else None
    if rows is not None and (strangers := set(cells.participant) - set(participants)):
        raise ValueError(f"{path}: participant: {min(strangers)!r} has no unit. Leave the rows out.")
    rows = rows or [np.arange(len(table))] * len(participants)
    for who, places in zip(participants, rows, strict=True):
        if len(places) != n_volumes:
            raise ValueError(
                f"{path}: it has {len(places)} rows for participant {who!r}, the responses {n_volumes} volumes. Give "
                "a row for each volume."
            )
    values = np.stack([table.to_numpy(np.float32)[places] for places in rows])
    coordinates = {"participant": participants, "regressor": [REGRESSOR + name for name in names]}
    return xr.DataArray(values, dims=("participant", "stimulus", "regressor"), coords=coordinates)
