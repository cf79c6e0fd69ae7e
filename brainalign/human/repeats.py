"""Texts that are there more than once: what is learned on one of them is known of the other.

    repeated(recording).sum()                     # so many stimuli have a text that another one has, too
    joined(recording.stimuli.story, recording)    # stories, those that share a text under one name

Case, punctuation and white space count for nothing. Two stimuli are repeats where their whole passages are, and they
have the same place in them; or where their own texts are, and are long enough to be no phrase that any two texts share.
"""

import unicodedata
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brainalign.human.recording import Recording

PHRASE = 4  # words from which the same words in two passages are the same text: of the Natural Stories two share few
REMEMBERED = 16  # recordings: every protocol and score asks for the same
SKIPPED = ("P", "Z", "C", "Sk")  # punctuation, spaces, control characters; a backquote is a modifier (Unicode)


def repeated(recording: Recording) -> np.ndarray:
    """Tell the stimuli whose text, or nearly, another one has too: (n_stimuli,) bool."""
    repeats = np.zeros(len(recording.stimuli), bool)
    for texts in _texts(recording):
        repeats[texts.index[texts.duplicated(keep=False)]] = True
    return repeats


def joined(groups: np.ndarray | pd.Series, recording: Recording) -> np.ndarray:
    """Groups of stimuli, those that share a text, directly or through others, named as the first: (n_stimuli,) str.

    Simulated people keep their groups: their small world says the same sentences again and again, and what text tells
    of a response is known to be the same for all of them.
    """
    groups = np.asarray(groups).astype(str)
    if recording.evidence == "microworld":
        return groups
    codes, names = pd.factorize(groups)
    texts = pd.concat(_texts(recording))
    # A graph of groups and of texts, in which each text is tied to the groups that it is in.
    ties = codes[texts.index], len(names) + pd.factorize(texts)[0]
    size = len(names) + texts.nunique()
    graph = coo_array((np.ones(len(texts)), ties), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(names)]
    return pd.Series(names).groupby(component).transform("first").to_numpy(str)[codes]


@lru_cache(maxsize=REMEMBERED)
def _texts(recording: Recording) -> list[pd.Series]:
    """What makes stimuli repeats, by their row: a name for their place in a whole passage, and their own text."""
    stimuli = recording.stimuli
    letters = stimuli.text.map(_letters)
    whole = letters.groupby(stimuli.passage).agg("".join)
    number = stimuli.passage.map(pd.Series(pd.factorize(whole)[0], whole.index)).astype(str)
    # With a space, so that it is nobody's own text.
    of_passage = (number + " " + stimuli.position.astype(str))[stimuli.passage.map(whole) != ""]
    if recording.tr is not None:  # a volume holds a few words, and where they are cut is chance
        return [of_passage]
    return [of_passage, letters[(letters != "") & (stimuli.text.map(_n_words) >= PHRASE)]]


def _letters(text: str) -> str:
    characters = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in characters if not unicodedata.category(c).startswith(SKIPPED))


def _n_words(text: str) -> int:
    """Words between spaces, or characters of scripts that have none."""
    return max(len(text.split()), sum(unicodedata.east_asian_width(c) in "WF" for c in text))
