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


def solve_definite(matrix: Array, right: Array, floor: float) -> Array | None:
    """Solution of ``matrix x = right`` by Cholesky, or None if an eigenvalue of ``matrix`` may be below ``floor``.

    Parameters
    ----------
    matrix : ndarray or Tensor
        (n, n) float64, symmetric.
    right : ndarray or Tensor
        (n, n_right) float64.
    floor : float
        Held against an estimate from below of the smallest eigenvalue, 1 / ||matrix⁻¹||₁.
    """
    norm = float(abs(matrix).sum(axis=0).max())
    if not _is_tensor(matrix):
        factor, failed = lapack.dpotrf(matrix, lower=1)
        if failed or lapack.dpocon(factor, norm, uplo="L")[0] * norm < floor:
            return None
        return lapack.dpotrs(factor, right, lower=1)[0]
    torch = namespace(matrix)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        return None
    inverse = torch.cholesky_inverse(factor)
    return None if 1 / float(abs(inverse).sum(axis=0).max()) < floor else inverse @ right


def _is_tensor(array) -> bool:
    torch = sys.modules.get("torch")  # not imported: then nothing is a tensor
    return torch is not None and isinstance(array, torch.Tensor)
