"""Splits of the stimuli into training and test sets, as lists of pairs of index arrays.

Which split a score uses decides what it means. Sentences of a passage resemble each other and follow each
other in time: under `shuffled` splits the neighbours of a test sentence are in the training set, and features
that know nothing but who is whose neighbour score well (protocols, section 11). `grouped` and `contiguous` keep
neighbours together.
"""

import itertools

import numpy as np
from sklearn.model_selection import GroupKFold, ShuffleSplit

Split = tuple[np.ndarray, np.ndarray]  # (n_train,) and (n_test,) indices of stimuli


def shuffled(n_stimuli: int, n_splits: int = 10, train_size: float = 0.9, seed: int = 1) -> list[Split]:
    """Random splits as in ``aw2024`` and Brain-Score's linear benchmarks: `ShuffleSplit(10, train_size=.9)`.

    Parameters
    ----------
    n_stimuli : int
        Stimuli, in the recording's order: the seed picks positions.
    n_splits : int
        Each is drawn anew, so a stimulus may be tested in several or in none.
    train_size : float
        Share of the stimuli to train on.
    seed : int
        Of the shuffle.

    Returns
    -------
    list of Split

    Raises
    ------
    ValueError
        Training or test set would be empty.
    """
    return list(ShuffleSplit(n_splits, train_size=train_size, random_state=seed).split(np.empty(n_stimuli)))


def grouped(groups: np.ndarray, n_splits: int = 10, seed: int = 1234) -> list[Split]:
    """Folds that keep groups whole as Brain-Score's ridge benchmarks do: `GroupKFold(10, shuffle=True)`.

    Parameters
    ----------
    groups : ndarray
        (n_stimuli,) the story or topic of each stimulus.
    n_splits : int
        Folds; Brain-Score takes 10 for Pereira2018 and 8, one a story, for Blank2014.
    seed : int
        Of the assignment of groups to folds.

    Returns
    -------
    list of Split

    Raises
    ------
    ValueError
        There are fewer groups than folds.
    """
    groups = np.asarray(groups)
    n_groups = len(np.unique(groups))
    if n_groups < n_splits:
        raise ValueError(f"{n_splits} folds need as many groups, got {n_groups}. Ask for at most {n_groups} folds.")
    folds = GroupKFold(n_splits, shuffle=True, random_state=seed)
    return list(folds.split(np.empty(len(groups)), groups=groups))


def contiguous(n_stimuli: int, n_splits: int = 10, gap: int = 5) -> list[Split]:
    """Folds of consecutive stimuli, with a gap on either side of the test block that neither set contains.

    For one long recording without stories, where slow responses make neighbours in time alike.

    Parameters
    ----------
    n_stimuli : int
        Stimuli (or volumes), in order of time.
    n_splits : int
        Folds. Their sizes differ by at most one.
    gap : int
        Stimuli to leave out on each side; as many as a response lasts.

    Returns
    -------
    list of Split

    Raises
    ------
    ValueError
        A fold would have no test stimulus or nothing left to train on.
    """
    edges = np.linspace(0, n_stimuli, n_splits + 1).astype(int)
    everything = np.arange(n_stimuli)
    splits = []
    for start, stop in itertools.pairwise(edges):
        train = everything[(everything < start - gap) | (everything >= stop + gap)]
        if start == stop or len(train) == 0:
            raise ValueError(
                f"{n_stimuli} stimuli are too few for {n_splits} folds with a gap of {gap} on each side. "
                "Ask for another number of folds, or a smaller gap."
            )
        splits.append((train, everything[start:stop]))
    return splits
