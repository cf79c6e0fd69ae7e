"""What every notebook of the book begins with: checked parameters, its study, and its way into the book."""

import ast
import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pandas as pd

from brainalign import catalog
from brainalign import study as studies
from brainalign.paper import assets, figures
from brainalign.paper.numbers import Numbers


@dataclass(frozen=True)
class Notebook:
    """One run of a notebook.

    Attributes
    ----------
    name : str
        The notebook's name, without its ending.
    study : Study
        The study it runs on.
    folder : Path
        Where its figures and tables go.
    numbers : Numbers
        The numbers it hands to the book.
    """

    name: str
    study: studies.Study
    folder: Path
    numbers: Numbers

    def figure(self, name: str, figure, data: pd.DataFrame, **texts) -> None:
        """Save a figure for the book (see `assets.save_figure`) and show it."""
        from IPython.display import SVG, display

        assets.save_figure(self.folder / name, figure, data, notebook=self.name, **texts)
        display(SVG(filename=self.folder / f"{name}.svg"))

    def table(self, name: str, data: pd.DataFrame, **texts) -> None:
        """Save a table for the book; see `assets.save_table`."""
        assets.save_table(self.folder / name, data, notebook=self.name, **texts)

    @cached_property
    def results(self) -> pd.DataFrame:
        """Results of the study; what is missing is computed."""
        return studies.results(self.study)


def begin(
    name: str,
    study: str,
    output: str,
    evidence: str | None = None,
    needs: str | None = None,
    page: str | None = None,
) -> Notebook:
    """Begin a notebook: refuse parameters that it does not have, read its study, make its folder.

    Parameters
    ----------
    name : str
        The notebook's name, without its ending.
    study : str
        Name or path of the study.
    output : str
        Folder that gets the figures and tables, in a folder of the notebook's name.
    evidence : str, optional
        On what its numbers rest by default, if not on what the study's do.
    needs : str, optional
        The part of a study (`Study.parts`) without which the notebook has nothing to show.
    page : str, optional
        What this run is about, such as one of a study's models, where each has a page of its own.

    Raises
    ------
    TypeError
        papermill was given a parameter that the notebook does not have; the message lists those it has.
    LookupError, ValueError
        As `study.load`, and when the study lacks what the notebook needs.
    """
    refuse_unknown_parameters(_history())
    loaded = studies.load(study)
    if needs and needs not in loaded.parts:
        able = [name for name in studies.names() if needs in studies.load(name).parts]
        raise ValueError(f"study {loaded.name!r} has no {needs}, which {name}.ipynb shows; try {' or '.join(able)}")
    if page is not None:
        name = page_name(name, page)
    figures.use_style()
    warnings.filterwarnings("ignore", message="IProgress not found")  # no page shows a progress bar
    pd.set_option("display.precision", 3, "display.max_rows", 100, "display.width", 120)
    return Notebook(
        name=name,
        study=loaded,
        folder=Path(output) / name,
        numbers=Numbers(name, loaded.name, evidence or loaded.evidence),
    )


def page_name(notebook: str, page: str) -> str:
    """Name of what a notebook is executed into when it is about one of many, such as a model's name, id or path."""
    return f"{notebook}-{Path(page).name}"


def refuse_unknown_parameters(history: list[str]) -> None:
    """Raise on a parameter that papermill injected and the notebook does not declare.

    papermill puts what it was given into a cell that starts with ``# Parameters``, right after the notebook's own
    cell of parameters, and only warns about names that it does not find there.

    Parameters
    ----------
    history : list of str
        Source of the cells that were run, in order.

    Raises
    ------
    TypeError
        Injected names are unknown; the message names each.
    """
    for declared, injected in pairwise(history):
        if injected.lstrip().startswith("# Parameters"):
            known = _assigned(declared)
            if wrong := sorted(_assigned(injected) - known):
                suggestions = " ".join(catalog.unknown("parameter", name, known) for name in wrong)
                raise TypeError(f"{suggestions} This notebook's parameters: {', '.join(sorted(known))}.")


def _assigned(source: str) -> set[str]:
    statements = ast.parse(source).body
    targets = [target for s in statements if isinstance(s, ast.Assign) for target in s.targets]
    targets += [s.target for s in statements if isinstance(s, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _history() -> list[str]:
    from IPython import get_ipython

    shell = get_ipython()
    return list(shell.user_ns["In"]) if shell else []
