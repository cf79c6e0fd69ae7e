"""Encoding models: a linear regression from features to responses, fitted and scored across splits."""

from brainalign.alignment.encoding.fits import Penalties, fit, targets, threads

__all__ = ["Penalties", "fit", "targets", "threads"]
