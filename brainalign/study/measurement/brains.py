"""What is measured of a model, or of a control, on a recording: its scores, and what they are worth beside controls.

Each returns rows with ``dataset``.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign import store
from brainalign.alignment import controls, protocols, similarity, volumes
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.alignment.ceilings.extrapolated import Extrapolation
from brainalign.alignment.encoding import banded, gram, threads
from brainalign.alignment.encoding.predictivity import seen_units
from brainalign.alignment.protocols import Protocol
from brainalign.alignment.summary import ALL, POOLED
from brainalign.human.recording import Recording
from brainalign.study.description.loading import width_of
from brainalign.study.description.settings import Study

PEOPLE_FOR_A_CEILING = 3
NUISANCE = ("length", "position")
WEIGHTS = 4  # random ones to try, beside equal shares of every set of bands
REVISION = 1  # of what length and position explain; another number makes what is kept of that stale


class Features(NamedTuple):
    """Layers by name, (n_parts, n_features) of the text or (n_stimuli, n_features) of the recording."""

    layers: Mapping[str, np.ndarray]
    at_parts: bool
    device: str | None = None  # where encoding models are fitted by torch; on none, by numpy

    def at_stimuli(self, recording: Recording, protocol: str) -> dict[str, np.ndarray]:
        """Layers at the stimuli of the recording, as a protocol brings them there."""
        if not self.at_parts:
            return dict(self.layers)
        return {layer: to_stimuli(x, recording, protocol) for layer, x in self.layers.items()}


def scores(study: Study, features: Features, recording: Recording) -> pd.DataFrame:
    """Rows of `brain_alignment` under each protocol that suits the recording."""
    tables, names = [], protocols_of(study, recording)
    for name in names:
        protocol = protocols.resolve(name, recording)
        layers, ceiling = features.at_stimuli(recording, name), ceiling_of(protocol, recording)
        tables.append(brain_alignment(layers, recording, protocol, ceiling, features.device))
    return pd.concat(tables, ignore_index=True)


def protocols_of(study: Study, recording: Recording) -> list[str]:
    """Protocols of a study that suit a recording; all if none does, and the first says why."""
    return protocols.applicable(study.protocols, recording) or study.protocols


def ceiling_of(protocol: Protocol, recording: Recording) -> Extrapolation | None:
    """Give the noise ceiling of a recording under a protocol; None of too few people to have one."""
    enough = len(recording.participants) >= PEOPLE_FOR_A_CEILING
    return protocols.ceiling_of(protocol, recording) if enough else None


def common_width(study: Study) -> int | None:
    """Features of a layer of the narrowest language model, or what the study sets; None without models."""
    return study.width or min(map(width_of, study.entries), default=None)


def scores_at_one_width(study: Study, features: Features, recording: Recording) -> pd.DataFrame:
    """Scores with the features of every layer brought to one width by a random projection.

    The width is that of the narrowest model, and at most the number of training stimuli. What is narrower takes part as
    it is.

    Returns
    -------
    DataFrame
        A row per protocol and participant (and ``pooled``): ``r`` of the chosen layer, ``width``.
    """
    names = protocols_of(study, recording)
    train = [len(train) for name in names for train, _ in protocols.splits_of(name, recording)]
    width = min([*train, common_width(study) or np.inf])
    narrow = {
        layer: x if x.shape[1] < width else controls.project(x, width, study.seed)
        for layer, x in features.layers.items()
    }
    tables = []
    for name in names:
        at_stimuli = features._replace(layers=narrow).at_stimuli(recording, name)
        rows = brain_alignment(at_stimuli, recording, name, device=features.device)
        rows = rows[rows.chosen & (rows.region == ALL) & (rows.split == ALL)].set_index("participant")
        tables.append(rows.loc[[POOLED, *recording.participants], ["dataset", "protocol", "r"]].reset_index())
    return pd.concat(tables, ignore_index=True).assign(width=width)


def unique_variance(features: Features, recording: Recording) -> pd.DataFrame:
    """R² beyond length (word rate) and position, on held-out stimuli whose neighbors are held out too.

    All layers of a model, side by side, are one band (`side_by_side`), so that no layer is chosen; what length and
    position explain alone is the same for all models.

    Returns
    -------
    DataFrame
        A row per participant: medians over units of ``both``, ``nuisance`` and ``unique``.
    """
    protocol = protocols.CONTIGUOUS.name
    model = side_by_side(features.at_stimuli(recording, protocol))
    both = _explained({"model": model, **_bands(recording)}, recording)
    nuisance = _explained_by_nuisance(recording)
    owners = recording.units.participant.to_numpy()[seen_units(recording.responses.to_numpy())]
    units = pd.DataFrame({"both": both, "nuisance": nuisance, "unique": both - nuisance})
    return units.groupby(owners).median().rename_axis("participant").reset_index().assign(dataset=recording.name)


def similarities(features: Features, recording: Recording) -> pd.DataFrame:
    """Linear CKA and RSA of each layer with the responses of all participants together.

    Raw, cross-validated as Brain-Score does (`similarity.brainscore_subsets`). The paper does not say how its own are
    scaled.

    Returns
    -------
    DataFrame
        A row per layer: ``cka`` and ``rsa`` (NaN for a layer that is the same for all stimuli).
    """
    responses = _responses(protocols.AW2024.name, recording)
    subsets = similarity.brainscore_subsets(len(responses))
    metrics = {"cka": similarity.cka_patterns, "rsa": similarity.rsa_patterns}
    of_responses = {name: patterns(responses, "responses", subsets) for name, patterns in metrics.items()}

    def similarity_score(name: str, x: np.ndarray) -> float:
        is_constant = (np.ptp(x, axis=0) == 0).all() or (name == "rsa" and (np.ptp(x, axis=1) == 0).any())
        return np.nan if is_constant else similarity.agreement(metrics[name](x, layer, subsets), of_responses[name])

    rows = []
    for layer, x in features.layers.items():
        # As they are, also where the protocol would fit components of them in each training set.
        at_stimuli = volumes.parts_to_stimuli(x, recording)
        rows.append({"layer": layer} | {name: similarity_score(name, at_stimuli) for name in metrics})
    return pd.DataFrame(rows).assign(dataset=recording.name)


def side_by_side(layers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Features with the inner products of all layers side by side, each layer of one mean variance.

    Ridge knows features by their inner products alone, so that as many features as stimuli do for any number.

    Parameters
    ----------
    layers : mapping
        (n_stimuli, n_features) each, n_features may differ; a constant layer counts for nothing.

    Returns
    -------
    ndarray
        (n_stimuli, n_stimuli) X with X Xᵀ = Σ Xₗ Xₗᵀ / mean variance of Xₗ, columns of Xₗ centered.
    """
    total = 0.0
    for x in layers.values():
        centered = gram.centred(np.asarray(x, float))
        products = centered @ centered.T
        if (variance := np.trace(products) / len(products)) > 0:
            total = total + products / variance
    values, vectors = np.linalg.eigh(total)
    return vectors * np.sqrt(np.maximum(values, 0))


def _explained_by_nuisance(recording: Recording) -> np.ndarray:
    """R² of each unit by length and position alone: (n_seen_units,); kept, since all models are held against it."""

    def compute() -> tuple[dict[str, np.ndarray], dict]:
        return {"r2": _explained(_bands(recording), recording)}, {}

    arrays = {**_bands(recording), "responses": recording.responses.to_numpy()}
    identity = {"what": "nuisance", "revision": REVISION, "recording": recording.name}
    identity |= {name: store.fingerprint(values) for name, values in arrays.items()}
    return store.get("controls", identity, compute).arrays["r2"]


def _bands(recording: Recording) -> dict[str, np.ndarray]:
    covariates = controls.features(recording)
    return {name: covariates[name] for name in NUISANCE}


def _explained(bands: Mapping[str, np.ndarray], recording: Recording) -> np.ndarray:
    """R² of each unit that was seen, by `banded_ridge` on held-out blocks."""
    protocol = protocols.CONTIGUOUS.name
    responses = _responses(protocol, recording).astype(float)
    with threads(responses):
        return banded.banded_ridge(
            bands, responses, protocols.splits_of(protocol, recording), protocols.groups_of(recording), WEIGHTS
        )


def _responses(protocol: str, recording: Recording) -> np.ndarray:
    """Responses of the units that were seen, as a protocol splits them: (n_stimuli, n_seen_units)."""
    responses = volumes.responses_of(recording, protocols.resolve(protocol, recording).splits)
    return responses[:, seen_units(recording.responses.to_numpy())]
