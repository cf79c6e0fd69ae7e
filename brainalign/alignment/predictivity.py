"""Encoding models: how well features predict responses that they were not fitted to.

`scores` is the one to call: all layers, splits and units, by least squares or ridge, the penalty chosen inside each
training set. It adds to `gram`, the solver, what responses need. `least_squares` and `ridge` are the same as metrics
of a noise ceiling.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from brainalign.alignment import gram
from brainalign.alignment.arrays import Array, as_array, as_numpy, like, namespace, place, precision, zeros
from brainalign.alignment.held_out import Scores
from brainalign.alignment.splits import Split, check

BLOCK = 1024  # units at once: their responses and predictions stay in the cache
Metric = Callable[[np.ndarray, Sequence[np.ndarray], Sequence[Split]], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Penalties:
    """Ridge penalties, and how one is chosen in each training set: the least mean squared error of what is left out.

    The defaults are Brain-Score's. The error is the mean over left-out stimuli and over the units that share the
    penalty, in squared units of the responses: units that vary more count more.

    Attributes
    ----------
    alphas : sequence of float
        Positive, ascending; squared units of the features.
    relative : bool
        Whether they are multiples of the mean eigenvalue of the centred training Gram matrix instead.
    groups : ndarray, optional
        (n_stimuli,) what is left out together, such as the story; without, each stimulus is left out alone.
    per : {"all", "label", "unit"}
        Who shares a penalty: all units (Brain-Score), those of a label, or nobody (Wehbe).
    labels : ndarray, optional
        (n_units,) such as the participant. Left-out errors are told apart by label.
    """

    alphas: Sequence[float] = tuple(np.logspace(-3, 3, 7))
    relative: bool = False
    groups: np.ndarray | None = None
    per: Literal["all", "label", "unit"] = "all"
    labels: np.ndarray | None = None

    def __post_init__(self):
        alphas = np.asarray(self.alphas, float)
        if alphas.ndim != 1 or not len(alphas) or not (alphas > 0).all() or not np.isfinite(alphas).all():
            raise ValueError(f"penalties must be positive numbers, got {self.alphas}. Least squares takes none.")
        if (np.diff(alphas) <= 0).any():
            raise ValueError(f"penalties must ascend, got {self.alphas}. Sort them.")
        if self.per not in ("all", "label", "unit"):
            raise ValueError(f"per must be 'all', 'label' or 'unit', got {self.per!r}.")
        if self.per == "label" and self.labels is None:
            raise ValueError("a penalty per label takes labels, a label for each unit. Give them, or per='all'.")


def scores(
    features: Mapping[str, Array] | Iterable[Array],
    responses: Array,
    splits: Sequence[Split],
    penalties: Penalties | None = None,
) -> Scores:
    """How well each layer predicts each unit in each split: least squares, or ridge if there are penalties.

    b* = argmin_b ||X_tr b - Y_tr||² + alpha ||b||², with an intercept that is not penalized; least squares of minimum
    norm. Protocols, sections 3, 5 and 6. Runs where the arrays are: numpy, or torch on any device.

    Parameters
    ----------
    features : mapping or iterable of ndarray or Tensor
        (n_stimuli, n_features) a layer, any unit, finite; with names, errors tell them. They are taken one by one.
    responses : ndarray or Tensor
        (n_stimuli, n_units) any unit. A unit may be NaN throughout. Products with them are taken in their precision,
        float32 or float64; rank and penalty are decided in float64.
    splits : sequence of Split
        Stimuli to train and to test on.
    penalties : Penalties, optional

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        Shapes differ, a value is not finite, nothing varies, a split is unusable, or a training set has one group.
    """
    responses = as_array(responses)
    if responses.ndim != 2:
        raise ValueError(f"responses have shape {tuple(responses.shape)}. Give stimulus x unit.")
    check(splits, len(responses))
    seen = seen_units(as_numpy(responses))
    if not seen.any():
        raise ValueError("no unit has responses: all are NaN. Drop the recording.")
    penalties = _checked(penalties, splits, responses, seen)
    with _threads(responses) as each:
        targets = _targets(responses[:, like(np.flatnonzero(seen), responses)], splits, each)
        if not as_numpy(abs(targets.responses).max()) > 0:
            raise ValueError("no unit varies: each has one response to all stimuli. Check the recording.")
        named = features.items() if isinstance(features, Mapping) else enumerate(features)
        result = _scores((_layer(name, x, responses) for name, x in named), targets, splits, penalties, each)
    _warn_of_edges(result)
    return result if seen.all() else _with_missing(result, seen)


def seen_units(responses: np.ndarray, owners: np.ndarray | None = None) -> np.ndarray:
    """Which units have responses, (n_units,); those must be finite."""
    finite, seen = np.isfinite(responses), ~np.isnan(responses).all(axis=0)
    if not finite[:, seen].all():
        stimulus, unit = np.argwhere(~finite & seen)[0]
        owner = "" if owners is None else f" of participant {owners[unit]}"
        raise ValueError(
            f"unit {unit}{owner} is {responses[stimulus, unit]} at stimulus {stimulus}. "
            "Drop the unit, or make it NaN throughout if its participant saw none of this."
        )
    return seen


def least_squares(features: np.ndarray, responses: Sequence[np.ndarray], splits: Sequence[Split]) -> list[np.ndarray]:
    """Linear predictivity, as `scores`: the metric of a ceiling, of one layer and unchecked.

    Parameters
    ----------
    features : ndarray
        (n_stimuli, n_features) any unit.
    responses : sequence of ndarray
        (n_stimuli, n_units) each, any unit, finite.
    splits : sequence of Split

    Returns
    -------
    list of ndarray
        (n_splits, n_units) Pearson r, an array for each of the responses.
    """
    return _metric(features, responses, splits, None)


def ridge(
    features: np.ndarray,
    responses: Sequence[np.ndarray],
    splits: Sequence[Split],
    alphas: Sequence[float] = Penalties.alphas,
    groups: np.ndarray | None = None,
    relative: bool = False,
) -> list[np.ndarray]:
    """Ridge predictivity, as `scores`: the metric of a ceiling. All units of an array share a penalty.

    Parameters
    ----------
    features, responses, splits
        As in `least_squares`.
    alphas, groups, relative
        As in `Penalties`.

    Returns
    -------
    list of ndarray
        (n_splits, n_units) Pearson r, an array for each of the responses.

    Raises
    ------
    ValueError
        A penalty is not positive.
    """
    owners = np.repeat(np.arange(len(responses)), [y.shape[1] for y in responses])
    return _metric(features, responses, splits, Penalties(alphas, relative, groups, "label", owners))


def _metric(features, responses, splits, penalties) -> list[np.ndarray]:
    targets = _targets(np.hstack(responses), splits, map)
    r = _scores([gram.gram(features)], targets, splits, penalties, map).r[0]
    return np.split(r, np.cumsum([y.shape[1] for y in responses])[:-1], axis=1)


# How it is done. `each` maps a function over items: in threads, or as the built-in `map`.


class _Targets(NamedTuple):
    """Centred responses (n_stimuli, n_units), and those of all test sets, centred there, one below the other."""

    responses: Array
    test: list[Array]
    squares: np.ndarray  # (n_splits, n_units) sums over test stimuli
    means: np.ndarray  # (n_splits, n_units) of the test set less that of the training set


@contextmanager
def _threads(array: Array):
    """Threads of our own over folds and units: a BLAS's gain little on matrices this small. A device has its own."""
    if namespace(array) is not np:
        yield map
        return
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as workers:
        yield workers.map


def _blocks(n_units: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n_units, BLOCK)]


def _targets(responses: Array, splits: Sequence[Split], each) -> _Targets:
    responses = like(responses, responses, precision(responses))

    def of_block(units: slice):
        y = gram.centred(responses[:, units])
        test = [y[like(test, y)] for _, test in splits]
        # Sums over the training set from those over the rest of it: the total is zero.
        means = [rows.mean(axis=0) for rows in test]
        train = [y[like(train, y)].mean(axis=0) for train, _ in splits]
        test = [rows - mean for rows, mean in zip(test, means, strict=True)]
        squares = [(rows * rows).sum(axis=0) for rows in test]
        stack = namespace(y).stack
        return y, test, as_numpy(stack(squares)), as_numpy(stack(means) - stack(train))

    y, test, squares, means = zip(*each(of_block, _blocks(responses.shape[1])), strict=True)
    xp = namespace(responses)
    test = [xp.concatenate(rows, axis=1) for rows in zip(*test, strict=True)]
    return _Targets(xp.concatenate(y, axis=1), test, np.concatenate(squares, axis=1), np.concatenate(means, axis=1))


def _scores(layers: Iterable[gram.Gram], targets: _Targets, splits, penalties: Penalties | None, each) -> Scores:
    if penalties is None:
        fits = [_least_squares(layer, targets, splits, each) for layer in layers]
    else:
        inner = _inner(targets, penalties, each)
        fits = [_ridge(layer, targets, splits, penalties, inner, each) for layer in layers]
    sums = {name: np.stack([fit[name] for fit in fits]) for name in fits[0]}
    measured = {"measured": targets.squares[None], "measured_mean": targets.means[None]}
    n_test = np.array([len(test) for _, test in splits])
    if penalties is None:
        return Scores(**sums, **measured, n_test=n_test)
    labels = None if penalties.labels is None or penalties.per == "unit" else np.unique(penalties.labels)
    return Scores(**sums, **measured, n_test=n_test, alphas=np.asarray(penalties.alphas, float), labels=labels)


def _least_squares(layer: gram.Gram, targets: _Targets, splits, each) -> dict[str, np.ndarray]:
    weights = each(lambda split: _rows(gram.least_squares(layer, *split), *split, targets), splits)
    return _predict(list(weights), range(len(splits)), None, targets, each)


def _ridge(layer: gram.Gram, targets: _Targets, splits, penalties: Penalties, inner, each) -> dict[str, np.ndarray]:
    n_units = targets.responses.shape[1]

    def of_split(split: Split):
        spectrum = gram.spectrum(layer, *split)
        scale = float(spectrum.w.sum()) / len(split[0]) if penalties.relative else 1
        alphas = np.asarray(penalties.alphas, float) * scale
        return spectrum, alphas, _left_out(spectrum, alphas, split[0], targets, penalties, inner)

    spectra, alphas, errors = zip(*each(of_split, splits), strict=True)
    errors = np.stack(errors)  # (n_splits, n_alphas, n_labels or n_units)
    if penalties.per == "all":
        counts = np.bincount(_labelled(penalties, n_units))
        chosen = (errors @ counts).argmin(axis=1)[:, None]
        of_units = np.broadcast_to(chosen, (len(splits), n_units))
    else:
        chosen = errors.argmin(axis=1)
        of_units = chosen if penalties.per == "unit" else chosen[:, _labelled(penalties, n_units)]

    # Units that share their penalties in all splits share one product; few do where each has its own.
    together = [[split] for split in range(len(splits))] if penalties.per == "unit" else [range(len(splits))]
    sums = None
    for some in together:
        combinations, of = np.unique(of_units[list(some)], axis=1, return_inverse=True)
        for number, combination in enumerate(combinations.T):
            rows = [
                _rows(gram.ridge(spectra[split], alphas[split][alpha]), *splits[split], targets)
                for split, alpha in zip(some, combination, strict=True)
            ]
            units = None if combinations.shape[1] == 1 else np.flatnonzero(of == number)
            sums = _predict(rows, some, units, targets, each, sums)
    return sums | {"chosen": chosen, "errors": errors}


def _labelled(penalties: Penalties, n_units: int) -> np.ndarray:
    """For each unit, the number of its label."""
    if penalties.labels is None:
        return np.zeros(n_units, int)
    return np.unique(penalties.labels, return_inverse=True)[1]


def _inner(targets: _Targets, penalties: Penalties, each) -> Array | None:
    """Y Yᵀ of each label, (n_labels, n_stimuli²) float64; None where units are too few for it to pay, or asked for."""
    y = targets.responses
    labels = _labelled(penalties, y.shape[1])
    if penalties.per == "unit" or y.shape[1] < 2 * len(y):
        return None

    def of_label(label: int):
        own = like(y[:, like(np.flatnonzero(labels == label), y)], y, "float64")
        return (own @ own.T).reshape(-1)

    return namespace(y).stack(list(each(of_label, range(labels.max() + 1))))


def _left_out(spectrum, alphas, train, targets: _Targets, penalties: Penalties, inner) -> np.ndarray:
    """Mean squared left-out errors, (n_alphas, n_labels or n_units)."""
    parts = gram.parts(penalties.groups, train)
    y, n = targets.responses, len(targets.responses)
    labels = _labelled(penalties, y.shape[1])
    if inner is None:
        errors = as_numpy(gram.left_out_errors(spectrum, alphas, parts, y[like(train, y)])) / len(train)
        if penalties.per == "unit":
            return errors
        sums = np.stack([np.bincount(labels, weights=of_units) for of_units in errors])
        return sums / np.bincount(labels)
    forms = gram.left_out_forms(spectrum, alphas, parts)
    whole = zeros((len(alphas), n * n), forms)
    flat = like((train[:, None] * n + train).reshape(-1), forms)
    whole[:, flat] = forms.reshape(len(alphas), -1)
    return as_numpy(whole @ inner.T) / (len(train) * np.bincount(labels))


def _rows(weights: Array, train: np.ndarray, test: np.ndarray, targets: _Targets) -> Array:
    """Weights over all stimuli, centred in the test set, and below them their mean: (n_test + 1, n_stimuli)."""
    n = len(targets.responses)
    mean = weights.mean(axis=0)
    rows = zeros((len(test) + 1, n), weights)
    train = like(train, weights)
    rows[:-1, train] = weights - mean
    rows[-1, train] = mean
    return like(rows, targets.responses, precision(targets.responses))


def _predict(
    rows: list[Array], some: Sequence[int], units, targets: _Targets, each, sums=None
) -> dict[str, np.ndarray]:
    """Sums over test stimuli for the splits ``some`` and the units, all if None, entered into ``sums``."""
    n_splits, n_units = targets.squares.shape
    xp = namespace(rows[0])
    edges = np.cumsum([0, *(len(of_split) for of_split in rows)])
    rows = xp.concatenate(rows)
    if sums is None:
        names = ("predicted", "both", "predicted_mean")
        sums = {name: np.empty((n_splits, n_units), targets.squares.dtype) for name in names}
    units = np.arange(n_units) if units is None else units

    def of_block(block: slice):
        own = units[block]
        # Neighbours are a view, others a copy.
        index = slice(own[0], own[-1] + 1) if own[-1] - own[0] == len(own) - 1 else like(own, rows)
        predicted = rows @ targets.responses[:, index]
        for split, start, stop in zip(some, edges, edges[1:], strict=False):
            x, y = predicted[start : stop - 1], targets.test[split][:, index]
            sums["predicted"][split, own] = as_numpy((x * x).sum(axis=0))
            sums["both"][split, own] = as_numpy((x * y).sum(axis=0))
            sums["predicted_mean"][split, own] = as_numpy(predicted[stop - 1])

    list(each(of_block, _blocks(len(units))))
    return sums


# At the edge


def _layer(name, features: Array, responses: Array) -> gram.Gram:
    x = as_array(features)
    if x.ndim != 2 or len(x) != len(responses):
        raise ValueError(
            f"features of layer {name} have shape {tuple(x.shape)}, responses {tuple(responses.shape)}. "
            "Give both a row for each stimulus."
        )
    if place(x) != place(responses):
        raise ValueError(f"features of layer {name} are {place(x)}, responses {place(responses)}. Move one of them.")
    finite = namespace(x).isfinite(x)
    if not finite.all():
        stimulus, feature = np.argwhere(~as_numpy(finite))[0]
        raise ValueError(
            f"feature {feature} of layer {name} is {float(x[stimulus, feature])} at stimulus {stimulus}. "
            "Run the model in a wider precision, or leave the layer out."
        )
    if not (x != x[0]).any():
        warnings.warn(f"features of layer {name} are the same for all stimuli, and predict nothing.", stacklevel=4)
    return gram.gram(x)


def _checked(penalties: Penalties | None, splits, responses: Array, seen: np.ndarray) -> Penalties | None:
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
    for edge, which, way in ((0, "smallest", "down"), (len(result.alphas) - 1, "largest", "up")):
        share = np.mean(result.chosen == edge)
        if share > 0.5:
            warnings.warn(
                f"{share:.0%} of choices fell on the {which} penalty, {result.alphas[edge]:g}. Extend the grid "
                f"{way}wards" + (", unless features say nothing about responses." if edge else "."),
                stacklevel=3,
            )


def _with_missing(result: Scores, seen: np.ndarray) -> Scores:
    """The same with NaN for units without responses, and a choice of -1."""

    def widened(values, missing):
        wide = np.full((*values.shape[:-1], len(seen)), missing, values.dtype)
        wide[..., seen] = values
        return wide

    changed = {
        name: widened(getattr(result, name), np.nan)
        for name in ("predicted", "measured", "both", "predicted_mean", "measured_mean")
    }
    if result.chosen is not None and result.labels is None and result.chosen.shape[-1] == seen.sum() != 1:
        changed |= {"chosen": widened(result.chosen, -1), "errors": widened(result.errors, np.nan)}
    return replace(result, **changed)
