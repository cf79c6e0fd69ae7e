"""Fit encoding models of all layers, splits and units: `gram`, the solver, meets responses.

`predictivity.scores` checks what comes in and calls `targets` and `fit`. Here, ``mapper`` maps a function over items:
the `map` of `threads`, or the built-in one.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from brainalign.alignment.arrays import Array, as_numpy, like, namespace, precision, zeros
from brainalign.alignment.encoding import gram
from brainalign.alignment.encoding.held_out import Scores
from brainalign.alignment.encoding.splits import Split

# Units at once. Few large blocks, as many for each thread: what Python does between products costs more than what the
# cache would save.
SMALLEST, LARGEST = 512, 6144


@dataclass(frozen=True, eq=False)
class Penalties:
    """Ridge penalties, and how one is chosen in each training set: the least mean squared error of what is left out.

    The defaults are Brain-Score's. The error is the mean over left-out stimuli and over the units that share the
    penalty, in squared units of the responses: units that vary more count more.
    """

    alphas: Sequence[float] = tuple(np.logspace(-3, 3, 7))  # positive, ascending; squared units of the features, or
    relative: bool = False  # multiples of the mean eigenvalue of the centred training Gram matrix
    groups: np.ndarray | None = None  # (n_stimuli,) what is left out together, such as the story; else each stimulus
    per: Literal["all", "label", "unit"] = "all"  # who shares one: all (Brain-Score), units of a label, nobody (Wehbe)
    labels: np.ndarray | None = None  # (n_units,) such as the participant. Left-out errors are told apart by label

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


class Targets(NamedTuple):
    """Responses, what they are in each test set, and who shares a left-out error."""

    responses: Array  # (n_stimuli, n_units)
    tests: list[Array]  # stimuli of each split's test set
    rests: list[Array]  # those in neither set
    # Once `_predict` has been at the units: (n_splits, n_units) sums of squares over test stimuli, centred there, and
    # their mean, less that of the training stimuli.
    squares: np.ndarray
    means: np.ndarray
    labels: np.ndarray  # (n_units,) int
    names: np.ndarray  # (n_labels,)
    inner: Array | None  # (n_labels, n_stimuli²) float64, Y Yᵀ of a label's centred units, where that pays


@contextmanager
def threads(array: Array):
    """Threads of our own over folds and units: a BLAS's gain little on matrices this small. A device has its own."""
    if namespace(array) is not np:
        yield map
        return
    # As many as a BLAS would take: a process that was given one gains nothing from taking turns with itself.
    n = max((library["num_threads"] for library in _libraries().info()), default=os.cpu_count() or 1)
    with _libraries().limit(limits=1), ThreadPoolExecutor(n) as workers:
        yield workers.map if n > 1 else map


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS's of numpy and scipy: to find them takes longer than some fits."""
    return ThreadpoolController()


def targets(responses: Array, splits: Sequence[Split], penalties: Penalties | None, mapper: Callable) -> Targets:
    """What all layers share; ``responses`` are (n_stimuli, n_units), finite."""
    n, n_units = responses.shape
    responses = like(responses, responses, precision(responses))
    tests = [like(test, responses) for _, test in splits]
    rests = [like(gram.unused_stimuli(n, *split), responses) for split in splits]
    squares, means = np.empty((2, len(splits), n_units), precision(responses))

    def inner_products(label: int) -> Array:
        label_responses = responses[:, like(np.flatnonzero(labels == label), responses)]
        label_responses = gram.centred(like(label_responses, responses, "float64"))
        return (label_responses @ label_responses.T).reshape(-1)

    labels = np.zeros(n_units, int) if penalties is None or penalties.labels is None else penalties.labels
    names, labels = np.unique(labels, return_inverse=True)
    worth = penalties is not None and penalties.per != "unit" and n_units >= 2 * n
    inner = namespace(responses).stack(list(mapper(inner_products, range(len(names))))) if worth else None
    return Targets(responses, tests, rests, squares, means, labels, names, inner)


def fit(
    layers: Iterable[gram.Gram], target: Targets, splits: Sequence[Split], penalties: Penalties | None, mapper: Callable
) -> Scores:
    """Fit and predict layer after layer; `Penalties` of the units that `targets` were made of."""
    fits, pairs = [], []
    for layer in layers:
        sums = {name: np.empty_like(target.squares) for name in ("predicted", "products", "predicted_mean")}
        if penalties is None:
            rows, choices = _least_squares(layer, target, splits, mapper), {}
        else:
            rows, choices = _ridge(layer, target, splits, penalties, mapper, sums)
        if rows is not None:
            pairs.append((rows, sums))
        fits.append(sums | choices)
    if pairs:  # all layers at once: responses are in the cache
        _predict(pairs, range(len(splits)), slice(None), target, mapper)
    by_layer = {name: np.stack([layer_fit[name] for layer_fit in fits]) for name in fits[0]}
    if penalties is not None:
        by_layer["alphas"] = np.asarray(penalties.alphas, float)
        by_layer["labels"] = None if penalties.labels is None or penalties.per == "unit" else target.names
    n_test = np.array([len(test) for _, test in splits])
    return Scores(measured=target.squares[None], measured_mean=target.means[None], n_test=n_test, **by_layer)


def _least_squares(layer: gram.Gram, target: Targets, splits: Sequence[Split], mapper: Callable) -> Array:
    mapper = mapper if layer.inverse is None else map  # with an inverse a split has too little work for a thread
    return _stacked(mapper(lambda split: _rows(gram.least_squares(layer, *split), *split, target), splits))


def _ridge(
    layer: gram.Gram, target: Targets, splits: Sequence[Split], penalties: Penalties, mapper: Callable, sums: dict
) -> tuple[Array | None, dict[str, np.ndarray]]:
    """What was chosen, and rows of all splits; where units differ in their penalties, their sums are entered."""

    def solve_split(split: Split):
        spectrum = gram.spectrum(layer, *split)
        scale = float(spectrum.w.sum()) / len(split[0]) if penalties.relative else 1
        alphas = np.asarray(penalties.alphas, float) * scale
        return spectrum, alphas, _left_out(spectrum, alphas, split[0], target, penalties)

    spectra, alphas, errors = zip(*mapper(solve_split, splits), strict=True)
    errors = np.stack(errors)  # (n_splits, n_alphas, n_labels or n_units)
    shared = (errors @ np.bincount(target.labels))[..., None] if penalties.per == "all" else errors
    chosen = shared.argmin(axis=1)
    choices = {"chosen": chosen, "errors": errors}

    def rows(subset: Sequence[int], combination: np.ndarray) -> Array:
        return _stacked(
            _rows(gram.ridge(spectra[split], alphas[split][alpha]), *splits[split], target)
            for split, alpha in zip(subset, combination, strict=True)
        )

    if chosen.shape[1] == 1:
        return rows(range(len(splits)), chosen[:, 0]), choices
    by_unit = chosen[:, target.labels] if penalties.per == "label" else chosen
    # Units that share their penalties in all splits share one product; few do where each has its own.
    subsets = [[split] for split in range(len(splits))] if penalties.per == "unit" else [range(len(splits))]
    for subset in subsets:
        combinations, membership = np.unique(by_unit[subset], axis=1, return_inverse=True)
        for number, combination in enumerate(combinations.T):
            _predict([(rows(subset, combination), sums)], subset, np.flatnonzero(membership == number), target, mapper)
    return None, choices


def _left_out(
    spectrum: gram.Spectrum, alphas: np.ndarray, train: np.ndarray, target: Targets, penalties: Penalties
) -> np.ndarray:
    """Mean squared left-out errors, (n_alphas, n_labels or n_units)."""
    parts = gram.parts(penalties.groups, train)
    counts, n = np.bincount(target.labels), len(target.responses)
    if target.inner is not None:
        forms = gram.left_out_forms(spectrum, alphas, parts)
        matrices = zeros((len(alphas), n * n), forms)
        matrices[:, like((train[:, None] * n + train).reshape(-1), forms)] = forms.reshape(len(alphas), -1)
        return as_numpy(matrices @ target.inner.T) / (len(train) * counts)
    errors = as_numpy(gram.left_out_errors(spectrum, alphas, parts, target.responses[like(train, target.responses)]))
    if penalties.per == "unit":
        return errors / len(train)
    return np.stack([np.bincount(target.labels, unit_errors) for unit_errors in errors]) / (len(train) * counts)


def _rows(weights: Array, train: np.ndarray, test: np.ndarray, target: Targets) -> Array:
    """Weights over all stimuli, centred in the test set, and below them their mean: (n_test + 1, n_stimuli)."""
    mean = weights.mean(axis=0)
    rows = zeros((len(test) + 1, len(target.responses)), weights)
    train = like(train, weights)
    rows[:-1, train] = weights - mean
    rows[-1, train] = mean
    return like(rows, target.responses, precision(target.responses))


def _stacked(rows: Iterable[Array]) -> Array:
    rows = list(rows)
    return namespace(rows[0]).concatenate(rows)


def _predict(
    layers: Sequence[tuple[Array, dict[str, np.ndarray]]],
    subset: Sequence[int],
    units: slice | np.ndarray,
    target: Targets,
    mapper: Callable,
) -> None:
    """Enter sums over test stimuli, of these splits and units: a layer's `_rows` and where its sums go."""
    stops = np.cumsum([len(target.tests[split]) + 1 for split in subset])
    xp = namespace(target.responses)
    units = np.arange(len(target.labels))[units]

    def predict_block(block: slice):
        columns = units[block]
        if columns[-1] - columns[0] == len(columns) - 1:  # neighbors: a view where others are a copy
            columns = slice(columns[0], columns[-1] + 1)
        y = gram.centred(
            target.responses[:, columns if isinstance(columns, slice) else like(columns, target.responses)]
        )
        measured = [_measure(y, split, columns, target) for split in subset]
        for rows, sums in layers:
            predicted = rows @ y
            for split, test, stop in zip(subset, measured, stops, strict=True):
                x = predicted[stop - 1 - len(test) : stop - 1]
                sums["predicted"][split, columns] = as_numpy(xp.einsum("ij,ij->j", x, x))
                sums["products"][split, columns] = as_numpy(xp.einsum("ij,ij->j", x, test))
                sums["predicted_mean"][split, columns] = as_numpy(predicted[stop - 1])

    list(mapper(predict_block, _blocks(len(units))))


def _measure(y: Array, split: int, columns: slice | np.ndarray, target: Targets) -> Array:
    """Responses in a test set, centred there: ``y`` are those to all stimuli, centred, of the units ``columns``."""
    test = y[target.tests[split]]
    mean = test.mean(axis=0)
    test -= mean
    target.squares[split, columns] = as_numpy(namespace(y).einsum("ij,ij->j", test, test))
    # All responses sum to zero, so that those of no training stimulus give the sum of the others.
    rest, total = target.rests[split], mean * len(test)
    if len(rest):
        total += y[rest].sum(axis=0)
    target.means[split, columns] = as_numpy(mean + total / (len(y) - len(test) - len(rest)))
    return test


def _blocks(n_units: int) -> list[slice]:
    """Blocks of about the same size, a multiple of the threads unless they would be very small."""
    workers = os.cpu_count() or 1
    n_blocks = min(workers * math.ceil(n_units / LARGEST / workers), math.ceil(n_units / SMALLEST))
    edges = np.linspace(0, n_units, n_blocks + 1).astype(int)
    return [slice(*edge) for edge in itertools.pairwise(edges)]
