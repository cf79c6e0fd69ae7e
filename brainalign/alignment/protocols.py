"""Protocols: named, complete recipes of how features are held against a recording.

    protocol = protocols.resolve("contiguous", recording)
    protocols.splits_of(protocol, recording)

``aw2024`` is what the paper did, ``contiguous`` what it should have done, and ``brainscore-ridge`` is Brain-Score's own
grouped benchmark. A protocol says all in which they differ. What they share is said where it is done: the features in
`llm.activations` and `volumes`, Pearson r in `predictivity`, medians, means and ceilings in `brain.brain_alignment`.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from brainalign import messages
from brainalign.alignment import volumes
from brainalign.alignment.ceilings import extrapolated
from brainalign.alignment.encoding import Penalties, splits
from brainalign.alignment.encoding.splits import Split
from brainalign.human.recording import Recording
from brainalign.human.repeats import joined

FOLDS = 10
GAP, GAP_SECONDS = 5, 10.0  # stimuli between training and test; of volumes, until most of a response is over
BEST_ON_TEST, NESTED_CHOICE = "best on test", "nested leave-one-group-out"
CROWD = 10  # of more participants than this, some of their combinations make a ceiling
DEALS = 3  # of each size: of 27 participants, 678 predictions in place of some 3,500
REMEMBERED = 16  # recordings and protocols whose splits and ceilings are kept: every model needs them
SEVERAL = 3  # groups that it takes to leave one out of a training set


@dataclass(frozen=True)
class Protocol:
    """A recipe; every field changes a score."""

    name: str
    regression: str  # least squares or ridge
    splits: str  # shuffled stimuli, stories kept whole, neighbors kept together, or runs
    layer: str  # how that of the model's score is chosen: best on test, or nested leave-one-group-out
    alphas: tuple[float, ...] = ()  # penalties of ridge; relative, and per whom (labels are participants): `Penalties`
    relative: bool = False
    per: str = "all"
    left_out: str = ""  # of a training set, to choose the penalty: a stimulus, a group or a tenth
    series: str = "delays"  # how words become volumes: delays (`volumes.parts_to_stimuli`) or `volumes.components`

    @property
    def penalty(self) -> str:
        """How the penalty is chosen, in words."""
        return f"leave-one-{self.left_out}-out" if self.left_out else "none"

    @property
    def partition(self) -> bool:
        """Whether every stimulus is tested once, so that the test sets make one series."""
        return self.splits != "shuffled"


# What the paper did: least squares on shuffled splits, and the layer that is best on the test sets. Neighbors of a test
# stimulus are in the training set.
AW2024 = Protocol("aw2024", regression="least squares", splits="shuffled", layer=BEST_ON_TEST)
# What the paper did with Wehbe2014: a word's features reduced to ten components and delayed by one to four volumes,
# ridge with a penalty for each voxel, a fold a run.
AW2024_RUNS = replace(
    AW2024,
    regression="ridge",
    splits="runs",
    alphas=tuple(np.logspace(-6, 9, 16)),
    per="unit",
    left_out="tenth",
    series="components",
)
# Brain-Score's grouped benchmark: stories kept whole, ridge with one penalty for all units, chosen by leaving single
# stimuli out, whose neighbors stay.
BRAINSCORE_RIDGE = Protocol(
    "brainscore-ridge",
    regression="ridge",
    splits="stories",
    layer=BEST_ON_TEST,
    alphas=tuple(np.logspace(-3, 3, 7)),
    left_out="stimulus",
)
# What the paper should have done: neighbors kept together, ridge with a penalty for each participant; penalty and layer
# are chosen inside the training sets, by leaving out groups in the same way. No test set decides anything.
CONTIGUOUS = Protocol(
    "contiguous",
    regression="ridge",
    splits="neighbors",
    layer=NESTED_CHOICE,
    # Down to where a narrow set of features is fitted exactly, and up to where only directions matter, r no longer.
    alphas=tuple(np.logspace(-4, 4, 9)),
    relative=True,
    per="label",
    left_out="group",
)
PROTOCOLS = {protocol.name: protocol for protocol in (AW2024, BRAINSCORE_RIDGE, CONTIGUOUS)}


def by_strictness(names: Collection[str]) -> list[str]:
    """Names of protocols from the most lenient to the strictest."""
    return [name for name in PROTOCOLS if name in names]


def resolve(protocol: str | Protocol, recording: Recording) -> Protocol:
    """Give a protocol as it is for a recording: ``aw2024`` treats a time series of several runs in its own way.

    What has been resolved stays as it is. A `LookupError` suggests near names where there is none.
    """
    if isinstance(protocol, Protocol):
        return protocol
    name = protocol
    messages.require("protocol", name, PROTOCOLS)
    if name == AW2024.name and recording.tr is not None and recording.stimuli.run.nunique() > 1:
        return AW2024_RUNS
    return PROTOCOLS[name]


def applicable(names: Sequence[str], recording: Recording) -> list[str]:
    """Names of the protocols that can split a recording: to keep stories whole takes two that share no text."""
    for name in names:
        messages.require("protocol", name, PROTOCOLS)
    several = len(np.unique(joined(recording.stimuli.story, recording))) > 1
    return [name for name in names if several or PROTOCOLS[name].splits != "stories"]


@lru_cache(maxsize=REMEMBERED)
def splits_of(protocol: str | Protocol, recording: Recording) -> tuple[Split, ...]:
    """Training and test sets, as rows of the recording; a `ValueError` says what it lacks to be split so.

    Shuffled splits depend on the order of stimuli. Theirs is that of the recording's file, which the coordinate
    ``row`` has where it is not that of the recording.
    """
    protocol, stimuli = resolve(protocol, recording), recording.stimuli
    try:
        if protocol.splits == "shuffled":
            order = np.argsort(stimuli.row.to_numpy()) if "row" in stimuli else np.arange(len(stimuli))
            folds = [(order[train], order[test]) for train, test in splits.shuffled(len(stimuli))]
        elif protocol.splits == "runs":
            folds = _folds_of_runs(recording)
        elif protocol.splits == "stories":
            folds = _folds_of_stories(recording)
        else:
            folds = _folds_of_neighbors(recording)
        splits.check(folds, len(stimuli))
    except ValueError as error:
        raise ValueError(f"{recording.name}: protocol {protocol.name}: {error}") from error
    return tuple(folds)


def _folds_of_runs(recording: Recording) -> list[Split]:
    runs = recording.stimuli.run.to_numpy()
    folds, groups = splits.leave_one_run_out(runs, gap=_gap(recording)), joined(runs, recording)
    names = [groups[test[0]] for _, test in folds]
    _require_groups(len(set(names)), 2, len(folds), "runs")
    return splits.joined(folds, names)


def _folds_of_stories(recording: Recording) -> list[Split]:
    n_stories, stories = recording.stimuli.story.nunique(), joined(recording.stimuli.story, recording)
    if n_stories < 2:
        raise ValueError("it keeps stories whole, and there is one. Use contiguous.")
    n_groups = len(np.unique(stories))
    _require_groups(n_groups, 2, n_stories, "stories")
    return splits.grouped(stories, min(FOLDS, n_groups))


def _folds_of_neighbors(recording: Recording) -> list[Split]:
    if (groups := _level(recording)) is not None:
        return splits.grouped(groups, min(FOLDS, len(np.unique(groups))))
    folds, groups = splits.contiguous(len(recording.stimuli), FOLDS, _gap(recording)), groups_of(recording)
    names = [groups[test[0]] for _, test in folds]
    _require_groups(len(set(names)), SEVERAL, len(folds), "tenths")
    return splits.joined(folds, names)


def _require_groups(n_groups: int, n_needed: int, n_before: int, what: str) -> None:
    """Refuse a recording whose repeated texts leave too few groups that share none."""
    if n_groups < n_needed:
        raise ValueError(
            f"the same texts are in so many of its {n_before} {what} that {n_groups} would be left which share none, "
            f"and it takes {n_needed}. Leave repeated stimuli out of the recording, or average their responses."
        )


def _gap(recording: Recording) -> int:
    """Stimuli between training and test sets that are next to each other."""
    return max(GAP, math.ceil(GAP_SECONDS / recording.tr)) if recording.tr else GAP


def groups_of(recording: Recording) -> np.ndarray:
    """What belongs together: the story (or topic) of each stimulus, else its passage, else its tenth of the recording.

    The first of them of which there are three or more, since one is for testing, and of the others one is left out:
    (n_stimuli,) str. Those that share a text (`human.repeats`) are one, named as the first of them.
    """
    groups = _level(recording)
    if groups is None:
        groups = joined(volumes.tenths(recording.responses.sizes["stimulus"]), recording)
    return groups


def _level(recording: Recording) -> np.ndarray | None:
    levels = (joined(recording.stimuli[level], recording) for level in ("story", "passage"))
    return next((groups for groups in levels if len(np.unique(groups)) >= SEVERAL), None)


def penalties_of(protocol: str | Protocol, recording: Recording, train: np.ndarray | None = None) -> Penalties | None:
    """Penalties of ridge and how one is chosen; None for least squares.

    Tenths that are left out are of the recording, or of the stimuli ``train``.
    """
    protocol = resolve(protocol, recording)
    if protocol.regression == "least squares":
        return None
    groups, n = None, recording.responses.sizes["stimulus"]
    if protocol.left_out == "group":
        groups = groups_of(recording)
    elif protocol.left_out == "tenth":
        train = np.arange(n) if train is None else train
        groups = np.zeros(n, int)
        groups[train] = volumes.tenths(len(train))
    labels = recording.units.participant.to_numpy() if protocol.per == "label" else None
    return Penalties(protocol.alphas, protocol.relative, groups, protocol.per, labels)


@lru_cache(maxsize=REMEMBERED)
def ceiling_of(protocol: str | Protocol, recording: Recording) -> extrapolated.Extrapolation:
    """Give the noise ceiling under a protocol or one of that name: its regression, its splits; kept in the store.

    A pool of participants predicts with one penalty for all units of a participant, also where the protocol lets
    every unit have its own. Of more than ten participants, three deals into combinations of eight sizes count. A
    `ValueError` says where there are fewer than three.
    """
    protocol = resolve(protocol, recording)
    return extrapolated.cached(
        volumes.responses_of(recording, protocol.splits),
        recording.units.participant.to_numpy(),
        splits_of(protocol, recording),
        penalties_of(protocol, recording),
        DEALS if len(recording.participants) > CROWD else None,
    )
