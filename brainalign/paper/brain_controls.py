"""What takes a model's states again: one width for all, what is left beyond nuisance features, other metrics.

All go model by model through a study, and keep what they find in the store.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from brainalign import llm, store
from brainalign import study as studies
from brainalign.alignment import banded, controls, gram, protocols, similarity, volumes
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.alignment.encoding import threads
from brainalign.alignment.predictivity import seen_units
from brainalign.alignment.summary import ALL, POOLED
from brainalign.human.recording import Recording
from brainalign.paper import brain_tables
from brainalign.study import measures

REVISION = 3  # of the computations below; another number makes earlier outcomes stale
CONTROLS = ("oasm", "random")  # those of `controls.of` that can be wider than a model
NUISANCE = ("length", "position")
WEIGHTS = 4  # random ones to try, beside equal shares of every set of bands


def widths(study: studies.Study) -> dict[str, int]:
    """Features of a layer of each language model of a study."""
    table = studies.models(study)
    return {name: studies.load_model(study, name).width for name in table.index[table.origin == "model"]}


def at_width(study: studies.Study, width: int) -> pd.DataFrame:
    """Scores of models, and of wide controls, with features brought to one width by a random projection.

    Parameters
    ----------
    study : Study
    width : int
        Of every layer, at most that of the narrowest model (`widths`).

    Returns
    -------
    DataFrame
        A row per model, data set, protocol and participant (and ``pooled``): ``r`` of the chosen layer.

    Raises
    ------
    ValueError
        A model is narrower, or as in `brain_alignment`.
    """
    rows = []
    for recording in _recordings(study):
        for name, layers in _members(study, recording, CONTROLS):
            narrow = {layer: controls.project(x, width, study.seed) for layer, x in layers.items()}
            for protocol in study.protocols:
                scores = _kept("at one width", lambda *given: {"r": _scores(*given)}, narrow, recording, protocol)["r"]
                who = pd.DataFrame({"participant": [POOLED, *recording.participants], "r": scores})
                rows.append(who.assign(model=name, dataset=recording.name, protocol=protocol))
    return pd.concat(rows, ignore_index=True)


def of_layers(study: studies.Study, layers: str) -> pd.DataFrame:
    """Results of a study, as `study.results` has them, had its language models some of their layers only.

    Parameters
    ----------
    study : Study
    layers : str
        Their places in order, ``FIRST:END`` as of a slice; those of an encoder come before its decoder's.

    Raises
    ------
    ValueError
        That is no range, or one in which a model has no layer.
    """
    found = re.fullmatch(r"(-?\d*):(-?\d*)", layers)
    if not found:
        raise ValueError(f"layers are a range FIRST:END of places, such as 1:3, not {layers!r}.")
    some = slice(*(int(end) if end else None for end in found.groups()))
    rows = studies.results(study, "brain")
    tables = [rows[rows.origin != "model"]]
    about = rows.drop_duplicates("model").set_index("model")[brain_tables.ABOUT]
    for recording in studies.load_recordings(study).values():
        for name, states in _members(study, recording):
            kept = dict(list(states.items())[some])
            if not kept:
                raise ValueError(f"{name} has {len(states)} layers, and none in {layers}. Give another range.")
            scored = measures.brain(study, kept, recording, of_parts=True)
            tables.append(scored.drop(columns="analysis").assign(model=name, **about.loc[name]))
    return pd.concat(tables, ignore_index=True)


def unique_variance(study: studies.Study) -> pd.DataFrame:
    """R² of each language model beyond length (word rate) and position, on held-out stimuli whose neighbors are too.

    All layers of a model, side by side, are one band (`side_by_side`), so that no layer is chosen; see
    `banded.unique_variance`, whose second half is the same for all models.

    Returns
    -------
    DataFrame
        A row per model, data set and participant: medians over units of ``both``, ``nuisance`` and ``unique``.
    """
    rows = []
    protocol = protocols.CONTIGUOUS.name
    for recording in _recordings(study):
        owners = recording.units.participant.to_numpy()
        nuisance = _kept("nuisance", _nuisance, {}, recording, protocol)["nuisance"]
        for name, layers in _members(study, recording):
            both = _kept("beyond nuisance", _both, layers, recording, protocol)["both"]
            found = pd.DataFrame({"both": both, "nuisance": nuisance, "unique": both - nuisance})
            medians = found.groupby(owners[seen_units(recording.responses.to_numpy())]).median()
            rows.append(medians.rename_axis("participant").reset_index().assign(model=name, dataset=recording.name))
    return pd.concat(rows, ignore_index=True)


def similarities(study: studies.Study) -> pd.DataFrame:
    """Linear CKA and RSA of each trained language model's layers with the responses of all participants together.

    Raw, cross-validated as Brain-Score does (`similarity.brainscore_subsets`). The paper does not say how its own are
    scaled.

    Returns
    -------
    DataFrame
        A row per model, data set and layer: ``cka`` and ``rsa`` (NaN for a layer that is the same for all stimuli).
    """
    rows, kinds = [], studies.models(study).kind
    for recording in _recordings(study):
        for name, layers in _members(study, recording):
            if kinds[name] == "untrained":
                continue
            found = _kept("similarities", _similarities, layers, recording, protocols.AW2024.name)
            alike = pd.DataFrame({"layer": list(layers), "cka": found["cka"], "rsa": found["rsa"]})
            rows.append(alike.assign(model=name, dataset=recording.name))
    return pd.concat(rows, ignore_index=True)


def _recordings(study: studies.Study) -> list[Recording]:
    """Those that count (`brain_tables.counted`)."""
    recordings = studies.load_recordings(study)
    return [recordings[name] for name in brain_tables.counted(recordings)]


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


def _members(
    study: studies.Study, recording: Recording, wide: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """States of each language model at the parts of the text; then controls, at the stimuli."""
    table = studies.models(study)
    for name in table.index[table.origin == "model"]:
        states = llm.activations(studies.load_model(study, name), recording.passages, text=recording.name)
        yield name, {str(layer): states.sel(layer=layer).to_numpy() for layer in states.layer.to_numpy()}
    made = controls.of(recording, seed=study.seed)
    yield from ((name, {"features": made[name]}) for name in wide if name in study.controls)


def _scores(layers: Mapping[str, np.ndarray], recording: Recording, protocol: str) -> np.ndarray:
    """Score of the chosen layer: r of all units, then by participant."""
    rows = brain_alignment(_at_stimuli(layers, recording, protocol), recording, protocol)
    rows = rows[rows.chosen & (rows.region == ALL) & (rows.split == ALL)].set_index("participant")
    return rows.r.reindex([POOLED, *recording.participants]).to_numpy()


def _similarities(layers: Mapping[str, np.ndarray], recording: Recording, protocol: str) -> dict[str, np.ndarray]:
    responses = volumes.responses_of(recording, protocols.of(protocol, recording).splits)
    responses = responses[:, seen_units(recording.responses.to_numpy())]
    subsets = similarity.brainscore_subsets(len(responses))

    def alike(compare, x: np.ndarray) -> float:
        flat = (np.ptp(x, axis=0) == 0).all() or (compare is similarity.rsa and (np.ptp(x, axis=1) == 0).any())
        return np.nan if flat else compare(x, responses, subsets).score

    # As they are, also where the protocol would fit components of them in each training set.
    at_stimuli = [volumes.of_parts(x, recording) for x in layers.values()]
    metrics = {"cka": similarity.linear_cka, "rsa": similarity.rsa}
    return {name: np.array([alike(compare, x) for x in at_stimuli]) for name, compare in metrics.items()}


def _both(layers: Mapping[str, np.ndarray], recording: Recording, protocol: str) -> dict[str, np.ndarray]:
    model = side_by_side(_at_stimuli(layers, recording, protocol))
    return {"both": _explained({"model": model, **_bands(recording)}, recording, protocol)}


def _nuisance(_: Mapping, recording: Recording, protocol: str) -> dict[str, np.ndarray]:
    return {"nuisance": _explained(_bands(recording), recording, protocol)}


def _bands(recording: Recording) -> dict[str, np.ndarray]:
    of_text = controls.of(recording)
    return {name: of_text[name] for name in NUISANCE}


def _explained(bands: Mapping[str, np.ndarray], recording: Recording, protocol: str) -> np.ndarray:
    """R² of each unit that was seen, by `banded_ridge`."""
    recipe = protocols.of(protocol, recording)
    responses = volumes.responses_of(recording, recipe.splits)
    responses = responses[:, seen_units(recording.responses.to_numpy())].astype(float)
    splits, groups = protocols.splits_of(recipe, recording), protocols.groups_of(recording)
    with threads(responses):
        return banded.banded_ridge(bands, responses, splits, groups, WEIGHTS)


def _at_stimuli(layers: Mapping[str, np.ndarray], recording: Recording, protocol: str) -> dict[str, np.ndarray]:
    """Features of parts of the text brought to stimuli; a control's are there already."""
    return {
        name: x if list(layers) == ["features"] else to_stimuli(x, recording, protocol) for name, x in layers.items()
    }


def _kept(what: str, compute, layers: Mapping[str, np.ndarray], recording: Recording, protocol: str) -> dict:
    """What a computation gives, from the store if it was done before on the same features and responses."""
    content = {"recording": _hash(recording.responses.to_numpy()), "layers": {k: _hash(x) for k, x in layers.items()}}
    identity = {"what": what, "revision": REVISION, "protocol": protocol, "name": recording.name, **content}
    return store.get("controls", identity, lambda: (compute(layers, recording, protocol), {})).arrays


def _hash(values: np.ndarray) -> list:
    return [list(values.shape), values.dtype.str, hashlib.sha256(np.ascontiguousarray(values)).hexdigest()]
