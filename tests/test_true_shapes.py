"""Books of large studies are built from results alone, whose shapes are the true ones and whose numbers are made up.

There are no data, no weights and no torch where they are built. Of each architecture the smallest and the largest
models stand for those between: a page of each more is the same notebook once more.
"""

from functools import cache

import made_up
import pytest
import yaml
from books import Book, Project

from brainalign import catalog
from brainalign import study as studies
from brainalign.llm.models.sources import settings_of
from brainalign.study.description.members import members

pytestmark = pytest.mark.slow

ABSENT = 'raise ImportError(f"{__name__} is not installed here")\n'


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Build the book of a study in a checkout that has nothing but its results."""

    @cache
    def build(name: str) -> Book:
        measured, place = tmp_path_factory.mktemp("measured"), tmp_path_factory.mktemp("bare")
        project = Project.copy(place / "project")
        keep_extremes(project.root / "studies" / f"{name}.yaml")
        study = studies.load(str(project.root / "studies" / f"{name}.yaml"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BRAINALIGN_STORE", str(measured))
            made_up.put(patch)
            for member in studies.measured(study):
                studies.run(study, member)
        for module in ("torch", "transformers", "accelerate"):
            (place / "absent" / module).mkdir(parents=True)
            (place / "absent" / module / "__init__.py").write_text(ABSENT)
        nothing = {"BRAINALIGN_MIRROR": str(place), "PYTHONPATH": f"{project.root}:{place / 'absent'}"}
        done = project.run("brainalign", "book", name, "--from", str(measured / "results"), **nothing)
        return Book(name, project, done.returncode, done.stdout).checked()

    return build


def keep_extremes(path):
    """Leave in a study the smallest and the largest model of each architecture and kind, and what is tuned."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    study = studies.load(str(path))
    about = studies.models(study)
    about = about[about.origin == "model"]
    loaded = [members(study)[name].source.load for name in about.index]
    about = about.assign(architecture=[settings_of(name)["model_type"] for name in loaded], entry=settings["models"])
    size = about.groupby(["architecture", "kind"]).parameters
    ends = about[(about.parameters == size.transform("min")) | (about.parameters == size.transform("max"))]
    ends = ends.drop_duplicates(["architecture", "kind", "parameters"])
    kept = set(ends.index) | {run.model for run in study.tuning}
    settings["models"] = list(about.entry[about.index.isin(kept)])
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")


@pytest.mark.parametrize("name", ["laptop", "paper"])
def test_every_notebook_and_every_models_page_is_there(bare, name):
    book = bare(name)
    about = studies.models(studies.load(str(book.project.root / "studies" / f"{name}.yaml")))
    pages = set(book.pages)
    trained = about.index[(about.origin == "model") & (about.kind != "untrained")]
    assert {f"models/model-{model}.html" for model in trained} <= pages
    executed = {f"executed/{path.stem}.html" for path in book.project.executed(name).glob("*.ipynb")}
    assert executed <= pages and len(executed) > len(trained) + 8


def test_there_was_no_torch_and_nothing_was_fetched(bare):
    project = bare("paper").project
    done = project.run("python", "-c", "import torch", PYTHONPATH=str(project.root.parent / "absent"))
    assert "torch is not installed here" in done.stdout
    assert [path.name for path in (project.root / ".store").iterdir()] == ["results"]


@pytest.mark.parametrize("display", list(catalog.displays().itertuples()), ids=lambda row: row.display)
def test_every_display_of_the_paper_is_drawn_from_the_study(bare, display):
    book = bare("paper")
    saved = book.project.executed("paper") / display.study
    ending = ".svg" if display.display.startswith("Figure") else ".json"
    assert saved.with_name(saved.name + ending).is_file()
    placed = [name for name, page in book.pages.items() if page.find(id=saved.name)]
    assert any(name.startswith("book/") for name in placed), placed


def test_every_data_set_of_the_paper_is_scored(bare):
    page = str(bare("paper").pages["book/appendix_brain_results.html"])
    assert all(name in page for name in ("pereira2018", "blank2014", "wehbe2014"))
