"""Splits of the stimuli into training and test sets, as lists of pairs of index arrays.

Which split a score uses decides what it means. Sentences of a passage resemble each other and follow each
other in time: under `shuffled` splits the neighbours of a test sentence are in the training set, and features
that know nothing but who is whose neighbour score well (protocols, section 11). `grouped` and `contiguous` keep
neighbours together.
"""

import itertools
from collections.abc import Sequence
from functools import reduce

import numpy as np

Split = tuple[np.ndarray, np.ndarray]  # (n_train,) and (n_test,) indices of stimuli


def shuffled(n_stimuli: int, n_splits: int = 10, train_size: float = 0.9) -> list[Split]:
    """Random splits as in ``aw2024`` and Brain-Score's linear benchmarks: `ShuffleSplit(10, train_size=.9)`.

    The seed, Brain-Score's, picks positions in the recording's order. Each split is drawn anew, so that a stimulus may
    be tested in several or in none. Scikit-learn raises a `ValueError` where a training or test set would be empty.
    """
    from sklearn.model_selection import ShuffleSplit  # it takes a quarter of a second to load

    return list(ShuffleSplit(n_splits, train_size=train_size, random_state=1).split(np.empty(n_stimuli)))


def grouped(groups: np.ndarray, n_splits: int = 10, seed: int = 1234) -> list[Split]:
    """Folds that keep groups whole as Brain-Score's ridge benchmarks do: `GroupKFold(10, shuffle=True)`.

    Groups, (n_stimuli,), are the story or topic of each stimulus, and the seed is of their assignment to folds;
    Brain-Score takes 10 folds for Pereira2018 and 8, one a story, for Blank2014. A `ValueError` says where there are
    fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    groups = np.asarray(groups)
    n_groups = len(np.unique(groups))
    if n_groups < n_splits:
        raise ValueError(f"{n_splits} folds need as many groups, got {n_groups}. Ask for at most {n_groups} folds.")
    folds = GroupKFold(n_splits, shuffle=True, random_state=seed)
    return list(folds.split(np.empty(len(groups)), groups=groups))


def contiguous(n_stimuli: int, n_splits: int = 10, gap: int = 5) -> list[Split]:
    """Folds of consecutive stimuli, with a gap on either side of the test block that neither set contains.

    For one long recording without stories, where slow responses make neighbours in time alike: the gap is as many
    stimuli (or volumes) as a response lasts. Sizes of folds differ by at most one. A `ValueError` says where a fold
    would have no test stimulus or nothing left to train on.
    """
    edges = np.linspace(0, n_stimuli, n_splits + 1).astype(int)
    stimuli = np.arange(n_stimuli)
    splits = []
    for start, stop in itertools.pairwise(edges):
        train = stimuli[(stimuli < start - gap) | (stimuli >= stop + gap)]
        if start == stop or len(train) == 0:
            raise ValueError(
                f"{n_stimuli} stimuli are too few for {n_splits} folds with a gap of {gap} on each side. "
                "Ask for another number of folds, or a smaller gap."
            )
        splits.append((train, stimuli[start:stop]))
    return splits


def leave_one_run_out(runs: np.ndarray, gap: int = 5) -> list[Split]:
    """A fold a run: it is tested, the others train, without ``gap`` stimuli on each side of it.

    Protocols, section 4; runs, (n_stimuli,), in order of time. Toneva and Wehbe's code for Wehbe2014 takes 5 volumes
    off the training set beside the first and the last run only, and off both ends of the others' test sets.

    Raises
    ------
    ValueError
        There is one run, a run is in pieces, or a fold would have less than two stimuli to train or test on.
    """
    runs = np.asarray(runs)
    starts = np.flatnonzero(np.concatenate([[True], runs[1:] != runs[:-1]]))
    names = runs[starts]
    if len(names) < 2:
        raise ValueError(f"to leave a run out takes two or more, got {len(names)}. Use `contiguous`.")
    if len(np.unique(names)) < len(names):
        duplicate = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"run {duplicate} is in several pieces. Put stimuli in order of time, and name each run once.")
    splits = []
    for name, start, stop in zip(names, starts, [*starts[1:], len(runs)], strict=True):
        train, test = np.r_[: start - gap, stop + gap : len(runs)], np.arange(start, stop)
        if len(train) < 2 or len(test) < 2:
            raise ValueError(
                f"run {name} leaves {len(train)} stimuli to train on and {len(test)} to test on, with a gap of {gap}. "
                "Ask for less of it, or leave the run out of the recording."
            )
        splits.append((train, test))
    return splits


def joined(folds: Sequence[Split], groups: Sequence[str]) -> list[Split]:
    """Folds of one group as one: it tests what any of them tests, and trains on what all of them train on."""
    together = []
    for group in dict.fromkeys(groups):
        members = [fold for fold, name in zip(folds, groups, strict=True) if name == group]
        train = reduce(np.intersect1d, [train for train, _ in members])
        test = reduce(np.union1d, [test for _, test in members])
        together.append((train, test))
    return together


def check(splits: Sequence[Split], n_stimuli: int) -> None:
    """Raise a `ValueError` that names the first split which cannot be scored, if any, or says that there are none."""
    if len(splits) == 0:
        raise ValueError("there are no splits. Give those of the protocol.")
    for number, (train, test) in enumerate(splits):
        overlap = len(np.intersect1d(train, test))
        if len(train) < 2 or len(test) < 2 or overlap:
            raise ValueError(
                f"split {number} trains on {len(train)} stimuli and tests on {len(test)}, {overlap} of them the same. "
                "It takes two or more of each, none the same."
            )
        stimuli = np.concatenate([train, test])
        if stimuli.min() < 0 or stimuli.max() >= n_stimuli:
            raise ValueError(
                f"split {number} has stimuli from {stimuli.min()} to {stimuli.max()}, of 0 to {n_stimuli - 1}. "
                "Make splits for this recording."
            )
