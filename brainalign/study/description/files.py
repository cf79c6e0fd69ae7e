"""The YAML file of a study: where it is, what is in it, and what it names that is one's own."""

import os
from pathlib import Path

import yaml
from pydantic import ValidationError

from brainalign import catalog, human, messages, store
from brainalign.llm.tuning import samples
from brainalign.study.description.settings import (
    MICROWORLD,
    WEHBE,
    LoadedModel,
    Lora,
    OwnReadingTimes,
    OwnRecording,
    SeriesFile,
    Study,
    Tune,
    Tuning,
    base_of,
    plain,
)

STUDIES = store.PROJECT / "studies"
WEHBE_FOLDER = "BRAINALIGN_WEHBE2014"  # environment variable with the folder of Wehbe et al. 2014
# By the tag of `settings.name_or`.
OWN = {model.__name__: model for model in (SeriesFile, OwnRecording, OwnReadingTimes, LoadedModel)}


def names() -> list[str]:
    """Studies that the project ships."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def path_of(name: str) -> Path:
    """YAML file of a study: a name from `studies/`, or a path; else LookupError, which suggests near names."""
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
    if not path.is_file():
        message = messages.unknown("study", name, names())
        raise LookupError(f"{message} A study is a YAML file in studies/, or the path of one.")
    return path


def load(name: str) -> Study:
    """Read and validate a study, by a name from `studies/` or the path of a YAML file.

    Raises
    ------
    LookupError
        No such study, or an unknown recording or collection of surprisal series.
    ValueError
        The file is not YAML, or a setting is unknown or of the wrong type; the message names file and key.
    """
    path = path_of(name)
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # of any kind: of what is no date or number, yaml raises what it runs into
        raise ValueError(f"{path}: not valid YAML: {str(error) or type(error).__name__}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected settings (`key: value`), found {type(settings).__name__}")
    if isinstance(settings.get("recordings"), list) and (folder := os.environ.get(WEHBE_FOLDER)):
        entry = {WEHBE: str(Path(folder).expanduser().resolve())}
        settings["recordings"] = [entry if source == WEHBE else source for source in settings["recordings"]]
    try:
        study = Study.model_validate({"name": plain(path.stem), **settings}, context={"folder": path.parent})
    except ValidationError as error:
        raise ValueError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error
    for source in study.surprisal:
        if isinstance(source, str):
            catalog.surprisal_series(source)
    for source in study.recordings:
        if isinstance(source, str) and source not in (choices := [*human.RECORDINGS, *MICROWORLD]):
            raise LookupError(f"{path}: recordings: {messages.unknown('recording', source, choices)}")
    _check_tuning(study, path)
    return study


def absent_files(study: Study) -> list[str]:
    """Files and folders of one's own that a study names and that are not here: of each, what it is and where.

    A finished study is read without them.
    """
    places = [(f"recordings: {key}", place) for source in study.recordings if isinstance(source, OwnRecording)
              for key, place in source.files.items()]  # fmt: skip
    tables = [source.table for source in study.reading_times if isinstance(source, OwnReadingTimes)]
    places += [("reading_times: table", table) for table in tables]
    places += [("surprisal: file", source.file) for source in study.surprisal if isinstance(source, SeriesFile)]
    tunes = [*study.tuning, *(entry.tune for entry in study.entries if entry.tune)]
    places += [("samples", tune.samples) for tune in tunes if tune.samples not in (None, *samples.names())]
    return [f"{label} {place}" for label, place in dict.fromkeys(places) if not Path(place).exists()]


def _check_tuning(study: Study, path: Path) -> None:
    """See that what is tuned has samples, which the models of the microworld bring with them."""
    tuned = [(f"models: {entry.member_name}", entry, entry.tune) for entry in study.entries if entry.tune]
    tuned += [(f"tuning: {entry.member_name}", base_of(study, entry.model), entry) for entry in study.tuning]
    for place, base, tune in tuned:
        problem = None
        if base.untrained is not None:
            problem = "an untrained twin is not tuned. Give the trained model"
        elif base.microworld_name is not None and tune.samples is not None:
            problem = "models of the microworld are tuned on samples of its own. Leave samples out"
        elif base.microworld_name is None and tune.samples is None:
            problem = f"no samples to tune it with. Give samples: {' or '.join(samples.names())}, or a JSON file"
        elif tune.samples is not None and tune.samples not in samples.names() and Path(tune.samples).suffix != ".json":
            problem = f"{messages.unknown('data set of samples', tune.samples, samples.names())} Or give a JSON file"
        if problem:
            raise ValueError(f"{path}: {place}: {problem}.")


def _explain(problem: dict) -> str:
    """A problem of pydantic's in a sentence."""
    if problem["type"] == "extra_forbidden":
        *_, section = ("study", *problem["loc"][:-1])
        model = {**OWN, "study": Study, "tune": Tune, "lora": Lora}.get(section, Tuning)  # of which there is a list
        return messages.unknown("setting", problem["loc"][-1], model.model_fields)
    location = ".".join(str(part) for part in problem["loc"] if part not in ("str", *OWN))
    if problem["type"] == "value_error":
        return f"{location}: {problem['ctx']['error']}"
    return f"{location}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem.get('input')!r}"
