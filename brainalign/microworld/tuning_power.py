"""What tests of "tuning increases alignment" do when it does not, and when it does: rates from repeated simulation.

Pairs come as the caller's: tuned models of bases, some with more of them than others. What all pairs of a base have in
common, its one vanilla score above all, makes them alike; how alike is the one unknown of the null.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.microworld import validation
from brainalign.microworld.validation import cached_table
from brainalign.statistics import ALPHA
from brainalign.statistics.pairs import paired_tests

EFFECT = 6.0  # percent: the paper's claim
ALIKE = (0.0, 0.5, 0.9)  # correlation of effects of one base; 0.5 if models are exchangeable
RESAMPLES = 1000  # of each bootstrap
BEFORE, AFTER = 0.6, 0.67  # overlaps of a base and its tuned model whose scores differ by about as much


def false_positives(
    pairs: pd.DataFrame, repetitions: int, seed: int = 0, alike: Sequence[float] = ALIKE
) -> pd.DataFrame:
    """Test tuned models that are no better than their bases.

    A vanilla score is -sqrt(rho) u, the tuned ones sqrt(1 - rho) e, with u of a base and e of a model standard
    normal: differences have variance 1, and correlate by rho within a base.

    Parameters
    ----------
    pairs : DataFrame
        As from `pairs.make_pairs`; its scores do not matter.
    repetitions, seed
        Sets of models, and their seed.
    alike : sequence of float
        Values of rho.

    Returns
    -------
    DataFrame
        A row per ``alike``, ``repetition``, ``test`` and ``unit`` (``pair`` or ``base``) of `pairs.paired_tests`:
        ``rejected``, whether p is at most .05.
    """

    def compute() -> pd.DataFrame:
        bases, codes = np.unique(pairs.base, return_inverse=True)
        rng = np.random.default_rng(seed)
        frames = []
        for rho in alike:
            for number in range(repetitions):
                vanilla = -np.sqrt(rho) * rng.normal(size=len(bases))
                tuned = np.sqrt(1 - rho) * rng.normal(size=len(pairs))
                drawn = pairs.assign(vanilla=vanilla[codes], tuned=tuned)
                tests = paired_tests(drawn, effect="difference", seed=number, resamples=RESAMPLES)
                tests = tests.assign(alike=rho, repetition=number, rejected=tests.p <= ALPHA)
                frames.append(tests[["alike", "repetition", "test", "unit", "rejected"]])
        return pd.concat(frames, ignore_index=True)

    about = {"repetitions": repetitions, "seed": seed, "alike": list(alike), "bases": list(pairs.base)}
    return cached_table("false positives", compute, **about)


def measured_changes(repetitions: int, seed: int = 0, n_pairs: int = 3) -> pd.DataFrame:
    """Score pairs of spaces, one of which has more overlap, under ``contiguous`` on crowds of the microworld.

    A row per ``n_passages``, ``n_participants``, ``repetition`` and ``pair``: ``change``, percent; ``noise``, the same
    less its mean over repetitions: what it owes to the people and to what they read it with.
    """

    def compute() -> pd.DataFrame:
        rows = []
        for n in validation.PASSAGES:
            people = validation.crowd(repetitions, seed, n_participants=max(validation.PARTICIPANTS), n_passages=n)
            features = [
                validation.space(people[0], overlap, "unrelated", seed + pair)
                for pair in range(n_pairs)
                for overlap in (BEFORE, AFTER)
            ]
            for subset, scores in validation.by_participants(features, people, "contiguous"):
                vanilla, tuned = scores.reshape(n_pairs, 2, -1).transpose(1, 0, 2)
                rows += [
                    {"n_passages": n, "n_participants": subset, "repetition": number, "pair": pair, "change": change}
                    for pair, changes in enumerate(100 * (tuned / vanilla - 1))
                    for number, change in enumerate(changes)
                ]
        table = pd.DataFrame(rows)
        means = table.groupby(["n_passages", "n_participants", "pair"]).change.transform("mean")
        return table.assign(noise=table.change - means)

    return cached_table("changes", compute, repetitions=repetitions, seed=seed, n_pairs=n_pairs)


def power(
    sizes: Sequence[int], noise: float, spread: float, alike: float, n_bases: int, draws: int = 4000, seed: int = 0
) -> pd.DataFrame:
    """How often a change of `EFFECT` is found by t tests over pairs and over bases.

    A pair's change is `EFFECT` + spread (sqrt(alike) u + sqrt(1 - alike) e) + noise v, percent; u and v of its base, e
    of its own, standard normal. Bases have as many pairs as `sizes`, in turn; there are two or more.

    Returns
    -------
    DataFrame
        A row per ``repetition``, of `draws`, and ``unit`` (``pair`` or ``base``): ``found``, whether p is at most .05
        and the change is an increase.
    """
    sizes = np.resize(sizes, n_bases)
    base = np.repeat(np.arange(n_bases), sizes)
    rng = np.random.default_rng(seed)
    of_bases = np.sqrt(alike) * spread * rng.normal(size=(draws, n_bases)) + noise * rng.normal(size=(draws, n_bases))
    own = np.sqrt(1 - alike) * spread * rng.normal(size=(draws, len(base)))
    changes = EFFECT + of_bases[:, base] + own
    frames = []
    for unit, values in {"pair": changes, "base": changes @ np.eye(n_bases)[base] / sizes}.items():
        test = scipy.stats.ttest_1samp(values, 0, axis=1)
        positive = (test.pvalue <= ALPHA) & (test.statistic > 0)
        frames.append(pd.DataFrame({"repetition": range(draws), "unit": unit, "found": positive}))
    return pd.concat(frames, ignore_index=True)
