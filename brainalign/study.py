"""One study = models x data sets x protocols. Reads its settings and runs one model through all of it."""

import hashlib
import json
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainalign import catalog, store

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


class Study(Settings):
    """Settings of one study, as its YAML file gives them."""

    name: str = Name
    title: str
    evidence: Literal["printed", "people", "microworld"] = Field(description="what its results rest on")
    reading_times: list[Literal["natural_stories"]] = Field([], description="data sets of reading times")
    alignments: list[Literal["original", "corrected"]] = Field(
        ["original", "corrected"], min_length=1, description="how reading times are aligned with words"
    )
    surprisal: list[str | SeriesFile] = Field([], description="published collections, and files of your own")
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")
    seed: int = Field(0, ge=0, description="seed of everything random")

    @property
    def parts(self) -> list[str]:
        """Sections of the book that this study fills."""
        return ["behavior"] if self.reading_times and self.surprisal else []


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
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected settings (`key: value`), found {type(settings).__name__}")
    try:
        study = Study(**{"name": path.stem, **settings})
    except ValidationError as error:
        raise ValueError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error
    for source in study.surprisal:
        if isinstance(source, str):
            catalog.surprisal_series(source)
    return study


def _explain(problem: dict) -> str:
    where = ".".join(str(part) for part in problem["loc"] if part not in ("str", "SeriesFile"))
    if problem["type"] == "extra_forbidden":
        model = SeriesFile if len(problem["loc"]) > 1 else Study
        return catalog.unknown("setting", problem["loc"][-1], model.model_fields)
    return f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem.get('input')!r}"
