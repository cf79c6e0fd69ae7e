"""Read .npy files that hold objects, without running what is in them.

numpy stores a dictionary or an array of objects as a pickle, and a pickle can call anything that can be imported.
Here its instructions only ever reach the stand-ins below, which copy numbers and text out of it: plain numpy
arrays, dictionaries, lists and strings come through, whatever else a pickle names is refused before it is imported.
numpy's own classes would not do as stand-ins: their states can be forged to make it follow bytes as pointers.
"""

import pickle
from pathlib import Path

import numpy as np


def load(path: Path | str) -> np.ndarray:
    """Read a .npy file; plain arrays are mapped, not read, and a dictionary comes in an array without dimensions.

    Raises FileNotFoundError, or ValueError if it is no .npy file, or its pickle names a class or function other than
    those of plain arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Put the file there.")
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            *_, dtype = read(file)
            if not dtype.hasobject:
                return np.load(path, mmap_mode="r", allow_pickle=False)
            loaded = _plain(_Unpickler(file, encoding="latin1").load())
    except Exception as error:
        # A damaged pickle raises whatever its instructions run into.
        raise ValueError(f"{path}: {error}. Save plain numpy arrays, or a dictionary of them.") from error
    if not isinstance(loaded, np.ndarray):
        raise ValueError(f"{path}: expected a numpy array, found {type(loaded).__name__}. Save it with numpy.save.")
    return loaded


class _Dtype:
    """Stands in for numpy.dtype: numbers, text and objects, in any byte order."""

    def __init__(self, code: str, *_flags):
        if not isinstance(code, str) or np.dtype(code).kind not in "biufSUO":
            raise pickle.UnpicklingError(f"it has values of the type {code!r}, which is not admitted")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple):
        _version, order, *nested = state[:5]
        if any(nested):
            raise pickle.UnpicklingError("it has values with fields, which are not admitted")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands in for numpy.ndarray: keeps a copy of the numbers."""

    def __init__(self, *_arguments):
        self.values = np.empty(0)

    def __setstate__(self, state: tuple):
        _version, shape, dtype, fortran, data = state
        if dtype.dtype.hasobject:
            values = np.empty(len(data), object)
            values[:] = [_plain(value) for value in data]
        else:
            # Python 2 stored bytes as text.
            data = data.encode("latin1") if isinstance(data, str) else data
            values = np.frombuffer(data, dtype.dtype).copy()
        self.values = values.reshape(shape, order="F" if fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for codecs.encode, by which old pickles store bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}, which is not admitted")
    return text.encode("latin1")


# numpy 2 renamed numpy.core to numpy._core; both names are in files. Old pickles call bytes for an empty array.
_ADMITTED = {
    ("__builtin__", "bytes"): lambda: b"",
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"its pickle names {module}.{name}, which is not admitted")
        return _ADMITTED[module, name]


def _plain(value):
    """Put arrays in the place of their stand-ins."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value
