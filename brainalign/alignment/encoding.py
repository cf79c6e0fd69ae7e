"""Fit encoding models of all layers, splits and units: `gram`, the solver, meets responses.

`predictivity.scores` checks what comes in and calls `targets` and `fit`. Here, ``each`` maps a function over items:
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

from brainalign.alignment import gram
from brainalign.alignment.arrays import Array, as_numpy, like, namespace, precision, zeros
from brainalign.alignment.held_out import Scores
from brainalign.alignment.splits import Split

# Units at once. Few large blocks, as many for each thread: what Python does between products costs more than what the
# cache would save.
SMALLEST, LARGEST = 512, 6144


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


class Targets(NamedTuple):
    """Responses, what they are in each test set, and who shares a left-out error.

    ``responses``: (n_stimuli, n_units). ``tests``, ``rests``: stimuli of each split's test set, and those in neither
    set. ``squares``, ``means``: (n_splits, n_units) sums of squares over test stimuli, centred there; their mean, less
    that of the training stimuli: both known once `_predict` has been at the units. ``labels``: (n_units,) int.
    ``names``: (n_labels,). ``inner``: (n_labels, n_stimuli²) float64, Y Yᵀ of a label's centred units; None where
    that does not pay, or is of no use.
    """

    responses: Array
    tests: list[Array]
    rests: list[Array]
    squares: np.ndarray
    means: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    inner: Array | None


@contextmanager
def threads(array: Array):
    """Threads of our own over folds and units: a BLAS's gain little on matrices this small. A device has its own."""
    if namespace(array) is not np:
        yield map
        return
    n = n_threads()
    with _libraries().limit(limits=1), ThreadPoolExecutor(n) as workers:
        yield workers.map if n > 1 else map


def n_threads() -> int:
    """As many as a BLAS would take: a process that was given one gains nothing from taking turns with itself."""
    return max((library["num_threads"] for library in _libraries().info()), default=os.cpu_count() or 1)


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS's of numpy and scipy: to find them takes longer than some fits."""
    return ThreadpoolController()


def targets(responses: Array, splits: Sequence[Split], penalties: Penalties | None, each: Callable) -> Targets:
    """What all layers share; ``responses`` are (n_stimuli, n_units), finite."""
    n, n_units = responses.shape
    responses = like(responses, responses, precision(responses))
    tests = [like(test, responses) for _, test in splits]
    rests = [like(gram.in_neither(n, *split), responses) for split in splits]
    squares, means = np.empty((2, len(splits), n_units), precision(responses))

    def products_of(label: int) -> Array:
        own = responses[:, like(np.flatnonzero(labels == label), responses)]
        own = gram.centred(like(own, responses, "float64"))
        return (own @ own.T).reshape(-1)

    labels = np.zeros(n_units, int) if penalties is None or penalties.labels is None else penalties.labels
    names, labels = np.unique(labels, return_inverse=True)
    worth = penalties is not None and penalties.per != "unit" and n_units >= 2 * n
    inner = namespace(responses).stack(list(each(products_of, range(len(names))))) if worth else None
    return Targets(responses, tests, rests, squares, means, labels, names, inner)


def fit(
    layers: Iterable[gram.Gram], to: Targets, splits: Sequence[Split], penalties: Penalties | None, each: Callable
) -> Scores:
    """Fit and predict layer after layer; `Penalties` of the units that `targets` were made of."""
    fits, whole = [], []
    for layer in layers:
        sums = {name: np.empty_like(to.squares) for name in ("predicted", "both", "predicted_mean")}
        if penalties is None:
            rows, found = _least_squares(layer, to, splits, each), {}
        else:
            rows, found = _ridge(layer, to, splits, penalties, each, sums)
        if rows is not None:
            whole.append((rows, sums))
        fits.append(sums | found)
    if whole:  # all layers at once: responses are in the cache
        _predict(whole, range(len(splits)), slice(None), to, each)
    of_layers = {name: np.stack([of_layer[name] for of_layer in fits]) for name in fits[0]}
    if penalties is not None:
        of_layers["alphas"] = np.asarray(penalties.alphas, float)
        of_layers["labels"] = None if penalties.labels is None or penalties.per == "unit" else to.names
    n_test = np.array([len(test) for _, test in splits])
    return Scores(measured=to.squares[None], measured_mean=to.means[None], n_test=n_test, **of_layers)


def _least_squares(layer: gram.Gram, to: Targets, splits: Sequence[Split], each: Callable) -> Array:
    each = each if layer.inverse is None else map  # with an inverse a split has too little work for a thread
    return _below(each(lambda split: _rows(gram.least_squares(layer, *split), *split, to), splits))


def _ridge(
    layer: gram.Gram, to: Targets, splits: Sequence[Split], penalties: Penalties, each: Callable, sums: dict
) -> tuple[Array | None, dict[str, np.ndarray]]:
    """What was chosen, and rows of all splits; where units differ in their penalties, their sums are entered."""

    def of_split(split: Split):
        spectrum = gram.spectrum(layer, *split)
        scale = float(spectrum.w.sum()) / len(split[0]) if penalties.relative else 1
        alphas = np.asarray(penalties.alphas, float) * scale
        return spectrum, alphas, _left_out(spectrum, alphas, split[0], to, penalties)

    spectra, alphas, errors = zip(*each(of_split, splits), strict=True)
    errors = np.stack(errors)  # (n_splits, n_alphas, n_labels or n_units)
    shared = (errors @ np.bincount(to.labels))[..., None] if penalties.per == "all" else errors
    chosen = shared.argmin(axis=1)
    found = {"chosen": chosen, "errors": errors}

    def rows(some: Sequence[int], combination: np.ndarray) -> Array:
        return _below(
            _rows(gram.ridge(spectra[split], alphas[split][alpha]), *splits[split], to)
            for split, alpha in zip(some, combination, strict=True)
        )

    if chosen.shape[1] == 1:
        return rows(range(len(splits)), chosen[:, 0]), found
    of_units = chosen[:, to.labels] if penalties.per == "label" else chosen
    # Units that share their penalties in all splits share one product; few do where each has its own.
    together = [[split] for split in range(len(splits))] if penalties.per == "unit" else [range(len(splits))]
    for some in together:
        combinations, of = np.unique(of_units[some], axis=1, return_inverse=True)
        for number, combination in enumerate(combinations.T):
            _predict([(rows(some, combination), sums)], some, np.flatnonzero(of == number), to, each)
    return None, found


def _left_out(
    spectrum: gram.Spectrum, alphas: np.ndarray, train: np.ndarray, to: Targets, penalties: Penalties
) -> np.ndarray:
    """Mean squared left-out errors, (n_alphas, n_labels or n_units)."""
    parts = gram.parts(penalties.groups, train)
    counts, n = np.bincount(to.labels), len(to.responses)
    if to.inner is not None:
        forms = gram.left_out_forms(spectrum, alphas, parts)
        whole = zeros((len(alphas), n * n), forms)
        whole[:, like((train[:, None] * n + train).reshape(-1), forms)] = forms.reshape(len(alphas), -1)
        return as_numpy(whole @ to.inner.T) / (len(train) * counts)
    errors = as_numpy(gram.left_out_errors(spectrum, alphas, parts, to.responses[like(train, to.responses)]))
    if penalties.per == "unit":
        return errors / len(train)
    return np.stack([np.bincount(to.labels, of_alpha) for of_alpha in errors]) / (len(train) * counts)


def _rows(weights: Array, train: np.ndarray, test: np.ndarray, to: Targets) -> Array:
    """Weights over all stimuli, centred in the test set, and below them their mean: (n_test + 1, n_stimuli)."""
    mean = weights.mean(axis=0)
    rows = zeros((len(test) + 1, len(to.responses)), weights)
    train = like(train, weights)
    rows[:-1, train] = weights - mean
    rows[-1, train] = mean
    return like(rows, to.responses, precision(to.responses))


def _below(rows: Iterable[Array]) -> Array:
    rows = list(rows)
    return namespace(rows[0]).concatenate(rows)


def _predict(
    layers: Sequence[tuple[Array, dict[str, np.ndarray]]],
    some: Sequence[int],
    units: slice | np.ndarray,
    to: Targets,
    each: Callable,
) -> None:
    """Enter sums over test stimuli, of the splits ``some`` and these units: a layer's `_rows` and where its sums go."""
    stops = np.cumsum([len(to.tests[split]) + 1 for split in some])
    xp = namespace(to.responses)
    units = np.arange(len(to.labels))[units]

    def of_block(block: slice):
        own = units[block]
        if own[-1] - own[0] == len(own) - 1:  # neighbors: a view where others are a copy
            own = slice(own[0], own[-1] + 1)
        y = gram.centred(to.responses[:, own if isinstance(own, slice) else like(own, to.responses)])
        measured = [_measure(y, split, own, to) for split in some]
        for rows, sums in layers:
            predicted = rows @ y
            for split, test, stop in zip(some, measured, stops, strict=True):
                x = predicted[stop - 1 - len(test) : stop - 1]
                sums["predicted"][split, own] = as_numpy(xp.einsum("ij,ij->j", x, x))
                sums["both"][split, own] = as_numpy(xp.einsum("ij,ij->j", x, test))
                sums["predicted_mean"][split, own] = as_numpy(predicted[stop - 1])

    list(each(of_block, _blocks(len(units))))


def _measure(y: Array, split: int, own: slice | np.ndarray, to: Targets) -> Array:
    """Responses in a test set, centred there: ``y`` are those to all stimuli, centred, of the units ``own``."""
    test = y[to.tests[split]]
    mean = test.mean(axis=0)
    test -= mean
    to.squares[split, own] = as_numpy(namespace(y).einsum("ij,ij->j", test, test))
    # All responses sum to zero, so that those of no training stimulus give the sum of the others.
    rest, others = to.rests[split], mean * len(test)
    if len(rest):
        others += y[rest].sum(axis=0)
    to.means[split, own] = as_numpy(mean + others / (len(y) - len(test) - len(rest)))
    return test


def _blocks(n_units: int) -> list[slice]:
    """Blocks of about the same size, a multiple of the threads unless they would be very small."""
    workers = os.cpu_count() or 1
    n_blocks = min(workers * math.ceil(n_units / LARGEST / workers), math.ceil(n_units / SMALLEST))
    edges = np.linspace(0, n_units, n_blocks + 1).astype(int)
    return [slice(*edge) for edge in itertools.pairwise(edges)]
