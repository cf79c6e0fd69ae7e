"""Builds the book: executes notebooks, lays the sources of one study side by side, renders them."""

import filecmp
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

import brainalign
from brainalign import messages, store
from brainalign import study as studies
from brainalign.alignment.protocols import CONTIGUOUS
from brainalign.paper.publish import numbers
from brainalign.paper.publish.notebook import BUILD, LIBRARY, NOTEBOOKS, about, page_name, source
from brainalign.paper.sections import covariates
from brainalign.study.description.members import PEOPLE
from brainalign.study.running import keys

MODEL = "model"  # executed once for each model
# How long it takes to execute a notebook, by name or kind, and to render all, relative to one that only shows what is
# known: rules of thumb before one is timed.
WEIGHTS = {
    "validation.ipynb": 40.0,
    "published_factors.ipynb": 4.0,
    "published_behavior.ipynb": 3.0,
    "published_brain.ipynb": 2.0,
    "page": 2.0,
    "notebook": 4.0,
    "book": 15.0,
}


def html(study: str) -> Path:
    """Folder that holds the rendered book of one study."""
    return BUILD / study / "_build" / "html"


def notebooks(study: studies.Study) -> list[str]:
    """Names of the notebooks that have something to show in a study, one for each of its trained language models."""
    shown = [name for name in _names() if about(name).needs in {None, *study.parts}]
    return shown + [page_name(MODEL, name) for name in _models_with_pages(study)]


def template(notebook: str, study: studies.Study) -> tuple[Path, dict]:
    """The notebook to execute for one of a study's `notebooks`, and the parameters that make it that one.

    Raises
    ------
    LookupError
        No such notebook; the message suggests near names.
    """
    pages = {page_name(MODEL, name): {"model": name} for name in _models_with_pages(study)}
    parameters = {name: {} for name in _names()} | pages
    if notebook not in parameters:
        raise LookupError(messages.unknown("notebook", notebook, parameters))
    return NOTEBOOKS / f"{MODEL if notebook in pages else notebook}.ipynb", parameters[notebook]


def shown(notebook: str, study: studies.Study) -> list[str]:
    """Members whose results a notebook of a study shows, and must wait for: all, a page's own and its kin, or none."""
    if not about(notebook).measured:
        return []
    measured, parameters = studies.measured(study), template(notebook, study)[1]
    if notebook == PEOPLE:
        return [name for name in measured if name == PEOPLE]
    kin = studies.related(study, parameters["model"]) if parameters else measured
    return [name for name in measured if name in kin]


def kind(notebook: str) -> str:
    """What a notebook shows: nothing that was measured, one model, or all."""
    return "unmeasured" if not about(notebook).measured else "page" if notebook.startswith(f"{MODEL}-") else "notebook"


def weights(kinds: Mapping[str, str]) -> dict[str, float]:
    """How long steps of a kind take, notebooks and the book, relative to one another."""
    return {step: WEIGHTS.get(step, WEIGHTS.get(kind, 1.0)) for step, kind in kinds.items()}


def _names() -> list[str]:
    """Names of the notebooks that are executed once."""
    return sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb") if path.stem != MODEL)


def _models_with_pages(study: studies.Study) -> list[str]:
    """Language models that are run here; an untrained twin is a control of its model, on that one's page."""
    table = studies.models(study)
    return list(table.index[(table.origin == "model") & (table.kind != "untrained")])


def execute(notebook: Path, output: Path, parameters: dict) -> None:
    """Execute a notebook with papermill; nothing is left behind if a cell raises.

    Raises
    ------
    RuntimeError
        A cell raised; the message names notebook, cell and error.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # What papermill and the kernel log is in the notebook, or in the error below.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with store.writing(output) as temporary, tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        # Of ports, two kernels that start at once can choose the same one.
        config = Config(KernelManager={"transport": "ipc", "ip": str(Path(sockets, "socket"))})
        try:
            papermill.execute_notebook(
                notebook,
                temporary,
                parameters,
                kernel_name="python3",
                kernel_manager_class="brainalign.paper.publish.kernels.KernelManager",
                progress_bar=False,
                cwd=store.PROJECT,
                config=config,
                extra_arguments=["--IPKernelApp.log_level=50"],
            )
        except PapermillExecutionError as error:
            raise RuntimeError(
                f"{notebook.name}, cell {error.cell_index + 1} (In [{error.exec_count}]): "
                f"{error.ename}: {error.evalue}\n\n{error.source}"
            ) from error


def write_code() -> Path:
    """Write down what our code does where that is not what is there: what is executed is executed again if it is newer.

    Returns the path of the file.
    """
    store.update(LIBRARY, json.dumps(keys.library(), indent=1))
    return LIBRARY


def stage(study: str) -> None:
    """Lay the sources of the book beside the executed notebooks, touching only what has changed.

    Sphinx reads again what is newer than it was, so an unchanged page must keep its time.
    """
    settings = studies.load(study)
    target = source(settings.name)
    for unfinished in (target / "executed").glob(".*.ipynb"):  # left by a process that was killed: no page of the book
        unfinished.unlink()
    _mirror(store.PROJECT / "book", target / "book")
    _write_models(settings, target / "models")
    store.update(target / "_toc.yml", yaml.safe_dump(_contents(settings), sort_keys=False))
    config = yaml.safe_load((store.PROJECT / "_config.yml").read_text(encoding="utf-8"))
    if repository := os.environ.get("BRAINALIGN_REPOSITORY"):
        config["repository"] = {"url": repository, "branch": "main"}
        config["html"] |= {"use_repository_button": True, "use_issues_button": True}
    store.update(target / "_config.yml", yaml.safe_dump(config, sort_keys=False))
    about = {"name": settings.name, "title": settings.title, "parts": [*settings.parts, *_comparisons(settings)]}
    store.update(target / "executed" / "study.json", json.dumps(about, indent=1))
    store.update(target / "executed" / "numbers.json", json.dumps(numbers.collected(target / "executed"), indent=1))
    built = {
        "Study": f"{settings.name} ({settings.title})",
        "Built": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Commit": commit(),
        "Version": brainalign.__version__,
    }
    store.update(target / "executed" / "build.json", json.dumps(built, indent=1))


def render(study: str) -> None:
    """Render the staged sources with jupyter-book; any warning is an error.

    Raises
    ------
    RuntimeError
        The build failed; the message is jupyter-book's own.
    """
    folder = source(study)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "--path-output", BUILD / study]
    options = ["--warningiserror", "--keep-going", "--quiet"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode:
        # A page that failed is not read again unless it changes: forget it, or the next build would pass.
        shutil.rmtree(BUILD / study / "_build", ignore_errors=True)
        raise RuntimeError(f"the book of study {study!r} has errors:\n{done.stdout}\n{done.stderr}")


def commit() -> str:
    """The commit that is checked out, and whether the tree differs from it."""
    git = ["git", "-C", store.PROJECT]
    try:
        revision = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return revision + (" with uncommitted changes" if changes.strip() else "")


def _comparisons(study: studies.Study) -> list[str]:
    """Parts of the book that need a recording of one's own, a protocol, pairs of models that are run here, or twins."""
    run_here = studies.models(study).query("origin == 'model'").reset_index()
    trained = run_here[run_here.kind.isin(covariates.TRAINED)]
    trained = trained.assign(base=trained.vanilla.fillna(trained.model))
    tuned = trained[trained.kind == "instruction-tuned"]
    comparisons = {
        "own-recordings": any(not isinstance(source, str) for source in study.recordings),
        "pairs": len(tuned) > 0,
        # What only this protocol can tell: the layer is chosen inside the training folds.
        "contiguous": "brain" in study.parts and CONTIGUOUS.name in study.protocols,
        "twins": run_here.twin_of.notna().any(),
        "correlations": {"capability", "brain"} <= set(study.parts) and covariates.enough(trained),
        "tuned-correlations": {"capability", "brain"} <= set(study.parts) and covariates.enough(tuned),
        "behavior-correlations": {"capability", "behavior"} <= set(study.parts) and covariates.enough(trained),
    }
    return [name for name, present in comparisons.items() if present]


def _contents(study: studies.Study) -> dict:
    """Table of contents without the notebooks that the study leaves out, and with a page for each of its models."""
    contents = yaml.safe_load((store.PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    left_out = {f"executed/{name}" for name in _names()} - {f"executed/{name}" for name in notebooks(study)}
    for part in contents["parts"]:
        part["chapters"] = [chapter for chapter in part["chapters"] if chapter["file"] not in left_out]
    if models := _models_with_pages(study):
        chapters = []
        for name in models:
            page = page_name(MODEL, name)
            below = [{"file": f"executed/{page}", "title": "Its notebook"}]
            chapters.append({"file": f"models/{page}", "title": name, "sections": below})
        contents["parts"].append({"caption": "Models of this study", "chapters": chapters})
    return contents


def _write_models(study: studies.Study, target: Path) -> None:
    """Write the page of each model from the one page that tells of a model, and remove those of others."""
    text = (store.PROJECT / "book" / f"{MODEL}.md").read_text(encoding="utf-8")
    pages = {f"{page_name(MODEL, name)}.md": Path(name).name for name in _models_with_pages(study)}
    for path in [path for path in target.glob("*.md") if path.name not in pages]:
        path.unlink()
    for page, name in pages.items():
        store.update(target / page, text.replace("MODEL", name))


def _mirror(source: Path, target: Path) -> None:
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for path in [path for path in target.rglob("*") if path.is_file()]:
        if path.relative_to(target) not in wanted:
            path.unlink()
    for path in wanted:
        if not (target / path).exists() or not filecmp.cmp(source / path, target / path, shallow=False):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target / path)
