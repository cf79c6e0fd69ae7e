"""Equality of what was computed in floating point: processors round differently, so it is a share of the scale."""

import numpy as np


def assert_close(found, expected, share: float = 1e-5, axis=None, scale: float | None = None) -> None:
    """Hold numbers to within a share of the largest that is expected: of all, along some axes, or as given."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert found.shape == expected.shape
    largest = np.nanmax(np.abs(expected), axis=axis, keepdims=True) if scale is None else np.array(scale)
    assert (largest > 0).all()
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    off = np.nanmax(np.abs(found - expected) / largest)
    assert off <= share, f"off by {off:.1e} of the scale, where {share:.0e} is allowed"
