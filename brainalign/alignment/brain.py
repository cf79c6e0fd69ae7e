"""Brain alignment: how well a model predicts a recording under a protocol, as a tidy table.

    features = {f"{k}": to_stimuli(states, recording, "contiguous") for k, states in enumerate(activations)}
    table = brain_alignment(features, recording, "contiguous", protocols.ceiling_of(...))
    table.query("chosen and participant == 'pooled' and region == 'all' and split == 'all'")    # the model's score

A protocol says how (`protocols`), `predictivity.scores` does it for all layers at once, and `summary` chooses a layer
and makes the table.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
import pandas as pd

from brainalign.alignment import protocols, summary, volumes
from brainalign.alignment.ceilings.extrapolated import Extrapolation
from brainalign.alignment.encoding.held_out import Scores
from brainalign.alignment.encoding.predictivity import scores, seen_units
from brainalign.alignment.encoding.splits import Split
from brainalign.alignment.protocols import Protocol
from brainalign.human.recording import Recording


def to_stimuli(features: np.ndarray, recording: Recording, protocol: str | Protocol) -> np.ndarray:
    """Bring features of the parts of a text, (n_parts, n_features), to the stimuli of a recording, as a protocol does.

    (n_stimuli, n_features), or (n_splits, n_stimuli, n_features) where the protocol fits features in the training sets:
    what `brain_alignment` takes. Raises as `protocols.resolve`, `volumes.parts_to_stimuli` and `volumes.components`.
    """
    protocol = protocols.resolve(protocol, recording)
    if protocol.series == "components":
        return volumes.components(features, recording, protocols.splits_of(protocol, recording))
    return volumes.parts_to_stimuli(features, recording)


def brain_alignment(
    features: Mapping[str, np.ndarray],
    recording: Recording,
    protocol: str | Protocol,
    ceiling: Extrapolation | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Predict every unit of a recording from every layer of a model, and choose a layer, as a protocol does.

    Features of each layer are those of `to_stimuli`, any unit, finite. The ceiling is that of `protocols.ceiling_of`,
    the same recording and protocol; without, nothing is normalized. Torch computes on the device, if one is named.

    Returns
    -------
    DataFrame
        A row per participant (and ``pooled``) x region (and ``all``) x layer; for all units together also one per
        split, elsewhere ``split`` is ``all``. Columns:

        - ``dataset``, ``protocol``, ``participant``, ``region``, ``layer``, ``split``.
        - ``r``: median over units, then mean over splits; ``ceiling`` of these units, ``r_normalized``, the quotient.
        - ``r2``: median over units of R² of all test sets together; NaN where splits are shuffled.
        - ``mad``: of pooled rows, median absolute deviation of ``r`` over participants, if there are several.
        - ``alpha``: median over splits of the penalty; NaN for least squares.
        - ``n_units``.
        - ``share``: of splits in which the layer was chosen. ``chosen``: whether the row is the model's score. Where
          each split has a layer of its own, that is a row of its own with the layer ``nested``.
        - ``layer_choice``, ``alpha_choice``: how both were chosen.

    Raises
    ------
    LookupError
        No such protocol.
    ValueError
        Features and recording differ in their stimuli, a value is not finite, or the recording cannot be split so.
    """
    protocol = protocols.resolve(protocol, recording)
    splits = protocols.splits_of(protocol, recording)
    if not features or summary.NESTED in features:
        raise ValueError(f"{recording.name}: give one layer of features or more, none called {summary.NESTED!r}.")
    try:
        result = _scores(features, recording, protocol, splits, device)
    except ValueError as error:
        name = f"{recording.name}: "
        raise ValueError(name + str(error).removeprefix(name)) from error
    return summary.table(result, list(features), recording, protocol, ceiling)


def _scores(
    features: Mapping[str, np.ndarray],
    recording: Recording,
    protocol: Protocol,
    splits: Sequence[Split],
    device: str | None,
) -> Scores:
    seen_units(recording.responses.to_numpy(), recording.units.participant.to_numpy())
    responses = volumes.responses_of(recording, protocol.splits)
    with warnings.catch_warnings():
        # With a penalty that large only directions are left, and no larger one changes r.
        warnings.filterwarnings("ignore", message=".*Extend the grid upwards")
        if protocol.left_out != "tenth" and protocol.series != "components":
            return scores(features, responses, splits, protocols.penalties_of(protocol, recording), device)
        by_split = []  # features and groups are of each training set
        for number, split in enumerate(splits):
            layers = {name: x[number] if np.ndim(x) == 3 else x for name, x in features.items()}
            penalties = protocols.penalties_of(protocol, recording, split[0])
            by_split.append(scores(layers, responses, [split], penalties, device))
    return _joined(by_split)


def _joined(parts: Sequence[Scores]) -> Scores:
    """Scores of several splits as one."""
    arrays = {}
    for field in fields(Scores):
        values = [getattr(part, field.name) for part in parts]
        if field.name not in ("alphas", "labels") and values[0] is not None:
            arrays[field.name] = np.concatenate(values, axis=min(values[0].ndim - 1, 1))  # splits come after layers
    return replace(parts[0], **arrays)
