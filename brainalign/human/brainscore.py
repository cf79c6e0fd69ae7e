"""Brain-Score's netCDF files: one variable ``data`` (presentation x neuroid), everything else plain coordinates.

xarray writes them so when a MultiIndex is reset. What is specific to a data set is in its own module; a file of
your own in this layout loads with `brainalign.human.own.load_netcdf`.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

BLOCK = 1 << 18  # values read at a time, at least a column of the file's chunks


@contextmanager
def opened(path: Path | str, dims: tuple[str, str] = ("presentation", "neuroid")) -> Iterator[xr.DataArray]:
    """Open a file's ``data``, which are read when they are asked for; ``attrs["path"]`` is the path, for messages.

    Raises FileNotFoundError, or ValueError if it is not netCDF-4, or not in this layout.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist. Correct the path, or leave it out to fetch the file.")
    try:
        file = xr.open_dataset(path, engine="h5netcdf", cache=False, mask_and_scale=False)
    except Exception as error:  # of any kind: of a damaged file, xarray and HDF5 raise what they run into
        raise ValueError(f"{path}: not a netCDF-4 file: {error}. Fetch it again.") from error
    with file, _explained(path):
        file_dims = file["data"].dims if "data" in file else "none"
        if file_dims != dims:
            raise ValueError(
                f"{path}: data: expected the dims {dims}, found {file_dims}. Write the file as Brain-Score does."
            )
        if file["data"].dtype.kind not in "fiu":
            raise ValueError(f"{path}: data: expected numbers, found {file['data'].dtype}. Save them as such.")
        attributes = file["data"].attrs
        # Masking copies what it reads. The fill value is NaN nearly always, so that there is nothing to mask.
        plain = np.isnan(attributes.get("_FillValue", np.nan)) and not {"scale_factor", "add_offset"} & set(attributes)
        data = file["data"] if plain else xr.decode_cf(file)["data"]
        data.attrs["path"] = str(path)
        yield data


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """Name the file of which a part turns out to be damaged when it is read."""
    try:
        yield
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: it is damaged: {error}. Fetch it again.") from error


def coordinates(data: xr.DataArray, dim: str, names: Mapping[str, str], counted: Iterable[str] = ()) -> pd.DataFrame:
    """Coordinates of one dimension under our names, each with the file's name: (n, len(names)).

    Those ``counted`` give an order, and are numbers also where the file has them as text. Raises ValueError if the file
    lacks a coordinate, or if one of these is no number somewhere.
    """
    available = [name for name, values in data.coords.items() if values.dims == (dim,)]
    for name in names.values():
        if name not in available:
            listing = ", ".join(map(str, available)) or "none"
            raise ValueError(
                f"{data.attrs['path']}: {name}: the coordinate is missing on {dim!r}, which has {listing}. "
                "Fetch the published file again, or add the coordinate."
            )
    table = pd.DataFrame({column: _text(data[coordinate].to_numpy()) for column, coordinate in names.items()})
    places = {column: f"{data.attrs['path']}: {names[column]}" for column in counted if column in names}
    return table.assign(**{column: numbered(table[column], place) for column, place in places.items()})


def numbered(values: pd.Series, place: str) -> pd.Series:
    """What gives an order, as numbers: as text 10 comes before 2. A ValueError names the place and the row from 0."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().to_numpy().argmax())
        raise ValueError(
            f"{place}: row {row}: '{values.iloc[row]}' is no number, and gives the order. Number the rows."
        )
    return numbers


def _text(values: np.ndarray) -> np.ndarray:
    """Bytes, as some programs write them, as text."""
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def responses(
    data: xr.DataArray, rows: np.ndarray, participants: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Responses to some stimuli, read in blocks, so that little more than the result is ever in memory.

    Parameters
    ----------
    rows : ndarray
        (n_stimuli,) int: which, in which order.
    participants : ndarray, optional
        (n_units,) whose unit each is. If given, units that are NaN for some of the stimuli are left out, as
        Brain-Score does: without a word where the participant missed them all, else with a warning; ValueError if a
        unit is NaN in the whole file, though its participant took part.

    Returns
    -------
    values, columns : ndarray
        (n_stimuli, n_kept) float32, and (n_kept,) int, the file's columns of them.
    """
    first, last = int(rows.min()), int(rows.max()) + 1
    in_order = np.array_equal(rows, np.arange(first, last))
    values, n_kept = np.empty((len(rows), data.shape[1]), np.float32), 0
    absent, holes = np.zeros((2, data.shape[1]), bool)  # NaN for all, and for some of the stimuli
    for columns in _blocks(data, last - first):
        block = data[first:last, columns].to_numpy()
        if not in_order:
            block = block[rows - first]
        # A NaN makes the minimum NaN, fmin passes over it; neither copies the block.
        absent[columns] = np.isnan(np.fmin.reduce(block, axis=0))
        holes[columns] = np.isnan(block.min(axis=0)) & ~absent[columns]
        keep = ~(absent | holes)[columns] if participants is not None else np.ones(block.shape[1], bool)
        stop = n_kept + int(keep.sum())
        # Row by row, since to pick columns of all would copy them once more.
        for row in range(len(rows)):
            values[row, n_kept:stop] = block[row, keep]
        n_kept = stop
        del block  # before the next is read
    if participants is None:
        return values, np.arange(n_kept)
    incomplete = holes | (absent & pd.Series(participants).isin(set(participants[~absent])).to_numpy())
    if incomplete.any():
        _explain(data, np.flatnonzero(incomplete), participants)
    return values[:, :n_kept], np.flatnonzero(~(absent | holes))


def _explain(data: xr.DataArray, units: np.ndarray, participants: np.ndarray) -> None:
    """Say what is wrong with units that lack stimuli to which their participant responded."""
    empty = np.isnan(data[:, units].to_numpy()).all(axis=0)
    if empty.any():
        unit = units[empty.argmax()]
        raise ValueError(
            f"{data.attrs['path']}: data: neuroid {unit} (participant {participants[unit]!r}) is missing (NaN) for "
            "every stimulus. Leave it out of the file."
        )
    warnings.warn(
        f"{data.attrs['path']}: data: {len(units)} units lack stimuli to which their participant responded (NaN), and "
        "are left out, as Brain-Score does.",
        stacklevel=4,
    )


def _blocks(data: xr.DataArray, n_rows: int) -> Iterator[slice]:
    """Slices of columns that end where the file's chunks end, so that no chunk is unpacked twice."""
    chunk = (data.encoding.get("chunksizes") or (1, 1))[1]
    width = chunk * max(1, BLOCK // (n_rows * chunk))
    for start in range(0, data.shape[1], width):
        yield slice(start, min(start + width, data.shape[1]))
