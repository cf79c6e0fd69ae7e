"""The settings of a study, checked key by key; `files` reads them from a YAML file."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from brainalign import catalog, human
from brainalign.alignment.protocols import PROTOCOLS
from brainalign.llm import tuning as llm_tuning
from brainalign.llm.tuning import adapters, samples, training
from brainalign.study.description.own import OwnReadingTimes, OwnRecording, Place, Settings, name_of, resolved

MICROWORLD = ("microworld", "microworld.null")  # simulated people; of the second, no text tells anything
READERS = "microworld.readers"  # simulated reading times
WEHBE = "wehbe2014"  # has no public home: a folder of yours, also by an environment variable
PAPER_RECORDINGS = {"pereira2018.243", "pereira2018.384", "blank2014", WEHBE}
MICROWORLD_PREFIX, TUNED = "microworld/", "-tuned"  # models that are trained on the spot, and tuned
ENDINGS = {"instruction": TUNED, "no-instruction": "-no-instruction", "continued": "-continued"}  # of tuned models
PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Field(pattern=PATTERN)


def plain(name: str) -> str:
    """Name for what is called after a file: folders, pages and steps of the engine have it, so it is as `PATTERN`."""
    return "-".join(re.findall(r"[A-Za-z0-9._-]+", name)).lstrip("._-") or "unnamed"


def _place_or_name(value: object, info: ValidationInfo) -> object:
    """A path as `own.resolved`, or a name where nothing has that path."""
    place = resolved(value, info)
    return place if isinstance(place, str) and Path(place).exists() else value


PlaceOrName = Annotated[str, BeforeValidator(_place_or_name)]


def kind_fits_base(entry):
    """See that what has a base is not said to be vanilla."""
    if entry.kind == "vanilla" and entry.vanilla is not None:
        raise ValueError(f"kind: vanilla, but {entry.vanilla} is its base (vanilla). Leave out one of the two")
    return entry


class SeriesFile(Settings):
    """Surprisal of a model of your own, one value a word."""

    file: Place = Field(description="CSV or JSON file, relative to the study's file")
    name: str = Name
    vanilla: str | None = Field(None, description="name of the base model, when the model is instruction-tuned")
    kind: Literal["vanilla", "instruction-tuned"] | None = Field(
        None, description="what it is, where that is not in the catalog; with a base, it is instruction-tuned"
    )
    family: str = "other"
    parameters: float | None = Field(None, gt=0, description="number of parameters")
    unit: Literal["bits", "nats"] = "bits"
    context: Literal["sentence", "story", "window"] | None = Field(
        None, description="what was read before a word; a series is compared with those of the same context"
    )

    _kind_fits_base = model_validator(mode="after")(kind_fits_base)


class Lora(Settings):
    """Adapters, as in `llm.adapters.Lora`; what is left out is as there."""

    rank: int = Field(adapters.Lora.rank, gt=0)
    alpha: float = Field(adapters.Lora.alpha, gt=0)
    dropout: float = Field(adapters.Lora.dropout, ge=0, lt=1)
    targets: list[str] = Field([], description="layers that have one; by default projections of attention")


class Tune(Settings):
    """How a model is tuned; of the recipe (`llm.training.Recipe`), what is left out is Alpaca's."""

    samples: PlaceOrName | None = Field(None, description="of the catalog, or a JSON file, relative to the study's")
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

    load: PlaceOrName = Field(description="what llm.load knows: a name of the catalog, a hub id, a folder, a file")
    name: str | None = Field(None, pattern=PATTERN, description="what it is called; by default as what is loaded")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")
    dtype: Literal["float32", "float16", "bfloat16", "auto"] = "float32"
    device: str | None = Field(
        None, description="a torch device, or auto: over all GPUs; a named one fits encoding too"
    )
    base: PlaceOrName | None = Field(None, description="the weights are differences, to be added to this model")
    untrained: int | None = Field(None, ge=0, description="seed of fresh weights: an untrained twin")
    tune: Tune | None = Field(None, description="how it is tuned here, after it is loaded")
    vanilla: str | None = Field(None, description="name of the base model, when the model is instruction-tuned")
    kind: Literal["vanilla", "instruction-tuned"] | None = Field(
        None, description="what it is, where that is not in the catalog; with a base, it is instruction-tuned"
    )
    family: str | None = None

    _kind_fits_base = model_validator(mode="after")(kind_fits_base)

    @property
    def microworld_name(self) -> str | None:
        """Name of a model that is trained on the spot; None of others."""
        trained_here = self.load.startswith(MICROWORLD_PREFIX)
        return self.load.removeprefix(MICROWORLD_PREFIX).removesuffix(TUNED) if trained_here else None

    @property
    def tuned(self) -> Tune | None:
        """How it is tuned here; None of a model that is not."""
        return Tune() if self.microworld_name and self.load.endswith(TUNED) else self.tune

    @property
    def member_name(self) -> str:
        """Its name in the study."""
        ending = "" if self.untrained is None else f"-untrained-{self.untrained}"
        ending += ENDINGS[self.tune.condition] if self.tune else ""
        return self.name or plain(Path(self.load).name.removesuffix(".bin").removesuffix(".gguf")) + ending


class Tuning(Tune):
    """A model while it is tuned: each of its checkpoints is scored."""

    model: PlaceOrName = Field(description="a model of the study by name, or any that can be loaded")

    @property
    def member_name(self) -> str:
        """Its name in the study."""
        method = "-lora" if self.method == "lora" else ""
        return f"{plain(Path(self.model).name)}-{self.condition}{method}-{self.seed}"


def name_or(settings: type[Settings], name: object = str) -> object:
    """Type of a name, or of settings that say more: what is given as one is not told why it is not the other."""
    return Annotated[
        Annotated[name, Tag("str")] | Annotated[settings, Tag(settings.__name__)],
        Discriminator(lambda value: "str" if isinstance(value, str) else settings.__name__),
    ]


class Study(Settings):
    """Settings of one study, as its YAML file gives them."""

    name: str = Name
    title: str
    evidence: Literal["printed", "people", "microworld"] = Field(description="what its results rest on")
    recordings: list[name_or(OwnRecording)] = Field([], description="of brains, by name, and files of your own")
    reading_times: list[name_or(OwnReadingTimes, Literal[*human.READING_TIMES, READERS])] = Field(
        [], description="data sets of reading times, and tables of your own"
    )
    alignments: list[Literal["original", "corrected"]] = Field(
        ["original", "corrected"], min_length=1, description="how reading times are aligned with words"
    )
    surprisal: list[name_or(SeriesFile)] = Field([], description="published collections, and files of your own")
    models: list[name_or(LoadedModel, PlaceOrName)] = Field([], description="to run, by name or with more about them")
    tuning: list[Tuning] = Field([], description="models to score while they are tuned")
    benchmarks: list[Literal["microworld", "mmlu", "bbh", "wikitext2"]] = Field([], description="exams of models")
    benchmark_protocols: list[Literal["standard", "instruct-eval"]] = Field(
        ["standard", "instruct-eval"], min_length=1, description="how mmlu and bbh are put: as usual, as the paper did"
    )
    items: int | None = Field(None, ge=1, description="first questions of each subject or task; by default all")
    controls: list[Literal["oasm", "length", "position", "length+position", "random"]] = Field(
        [], description="features that know less than a model, and are run like one"
    )
    protocols: list[Literal[*PROTOCOLS]] = Field(
        ["aw2024", "contiguous"], min_length=1, description="how models are held against recordings"
    )
    layers: str | None = Field(None, pattern=r"^-?\d*:-?\d*$", description="FIRST:END by place; by default all")
    width: int | None = Field(None, ge=1, description="features in the comparison at one width; by default the fewest")
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")
    seed: int = Field(0, ge=0, description="seed of everything random")

    @model_validator(mode="after")
    def _names_of_its_own(self):
        names = self.reading_time_names
        for own in (source for source in self.reading_times if isinstance(source, OwnReadingTimes)):
            if names.count(own.name) > 1 or own.name in human.names():
                raise ValueError(f"reading_times: {own.table}: {own.name!r} is another's name. Rename the file")
        return self

    @property
    def reading_time_names(self) -> list[str]:
        """Reading times by name, of your own among them."""
        return [name_of(source) for source in self.reading_times]

    @property
    def entries(self) -> list[LoadedModel]:
        """Language models, all with what there is to say about them."""
        return [LoadedModel(load=model) if isinstance(model, str) else model for model in self.models]

    @property
    def bases(self) -> set[str]:
        """Vanilla models of which a tuned one is here, too, as the study says, or the catalog."""
        vanilla_names, names = catalog.checkpoints().vanilla.dropna(), {entry.member_name for entry in self.entries}
        return {
            entry.vanilla or vanilla_names.get(entry.load) for entry in self.entries if entry.untrained is None
        } & names

    @property
    def people(self) -> list[str]:
        """Published data sets of what people did, by name."""
        named = [source if isinstance(source, str) else source.kind for source in self.recordings]
        published = {*human.names(), *MICROWORLD, READERS}
        return [name for name in [*self.reading_time_names, *named] if name in published]

    @property
    def replicates(self) -> bool:
        """Whether all of the paper's models are scored on all of its recordings."""
        checkpoints = catalog.checkpoints()
        models = {entry.load for entry in self.entries if entry.untrained is None}
        return set(self.people) >= PAPER_RECORDINGS and set(checkpoints.index[checkpoints.group == "main"]) <= models

    @property
    def parts(self) -> list[str]:
        """What of the book this study fills, sections and data sets by name."""
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


def base_of(study: Study, name: str) -> LoadedModel:
    """The model that is tuned: of the study, where it has one by that name or from that place; else any."""
    untuned_models = [model for model in study.entries if model.tuned is None]
    matches = [model for model in untuned_models if model.member_name == name] or [
        model for model in untuned_models if model.load == name
    ]
    return matches[0] if matches else LoadedModel(load=name)
