"""What every notebook of the book begins with: checked parameters, its study, and its way into the book.

A notebook that is run by hand says which parameters are not the default ones, and beside each number what the book has
where that differs.
"""

import ast
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pandas as pd

from brainalign import messages, store
from brainalign import study as studies
from brainalign.paper.publish import assets
from brainalign.paper.publish.numbers import Live, Numbers, live_of, records

BUILD = store.PROJECT / "build"
NOTEBOOKS = store.PROJECT / "notebooks"
LIBRARY = BUILD / "library.json"  # what our code does
PLACES = {"study", "output"}  # parameters that say where, and not how


@dataclass(frozen=True)
class About:
    """What a notebook says of itself: its metadata, under ``brainalign``.

    Attributes
    ----------
    needs : str, optional
        The part of a study (`Study.parts`) without which it has nothing to show.
    measured : bool
        Whether it shows what a study measured, and has to wait for that.
    evidence : str, optional
        On what its numbers rest by default, if not on what the study's do.
    """

    needs: str | None = None
    measured: bool = True
    evidence: str | None = None


def about(name: str) -> About:
    """What the notebook of a name says of itself."""
    path = NOTEBOOKS / f"{name}.ipynb"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return About(**content.get("metadata", {}).get("brainalign", {}))


@dataclass(frozen=True)
class Notebook:
    """One run of a notebook: its name, its study, the folder of its figures and tables, its numbers for the book."""

    name: str
    study: studies.Study
    folder: Path
    numbers: Numbers

    def show(self, *numbers: Live) -> None:
        """Hand numbers to the book, and show them."""
        for live in numbers:
            self.numbers.show(live)

    def figure(self, name: str, figure, data: pd.DataFrame, title: str, **options) -> None:
        """Save a figure for the book (see `assets.save_figure`) and show it."""
        from IPython.display import SVG, display

        options = {"evidence": self.numbers.evidence} | options
        assets.save_figure(self.folder / name, figure, data, notebook=self.name, title=title, **options)
        display(SVG(filename=self.folder / f"{name}.svg"))

    def table(self, name: str, data: pd.DataFrame, title: str, **options) -> None:
        """Save a table for the book; see `assets.save_table`."""
        options = {"evidence": self.numbers.evidence} | options
        assets.save_table(self.folder / name, data, notebook=self.name, title=title, **options)

    @cached_property
    def results(self) -> pd.DataFrame:
        """Results of the study, as `study.results` reads them."""
        return studies.results(self.study)


def begin(name: str, study: str, output: str, page: str | None = None) -> Notebook:
    """Begin a notebook: refuse parameters that it does not have, read its study, make its folder.

    Parameters
    ----------
    name : str
        The notebook's name, without its ending.
    study : str
        Name or path of the study.
    output : str
        Folder that gets the figures and tables, in a folder of the study's name and in that one of the notebook's; the
        book's own is that of its study.
    page : str, optional
        What this run is about, such as one of a study's models, where each has a page of its own.

    Raises
    ------
    TypeError
        papermill was given a parameter that the notebook does not have; the message lists those it has.
    LookupError, ValueError
        As `study.load`, and when the study lacks what the notebook needs.
    """
    from brainalign.paper import figures  # matplotlib takes long to load, and building a book needs none

    refuse_unknown_parameters(_history())
    _tell_parameters(changed_parameters(_history()))
    loaded, notebook = studies.load(study), about(name)
    if notebook.needs and notebook.needs not in loaded.parts:
        able = " or ".join(name for name in studies.names() if notebook.needs in studies.load(name).parts)
        raise ValueError(f"study {loaded.name!r} has no {notebook.needs}, which {name}.ipynb shows; try {able}")
    if page is not None:
        name = page_name(name, page)
    figures.use_style()
    warnings.filterwarnings("ignore", message="IProgress not found")  # no page shows a progress bar
    pd.set_option("display.float_format", "{:.3g}".format, "display.max_rows", 100, "display.width", 120)
    executed = source(loaded.name) / "executed"
    building = Path(output).resolve() == executed.resolve()
    numbers = Numbers(
        name, loaded.name, notebook.evidence or loaded.evidence, {} if building else _in_the_book(executed, name)
    )
    # By hand, another study's figures must not take the place of these.
    folder = Path(output) / name if building else Path(output) / loaded.name / name
    return Notebook(name=name, study=loaded, folder=folder, numbers=numbers)


def source(study: str) -> Path:
    """Folder that holds the sources of one study's book."""
    return BUILD / study / "source"


def page_name(notebook: str, page: str) -> str:
    """Name of what a notebook is executed into when it is about one of many, such as a model's name, id or path."""
    return f"{notebook}-{Path(page).name}"


def refuse_unknown_parameters(history: list[str]) -> None:
    """Raise on a parameter that papermill injected and the notebook does not declare; the message names each.

    ``history`` has the source of the cells that were run, in order.
    """
    parameters, injected = _parameters(history)
    if wrong := sorted(set(injected) - set(parameters)):
        suggestions = " ".join(messages.unknown("parameter", name, parameters) for name in wrong)
        raise TypeError(f"{suggestions} This notebook's parameters: {', '.join(sorted(parameters))}.")


def changed_parameters(history: list[str]) -> dict[str, tuple[str, str]]:
    """Parameters that papermill has set to another value: the declared one and that, as they are written."""
    before, now = _parameters(history)
    both = {name: (before[name], now[name]) for name in now if name in before and name not in PLACES}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def _parameters(history: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Declared and injected parameters: papermill puts a cell below the notebook's own, and does not compare them."""
    for declared, injected in pairwise(history):
        if injected.lstrip().startswith("# Parameters"):
            return _assigned(declared), _assigned(injected)
    return {}, {}


def _tell_parameters(changed: dict[str, tuple[str, str]]) -> None:
    from IPython.display import Markdown, display

    if changed:
        words = ", ".join(f"`{name}` is {now} instead of {before}" for name, (before, now) in changed.items())
        display(Markdown(f"Run with other parameters than the book's: {words}."))


def _in_the_book(executed: Path, name: str) -> dict[str, str]:
    """Numbers of a notebook as the built book of the study has them, if there is one."""
    path = executed / f"{name}.ipynb"
    if not path.exists():
        return {}
    return {key: text for record in records(path) for key, text in live_of(record).texts().items()}


def _assigned(source: str) -> dict[str, str]:
    """Names that are given values, and the values as they are written."""
    assigned = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            value = ast.unparse(statement.value) if statement.value else ""
            assigned |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return assigned


def _history() -> list[str]:
    from IPython import get_ipython

    shell = get_ipython()
    return list(shell.user_ns["In"]) if shell else []
