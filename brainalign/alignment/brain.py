"""Brain alignment: how well a model predicts a recording under a protocol, as a tidy table.

    features = {f"{k}": to_stimuli(states, recording, "contiguous") for k, states in enumerate(activations)}
    table = brain_alignment(features, recording, "contiguous", protocols.ceiling_of(...))
    table.query("chosen and participant == 'pooled' and region == 'all' and split == 'all'")    # the model's score

A protocol says how (`protocols`), `predictivity.scores` does it for all layers at once, and `summary` chooses a layer
and makes the table.
"""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

Layers = Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]


def to_stimuli(features: np.ndarray, recording: Recording, protocol: str | Protocol) -> np.ndarray:
    """Bring features of the parts of a text to the stimuli of a recording, as a protocol does.

    Parameters
    ----------
    features : ndarray
        (n_parts, n_features) of the parts of all passages, one below the other.
    recording : Recording
    protocol : str or Protocol

    Returns
    -------
    ndarray
        (n_stimuli, n_features), or (n_splits, n_stimuli, n_features) where the protocol fits features in the
        training sets: what `brain_alignment` takes.

    Raises
    ------
    LookupError, ValueError
        As in `protocols.resolve`, `volumes.parts_to_stimuli` and `volumes.components`.
    """
    protocol = _resolved(protocol, recording)
    if protocol.series == "components":
        return volumes.components(features, recording, protocols.splits_of(protocol, recording))
    return volumes.parts_to_stimuli(features, recording)


def brain_alignment(
    features: Layers,
    recording: Recording,
    protocol: str | Protocol,
    ceiling: Extrapolation | None = None,
    stimulus_ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Predict every unit of a recording from every layer of a model, and choose a layer, as a protocol does.

    Parameters
    ----------
    features : mapping, or iterable of pairs
        Layer name and (n_stimuli, n_features) any unit, finite, of `to_stimuli`. Pairs are taken one by one.
    recording : Recording
    protocol : str or Protocol
        Such as ``contiguous``: one of `protocols.PROTOCOLS`.
    ceiling : Extrapolation, optional
        Of `protocols.ceiling_of`, the same recording and protocol; without, nothing is normalized.
    stimulus_ids : sequence of str, optional
        What the rows of the features are, to be held against the recording's.

    Returns
    -------
    DataFrame
        A row per participant (and ``pooled``) x region (and ``all``) x layer; for all units together also one per
        split, elsewhere ``split`` is ``all``. Columns:

        - ``dataset``, ``protocol``, ``participant``, ``region``, ``layer``, ``split``.
        - ``r``: median over units, then mean over splits; ``ceiling`` of these units, ``r_normalized``, the quotient.
        - ``r2``: median over units of R² of all test sets together; NaN where splits are shuffled.
        - ``mad``: of pooled rows, median absolute deviation of ``r`` over participants.
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
    protocol = _resolved(protocol, recording)
    splits = protocols.splits_of(protocol, recording)
    _check_recording(recording, stimulus_ids)
    names: list[str] = []
    layers = _checked(features, recording, len(splits), protocol, names)
    result = _scores(layers, recording, protocol, splits)
    return summary.table(result, names, recording, protocol, ceiling)


# Scores


def _scores(layers: Iterable[np.ndarray], recording: Recording, protocol: Protocol, splits: Sequence[Split]) -> Scores:
    responses = volumes.responses_of(recording, protocol.splits)
    with warnings.catch_warnings():
        # With a penalty that large only directions are left, and no larger one changes r.
        warnings.filterwarnings("ignore", message=".*Extend the grid upwards")
        if protocol.left_out != "tenth" and protocol.series != "components":
            return scores(layers, responses, splits, protocols.penalties_of(protocol, recording))
        # Features and groups are of each training set.
        layers, by_split = list(layers), []
        for number, split in enumerate(splits):
            split_layers = [x[number] if x.ndim == 3 else x for x in layers]
            by_split.append(
                scores(split_layers, responses, [split], protocols.penalties_of(protocol, recording, split[0]))
            )
    return _joined(by_split)


def _joined(parts: Sequence[Scores]) -> Scores:
    """Scores of several splits as one."""
    arrays = {}
    for field in fields(Scores):
        values = [getattr(part, field.name) for part in parts]
        if field.name not in ("alphas", "labels") and values[0] is not None:
            arrays[field.name] = np.concatenate(values, axis=min(values[0].ndim - 1, 1))  # splits come after layers
    return replace(parts[0], **arrays)


# At the edge


def _resolved(protocol: str | Protocol, recording: Recording) -> Protocol:
    return protocols.resolve(protocol, recording) if isinstance(protocol, str) else protocol


def _check_recording(recording: Recording, stimulus_ids: Sequence[str] | None) -> None:
    try:
        seen_units(recording.responses.to_numpy(), recording.units.participant.to_numpy())
    except ValueError as error:
        raise ValueError(f"{recording.name}: {error}") from error
    if stimulus_ids is None:
        return
    pairs = list(itertools.zip_longest(recording.stimuli.stimulus_id, stimulus_ids))
    if mismatches := [place for place, (recording_id, feature_id) in enumerate(pairs) if recording_id != feature_id]:
        recording_id, feature_id = pairs[mismatches[0]]
        raise ValueError(
            f"{recording.name}: features are of other stimuli: {feature_id!r} where the recording has "
            f"{recording_id!r}, and so in {len(mismatches)} rows. Bring them to its stimuli with to_stimuli."
        )


def _checked(
    features: Layers, recording: Recording, n_splits: int, protocol: Protocol, names: list[str]
) -> Iterator[np.ndarray]:
    """Features layer by layer, while their names are taken down."""
    ids = recording.stimuli.stimulus_id.to_numpy()
    for name, values in features.items() if isinstance(features, Mapping) else features:
        x = np.asarray(values)
        shapes = [(len(ids),)] + [(n_splits, len(ids))] * (protocol.series == "components")
        if x.shape[:-1] not in shapes:
            raise ValueError(
                f"{recording.name}: layer {name}: features have shape {x.shape}, the recording {len(ids)} stimuli. "
                "Bring them to its stimuli with to_stimuli."
            )
        if not np.isfinite(x).all():
            *_, stimulus, feature = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(
                f"{recording.name}: layer {name}: feature {feature} is not finite at stimulus {ids[stimulus]!r}. Run "
                "the model in a wider precision, or leave the layer out."
            )
        if str(name) in (*names, summary.NESTED):
            raise ValueError(f"{recording.name}: layer {name}: the name is taken. Give each layer its own.")
        names.append(str(name))
        yield x
    if not names:
        raise ValueError(f"{recording.name}: there are no features. Give one layer or more.")
