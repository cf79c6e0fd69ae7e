"""Runs one member of a study through all that the study measures; reads what was measured, and says what is not."""

import json
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from brainalign import messages, store
from brainalign.study.description.members import CONTROL, PEOPLE, Member, bases, members, models
from brainalign.study.description.settings import LoadedModel, Study, Tuning
from brainalign.study.measurement import measures
from brainalign.study.running import keys

SERIES_AT_ONCE = 8
SCORES = ("brain", "behavior", "capability")  # analyses in which models are compared
DONE, WANTED = "done.json", "wanted.json"  # what results depend on, and have to depend on
NOTHING = {"code": {}, "source": {}, "analyses": {}}
MOST_NAMED = 10  # models that an error names


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
    members_by_name, base_names = members(study), bases(study)
    groups: dict[object, list[str]] = {}
    for name in measured(study):
        source, origin = members_by_name[name].source, members_by_name[name].about["origin"]
        if isinstance(source, Tuning):
            key = (origin, source.model, source.condition, source.method)
        elif isinstance(source, LoadedModel):
            key = (origin, base_names.get(name, name) if source.microworld_name else name)
        else:
            key = origin
        groups.setdefault(key, []).append(name)
    series = groups.pop("series", [])
    return [series[i : i + SERIES_AT_ONCE] for i in range(0, len(series), SERIES_AT_ONCE)] + list(groups.values())


def run(study: Study, model: str) -> dict[str, pd.DataFrame]:
    """Run one model of a study through all of it, or read what earlier runs have measured.

    An earlier result counts if everything that could change it is the same: settings, data, weights, and our own code.

    Returns
    -------
    dict of DataFrame
        By analysis, each with ``model`` and columns of its own (`measures.ANALYSES`): ``model``, what it is;
        ``texts``, how it read them, and ``tokens``, the ids of each part; ``norms`` and ``layers`` of its states;
        ``words``, the surprisal of each; ``behavior``, rows of `behavioral_alignment`; ``brain``, of `brain_alignment`;
        ``one-width``, ``unique`` and ``similarity`` (`brains`); ``capability``, as `capability.examined`; and of a
        model while it is tuned ``tuning``: ``step``, ``condition``, ``tuned``, ``tuning_seed``, ``measure``,
        ``protocol``, ``value``.

    Raises
    ------
    LookupError
        No such model; the message suggests near names.
    ValueError
        The study measures nothing of this model, or as in what it measures.
    """
    member = _member(study, model)
    depends, folder = _depends(study, member), result_path(study, model)
    if not depends["analyses"]:
        raise ValueError(
            f"study {study.name} has no {'recordings' if member.source == CONTROL else 'reading_times'}, so there is "
            f"nothing to run {model} on"
        )
    tables = {name: _read(folder, depends, name) for name in depends["analyses"]}
    if due := [name for name, table in tables.items() if table is None]:
        measured_now = measures.measure(study, member, due)
        depends = keys.dependencies(study, member)  # again: what a model is, is known once it is here
        for name, table in measured_now.items():
            table.insert(0, "model", model)
            table.attrs["key"] = keys.key(depends, name)
            with store.writing(folder / f"{name}.parquet") as file:
                table.to_parquet(file, index=False)
            tables[name] = table
    store.update(folder / DONE, _text(depends))
    return tables


def want(study: Study, model: str) -> bool:
    """Write what a model's results should depend on to a file, newer than they are if they are due; and whether so."""
    folder, depends = result_path(study, model), _depends(study, _member(study, model))
    store.update(folder / WANTED, _text(depends))
    due = bool(_reasons(folder, depends))
    # Newer than results that are due, also those of code that was edited while they were measured, and then put back;
    # else older than any result, also those of other models that one process has run.
    os.utime(folder / WANTED, None if due else (1, 1))
    return due


def adopt(study: Study, folder: Path) -> None:
    """Take over results that were measured elsewhere, and for which neither data nor weights need be here.

    The folder has a copy of the `result_path` of each model, or of the folder above it. What is up to date here stays.

    Raises
    ------
    LookupError
        What is there does not count here, or is not all; the message says which models, and why.
    """
    folder, problems = folder / study.name if (folder / study.name).is_dir() else folder, {}
    for name in [name for name in measured(study) if not up_to_date(study, name)]:
        source = folder / name
        if reasons := _reasons(source, _depends(study, _member(study, name), source)):
            problems[name] = "; ".join(reasons)
            continue
        for file in [*source.glob("*.parquet"), source / DONE]:
            with store.writing(result_path(study, name) / file.name) as copy:
                shutil.copy2(file, copy)
    if problems:
        raise LookupError(_absent(study, problems))


def _depends(study: Study, member: Member, folder: Path | None = None) -> dict:
    """What results depend on now; what cannot be seen, as the weights of a model that is not here, as it was."""
    recorded = _recorded(folder or result_path(study, member.name))
    return keys.fill_unknown(keys.dependencies(study, member), recorded)


def _recorded(folder: Path) -> dict:
    """What the results in a folder depend on; empty where there are none, or none that this version has written."""
    path = folder / DONE
    return NOTHING | (json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})


def _text(depends: dict) -> str:
    return json.dumps(depends, indent=1) + "\n"


def status(study: Study) -> pd.DataFrame:
    """What there is of a study's results, and why it does not count.

    Returns
    -------
    DataFrame
        Indexed by ``model``: ``state`` (``up to date``, ``stale`` or ``missing``), and ``why``, in words.
    """
    rows, members_by_name = {}, members(study)
    for name in measured(study):
        folder = result_path(study, name)
        reasons = _reasons(folder, _depends(study, members_by_name[name]))
        state = "missing" if not (folder / DONE).exists() else "stale" if reasons else "up to date"
        rows[name] = {"state": state, "why": "; ".join(reasons) if state == "stale" else ""}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["state", "why"]).rename_axis("model")


def _reasons(folder: Path, depends: dict) -> list[str]:
    """Why the results in a folder do not count; nothing if they do."""
    if not (folder / DONE).exists():
        return ["missing"]
    reasons = keys.changes(_recorded(folder), depends)
    absent = [name for name in depends["analyses"] if not (folder / f"{name}.parquet").exists()]
    return reasons + ([f"missing: {', '.join(absent)}"] if absent else [])


def results(
    study: Study, analysis: str | Sequence[str] = "behavior", names: Collection[str] | None = None
) -> pd.DataFrame:
    """Read results of a study, of all models that it measures if none are named; nothing is measured.

    Parameters
    ----------
    analysis : str or sequence of str
        One of `measures.ANALYSES`; several, such as `SCORES`, stand one below the other, told apart by a column
        ``analysis``.

    Returns
    -------
    DataFrame
        The rows and columns of that analysis, with the columns of `models`; of an analysis of people, without. Empty if
        the study has none.

    Raises
    ------
    LookupError
        Results are missing or stale; the message says which, why, and how to get them.
    """
    model_table = models(study)
    analyses = [analysis] if isinstance(analysis, str) else analysis
    tables_by_model = _tables(study, analyses, measured(study) if names is None else names)
    rows = [(name, tables[name]) for tables in tables_by_model.values() for name in analyses if name in tables]
    if not rows:
        return pd.DataFrame(columns=["model", *model_table.columns])
    labeled = [part if isinstance(analysis, str) else part.assign(analysis=name) for name, part in rows]
    table = pd.concat(labeled, ignore_index=True)
    if (table.model == PEOPLE).all():
        return table.drop(columns="model")
    parameter_counts = {
        name: float(tables["model"].n_parameters.iloc[0])
        for name, tables in tables_by_model.items()
        if "model" in tables
    }
    table = table.merge(model_table, left_on="model", right_index=True)
    return table.assign(parameters=table.parameters.fillna(table.model.map(parameter_counts)))


def _tables(study: Study, analyses: Sequence[str], names: Collection[str]) -> dict[str, dict[str, pd.DataFrame]]:
    """Read tables by member and analysis, and with them what models are; raises as `results`."""
    tables, absent, members_by_name = {}, {}, members(study)
    for name in [name for name in measured(study) if name in names]:
        folder, depends = result_path(study, name), _depends(study, members_by_name[name])
        if depends["analyses"].keys().isdisjoint(analyses):
            continue
        needed = {*analyses, "model"} & depends["analyses"].keys()
        tables[name] = {analysis: _read(folder, depends, analysis) for analysis in needed}
        if any(table is None for table in tables[name].values()):
            absent[name] = "; ".join(_reasons(folder, depends))
    if absent:
        raise LookupError(_absent(study, absent))
    return tables


def _absent(study: Study, absent: dict[str, str]) -> str:
    lines = "\n".join(f"  {name}: {why}" for name, why in list(absent.items())[:MOST_NAMED])
    more = f"\n  and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
    return (
        f"study {study.name}: results of {len(absent)} models are missing or stale:\n{lines}{more}\n"
        f"Measure them: brainalign run {study.name}"
    )


def up_to_date(study: Study, model: str) -> bool:
    """Whether a model's results are here, and nothing that they depend on has changed."""
    return not _reasons(result_path(study, model), _depends(study, _member(study, model)))


def _read(folder: Path, depends: dict, analysis: str) -> pd.DataFrame | None:
    """Table of an analysis, if it depends on the same."""
    path = folder / f"{analysis}.parquet"
    table = pd.read_parquet(path) if path.exists() else None
    return table if table is not None and table.attrs.get("key") == keys.key(depends, analysis) else None


def _member(study: Study, name: str) -> Member:
    members_by_name = members(study)
    if name not in members_by_name:
        raise LookupError(messages.unknown(f"model of study {study.name}", name, members_by_name))
    return members_by_name[name]
