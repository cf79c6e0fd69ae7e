"""What is measured of one member of a study.

Of a model: brains, reading times, what it knows, and what becomes of it while it is tuned. Of people: `people`.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from brainalign import llm
from brainalign.alignment import controls, protocols
from brainalign.alignment.behavior import behavioral_alignment, reading_time_correlation
from brainalign.human.reading_times import ReadingTimes
from brainalign.human.recording import Recording
from brainalign.llm.models.load import LanguageModel
from brainalign.llm.reading import series
from brainalign.llm.reading.activations import layer_names
from brainalign.study.description.loading import (
    alignments,
    informative,
    load_checkpoints,
    load_model,
    load_reading_times,
    load_recordings,
)
from brainalign.study.description.members import CONTROL, PEOPLE, Member
from brainalign.study.description.settings import LoadedModel, SeriesFile, Study, Tuning
from brainalign.study.measurement import brains, people
from brainalign.study.measurement.brains import Features
from brainalign.study.measurement.capability import examined, story_loss
from brainalign.study.measurement.representations import layer_norms, layer_similarity

# Analyses, each a table of its own, and the settings that matter to it.
READING_SETTINGS = {"reading_times", "alignments", "resamples", "seed"}
BRAIN_SETTINGS = {"recordings", "protocols", "layers", "seed"}
BENCHMARK_SETTINGS = {"benchmarks", "benchmark_protocols", "items", "resamples", "seed"}
TEXT_SETTINGS = {"recordings", "reading_times", "layers"}
ANALYSES = {
    "model": set(),
    "texts": TEXT_SETTINGS,
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
NOT_OF_TWINS = {"similarity"}  # the paper's table has trained models only
RECORD = ("tokens", "parts", "parts_encoded_anew", "special_tokens", "read_as", "first_word")  # of how a text was read


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
    text_analyses = ["texts", "norms", "layers"] if study.recordings or study.reading_times else []
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
            yield "words", lambda dataset=dataset: words(_series(member, dataset), dataset)
            yield "behavior", lambda dataset=dataset: behavior(study, _series(member, dataset), dataset)


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
        yield from _reading_measurements(study, model, dataset)
        if not recordings:
            yield from _state_measurements(cache(lambda dataset=dataset: _states(study, model, dataset)), dataset)
    for name, recording in recordings.items():
        states = cache(lambda recording=recording: _states(study, model, recording))
        counts = name in informative(recordings)
        features = cache(lambda states=states: features_of(states(), device))
        yield from _feature_measurements(study, features, recording, counts)
        if counts:
            yield from _state_measurements(states, name)
    if study.benchmarks:
        yield "capability", lambda: examined(study, model)


def _reading_measurements(study: Study, model: LanguageModel, dataset: str) -> Iterator[Measurement]:
    """Measures of surprisal, which is computed once."""

    @cache
    def bits() -> xr.DataArray:
        return llm.surprisal(model, load_reading_times(dataset).passages, text=dataset)

    yield "texts", lambda: record(bits(), dataset)
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


def _states(study: Study, model: LanguageModel, source: Recording | str) -> xr.DataArray:
    """States at the parts of a text, of the layers that the study takes.

    Raises
    ------
    ValueError
        The model has none of those.
    """
    name, text = (source, load_reading_times(source)) if isinstance(source, str) else (source.name, source)
    first, end = (int(place) if place else None for place in (study.layers or ":").split(":"))
    if not (layers := layer_names(model)[first:end]):
        raise ValueError(
            f"{model.name} has {len(layer_names(model))} layers, and none in {study.layers}. Give another range."
        )
    return llm.activations(model, text.passages, text=name).sel(layer=layers)


def features_of(states: xr.DataArray, device: str | None = None) -> Features:
    """Layers by name, at the parts of a text."""
    layers = {str(layer): states.sel(layer=layer).to_numpy() for layer in states.layer.to_numpy()}
    return Features(layers, at_parts=True, device=device)


def encoding_device(entry: LoadedModel) -> str | None:
    """Where a model's encoding models are fitted: on the GPU that its entry names, else by numpy."""
    return entry.device if (entry.device or "").startswith("cuda") else None


def description(model: LanguageModel) -> pd.DataFrame:
    """What a language model is: a row."""
    return pd.DataFrame(
        {
            "n_parameters": [model.n_parameters],
            "n_layers": model.n_layers,
            "width": model.width,
            "n_vocabulary": model.n_vocabulary,
            "n_positions": pd.array([model.n_positions], "Int64"),
            "encoder_decoder": model.encoder_decoder,
            "identity": json.dumps(model.identity),
        }
    )


def record(reading: xr.DataArray, text: str) -> pd.DataFrame:
    """How a text was read: a row, with ``what`` was read off it, states or surprisal."""
    notes = {key: reading.attrs[key] for key in RECORD if key in reading.attrs}
    notes["special_tokens"] = " ".join(notes["special_tokens"])
    row = {"text": text, "what": "states" if "layer" in reading.dims else "surprisal", **notes}
    return pd.DataFrame([row], columns=["text", "what", *RECORD])


def words(surprisal: np.ndarray, dataset: str) -> pd.DataFrame:
    """Surprisal of each word: (n_words,) bits."""
    table = load_reading_times(dataset).table()[["story", "position", "sentence", "text"]]
    return table.assign(dataset=dataset, surprisal=surprisal)


def with_yardstick(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """`words` with the ``yardstick`` of a language model's where there is one: the true surprisal, or GPT-3's."""
    times = load_reading_times(dataset).times
    if "true_surprisal" in times.coords:
        return table.assign(yardstick=times.true_surprisal.to_numpy(), whose="the true surprisal")
    if dataset == "natural_stories":  # the corpus was released with it
        return table.assign(yardstick=series.gpt3(table), whose="GPT-3's")
    return table


def followed(study: Study, tuning: Tuning) -> pd.DataFrame:
    """Scores of each checkpoint on brains, reading times and benchmarks, a row per step and measure.

    There are many: of the study's protocols, brain alignment is under the most lenient and the strictest, pooled over
    people; of the first reading times, there is next-word loss, and how it goes with them; of benchmarks, what is over
    all.
    """
    protocol_names = protocols.by_strictness(study.protocols)
    ends = study.model_copy(update={"protocols": list(dict.fromkeys([protocol_names[0], protocol_names[-1]]))})
    recordings = list(load_recordings(study).values())
    times = {
        dataset: [load_reading_times(dataset, alignment) for alignment in alignments(study, dataset)]
        for dataset in study.reading_times[:1]
    }
    tables = []
    for step, model in load_checkpoints(study, tuning):
        rows = [_brains(ends, model, recordings), *(_reading(model, *item) for item in times.items())]
        rows += [examined(study, model).query("level == 'overall'")] if study.benchmarks else []
        tables += [table.reindex(columns=["measure", "protocol", "value"]).assign(step=step) for table in rows]
    about = {"tuned": Path(tuning.model).name, "condition": tuning.condition, "tuning_seed": tuning.seed}
    return pd.concat(tables, ignore_index=True).assign(**about, method=tuning.method)


def _brains(study: Study, model: LanguageModel, recordings: Sequence[Recording]) -> pd.DataFrame:
    """Score on each recording under each protocol, with no intervals."""
    if not recordings:
        return pd.DataFrame()
    tables = [
        brains.scores(study, features_of(_states(study, model, recording)), recording) for recording in recordings
    ]
    scored = pd.concat(tables, ignore_index=True)
    pooled = (scored[["participant", "region", "split"]] == ["pooled", "all", "all"]).all(axis=1)
    return scored[scored.chosen & pooled].rename(columns={"dataset": "measure", "r": "value"})


def _reading(model: LanguageModel, dataset: str, aligned: Sequence[ReadingTimes]) -> pd.DataFrame:
    """Next-word loss on a text, and how its surprisal goes with the times that people took, however aligned."""
    bits = llm.surprisal(model, aligned[0].passages, text=dataset).to_numpy()
    rows = [{"measure": f"loss on {dataset}", "value": bits[np.isfinite(bits)].mean()}]
    for times in aligned:
        r = reading_time_correlation(bits, times.table().reading_time.to_numpy(), ~times.first_in_sentence)
        rows.append({"measure": f"reading times, {times.alignment}", "value": r})
    return pd.DataFrame(rows)


def _series(member: Member, dataset: str) -> np.ndarray:
    """Surprisal that somebody else computed: (n_words,) bits."""
    words = load_reading_times(dataset).table()
    if isinstance(member.source, SeriesFile):
        return series.load_one(member.source.file, Path(member.source.file).stem, words, member.source.unit)
    return series.load_one(member.source, member.name, words)


def behavior(study: Study, surprisal: np.ndarray, dataset: str) -> pd.DataFrame:
    """Rows of `behavioral_alignment` under each alignment of the reading times; ``surprisal`` is (n_words,) bits."""
    options = {"seed": study.seed, "n_resamples": study.resamples}
    tables = [
        behavioral_alignment(surprisal, load_reading_times(dataset, alignment), **options)
        for alignment in alignments(study, dataset)
    ]
    return pd.concat(tables, ignore_index=True)
