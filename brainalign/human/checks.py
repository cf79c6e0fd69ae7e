"""What a recording must be: its coordinates, and the rules that they keep.

Each problem is one sentence that names the source, the place, the field and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from brainalign.human.recording import Recording

STIMULUS = ("stimulus_id", "text", "passage", "position", "story", "experiment")
SERIES = ("time", "run")
UNIT = ("participant", "region", "unit_id")


def check(recording: Recording) -> None:
    """See that the parts of a recording fit each other.

    Raises
    ------
    ValueError
        They do not.
    """
    _coordinates(recording)
    _stimuli(recording)
    _units(recording)
    _passages(recording)
    if recording.nuisance is not None:
        _nuisance(recording)


def _fail(recording: Recording, place: str, field: str, problem: str) -> None:
    raise ValueError(f"{recording.source or recording.name}: {place}{field}: {problem}")


def _coordinates(recording: Recording) -> None:
    data = recording.responses
    if data.dims != ("stimulus", "unit") or data.dtype != np.float32:
        actual = f"got {data.dtype} {data.dims}"
        _fail(recording, "", "responses", f"expected float32 ('stimulus', 'unit'), {actual}. Cast and transpose them.")
    if 0 in data.shape:
        _fail(recording, "", "responses", f"nothing is left: {dict(data.sizes)}. See that the file has responses.")
    by_dim = {"stimulus": STIMULUS + (SERIES if recording.tr is not None else ()), "unit": UNIT}
    for dim, names in by_dim.items():
        for name in names:
            if name not in data.coords or data[name].dims != (dim,):
                _fail(recording, "", name, f"the coordinate is missing on {dim!r}. Assign it to the responses.")


def _stimuli(recording: Recording) -> None:
    table = recording.stimuli
    passage, position = table.passage, table.position
    opens = ~passage.duplicated()
    rules = [
        ("stimulus_id", table.stimulus_id.duplicated(), "it is not unique. Name each stimulus once."),
        ("passage", opens != (passage != passage.shift()), "its stimuli do not stand together. Sort the rows."),
        (
            "position",
            np.where(opens, position != 1, position.diff() != 1),
            "positions must count 1, 2, 3, ... within the passage. Sort the rows, or correct the column.",
        ),
        (
            "story",
            ~opens & (table.story != table.story.shift()),
            "its passage began in another story. Give the passage another name, or correct the story.",
        ),
    ]
    if recording.tr is None:
        rules.append(("text", table.text.str.strip() == "", "it is empty. Fill it in, or leave the row out."))
    else:
        early = (table.run == table.run.shift()) & (table.time.diff() <= 0)
        rules.append(("time", early, "time must ascend within a run. Sort the volumes."))
    for field, broken, problem in rules:
        if np.any(broken):
            row = table.iloc[int(np.argmax(broken))]
            place = f"stimulus {row.stimulus_id!r} (passage {row.passage!r}, position {row.position}): "
            _fail(recording, place, field, problem)


def _units(recording: Recording) -> None:
    table, values = recording.units, recording.responses.to_numpy()
    # fmin and fmax pass over NaN, and make no copy of what may be a large array.
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    remedy = "Leave the unit out."
    rules = [
        ("unit_id", table.unit_id.duplicated(), "it is not unique. Name each unit once."),
        ("responses", np.isnan(low), f"it is missing (NaN) for every stimulus. {remedy}"),
        ("responses", np.isinf(low) | np.isinf(high), f"it is infinite somewhere. {remedy}"),
        ("responses", low == high, f"it is constant, so that nothing can correlate with it. {remedy}"),
    ]
    for field, broken, problem in rules:
        if np.any(broken):
            row = table.iloc[int(np.argmax(broken))]
            extent = f" It is the same of {int(np.sum(broken)) - 1} more." if np.sum(broken) > 1 else ""
            _fail(recording, f"unit {row.unit_id!r} (participant {row.participant!r}): ", field, problem + extent)


def _passages(recording: Recording) -> None:
    texts = dict(zip(*(recording.stimuli[name].tolist() for name in ("stimulus_id", "text")), strict=True))
    if len({passage.id for passage in recording.passages}) < len(recording.passages):
        _fail(recording, "", "passages", "two have the same id. Name each once.")
    for passage in recording.passages:
        place = f"passage {passage.id!r}: "
        if len(passage.stimuli) != len(passage.parts):
            _fail(recording, place, "stimuli", "they are missing. Name the stimulus of each part.")
        if recording.tr is not None and len(passage.onsets) != len(passage.parts):
            _fail(recording, place, "onsets", "a time series needs the second of each part.")
    references = [stimulus for passage in recording.passages for stimulus in passage.stimuli]
    gaps = {""} if recording.tr is not None else set()
    if unknown := set(references) - set(texts) - gaps:
        _fail(recording, "", "passages", f"they name {min(unknown)!r}, which is no stimulus. Correct their stimuli.")
    if recording.tr is not None:
        return
    if sorted(references) != sorted(texts):
        _fail(recording, "", "passages", "each stimulus must be the text of exactly one part. Correct their stimuli.")
    parts = [part for passage in recording.passages for part in passage.parts]
    for part, stimulus in zip(parts, references, strict=True):
        if part != texts[stimulus]:
            _fail(recording, f"stimulus {stimulus!r}: ", "text", f"its passage has {part!r}. Correct one.")


def _nuisance(recording: Recording) -> None:
    data, expected = recording.nuisance, ("participant", "stimulus", "regressor")
    if data.dims != expected or data.sizes["stimulus"] != recording.responses.sizes["stimulus"]:
        actual = f"got {dict(data.sizes)}"
        _fail(
            recording, "", "nuisance", f"expected {expected}, a row for each stimulus, {actual}. Transpose or cut it."
        )
    if (names := data["participant"].to_numpy().tolist()) != recording.participants:
        participants = recording.participants
        _fail(recording, "", "nuisance", f"it is of {names}, the responses are of {participants}. Take the same.")
