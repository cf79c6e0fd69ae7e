"""What numpy arrays and torch tensors do not spell alike. An array's own kind and device decide; nothing is global."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
from scipy.linalg import lapack

Array = Any  # numpy.ndarray or torch.Tensor, on any device


def as_array(values) -> Array:
    """``values`` as they are if a tensor, else as a numpy array."""
    return values if _is_tensor(values) else np.asarray(values)


def namespace(array: Array) -> ModuleType:
    """The module whose functions take the array: `numpy` or `torch`."""
    return sys.modules["torch"] if _is_tensor(array) else np


def place(array: Array) -> str:
    """Where an array is, for messages and comparison, such as ``numpy`` or ``torch on cuda:0``."""
    return f"torch on {array.device}" if _is_tensor(array) else "numpy"


def like(values, array: Array, dtype: str | None = None) -> Array:
    """``values`` as an array of the same kind and on the same device, of the dtype named, or of their own."""
    if not _is_tensor(array):
        return np.asarray(values, dtype)
    torch = namespace(array)
    return torch.as_tensor(values, dtype=dtype and getattr(torch, dtype), device=array.device)


def zeros(shape: tuple[int, ...], array: Array) -> Array:
    """Zeros of the same kind and dtype, on the same device."""
    return array.new_zeros(shape) if _is_tensor(array) else np.zeros(shape, array.dtype)


def precision(array: Array) -> str:
    """``float64`` if the array has it, else ``float32``: what products with it are taken in."""
    return "float64" if str(array.dtype).endswith("float64") else "float32"


def as_numpy(array: Array) -> np.ndarray:
    """The array in main memory."""
    return array.cpu().numpy() if _is_tensor(array) else array


def inverse_definite(matrix: Array, floor: float) -> Array | None:
    """Inverse by Cholesky, or None if an eigenvalue may be below ``floor``: none is below 1 / ||matrix⁻¹||₁.

    Parameters
    ----------
    matrix : ndarray or Tensor
        (n, n) float64, symmetric.
    floor : float
        Positive, in units of the matrix.
    """
    if _is_tensor(matrix):
        cholesky = namespace(matrix).linalg.cholesky_ex(matrix)
        inverse = None if cholesky.info else cholesky.L.cholesky_inverse()
    else:
        factor, failed = lapack.dpotrf(matrix, lower=1)
        inverse = None if failed else lapack.dpotri(factor, lower=1)[0]
        if inverse is not None:  # its lower half; the other is zero
            diagonal = np.diag(inverse).copy()
            inverse = inverse + inverse.T
            np.fill_diagonal(inverse, diagonal)
    if inverse is None or not float(abs(inverse).sum(axis=0).max()) * floor < 1:
        return None
    return inverse


def _is_tensor(array) -> bool:
    torch = sys.modules.get("torch")  # not imported: then nothing is a tensor
    return torch is not None and isinstance(array, torch.Tensor)
