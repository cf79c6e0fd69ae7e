"""Where what a study names comes from: published data, files of one's own, or the microworld."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from brainalign import human, llm, messages
from brainalign.alignment.summary import POOLED
from brainalign.human import own, own_reading_times, own_timeseries
from brainalign.human.reading_times import ReadingTimes
from brainalign.human.recording import Recording
from brainalign.llm import tuning as llm_tuning
from brainalign.llm.exams import benchmarks
from brainalign.llm.exams.benchmarks import Benchmark
from brainalign.llm.models.load import LanguageModel
from brainalign.llm.models.networks import config_of
from brainalign.llm.models.sources import find, settings_of
from brainalign.llm.tuning import samples
from brainalign.microworld import World, make
from brainalign.microworld import learners as trained_here
from brainalign.microworld.participants import FROM_TEXT, People, Shares
from brainalign.microworld.questions import benchmark, questions
from brainalign.microworld.readers import reading_times as microworld_times
from brainalign.study.description.members import members
from brainalign.study.description.settings import (
    MICROWORLD,
    READERS,
    LoadedModel,
    OwnReadingTimes,
    OwnRecording,
    Study,
    Tuning,
    base_of,
)

WIDTHS = ("hidden_size", "d_model", "n_embd")  # what most networks call it; of others, transformers knows
NULL = ".null"  # ends the name of a recording in which the text tells nothing: a control, in no average


@cache
def world() -> World:
    """The one small world that studies are about."""
    return make(seed=0)


def load_recordings(study: Study) -> dict[str, Recording]:
    """Load every recording of a study, by name; that of a file of your own is the file's.

    Raises ValueError if two have the same name; else as `human.load`.
    """
    loaded = {}
    for source in study.recordings:
        recording = load_recording(source)
        if recording.name in loaded:
            raise ValueError(f"study {study.name}: two recordings are called {recording.name!r}; rename one file")
        loaded[recording.name] = recording
    return loaded


def load_recording(source: str | OwnRecording) -> Recording:
    """Load one recording of a study's settings; raises as `load_recordings`."""
    if source in MICROWORLD:
        return replace(simulated_people(source).recording(), name=source)
    if isinstance(source, str):
        return human.load(source)
    if source.kind == "table":
        return own.load_table(source.table, source.participants, source.missing)
    if source.kind == "netcdf":
        return own.load_netcdf(source.netcdf, missing_rule=source.missing)
    if source.kind == "responses":
        options = source.model_dump(exclude_none=True, exclude={"responses"})
        return own_timeseries.load(source.responses, **options)
    return human.load("wehbe2014", folder=source.wehbe2014)


def informative(recordings: Iterable[str]) -> list[str]:
    """Recordings that count, by name: all but those in which the text tells nothing, unless there are no others."""
    names = list(dict.fromkeys(recordings))
    return [name for name in names if not name.endswith(NULL)] or names


def averaged(scores: pd.DataFrame) -> list[str]:
    """Recordings that count in averages over several, by name: those of `informative` with two participants or more.

    A single participant, such as the mean of several people, tells nothing of how people differ, and counts by itself;
    unless there are no others. ``scores`` have ``dataset`` and ``participant``.
    """
    people = scores[scores.participant != POOLED].groupby("dataset", sort=False).participant.nunique()
    names = informative(scores.dataset.dropna())
    return [name for name in names if people.get(name, 0) > 1] or names


def simulated_people(recording: str) -> People:
    """The people of a recording of the microworld, and so all that is true of them."""
    return People(world(), shares=Shares() if recording == "microworld" else Shares().without(*FROM_TEXT))


def load_model(study: Study, name: str) -> LanguageModel:
    """Load a language model of a study; one that is tuned here, after the last step of that.

    Raises LookupError if the study has no such model; else as `llm.load`.
    """
    by_name = {member.name: member.source for member in members(study).values()}
    entries = {name: source for name, source in by_name.items() if isinstance(source, LoadedModel)}
    messages.require(f"language model of study {study.name}", name, entries)
    entry = entries[name]
    if entry.tuned is not None:
        folder = list(checkpoints(study, entry).values())[-1]
        return replace(llm.load(folder, dtype=entry.dtype, device=entry.device), name=name)
    return replace(_untuned(entry), name=name)


def _untuned(entry: LoadedModel) -> LanguageModel:
    """Load a model as it is before any tuning here."""
    options = entry.model_dump(include={"revision", "dtype", "device", "untrained", "base"})
    name = entry.microworld_name
    return llm.load(entry.load if name is None else trained_here.pretrained(world(), name), **options)


def width_of(entry: LoadedModel) -> int:
    """Features of a hidden state, from the settings of a network alone; raises as `llm.load`."""
    if entry.microworld_name is not None:
        return trained_here.shape_of(entry.microworld_name).width
    settings = settings_of(entry.load, entry.revision) or {}
    settings = settings.get("text_config", settings)
    if widths := [settings[name] for name in WIDTHS if name in settings]:
        return widths[0]
    return config_of(find(entry.load, entry.revision, weights=False).folder).get_text_config().hidden_size


def checkpoints(study: Study, source: LoadedModel | Tuning) -> dict[int, Path]:
    """Folders of a model along its tuning, which happens now if it has not yet: by the number of steps made."""
    base, tune = (source, source.tuned) if isinstance(source, LoadedModel) else (base_of(study, source.model), source)
    if (microworld_name := base.microworld_name) is not None:
        return trained_here.tuned(world(), microworld_name, tune.as_tuning(trained_here.TUNING))
    # In float32 whatever the precision in which it is read: small steps vanish in half of the digits.
    options = base.model_dump(include={"revision", "base"})
    return llm_tuning.tuned(base.load, samples.load(tune.samples), tune.as_tuning(llm_tuning.Tuning()), **options)


def load_checkpoints(study: Study, tuning: Tuning) -> Iterator[tuple[int, LanguageModel]]:
    """Load a model along its tuning, as `checkpoints`, one after the other: memory holds few.

    Before the first step it is the base, of which the store may hold all there is to read.
    """
    base = base_of(study, tuning.model)
    for step, folder in checkpoints(study, tuning).items():
        yield step, llm.load(folder, dtype=base.dtype) if step else _untuned(base)


def load_benchmark(name: str) -> Benchmark:
    """Load a benchmark of questions that a study names."""
    return benchmark(questions(world())) if name == MICROWORLD[0] else benchmarks.load(name)


def load_reading_times(dataset: str | OwnReadingTimes, alignment: str = "original") -> ReadingTimes:
    """Load reading times that a study names, or of one's own."""
    if isinstance(dataset, OwnReadingTimes):
        return own_reading_times.load(dataset.table, dataset.measure)
    if dataset == READERS:
        return microworld_times(world())
    return human.load(dataset, **({"alignment": alignment} if _several_alignments(dataset) else {}))


def alignments(study: Study, dataset: str | OwnReadingTimes) -> list[str]:
    """How reading times are aligned with words: only those of self-paced reading are in question."""
    return study.alignments if _several_alignments(dataset) else ["original"]


def _several_alignments(dataset: str | OwnReadingTimes) -> bool:
    return isinstance(dataset, str) and dataset != READERS and "alignment" in human.options_of(dataset)
