"""What is measured of one member of a study.

Of a model: brains, reading times, what it knows, and what becomes of it while it is tuned. Of people: `people`.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cache

import pandas as pd
import xarray as xr

from brainalign import llm
from brainalign.alignment import controls
from brainalign.human.recording import Recording
from brainalign.llm.models.load import LanguageModel
from brainalign.study.description.loading import (
    alignments,
    informative,
    load_model,
    load_reading_times,
    load_recordings,
)
from brainalign.study.description.members import CONTROL, PEOPLE, Member
from brainalign.study.description.settings import LoadedModel, OwnReadingTimes, Study, Tuning, name_of
from brainalign.study.measurement import brains, people
from brainalign.study.measurement.brains import Features
from brainalign.study.measurement.capability import examined, story_loss
from brainalign.study.measurement.readings import (
    behavior,
    description,
    encoding_device,
    features_of,
    followed,
    record,
    series_of,
    states_of,
    token_ids,
    with_yardstick,
    words,
)
from brainalign.study.measurement.representations import layer_norms, layer_similarity

# Analyses, each a table of its own, and the settings that matter to it.
READING_SETTINGS = {"reading_times", "alignments", "resamples", "seed"}
BRAIN_SETTINGS = {"recordings", "protocols", "layers", "seed"}
BENCHMARK_SETTINGS = {"benchmarks", "benchmark_protocols", "items", "resamples", "seed"}
TEXT_SETTINGS = {"recordings", "reading_times", "layers"}
ANALYSES = {
    "model": set(),
    "texts": TEXT_SETTINGS,
    "tokens": {"recordings", "reading_times"},
    "norms": TEXT_SETTINGS,
    "layers": TEXT_SETTINGS,
    "words": {"reading_times"},
    "behavior": READING_SETTINGS,
    "brain": BRAIN_SETTINGS,
    "one-width": BRAIN_SETTINGS | {"width"},
    "unique": {"recordings", "layers"},
    "similarity": {"recordings", "layers"},
    "capability": BENCHMARK_SETTINGS | {"reading_times"},
    "tuning": READING_SETTINGS | BRAIN_SETTINGS | BENCHMARK_SETTINGS,
    "recordings": {"recordings"},
    "responses": {"recordings"},
    "reliability": {"recordings", "protocols"},
    "reading": {"reading_times", "alignments"},
    "readers": {"reading_times"},
}
# The paper's table of similarity has trained models only; a twin reads the tokens of its model.
NOT_OF_TWINS = {"similarity", "tokens"}


def analyses(study: Study, member: Member) -> list[str]:
    """What a study measures of one of its members, by name."""
    origin = member.about["origin"]
    reading_analyses = ["words", "behavior"] if study.reading_times else []
    if origin == PEOPLE:
        recording_analyses = ["recordings", "responses", "reliability"] if study.recordings else []
        return recording_analyses + (["reading", "readers"] if study.reading_times else [])
    if origin == "series":
        return reading_analyses
    if origin == "control":
        return ["brain", "one-width"] if study.recordings else []
    if not (study.reading_times or study.recordings or study.benchmarks):
        return []
    if origin == "tuning":
        return ["tuning"]
    text_analyses = ["texts", "tokens", "norms", "layers"] if study.recordings or study.reading_times else []
    brain_analyses = ["brain", "one-width", "unique", "similarity"] if study.recordings else []
    capability_analyses = ["capability"] if study.benchmarks or study.reading_times else []
    left_out = NOT_OF_TWINS if member.about["kind"] == "untrained" else set()
    return [
        name
        for name in ["model", *text_analyses, *reading_analyses, *brain_analyses, *capability_analyses]
        if name not in left_out
    ]


Measurement = tuple[str, Callable[[], pd.DataFrame]]  # an analysis, and what computes rows of it


def measure(study: Study, member: Member, names: Collection[str]) -> dict[str, pd.DataFrame]:
    """Measure some of a member's `analyses`: a table of each.

    Raises
    ------
    ValueError, LookupError, OSError
        As in `llm.load`, `llm.activations`, `llm.surprisal`, `brain_alignment` and `behavioral_alignment`.
    """
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for name, compute in _measurements(study, member):
        if name in tables:
            tables[name].append(compute())
    return {name: pd.concat(pieces, ignore_index=True) for name, pieces in tables.items()}


def _measurements(study: Study, member: Member) -> Iterator[Measurement]:
    """Everything that there is to measure of a member, text by text: memory holds the states of one."""
    if member.source == PEOPLE:
        yield from _people_measurements(study)
    elif member.source == CONTROL:
        recordings = load_recordings(study)
        for name, recording in recordings.items():
            features = Features(
                {"features": controls.features(recording, seed=study.seed)[member.name]}, at_parts=False
            )
            yield from _feature_measurements(
                study, lambda features=features: features, recording, name in informative(recordings)
            )
    elif isinstance(member.source, Tuning):
        yield "tuning", lambda: followed(study, member.source)
    elif isinstance(member.source, LoadedModel):
        yield from _model_measurements(study, load_model(study, member.name), encoding_device(member.source))
    else:
        for dataset in study.reading_times:
            yield "words", lambda dataset=dataset: words(series_of(member, dataset), dataset)
            yield "behavior", lambda dataset=dataset: behavior(study, series_of(member, dataset), dataset)


def _people_measurements(study: Study) -> Iterator[Measurement]:
    for source in study.recordings:
        recording, notes = people.load_with_notes(source)
        yield "recordings", lambda recording=recording, notes=notes: people.shape(recording, notes)
        yield "responses", lambda recording=recording: people.responses(recording)
        yield "reliability", lambda recording=recording: people.reliabilities(study, recording)
    for dataset in study.reading_times:
        yield "readers", lambda dataset=dataset: people.readers(dataset)
        for alignment in alignments(study, dataset):
            yield "reading", lambda dataset=dataset, alignment=alignment: people.reading(dataset, alignment)


def _model_measurements(study: Study, model: LanguageModel, device: str | None) -> Iterator[Measurement]:
    yield "model", lambda: description(model)
    recordings = load_recordings(study)
    for dataset in study.reading_times:
        yield "tokens", lambda dataset=dataset: token_ids(model, load_reading_times(dataset).passages, name_of(dataset))
        yield from _reading_measurements(study, model, dataset)
        if not recordings:
            states = cache(lambda dataset=dataset: states_of(study, model, dataset))
            yield from _state_measurements(states, name_of(dataset))
    for name, recording in recordings.items():
        states = cache(lambda recording=recording: states_of(study, model, recording))
        counts = name in informative(recordings)
        features = cache(lambda states=states: features_of(states(), device))
        yield from _feature_measurements(study, features, recording, counts)
        if counts:
            yield "tokens", lambda name=name, recording=recording: token_ids(model, recording.passages, name)
            yield from _state_measurements(states, name)
    if study.benchmarks:
        yield "capability", lambda: examined(study, model)


def _reading_measurements(study: Study, model: LanguageModel, dataset: str | OwnReadingTimes) -> Iterator[Measurement]:
    """Measures of surprisal, which is computed once."""

    @cache
    def bits() -> xr.DataArray:
        return llm.surprisal(model, load_reading_times(dataset).passages, text=name_of(dataset))

    yield "texts", lambda: record(bits(), name_of(dataset))
    yield "words", lambda: with_yardstick(words(bits().to_numpy(), dataset), dataset)
    yield "behavior", lambda: behavior(study, bits().to_numpy(), dataset)
    yield "capability", lambda: story_loss(study, bits().to_numpy(), dataset)


def _feature_measurements(
    study: Study, features: Callable[[], Features], recording: Recording, counts: bool
) -> Iterator[Measurement]:
    """Scores of features on a recording; controls, only where the text can predict it."""
    yield "brain", lambda: brains.scores(study, features(), recording)
    if counts:
        yield "one-width", lambda: brains.scores_at_one_width(study, features(), recording)
        yield "unique", lambda: brains.unique_variance(features(), recording)
        yield "similarity", lambda: brains.similarities(features(), recording)


def _state_measurements(states: Callable[[], xr.DataArray], text: str) -> Iterator[Measurement]:
    yield "texts", lambda: record(states(), text)
    yield "norms", lambda: layer_norms(states()).assign(text=text)
    yield "layers", lambda: layer_similarity(states()).assign(text=text)
