"""What is measured of a study's people themselves: what was recorded of whom, how reliable it is, how long they read.

Pages about people then need no recordings.
"""

import warnings

import numpy as np
import pandas as pd

from brainalign.alignment import protocols
from brainalign.alignment.ceilings import reliability
from brainalign.human import brennan2016
from brainalign.human.recording import Recording
from brainalign.human.repeats import repeated
from brainalign.study.description.loading import load_reading_times, load_recording, simulated_people
from brainalign.study.description.settings import MICROWORLD, OwnReadingTimes, OwnRecording, Study, name_of
from brainalign.study.measurement import brains

UNITS = 600  # of a recording, that are kept to be drawn: a figure has no more columns than that
NORMAL = 1.96  # standard errors on either side that hold 95 %


def load_with_notes(source: str | OwnRecording) -> tuple[Recording, str]:
    """Load a recording of a study, and what its loader warns of, such as a participant who is left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recording = load_recording(source)
    return recording, " ".join(str(warning.message) for warning in caught)


def shape(recording: Recording, notes: str) -> pd.DataFrame:
    """What was recorded: a row.

    Returns
    -------
    DataFrame
        ``dataset``, numbers of ``participants``, ``units``, ``regions`` and ``stimuli``, of which ``repeats`` have a
        text that another one has too, ``tr`` (s; NaN where stimuli are no volumes), ``evidence``, and ``notes`` of the
        loader.
    """
    responses = recording.responses
    row = {
        "dataset": recording.name,
        "participants": len(recording.participants),
        "units": responses.sizes["unit"],
        "regions": len(np.unique(responses.region)),
        "stimuli": responses.sizes["stimulus"],
        "repeats": int(repeated(recording).sum()),
        "tr": recording.tr or np.nan,
        "evidence": recording.evidence,
        "notes": notes,
    }
    return pd.DataFrame([row])


def responses(recording: Recording) -> pd.DataFrame:
    """Responses to be drawn: of volumes each region's mean over participants, of other stimuli some hundred units.

    Returns
    -------
    DataFrame
        A row per unit and stimulus, in this order: ``dataset``, ``participant`` and ``unit`` (of a mean, ``all`` and
        the region), ``stimulus``, counted from 0, ``seconds``, and ``response`` (of a mean, in standard deviations)
        with ``low`` and ``high``, the 95 % interval of a mean.
    """
    table = _mean_courses(recording) if recording.tr else _spread_units(recording)
    columns = ["dataset", "participant", "unit", "stimulus", "seconds", "response", "low", "high"]
    return table.assign(dataset=recording.name).reindex(columns=columns)


def _mean_courses(recording: Recording) -> pd.DataFrame:
    tables, values = [], recording.responses
    for region in dict.fromkeys(values.region.to_numpy()):
        region_values = values[:, (values.region == region).to_numpy()].to_numpy().astype(float)
        z = (region_values - region_values.mean(axis=0)) / region_values.std(axis=0)
        several = z.shape[1] > 1  # a mean of one has no interval
        mean, error = z.mean(axis=1), NORMAL * z.std(axis=1, ddof=1) / np.sqrt(z.shape[1]) if several else np.nan
        seconds = np.arange(len(z)) * recording.tr
        about = {"participant": "all", "unit": region, "stimulus": np.arange(len(z)), "seconds": seconds}
        tables.append(pd.DataFrame({**about, "response": mean, "low": mean - error, "high": mean + error}))
    return pd.concat(tables, ignore_index=True)


def _spread_units(recording: Recording) -> pd.DataFrame:
    """All units, or `UNITS` of them at even steps, those of a participant side by side."""
    order = np.argsort(recording.units.participant.to_numpy(), kind="stable")
    drawn = order[np.linspace(0, len(order) - 1, min(UNITS, len(order))).round().astype(int)]
    values = recording.responses.to_numpy()[:, drawn].astype("float32")
    units = recording.units.iloc[drawn]
    return pd.DataFrame(
        {
            "participant": np.repeat(units.participant.to_numpy(), len(values)),
            "unit": np.repeat(units.unit_id.to_numpy(), len(values)),
            "stimulus": np.tile(np.arange(len(values)), len(drawn)),
            "response": values.T.ravel(),
        }
    )


def reliabilities(study: Study, recording: Recording) -> pd.DataFrame:
    """How much of one person's data others tell.

    Returns
    -------
    DataFrame
        ``dataset``, ``measure``, ``region``, ``protocol``, ``lag`` (volumes), ``value``, ``low``, ``high``, ``n``. The
        measures: of volumes ``intersubject`` correlation in each region, and, where words have onsets that are known
        to be the recording's, their ``word-rate``'s with each region at each lag; of other stimuli the ``ceiling``
        under the paper's splits; of simulated people the ``true-ceiling`` under each protocol, over ``n`` units.
    """
    if recording.tr:
        tables = [_intersubject(recording)]
        if recording.name == "brennan2016":
            tables.append(_word_rate(recording))
    else:
        limit = brains.ceiling_of(protocols.resolve(protocols.AW2024.name, recording), recording)
        row = {"value": limit.ceiling, "low": limit.low, "high": limit.high} if limit else {"value": np.nan}
        tables = [pd.DataFrame([{"measure": "ceiling", **row}])]
    if recording.name in MICROWORLD:
        tables.append(_true_ceilings(study, recording))
    columns = ["dataset", "measure", "region", "protocol", "lag", "value", "low", "high", "n"]
    return pd.concat(tables, ignore_index=True).assign(dataset=recording.name).reindex(columns=columns)


def _intersubject(recording: Recording) -> pd.DataFrame:
    """Inter-subject correlation in each region that enough people have; no row where there is none."""
    units = recording.units
    people_in = units.groupby("region").participant.transform("nunique")
    shared = (people_in >= brains.PEOPLE_FOR_A_CEILING).to_numpy()
    if not shared.any():
        return pd.DataFrame(columns=["measure", "region", "value", "low", "high", "n"])
    correlations = reliability.intersubject_correlation(
        recording.responses.to_numpy()[:, shared],
        units.participant.to_numpy()[shared],
        units.region.to_numpy()[shared],
    )
    return correlations.rename(columns={"n_participants": "n"}).assign(measure="intersubject")


def _word_rate(recording: Recording) -> pd.DataFrame:
    profile = brennan2016.word_rate_profile(recording).rename_axis("region").reset_index()
    return profile.melt(id_vars="region", var_name="lag", value_name="value").assign(measure="word-rate")


def _true_ceilings(study: Study, recording: Recording) -> pd.DataFrame:
    rows, simulated = [], simulated_people(recording.name)
    for name in brains.protocols_of(study, recording):
        folds = protocols.splits_of(protocols.resolve(name, recording), recording)
        ceilings = simulated.true_ceiling(folds)
        rows.append(
            {"measure": "true-ceiling", "protocol": name, "value": float(np.median(ceilings)), "n": len(ceilings)}
        )
    return pd.DataFrame(rows)


def reading(dataset: str | OwnReadingTimes, alignment: str) -> pd.DataFrame:
    """Mean reading time of each word, as `ReadingTimes.table`, with ``true_surprisal`` where readers are simulated."""
    loaded = load_reading_times(dataset, alignment)
    table = loaded.table().assign(dataset=name_of(dataset), alignment=alignment)
    if "true_surprisal" in loaded.times.coords:
        table["true_surprisal"] = loaded.times.true_surprisal.to_numpy()
    return table


def readers(dataset: str | OwnReadingTimes) -> pd.DataFrame:
    """How many read, and the reliability of their mean times: a row.

    Returns
    -------
    DataFrame
        ``dataset``; ``readers`` and ``ceiling``, from halves of them; NaN where only means were released.
    """
    times = load_reading_times(dataset).times
    row = {"dataset": name_of(dataset), "readers": np.nan, "ceiling": np.nan}
    if "reader" in times.dims:
        row |= {"readers": times.sizes["reader"], "ceiling": reliability.split_half(times.to_numpy())}
    return pd.DataFrame([row])
