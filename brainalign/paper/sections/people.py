"""The people: what was recorded, how alike they respond, and what their reading times are worth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign import study as studies
from brainalign.alignment.behavior import reliability_of_means
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns
from brainalign.paper.sections.estimates import Finding, live, lives
from brainalign.study import Study
from brainalign.study.description.settings import READERS

SELF_PACED, MAZE = "natural_stories", "natural_stories.maze"
OPENING = 60  # words of a profile
HALVES = "split half, Spearman-Brown, median of ten halves"
# Profiles of reading times: the data set, the title, and on what they rest.
PROFILES = {
    "natural_stories-profile": (SELF_PACED, "Readers slow down at some words and speed up at others", "people"),
    "microworld-profile": (READERS, "Simulated readers slow down where the text is hard to foresee", "microworld"),
}
COLUMNS = (
    columns.named("dataset")
    | columns.numbers(",d", "participants", "units", "stimuli")
    | columns.numbers(".3f", ceiling="Ceiling", intersubject="Inter-subject r")
)
# Columns of results, which are none in a study that has only reading times.
RECORDINGS = ["dataset", "participants", "units", "regions", "stimuli", "tr", "evidence", "notes"]
RELIABILITY = ["dataset", "measure", "region", "protocol", "lag", "value", "low", "high", "n"]


def recordings(study: Study) -> pd.DataFrame:
    """Size of each recording, and on what it rests, by data set."""
    return studies.results(study, "recordings").reindex(columns=RECORDINGS).set_index("dataset")


def table_of_recordings(recordings: pd.DataFrame, reliability: pd.DataFrame) -> pd.DataFrame:
    """Size of each recording, its ceiling, and how alike people respond, on average over regions."""
    measures = reliability.pivot_table(index="dataset", columns="measure", values="value", aggfunc="mean")
    measures = measures.reindex(index=recordings.index, columns=["ceiling", "intersubject"])
    return recordings.join(measures).reset_index()


def numbers_of_recordings(recordings: pd.DataFrame) -> list[Live]:
    """Size of each recording, as ``DATASET.WHAT``."""
    sizes = recordings.reset_index().assign(each=recordings.units.to_numpy() // recordings.participants.to_numpy())
    counts = {"participants": "d", "stimuli": ",d", "units": ",d", "regions": "d"}
    return [
        *(number for what, form in counts.items() for number in lives(sizes, f"{{dataset}}.{what}", form, value=what)),
        *lives(sizes, "{dataset}.units-each", ",d", value="each", method="mean of a participant"),
    ]


def responses(study: Study, recordings: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Responses of each of these recordings, by data set."""
    table = studies.results(study, "responses")
    return {name: table[table.dataset == name] for name in recordings.index}


def by_unit(matrix: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and quantiles of each unit's responses."""
    return matrix.groupby(["participant", "unit"], sort=False).response.describe().reset_index()


def title_of_course(course: pd.DataFrame) -> str:
    """How many volumes there are."""
    return f"{course.stimulus.nunique()} volumes of every region"


def title_of_matrix(matrix: pd.DataFrame, units: int) -> str:
    """How many stimuli and units there are, and how many of these are drawn."""
    stimuli = matrix.stimulus.nunique()
    drawn = len(matrix) // stimuli
    return f"{stimuli} stimuli, {units:,} units" + (f", {drawn} of them drawn" if drawn < units else "")


def reliability(study: Study) -> pd.DataFrame:
    """Ceilings, inter-subject correlations, and correlations with word rate: ``measure`` says which."""
    return studies.results(study, "reliability").reindex(columns=RELIABILITY)


def numbers_of_ceilings(reliability: pd.DataFrame) -> list[Live]:
    """Noise ceilings: those that could be estimated, and the true ones of a simulation."""
    extrapolated = reliability[(reliability.measure == "ceiling") & reliability.value.notna()]
    true = reliability[reliability.measure == "true-ceiling"]
    method = "median over units of what a model scores that knows all that text tells"
    shuffled = extrapolated[["dataset", "value"]]
    return [
        *lives(shuffled, "{dataset}.ceiling", ".3f", value="value", method="extrapolated, shuffled splits"),
        *lives(true, "{dataset}.true-ceiling.{protocol}", ".3f", value="value", method=method),
    ]


def intersubject(reliability: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Correlation of each participant with the mean of the others, a row a region, by data set."""
    rows = reliability[reliability.measure == "intersubject"]
    rows = rows.assign(label=rows.region, estimate=rows.value).set_index("dataset")
    return {name: table.reset_index(drop=True) for name, table in rows.groupby("dataset")}


def finding_of_intersubject(name: str, table: pd.DataFrame) -> Finding:
    """The regions in which people respond most and least alike, and how many are clear of zero."""
    numbers = []
    for key, row in {"best": table.loc[table.value.idxmax()], "least": table.loc[table.value.idxmin()]}.items():
        method = f"{row.region}; jackknife over participants"
        numbers.append(live(f"{name}.isc.{key}", row, value="value", method=method))
        numbers.append(Live(f"{name}.isc.{key}.region", row.region))
    clear, method = (table.low > 0).sum(), "regions whose interval lies above zero"
    numbers.append(Live(f"{name}.isc.clear", clear, "d", n=len(table), method=method))
    return Finding(numbers, f"People respond alike in {clear} of {len(table)} regions")


def word_rates(reliability: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Correlation of word rate and response, a row a region and lag, by data set."""
    rows = reliability[reliability.measure == "word-rate"].assign(panel="Word rate and response")
    return {name: table.reset_index(drop=True) for name, table in rows.set_index("dataset").groupby("dataset")}


def finding_of_word_rate(name: str, rates: pd.DataFrame) -> Finding:
    """The lag at which word rate correlates most with the responses, and whether that is none."""
    mean = rates.groupby("lag").value.mean()
    word = "are aligned in time" if mean.idxmax() == 0 else "are not aligned in time"
    largest = "lag of the largest mean correlation"
    numbers = [
        Live(f"{name}.lag.best", int(mean.idxmax()), "d", " volumes", method=largest),
        Live(f"{name}.lag.r", mean.max(), method="mean over regions at that lag"),
        Live(f"{name}.lag.verdict", word),
    ]
    return Finding(numbers, f"Words and responses {word}")


@dataclass(frozen=True)
class Reading:
    """Reading times of a study.

    `words` has a row a word, by data set and alignment; `readers` by data set the number of ``readers`` and the
    ``ceiling`` of their means, NaN where only means are released.
    """

    words: dict[tuple[str, str], pd.DataFrame]
    readers: pd.DataFrame

    def first(self, name: str) -> pd.DataFrame:
        """Words of a data set, under the first of its alignments; none without the data set."""
        tables = (table for (dataset, _), table in self.words.items() if dataset == name)
        return next(tables, pd.DataFrame())


def reading(study: Study) -> Reading:
    """Read the reading times of a study, if it has any."""
    words, readers = studies.results(study, "reading"), studies.results(study, "readers")
    if words.empty:
        return Reading({}, readers)
    keys = ["dataset", "alignment"]
    tables = words.set_index(keys).groupby(level=keys, sort=False)
    return Reading(dict(list(tables)), readers.set_index("dataset"))


def numbers_of_reading(reading: Reading) -> list[Live]:
    """Size and reliability of each data set that the study has."""
    numbers = {SELF_PACED: _self_paced, READERS: _simulated, MAZE: _maze}
    return [live for name, lives in numbers.items() if len(reading.first(name)) for live in lives(reading)]


def _self_paced(reading: Reading) -> list[Live]:
    words, key = reading.first(SELF_PACED), SELF_PACED
    reliability = reliability_of_means(words.reading_time, words.sd, words.n_readers)
    return [
        Live(f"{key}.words", len(words), ",d"),
        Live(f"{key}.stories", words.story.nunique(), "d"),
        Live(f"{key}.sentences", words.groupby("story").sentence.max().sum(), "d"),
        Live(f"{key}.reliability", reliability, ".3f", method="from standard deviations and counts"),
        Live(f"{key}.readers", words.n_readers.median(), ".0f", method="median number of readers a word"),
    ]


def _simulated(reading: Reading) -> list[Live]:
    words, readers = reading.first(READERS), reading.readers.loc[READERS]
    return [
        Live("microworld.words", len(words), ",d"),
        Live("microworld.stories", words.story.nunique(), "d"),
        Live("microworld.readers", readers.readers, ".0f"),
        Live("microworld.times.ceiling", readers.ceiling, method=HALVES),
    ]


def _maze(reading: Reading) -> list[Live]:
    times, readers = reading.first(MAZE).reading_time.to_numpy(), reading.readers.loc[MAZE]
    numbers = [
        Live("maze.readers", readers.readers, ".0f"),
        Live("maze.words", np.isfinite(times).sum(), ",d"),
        Live("maze.ceiling", readers.ceiling, method=HALVES),
    ]
    for (dataset, alignment), words in reading.words.items():
        if dataset == SELF_PACED:
            self_paced = words.reading_time.to_numpy()
            both = np.isfinite(times) & np.isfinite(self_paced)
            r, key = np.corrcoef(self_paced[both], times[both])[0, 1], f"maze.self-paced.{alignment}.r"
            numbers.append(Live(key, r, n=both.sum(), method="word means of the two"))
    return numbers


def profiles(reading: Reading) -> dict[str, tuple[pd.DataFrame, str, str]]:
    """Figures of reading times, by name: the first words of the first story, the title, and on what they rest."""
    words = {name: reading.first(dataset).head(OPENING) for name, (dataset, *_) in PROFILES.items()}
    return {name: (table, *PROFILES[name][1:]) for name, table in words.items() if len(table)}
