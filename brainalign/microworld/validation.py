"""Does the pipeline recover what was put in? Repeated simulations of people, of whom the truth is known.

    scores = validation.spaces(repetitions=20)     # feature spaces that hold a known part of what sentences mean
    validation.ranks(scores)                       # how well their order is recovered, a row a repetition

No language model takes part: a feature space of known overlap with the latent meaning stands in for one. Each function
simulates crowds that differ in nothing but their seed, runs them through a protocol, and returns a row per repetition;
what it returns is kept in the store.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign import store
from brainalign.alignment import controls, protocols
from brainalign.alignment.encoding import predictivity
from brainalign.alignment.encoding.held_out import Scores
from brainalign.human.timeseries import zscore
from brainalign.microworld.participants import People, Shares
from brainalign.microworld.world import make

REVISION = 1  # of what is simulated here; a new one leaves kept simulations behind
PROTOCOLS = ("aw2024", "contiguous")
OVERLAPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
FILLERS = ("unrelated", "neighborhood")
MIXED = "either"  # every second space has the one, the others the other
PARTICIPANTS = (1, 2, 4, 8)
PASSAGES = (24, 48, 96)  # about five sentences each
N_UNITS = 15  # of each participant
PEAK, STEP, LEAST = 0.8, 0.1, 0.2  # overlap of the best layer of a stack, and how it falls from layer to layer
FAINT = Shares(meaning=0.08, position=0.02, length=0.02, drift=0.28, noise=0.60)  # ceiling of .35, as Pereira2018
TELLING_NOTHING = FAINT.without("meaning", "position", "length")


def crowd(repetitions: int, seed: int, shares: Shares = FAINT, **settings) -> list[People]:
    """People who differ in their seed alone: they read the same passages of the same world."""
    common = {"n_units": N_UNITS, "shares": shares, **settings}
    return [People(make(0), seed=1000 * seed + number, **common) for number in range(repetitions)]


def space(people: People, overlap: float, filler: str, seed: int) -> np.ndarray:
    """A feature space that holds a share of what sentences mean, and is filled up to the same width.

    Meaning is whitened and rotated at random, so that each of its dimensions is as good as another, and the share of
    the variance of responses to meaning that a space holds is its overlap, on average over spaces. The other
    dimensions, of (n_stimuli, n_dimensions) z-scored ones, are ``unrelated`` to anything, or ``neighborhood``, random
    but alike in neighbors. A `ValueError` says where the overlap is no share, or the filler is unknown.
    """
    if not 0 <= overlap <= 1 or filler not in FILLERS:
        raise ValueError(f"space: overlap {overlap} with {filler!r}. Give a share, and one of {', '.join(FILLERS)}.")
    rng = np.random.default_rng([seed, 0])
    white = people.white_meaning
    rotated = white @ scipy.stats.ortho_group.rvs(white.shape[1], random_state=rng)
    filling = controls.random(*rotated.shape, seed)
    if filler == "neighborhood":
        filling = controls.oasm(people.recording()) @ controls.random(len(rotated), rotated.shape[1], seed)
    return zscore(np.where(np.arange(rotated.shape[1]) < round(overlap * rotated.shape[1]), rotated, filling))


def spaces(repetitions: int, seed: int = 0, passages: Sequence[int] = PASSAGES) -> pd.DataFrame:
    """Score spaces of known overlap for crowds of eight: how well does the order of scores give that of overlaps?

    A row per ``protocol``, ``filler``, ``n_passages``, ``n_participants``, ``repetition`` and ``overlap``: ``r``, as
    `brain.brain_alignment` has it.
    """

    def compute() -> pd.DataFrame:
        rows = []
        for n in passages:
            people = crowd(repetitions, seed, n_participants=max(PARTICIPANTS), n_passages=n)
            conditions = [(filler, overlap) for filler in FILLERS for overlap in OVERLAPS]
            features = [space(people[0], overlap, filler, seed) for filler, overlap in conditions]
            rows += [
                {"protocol": protocol, "filler": filler, "n_passages": n, "n_participants": n_participants}
                | {"repetition": number, "overlap": overlap, "r": score}
                for protocol in PROTOCOLS
                for n_participants, scores in by_participants(features, people, protocol)
                for (filler, overlap), space_scores in zip(conditions, scores, strict=True)
                for number, score in enumerate(space_scores)
            ]
        return pd.DataFrame(rows)

    return cached_table("spaces", compute, repetitions=repetitions, seed=seed, passages=list(passages))


def ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Spearman's ``rank`` correlation of overlap and score over the spaces of each repetition of `spaces`.

    Besides the fillers there is ``either``: every second space is filled with neighborhood, the others are not.
    """
    keys = ["protocol", "filler", "n_passages", "n_participants", "repetition"]
    filler = np.array(FILLERS)[scores.overlap.rank(method="dense").astype(int) % 2]
    mixed = scores[scores.filler == filler].assign(filler=MIXED)
    ordered = pd.concat([scores, mixed]).sort_values([*keys, "overlap"])
    table = ordered[keys].drop_duplicates().reset_index(drop=True)
    places = scipy.stats.rankdata(ordered.r.to_numpy().reshape(len(table), -1), axis=1)
    return table.assign(rank=np.corrcoef(np.arange(places.shape[1]), places)[0, 1:])


def layers(repetitions: int, seed: int = 0, sizes: Sequence[int] = (2, 4, 8, 16), n_passages: int = 48) -> pd.DataFrame:
    """Choose layers of stacks in which one has the most overlap, and of stacks that know nothing, for crowds of four.

    Sizes are numbers of layers: those next to the best one.

    Returns
    -------
    DataFrame
        A row per ``kind`` (``graded`` or ``null``), ``protocol``, ``rule`` (``best on test`` or ``nested``),
        ``n_layers`` and ``repetition``: ``found``, whether the layer of most splits is the best one; ``bias``, the
        score of the chosen layers less their mean score in the other repetitions (Pearson r).
    """

    def compute() -> pd.DataFrame:
        people = crowd(repetitions, seed, n_participants=4, n_passages=n_passages)
        distance = np.arange(max(sizes))
        rows = []
        for kind, overlaps in (("graded", np.maximum(PEAK - STEP * distance, LEAST)), ("null", 0 * distance)):
            features = [space(people[0], o, "unrelated", seed + layer) for layer, o in enumerate(overlaps)]
            for protocol in PROTOCOLS:
                result = _scored(features, people, protocol)
                for n in sizes:
                    rows += [{"kind": kind, "protocol": protocol, **row} for row in _choices(result, people, n)]
        return pd.DataFrame(rows)

    return cached_table("layers", compute, repetitions=repetitions, seed=seed, sizes=list(sizes), n_passages=n_passages)


def neighborhood(repetitions: int, seed: int = 0, n_passages: int = 48) -> pd.DataFrame:
    """Score features with and without meaning, on people and on people whose responses no text predicts.

    A row per ``people`` (``reading`` or ``null``), ``protocol``, ``features`` (``meaning``, ``oasm``, ``random``) and
    ``repetition``: ``r`` of a crowd of four.
    """

    def compute() -> pd.DataFrame:
        rows = []
        for kind, shares in (("reading", FAINT), ("null", TELLING_NOTHING)):
            people = crowd(repetitions, seed, n_participants=4, n_passages=n_passages, shares=shares)
            baselines = controls.features(people[0].recording(), people[0].meaning.shape[1], seed)
            features = {"meaning": people[0].meaning, "oasm": baselines["oasm"], "random": baselines["random"]}
            for protocol in PROTOCOLS:
                *_, (_, scores) = by_participants([*features.values()], people, protocol)
                rows += [
                    {"people": kind, "protocol": protocol, "features": name, "repetition": number, "r": score}
                    for name, feature_scores in zip(features, scores, strict=True)
                    for number, score in enumerate(feature_scores)
                ]
        return pd.DataFrame(rows)

    return cached_table("neighborhood", compute, repetitions=repetitions, seed=seed, n_passages=n_passages)


def cached_table(name: str, compute: Callable[[], pd.DataFrame], **settings) -> pd.DataFrame:
    """Keep a table of numbers, yes and no, and words in the store, under its name and settings."""

    def arrays() -> tuple[dict[str, np.ndarray], dict]:
        table, words = compute(), {}
        for column in table.select_dtypes(exclude=["number", "bool"]):
            table[column], names = pd.factorize(table[column])
            words[column] = list(names)
        return {column: table[column].to_numpy() for column in table}, {"columns": list(table), "words": words}

    entry = store.get("validation", {"revision": REVISION, "simulation": name, **settings}, arrays)
    table = pd.DataFrame({column: entry.arrays[column] for column in entry.record["columns"]})
    return table.assign(**{column: np.take(names, table[column]) for column, names in entry.record["words"].items()})


# Crowds through a protocol


def by_participants(
    features: Sequence[np.ndarray], people: Sequence[People], protocol: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Scores on the first few participants of each crowd, for ever more of them, up to all: yields both.

    Scores are (n_spaces, n_crowds) Pearson r: median over units, then mean over splits.
    """
    r = _r(_scored(features, people, protocol), people)
    for n_participants in [n for n in PARTICIPANTS if n <= people[0].n_participants]:
        units = r[..., :n_participants, :]
        yield n_participants, np.median(units.reshape(*units.shape[:3], -1), axis=3).mean(axis=1)


def _scored(features: Sequence[np.ndarray], people: Sequence[People], protocol: str) -> Scores:
    """Scores of all crowds at once: units are those of one crowd after the other, each participant with a label."""
    recordings = [group.recording() for group in people]
    recipe = protocols.resolve(protocol, recordings[0])
    # In an order that is also that of the names.
    labels = [f"{i:04}.{name}" for i, group in enumerate(recordings) for name in group.units.participant]
    penalties = protocols.penalties_of(recipe, recordings[0])
    penalties = penalties and replace(penalties, labels=np.array(labels))
    responses = np.hstack([recording.responses.to_numpy() for recording in recordings])
    with warnings.catch_warnings():
        # As in `brain_alignment`: with a penalty that large no larger one changes r.
        warnings.filterwarnings("ignore", message=".*Extend the grid upwards")
        return predictivity.scores(features, responses, protocols.splits_of(recipe, recordings[0]), penalties)


def _r(result: Scores, people: Sequence[People]) -> np.ndarray:
    """Pearson r by space, split, crowd, participant and unit."""
    return result.r.reshape(*result.r.shape[:2], len(people), people[0].n_participants, N_UNITS)


def _choices(result: Scores, people: Sequence[People], n_layers: int) -> list[dict]:
    """Rows of `layers`: what either rule chooses of the first layers, of which the first is the best."""
    r = _r(result, people)[:n_layers]
    split_scores = np.median(r.reshape(*r.shape[:3], -1), axis=3)  # layer x split x crowd
    expected = (split_scores.sum(axis=2, keepdims=True) - split_scores) / (len(people) - 1)
    best = np.broadcast_to(split_scores.mean(axis=1).argmax(axis=0), split_scores.shape[1:])
    chosen = {"best on test": best}
    if result.errors is not None:
        # As in `summary`: left-out errors with the best penalty, on a scale that participants share.
        errors = result.errors[:n_layers].min(axis=2)
        shared = (errors / errors.min(axis=0)).reshape(*errors.shape[:2], len(people), -1).mean(axis=3)
        chosen["nested"] = shared.argmin(axis=0)
    rows = []
    for rule, layer in chosen.items():
        bias = np.take_along_axis(split_scores - expected, layer[None], axis=0)[0].mean(axis=0)
        modes = [int(np.bincount(choices).argmax()) for choices in layer.T]
        rows += [
            {"rule": rule, "n_layers": n_layers, "repetition": number, "found": layer == 0, "bias": offset}
            for number, (layer, offset) in enumerate(zip(modes, bias, strict=True))
        ]
    return rows
