"""Blank et al. 2014: fMRI of people listening to eight of the Natural Stories, in Brain-Score's file.

Five people, twelve functional regions of the language network each. A stimulus is the few words that end within
two seconds, and its response the volume recorded 4 s later: the delay of the hemodynamic response is in the data,
and volumes in which no word ended are not. So this is no time series here, and has no ``time``.

How this differs from the publication: that one correlated regions with each other and used no model of the text.
How it differs from Brain-Score: rows are in reading order, by the number of the sentence and of the part, and a
model reads them so. The file need not be (Brain-Score's own test of it sorts it), and Brain-Score's benchmark feeds
a story to a model in the order of the file. The coordinate ``row`` is the place in the file, on which shuffled
splits depend. Its texts end in a space, which is taken off.
"""

from pathlib import Path

import pandas as pd

from brainalign import catalog
from brainalign.human import brainscore
from brainalign.human.download import check_counts, fetch
from brainalign.human.recording import Recording, in_order, passages, responses, trimmed

STIMULUS = {"stimulus_id": "stimulus_id", "text": "stimulus", "story": "story"}
STIMULUS |= {"sentence": "sentence_number_in_story", "part": "part_number_in_sentence"}
UNIT = {"participant": "subject_id", "region": "fROI_area", "unit_id": "neuroid_id"}


def load(path: Path | str | None = None) -> Recording:
    """Responses to the parts of eight stories, a story a passage: 1,317 parts x 60 regions of five participants.

    A path is of a file in the same layout, instead of the published one. Raises as `brainalign.human.load`.
    """
    data = catalog.dataset("blank2014")
    place = Path(path or fetch(data.file("assy_Blank2014_fROI.nc")))
    with brainscore.opened(place) as file:
        stimuli = _reading_order(brainscore.coordinates(file, "presentation", STIMULUS, ("sentence", "part")), place)
        units = brainscore.coordinates(file, "neuroid", UNIT)
        values, _ = brainscore.responses(file, stimuli.row.to_numpy())
    if path is None:
        counts = {"stimuli": len(stimuli), "units": len(units), "stories": stimuli.story.nunique()}
        counts |= {f"stimuli_{story}": n for story, n in stimuli.story.value_counts().items()}
        check_counts(place, counts | {"participants": units.participant.nunique()}, data)
    text = passages(stimuli, stimuli.passage)
    labeled = responses(values, stimuli, units)
    return Recording(data.name, labeled, text, data.licence, data.citation, source=str(place))


def _reading_order(stimuli: pd.DataFrame, place: Path) -> pd.DataFrame:
    """Stimuli as they follow each other in their story, with passage, position, and row in the file."""
    keys = ["story", "sentence", "part"]
    if stimuli.duplicated(keys).any():
        duplicate = stimuli[stimuli.duplicated(keys)].iloc[0]
        raise ValueError(
            f"{place}: part_number_in_sentence: story {duplicate.story!r}, sentence {duplicate.sentence} has part "
            f"{duplicate.part} twice. Number the parts of a sentence."
        )
    stimuli = (
        trimmed(stimuli).assign(row=range(len(stimuli)), experiment="blank2014").sort_values(keys, ignore_index=True)
    )
    return in_order(stimuli, stimuli.story).drop(columns=["sentence", "part"])
