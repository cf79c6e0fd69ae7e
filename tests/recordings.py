"""Recordings made up for tests: one of texts, one a time series."""

import numpy as np
import pandas as pd
import xarray as xr

from brainalign.human.recording import Passage, Recording, passages, responses


def reading(values, story, n_participants=2, row=None, passage=None, text=None):
    """A recording of one text a stimulus; ``values`` are stimulus x unit, units in turn of each participant."""
    story = np.asarray(story, str)
    passage = story if passage is None else np.asarray(passage, str)
    position = pd.Series(passage).groupby(passage).cumcount().to_numpy() + 1
    ids = [f"s{number}" for number in range(len(story))]
    text = [f"text {number:04}" for number in range(len(story))] if text is None else text
    table = {"stimulus_id": ids, "text": text, "passage": passage, "position": position, "story": story}
    stimuli = pd.DataFrame(table).assign(experiment="e", **({} if row is None else {"row": row}))
    owners = np.sort(np.resize([f"p{number}" for number in range(n_participants)], values.shape[1]))
    units = pd.DataFrame({"participant": owners, "unit_id": [str(unit) for unit in range(values.shape[1])]})
    units["region"] = np.resize(["front", "back"], values.shape[1])
    return Recording("mine", responses(values, stimuli, units), passages(stimuli, passage), "", "")


def listening(values, runs, n_participants=2, words_a_volume=2, motion=None, seed=0):
    """A time series, a volume every 2 s, with two volumes dropped before each run, and words at random times."""
    rng, runs = np.random.default_rng(seed), np.asarray(runs)
    volume = np.arange(len(runs)) + 2 * pd.factorize(runs)[0] + 2
    n_words = words_a_volume * (volume[-1] + 1)
    onsets = np.sort(rng.uniform(0, 2 * volume[-1] + 2, n_words))
    words = tuple("a" * int(n) for n in rng.integers(1, 9, n_words))
    story = Passage("tale", words, ("",) * n_words, tuple(onsets.tolist()))
    ids = [f"v{number}" for number in range(len(runs))]
    table = {"stimulus_id": ids, "text": "", "passage": "tale", "position": range(1, len(runs) + 1), "story": "tale"}
    stimuli = pd.DataFrame(table).assign(experiment="e", time=2.0 * volume, run=runs)
    owners = np.sort(np.resize([f"p{number}" for number in range(n_participants)], values.shape[1]))
    units = pd.DataFrame({"participant": owners, "region": "r", "unit_id": range(values.shape[1])}).astype(str)
    nuisance = None
    if motion is not None:  # participant x stimulus
        both = np.stack([motion, np.ones_like(motion)], axis=2).astype(np.float32)
        coordinates = {"participant": list(dict.fromkeys(owners)), "regressor": ["motion_x", "sound_power"]}
        nuisance = xr.DataArray(both, dims=("participant", "stimulus", "regressor"), coords=coordinates)
    return Recording("series", responses(values, stimuli, units), (story,), "", "", tr=2.0, nuisance=nuisance)


def noise(n_stimuli, n_units, seed=0):
    return np.random.default_rng(seed).normal(size=(n_stimuli, n_units))


STORIES = np.repeat([f"story {number}" for number in range(8)], 6)
