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
from brainalign.llm import series
from brainalign.llm.activations import layer_names
from brainalign.llm.load import LanguageModel
from brainalign.study import brains, people
from brainalign.study.brains import Features
from brainalign.study.capability import examined, story_loss
from brainalign.study.members import CONTROL, PEOPLE, Member
from brainalign.study.representations import layer_norms, layer_similarity
from brainalign.study.settings import LoadedModel, SeriesFile, Study, Tuning
from brainalign.study.sources import (
    alignments,
    counted,
    load_checkpoints,
    load_model,
    load_reading_times,
    load_recordings,
)

# Analyses, each a table of its own, and the settings that matter to it.
OF_READING = {"reading_times", "alignments", "resamples", "seed"}
OF_BRAINS = {"recordings", "protocols", "layers", "seed"}
OF_BENCHMARKS = {"benchmarks", "benchmark_protocols", "items", "resamples", "seed"}
OF_TEXTS = {"recordings", "reading_times", "layers"}
ANALYSES = {
    "model": set(),
    "texts": OF_TEXTS,
    "norms": OF_TEXTS,
    "layers": OF_TEXTS,
    "words": {"reading_times"},
    "behavior": OF_READING,
    "brain": OF_BRAINS,
    "one-width": OF_BRAINS | {"width"},
    "unique": {"recordings", "layers"},
    "similarity": {"recordings", "layers"},
    "capability": OF_BENCHMARKS | {"reading_times"},
    "tuning": OF_READING | OF_BRAINS | OF_BENCHMARKS,
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
    of_reading = ["words", "behavior"] if study.reading_times else []
    if origin == PEOPLE:
        of_recordings = ["recordings", "responses", "reliability"] if study.recordings else []
        return of_recordings + (["reading", "readers"] if study.reading_times else [])
    if origin == "series":
        return of_reading
    if origin == "control":
        return ["brain", "one-width"] if study.recordings else []
    if not (study.reading_times or study.recordings or study.benchmarks):
        return []
    if origin == "tuning":
        return ["tuning"]
    of_texts = ["texts", "norms", "layers"] if study.recordings or study.reading_times else []
    of_brains = ["brain", "one-width", "unique", "similarity"] if study.recordings else []
    knows = ["capability"] if study.benchmarks or study.reading_times else []
    left_out = NOT_OF_TWINS if member.about["kind"] == "untrained" else set()
    return [name for name in ["model", *of_texts, *of_reading, *of_brains, *knows] if name not in left_out]


Measurement = tuple[str, Callable[[], pd.DataFrame]]  # an analysis, and what computes rows of it


def measure(study: Study, member: Member, wanted: Collection[str]) -> dict[str, pd.DataFrame]:
    """Measure some of a member's `analyses`: a table of each.

    Raises
    ------
    ValueError, LookupError, OSError
        As in `llm.load`, `llm.activations`, `llm.surprisal`, `brain_alignment` and `behavioral_alignment`.
    """
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in wanted}
    for name, compute in _measurements(study, member):
        if name in tables:
            tables[name].append(compute())
    return {name: pd.concat(some, ignore_index=True) for name, some in tables.items()}


def _measurements(study: Study, member: Member) -> Iterator[Measurement]:
    """Everything that there is to measure of a member, text by text: memory holds the states of one."""
    if member.source == PEOPLE:
        yield from _of_people(study)
    elif member.source == CONTROL:
        recordings = load_recordings(study)
        for name, recording in recordings.items():
            features = Features(
                {"features": controls.features(recording, seed=study.seed)[member.name]}, of_parts=False
            )
            yield from _of_features(study, lambda features=features: features, recording, name in counted(recordings))
    elif isinstance(member.source, Tuning):
        yield "tuning", lambda: followed(study, member.source)
    elif isinstance(member.source, LoadedModel):
        yield from _of_model(study, load_model(study, member.name))
    else:
        for dataset in study.reading_times:
            yield "words", lambda dataset=dataset: words(_series(member, dataset), dataset)
            yield "behavior", lambda dataset=dataset: behavior(study, _series(member, dataset), dataset)


def _of_people(study: Study) -> Iterator[Measurement]:
    for source in study.recordings:
        recording, notes = people.load_with_notes(source)
        yield "recordings", lambda recording=recording, notes=notes: people.shape(recording, notes)
        yield "responses", lambda recording=recording: people.responses(recording)
        yield "reliability", lambda recording=recording: people.reliabilities(study, recording)
    for dataset in study.reading_times:
        yield "readers", lambda dataset=dataset: people.readers(dataset)
        for alignment in alignments(study, dataset):
            yield "reading", lambda dataset=dataset, alignment=alignment: people.reading(dataset, alignment)


def _of_model(study: Study, model: LanguageModel) -> Iterator[Measurement]:
    yield "model", lambda: description(model)
    recordings = load_recordings(study)
    for dataset in study.reading_times:
        yield from _of_reading(study, model, dataset)
        if not recordings:
            yield from _of_states(cache(lambda dataset=dataset: _states(study, model, dataset)), dataset)
    for name, recording in recordings.items():
        states = cache(lambda recording=recording: _states(study, model, recording))
        counts = name in counted(recordings)
        yield from _of_features(study, cache(lambda states=states: features_of(states())), recording, counts)
        if counts:
            yield from _of_states(states, name)
    if study.benchmarks:
        yield "capability", lambda: examined(study, model)


def _of_reading(study: Study, model: LanguageModel, dataset: str) -> Iterator[Measurement]:
    """What surprisal tells, which is read once."""

    @cache
    def bits() -> xr.DataArray:
        return llm.surprisal(model, load_reading_times(dataset).passages, text=dataset)

    yield "texts", lambda: record(bits(), dataset)
    yield "words", lambda: with_yardstick(words(bits().to_numpy(), dataset), dataset)
    yield "behavior", lambda: behavior(study, bits().to_numpy(), dataset)
    yield "capability", lambda: story_loss(study, bits().to_numpy(), dataset)


def _of_features(
    study: Study, features: Callable[[], Features], recording: Recording, counts: bool
) -> Iterator[Measurement]:
    """What features tell of a recording; controls, only where the text can tell something."""
    yield "brain", lambda: brains.scores(study, features(), recording)
    if counts:
        yield "one-width", lambda: brains.scores_at_one_width(study, features(), recording)
        yield "unique", lambda: brains.unique_variance(features(), recording)
        yield "similarity", lambda: brains.similarities(features(), recording)


def _of_states(states: Callable[[], xr.DataArray], text: str) -> Iterator[Measurement]:
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
    name, read = (source, load_reading_times(source)) if isinstance(source, str) else (source.name, source)
    first, end = (int(place) if place else None for place in (study.layers or ":").split(":"))
    if not (some := layer_names(model)[first:end]):
        raise ValueError(
            f"{model.name} has {len(layer_names(model))} layers, and none in {study.layers}. Give another range."
        )
    return llm.activations(model, read.passages, text=name).sel(layer=some)


def features_of(states: xr.DataArray) -> Features:
    """Layers by name, at the parts of a text."""
    return Features({str(layer): states.sel(layer=layer).to_numpy() for layer in states.layer.to_numpy()}, True)


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


def record(read: xr.DataArray, text: str) -> pd.DataFrame:
    """How a text was read: a row, with ``what`` was read off it, states or surprisal."""
    notes = {key: read.attrs[key] for key in RECORD if key in read.attrs}
    notes["special_tokens"] = " ".join(notes["special_tokens"])
    row = {"text": text, "what": "states" if "layer" in read.dims else "surprisal", **notes}
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
    known = protocols.in_order(study.protocols)
    ends = study.model_copy(update={"protocols": list(dict.fromkeys([known[0], known[-1]]))})
    recordings = list(load_recordings(study).values())
    times = {one: [load_reading_times(one, how) for how in alignments(study, one)] for one in study.reading_times[:1]}
    tables = []
    for step, model in load_checkpoints(study, tuning):
        rows = [_brains(ends, model, recordings), *(_reading(model, *read) for read in times.items())]
        rows += [examined(study, model).query("level == 'overall'")] if study.benchmarks else []
        tables += [some.reindex(columns=["measure", "protocol", "value"]).assign(step=step) for some in rows]
    about = {"tuned": Path(tuning.model).name, "condition": tuning.condition, "tuning_seed": tuning.seed}
    return pd.concat(tables, ignore_index=True).assign(**about, method=tuning.method)


def _brains(study: Study, model: LanguageModel, recordings: Sequence[Recording]) -> pd.DataFrame:
    """Score on each recording under each protocol, with no intervals."""
    if not recordings:
        return pd.DataFrame()
    tables = [brains.scores(study, features_of(_states(study, model, some)), some) for some in recordings]
    scored = pd.concat(tables, ignore_index=True)
    pooled = (scored[["participant", "region", "split"]] == ["pooled", "all", "all"]).all(axis=1)
    return scored[scored.chosen & pooled].rename(columns={"dataset": "measure", "r": "value"})


def _reading(model: LanguageModel, dataset: str, aligned: Sequence[ReadingTimes]) -> pd.DataFrame:
    """Next-word loss on a text, and how its surprisal goes with the times that people took, however aligned."""
    bits = llm.surprisal(model, aligned[0].passages, text=dataset).to_numpy()
    rows = [{"measure": f"loss on {dataset}", "value": bits[np.isfinite(bits)].mean()}]
    for times in aligned:
        r = reading_time_correlation(bits, times.table().reading_time.to_numpy(), ~times.first_in_sentence).r
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
