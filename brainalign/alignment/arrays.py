"""What numpy arrays and torch tensors do not spell alike. An array's own kind and device decide; nothing is global."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
from scipy.linalg import lapack

Array = Any  # numpy.ndarray or torch.Tensor, on any device


def on(device: str | None, values) -> Array:
    """``values`` as a tensor on a torch device; on none, as a numpy array."""
    if device is None:
        return np.asarray(values)
    import torch

    return torch.as_tensor(values, device=device)


def namespace(array: Array) -> ModuleType:
    """The module whose functions take the array: `numpy` or `torch`."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def like(values, array: Array, dtype: str | None = None) -> Array:
    """``values`` as an array of the same kind and on the same device, of the dtype named, or of their own."""
    if isinstance(array, np.ndarray):
        return np.asarray(values, dtype)
    torch = namespace(array)
    return torch.as_tensor(values, dtype=dtype and getattr(torch, dtype), device=array.device)


def zeros(shape: tuple[int, ...], array: Array) -> Array:
    """Zeros of the same kind and dtype, on the same device."""
    return np.zeros(shape, array.dtype) if isinstance(array, np.ndarray) else array.new_zeros(shape)


def precision(array: Array) -> str:
    """``float64`` if the array has it, else ``float32``: what products with it are taken in."""
    return "float64" if str(array.dtype).endswith("float64") else "float32"


def as_numpy(array: Array) -> np.ndarray:
    """The array in main memory."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def inverse_definite(matrix: Array, floor: float) -> Array | None:
    """Inverse of a symmetric float64 matrix by Cholesky, or None if an eigenvalue may be below the positive ``floor``.

    None is below 1 / ||matrix⁻¹||₁.
    """
    if isinstance(matrix, np.ndarray):
        factor, failed = lapack.dpotrf(matrix, lower=1)
        inverse = None if failed else lapack.dpotri(factor, lower=1)[0]
        if inverse is not None:  # its lower half; the other is zero
            inverse += np.tril(inverse, -1).T
    else:
        cholesky = namespace(matrix).linalg.cholesky_ex(matrix)
        inverse = None if cholesky.info else cholesky.L.cholesky_inverse()
    if inverse is None or not float(abs(inverse).sum(axis=0).max()) * floor < 1:
        return None
    return inverse
