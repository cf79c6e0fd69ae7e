"""One study = models x data sets x protocols. Reads its settings and runs one model through all of it."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainalign import catalog, human, store
from brainalign.alignment.behavior import behavioral_alignment
from brainalign.human import natural_stories, own
from brainalign.human.recording import Recording
from brainalign.llm import series

SOURCES = ("surprisal", "recordings")  # settings that are lists of names and files of one's own
PLACES = {"file", "table", "participants", "netcdf", "wehbe2014"}  # settings that are paths
STUDIES = store.PROJECT / "studies"
Name = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class Settings(BaseModel):
    """Strict settings: an unknown key or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SeriesFile(Settings):
    """Surprisal of a model of your own, one value a word."""

    file: str = Field(description="CSV or JSON file, relative to the study's file")
    name: str = Name
    vanilla: str | None = Field(None, description="name of the base model, when the model is instruction-tuned")
    family: str = "other"
    parameters: float | None = Field(None, gt=0, description="number of parameters")
    unit: Literal["bits", "nats"] = "bits"


class OwnRecording(Settings):
    """A recording that is not published: one kind of file, or a folder, of your own."""

    table: str | None = Field(
        None, description="CSV file, relative to the study's file: a row a stimulus, a column a unit"
    )
    participants: str | None = Field(None, description="CSV file with the participant of each column of the table")
    netcdf: str | None = Field(None, description="netCDF file in Brain-Score's layout")
    wehbe2014: str | None = Field(None, description="folder with the files of Wehbe et al. 2014")

    @property
    def kind(self) -> str | None:
        """Which one it is; None if it is none, or more than one."""
        given = set(self.model_dump(exclude_none=True))
        kinds = [kind for kind in ("table", "netcdf", "wehbe2014") if given - {"participants"} == {kind}]
        return kinds[0] if kinds and (self.participants is None or kinds == ["table"]) else None


class Study(Settings):
    """Settings of one study, as its YAML file gives them."""

    name: str = Name
    title: str
    evidence: Literal["printed", "people", "microworld"] = Field(description="what its results rest on")
    recordings: list[str | OwnRecording] = Field([], description="recordings of brains, by name, and files of your own")
    reading_times: list[Literal["natural_stories"]] = Field([], description="data sets of reading times")
    alignments: list[Literal["original", "corrected"]] = Field(
        ["original", "corrected"], min_length=1, description="how reading times are aligned with words"
    )
    surprisal: list[str | SeriesFile] = Field([], description="published collections, and files of your own")
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")
    seed: int = Field(0, ge=0, description="seed of everything random")

    @property
    def parts(self) -> list[str]:
        """What of the book this study fills: sections, and data sets by name."""
        people = [*self.reading_times, *(source for source in self.recordings if isinstance(source, str))]
        sections = {"behavior": self.reading_times and self.surprisal, "people": people or self.recordings}
        return [*(section for section, filled in sections.items() if filled), *people]


OWN = {model.__name__: model for model in (SeriesFile, OwnRecording)}


def names() -> list[str]:
    """Studies that the project ships."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def path_of(name: str) -> Path:
    """YAML file of a study: a name from `studies/`, or a path.

    Raises
    ------
    LookupError
        No such study; the message suggests near names.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
    if not path.is_file():
        known = catalog.unknown("study", name, names())
        raise LookupError(f"{known} A study is a YAML file in studies/, or the path of one.")
    return path


def load(name: str) -> Study:
    """Read and validate a study.

    Parameters
    ----------
    name : str
        A name from `studies/`, or the path of a YAML file.

    Raises
    ------
    LookupError
        No such study, or an unknown collection of surprisal series.
    ValueError
        The file is not YAML, or a setting is unknown or of the wrong type; the message names file and key.
    """
    path = path_of(name)
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected settings (`key: value`), found {type(settings).__name__}")
    sources = [source for key in SOURCES if isinstance(settings.get(key), list) for source in settings[key]]
    for source in sources:
        for place in PLACES.intersection(source if isinstance(source, dict) else ()):
            source[place] = str(path.parent.joinpath(str(source[place])).resolve())
    try:
        study = Study.model_validate({"name": path.stem, **settings})
    except ValidationError as error:
        problems = dict.fromkeys(f"{path}: {_explain(problem)}" for problem in error.errors() if _relevant(problem))
        raise ValueError("\n".join(problems)) from error
    for source in study.surprisal:
        if isinstance(source, str):
            catalog.surprisal_series(source)
        elif not Path(source.file).is_file():
            raise ValueError(f"{path}: surprisal file {source.file} does not exist; paths are relative to the study's")
    _check_recordings(study, path)
    return study


def _check_recordings(study: Study, path: Path) -> None:
    for source in study.recordings:
        if isinstance(source, OwnRecording):
            if source.kind is None:
                given = ", ".join(source.model_dump(exclude_none=True)) or "nothing"
                raise ValueError(
                    f"{path}: recordings: give one of table (with participants, if you like), netcdf and wehbe2014, "
                    f"not {given}"
                )
            for key, place in source.model_dump(exclude_none=True).items():
                if not Path(place).exists():
                    raise ValueError(
                        f"{path}: recordings: {key} {place} does not exist; paths are relative to the study's"
                    )
        elif source == "wehbe2014":
            raise ValueError(f"{path}: recordings: wehbe2014 has no public home. Write {{wehbe2014: FOLDER}} instead.")
        elif source not in human.RECORDINGS:
            raise LookupError(f"{path}: recordings: {catalog.unknown('recording', source, human.RECORDINGS)}")


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


def models(study: Study) -> pd.DataFrame:
    """The models of a study.

    Returns
    -------
    DataFrame
        Indexed by ``model``: ``family``, ``kind``, ``vanilla`` (base of a tuned model), ``parameters`` and ``source``
        (the position in `Study.surprisal` of what its surprisal comes from).

    Raises
    ------
    ValueError
        Two models have the same name.
    LookupError
        The base of a tuned model is not in the study.
    """
    rows = []
    for number, source in enumerate(study.surprisal):
        if isinstance(source, str):
            for name, model in catalog.surprisal_series(source).iterrows():
                rows.append({"model": name, **model.drop("huggingface"), "source": number})
        else:
            kind = "instruction-tuned" if source.vanilla else "vanilla"
            described = {"family": source.family, "kind": kind, "vanilla": source.vanilla}
            rows.append({"model": source.name, **described, "parameters": source.parameters, "source": number})
    columns = ["model", "family", "kind", "vanilla", "parameters", "source"]
    table = pd.DataFrame(rows, columns=columns).astype({"parameters": float}).set_index("model")
    if twice := list(table.index[table.index.duplicated()]):
        raise ValueError(f"study {study.name}: two models are called {twice[0]!r}; give one another name")
    for name, base in table.vanilla.dropna().items():
        if base not in table.index:
            raise LookupError(f"study {study.name}: the base of {name}: {catalog.unknown('model', base, table.index)}")
    return table


def own_files(study: Study) -> list[Path]:
    """Files of one's own that a study's results depend on."""
    return [Path(source.file) for source in study.surprisal if isinstance(source, SeriesFile)]


def result_path(study: Study, model: str) -> Path:
    """File with the results of one model of a study."""
    return store.root() / "results" / study.name / f"{model}.parquet"


def run(study: Study, model: str) -> pd.DataFrame:
    """Run one model of a study through all of it, or read what an earlier run found.

    An earlier result counts if everything that could change it is the same: settings, data, and our own code.

    Parameters
    ----------
    study : Study
        Its settings.
    model : str
        One of `models`.

    Returns
    -------
    DataFrame
        Rows of `behavioral_alignment`, one table below the other, with ``model`` in front.

    Raises
    ------
    LookupError
        No such model; the message suggests near names.
    ValueError
        The study measures nothing, or as in `behavioral_alignment`.
    """
    known = models(study)
    if model not in known.index:
        raise LookupError(catalog.unknown(f"model of study {study.name}", model, known.index))
    source = study.surprisal[known.source[model]]
    path, key = result_path(study, model), _key(study, model, source)
    if path.exists():
        earlier = pd.read_parquet(path)
        if earlier.attrs.get("key") == key:
            return earlier
    tables = [_behavior(study, model, source, dataset, alignment)
              for dataset in study.reading_times for alignment in study.alignments]  # fmt: skip
    if not tables:
        raise ValueError(f"study {study.name} has no reading_times, so there is nothing to run {model} on")
    result = pd.concat(tables, ignore_index=True)
    result.insert(0, "model", model)
    result.attrs["key"] = key
    with store.writing(path) as file:
        result.to_parquet(file, index=False)
    return result


def results(study: Study) -> pd.DataFrame:
    """Results of all models of a study; what is missing is computed.

    Returns
    -------
    DataFrame
        The rows of `run`, with the columns of `models`. Empty if the study measures nothing.
    """
    described = models(study).drop(columns="source")
    if "behavior" not in study.parts:
        return pd.DataFrame(columns=["model", *described.columns])
    rows = pd.concat([run(study, model) for model in described.index], ignore_index=True)
    return rows.merge(described, left_on="model", right_index=True)


def _behavior(study: Study, model: str, source: str | SeriesFile, dataset: str, alignment: str) -> pd.DataFrame:
    times = natural_stories.load(alignment)
    if isinstance(source, str):
        surprisal = series.load_one(source, model, times.table())
    else:
        surprisal = series.load_one(source.file, Path(source.file).stem, times.table(), source.unit)
    return behavioral_alignment(surprisal, times, seed=study.seed, n_resamples=study.resamples)


def _key(study: Study, model: str, source: str | SeriesFile) -> str:
    """Digest of all that could change a model's results."""
    names = [*study.reading_times, *([source] if isinstance(source, str) else [])]
    hashes = {name: [file.hash for file in catalog.dataset(name).files.values()] for name in names}
    given = None if isinstance(source, str) else [_hash(Path(source.file)), source.unit]
    settings = study.model_dump(exclude={"title", "evidence", "surprisal", "recordings", "name"})
    return store.digest(model, settings, hashes, given, _code())


@cache
def _code() -> str:
    """Hash of all code that results go through, so that a change of it computes them again."""
    library = Path(__file__).parent
    parts = [Path(__file__)]
    for floor in ("catalog", "store", "human", "llm", "alignment"):
        parts += sorted((library / floor).glob("*.py"))
    return store.digest([_hash(path) for path in parts])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _relevant(problem: dict) -> bool:
    # A source is a name or a file; what was given as one need not be told why it is not the other.
    unmeant = tuple(OWN) if isinstance(problem["input"], str) else ("str",)
    return problem["loc"][0] not in SOURCES or problem["loc"][-1] not in unmeant


def _explain(problem: dict) -> str:
    where = ".".join(str(part) for part in problem["loc"] if part not in ("str", *OWN))
    if problem["type"] == "extra_forbidden":
        model = OWN[problem["loc"][-2]] if len(problem["loc"]) > 1 else Study
        return catalog.unknown("setting", problem["loc"][-1], model.model_fields)
    return f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem.get('input')!r}"
