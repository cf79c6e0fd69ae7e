"""Readers of the microworld: how long they look at each word of a story, with the truth known.

    reading_times(world)                      # as of people who read word by word

A time grows with the exact surprisal of the word and of the one before it, and with the word's length.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign import store
from brainalign.human.reading_times import ReadingTimes, by_reader, letters
from brainalign.microworld import grammar
from brainalign.microworld.participants import CITATION, LICENCE
from brainalign.microworld.world import World

REVISION = 1  # of what is kept of words; another number makes it stale
READERS = 9  # stream of random numbers, beside those of `people`
COUNTED = 50_000  # words of the corpus in which words are counted


@dataclass(frozen=True)
class Effects:
    """What a word's reading time is made of, in milliseconds of the average reader."""

    base: float = 240.0  # of every word
    surprisal: float = 8.0  # a bit of the word
    spillover: float = 4.0  # a bit of the word before it
    length: float = 6.0  # a character
    noise: float = 0.3  # standard deviation of the time's logarithm, from word to word
    readers: float = 0.2  # standard deviation of the logarithm of how slow a reader is


def reading_times(
    world: World,
    *,
    n_readers: int = 40,
    n_stories: int = 6,
    n_sentences: int = 50,
    effects: Effects | None = None,
    seed: int = 0,
) -> ReadingTimes:
    """Self-paced reading of stories: time = pace_r (base + a s(w) + b s(w-1) + c length(w)) exp(noise), s exact.

    The noise has a mean of 1, so that the mean over readers, of whom each reads every word, estimates a time that is
    linear in true surprisal. ``log_frequency`` is the natural logarithm of 1 + the count in the world's corpus. A
    further coordinate on ``word``, ``true_surprisal``, is the exact one, bits. The seed is of readers and noise.
    """
    effects = effects or Effects()
    texts = grammar.stories(world, n_stories, n_sentences)
    words = pd.concat([_words(story, text) for story, text in enumerate(texts, start=1)], ignore_index=True)
    words["length"] = letters(words.text)
    properties = _word_properties(world, texts, words.text)
    words["log_frequency"], bits = properties["log_frequency"], properties["bits"]
    previous = pd.Series(bits).groupby(words.story).shift(fill_value=0.0).to_numpy()
    expected = effects.base + effects.surprisal * bits + effects.spillover * previous + effects.length * words.length
    rng = np.random.default_rng([world.seed, seed, READERS])

    def lognormal(sd: float, *size: int) -> np.ndarray:
        return np.exp(rng.normal(-(sd**2) / 2, sd, size))

    pace = lognormal(effects.readers, n_readers)
    values = expected.to_numpy()[:, None] * pace * lognormal(effects.noise, len(words), n_readers)
    readers = [f"r{number}" for number in range(1, n_readers + 1)]
    times = by_reader(words, pd.DataFrame(values, columns=readers)).assign_coords(true_surprisal=("word", bits))
    return ReadingTimes("microworld.readers", times, LICENCE, CITATION, "original")


def _word_properties(world: World, texts: list[grammar.Text], words: pd.Series) -> dict[str, np.ndarray]:
    """True surprisal (bits) and log frequency of each word, (n_words,) each: kept, since they take seconds."""

    def compute() -> tuple[dict[str, np.ndarray], dict]:
        bits = np.concatenate([grammar.surprisal(world, text) for text in texts])
        return {"bits": bits, "log_frequency": np.log1p(_plain(words).map(_counts(world)).fillna(0).to_numpy())}, {}

    identity = {"what": "words", "revision": REVISION, "world": world.seed, "text": store.digest(list(map(str, texts)))}
    return store.get("microworld", identity, compute).arrays


def _words(story: int, text: grammar.Text) -> pd.DataFrame:
    words = [(word, number) for number, sentence in enumerate(text.sentences, start=1) for word in sentence.split()]
    table = pd.DataFrame(words, columns=["text", "sentence"])
    return table.assign(story=story, position=np.arange(1, len(table) + 1))


def _plain(words: pd.Series) -> pd.Series:
    return words.str.strip(".,").str.lower()


def _counts(world: World) -> Counter:
    text = " ".join(map(str, grammar.corpus(world, COUNTED)))
    return Counter(_plain(pd.Series(text.split())))
