"""Books built in clean copies of the working tree, without a network: a plugin of the slow tests.

`make test-slow` runs them. A test takes `book` (each study in turn), `library` (a function of the study's name) or
`workshop` (another copy, to break things in).
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

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STUDIES = ("printed", "sample", "microworld")
NOWHERE = "http://127.0.0.1:9"
# Read before any test hides it.
MIRROR = Path(os.environ.get("BRAINALIGN_MIRROR") or ROOT.parent / "shared" / "mirror").resolve()
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)


@dataclass(frozen=True)
class Copy:
    """A clean copy of the working tree: what git tracks, and what it would."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> "Copy":
        """Copy the working tree to an empty folder."""
        command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        return cls(root)

    def start(self, *command: str, **settings: str) -> subprocess.Popen:
        """Start a command of the environment on the copy's own package, without a network, in a group of its own."""
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
        told, _ = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, told)

    def build(self, study: str, **settings: str) -> subprocess.CompletedProcess:
        """Build a study's book as a user does, with some variables of the environment."""
        return self.run("brainalign", "book", study, **settings)

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
        saved = [*(self.root / ".store" / "results" / study).glob("*"), *self.executed(study).glob("*/*")]
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
    """A book, and what its build said."""

    study: str
    copy: Copy
    status: int
    log: str

    @classmethod
    def build(cls, copy: Copy, study: str, **settings: str) -> "Book":
        """Build a book, well or not."""
        done = copy.build(study, **settings)
        return cls(study, copy, done.returncode, done.stdout)

    def checked(self) -> "Book":
        """Return the book; one that does not build fails the test, with its log."""
        if self.status:
            pytest.fail(f"the book of study {self.study} does not build (exit {self.status}):\n{self.log}")
        return self

    @property
    def html(self) -> Path:
        """Folder of the pages."""
        return self.copy.html(self.study)

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


@cache
def isolation() -> tuple[str, ...]:
    """Words before a command that take its network away; none where the system allows no namespace."""
    for options in (["--net"], ["--net", "--map-root-user"]):
        words = ("unshare", *options)
        if shutil.which("unshare") and not subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode:
            return words
    return ()


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Build any study at most once, all in one copy."""
    copy = Copy.make(tmp_path_factory.mktemp("clone"))

    build = cache(partial(Book.build, copy))

    def give(study: str) -> Book:
        if study == "sample" and not MIRROR.is_dir():
            pytest.skip("no mirror of the public data: set BRAINALIGN_MIRROR")
        return build(study).checked()

    return give


@pytest.fixture(scope="session", params=STUDIES)
def book(request, library):
    """Give the book of each study in turn."""
    return library(request.param)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Build the printed study in a copy of its own, whose files a test may change for a while."""
    return Book.build(Copy.make(tmp_path_factory.mktemp("workshop")), "printed").checked()


def _parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
