"""Pages quote numbers by name: what a role shows, what it refuses, and what a page then depends on."""

import json
import re
import shutil
from dataclasses import asdict

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from brainalign import catalog, store
from brainalign.paper.publish.numbers import Live
from brainalign.paper.publish.sphinx_extension import modules_of

NUMBERS = [
    Live("change", 6.2, "+.1f", " %", low=1, high=11.3, n=17),
    Live("verdict", "raises"),
    Live("r", 0.5, low=0, high=1),
]
SPACE = "\u00a0"
FIGURE = '```{result-figure} scores/figure\n:alt: From {live}`r.low` to: "{live}`r.high`"\n\nIt is {live}`r`.\n```'


@pytest.fixture
def page(tmp_path):
    """Function that renders one page; a warning is an error."""
    source = tmp_path / "source"
    (source / "executed" / "scores").mkdir(parents=True)
    about = {"evidence": "printed", "study": "printed"}
    records = {f"scores:{one.key}": {**asdict(one), **about, "cell": f"scores#{one.key}"} for one in NUMBERS}
    (source / "executed" / "numbers.json").write_text(json.dumps(records), encoding="utf-8")
    (source / "executed" / "study.json").write_text('{"name": "sample", "parts": ["brain"]}', encoding="utf-8")
    (source / "executed" / "scores.md").write_text("---\norphan: true\n---\n\n# Scores\n", encoding="utf-8")
    words = {"title": "It rises", "wide": False, "evidence": "printed", "notebook": "scores"}
    for ending, text in ((".json", json.dumps(words)), (".svg", '<svg aria-label="It rises"/>'), (".csv", "a\n")):
        (source / "executed" / "scores" / f"figure{ending}").write_text(text, encoding="utf-8")

    def render(text: str, front: str = "---\nlive: scores\n---\n\n") -> BeautifulSoup:
        (source / "page.md").write_text(f"{front}# Page\n\n{text}\n", encoding="utf-8")
        extensions = ["sphinx.ext.autodoc", "myst_parser", "brainalign.paper.publish.sphinx_extension"]
        settings = {"extensions": extensions, "root_doc": "page", "myst_enable_extensions": ["colon_fence"]}
        out, trees = tmp_path / "html", tmp_path / "trees"
        with patch_docutils(), docutils_namespace():
            app = Sphinx(source, None, out, trees, "html", settings, None, None, warningiserror=True)
            app.build()
            render.depends = {str(path) for path in app.env.dependencies["page"]}
        return BeautifulSoup((out / "page.html").read_text(encoding="utf-8"), "html.parser").select_one("[role=main]")

    render.executed = source / "executed"
    return render


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("{live}`change`", f"+6.2{SPACE}%"),
        ("{live}`scores:change.low`", f"+1.0{SPACE}%"),
        ("{estimate}`change`", f"+6.2{SPACE}% [+1.0, +11.3]"),
        ("{live}`verdict|not run`", "raises"),
        ("{estimate}`verdict`", "raises"),
    ],
)
def test_a_role_shows_a_number_and_leads_to_its_cell(page, role, text):
    (shown,) = page(f"It is {role}.").select("a.live")
    assert shown.text == text and shown["href"].startswith("executed/scores.html#")
    assert [path.endswith("executed/scores.ipynb") for path in page.depends] == [True]


def test_what_stands_in_the_place_of_a_missing_number(page):
    shown = page("It is {live}`scores:none|not run here`, {live}`other:r|unknown`.")
    assert "It is not run here, unknown." in shown.text and not shown.select("a.live")


@pytest.mark.parametrize(
    ("text", "front", "named"),
    [
        ("{live}`nothing`", None, "scores has shown no number 'nothing'"),
        ("{live}`other:r`", None, "other has shown no number 'r'"),
        ("{live}`verdict.low`", None, "no number 'verdict.low'"),
        ("{estimate}`change.low`", None, "no number 'change.low'"),
        ("{live}`r`", "", "a notebook that no front matter names"),
    ],
)
def test_a_missing_number_is_an_error_that_names_it(page, text, front, named):
    with pytest.raises(Exception, match=named):
        page(text, **({} if front is None else {"front": front}))


def test_a_dropped_block_asks_for_nothing(page):
    shown = page(":::{when} behavior\n{live}`nothing`\n:::\n\n:::{when} brain\n{live}`r`\n:::")
    assert [number.text for number in shown.select("a.live")] == ["0.50"]


def test_a_caption_and_an_alternative_text_quote_numbers(page):
    shown = page(FIGURE)
    assert shown.select_one("svg")["aria-label"] == 'From 0.00 to: "1.00"'
    assert " ".join(shown.select_one("figcaption").text.split()).startswith("It rises. It is 0.50.")
    assert len(shown.select("figcaption a.live")) == 1


@pytest.mark.parametrize(
    "text", ["```{result-figure} scores/figure\n:alt: A\n```", "```{result-figure} scores/figure\nA\n```"]
)
def test_a_figure_without_words_is_refused(page, text):
    with pytest.raises(Exception, match="scores/figure has no caption, or no :alt:"):
        page(text)


@pytest.mark.parametrize(
    ("place", "label"), [("printed", "Figure 1B. It rises."), ("study", "Figure 1B, on this study. It rises.")]
)
def test_a_figure_of_the_paper_has_its_number(page, place, label):
    asset = catalog.displays().set_index("display").loc["Figure 1B", place]
    executed = page.executed / asset
    executed.parent.mkdir(exist_ok=True)
    for ending in (".json", ".svg", ".csv"):
        shutil.copy(page.executed / f"scores/figure{ending}", f"{executed}{ending}")
    assert page(FIGURE.replace("scores/figure", asset)).select_one("figcaption strong").text == label


def test_the_reference_has_every_module_once_and_lists_what_a_module_defines(page):
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((store.PROJECT / "book").glob("api*.md")))
    listed = [name for line in re.findall(r"{reference} (.*)", pages) for name in line.split()]
    modules = [module for name in listed for module in modules_of(name)]
    assert sorted(["brainalign", *modules]) == sorted(modules_of("brainalign"))
    shown = page("```{reference} brainalign.messages brainalign.paper.publish.kernels\n```")
    assert shown.find(id="brainalign.messages.count")
    assert shown.find(id="brainalign.paper.publish.kernels.KernelManager")


def test_a_command_names_the_study_that_was_built(page):
    shown = page("```sh\npapermill notebooks/scores.ipynb out.ipynb -p study STUDY -p seed 1\n```")
    assert "papermill notebooks/scores.ipynb out.ipynb -p study sample -p seed 1" in shown.get_text()
