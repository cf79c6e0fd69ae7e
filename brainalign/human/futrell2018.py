"""Futrell et al. 2018: self-paced reading of the Natural Stories, time by time, in Brain-Score's file.

180 people read some of ten stories, one word at a time; a time is NaN where a person did not read the word. These
are the times behind the means of `natural_stories`, whose docstring says more.

How this differs from the publication and from `natural_stories`:

- Everybody is in, also who answered few comprehension questions, and every time, however long.
- **Alignment.** The file is of the original release, in which times are one word off. ``"corrected"`` moves each to
  the next word of its story.
- **Sentences** are Brain-Score's: a word that ends in a stop ends a sentence unless the next is in lower case. That
  makes 481, the corpus has 485.
- **Frequency** is not in the file. It is that of `natural_stories`, whose text this is; NaN for a file of your own.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog, messages
from brainalign.human import brainscore, natural_stories
from brainalign.human.download import check_counts, fetch
from brainalign.human.reading_times import ReadingTimes, by_reader, letters

WORD = {"story": "story_id", "position": "word_id", "text": "word", "place": "word_within_sentence_id"}
READER = {"reader": "subject_id"}


def load(alignment: str = "original", path: Path | str | None = None) -> ReadingTimes:
    """Reading time of each word by each reader: 10,256 words x 180 readers.

    ``original`` are the times as published, ``corrected`` has each moved to the next word of its story. A path is of a
    file in the same layout, instead of the published one. Raises as `brainalign.human.load`.
    """
    messages.require("alignment of Natural Stories", alignment, natural_stories.ALIGNMENTS)
    data = catalog.dataset("futrell2018")
    place = Path(path or fetch(data.file("assy_Futrell2018.nc")))
    with brainscore.opened(place, ("presentation", "subject")) as file:
        words = brainscore.coordinates(file, "presentation", WORD, ("position", "place"))
        readers = brainscore.coordinates(file, "subject", READER).reader
        times = pd.DataFrame(file.to_numpy(), columns=readers)
    words = words.assign(text=words.text.str.strip(), log_frequency=np.nan)
    if path is None:
        check_counts(place, {"words": len(words), "readers": len(readers)}, data)
        words["log_frequency"] = natural_stories.load().table().log_frequency

    # A story opens a sentence, too: the file's sentences go on where a story ends without a stop.
    opens = (words.place == 1) | (words.story != words.story.shift())
    words = words.assign(sentence=opens.groupby(words.story).cumsum(), length=letters(words.text))
    if alignment == "corrected":
        times = times.groupby(words.story).shift()
    try:
        return ReadingTimes(data.name, by_reader(words, times), data.licence, data.citation, alignment)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
