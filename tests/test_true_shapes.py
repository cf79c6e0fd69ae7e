"""Books of large studies are built from results alone, whose shapes are the true ones and whose numbers are made up.

There are no data, no weights and no torch where they are built.
"""

from functools import cache

import made_up
import pytest
from books import Book, Project

from brainalign import catalog
from brainalign import study as studies

pytestmark = pytest.mark.slow

ABSENT = 'raise ImportError(f"{__name__} is not installed here")\n'


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Build the book of a study in a checkout that has nothing but its results."""

    @cache
    def build(name: str) -> Book:
        measured, place = tmp_path_factory.mktemp("measured"), tmp_path_factory.mktemp("bare")
        study = studies.load(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BRAINALIGN_STORE", str(measured))
            made_up.put(patch)
            for member in studies.measured(study):
                studies.run(study, member)
        project = Project.copy(place / "project")
        for module in ("torch", "transformers", "accelerate"):
            (place / "absent" / module).mkdir(parents=True)
            (place / "absent" / module / "__init__.py").write_text(ABSENT)
        nothing = {"BRAINALIGN_MIRROR": str(place), "PYTHONPATH": f"{project.root}:{place / 'absent'}"}
        done = project.run("brainalign", "book", name, "--from", str(measured / "results"), **nothing)
        return Book(name, project, done.returncode, done.stdout).checked()

    return build


@pytest.mark.parametrize("name", ["laptop", "paper"])
def test_every_notebook_and_every_models_page_is_there(bare, name):
    book, about = bare(name), studies.models(studies.load(name))
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
