"""What a recording must be: its coordinates, and the rules that they keep.

Each problem is one sentence that names the source, the place, the field and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from brainalign.human.recording import Recording

STIMULUS = ("stimulus_id", "text", "passage", "position", "story", "experiment")
SERIES = ("time", "run")
UNIT = ("participant", "region", "unit_id")


def check(recording: Recording) -> None:
    """Raise ValueError if the parts of a recording do not fit each other."""
    for problems in (_coordinates, _stimuli, _units, _passages, _nuisance):
        for problem in problems(recording):  # the first: later ones may follow from it
            raise ValueError(f"{recording.source or recording.name}: {problem}")


def _coordinates(recording: Recording) -> Iterator[str]:
    data = recording.responses
    if data.dims != ("stimulus", "unit") or data.dtype != np.float32:
        actual = f"got {data.dtype} {data.dims}"
        yield f"responses: expected float32 ('stimulus', 'unit'), {actual}. Cast and transpose them."
    if 0 in data.shape:
        yield f"responses: nothing is left: {dict(data.sizes)}. See that the file has responses."
    for dim, names in (("stimulus", STIMULUS + (SERIES if recording.tr is not None else ())), ("unit", UNIT)):
        for name in names:
            if name not in data.coords or data[name].dims != (dim,):
                yield f"{name}: the coordinate is missing on {dim!r}. Assign it to the responses."
    for name in ("position", "time", "row"):
        if name in data.coords and data[name].dtype.kind not in "iuf":
            yield f"{name}: expected numbers, got {data[name].dtype}: as text 10 comes before 2. Cast it."


def _stimuli(recording: Recording) -> Iterator[str]:
    table = recording.stimuli
    passage, position = table.passage, table.position
    opens = ~passage.duplicated()
    rules = {
        "stimulus_id: it is not unique. Name each stimulus once.": table.stimulus_id.duplicated(),
        "passage: its stimuli do not stand together. Sort the rows.": opens != (passage != passage.shift()),
        "position: positions must count 1, 2, 3, ... within the passage. Sort the rows, or correct the column.": (
            np.where(opens, position != 1, position.diff() != 1)
        ),
        "story: its passage began in another story. Give the passage another name, or correct the story.": (
            ~opens & (table.story != table.story.shift())
        ),
    }
    if recording.tr is None:
        rules["text: it is empty. Fill it in, or leave the row out."] = table.text.str.strip() == ""
    else:
        early = (table.run == table.run.shift()) & (table.time.diff() <= 0)
        rules["time: time must ascend within a run. Sort the volumes."] = early
    for problem, broken in rules.items():
        if np.any(broken):
            row = table.iloc[int(np.argmax(broken))]
            yield f"stimulus {row.stimulus_id!r} (passage {row.passage!r}, position {row.position}): {problem}"


def _units(recording: Recording) -> Iterator[str]:
    table, values = recording.units, recording.responses.to_numpy()
    # fmin and fmax pass over NaN, and make no copy of what may be a large array.
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    rules = {
        "unit_id: it is not unique. Name each unit once.": table.unit_id.duplicated(),
        "responses: it is missing (NaN) for every stimulus. Leave the unit out.": np.isnan(low),
        "responses: it is infinite somewhere. Leave the unit out.": np.isinf(low) | np.isinf(high),
        "responses: it is constant, so that nothing can correlate with it. Leave the unit out.": low == high,
    }
    for problem, broken in rules.items():
        if np.any(broken):
            row = table.iloc[int(np.argmax(broken))]
            extent = f" It is the same of {int(np.sum(broken)) - 1} more." if np.sum(broken) > 1 else ""
            yield f"unit {row.unit_id!r} (participant {row.participant!r}): {problem}{extent}"


def _passages(recording: Recording) -> Iterator[str]:
    stimuli = recording.stimuli
    texts = dict(zip(stimuli.stimulus_id, stimuli.text, strict=True))
    if len({passage.id for passage in recording.passages}) < len(recording.passages):
        yield "passages: two have the same id. Name each once."
    for passage in recording.passages:
        if len(passage.stimuli) != len(passage.parts):
            yield f"passage {passage.id!r}: stimuli: they are missing. Name the stimulus of each part."
        if recording.tr is not None and len(passage.onsets) != len(passage.parts):
            yield f"passage {passage.id!r}: onsets: a time series needs the second of each part."
    references = [stimulus for passage in recording.passages for stimulus in passage.stimuli]
    if unknown := set(references) - set(texts) - {""}:
        yield f"passages: they name {min(unknown)!r}, which is no stimulus. Correct their stimuli."
    if recording.tr is not None:
        return
    if sorted(filter(None, references)) != sorted(texts):
        yield "passages: each stimulus must be the text of exactly one part. Correct their stimuli."
    parts = [part for passage in recording.passages for part in passage.parts]
    for part, stimulus in zip(parts, references, strict=True):
        if stimulus and part != texts[stimulus]:
            yield f"stimulus {stimulus!r}: text: its passage has {part!r}. Correct one."


def _nuisance(recording: Recording) -> Iterator[str]:
    if (data := recording.nuisance) is None:
        return
    expected = ("participant", "stimulus", "regressor")
    if data.dims != expected or data.sizes["stimulus"] != recording.responses.sizes["stimulus"]:
        actual = f"got {dict(data.sizes)}"
        yield f"nuisance: expected {expected}, a row for each stimulus, {actual}. Transpose or cut it."
    if (names := data["participant"].to_numpy().tolist()) != recording.participants:
        yield f"nuisance: it is of {names}, the responses are of {recording.participants}. Take the same."
