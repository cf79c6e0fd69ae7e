"""Natural Stories: self-paced reading of ten stories, the mean time of every word (Futrell et al. 2021).

People read stories of about a thousand words, edited to hold rare constructions, one word at a time. The
release has the mean, the standard deviation and the number of readers of each word: of those who answered
at least five comprehension questions, times between 100 and 3,000 ms. The text is the one that was shown,
typos and all (``all_stories.tok``).

How this differs from the publication:

- **Alignment.** On 2025-05-12 the maintainers announced that the reading times are misaligned by one
  position. They replaced the per-reader file alone: the means still carry the old alignment, like the
  studies before it (Brain-Score's Futrell2018 and the paper reproduced here among them). ``"original"`` is
  the file as it is. In ``"corrected"`` the value printed at a word belongs to the word after it,
  corrected[i] = original[i - 1] within a story. The first word of each story is then missing (NaN, 0
  readers: its time is not in the file), and the value printed at the last word belongs to no word. The data
  say that this is the right direction:

  - The correlation of the times with GPT-2's surprisal at lags -2, -1, 0, 1, 2 (time of word i + lag) is
    .05, .27, .30, .13, .05, and alike in each story: readers would slow down one word BEFORE an unexpected
    one, which they had not seen. With word length it is .04, .24, .29, .14, .08. Corrected, the slowing
    starts at the word itself, is largest on the next and fades on the one after, as self-paced reading does.
  - The values printed at the ten last words, 836 to 1,132 ms, are ten of the twelve largest of all 10,256:
    what follows the text, not the reading of a word.

- **Story 3** was one word off after position 230 in copies made before November 2020. This one is not.
- **Sentences.** A word that ends in ``.``, ``!`` or ``?``, a closing quotation mark aside, ends a sentence
  unless it is a title (``Mr.``, ``Dr.``). That makes 496; the corpus has 485. Its annotators kept 11
  together, mostly a quoted question with its "she asked", but split others of the same kind: a decision by
  hand, which `CONTINUES` lists.
- **Frequency.** Natural logarithm of the word's count in Google Books (English, 1990 on; ``freqs-1.tsv``).
  It is not per million: the total is not in the release, and would only move a regression's intercept. Ten
  titles (``Mr.``, ``Dr.``) have no count without their period; the count with it is taken. Eight names and
  compounds have a count of 0. Google Books drops what occurs fewer than 40 times, so that 0 means 0 to 39;
  20 is taken.
"""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog, messages
from brainalign.human.download import check_counts, fetch
from brainalign.human.reading_times import ReadingTimes, by_word, letters, sentences

TEXT = "naturalstories_RTS/all_stories.tok"
TIMES = "naturalstories_RTS/processed_wordinfo.tsv"
FREQUENCIES = "freqs/freqs-1.tsv"

ALIGNMENTS = ("original", "corrected")
# By story and position: where the corpus's parse trees go on with the sentence.
CONTINUES = {
    5: {667: "not?'"},
    6: {203: "fun!'", 296: "right?'", 394: "Sticky?'", 604: "Abby.", 630: "you?'", 1016: "think?'"},
    7: {121: "messages?'", 151: "yet?'", 250: "fine.", 556: "giraffe?'"},
}
UNCOUNTED = 20  # half of Google Books' threshold of 40


def load(alignment: str = "original") -> ReadingTimes:
    """Mean reading time of each of the 10,256 words of the ten stories.

    ``original`` are the means as published, ``corrected`` has each moved to the next word of its story. Raises as
    `brainalign.human.load`.
    """
    messages.require("alignment of Natural Stories", alignment, ALIGNMENTS)
    data = catalog.dataset("natural_stories")
    text, times, counts = (fetch(data.file(name)) for name in (TEXT, TIMES, FREQUENCIES))

    words = read(text).rename(columns={"item": "story", "zone": "position", "word": "text"})
    words = words.sort_values(["story", "position"], ignore_index=True)
    words["sentence"] = _sentences(words)
    words["length"] = letters(words.text)
    words["log_frequency"] = np.log(_counts(counts, words))
    measured = ["reading_time", "sd", "n_readers"]
    words[measured] = _times(times, words)
    if alignment == "corrected":
        words[measured] = words.groupby("story")[measured].shift()
    words["n_readers"] = words.n_readers.fillna(0).astype(int)
    n_sentences = words.groupby("story").sentence.max().sum()
    check_counts(text, {"words": len(words), "stories": words.story.nunique(), "sentences": int(n_sentences)}, data)
    means = by_word(words, words.reading_time.to_numpy())
    return ReadingTimes(data.name, means, data.licence, data.citation, alignment)


def read(path: Path, **options) -> pd.DataFrame:
    """Table of a corpus, whose words hold quotation marks and may read "NA" or "null": neither means anything."""
    return pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False, **options)


def _sentences(words: pd.DataFrame) -> np.ndarray:
    """Sentence of each word, from 1 within its story."""
    places = zip(words.story, words.position, words.text, strict=True)
    goes_on = np.array([CONTINUES.get(story, {}).get(position) == text for story, position, text in places])
    return sentences(words, goes_on)


def _counts(path: Path, words: pd.DataFrame) -> np.ndarray:
    """Count of each word: the row ``story.position.word``, or else ``story.position.whole``."""
    table = read(path, header=None, names=["code", "order", "token", "count", "context"])
    counts = table.set_index("code")["count"]
    code = words.story.astype(str) + "." + words.position.astype(str)
    whole = counts.reindex(code + ".whole").to_numpy()
    count = counts.reindex(code + ".word").to_numpy()
    count = np.where(np.isnan(count), whole, count)
    _check_complete(np.isnan(count), words, path, "count")
    return np.where(count == 0, UNCOUNTED, count)


def _times(path: Path, words: pd.DataFrame) -> np.ndarray:
    """Mean (ms), standard deviation (ms) and number of readers of each word: (n_words, 3)."""
    table = read(path).set_index(["item", "zone", "word"])
    keys = pd.MultiIndex.from_frame(words[["story", "position", "text"]])
    times = table[["meanItemRT", "sdItemRT", "nItem"]].reindex(keys).to_numpy(float)
    _check_complete(np.isnan(times).any(axis=1), words, path, "reading time")
    return times


def _check_complete(missing: np.ndarray, words: pd.DataFrame, path: Path, quantity: str) -> None:
    if missing.any():
        word = words.iloc[int(missing.argmax())]
        raise ValueError(
            f"{path} has no {quantity} for story {word.story}, position {word.position} ({word.text!r}), and for "
            f"{int(missing.sum()) - 1} more words. The two files are not of one release: see the catalog's "
            "files/natural_stories.csv."
        )
