"""Pereira et al. 2018: fMRI of people reading short passages, a sentence at a time, in Brain-Score's file.

Two experiments with different passages: 384 sentences (96 passages of four, 24 topics), read by nine people, and
243 sentences (72 passages of three or four, 24 topics), read by six; ten people in all. A response is one number
per sentence and voxel, in the language network (or the auditory one, a control).

How this differs from the publication:

- It decoded meaning from the whole brain; Brain-Score's file holds, for each participant, the tenth of the voxels
  of each region that a localizer task selects.
- People saw the passages in random order, the file has them by topic. Here rows are in reading order, by the
  number at the end of a `stimulus_id`; the coordinate ``row`` is the place in the file, on which shuffled splits
  depend.
- **Context.** Brain-Score gives a model the sentences before it with the same `passage_label`. In the experiment
  with 243 sentences a label covers several passages of a topic, which were not read one after the other. ``label``
  does as Brain-Score does, ``passage`` takes what people read in one go, ``sentence`` takes none.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog, messages
from brainalign.human import brainscore
from brainalign.human.download import check_counts, fetch
from brainalign.human.recording import Recording, in_order, passages, responses, trimmed

CONTEXTS = ("label", "passage", "sentence")
STIMULUS = {"stimulus_id": "stimulus_id", "text": "stimulus", "story": "story", "experiment": "experiment"}
STIMULUS |= {"label": "passage_label", "index": "passage_index"}
UNIT = {"participant": "subject", "region": "roi", "unit_id": "neuroid_id"}


def load(
    experiment: str = "384", network: str = "language", context: str = "label", path: Path | str | None = None
) -> Recording:
    """Responses to the sentences of one experiment; voxels of who missed it are left out.

    384 sentences x 12,155 voxels of nine participants, or 243 x 8,121 of six; of the ``language`` or the ``auditory``
    network. Context is what a model reads before a sentence: ``label``, ``passage`` or ``sentence`` (nothing). A path
    is of a file in the same layout, instead of the published one. Raises as `brainalign.human.load`.
    """
    messages.require("experiment of Pereira2018", str(experiment), ("243", "384"))
    messages.require("network of Pereira2018", network, ("language", "auditory"))
    messages.require("context", context, CONTEXTS)
    data = catalog.dataset("pereira2018" if network == "language" else "pereira2018.auditory")
    place = Path(path or fetch(data.file(f"assy_Pereira2018_{network}.nc")))

    with brainscore.opened(place) as file:
        presentations = brainscore.coordinates(file, "presentation", STIMULUS)
        units = brainscore.coordinates(file, "neuroid", UNIT)
        stimuli = _reading_order(presentations[presentations.experiment == f"{experiment}sentences"], place, experiment)
        values, columns = brainscore.responses(file, stimuli.row.to_numpy(), units.participant.to_numpy())
    experiment_units = units.iloc[columns].astype({"region": str, "unit_id": str})
    if path is None:
        counts = {"stimuli": len(presentations), "units": len(units), "participants": units.participant.nunique()}
        counts[f"units_{experiment}"] = len(experiment_units)
        counts[f"participants_{experiment}"] = experiment_units.participant.nunique()
        check_counts(place, counts, data)

    group = {"label": stimuli.experiment + "." + stimuli.label, "passage": stimuli.passage}
    text = passages(stimuli, group.get(context, stimuli.stimulus_id))
    labeled = responses(values, stimuli.drop(columns=["label", "index"]), experiment_units)
    name = f"{data.name}.{experiment}"
    return Recording(name, labeled, text, data.licence, data.citation, source=str(place))


def _reading_order(stimuli: pd.DataFrame, place: Path, experiment: str) -> pd.DataFrame:
    """Stimuli of an experiment as they follow each other in the text, with passage, position, and row in the file."""
    if stimuli.empty:
        raise ValueError(f"{place}: experiment: no stimulus is of '{experiment}sentences'. Give the right file.")
    number = stimuli.stimulus_id.str.extract(r"(\d+)$", expand=False)
    if number.isna().any():
        example = stimuli.stimulus_id[number.isna()].iloc[0]
        raise ValueError(
            f"{place}: stimulus_id: {example!r} ends in no number, which gives the order. Number the stimuli."
        )
    stimuli = trimmed(stimuli).assign(row=stimuli.index).iloc[np.argsort(number.astype(int), kind="stable")]
    return in_order(stimuli, stimuli.story + "." + stimuli["index"].astype(str))
