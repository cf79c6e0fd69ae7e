"""What results depend on: one list, from which come their keys, what the engine is told, and what `status` says.

Of each analysis of a member: the settings that matter to it, the files that it reads, what the member is, and the code
that measures it. Places do not matter, contents do: results may be moved.
"""

import ast
import io
import tokenize
from functools import cache
from importlib.metadata import version
from pathlib import Path

from brainalign import catalog, human, store
from brainalign.llm.exams.benchmarks import HARNESS
from brainalign.llm.models.sources import find, is_local
from brainalign.llm.tuning import samples
from brainalign.study.description.members import NO_SERIES, Member
from brainalign.study.description.settings import (
    MICROWORLD,
    READERS,
    WEHBE,
    LoadedModel,
    OwnReadingTimes,
    OwnRecording,
    SeriesFile,
    Study,
    Tune,
    base_of,
)
from brainalign.study.measurement import measures
from brainalign.study.measurement.brains import common_width

ROOT = store.PROJECT / "brainalign"
MEASURING = "brainalign.study.measurement.measures"  # what results go through, with all that it imports
NAMED = {"load", "base", "model", "samples"}  # settings that are a place of one's own or a name that others know
UNKNOWN = "not here"  # what a model is whose files are not


def dependencies(study: Study, member: Member) -> dict[str, dict]:
    """What the results of a member depend on; nothing of it is fetched.

    Returns
    -------
    dict
        As JSON has it: ``code`` and ``source``, what measures and what is measured, by name; and ``analyses``, by name
        ``settings`` and ``data`` of each.
    """
    analyses = {}
    for name in measures.analyses(study, member):
        settings = _placeless(study.model_dump(mode="json", include=measures.ANALYSES[name]))
        settings |= {"width": _width(study)} if "width" in settings else {}
        analyses[name] = {"settings": settings, "data": _data(settings, study, member.source)}
    return {"code": code(MEASURING), "source": _source(study, member), "analyses": analyses}


def fill_unknown(depends: dict[str, dict], before: dict[str, dict]) -> dict[str, dict]:
    """Dependencies in which what is `UNKNOWN`, since files are not here, is taken to be what it was before."""

    def filled(current: dict, earlier: dict) -> dict:
        return {name: earlier.get(name, value) if value == UNKNOWN else value for name, value in current.items()}

    analyses = {
        name: {kind: filled(parts[kind], before["analyses"].get(name, {}).get(kind, {})) for kind in parts}
        for name, parts in depends["analyses"].items()
    }
    return depends | {"source": filled(depends["source"], before["source"]), "analyses": analyses}


def key(depends: dict[str, dict], analysis: str) -> str:
    """Digest of all that could change the results of an analysis."""
    return store.digest(depends["code"], depends["source"], depends["analyses"][analysis])


def changes(before: dict[str, dict], now: dict[str, dict]) -> list[str]:
    """Changes from one set of `dependencies` to another, in words: their kind, and which."""
    pairs = {"model": (before["source"], now["source"]), "code": (before["code"], now["code"])}
    for analysis, depends in now["analyses"].items():
        for kind, values in depends.items():
            old, new = pairs.get(kind, ({}, {}))
            old_values = before["analyses"].get(analysis, {}).get(kind, {})
            pairs[kind] = (old | {name: old_values.get(name) for name in values} | old_values, new | values)
    words = []
    for kind, (old, new) in pairs.items():
        if names := sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)):
            words.append(f"{kind}: {', '.join(names)}")
    added = now["analyses"].keys() - before["analyses"].keys()
    return words + ([f"not measured yet: {', '.join(sorted(added))}"] if added else [])


def _source(study: Study, member: Member) -> dict[str, object]:
    """What a member is."""
    source, about = member.source, {"name": member.name}
    if isinstance(source, SeriesFile):
        return about | {"file": _hashes(Path(source.file)), "unit": source.unit}
    if isinstance(source, str):
        return about | {"origin": source}
    base = source if isinstance(source, LoadedModel) else base_of(study, source.model)
    about |= _placeless(source.model_dump(mode="json", exclude={"family", "kind", "vanilla"}))
    if base.microworld_name is not None:  # our own code says it all
        return about
    weights = base.untrained is None
    available = is_local(base.load, base.revision, weights)
    identity = find(base.load, base.revision, weights).identity if available else UNKNOWN
    return about | {"base": _placeless(base.model_dump(mode="json", exclude={"kind"})), "weights": identity}


def _width(study: Study) -> int | str | None:
    entries = [entry for entry in study.entries if entry.microworld_name is None]
    if not all(is_local(entry.load, entry.revision, weights=False) for entry in entries):
        return UNKNOWN
    try:
        return common_width(study)
    except ValueError:  # transformers has no class for one of them
        return UNKNOWN


def _placeless(settings: object) -> object:
    """Settings with the names of one's own files and folders instead of where they are."""
    match settings:
        case {"wehbe2014": str()}:
            return WEHBE  # by a setting or by an environment variable
        case dict():
            # What is not here may be a place or the name of what is elsewhere: its last part is the same.
            short_names = {
                key: Path(value).name for key, value in settings.items() if key in NAMED and value is not None
            }
            return {key: _placeless(value) for key, value in settings.items()} | short_names
        case list():
            return [_placeless(value) for value in settings]
        case str() if Path(settings).is_absolute():
            return Path(settings).name
    return settings


def _data(settings: dict, study: Study, source: object) -> dict[str, list[str] | str]:
    """Hashes of the published files, and of one's own, that results depend on; `UNKNOWN` of what is not here."""
    recordings = study.recordings if "recordings" in settings else []
    sources = [*(study.reading_times if "reading_times" in settings else []), *recordings]
    published = [name for name in sources if isinstance(name, str) and name not in {*MICROWORLD, READERS}]
    hashes = {name: [file.hash for file in human.dataset(name).files.values()] for name in published}
    if isinstance(source, str) and source not in NO_SERIES:
        hashes[source] = [file.hash for file in catalog.dataset(source).files.values()]
    for name in settings.get("benchmarks", ()):
        if name not in MICROWORLD:
            hashes[name] = [file.hash for file in catalog.dataset(name).files.values()]
        hashes[HARNESS] = [version(HARNESS)]
    tune = source.tune if isinstance(source, LoadedModel) else source
    if isinstance(tune, Tune) and tune.samples is not None:
        is_published = tune.samples in samples.names()
        published = [file.hash for file in catalog.dataset(tune.samples).files.values()] if is_published else None
        hashes[Path(tune.samples).name] = published or _hashes(Path(tune.samples))
    tables = [Path(source.table) for source in sources if isinstance(source, OwnReadingTimes)]
    hashes |= {table.name: _hashes(table) for table in tables}
    for recording in recordings:
        if recording == WEHBE:
            hashes[WEHBE] = UNKNOWN
        elif isinstance(recording, OwnRecording):
            for setting, place in recording.files.items():
                # Two recordings may have files of one name, in folders of their own.
                whose = "" if setting in ("table", "participants", recording.kind) else f" of {recording.name}"
                label = WEHBE if recording.wehbe2014 else Path(place).name + whose
                hashes[label] = _hashes(Path(place))
    return hashes


def _hashes(place: Path) -> list[str] | str:
    """Hash of a file, or of each in a folder, of one's own."""
    if not place.exists():
        return UNKNOWN
    files = [place] if place.is_file() else sorted(place.glob("*"))
    return [store.checksum(file) for file in files if file.is_file()]


@cache
def code(module: str) -> dict[str, str]:
    """Digest of a module of ours and of all that it imports, docstrings and comments aside, and of what tasks are."""
    digests, queue = {}, [module]
    while queue:
        if (name := queue.pop()) not in digests:
            digests[name], imports = module_of(_path(name))
            queue += imports
    tasks = [*sorted(catalog.TASKS.iterdir()), catalog.BENCHMARK_TASKS]
    task_digest = store.digest([store.checksum(path) for path in tasks])
    return dict(sorted(digests.items())) | {"tasks of benchmarks": task_digest}


@cache
def module_of(path: Path) -> tuple[str, list[str]]:
    """Digest of what a module does, and the modules of ours that it imports, at its head or in its functions."""
    text, imports = path.read_text(encoding="utf-8"), []
    tree, lines, in_strings = ast.parse(text), text.splitlines(), set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno, node.body[0].end_lineno
            lines[first - 1 : last] = [None] * (last - first + 1)
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno > node.lineno:
            in_strings.update(range(node.lineno - 1, node.end_lineno))  # in which blanks count
        if isinstance(node, ast.Import):
            imports += [name.name for name in node.names]
        if isinstance(node, ast.ImportFrom):
            # What is no module is in the package itself.
            names = [f"{node.module}.{name.name}" for name in node.names]
            imports += [name if _path(name) else str(node.module) for name in names]
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            # By a name that is known when it runs, such as a data set's: any module beside it.
            package = ".".join(path.parent.relative_to(ROOT.parent).parts)
            imports += [f"{package}.{sibling.stem}" for sibling in path.parent.glob("[!_]*.py")]
    # Of the text itself, and not of the tree, which is another in the next version of Python.
    numbered_lines = [(row, line) for row, line in enumerate(lines) if line is not None]
    code_lines = [
        line if row in in_strings else line.rstrip()
        for row, line in numbered_lines
        if line.strip() or row in in_strings
    ]
    return store.digest(code_lines), [name for name in imports if name.split(".")[0] == ROOT.name]


def _path(module: str) -> Path | None:
    place = ROOT.parent.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def library() -> dict[str, str]:
    """Digest of each file of the library: of a module what it does, of any other what it holds."""
    files = sorted(path for path in ROOT.rglob("*") if path.suffix in {".py", ".csv", ".yaml"})
    contents = ((path, module_of(path)[0] if path.suffix == ".py" else store.checksum(path)) for path in files)
    return {path.relative_to(ROOT).as_posix(): content for path, content in contents}
