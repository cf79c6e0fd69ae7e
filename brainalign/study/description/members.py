"""Who is in a study: its people, published series, language models that are run here, and controls."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd

from brainalign import catalog, messages
from brainalign.llm.reading.series import COLLECTIONS
from brainalign.study.description.settings import LoadedModel, SeriesFile, Study, Tuning, base_of

CONTROL, PEOPLE = "control", "people"
NO_SERIES = (CONTROL, PEOPLE)  # sources that are a word, and no collection of series
SELF, VANILLA, TUNED, TWIN = "the model", "its vanilla model", "tuned from it", "untrained twin"
NOTHING = {"family": "other", "kind": "vanilla", "vanilla": None, "parameters": None}  # of models not in the catalog
COLUMNS = ["family", "kind", "vanilla", "twin_of", "parameters", "origin", "collection", "context"]


@dataclass(frozen=True)
class Member:
    """One of what a study measures."""

    name: str
    # A collection of series, ``control``, or ``people``; a file of one series, a model to load, one to tune.
    source: str | SeriesFile | LoadedModel | Tuning
    about: dict = field(default_factory=dict)  # `COLUMNS`, as far as known


def members(study: Study) -> dict[str, Member]:
    """Everything that a study has results of, by name, in its order.

    Raises ValueError if two have the same name, LookupError if the base of a tuned model is not in the study.
    """
    by_name: dict[str, Member] = {}
    for member in [*_people(study), *_series(study), *_models(study), *_tuning(study), *_controls(study)]:
        if member.name in by_name:
            raise ValueError(f"study {study.name}: two models are called {member.name!r}; give one another name")
        by_name[member.name] = member
    for member in by_name.values():
        base = member.about.get("vanilla")
        if base is not None and base not in by_name:
            raise LookupError(
                f"study {study.name}: the base of {member.name}: {messages.unknown('model', base, by_name)}"
            )
    return by_name


def models(study: Study) -> pd.DataFrame:
    """The `members` of a study, but for its people, as a table by ``model``.

    ``family``; ``kind`` (``vanilla``, ``instruction-tuned``, ``untrained``, ``tuning`` or ``control``); ``vanilla``,
    the base of a tuned model; ``twin_of``, the trained model of an untrained twin; ``parameters``, where known before
    the model is loaded; ``origin`` (``series``, ``model``, ``tuning`` or ``control``); of a series, the published
    ``collection``, if it is of one, and the ``context`` that was read before a word, where that is said.
    """
    rows = [{"model": member.name, **member.about} for member in members(study).values() if member.name != PEOPLE]
    return pd.DataFrame(rows, columns=["model", *COLUMNS]).astype({"parameters": float}).set_index("model")


def bases(study: Study) -> dict[str, str]:
    """Model from which another is made here, tuned or as its twin in the microworld, if the study has both.

    It is run first. What is published waits for nothing.
    """
    elsewhere = ("series", PEOPLE)
    run_here = {name: member for name, member in members(study).items() if member.about["origin"] not in elsewhere}
    base_names = {}
    for name, member in run_here.items():
        source, about = member.source, member.about
        if isinstance(source, Tuning):
            base_names[name] = base_of(study, source.model).member_name
        elif isinstance(source, LoadedModel) and (source.tuned or source.microworld_name):
            base_names[name] = about.get("vanilla") or about.get("twin_of")
    return {name: base for name, base in base_names.items() if base in run_here}


def with_model(study: Study, model: str) -> tuple[Study, str]:
    """The study with a language model among its own, and its name there: it has it, or `llm.load` knows it."""
    if model in members(study):
        return study, model
    added = LoadedModel(load=model)
    return study.model_copy(update={"models": [*study.models, added]}), added.member_name


def related(study: Study, model: str) -> dict[str, str]:
    """What a model is held against, by name: its vanilla model, those tuned from it, its untrained twins, controls."""
    table = models(study)
    roles = {model: SELF}
    if pd.notna(base := table.vanilla[model]) and table.origin[base] == "model":
        roles[base] = VANILLA
    run_here = table[table.origin == "model"]
    roles |= dict.fromkeys(run_here.index[run_here.vanilla == model], TUNED)
    roles |= dict.fromkeys(run_here.index[run_here.twin_of == model], TWIN)
    return roles | dict.fromkeys(table.index[table.origin == CONTROL], CONTROL)


def tuned(study: Study, names: Collection[str] = ()) -> dict[str, LoadedModel | Tuning]:
    """Members that are tuned on the spot: all, or those that are named (else LookupError, with near names)."""
    tuned_here = {}
    for name, member in members(study).items():
        if isinstance(member.source, Tuning) or getattr(member.source, "tuned", None):
            tuned_here[name] = member.source
    for name in names:
        messages.require(f"model that study {study.name} tunes", name, tuned_here)
    return {name: tuned_here[name] for name in names or tuned_here}


def _people(study: Study) -> list[Member]:
    return [Member(PEOPLE, PEOPLE, {"origin": PEOPLE})] if study.recordings or study.reading_times else []


def _series(study: Study) -> list[Member]:
    series_members = []
    for source in study.surprisal:
        if isinstance(source, str):
            for name, model in catalog.surprisal_series(source).iterrows():
                about = model.drop("huggingface").dropna().to_dict()
                about |= {"origin": "series", "collection": source, "context": COLLECTIONS[source].context}
                series_members.append(Member(name, source, about))
        else:
            kind = source.kind or ("instruction-tuned" if source.vanilla else "vanilla")
            about = {"family": source.family, "kind": kind, "vanilla": source.vanilla, "parameters": source.parameters}
            series_members.append(Member(source.name, source, about | {"origin": "series", "context": source.context}))
    return series_members


def _models(study: Study) -> list[Member]:
    names = {entry.member_name for entry in study.entries}
    loaded = [entry for entry in reversed(study.entries) if entry.untrained is None and not entry.tune]
    trained = {entry.load: entry.member_name for entry in loaded}
    table = catalog.checkpoints()[list(NOTHING)].astype(object)
    catalog_entries, model_members = table.where(table.notna(), None).T.to_dict(), []
    for entry in study.entries:
        about = dict(catalog_entries.get(entry.load, NOTHING))
        # The catalog's base counts where the study has it; one that the study names must be there.
        base = entry.vanilla or (trained.get(entry.load) if entry.tune else None)
        base = base or (about["vanilla"] if about["vanilla"] in names else None)
        kind = entry.kind or ("instruction-tuned" if base else about["kind"])
        about |= {"kind": kind, "vanilla": base, "family": entry.family or about["family"], "origin": "model"}
        if entry.untrained is not None:
            about |= {"kind": "untrained", "vanilla": None, "twin_of": trained.get(entry.load)}
        model_members.append(Member(entry.member_name, entry, about))
    return model_members


def _tuning(study: Study) -> list[Member]:
    about = {"family": "other", "kind": "tuning", "origin": "tuning"}
    return [Member(entry.member_name, entry, about) for entry in study.tuning]


def _controls(study: Study) -> list[Member]:
    about = {"family": CONTROL, "kind": CONTROL, "origin": CONTROL}
    return [Member(name, CONTROL, about) for name in study.controls]
