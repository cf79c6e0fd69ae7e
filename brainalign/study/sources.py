"""Where what a study names comes from: published data, files of one's own, or the microworld."""

from dataclasses import replace
from functools import cache

from brainalign import catalog, human, llm
from brainalign.human import own
from brainalign.human.reading_times import ReadingTimes
from brainalign.human.recording import Recording
from brainalign.llm import benchmarks
from brainalign.llm.benchmarks import Benchmark
from brainalign.llm.load import LanguageModel
from brainalign.microworld import World, exam, make
from brainalign.microworld import models as trained_here
from brainalign.microworld.people import FROM_TEXT, People, Shares
from brainalign.microworld.questions import questions
from brainalign.microworld.readers import reading_times as microworld_times
from brainalign.study.members import members
from brainalign.study.settings import MICROWORLD, READERS, TUNED, LoadedModel, OwnRecording, Study, Tuning

ALIGNED_ONE_WAY = (READERS, "natural_stories.maze")


@cache
def world() -> World:
    """The one small world that studies are about."""
    return make(seed=0)


def load_recordings(study: Study) -> dict[str, Recording]:
    """Load every recording of a study.

    Returns
    -------
    dict
        By name; that of a file of your own is the file's.

    Raises
    ------
    ValueError
        Two have the same name, or a file is not what it should be.
    OSError
        A file could not be fetched.
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
        return own.load_table(source.table, source.participants)
    if source.kind == "netcdf":
        return own.load_netcdf(source.netcdf)
    return human.load("wehbe2014", folder=source.wehbe2014)


def simulated_people(recording: str) -> People:
    """The people of a recording of the microworld, and so all that is true of them."""
    return People(world(), shares=Shares() if recording == "microworld" else Shares().without(*FROM_TEXT))


def load_model(study: Study, name: str) -> LanguageModel:
    """Load a language model of a study.

    Raises
    ------
    LookupError
        No such model in the study, or none that can be loaded; else as `llm.load`.
    """
    known = {member.name: member.source for member in members(study).values() if isinstance(member.source, LoadedModel)}
    if name not in known:
        raise LookupError(catalog.unknown(f"language model of study {study.name}", name, known))
    entry = known[name]
    options = entry.model_dump(include={"revision", "dtype", "device", "untrained", "base"})
    if (little := entry.of_microworld) is None:
        return llm.load(entry.load, **options)
    folder = trained_here.pretrained(world(), little.removesuffix(TUNED))
    if little.endswith(TUNED):
        folder = list(trained_here.tuned(world(), little.removesuffix(TUNED)).values())[-1]
    return replace(llm.load(folder, **options), name=name)


def load_checkpoints(tuning: Tuning) -> dict[int, LanguageModel]:
    """Load a model along its tuning, which happens now if it has not yet: by the number of steps made."""
    options = {"instruction": tuning.instruction, "seed": tuning.seed}
    return {step: llm.load(folder) for step, folder in trained_here.tuned(world(), tuning.model, **options).items()}


def load_benchmark(name: str) -> Benchmark:
    """Load a benchmark of questions that a study names."""
    return exam.benchmark(questions(world())) if name == MICROWORLD[0] else benchmarks.load(name)


def load_reading_times(dataset: str, alignment: str = "original") -> ReadingTimes:
    """Load reading times that a study names."""
    if dataset == READERS:
        return microworld_times(world())
    return human.load(dataset, **({} if dataset in ALIGNED_ONE_WAY else {"alignment": alignment}))


def alignments(study: Study, dataset: str) -> list[str]:
    """How reading times are aligned with words: only those of self-paced reading are in question."""
    return ["original"] if dataset in ALIGNED_ONE_WAY else study.alignments
