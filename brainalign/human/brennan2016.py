"""Brennan et al. 2016: fMRI of people listening to chapter 1 of Alice in Wonderland, a time series.

Twelve minutes, a volume every 2 s, averaged over a sphere (of 6 or 10 mm) in each of six regions. The first ten
volumes are not in the responses: they fall into the 20 s of silence before the story, so that the first response is
at second 20 of the sound. Responses are as they left the scanner, with slow drifts: z-score them, and take out the
nuisance and `timeseries.drifts`.

Nuisance: six parameters of head motion (of SPM, mm and rad), the sound's power, and the rate of words, the last two
convolved with the hemodynamic response by the authors. Our own word rate (`timeseries.events` at the words' onsets)
correlates .99 with theirs, which shows that the clocks agree.

How this differs from the publication:

- Nobody is excluded by head motion or by region; the publication's supplement lists whom it left out.
- **s33** is left out: every value of this participant's files is 0.
- **Words** and their onsets are those of the TextGrid, which was corrected by hand to what was said. Where the
  printed chapter has the same letters its spelling is taken, for its punctuation and capitals; its hyphenated words
  stay apart, as they were spoken.
"""

import difflib
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from brainalign import catalog, messages
from brainalign.human import timeseries
from brainalign.human.download import check_counts, fetch
from brainalign.human.recording import Recording, chapter, responses

DATA = "brain-data/syntax-in-rnng/alice_data_shared"
GRID = "brain-data/syntax-in-rnng/alice_stim_shared/DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"
CHAPTER = "brain-data/syntax-in-rnng/alice/chapters/alice.1.txt"
REGIONS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
MOTION = ("motion_x", "motion_y", "motion_z", "motion_pitch", "motion_roll", "motion_yaw")
TR = 2.0  # s
DROPPED = 10  # volumes before the first response; the motion parameters still have them
SILENCE = ("sp", "")  # what the TextGrid calls a pause


def load(radius: int = 6) -> Recording:
    """Responses to the chapter, with ``nuisance``: 362 volumes x 162 units (27 participants x 6 regions).

    The regions are spheres with a radius of 6 or 10 mm. The participant without any response is left out with a
    warning. Raises as `brainalign.human.load`.
    """
    messages.require("radius (mm)", str(radius), ("6", "10"))
    data = catalog.dataset("brennan2016")
    pattern = re.compile(rf"{DATA}/{radius}mm/(\w+)-timecourses\.txt")
    files = {match[1]: path for path in sorted(data.files) if (match := pattern.fullmatch(path))}
    values = {participant: _numbers(data, path, len(REGIONS)) for participant, path in files.items()}
    counts = {"participants": len(values), "units": len(REGIONS)}
    for participant, path in files.items():
        check_counts(path, counts | {"volumes": len(values[participant])}, data)

    silent = [participant for participant in values if np.ptp(values[participant], axis=0).max() == 0]
    for participant in silent:
        warnings.warn(
            f"brennan2016: {participant} is left out: every value of {files[participant]} is "
            f"{values.pop(participant).flat[0]:g}, so that nothing can correlate with it.",
            stacklevel=2,
        )
    n_volumes = len(next(iter(values.values())))
    words, onsets = _words(fetch(data.file(GRID)))
    words = _as_printed(words, fetch(data.file(CHAPTER)).read_text(encoding="utf-8").split())
    stimuli, text = chapter("alice.1", words, onsets, (DROPPED + np.arange(n_volumes)) * TR, TR)
    stimuli = stimuli.assign(run=1, experiment="brennan2016")
    rows = [(participant, region, f"{participant}.{region}") for participant in values for region in REGIONS]
    units = pd.DataFrame(rows, columns=["participant", "region", "unit_id"])
    nuisance = xr.DataArray(
        np.array([_nuisance(data, participant, n_volumes) for participant in values], np.float32),
        dims=("participant", "stimulus", "regressor"),
        coords={"participant": list(values), "regressor": [*MOTION, "sound_power", "word_rate"]},
    )
    labeled = responses(np.hstack(list(values.values())), stimuli, units)
    about = {"licence": data.licence, "citation": data.citation, "source": data.address}
    return Recording(data.name, labeled, (text,), **about, tr=TR, nuisance=nuisance)


def word_rate_profile(recording: Recording, lags: Iterable[int] = range(-5, 6)) -> pd.DataFrame:
    """Correlate the regions with the rate of words, each volume with the rate some volumes before it.

    The rate is convolved with the canonical hemodynamic response, which holds all of the delay: if words, volumes
    and response are on one clock, the correlation is largest at lag 0. Motion and drifts slower than 128 s are
    regressed out of the responses.

    Returns a row per region and a column per lag, the volumes by which the response is later than predicted: Pearson
    r, the mean over participants.
    """
    lags, onsets = list(lags), recording.onsets
    n = recording.volumes.max() + 1
    rate = timeseries.events(onsets, np.ones(len(onsets)), recording.tr, n)[recording.volumes]
    drifts = timeseries.drifts(len(rate), recording.tr)
    tables = []
    for participant in recording.participants:
        series = recording.responses[:, recording.responses.participant == participant]
        motion = recording.nuisance.sel(participant=participant, regressor=list(MOTION))
        clean = timeseries.regress_out(series.to_numpy(), np.hstack([motion, drifts]))
        r = timeseries.lagged_correlation(rate, clean, lags)
        tables.append(pd.DataFrame(r.T, index=series.region.to_numpy(), columns=lags))
    return sum(tables) / len(tables)


def _words(path: Path) -> tuple[list[str], np.ndarray]:
    """Words of a TextGrid with one tier, and their onsets (s); pauses are left out."""
    interval = re.compile(r'xmin = (\S+)\s+xmax = \S+\s+text = "(.*)"')
    intervals = [(float(start), text.strip()) for start, text in interval.findall(path.read_text(encoding="utf-8"))]
    words = [(start, text) for start, text in intervals if text not in SILENCE]
    if not words:
        raise ValueError(f"{path}: intervals: no word is in it. It must be a TextGrid in Praat's long text format.")
    return [text for _, text in words], np.array([start for start, _ in words])


def _as_printed(words: list[str], printed_words: list[str]) -> list[str]:
    """Words as the printed text has them, where it has the same letters in the same order."""
    spoken_letters, printed_letters = (
        [re.sub(r"\W", "", word).lower() for word in text] for text in (words, printed_words)
    )
    words = list(words)
    for block in difflib.SequenceMatcher(None, spoken_letters, printed_letters, autojunk=False).get_matching_blocks():
        words[block.a : block.a + block.size] = printed_words[block.b : block.b + block.size]
    return words


def _nuisance(data: catalog.Dataset, participant: str, n_volumes: int) -> np.ndarray:
    """Motion, sound power and word rate of a participant: (n_volumes, 8)."""
    start = f"{DATA}/{participant}-rp_"
    motion = next((path for path in data.files if path.startswith(start)), start)
    columns = {
        motion: _numbers(data, motion, len(MOTION))[DROPPED:],
        "sndpwr": _numbers(data, f"{DATA}/{participant}-sndpwr.txt", 1),
        "rate": _numbers(data, f"{DATA}/{participant}-rate.txt", 1),
    }
    for path, values in columns.items():
        if len(values) != n_volumes:
            raise ValueError(
                f"{path}: {participant} has {len(values)} volumes, the responses {n_volumes}. Fetch the files again."
            )
    return np.hstack(list(columns.values()))


def _numbers(data: catalog.Dataset, path: str, n_columns: int) -> np.ndarray:
    """Numbers in a text file: (n_rows, n_columns)."""
    try:
        values = np.loadtxt(fetch(data.file(path)), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Fetch the file again.") from error
    if values.shape[1] != n_columns:
        raise ValueError(f"{path}: expected {n_columns} columns, found {values.shape[1]}. Fetch the file again.")
    return values
