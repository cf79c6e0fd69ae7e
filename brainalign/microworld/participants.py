"""People of the microworld: what their brains do while they read, with the truth known.

    people = People(world)
    people.recording()                        # as of people in a scanner
    people.true_ceiling(splits)               # what the best possible model scores, of each unit

A response is meaning, place in the passage, length, slow drift and noise, each a share of the unit's variance. The
first three are what text can tell: a model of the text that knows all of it reaches the true ceiling.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from brainalign.alignment.encoding.splits import Split, check
from brainalign.human.recording import Recording, responses
from brainalign.human.timeseries import zscore
from brainalign.microworld import grammar
from brainalign.microworld.world import World

SHARED, INDIVIDUAL = 7, 8  # streams of random numbers, beside those of `grammar` and `questions`
FROM_TEXT = ("meaning", "position", "length")
LICENCE, CITATION = "none needed: simulated", "simulated by brainalign.microworld"


@dataclass(frozen=True)
class Shares:
    """Shares of a unit's variance; a `ValueError` if one is negative, or they do not sum to 1."""

    meaning: float = 0.30  # of the sentence, as far as neither place nor length tells it
    position: float = 0.05  # place in the passage
    length: float = 0.05  # words of the sentence, as far as its place does not tell it
    drift: float = 0.20  # slow, in the order in which a participant saw the passages; no text tells it
    noise: float = 0.40  # independent from sentence to sentence

    def __post_init__(self):
        values = asdict(self)
        if min(values.values()) < 0 or abs(sum(values.values()) - 1) > 1e-9:
            raise ValueError(f"shares must be 0 or more and sum to 1, got {values}. Let noise have what is left.")

    def without(self, *names: str) -> "Shares":
        """The same, with some shares given to noise."""
        return replace(self, **dict.fromkeys(names, 0.0), noise=self.noise + sum(getattr(self, n) for n in names))


@dataclass(frozen=True, eq=False)
class People:
    """Participants who read passages of the world, and what is true of them.

    ``Shares().without(*FROM_TEXT)`` makes people of whom no text can tell anything.
    """

    world: World
    n_participants: int = 6
    n_units: int = 40  # of each participant
    shares: Shares = field(default_factory=Shares)
    common: float = 0.5  # share of the variance of weights that a unit has in common with that of other participants
    drift_length: float = 8.0  # sentences after which the correlation of drift with itself is 1/e
    n_passages: int = 80
    text_seed: int = 0  # of `grammar.passages`
    seed: int = 0  # of weights, order, drift and noise; a participant is the same however many there are

    @cached_property
    def texts(self) -> tuple[grammar.Text, ...]:
        """What they read, by topic."""
        return grammar.passages(self.world, self.n_passages, self.text_seed)

    @cached_property
    def stimuli(self) -> pd.DataFrame:
        """A row per sentence, as in `Recording.stimuli`."""
        passages = grammar.as_passages(self.texts, "passage")
        return pd.DataFrame(
            {
                "stimulus_id": [name for passage in passages for name in passage.stimuli],
                "text": [part for passage in passages for part in passage.parts],
                "passage": [passage.id for passage in passages for _ in passage.parts],
                "position": [place for passage in passages for place in range(1, len(passage.parts) + 1)],
                "story": [text.topic for text in self.texts for _ in text.sentences],
                "experiment": "microworld",
            }
        )

    @cached_property
    def meaning(self) -> np.ndarray:
        """Latent meaning of each sentence: (n_stimuli, n_dimensions); of full rank, z-scored."""
        latent = grammar.meanings(self.world, self.texts)
        return zscore(latent[:, latent.std(axis=0) > 0])

    @cached_property
    def white_meaning(self) -> np.ndarray:
        """Meaning in dimensions that are orthonormal over the stimuli: (n_stimuli, n_dimensions)."""
        return np.linalg.svd(self.meaning, full_matrices=False)[0]

    def signal(self, parts: Collection[str] = FROM_TEXT) -> np.ndarray:
        """What text tells of the responses, without drift and noise: (n_stimuli, n_participants * n_units).

        The parts are uncorrelated, and their variances over the stimuli are their shares exactly.
        """
        total = np.zeros((len(self.stimuli), self.n_participants * self.n_units))
        for part in parts:
            total += np.sqrt(getattr(self.shares, part)) * self._by_part[part]
        return total

    def recording(self) -> Recording:
        """What was measured: z-scored responses but for chance, of ``n_participants * n_units`` units."""
        return self._recording

    @cached_property
    def _recording(self) -> Recording:
        values = self.signal()
        for participant in range(self.n_participants):
            rng = self._rng(INDIVIDUAL, participant, 1)
            columns = slice(participant * self.n_units, (participant + 1) * self.n_units)
            drift = self._drift(participant, rng)
            noise = rng.normal(size=drift.shape)
            values[:, columns] += np.sqrt(self.shares.drift) * drift + np.sqrt(self.shares.noise) * noise
        names = [f"m{participant + 1}" for participant in range(self.n_participants)]
        units = pd.DataFrame(
            {
                "participant": np.repeat(names, self.n_units),
                "region": "language",
                "unit_id": [f"{name}.{unit}" for name in names for unit in range(self.n_units)],
            }
        )
        passages = grammar.as_passages(self.texts, "passage")
        labeled = responses(values, self.stimuli, units)
        return Recording("microworld", labeled, passages, LICENCE, CITATION, evidence="microworld")

    def true_ceiling(self, splits: Sequence[Split]) -> np.ndarray:
        """Score of a model that knows what text can tell of each unit: (n_units_total,) Pearson r, mean over splits.

        r = sqrt(S / (S + D + N)) in a test set of n stimuli: S the sum of squares of the signal about its mean there;
        N = (n - 1) times the share of noise; D that of the drift, trace(C) - sum(C) / n with its covariance C among
        the stimuli. Drift varies less within a fold of neighbors than over the whole, so that the ceiling depends on
        the protocol. Drift and noise are taken by their expectation, which is off by the order of 1/n.
        """
        check(splits, len(self.stimuli))
        signal, scores = self.signal(), []
        for _, test in splits:
            explained = ((signal[test] - signal[test].mean(axis=0)) ** 2).sum(axis=0)
            drift = [self._drift_within(participant, test) for participant in range(self.n_participants)]
            unexplained = np.repeat(drift, self.n_units) * self.shares.drift + (len(test) - 1) * self.shares.noise
            norms = explained * (explained + unexplained)
            scores.append(explained / np.sqrt(np.where(norms > 0, norms, np.inf)))
        return np.mean(scores, axis=0)

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.world.seed, self.seed, *stream])

    @cached_property
    def _features(self) -> dict[str, np.ndarray]:
        """What each part is a weighted sum of, without what the parts before it account for."""
        place = self.stimuli.position.to_numpy()
        length = self.stimuli.text.str.split().str.len().to_numpy(float)
        features, basis = {}, np.ones((len(place), 1))
        by_part = {"position": np.eye(place.max())[place - 1], "length": length[:, None], "meaning": self.meaning}
        for part, x in by_part.items():
            features[part] = x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
            basis = np.hstack([basis, x])
        return features

    @cached_property
    def _by_part(self) -> dict[str, np.ndarray]:
        """What each part tells of the responses, z-scored: (n_stimuli, n_participants * n_units)."""
        weights = [self._weights(participant) for participant in range(self.n_participants)]
        return {part: zscore(x @ np.hstack([w[part] for w in weights])) for part, x in self._features.items()}

    def _weights(self, participant: int) -> dict[str, np.ndarray]:
        """Weights of each part, (n_features, n_units)."""
        shared, individual = self._rng(SHARED), self._rng(INDIVIDUAL, participant, 0)
        return {
            part: np.sqrt(self.common) * shared.normal(size=(x.shape[1], self.n_units))
            + np.sqrt(1 - self.common) * individual.normal(size=(x.shape[1], self.n_units))
            for part, x in self._features.items()
        }

    @cached_property
    def _times(self) -> np.ndarray:
        """When each participant saw each sentence, in sentences and an own order: (n_participants, n_stimuli) int."""
        codes = pd.factorize(self.stimuli.passage)[0]
        times = np.empty((self.n_participants, len(codes)), int)
        for participant in range(self.n_participants):
            order = self._rng(INDIVIDUAL, participant, 2).permutation(codes.max() + 1)
            times[participant, np.argsort(np.argsort(order)[codes], kind="stable")] = np.arange(len(codes))
        return times

    def _drift(self, participant: int, rng: np.random.Generator) -> np.ndarray:
        """Drift of a participant's units, (n_stimuli, n_units): variance 1, correlation exp(-|t - t'| / length)."""
        steps = rng.normal(size=(len(self.stimuli), self.n_units))
        decay = np.exp(-1 / self.drift_length)
        drift = [steps[0]]
        for step in steps[1:]:
            drift.append(decay * drift[-1] + np.sqrt(1 - decay**2) * step)
        return np.array(drift)[self._times[participant]]

    def _drift_within(self, participant: int, subset: np.ndarray) -> float:
        """Expected sum of squares of drift of variance 1 about its mean among some stimuli."""
        times = self._times[participant][subset]
        covariance = np.exp(-np.abs(times[:, None] - times) / self.drift_length)
        return len(subset) - covariance.sum() / len(subset)
