"""Books of large studies are built from results alone, whose shapes are the true ones and whose numbers are made up.

There are no data, no weights and no torch where they are built.
"""

import made_up
import pytest
from books import Book, Project

from brainalign import study as studies

pytestmark = pytest.mark.slow

ABSENT = 'raise ImportError(f"{__name__} is not installed here")\n'


@pytest.fixture(scope="module", params=["laptop", "paper"])
def bare(request, tmp_path_factory):
    """Build a study's book in a checkout that has nothing but its results."""
    measured, bare = tmp_path_factory.mktemp("measured"), tmp_path_factory.mktemp("bare")
    study = studies.load(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINALIGN_STORE", str(measured))
        made_up.put(patch)
        for name in studies.measured(study):
            studies.run(study, name)
    project = Project.copy(bare / "project")
    for name in ("torch", "transformers", "accelerate"):
        (bare / "absent" / name).mkdir(parents=True)
        (bare / "absent" / name / "__init__.py").write_text(ABSENT)
    nothing = {"BRAINALIGN_MIRROR": str(bare), "PYTHONPATH": f"{project.root}:{bare / 'absent'}"}
    done = project.run("brainalign", "book", study.name, "--from", str(measured / "results"), **nothing)
    return study, Book(study.name, project, done.returncode, done.stdout).checked()


def test_there_is_no_torch(bare):
    _, book = bare
    done = book.project.run("python", "-c", "import torch", PYTHONPATH=str(book.project.root.parent / "absent"))
    assert "torch is not installed here" in done.stdout


def test_every_notebook_and_every_models_page_is_there(bare):
    study, book = bare
    pages = set(book.pages)
    about = studies.models(study)
    trained = about.index[(about.origin == "model") & (about.kind != "untrained")]
    assert {f"models/model-{name}.html" for name in trained} <= pages
    executed = {f"executed/{path.stem}.html" for path in book.project.executed(study.name).glob("*.ipynb")}
    assert executed <= pages and len(executed) > len(trained) + 8
    assert not list((book.project.root / ".store").glob("downloads/*"))  # nothing was fetched or measured
