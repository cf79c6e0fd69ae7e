"""Runs one model of a study through all that the study measures."""

import hashlib
from collections.abc import Collection
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from brainalign import catalog, human, store
from brainalign.llm import samples
from brainalign.llm.benchmarks import HARNESS
from brainalign.llm.sources import find
from brainalign.study import measures
from brainalign.study.members import CONTROL, Member, bases, members, models
from brainalign.study.settings import (
    MICROWORLD,
    READERS,
    LoadedModel,
    OwnRecording,
    SeriesFile,
    Study,
    Tune,
    Tuning,
    base_of,
)

# Settings that matter to the results of a member, by its origin.
OF_READING = {"reading_times", "alignments", "resamples", "seed"}
OF_BRAINS = {"recordings", "protocols", "seed"}
OF_BENCHMARKS = {"benchmarks", "benchmark_protocols", "items", "resamples", "seed"}
MATTER = {
    "series": OF_READING,
    "control": OF_BRAINS,
    "model": OF_READING | OF_BRAINS | OF_BENCHMARKS,
    "tuning": OF_READING | OF_BRAINS | OF_BENCHMARKS,
}
SERIES_AT_ONCE = 8
LIBRARY = Path(__file__).resolve().parents[1]


def result_path(study: Study, model: str) -> Path:
    """File with the results of one model of a study."""
    return store.root() / "results" / study.name / f"{model}.parquet"


def measured(study: Study) -> list[str]:
    """Models of a study that there is something to measure of."""
    has = {"series": study.reading_times, "control": study.recordings}
    has["tuning"] = has["model"] = study.reading_times or study.recordings or study.benchmarks
    table = models(study)
    return [name for name, origin in table.origin.items() if has[origin]]


def batches(study: Study) -> list[list[str]]:
    """Models of a study that there is something to measure of, those of a list to be run by one process, in order.

    For what is little, Python takes as long to start as it runs: series, controls, and models that are trained on the
    spot, with their twins and what is tuned from them. Any other model is alone.
    """
    known, bases_of = members(study), bases(study)
    found: dict[object, list[str]] = {}
    for name in measured(study):
        source, origin = known[name].source, known[name].about["origin"]
        if isinstance(source, Tuning):
            key = (origin, source.model, source.condition, source.method)
        elif isinstance(source, LoadedModel):
            key = (origin, bases_of.get(name, name) if source.of_microworld else name)
        else:
            key = origin
        found.setdefault(key, []).append(name)
    series = found.pop("series", [])
    return [series[i : i + SERIES_AT_ONCE] for i in range(0, len(series), SERIES_AT_ONCE)] + list(found.values())


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
        Rows of `behavioral_alignment` (``analysis`` is ``behavior``), of `brain_alignment` (``brain``), of what a
        model knows (``capability``: as `capability.examined`), and of a model while it is tuned (``tuning``: ``step``,
        ``condition``, ``tuned``, ``tuning_seed``, ``measure``, ``protocol``, ``value``), one below the other, with
        ``model`` and, where it was counted, ``n_parameters``.

    Raises
    ------
    LookupError
        No such model; the message suggests near names.
    ValueError
        The study measures nothing of this model, or as in what it measures.
    """
    member = _member(study, model)
    path, key = result_path(study, model), _key(study, member)
    if (earlier := _earlier(path, key)) is not None:
        return earlier
    if model not in measured(study):
        raise ValueError(
            f"study {study.name} has no {'recordings' if member.source == CONTROL else 'reading_times'}, so there is "
            f"nothing to run {model} on"
        )
    result = pd.concat(measures.of(study, member), ignore_index=True)
    result.insert(0, "model", model)
    result.attrs["key"] = key
    with store.writing(path) as file:
        result.to_parquet(file, index=False)
    return result


def results(study: Study, analysis: str | None = "behavior", names: Collection[str] | None = None) -> pd.DataFrame:
    """Results of a study; what is missing is computed.

    Parameters
    ----------
    study : Study
        Its settings.
    analysis : str
        ``behavior``, ``brain``, ``capability`` or ``tuning``; None for all of them, one below the other, told apart by
        a column ``analysis``.
    names : collection of str, optional
        Models; all that the study measures if left out.

    Returns
    -------
    DataFrame
        The rows and columns of that analysis, with the columns of `models`. Empty if the study has none.
    """
    described = models(study)
    rows = [run(study, name) for name in measured(study) if names is None or name in names]
    if analysis is not None:
        rows = [table[table.analysis == analysis] for table in rows if (table.analysis == analysis).any()]
    if not rows:
        return pd.DataFrame(columns=["model", *described.columns])
    table = pd.concat([some.dropna(axis=1, how="all") for some in rows], ignore_index=True)
    table = table.merge(described, left_on="model", right_index=True)
    if "n_parameters" in table:
        table["parameters"] = table.parameters.fillna(table.pop("n_parameters"))
    return table if analysis is None else table.drop(columns="analysis")


def up_to_date(study: Study, model: str) -> bool:
    """Whether a model's results are here, and nothing that they depend on has changed; its files must be here."""
    return _earlier(result_path(study, model), _key(study, _member(study, model))) is not None


def _earlier(path: Path, key: str) -> pd.DataFrame | None:
    earlier = pd.read_parquet(path) if path.exists() else None
    return earlier if earlier is not None and earlier.attrs.get("key") == key else None


def _member(study: Study, name: str) -> Member:
    known = members(study)
    if name not in known:
        raise LookupError(catalog.unknown(f"model of study {study.name}", name, known))
    return known[name]


def _key(study: Study, member: Member) -> str:
    """Digest of all that could change a model's results."""
    source = member.source
    if isinstance(source, LoadedModel | Tuning):
        given = [source.model_dump()]
        base = source if isinstance(source, LoadedModel) else base_of(study, source.model)
        if base.of_microworld is None:  # of the microworld's, our own code says it all
            given += [base.model_dump(), find(base.load, base.revision, base.untrained is None).identity]
    elif isinstance(source, SeriesFile):
        given = [_hash(Path(source.file)), source.unit]
    else:
        given = [source]
    settings = study.model_dump(include=MATTER[member.about["origin"]])
    return store.digest(member.name, settings, _data(settings, study, source), given, _code())


def _data(settings: dict, study: Study, source: object) -> dict[str, list[str]]:
    """Hashes of the published files, and of one's own, that results depend on."""
    recordings = study.recordings if "recordings" in settings else []
    named = [*settings.get("reading_times", ()), *(name for name in recordings if isinstance(name, str))]
    published = [name for name in named if name not in {*MICROWORLD, READERS}]
    hashes = {name: [file.hash for file in human.dataset(name).files.values()] for name in published}
    if isinstance(source, str) and source != CONTROL:
        hashes[source] = [file.hash for file in catalog.dataset(source).files.values()]
    for name in settings.get("benchmarks", ()):
        if name not in MICROWORLD:
            hashes[name] = [file.hash for file in catalog.dataset(name).files.values()]
        hashes[HARNESS] = [version(HARNESS)]
    tune = source.tune if isinstance(source, LoadedModel) else source
    if isinstance(tune, Tune) and tune.samples is not None:
        named = tune.samples in samples.names()
        files = catalog.dataset(tune.samples).files.values() if named else [Path(tune.samples)]
        hashes[tune.samples] = [file.hash if named else _hash(file) for file in files]
    for recording in recordings:
        if isinstance(recording, OwnRecording):
            for place in recording.model_dump(exclude_none=True).values():
                files = [Path(place)] if Path(place).is_file() else sorted(Path(place).glob("*"))
                hashes[place] = [_hash(file) for file in files if file.is_file()]
    return hashes


@cache
def _code() -> str:
    """Hash of all code that results go through, so that a change of it computes them again."""
    floors = ("catalog", "store", "human", "llm", "alignment", "microworld", "study")
    code = [path for floor in floors for path in sorted((LIBRARY / floor).glob("*.py"))]
    return store.digest([_hash(path) for path in [*code, *sorted(catalog.TASKS.iterdir()), catalog.BENCHMARK_TASKS]])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
