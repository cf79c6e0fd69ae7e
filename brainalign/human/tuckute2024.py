"""Tuckute et al. 2024: fMRI of people reading a thousand sentences, each by itself, and the mean of five of them.

Nothing precedes a sentence, so that each is a passage and a story of its own: no split can part neighbors. Responses
are z-scored in each session. Two files hold the mean over people of the left language network:

- ``table``: of its five regions and of the network, which is one more unit (``lang_LH_netw``).
- ``brainscore``: of the network alone, as Brain-Score distributes it.

How this differs from the publication: the sentences that were made to drive or to suppress responses, and the people
who read those, are in neither file. There are no single people, so that nothing has an interval over them, and no
ceiling can be estimated; that of the network is published.
"""

from pathlib import Path

import pandas as pd

from brainalign import catalog, messages
from brainalign.human import brainscore, own
from brainalign.human.download import check_counts, fetch
from brainalign.human.recording import Recording, in_order, passages, responses, trimmed

FILES = {"table": "bold_response_LH.csv", "brainscore": "assy_Tuckute2024_language.nc"}
COLUMNS = {"item_id": "stimulus_id", "sentence": "text"}
STIMULUS = {"stimulus_id": "stimulus_id", "text": "stimulus"}
UNIT = {"people": "subject_UID", "region": "roi"}
N_PEOPLE = 5  # whose mean the table is; Brain-Score's file lists whose its mean is


def load(source: str = "table", path: Path | str | None = None) -> Recording:
    """Mean responses of five people to 1,000 sentences: of six units from the ``table``, of one from ``brainscore``.

    A path is of a file in the same layout, instead of the published one. Raises as `brainalign.human.load`.
    """
    messages.require("source of Tuckute2024", source, FILES)
    data = catalog.dataset("tuckute2024" if source == "table" else f"tuckute2024.{source}")
    place = Path(path or fetch(data.file(FILES[source])))
    stimuli, units, values = (_table if source == "table" else _netcdf)(place)
    if path is None:
        counts = {"stimuli": len(stimuli), "units": len(units), "participants": units.people.max()}
        check_counts(place, counts, data)
    stimuli = trimmed(stimuli).assign(story=stimuli.stimulus_id, experiment="tuckute2024")
    stimuli = in_order(stimuli, stimuli.stimulus_id)
    names = [f"mean of {n} people" for n in units.people]
    units = units.drop(columns="people").assign(participant=names, unit_id=units.region)
    about = {"licence": data.licence, "citation": data.citation, "source": str(place)}
    return Recording(data.name, responses(values, stimuli, units), passages(stimuli, stimuli.passage), **about)


def _table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Stimuli, units, and responses (n_stimuli, n_units)."""
    cells = own.read(path, tuple(COLUMNS))
    values = pd.DataFrame({name: own.numbers(cells[name], path) for name in cells.columns.difference(COLUMNS, False)})
    units = pd.DataFrame({"region": list(values), "people": N_PEOPLE})
    return cells[list(COLUMNS)].rename(columns=COLUMNS), units, values


def _netcdf(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    with brainscore.opened(path) as file:
        stimuli = brainscore.coordinates(file, "presentation", STIMULUS)
        units = brainscore.coordinates(file, "neuroid", UNIT)
        values = file.to_numpy()
    # One name lists everybody whose mean it is: 848-853-865-875-876.
    return stimuli, units.assign(people=units.people.astype(str).str.count("-") + 1), values
