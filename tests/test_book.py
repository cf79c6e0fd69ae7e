"""The books that the checkout has built: complete and consistent; and a miniature: incremental and strict."""

import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
import tiny
from books import MIRROR, STUDIES, Book, Project, planted

from brainalign import study as studies

pytestmark = pytest.mark.slow

MEGABYTE = 1_000_000
# A series, a model and a control, of the sample; a tuning is run again and again by test_killed.
OF_EACH_KIND = ("gpt2", "stories260K", "length+position")
LETTERS = "ABCDEFGHIJKLM"
STUDY = "miniature"
PAGE = "book/glossary.md"
QUOTE = "{live}`catalog:planted`"


def only(study):
    """Look at one book instead of each in turn."""
    return pytest.mark.parametrize("book", [study], indirect=True)


def name_of(page):
    return page.removesuffix(".html")


def contents(book):
    """Titles of the table of contents."""
    return [link.get_text(strip=True) for link in book.pages["book/index.html"].select("nav.bd-links li > a")]


def links(book):
    """Page, address, and target of everything that a page links to or loads from the book itself."""
    for name, page in book.pages.items():
        for element in page.select("[href], [src]"):
            address = element.get("href") or element.get("src") or ""
            parts = urlsplit(address)
            if not (parts.scheme or parts.netloc):
                path = (book.html / name).parent / unquote(parts.path) if parts.path else book.html / name
                yield name, address, path.resolve(), unquote(parts.fragment)


def ids(book):
    """Ids of every page, by its file."""
    found = {name: {element["id"] for element in page.select("[id]")} for name, page in book.pages.items()}
    return {(book.html / name).resolve(): targets for name, targets in found.items()}


def broken(book, found):
    """Those links whose file, or whose place in the page, does not exist."""
    known = ids(book)
    return [
        (name, address)
        for name, address, path, fragment in found
        if not path.exists() or (fragment and path in known and fragment not in known[path])
    ]


# --- the build --------------------------------------------------------------------------------------------


def test_the_network_is_out_of_reach(workshop):
    ask = "import urllib.request; urllib.request.urlopen('https://raw.githubusercontent.com', timeout=5)"
    done = workshop.project.run("python", "-c", ask)
    assert done.returncode != 0
    assert "URLError" in done.stdout


def test_the_miniature_runs_its_own_package(workshop):
    done = workshop.project.run("python", "-c", "import brainalign; print(brainalign.__file__)")
    assert done.stdout.startswith(str(workshop.project.root))


def test_a_build_says_where_the_book_is(workshop):
    path, seconds = workshop.printed.strip().splitlines()[-1].split("  ")
    assert path == str(workshop.html / "index.html")
    assert re.fullmatch(r"\(\d+\.\d s\)", seconds)
    assert "book/index.html" in (workshop.html / "index.html").read_text()


def test_a_build_warns_of_nothing(book):
    assert "rendered the book" in book.log
    assert "warning" not in book.log.lower()


def test_a_build_says_how_far_it_is(book):
    steps = re.findall(r"(\d+) of (\d+) steps, (?:about \d+ min left|less than a minute left)$", book.log, re.MULTILINE)
    assert [int(done) for done, _ in steps] == list(range(1, len(steps) + 1))
    assert {int(total) for _, total in steps} == {len(steps)}


def test_a_second_build_does_nothing(book):
    before = {path: path.stat().st_mtime_ns for path in book.project.root.joinpath("build", book.study).rglob("*")}
    done = book.project.build(book.study)
    assert done.returncode == 0
    assert len(done.stdout.strip().splitlines()) == 1
    after = {path: path.stat().st_mtime_ns for path in book.project.root.joinpath("build", book.study).rglob("*")}
    assert after == before


# --- what is in it ----------------------------------------------------------------------------------------


def test_the_contents_have_all_of_the_paper(book):
    titles = contents(book)
    sections = {re.match(r"[\d.]+", title)[0] for title in titles if title[0].isdigit()}
    assert sections == {"1", "2", "3", "4.1", "4.2", "5", "6", "7", "8"}
    named = [re.match(r"Appendi(?:x|ces) ([A-Z])(?: and ([A-Z]))?:", title) for title in titles]
    letters = [letter for match in named if match for letter in match.groups() if letter]
    assert sorted(letters) == list(LETTERS)
    others = {
        "Claims",
        "Controls",
        "Explore",
        "Re-run it",
        "Data and licenses",
        "Provenance",
        "API reference",
        "Glossary",
    }
    assert others <= set(titles)


def test_the_contents_lead_to_every_page(book):
    linked = {path for name, _, path, _ in links(book) if name == "book/index.html"}
    assert {(book.html / name).resolve() for name in book.pages} <= linked


def test_every_live_number_has_text(book):
    empty = [
        (name, str(link))
        for name, page in book.pages.items()
        for link in page.select("a.live")
        if not link.text.strip()
    ]
    assert empty == []
    assert sum(map(len, book.numbers.values())) > 100


def test_every_quoted_number_is_live(book):
    for name, page in book.pages.items():
        source = book.project.root.joinpath(f"{name_of(name)}.md")
        text = source.read_text(encoding="utf-8") if source.exists() else ""
        if not re.search(r"\{(when|unless)\}", text):
            assert len(page.select("a.live")) >= len(re.findall(r"\{(?:live|estimate)\}`[^`|]*`", text)), name


def test_every_live_number_leads_to_its_cell(book):
    live = {(name, link["href"]) for name, page in book.pages.items() for link in page.select("a.live")}
    found = [link for link in links(book) if link[:2] in live]
    assert len({link[:2] for link in found}) == len(live)
    assert all(path.parent.name == "executed" and fragment.startswith("number-") for _, _, path, fragment in found)
    assert broken(book, found) == []


def test_every_internal_link_and_image_resolves(book):
    assert broken(book, links(book)) == []


def test_no_id_is_used_twice_on_a_page(book):
    for name, page in book.pages.items():
        counts = Counter(element["id"] for element in page.select("[id]"))
        assert {key: n for key, n in counts.items() if n > 1} == {}, name


def test_pages_are_small(book):
    # The interactive scatter carries its own scripts.
    sizes = {name: (book.html / name).stat().st_size for name in book.pages if name != "book/explore.html"}
    assert {name: size for name, size in sizes.items() if size >= MEGABYTE} == {}


def test_headings_are_in_order(book):
    for name, page in book.pages.items():
        levels = [int(heading.name[1]) for heading in page.select_one("article").select("h1, h2, h3, h4, h5, h6")]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert [pair for pair in pairwise(levels) if pair[1] > pair[0] + 1] == [], name


def test_every_figure_has_words_and_data(book):
    figures = [(name, figure) for name, page in book.pages.items() for figure in page.select("figure.result")]
    assert len(figures) >= 15
    for name, figure in figures:
        where = f"{name}#{figure.get('id')}"
        assert len(figure.select_one("svg[role=img]")["aria-label"]) > 20, where
        assert len(figure.select_one("figcaption").get_text(strip=True)) > 40, where
        assert len(data_of(book, name, figure)) > 0, where


def test_every_table_has_a_title_and_data(book):
    tables = [(name, table) for name, page in book.pages.items() for table in page.select(".result-table")]
    assert len(tables) >= 12
    for name, table in tables:
        assert table.select_one(".table-title").get_text(strip=True), name
        assert len(data_of(book, name, table)) == len(table.select("tbody tr")), f"{name}#{table.get('id')}"


def data_of(book, name, asset):
    """The data that a figure or table offers for download."""
    (download,) = asset.select("a.download[href$='.csv']")
    return pd.read_csv((book.html / name).parent / download["href"])


def test_every_image_has_a_text(book):
    for name, page in book.pages.items():
        assert [str(image) for image in page.select("img") if not image.get("alt")] == [], name


@only("sample")
def test_sample_scores_26_series(book):
    page = book.pages["book/behavioral_alignment.html"]
    assert len(page.select("#series tbody tr")) == 26
    assert "Not run in this study" not in page.text


@only("microworld")
def test_the_microworld_fills_every_section(book):
    pages = book.pages
    assert [name for name, page in pages.items() if "Not run in this study" in page.text] == []
    figures = {figure["id"] for page in pages.values() for figure in page.select("figure.result")}
    assert {"study-figure-1b", "study-figure-1c", "figure-1d", "figure-1e", "study-figure-2", "null"} <= figures
    assert len(pages["book/behavioral_alignment.html"].select("#series tbody tr")) == 10


@only("microworld")
def test_every_model_has_a_page_that_places_it(book):
    models = ["llama-small", "llama-medium", "llama-large", "t5-small", "t5-large"]
    models += [f"{model}-tuned" for model in models]
    pages = {name: page for name, page in book.pages.items() if name.startswith("models/")}
    assert sorted(pages) == sorted(f"models/model-{model}.html" for model in models)
    for model in models:
        page = pages[f"models/model-{model}.html"]
        assert page.h1.find(string=True).strip() == model
        results = {result["id"] for result in page.select(".result")}
        assert results == {
            f"{name}-{model}" for name in ("placed", "brain", "held-against", "surprisal", "norms", "similarity")
        }
        assert page.select_one(f"article a[href$='executed/model-{model}.html']")


@only("printed")
def test_printed_says_that_behavior_was_not_run_and_how_to(book):
    page = book.pages["book/behavioral_alignment.html"]
    assert page.select("#series") == []
    assert "Not run in this study" in page.text
    assert "make book STUDY=sample" in page.text


# --- the same again ---------------------------------------------------------------------------------------


def test_two_builds_give_the_same_results_and_numbers(workshop, tmp_path):
    # In a place that a shell would stumble over.
    again = Book.build(Project.miniature(tmp_path / "a place; touch x $(id) 'here'"), STUDY).checked()
    ours, theirs = (project.results(STUDY) for project in (workshop.project, again.project))
    assert ours.keys() == theirs.keys() and len(ours) > 5
    for name, content in ours.items():
        assert content == theirs[name], name
    assert again.numbers == workshop.numbers


@pytest.mark.parametrize("notebook", ["published_brain", "precision"])
def test_what_depends_on_no_study_is_the_same_in_every_book(library, notebook):
    """Each book has executed it by itself."""
    folders = [library(study).project.executed(study) / notebook for study in STUDIES]
    first, *others = [{path.name: path.read_bytes() for path in folder.glob("*.csv")} for folder in folders]
    assert first and all(other == first for other in others)


def test_two_runs_give_the_same_measurements(library, tmp_path):
    first, copy = library("sample"), Project.copy(tmp_path)
    kept = Path(".store") / "ceilings"  # take a minute, and are the recordings' own
    shutil.copytree(first.project.root / kept, copy.root / kept)
    done = copy.run("brainalign", "run", "sample", *OF_EACH_KIND)
    assert done.returncode == 0, done.stdout
    before, again = first.project.results("sample"), copy.results("sample")
    assert sum(name.endswith(studies.DONE) for name in again) == len(OF_EACH_KIND)
    assert {name for name, data in again.items() if before.get(name) != data} == set()


# --- a part anew ------------------------------------------------------------------------------------------


def test_a_change_of_prose_executes_nothing(workshop):
    project, sentence = workshop.project, "A sentence that nobody has written before."
    before = project.times(STUDY)
    with project.appended(PAGE, sentence):
        done = project.build(STUDY)
    assert done.returncode == 0, done.stdout
    assert "executed" not in done.stdout
    assert project.times(STUDY) == before
    assert sentence in (project.html(STUDY) / "book/glossary.html").read_text(encoding="utf-8")


def test_an_edited_docstring_makes_nothing_due(workshop):
    project, name = Book.build(workshop.project, STUDY).checked().project, "brainalign/alignment/brain.py"
    before, text = project.times(STUDY), (project.root / name).read_text(encoding="utf-8")
    with project.changed(name, text.replace('"""Brain alignment: ', '"""In other words, ', 1)):
        done = project.build(STUDY)
    assert done.returncode == 0 and not re.search(r"^(ran|executed|rendered) ", done.stdout, re.MULTILINE), done.stdout
    assert project.times(STUDY) == before


@pytest.mark.parametrize(
    ("name", "more", "why", "stale"),
    [
        ("studies/sentences.csv", "", "data: sentences.csv", ["people", "length", "position"]),
        (
            "brainalign/alignment/encoding/splits.py",
            "MORE = 1",
            "code: brainalign.alignment.encoding.splits",
            ["people", "length", "position"],
        ),
        ("studies/miniature.yaml", "seed: 1", "settings: seed", ["length", "position"]),
    ],
)
def test_what_has_changed_is_measured_again_and_the_status_says_why(workshop, name, more, why, stale):
    project = workshop.project
    with project.appended(name, more):
        told = project.run("brainalign", "status", STUDY).stdout.splitlines()
        assert [line.split()[0] for line in told if re.fullmatch(rf"\S+ +stale +{why}", line)] == stale, told
        done = project.build(STUDY)
        assert done.returncode == 0 and "ran length" in done.stdout and "executed scores.ipynb" in done.stdout
        assert "3 up to date" in project.run("brainalign", "status", STUDY).stdout
    assert Book.build(project, STUDY).checked().numbers == workshop.numbers


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the public data: set BRAINALIGN_MIRROR")
def test_what_is_ones_own_is_due_when_it_is_exchanged(workshop):
    project, folder = workshop.project, workshop.project.root / "studies"
    tiny.gpt2(folder / "own-model")
    bits = pd.Series(range(10_256), name="surprisal") % 17
    bits.to_csv(folder / "own-series.csv", index=False)
    (folder / "own.yaml").write_text(
        "title: All of it one's own\nevidence: people\nresamples: 100\nprotocols: [contiguous]\n"
        "recordings: [{table: sentences.csv}]\nreading_times: [natural_stories]\nalignments: [corrected]\n"
        "models: [own-model]\nsurprisal: [{file: own-series.csv, name: own-series}]\n"
    )

    def due():
        return project.run("brainalign", "run", "own", "--dry-run").stdout

    def status():
        lines = project.run("brainalign", "status", "own").stdout.splitlines()[:-1]
        return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}

    done = project.run("brainalign", "run", "own")
    assert done.returncode == 0, done.stdout
    assert due() == "nothing is due\n" and set(status().values()) == {"up to date"}
    with project.appended("studies/sentences.csv", ""):
        assert status() == {
            "people": "stale data: sentences.csv",
            "own-series": "up to date",
            "own-model": "stale data: sentences.csv",
        }
        assert "people" in due() and "own-model" in due() and "own-series" not in due()
    (bits + 1).to_csv(folder / "own-series.csv", index=False)
    assert status()["own-series"] == "stale model: file" and "own-series" in due() and "people" not in due()
    tiny.gpt2(folder / "own-model", seed=1)
    assert status()["own-model"] == "stale model: weights" and "own-model" in due()


def test_a_notebook_executed_again_updates_the_pages_that_quote_it(workshop):
    project = workshop.project
    page = project.html(STUDY) / "book/glossary.html"
    with project.appended(PAGE, f"It says {QUOTE}."):
        for number in (41, 42):
            before = project.times(STUDY)
            with planted(project, f'notebook.show(Live("planted", {number}, "d"))'):
                done = project.build(STUDY)
            assert done.returncode == 0, done.stdout
            changed = {name for name, time in project.times(STUDY).items() if time != before[name]}
            assert changed == {"catalog.ipynb"}
            assert f">{number}</a>" in page.read_text(encoding="utf-8")


# --- what must fail ---------------------------------------------------------------------------------------


def test_a_missing_number_fails_the_build(workshop):
    project = workshop.project
    with project.appended(PAGE, "It is {live}`scores:no.such.key`."):
        done = project.build(STUDY)
    assert done.returncode != 0
    assert "no.such.key" in done.stdout
    assert PAGE in done.stdout
    # What failed is not left to look like a book.
    assert not (project.html(STUDY) / "index.html").exists()


def test_a_notebook_that_raises_fails_the_build_and_leaves_nothing(workshop):
    project, name = workshop.project, "catalog.ipynb"
    with planted(project, 'raise ValueError("this was planted")'):
        cells = len(nbformat.read(project.root / "notebooks" / name, as_version=4).cells)
        done = project.build(STUDY)
    assert done.returncode != 0
    assert "ValueError: this was planted" in done.stdout
    # papermill adds a cell with the parameters.
    assert f"{name}, cell {cells + 1}" in done.stdout
    assert not (project.executed(STUDY) / name).exists()
    left = {path.name for path in project.executed(STUDY).rglob(".*")}
    assert left <= {".snakemake_timestamp"}


def test_a_mended_book_builds_again(workshop):
    assert Book.build(workshop.project, STUDY).checked().numbers == workshop.numbers


def test_an_unknown_study_gets_a_suggestion(workshop):
    done = workshop.project.build("minature")
    assert done.returncode == 1
    assert "'minature'" in done.stdout
    assert "Did you mean miniature?" in done.stdout
    assert "Traceback" not in done.stdout
