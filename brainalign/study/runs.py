"""Runs one model of a study through all that the study measures."""

import hashlib
import json
from collections.abc import Collection, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from brainalign import catalog, human, store
from brainalign.llm import samples
from brainalign.llm.benchmarks import HARNESS
from brainalign.llm.sources import find, here
from brainalign.study import measures
from brainalign.study.brains import common_width
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

SERIES_AT_ONCE = 8
SCORES = ("brain", "behavior", "capability")  # analyses in which models are compared
DONE = "done.json"  # written last: the key of each analysis
LIBRARY = Path(__file__).resolve().parents[1]


def result_path(study: Study, model: str) -> Path:
    """Folder with the results of one model of a study, a Parquet file an analysis."""
    return store.root() / "results" / study.name / model


def measured(study: Study) -> list[str]:
    """Models of a study that there is something to measure of."""
    return [name for name, member in members(study).items() if measures.analyses(study, member)]


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


def run(study: Study, model: str) -> dict[str, pd.DataFrame]:
    """Run one model of a study through all of it, or read what earlier runs have measured.

    An earlier result counts if everything that could change it is the same: settings, data, weights, and our own code.

    Parameters
    ----------
    study : Study
        Its settings.
    model : str
        One of `members`.

    Returns
    -------
    dict of DataFrame
        By analysis, each with ``model`` and columns of its own (`measures.ANALYSES`): ``model``, what it is;
        ``texts``, how it read them; ``norms`` and ``layers`` of its states; ``words``, the surprisal of each;
        ``behavior``, rows of `behavioral_alignment`; ``brain``, of `brain_alignment`; ``one-width``, ``unique`` and
        ``similarity`` (`brains`); ``capability``, as `capability.examined`; and of a model while it is tuned
        ``tuning``: ``step``, ``condition``, ``tuned``, ``tuning_seed``, ``measure``, ``protocol``, ``value``.

    Raises
    ------
    LookupError
        No such model; the message suggests near names.
    ValueError
        The study measures nothing of this model, or as in what it measures.
    """
    member = _member(study, model)
    if not measures.analyses(study, member):
        raise ValueError(
            f"study {study.name} has no {'recordings' if member.source == CONTROL else 'reading_times'}, so there is "
            f"nothing to run {model} on"
        )
    tables = _tables(study, member)
    done = json.dumps({name: table.attrs["key"] for name, table in tables.items()}, indent=1) + "\n"
    path = result_path(study, model) / DONE
    if not path.exists() or path.read_text(encoding="utf-8") != done:
        with store.writing(path) as file:
            file.write_text(done, encoding="utf-8")
    return tables


def _tables(study: Study, member: Member, analyses: Collection[str] | None = None) -> dict[str, pd.DataFrame]:
    """Results of a model, all or some: what is missing or stale is measured."""
    folder, keys = result_path(study, member.name), _keys(study, member, analyses)
    tables = {name: _earlier(folder / f"{name}.parquet", key) for name, key in keys.items()}
    if wanted := [name for name, table in tables.items() if table is None]:
        for name, table in measures.measure(study, member, wanted).items():
            table.insert(0, "model", member.name)
            table.attrs["key"] = keys[name]
            with store.writing(folder / f"{name}.parquet") as file:
                table.to_parquet(file, index=False)
            tables[name] = table
    return tables


def results(
    study: Study, analysis: str | Sequence[str] = "behavior", names: Collection[str] | None = None
) -> pd.DataFrame:
    """Results of a study; what is missing is computed.

    Parameters
    ----------
    study : Study
        Its settings.
    analysis : str or sequence of str
        One of `measures.ANALYSES`; several, such as `SCORES`, stand one below the other, told apart by a column
        ``analysis``.
    names : collection of str, optional
        Models; all that the study measures if left out.

    Returns
    -------
    DataFrame
        The rows and columns of that analysis, with the columns of `models`. Empty if the study has none.
    """
    described, known = models(study), members(study)
    asked = [analysis] if isinstance(analysis, str) else analysis
    of_models = [
        _tables(study, known[name], {*asked, "model"}) for name in measured(study) if names is None or name in names
    ]
    tables = [
        some if isinstance(analysis, str) else some.assign(analysis=name)
        for of_model in of_models
        for name, some in of_model.items()
        if name in asked
    ]
    if not tables:
        return pd.DataFrame(columns=["model", *described.columns])
    table = pd.concat(tables, ignore_index=True).merge(described, left_on="model", right_index=True)
    counted = {name: n for of_model in of_models for name, n in _counted(of_model)}
    return table.assign(parameters=table.parameters.fillna(table.model.map(counted)))


def _counted(tables: dict[str, pd.DataFrame]) -> list[tuple[str, float]]:
    """Name and parameters of a model that was loaded."""
    return [(row.model, float(row.n_parameters)) for row in tables["model"].itertuples()] if "model" in tables else []


def up_to_date(study: Study, model: str) -> bool:
    """Whether a model's results are here, and nothing that they depend on has changed; its files must be here."""
    others = [entry for entry in study.entries if entry.of_microworld is None]
    if not all(here(entry.load, entry.revision, weights=False) for entry in others):
        return False  # which of them is the narrowest is not known
    folder, keys = result_path(study, model), _keys(study, _member(study, model))
    return all(_earlier(folder / f"{name}.parquet", key) is not None for name, key in keys.items())


def _earlier(path: Path, key: str) -> pd.DataFrame | None:
    earlier = pd.read_parquet(path) if path.exists() else None
    return earlier if earlier is not None and earlier.attrs.get("key") == key else None


def _member(study: Study, name: str) -> Member:
    known = members(study)
    if name not in known:
        raise LookupError(catalog.unknown(f"model of study {study.name}", name, known))
    return known[name]


def _keys(study: Study, member: Member, analyses: Collection[str] | None = None) -> dict[str, str]:
    """Digest of all that could change a model's results, for each analysis or some."""
    source = member.source
    if isinstance(source, LoadedModel | Tuning):
        given = [_placeless(source.model_dump())]
        base = source if isinstance(source, LoadedModel) else base_of(study, source.model)
        if base.of_microworld is None:  # of the microworld's, our own code says it all
            given += [_placeless(base.model_dump()), find(base.load, base.revision, base.untrained is None).identity]
    elif isinstance(source, SeriesFile):
        given = [_hash(Path(source.file)), source.unit]
    else:
        given = [source]
    keys = {}
    for name in measures.analyses(study, member):
        if analyses is not None and name not in analyses:
            continue
        settings = _placeless(study.model_dump(include=measures.ANALYSES[name]))
        settings |= {"width": common_width(study)} if "width" in settings else {}
        keys[name] = store.digest(member.name, settings, _data(settings, study, source), given, _code())
    return keys


def _placeless(settings: object) -> object:
    """Settings with the names of one's own files and folders instead of where they are: results may be moved."""
    match settings:
        case dict():
            return {key: _placeless(value) for key, value in settings.items()}
        case list():
            return [_placeless(value) for value in settings]
        case str() if Path(settings).is_absolute():
            return Path(settings).name
    return settings


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
        hashes[Path(tune.samples).name] = [file.hash if named else _hash(file) for file in files]
    for recording in recordings:
        if isinstance(recording, OwnRecording):
            for place in recording.model_dump(exclude_none=True).values():
                files = [Path(place)] if Path(place).is_file() else sorted(Path(place).glob("*"))
                hashes[Path(place).name] = [_hash(file) for file in files if file.is_file()]
    return hashes


@cache
def _code() -> str:
    """Hash of all code that results go through, so that a change of it computes them again."""
    floors = ("catalog", "store", "human", "llm", "alignment", "microworld", "study")
    code = [path for floor in floors for path in sorted((LIBRARY / floor).glob("*.py"))]
    return store.digest([_hash(path) for path in [*code, *sorted(catalog.TASKS.iterdir()), catalog.BENCHMARK_TASKS]])


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hash_of(path, stat.st_mtime_ns, stat.st_size)


@cache
def _hash_of(path: Path, *_: int) -> str:
    """SHA-256 of a file as it is at a time, taken once for all analyses."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
