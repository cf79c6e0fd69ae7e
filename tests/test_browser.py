"""Pages as a reader sees them: on a laptop and a phone, light and dark, from disk and without a network.

All of the default book; of the others those that have what no page before them has. `--screenshots FOLDER` takes
pictures of them.
"""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from books import Book
from bs4 import BeautifulSoup
from playwright.sync_api import Page, sync_playwright

pytestmark = pytest.mark.slow

BOOKS = ("microworld", "sample", "printed")  # the default one first
SIZES = {"laptop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
LOCAL = ("file:", "data:", "blob:")
READABLE = 4.5  # WCAG AA: contrast of text with its background

# Text that is read. Each piece is compared with what lies behind it.
TEXTS = {
    "prose": "article :is(p, li, td, th, h1, h2, h3, a.live, .mark, figcaption, .caption-text, .shown)",
    "labels": "figure.result svg text",
}
FAINT = """([selector, least]) => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (color) => {
    const [r, g, b] = color.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // What an element stands on: the color behind its text, and how opaque it is itself.
  const known = new Map([[null, { behind: [255, 255, 255, 1], opacity: 1 }]]);
  const ground = (element) => {
    if (!known.has(element)) {
      const [style, parent] = [getComputedStyle(element), ground(element.parentElement)];
      const behind = over(parse(style.backgroundColor), parent.behind);
      known.set(element, { behind, opacity: parent.opacity * style.opacity });
    }
    return known.get(element);
  };
  const contrast = (element) => {
    const [style, { behind, opacity }] = [getComputedStyle(element), ground(element)];
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    ink[3] *= opacity;
    const [dark, light] = [over(ink, behind), behind].map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  return [...document.querySelectorAll(selector)]
    .filter((e) => e.checkVisibility() && e.textContent.trim())
    .map((e) => [contrast(e), e])
    .filter(([ratio]) => ratio < least)
    .map(([ratio, e]) => [ratio.toFixed(2), e.localName, e.getAttribute("class"), e.textContent.trim().slice(0, 60)])
    .map((words) => words.filter(Boolean).join(" "));
}"""
RENDERED = "document.querySelectorAll('mjx-container').length >= document.querySelectorAll('.math').length"
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Visit:
    """What one page did."""

    page: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    too_wide: dict[str, int] = field(default_factory=dict)  # pixels, by size of the window
    faint: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)  # by size, theme and kind of text
    formulas: tuple[int, int] = (0, 0)  # asked for, drawn
    text: str = ""


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; CI must have one."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    executable = next(found, None)
    if executable is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no Chromium on the path")
    with sync_playwright() as playwright:
        # Root has no sandbox, and in a container that is who runs the tests.
        browser = playwright.chromium.launch(executable_path=executable, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visits(request, browser, library):
    """Visit each page once, in windows of both sizes and in both themes."""
    context = browser.new_context(viewport=SIZES["laptop"], color_scheme="light")
    page, visits, pictures = context.new_page(), [], request.config.getoption("--screenshots")
    page.on("request", lambda asked: asked.url.startswith(LOCAL) or visits[-1].requests.append(asked.url))
    page.on("pageerror", lambda error: visits[-1].errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and visits[-1].errors.append(message.text))
    for name, path in distinct([library(study) for study in BOOKS]).items():
        visits.append(Visit(name))
        visit(page, path, visits[-1], pictures and Path(pictures, name.removesuffix(".html").replace("/", "-")))
    context.close()
    return visits


def distinct(books: list[Book]) -> dict[str, Path]:
    """Pages of the first book, and of each other one those with elements that no page before has."""
    pages, seen = {}, set()
    for book in books:
        for path in sorted(book.html.rglob("*.html")):
            # The first index.html only sends its reader on.
            if "_static" not in path.parts and path != book.html / "index.html":
                new = elements(path) - seen
                if new or book is books[0]:
                    pages[f"{book.study}/{path.relative_to(book.html).as_posix()}"] = path
                    seen |= new
    return pages


def elements(path: Path) -> set[tuple[str, ...]]:
    """Elements of a page: each by its name and classes, and by those of what it stands in."""
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "lxml")
    names = {id(element): f"{element.name}.{'.'.join(sorted(element.get('class', [])))}" for element in page.find_all()}
    return {(names.get(id(element.parent), ""), names[id(element)]) for element in page.find_all()}


def visit(page: Page, path: Path, seen: Visit, picture: Path | None) -> None:
    """Open one page, look at it in both sizes and themes, and leave it large and light."""
    page.goto(path.as_uri())
    page.wait_for_function(RENDERED)
    seen.formulas = tuple(page.locator(selector).count() for selector in (".math", "mjx-container"))
    seen.text = page.inner_text("body")
    for size in ("phone", "laptop"):
        page.set_viewport_size(SIZES[size])
        seen.too_wide[size] = page.evaluate(WIDE)
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
            # Colors fade from one theme to the other.
            page.wait_for_function("document.getAnimations().every((animation) => animation.playState === 'finished')")
            for kind, selector in TEXTS.items():
                seen.faint[size, theme, kind] = page.evaluate(FAINT, [selector, READABLE])
            if picture:
                page.screenshot(path=f"{picture}-{size}-{theme}.png", full_page=True)


@pytest.fixture
def page(browser):
    """Open a window, which must close without an error."""
    context = browser.new_context(viewport=SIZES["laptop"], color_scheme="light")
    yield context.new_page()
    context.close()


@pytest.fixture
def at(page, library):
    """Open a page of the printed book."""

    def open_page(address):
        page.goto(f"{library('printed').html.as_uri()}/{address}")
        return page

    return open_page


# --- every page -------------------------------------------------------------------------------------------


def test_every_page_of_the_default_book_is_visited_and_some_of_the_others(visits, library):
    visited, default = {visit.page for visit in visits}, library(BOOKS[0])
    pages = {path.relative_to(default.html).as_posix() for path in default.html.glob("[!_]*/*.html")}
    assert len(pages) > 50
    assert visited >= {f"{default.study}/{page}" for page in pages}
    assert any(not page.startswith(default.study) for page in visited)


def test_pages_ask_for_nothing_from_a_network(visits):
    assert {visit.page: visit.requests for visit in visits if visit.requests} == {}


def test_pages_have_no_errors(visits):
    assert {visit.page: visit.errors for visit in visits if visit.errors} == {}


@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_the_window(visits, size):
    assert {visit.page: visit.too_wide[size] for visit in visits if visit.too_wide[size] > 0} == {}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_text_stands_out_from_its_background(visits, size, theme, kind):
    assert {visit.page: faint for visit in visits if (faint := visit.faint[size, theme, kind])} == {}


def test_formulas_are_drawn(visits):
    assert {visit.page for visit in visits if visit.formulas[0] != visit.formulas[1]} == set()
    assert sum(visit.formulas[1] > 0 for visit in visits) >= 4
    assert {visit.page for visit in visits if re.search(r"\$\$|\\[(\[]|\\(?:frac|hat|sum)\b", visit.text)} == set()


# --- what a reader does -----------------------------------------------------------------------------------


def column(page, table, number):
    """Texts of the rows that show, in one column of a table."""
    rows = page.locator(f"{table} tbody tr:visible")
    return [row.locator("td").nth(number).inner_text().strip() for row in rows.all()]


def test_a_table_sorts_on_a_click(at):
    page, table = at("book/appendix_brain_results.html"), "#table-5"
    headers = page.locator(f"{table} thead th").all_inner_texts()
    number = headers.index("Pereira2018")
    button = page.locator(f"{table} thead th").nth(number).locator("button")
    unsorted = column(page, table, number)
    for direction, reverse in (("ascending", False), ("descending", True)):
        button.click()
        assert page.locator(f"{table} thead th").nth(number).get_attribute("aria-sort") == direction
        assert column(page, table, number) == sorted(unsorted, key=float, reverse=reverse)
    assert sorted(unsorted, key=float) != unsorted


def test_claims_are_filtered_and_sorted(at):
    page, table = at("book/claims.html"), "#claims"
    headers = page.locator(f"{table} thead th").all_inner_texts()
    number = headers.index("Verdict")
    every = column(page, table, number)
    select = page.locator(f"{table} .filters label", has_text=re.compile("^Verdict all")).locator("select")
    select.select_option("differs")
    assert column(page, table, number) == ["differs"] * every.count("differs")
    select.select_option("all")
    page.locator(f"{table} thead th").nth(number).locator("button").click()
    assert column(page, table, number) == sorted(every)


def test_a_claim_unfolds_its_evidence(at):
    page = at("book/claims.html")
    details = page.locator("#claims details").first
    evidence = details.locator("p").first
    assert not evidence.is_visible()
    details.locator("summary").click()
    assert evidence.is_visible()


def test_a_live_number_leads_to_its_cell(at):
    page = at("book/index.html")
    link = page.locator("article a.live").first
    text = link.inner_text()
    link.click()
    page.wait_for_url("**/executed/*.html#number-*")
    assert page.locator(":target b").inner_text() == text
    assert page.locator(":target").is_visible()


def test_the_scatter_draws_points_and_its_axes_can_be_chosen(at):
    page = at("book/explore.html")
    points = page.locator(".explorer svg path[aria-roledescription='point']")
    points.first.wait_for()
    assert points.count() >= 20
    for axis, choice in (("x", "mmlu"), ("y", "futrell2018")):
        before = points.first.get_attribute("transform")
        page.locator(f".explorer select[name='{axis}']").select_option(choice)
        page.wait_for_function(
            "before => document.querySelector(`.explorer svg path[aria-roledescription='point']`)"
            ".getAttribute('transform') !== before",
            arg=before,
        )


def test_search_finds_a_model(at):
    page = at("search.html?q=StableVicuna")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    assert "Appendices A and B: the models in detail" in found.all_inner_texts()
    found.first.click()
    page.wait_for_url("**/book/*.html*")
    assert "StableVicuna" in page.inner_text("article")


def test_the_first_page_leads_to_the_book(at):
    page = at("index.html")
    page.wait_for_url("**/book/index.html")
    assert page.locator("article h1").inner_text().startswith("Do instruction-tuned language models align")
