"""Controls: features that know less than a language model.

Each function makes stimulus x feature arrays, so that a control runs like a model and stands in the same tables:

    for name, features in controls.features(recording).items():
        brain_alignment({name: features}, recording, protocol)

Two controls come with the model itself: static embeddings are its layer 0, and an untrained twin is the model loaded
with fresh weights. `project` brings models to one width. What a model explains beyond controls is
`banded.banded_ridge` with and without it.
"""

import numpy as np
import pandas as pd

from brainalign.human import timeseries
from brainalign.human.recording import Recording

REACH = 2  # stimuli, or volumes, after which the Gaussian of neighbors is cut off
ONE_HOT = 8  # positions that each get an indicator; longer passages get a curve


def features(recording: Recording, width: int = 512, seed: int = 0) -> dict[str, np.ndarray]:
    """Every control that a recording gets, (n_stimuli, n_features) by name; width and seed are of the random one.

    ``oasm``, ``length`` (word rate, where stimuli last equally long), ``position``, ``length+position``, ``random``.
    """
    length_features, position_features = length(recording), position(recording)
    return {
        "oasm": oasm(recording),
        "length": length_features,
        "position": position_features,
        "length+position": np.hstack([length_features, position_features]),
        "random": random(recording.responses.sizes["stimulus"], width, seed),
    }


def oasm(recording: Recording) -> np.ndarray:
    """Who is whose neighbor, and nothing else: exp(-d² / 2), d the distance of two stimuli in a passage.

    The orthogonal autocorrelated sequences model of Feghhi et al. 2024 (arXiv 2406.01538): a block-diagonal matrix,
    (n_stimuli, n_stimuli), one block a passage that people saw in one piece (a run of a time series). Under shuffled
    splits it passes responses on from a stimulus to its neighbors in the test set. Where passages are kept whole it
    predicts nothing. The Gaussian is cut off, so that stimuli five or more apart have no neighbor in common, through
    whom to pass something on over a gap.
    """
    block, place = _places(recording)
    distance = np.abs(place[:, None] - place)
    neighbors = (block[:, None] == block) & (distance <= REACH)
    return np.where(neighbors, np.exp(-(distance**2) / 2), 0.0)


def length(recording: Recording) -> np.ndarray:
    """Words and characters of each stimulus, z-scored: (n_stimuli, 2).

    In a time series, the rates of words and characters, convolved with the hemodynamic response.
    """
    if recording.tr is None:
        texts = recording.stimuli.text
        return timeseries.zscore(np.column_stack([texts.str.split().str.len(), texts.str.len()]))
    parts = [part for passage in recording.passages for part in passage.parts]
    counts = np.array([(1, len(part)) for part in parts])
    n = recording.volumes.max() + 1
    return timeseries.zscore(timeseries.events(recording.onsets, counts, recording.tr, n)[recording.volumes])


def position(recording: Recording) -> np.ndarray:
    """Place of each stimulus in its passage (or run): an indicator each, or a curve where passages are long.

    Feghhi et al. 2024 take indicators for Pereira2018, (n_stimuli, longest passage). The curve is the place, its
    square and its logarithm, z-scored, (n_stimuli, 3).
    """
    block, place = _places(recording)
    place = place - pd.Series(place).groupby(block).transform("min").to_numpy()
    if place.max() < ONE_HOT:
        return np.eye(place.max() + 1)[place]
    return timeseries.zscore(np.column_stack([place, place**2, np.log1p(place)]))


def random(n_stimuli: int, width: int, seed: int) -> np.ndarray:
    """Features that know nothing: standard normal, (n_stimuli, width)."""
    return np.random.default_rng(seed).normal(size=(n_stimuli, width))


def project(features: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Bring features to a common width by a random projection: X R / sqrt(width), R standard normal.

    Inner products of stimuli stay the same but for noise of relative size 1 / sqrt(width) (Johnson-Lindenstrauss).
    Features of that width are projected too, so that no model is spared the noise; arrays of as many features get the
    same R. A `ValueError` says where there are fewer features than that: take the narrowest model's width.
    """
    features = np.asarray(features)
    if not 1 <= width <= features.shape[1]:
        raise ValueError(
            f"project: {features.shape[1]} features cannot be brought to {width}. Take the narrowest model's width."
        )
    directions = np.random.default_rng(seed).normal(size=(features.shape[1], width)) / np.sqrt(width)
    return features @ directions.astype(features.dtype if features.dtype.kind == "f" else float)


def _places(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """What each stimulus was presented together with, and where in it: (n_stimuli,) int each."""
    stimuli = recording.stimuli
    if recording.tr is None:
        return pd.factorize(stimuli.passage)[0], stimuli.position.to_numpy()
    return stimuli.groupby(["passage", "run"], sort=False).ngroup().to_numpy(), recording.volumes
