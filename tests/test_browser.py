"""Every page as a reader sees it: on a laptop and a phone, light and dark, from disk and without a network."""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.slow
pytest_plugins = ["books"]

SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"
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
    """What one page did in a window of one size."""

    page: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    too_wide: int = 0  # pixels
    faint: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # by theme and kind of text
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


@pytest.fixture(scope="session", params=SIZES)
def visits(request, browser, book):
    """Visit every page once, in both themes, and take its picture."""
    context = browser.new_context(viewport=SIZES[request.param], color_scheme="light")
    page, visits = context.new_page(), []
    page.on("request", lambda asked: asked.url.startswith(LOCAL) or visits[-1].requests.append(asked.url))
    page.on("pageerror", lambda error: visits[-1].errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and visits[-1].errors.append(message.text))
    for path in sorted(book.html.rglob("*.html")):
        # The first index.html only sends its reader on.
        if "_static" not in path.parts and path != book.html / "index.html":
            visits.append(Visit(path.relative_to(book.html).as_posix()))
            visit(page, path, visits[-1])
            name = visits[-1].page.removesuffix(".html").replace("/", "-")
            picture = SCREENSHOTS / book.study / f"{name}-{request.param}.jpeg"
            page.screenshot(path=picture, full_page=True, type="jpeg", quality=80)
    context.close()
    return visits


def visit(page, path, seen):
    """Open one page, look at it in both themes, and leave it light."""
    page.goto(path.as_uri())
    page.wait_for_function(RENDERED)
    seen.too_wide = page.evaluate(WIDE)
    seen.formulas = tuple(page.locator(selector).count() for selector in (".math", "mjx-container"))
    seen.text = page.inner_text("body")
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
        # Colors fade from one theme to the other.
        page.wait_for_function("document.getAnimations().every((animation) => animation.playState === 'finished')")
        for kind, selector in TEXTS.items():
            seen.faint[theme, kind] = page.evaluate(FAINT, [selector, READABLE])


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


def test_pages_ask_for_nothing_from_a_network(visits):
    assert len(visits) > 30
    assert {visit.page: visit.requests for visit in visits if visit.requests} == {}


def test_pages_have_no_errors(visits):
    assert {visit.page: visit.errors for visit in visits if visit.errors} == {}


def test_pages_fit_the_window(visits):
    assert {visit.page: visit.too_wide for visit in visits if visit.too_wide > 0} == {}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_background(visits, theme, kind):
    assert {visit.page: found for visit in visits if (found := visit.faint[theme, kind])} == {}


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
