"""Runs one model of a study through all that the study measures."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog, human, llm, store
from brainalign.alignment import controls, protocols
from brainalign.alignment.behavior import behavioral_alignment
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.human import natural_stories, own
from brainalign.human.recording import Recording
from brainalign.llm import series, sources
from brainalign.llm.load import LanguageModel
from brainalign.study.members import CONTROL, Member, members, models
from brainalign.study.settings import LoadedModel, OwnRecording, SeriesFile, Study

PEOPLE_FOR_A_CEILING = 3
# Settings that matter to the results of a member, by its origin.
OF_READING = {"reading_times", "alignments", "resamples", "seed"}
OF_BRAINS = {"recordings", "protocols", "seed"}
MATTER = {"series": OF_READING, "control": OF_BRAINS, "model": OF_READING | OF_BRAINS}
LIBRARY = Path(__file__).resolve().parents[1]


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
        recording = _load_recording(source)
        if recording.name in loaded:
            raise ValueError(f"study {study.name}: two recordings are called {recording.name!r}; rename one file")
        loaded[recording.name] = recording
    return loaded


def _load_recording(source: str | OwnRecording) -> Recording:
    if isinstance(source, str):
        return human.load(source)
    if source.kind == "table":
        return own.load_table(source.table, source.participants)
    if source.kind == "netcdf":
        return own.load_netcdf(source.netcdf)
    return human.load("wehbe2014", folder=source.wehbe2014)


def load_model(study: Study, name: str) -> LanguageModel:
    """Load a language model of a study.

    Raises
    ------
    LookupError
        No such model in the study, or none that can be loaded; else as `llm.load`.
    """
    member = _member(study, name)
    if not isinstance(member.source, LoadedModel):
        loaded = [one.name for one in members(study).values() if isinstance(one.source, LoadedModel)]
        raise LookupError(catalog.unknown(f"language model of study {study.name}", name, loaded))
    entry = member.source
    options = entry.model_dump(include={"revision", "dtype", "untrained", "base"})
    return llm.load(entry.load, **options)


def result_path(study: Study, model: str) -> Path:
    """File with the results of one model of a study."""
    return store.root() / "results" / study.name / f"{model}.parquet"


def measured(study: Study) -> list[str]:
    """Models of a study that there is something to measure of."""
    has = {"series": study.reading_times, "model": study.reading_times or study.recordings, "control": study.recordings}
    table = models(study)
    return [name for name, origin in table.origin.items() if has[origin]]


def run(study: Study, model: str) -> pd.DataFrame:
    """Run one model of a study through all of it, or read what an earlier run found.

    An earlier result counts if everything that could change it is the same: settings, data, weights, and our own code.

    Parameters
    ----------
    study : Study
        Its settings.
    model : str
        One of `members`.

    Returns
    -------
    DataFrame
        Rows of `behavioral_alignment` (``analysis`` is ``behavior``) and of `brain_alignment` (``brain``), one table
        below the other, with ``model`` and, where it was counted, ``n_parameters``.

    Raises
    ------
    LookupError
        No such model; the message suggests near names.
    ValueError
        The study measures nothing of this model, or as in what it measures.
    """
    member = _member(study, model)
    path, key = result_path(study, model), _key(study, member)
    if path.exists():
        earlier = pd.read_parquet(path)
        if earlier.attrs.get("key") == key:
            return earlier
    if model not in measured(study):
        raise ValueError(
            f"study {study.name} has no {'recordings' if member.source == CONTROL else 'reading_times'}, so there is "
            f"nothing to run {model} on"
        )
    result = pd.concat(_tables(study, member), ignore_index=True)
    result.insert(0, "model", model)
    result.attrs["key"] = key
    with store.writing(path) as file:
        result.to_parquet(file, index=False)
    return result


def results(study: Study, analysis: str = "behavior") -> pd.DataFrame:
    """Results of all models of a study; what is missing is computed.

    Parameters
    ----------
    study : Study
        Its settings.
    analysis : str
        ``behavior`` or ``brain``.

    Returns
    -------
    DataFrame
        The rows and columns of that analysis, with the columns of `models`. Empty if the study has none.
    """
    described = models(study)
    rows = [run(study, name) for name in measured(study)]
    rows = [table[table.analysis == analysis] for table in rows if (table.analysis == analysis).any()]
    if not rows:
        return pd.DataFrame(columns=["model", *described.columns])
    table = pd.concat([some.dropna(axis=1, how="all") for some in rows], ignore_index=True)
    table = table.merge(described, left_on="model", right_index=True)
    if "n_parameters" in table:
        table["parameters"] = table.parameters.fillna(table.pop("n_parameters"))
    return table.drop(columns="analysis")


def _member(study: Study, name: str) -> Member:
    known = members(study)
    if name not in known:
        raise LookupError(catalog.unknown(f"model of study {study.name}", name, known))
    return known[name]


def _tables(study: Study, member: Member) -> list[pd.DataFrame]:
    """All that is measured of one model."""
    if member.source == CONTROL:
        recordings = load_recordings(study).values()
        return [
            _brain(study, {"features": controls.of(recording, seed=study.seed)[member.name]}, recording)
            for recording in recordings
        ]
    if not isinstance(member.source, LoadedModel):
        return [_behavior(study, _series(member, dataset), dataset) for dataset in study.reading_times]
    model = load_model(study, member.name)
    tables = []
    for dataset in study.reading_times:
        bits = llm.surprisal(model, natural_stories.load(study.alignments[0]).passages, text=dataset)
        tables.append(_behavior(study, bits.to_numpy(), dataset))
    for recording in load_recordings(study).values():
        states = llm.activations(model, recording.passages, text=recording.name)
        layers = {str(layer): states.sel(layer=layer).to_numpy() for layer in states.layer.to_numpy()}
        tables.append(_brain(study, layers, recording, of_parts=True))
    return [table.assign(n_parameters=float(model.n_parameters)) for table in tables]


def _series(member: Member, dataset: str) -> np.ndarray:
    """Surprisal that somebody else computed: (n_words,) bits."""
    words = natural_stories.load().table()
    if isinstance(member.source, SeriesFile):
        return series.load_one(member.source.file, Path(member.source.file).stem, words, member.source.unit)
    return series.load_one(member.source, member.name, words)


def _behavior(study: Study, surprisal: np.ndarray, dataset: str) -> pd.DataFrame:
    tables = [
        behavioral_alignment(surprisal, natural_stories.load(alignment), seed=study.seed, n_resamples=study.resamples)
        for alignment in study.alignments
    ]
    return pd.concat(tables, ignore_index=True).assign(analysis="behavior")


def _brain(
    study: Study, layers: Mapping[str, np.ndarray], recording: Recording, of_parts: bool = False
) -> pd.DataFrame:
    tables = []
    for name in study.protocols:
        protocol = protocols.of(name, recording)
        enough = len(recording.participants) >= PEOPLE_FOR_A_CEILING
        ceiling = protocols.ceiling_of(protocol, recording) if enough else None
        features = {k: to_stimuli(x, recording, protocol) if of_parts else x for k, x in layers.items()}
        tables.append(brain_alignment(features, recording, protocol, ceiling))
    return pd.concat(tables, ignore_index=True).assign(analysis="brain")


def _key(study: Study, member: Member) -> str:
    """Digest of all that could change a model's results."""
    source = member.source
    if isinstance(source, LoadedModel):
        given = [source.model_dump(), sources.find(source.load, source.revision, source.untrained is None).identity]
    elif isinstance(source, SeriesFile):
        given = [_hash(Path(source.file)), source.unit]
    else:
        given = [source]
    settings = study.model_dump(include=MATTER[member.about["origin"]])
    return store.digest(member.name, settings, _data(settings, study, source), given, _code())


def _data(settings: dict, study: Study, source: str | SeriesFile | LoadedModel) -> dict[str, list[str]]:
    """Hashes of the published files, and of one's own, that results depend on."""
    recordings = study.recordings if "recordings" in settings else []
    named = [*settings.get("reading_times", ()), *(name for name in recordings if isinstance(name, str))]
    hashes = {name: [file.hash for file in human.dataset(name).files.values()] for name in named}
    if isinstance(source, str) and source != CONTROL:
        hashes[source] = [file.hash for file in catalog.dataset(source).files.values()]
    for recording in recordings:
        if isinstance(recording, OwnRecording):
            for place in recording.model_dump(exclude_none=True).values():
                files = [Path(place)] if Path(place).is_file() else sorted(Path(place).glob("*"))
                hashes[place] = [_hash(file) for file in files if file.is_file()]
    return hashes


@cache
def _code() -> str:
    """Hash of all code that results go through, so that a change of it computes them again."""
    floors = ("catalog", "store", "human", "llm", "alignment", "study")
    return store.digest([_hash(path) for floor in floors for path in sorted((LIBRARY / floor).glob("*.py"))])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
