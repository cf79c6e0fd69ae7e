"""The settings of a study: a YAML file, checked key by key."""

import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainalign import catalog, human, messages, store
from brainalign.alignment.protocols import PROTOCOLS
from brainalign.llm import tuning as llm_tuning
from brainalign.llm.tuning import adapters, samples, training

SOURCES = ("surprisal", "recordings", "models")  # settings that are lists of names, and of more about each
PLACES = {"file", "table", "participants", "netcdf", "wehbe2014"}  # settings that are paths
STUDIES = store.PROJECT / "studies"
MICROWORLD = ("microworld", "microworld.null")  # simulated people; of the second, no text tells anything
READERS = "microworld.readers"  # simulated reading times
WEHBE = "wehbe2014"  # has no public home: a folder of yours, also by this environment variable
WEHBE_FOLDER = "BRAINALIGN_WEHBE2014"
PAPER_RECORDINGS = {"pereira2018.243", "pereira2018.384", "blank2014", WEHBE}
MICROWORLD_PREFIX, TUNED = "microworld/", "-tuned"  # models that are trained on the spot, and tuned
ENDINGS = {
    "instruction": TUNED,
    "no-instruction": "-no-instruction",
    "continued": "-continued",
}  # of tuned models' names
PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Field(pattern=PATTERN)


def plain(name: str) -> str:
    """Name for what is called after a file: folders, pages and steps of the engine have it, so it is as `PATTERN`."""
    return "-".join(re.findall(r"[A-Za-z0-9._-]+", name)).lstrip("._-") or "unnamed"


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


class Lora(Settings):
    """Adapters, as in `llm.adapters.Lora`; what is left out is as there."""

    rank: int = Field(adapters.Lora.rank, gt=0)
    alpha: float = Field(adapters.Lora.alpha, gt=0)
    dropout: float = Field(adapters.Lora.dropout, ge=0, lt=1)
    targets: list[str] = Field([], description="layers that have one; by default projections of attention")


class Tune(Settings):
    """How a model is tuned; of the recipe (`llm.training.Recipe`), what is left out is Alpaca's."""

    samples: str | None = Field(
        None, description="a data set of samples in the catalog, or a JSON file, relative to the study's file"
    )
    condition: Literal["instruction", "no-instruction", "continued"] = Field(
        "instruction", description="what is read before responses (llm.samples)"
    )
    seed: int = Field(0, ge=0, description="of the order of samples")
    method: Literal["full", "lora"] = Field("full", description="whether all weights are trained, or adapters")
    lora: Lora = Lora()
    epochs: float | None = Field(None, gt=0)
    batch_size: int | None = Field(None, gt=0)
    at_once: int | None = Field(None, gt=0, description="samples that go through the network together")
    learning_rate: float | None = Field(None, gt=0)
    warmup: float | None = Field(None, ge=0, lt=1)
    weight_decay: float | None = Field(None, ge=0)
    max_length: int | None = Field(None, gt=1)
    checkpoints: list[int] | None = Field(None, description="steps after which the model is kept, beside the last")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more time")

    def as_tuning(self, defaults: llm_tuning.Tuning) -> llm_tuning.Tuning:
        """As `llm.tuned` wants it: ``defaults``, but for what is set."""
        names = {entry.name for entry in fields(training.Recipe)}
        lora = self.lora.model_dump() | {"targets": tuple(self.lora.targets)}
        return replace(
            defaults,
            condition=self.condition,
            recipe=replace(defaults.recipe, **self.model_dump(include=names, exclude_none=True)),
            lora=adapters.Lora(**lora) if self.method == "lora" else None,
            checkpoints=defaults.checkpoints if self.checkpoints is None else tuple(self.checkpoints),
            gradient_checkpointing=self.gradient_checkpointing,
        )


class LoadedModel(Settings):
    """A language model that is run here, with more than a name to say about it."""

    load: str = Field(description="what llm.load knows: the catalog's name, a hub id, a folder, a llama2.c export")
    name: str | None = Field(None, pattern=PATTERN, description="what it is called; by default as what is loaded")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")
    dtype: Literal["float32", "float16", "bfloat16", "auto"] = "float32"
    device: str | None = Field(None, description="a torch device, or auto: over all GPUs; by default one, if there is")
    base: str | None = Field(None, description="the weights are differences, to be added to this model")
    untrained: int | None = Field(None, ge=0, description="seed of fresh weights: an untrained twin")
    tune: Tune | None = Field(None, description="how it is tuned here, after it is loaded")
    vanilla: str | None = Field(None, description="name of the base model, when the model is instruction-tuned")
    family: str | None = None

    @property
    def microworld_name(self) -> str | None:
        """Name of a model that is trained on the spot; None of others."""
        return (
            self.load.removeprefix(MICROWORLD_PREFIX).removesuffix(TUNED)
            if self.load.startswith(MICROWORLD_PREFIX)
            else None
        )

    @property
    def tuned(self) -> Tune | None:
        """How it is tuned here; None of a model that is not."""
        return Tune() if self.microworld_name and self.load.endswith(TUNED) else self.tune

    @property
    def member_name(self) -> str:
        """Its name in the study."""
        ending = "" if self.untrained is None else f"-untrained-{self.untrained}"
        ending += ENDINGS[self.tune.condition] if self.tune else ""
        return self.name or plain(Path(self.load).name.removesuffix(".bin")) + ending


class Tuning(Tune):
    """A model while it is tuned: each of its checkpoints is scored."""

    model: str = Field(description="a model of the study by name, or any that can be loaded")

    @property
    def member_name(self) -> str:
        """Its name in the study."""
        method = "-lora" if self.method == "lora" else ""
        return f"{plain(Path(self.model).name)}-{self.condition}{method}-{self.seed}"


class OwnRecording(Settings):
    """A recording that is not published: one kind of file, or a folder, of your own."""

    table: str | None = Field(
        None, description="CSV file, relative to the study's file: a row a stimulus, a column a unit"
    )
    participants: str | None = Field(None, description="CSV file with the participant of each column of the table")
    netcdf: str | None = Field(None, description="netCDF file in Brain-Score's layout")
    wehbe2014: str | None = Field(None, description="folder with the files of Wehbe et al. 2014")

    @property
    def place(self) -> Path:
        """Its file, or its folder."""
        return Path(self.table or self.netcdf or self.wehbe2014)

    @property
    def kind(self) -> str | None:
        """Which one it is; None if it is none, or more than one."""
        keys = set(self.model_dump(exclude_none=True))
        kinds = [kind for kind in ("table", "netcdf", "wehbe2014") if keys - {"participants"} == {kind}]
        return kinds[0] if kinds and (self.participants is None or kinds == ["table"]) else None


class Study(Settings):
    """Settings of one study, as its YAML file gives them."""

    name: str = Name
    title: str
    evidence: Literal["printed", "people", "microworld"] = Field(description="what its results rest on")
    recordings: list[str | OwnRecording] = Field([], description="recordings of brains, by name, and files of your own")
    reading_times: list[Literal[*human.READING_TIMES, READERS]] = Field([], description="data sets of reading times")
    alignments: list[Literal["original", "corrected"]] = Field(
        ["original", "corrected"], min_length=1, description="how reading times are aligned with words"
    )
    surprisal: list[str | SeriesFile] = Field([], description="published collections, and files of your own")
    models: list[str | LoadedModel] = Field([], description="language models to run, by name or with more about them")
    tuning: list[Tuning] = Field([], description="models to score while they are tuned")
    benchmarks: list[Literal["microworld", "mmlu", "bbh", "wikitext2"]] = Field(
        [], description="what models are examined in"
    )
    benchmark_protocols: list[Literal["standard", "instruct-eval"]] = Field(
        ["standard", "instruct-eval"], min_length=1, description="how mmlu and bbh are put: as usual, as the paper did"
    )
    items: int | None = Field(
        None, ge=1, description="questions of each subject or task, the first ones; by default all"
    )
    controls: list[Literal["oasm", "length", "position", "length+position", "random"]] = Field(
        [], description="features that know less than a model, and are run like one"
    )
    protocols: list[Literal[*PROTOCOLS]] = Field(
        ["aw2024", "contiguous"], min_length=1, description="how models are held against recordings"
    )
    layers: str | None = Field(
        None, pattern=r"^-?\d*:-?\d*$", description="of language models, FIRST:END by place; by default all"
    )
    width: int | None = Field(
        None, ge=1, description="features when models are compared at one width; by default the narrowest model's"
    )
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")
    seed: int = Field(0, ge=0, description="seed of everything random")

    @property
    def entries(self) -> list[LoadedModel]:
        """Language models, all with what there is to say about them."""
        return [LoadedModel(load=model) if isinstance(model, str) else model for model in self.models]

    @property
    def bases(self) -> set[str]:
        """Vanilla models of which a tuned one is here, too: as the study says, or the catalog."""
        vanilla_names, names = catalog.checkpoints().vanilla.dropna(), {entry.member_name for entry in self.entries}
        return {
            entry.vanilla or vanilla_names.get(entry.load) for entry in self.entries if entry.untrained is None
        } & names

    @property
    def people(self) -> list[str]:
        """Published data sets of what people did, by name."""
        named = [source if isinstance(source, str) else source.kind for source in self.recordings]
        return [*self.reading_times, *(name for name in named if name in {*human.names(), *MICROWORLD})]

    @property
    def replicates(self) -> bool:
        """Whether all of the paper's models are scored on all of its recordings."""
        checkpoints = catalog.checkpoints()
        models = {entry.load for entry in self.entries if entry.untrained is None}
        return set(self.people) >= PAPER_RECORDINGS and set(checkpoints.index[checkpoints.group == "main"]) <= models

    @property
    def parts(self) -> list[str]:
        """What of the book this study fills: sections, and data sets by name."""
        sections = {
            "reading-times": self.reading_times,
            # Tests over bases, of which there must be two, are half of what it shows.
            "behavior": self.reading_times and (self.surprisal or len(self.bases) > 1),
            "people": self.people or self.recordings,
            "models": self.models,
            "brain": self.recordings and self.models,  # controls alone have nothing to be held against
            "replication": self.replicates,
            "capability": self.benchmarks and self.models,
            "tuning": self.tuning,
            "continued": any(tuning.condition == samples.CONTINUED for tuning in self.tuning),
            "validation": self.evidence == "microworld",
        }
        return [*(section for section, filled in sections.items() if filled), *self.people]


OWN = {model.__name__: model for model in (SeriesFile, OwnRecording, LoadedModel, Tuning)}


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
        message = messages.unknown("study", name, names())
        raise LookupError(f"{message} A study is a YAML file in studies/, or the path of one.")
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
    if isinstance(settings.get("recordings"), list) and (folder := os.environ.get(WEHBE_FOLDER)):
        wehbe_entry = {WEHBE: str(Path(folder).expanduser().resolve())}
        settings["recordings"] = [wehbe_entry if source == WEHBE else source for source in settings["recordings"]]
    for key, places in (("models", ("load", "base", "tune")), ("tuning", ("model", "samples"))):
        if isinstance(settings.get(key), list):
            settings[key] = [_from(path.parent, model, places) for model in settings[key]]
    try:
        study = Study.model_validate({"name": plain(path.stem), **settings})
    except ValidationError as error:
        problems = dict.fromkeys(f"{path}: {_explain(problem)}" for problem in error.errors() if _relevant(problem))
        raise ValueError("\n".join(problems)) from error
    for source in study.surprisal:
        if isinstance(source, str):
            catalog.surprisal_series(source)
    _check_recordings(study, path)
    _check_tuning(study, path)
    return study


def _check_recordings(study: Study, path: Path) -> None:
    for source in study.recordings:
        if isinstance(source, OwnRecording):
            if source.kind is None:
                keys = ", ".join(source.model_dump(exclude_none=True)) or "nothing"
                raise ValueError(
                    f"{path}: recordings: give one of table (with participants, if you like), netcdf and wehbe2014, "
                    f"not {keys}"
                )
        elif source not in (choices := [*human.RECORDINGS, *MICROWORLD]):
            raise LookupError(f"{path}: recordings: {messages.unknown('recording', source, choices)}")


def _from(folder: Path, value: object, places: tuple[str, ...] = ("samples",)) -> object:
    """What is one's own by its whole path: a name that is one from the study's folder, also inside of an entry."""
    if isinstance(value, dict):
        return value | {key: _from(folder, value[key]) for key in places if key in value}
    return str((folder / value).resolve()) if isinstance(value, str) and (folder / value).exists() else value


def _check_tuning(study: Study, path: Path) -> None:
    """See that what is tuned has samples, which the models of the microworld bring with them."""
    entries = {model.member_name: model for model in study.entries}
    tuned = [(f"models: {name}", model, model.tune) for name, model in entries.items() if model.tune]
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


def absent_files(study: Study) -> list[str]:
    """Files and folders of one's own that a study names and that are not here: of each, what it is and where.

    A finished study is read without them.
    """
    places = [(f"recordings: {key}", place) for source in study.recordings if isinstance(source, OwnRecording)
              for key, place in source.model_dump(exclude_none=True).items()]  # fmt: skip
    places += [("surprisal: file", source.file) for source in study.surprisal if isinstance(source, SeriesFile)]
    tunes = [*study.tuning, *(entry.tune for entry in study.entries if entry.tune)]
    places += [("samples", tune.samples) for tune in tunes if tune.samples not in (None, *samples.names())]
    return [f"{label} {place}" for label, place in dict.fromkeys(places) if not Path(place).exists()]


def base_of(study: Study, name: str) -> LoadedModel:
    """The model that is tuned: of the study, where it has one by that name or from that place; else any."""
    untuned_models = [model for model in study.entries if model.tuned is None]
    matches = [model for model in untuned_models if model.member_name == name] or [
        model for model in untuned_models if model.load == name
    ]
    return matches[0] if matches else LoadedModel(load=name)


def _relevant(problem: dict) -> bool:
    # A source is a name or a file; what was given as one need not be told why it is not the other.
    ignored = tuple(OWN) if isinstance(problem["input"], str) else ("str",)
    return problem["loc"][0] not in SOURCES or problem["loc"][-1] not in ignored


def _explain(problem: dict) -> str:
    location = ".".join(str(part) for part in problem["loc"] if part not in ("str", *OWN))
    if problem["type"] == "extra_forbidden":
        *_, section = ("Study", *problem["loc"][:-1])
        model = {**OWN, "Study": Study, "tune": Tune, "lora": Lora}.get(section, Tuning)  # of which there is a list
        return messages.unknown("setting", problem["loc"][-1], model.model_fields)
    return f"{location}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem.get('input')!r}"
