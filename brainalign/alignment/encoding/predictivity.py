"""Encoding models: how well features predict responses that they were not fitted to.

`scores` is the one to call: all layers, splits and units, by least squares or ridge, the penalty chosen inside each
training set. It adds to `gram`, the solver, what responses need. `scores_of_each` is the same for noise ceilings.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from brainalign.alignment.arrays import Array, as_numpy, namespace, on
from brainalign.alignment.encoding import Penalties, fit, gram, targets, threads
from brainalign.alignment.encoding.held_out import Scores
from brainalign.alignment.encoding.splits import Split, check


def scores(
    features: Mapping[str, np.ndarray] | Iterable[np.ndarray],
    responses: np.ndarray,
    splits: Sequence[Split],
    penalties: Penalties | None = None,
    device: str | None = None,
) -> Scores:
    """How well each layer predicts each unit in each split: least squares, or ridge if there are penalties.

    b* = argmin_b ||X_tr b - Y_tr||² + alpha ||b||², with an intercept that is not penalized; least squares of minimum
    norm. Protocols, sections 3, 5 and 6.

    Parameters
    ----------
    features : mapping or iterable of ndarray
        (n_stimuli, n_features) a layer, any unit, finite; with names, errors tell them. They are taken one by one.
    responses : ndarray
        (n_stimuli, n_units) any unit. A unit may be NaN throughout. Products with them are taken in their precision,
        float32 or float64; rank and penalty are decided in float64.
    splits : sequence of Split
        Stimuli to train and to test on.
    device : str, optional
        Where torch computes, such as ``cuda``; without, numpy does.

    Raises
    ------
    ValueError
        Shapes differ, a value is not finite, nothing varies, a split is unusable, or a training set has one group.
    """
    responses = np.asarray(responses)
    if responses.ndim != 2:
        raise ValueError(f"responses have shape {responses.shape}. Give stimulus x unit.")
    check(splits, len(responses))
    seen = seen_units(responses)
    if not seen.any():
        raise ValueError("no unit has responses: all are NaN. Drop the recording.")
    penalties = _checked(penalties, splits, responses, seen)
    seen_responses = on(device, responses if seen.all() else responses[:, seen])
    layers = features.items() if isinstance(features, Mapping) else enumerate(features)
    with threads(seen_responses) as mapper:
        target = targets(seen_responses, splits, penalties, mapper)
        grams = (gram.gram(_checked_layer(name, on(device, x), seen_responses), mapper) for name, x in layers)
        result = fit(grams, target, splits, penalties, mapper)
    if not result.measured.any():
        raise ValueError("no unit varies: each has one response to all stimuli of a test set. Check the recording.")
    _warn_of_edges(result)
    return result if seen.all() else _with_missing(result, seen, penalties)


def scores_of_each(
    features: np.ndarray, responses: Sequence[np.ndarray], splits: Sequence[Split], penalties: Penalties | None = None
) -> list[np.ndarray]:
    """Pearson r, (n_splits, n_units), for each of several arrays of responses: `scores` of one layer, unchecked.

    With penalties, all units of an array share one.
    """
    owners = np.repeat(np.arange(len(responses)), [y.shape[1] for y in responses])
    penalties = penalties and replace(penalties, per="label", labels=owners)
    target = targets(np.hstack(responses), splits, penalties, map)
    r = fit([gram.gram(features)], target, splits, penalties, map).r[0]
    return np.split(r, np.flatnonzero(np.diff(owners)) + 1, axis=1)


def seen_units(responses: np.ndarray, owners: np.ndarray | None = None) -> np.ndarray:
    """Which units have responses, (n_units,), and must be finite; owners are their participants."""
    if owners is not None and (responses.ndim != 2 or owners.shape != responses.shape[1:]):
        raise ValueError(
            f"responses of shape {responses.shape} do not fit participants of shape {owners.shape}. "
            "Give stimulus x unit, and a participant for each unit."
        )
    finite = np.isfinite(responses)
    if finite.all():
        return np.ones(responses.shape[1], bool)
    seen = ~np.isnan(responses).all(axis=0)
    if not finite[:, seen].all():
        stimulus, unit = np.argwhere(~finite & seen)[0]
        owner = "" if owners is None else f" of participant {owners[unit]}"
        raise ValueError(
            f"unit {unit}{owner} is {responses[stimulus, unit]} at stimulus {stimulus}. "
            "Drop the unit, or make it NaN throughout if its participant saw none of this."
        )
    return seen


def _checked_layer(name, x: Array, responses: Array) -> Array:
    if x.ndim != 2 or len(x) != len(responses):
        raise ValueError(
            f"features of layer {name} have shape {tuple(x.shape)}, responses {tuple(responses.shape)}. "
            "Give both a row for each stimulus."
        )
    finite = namespace(x).isfinite(x)
    if not finite.all():
        stimulus, feature = np.argwhere(~as_numpy(finite))[0]
        raise ValueError(
            f"feature {feature} of layer {name} is {float(x[stimulus, feature])} at stimulus {stimulus}. "
            "Run the model in a wider precision, or leave the layer out."
        )
    if not (x != x[0]).any():
        warnings.warn(f"features of layer {name} are the same for all stimuli, and predict nothing.", stacklevel=5)
    return x


def _checked(penalties: Penalties | None, splits, responses: np.ndarray, seen: np.ndarray) -> Penalties | None:
    """The penalties of the units that have responses; labels and groups must fit."""
    if penalties is None:
        return None
    n_stimuli, n_units = responses.shape
    groups, labels = penalties.groups, penalties.labels
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n_stimuli,):
            raise ValueError(f"groups have shape {groups.shape} for {n_stimuli} stimuli. Give one for each.")
        for number, (train, _) in enumerate(splits):
            if len(np.unique(groups[train])) < 2:
                raise ValueError(
                    f"split {number} trains on one group, {groups[train[0]]}, and none can be left out to choose "
                    "a penalty. Ask for fewer stimuli in its test set, or name finer groups."
                )
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (n_units,):
            raise ValueError(f"labels have shape {labels.shape} for {n_units} units. Give one for each.")
        labels = labels[seen]
    return replace(penalties, groups=groups, labels=labels)


def _warn_of_edges(result: Scores) -> None:
    if result.chosen is None or len(result.alphas) < 3:
        return
    for edge, extreme, direction in ((0, "smallest", "down"), (len(result.alphas) - 1, "largest", "up")):
        share = np.mean(result.chosen == edge)
        if share > 0.5:
            warnings.warn(
                f"{share:.0%} of choices fell on the {extreme} penalty, {result.alphas[edge]:g}. Extend the grid "
                f"{direction}wards" + (", unless features say nothing about responses." if edge else "."),
                stacklevel=3,
            )


def _with_missing(result: Scores, seen: np.ndarray, penalties: Penalties | None) -> Scores:
    """The same with NaN for units without responses, and a choice of -1."""

    def widened(name: str) -> np.ndarray:
        values = getattr(result, name)
        wide = np.full((*values.shape[:-1], len(seen)), -1 if name == "chosen" else np.nan, values.dtype)
        wide[..., seen] = values
        return wide

    names = ["predicted", "measured", "products", "predicted_mean", "measured_mean"]
    if penalties is not None and penalties.per == "unit":
        names += ["chosen", "errors"]
    return replace(result, **{name: widened(name) for name in names})
