"""Natural Stories in the Maze task: how long each reader took to choose each word (Boyce and Levy 2023).

At each word people chose between it and a word that does not fit; the time to the choice is what is in the file.
A reader cannot go on before a word is integrated, so that slowing shows at the word itself: no alignment to choose.

How this differs from the publication: the file is a cleaned copy (Michaelov and colleagues), with times of 104 to
4,964 ms, without the first and the last word of each sentence. It has no words, only their place (story, sentence
over all stories, word) and length. So the place in the text is computed here: the sentences of a story, each as
long as its last place and one more word, must fill the story, and each length must be that of the word found. They
do, for all 9,304 words. Its 476 sentences are not the 485 of the corpus: some were put together, and one of two
words has no times.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog, messages
from brainalign.human import natural_stories
from brainalign.human.download import check_counts, fetch
from brainalign.human.reading_times import ReadingTimes, by_reader

TIMES = "cleaned_datasets/boyce_2023.tsv"
# In the order of the corpus, whose stories have numbers.
STORIES = (
    *("Boar", "Aqua", "MatchstickSeller", "KingOfBirds", "Elvis"),
    *("MrSticky", "HighSchool", "Roswell", "Tulips", "Tourettes"),
)
REMEDY = "The two files are not of one release: see the catalog's files/natural_stories.maze.csv."


def load() -> ReadingTimes:
    """Time of each word for each reader: 10,256 words x 63 readers, NaN where there is no time.

    That is so for all readers at the edges of sentences. Sentences and frequencies are those of `natural_stories`.
    Raises as `brainalign.human.load`.
    """
    data = catalog.dataset("natural_stories.maze")
    path = fetch(data.file(TIMES))
    table = natural_stories.read(path)
    words = natural_stories.load().table().drop(columns=["n_readers", "sd", "reading_time"])

    row = np.empty(len(table), int)
    for name, times in table.groupby("docid"):
        if name not in STORIES:
            raise ValueError(f"{path}: docid: {messages.unknown('story', name, STORIES)}")
        story = words[words.story == 1 + STORIES.index(name)]
        row[times.index] = story.index[0] + _positions(times, len(story), path) - 1
    table = table.assign(row=row, text=words.text.to_numpy()[row])
    if (mismatch := table.wlen != table.text.str.len()).any():
        time = table[mismatch].iloc[0]
        difference = f"has {time.wlen} characters, the story has {time.text!r} there"
        raise ValueError(f"{path}: wlen: {_place(time)} {difference}. {REMEDY}")
    if (duplicates := table.duplicated(["row", "subject"])).any():
        raise ValueError(f"{path}: {_place(table[duplicates].iloc[0])}: two times of one reader. Fetch the file again.")
    check_counts(path, {"readers": table.subject.nunique()}, data)
    times = table.pivot(index="row", columns="subject", values="rt").reindex(range(len(words))).astype(float)
    return ReadingTimes(data.name, by_reader(words, times), data.licence, data.citation, "original")


def _positions(times: pd.DataFrame, n_words: int, path: Path) -> np.ndarray:
    """Position in its story of each time, from 1: (n_times,) int."""
    last = times.groupby("sentid").sentpos.max()
    length = (last + 1).reindex(range(last.index.min(), last.index.max() + 1))
    # A sentence without any time is as long as what the others leave.
    if length.isna().sum() == 1:
        length = length.fillna(n_words - length.sum())
    if length.sum() != n_words:
        raise ValueError(
            f"{path}: sentpos: the sentences of {times.docid.iloc[0]} have {length.sum():g} words, the story has "
            f"{n_words}. {REMEDY}"
        )
    offset = length.cumsum() - length
    return (times.sentid.map(offset) + times.sentpos).to_numpy(int)


def _place(time: pd.Series) -> str:
    return f"{time.docid}, sentence {time.sentid}, word {time.sentpos}, {time.subject}"
