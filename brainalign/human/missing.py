"""Missing responses: what an encoding model cannot do with, and what can be done about it.

A fit takes every response of a unit. `RULES` name three ways out, of which a study takes one; `remedies` says what each
would leave of a recording, and `suspicion` finds the number that stands for a missing value.
"""

from dataclasses import replace

import numpy as np

from brainalign import messages
from brainalign.human.recording import Recording

UNITS, STIMULI, MEAN = RULES = ("leave out units", "leave out stimuli", "mean")
FAR = 5  # times the spread of the rest, from which a repeated number is taken for none
SPREAD = (5, 95)  # percentiles that it is between


def completed(recording: Recording, rule: str) -> Recording:
    """Recording without missing responses.

    Units that miss a stimulus are left out, or stimuli that a unit misses (their text is still read, by people and by
    models), or ``mean`` fills in each unit's mean over the other stimuli.

    Raises
    ------
    LookupError
        No such rule.
    ValueError
        Nothing would be left.
    """
    messages.require("rule for missing responses", rule, RULES)
    data, holes = recording.responses, np.isnan(recording.responses.to_numpy())
    if rule == MEAN:
        return replace(recording, responses=data.fillna(data.mean("stimulus")))
    keep = ~holes.any(axis=0 if rule == UNITS else 1)
    if not keep.any():
        raise ValueError(
            f"{recording.source or recording.name}: responses: to {rule} with missing responses leaves none. "
            f"{_sentence(recording)}"
        )
    if rule == UNITS:
        return replace(recording, responses=data[:, keep])
    data = data[keep]
    passage = data["passage"].to_series().reset_index(drop=True)
    position = passage.groupby(passage).cumcount().to_numpy() + 1
    kept = set(data["stimulus_id"].to_numpy().tolist())
    passages = [
        replace(text, stimuli=tuple(stimulus if stimulus in kept else "" for stimulus in text.stimuli))
        for text in recording.passages
        if kept & set(text.stimuli)
    ]
    return replace(recording, responses=data.assign_coords(position=("stimulus", position)), passages=tuple(passages))


def remedies(recording: Recording) -> str:
    """What is refused of a recording when it is scored, and what each rule would leave; empty where nothing is."""
    return _sentence(recording) if np.isnan(recording.responses.to_numpy()).any() else ""


def _sentence(recording: Recording) -> str:
    holes = np.isnan(recording.responses.to_numpy())
    units, stimuli = holes.any(axis=0), holes.any(axis=1)
    return (
        f"{units.sum()} of {messages.count(len(units), 'unit')} miss up to {holes.sum(axis=0).max()} of "
        f"{messages.count(len(stimuli), 'stimulus')}, and brain_alignment refuses them. In a study, say missing: "
        f"{UNITS} ({(~units).sum()} units are left), missing: {STIMULI} ({(~stimuli).sum()} stimuli are left) or "
        f"missing: {MEAN} (a unit's mean over the other stimuli)."
    )


def suspicion(recording: Recording) -> str:
    """A number that is there several times, far outside all others, such as -999; empty where there is none."""
    values = recording.responses.to_numpy()
    for extreme in (np.nanmin(values), np.nanmax(values)):
        rest = values[np.isfinite(values) & (values != extreme)]
        n = int((values == extreme).sum())
        if n < 2 or len(rest) < 2:
            continue
        low, high = np.percentile(rest, SPREAD)
        if high > low and np.abs(rest - extreme).min() > FAR * (high - low):
            return (
                f"responses: {extreme:g} is there {n} times, far outside all others. If it stands for a missing value, "
                "leave these cells empty."
            )
    return ""
