"""Figures and tables as files: the same bytes every time, readable by everyone, and all their data beside them."""

import json
import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from brainalign import store
from brainalign.paper import begin
from brainalign.paper.publish import assets, sphinx_extension
from brainalign.paper.publish.asset_directives import toggle
from brainalign.paper.publish.numbers import EVIDENCE

TEXTS = {"notebook": "published", "title": "It rises", "evidence": "printed"}
DATA = pd.DataFrame({"model": ["a", "b", "c"], "size": [1, 20, 300], "score": [0.5, -0.25, np.nan]})
SVG = "{http://www.w3.org/2000/svg}"


def draw(slope=1.0):
    """A figure with what gets ids in an SVG: markers, a clip path and text."""
    figure, ax = plt.subplots(figsize=(4, 3))
    ax.plot([0, 1], [0, slope], "o-", label="a < b")
    ax.set_xlim(0, 0.5)
    ax.set_title("It rises")
    ax.legend(frameon=False)
    return figure


@pytest.fixture
def saved(tmp_path):
    """Function that saves a figure and reads its SVG back."""

    def save(name="figure-1", slope=1.0, **changes):
        assets.save_figure(tmp_path / name, draw(slope), DATA, **(TEXTS | changes))
        return (tmp_path / f"{name}.svg").read_text(encoding="utf-8")

    return save


def ids(svg):
    return re.findall(r'\bid="([^"]*)"', svg)


# --- figures ----------------------------------------------------------------------------------------------


def test_figure_is_the_same_bytes_every_time(saved, tmp_path):
    files = []
    for _ in range(2):
        saved()
        files.append({path.name: path.read_bytes() for path in tmp_path.glob("figure-1*")})
    assert files[0] == files[1]
    assert set(files[0]) == {"figure-1.svg", "figure-1.csv", "figure-1.json"}


def test_no_id_is_there_twice_on_a_page_of_figures(saved):
    page = [saved("figure-1"), saved("figure-2"), saved("figure-1", notebook="claims")]
    assert all(ids(svg) for svg in page)
    everywhere = [name for svg in page for name in ids(svg)]
    assert len(everywhere) == len(set(everywhere))


def test_references_stay_inside_the_figure(saved):
    svg = saved()
    referred = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    assert referred
    assert referred <= set(ids(svg))


def test_text_stays_text(saved):
    texts = ["".join(element.itertext()).strip() for element in ElementTree.fromstring(saved()).iter(f"{SVG}text")]
    assert {"It rises", "a < b"} <= set(texts)


def test_figure_stands_inside_a_page(saved):
    svg = saved()
    assert svg.startswith("<svg ")
    assert svg.rstrip().endswith("</svg>")
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox")
    # Its size is the page's to choose, up to the size that it was drawn in.
    assert (root.get("width"), root.get("height")) == (None, None)
    width = float(root.get("viewBox").split()[2])
    assert root.get("style") == f"max-width: {width:.0f}pt"
    for trace in ("<metadata", "<?xml", "<!DOCTYPE", "matplotlib.org"):
        assert trace not in svg


def test_background_is_the_pages(saved):
    assert "fill: #ffffff" not in saved()


@pytest.mark.parametrize("title", ["A line", "a < b & \"c\" > 'd'", 'only "double"', "−0.5 – é"])
def test_title_is_there_for_screen_readers(saved, title):
    root = ElementTree.fromstring(saved(title=title))
    assert (root.get("role"), root.get("aria-label")) == ("img", title)


def test_figure_is_closed(saved):
    before = plt.get_fignums()
    saved()
    assert plt.get_fignums() == before


def test_what_is_marked_is_marked_in_the_page(tmp_path):
    drawn = []
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.axvline(0).set_gid("data-end=strict")
        ax.bar(0, 1)[0].set_url("claims.html?verdict=differs")
        drawn.append(figure)
    options = {"notebook": "n", "title": "It rises", "evidence": "printed", "narrow": drawn[1]}
    assets.save_figure(tmp_path / "f", drawn[0], pd.DataFrame({"a": [1]}), **options)
    for name in ("f.svg", "f.narrow.svg"):
        svg = (tmp_path / name).read_text(encoding="utf-8")
        assert '<g data-end="strict">' in svg and '<a xlink:href="claims.html?verdict=differs">' in svg
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))["narrow"] is True


def test_words_of_a_figure(saved, tmp_path):
    saved(wide=True)
    assert json.loads((tmp_path / "figure-1.json").read_text(encoding="utf-8")) == {
        "title": "It rises",
        "evidence": "printed",
        "notebook": "published",
        "wide": True,
        "narrow": False,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evidence": "hearsay"}, f"figure-1: evidence must be one of {', '.join(EVIDENCE)}, not 'hearsay'"),
        ({"title": ""}, "figure-1 has an empty title"),
        ({"title": " \n"}, "figure-1 has an empty title"),
    ],
)
def test_figure_without_words_is_refused(saved, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        saved(**changes)
    assert list(tmp_path.iterdir()) == []


# --- tables -----------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Function that saves a table and reads its JSON back."""

    def save(data=DATA, **options):
        assets.save_table(tmp_path / "table-1", data, notebook="published", **({"title": "Scores."} | options))
        return json.loads((tmp_path / "table-1.json").read_text(encoding="utf-8"))

    return save


@pytest.mark.parametrize("kind", ["figure", "table"])
def test_csv_equals_the_data(saved, table, tmp_path, kind):
    data = DATA.assign(text=["a, b", 'c "d"', "é"], exact=[1 / 3, 1e-300, 2.0**60])
    if kind == "figure":
        assets.save_figure(tmp_path / "x", draw(), data, **TEXTS)
    else:
        assets.save_table(tmp_path / "x", data, notebook="published", title="Scores.", columns={"model": "Model"})
    text = (tmp_path / "x.csv").read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "x.csv"), data, check_exact=True)
    assert b"\r" not in text


def test_numbers_are_formatted_and_missing_ones_empty(table):
    columns = {"score": ("Score", "+.2f"), "model": "Model", "size": ("Size", ",.1e")}
    words = table(columns=columns)
    assert words["header"] == ["Score", "Model", "Size"]
    assert words["numeric"] == [True, False, True]
    assert words["rows"] == [["+0.50", "a", "1.0×10⁰"], ["−0.25", "b", "2.0×10¹"], ["", "c", "3.0×10²"]]


def test_columns_are_as_they_are_unless_named(table):
    words = table()
    assert words["header"] == ["model", "size", "score"]
    assert words["rows"] == [["a", "1", "0.5"], ["b", "20", "-0.25"], ["c", "300", ""]]


def test_whole_numbers_stay_whole_among_others(table):
    assert table(DATA[["size", "score"]])["rows"][1] == ["20", "-0.25"]
    assert table(DATA[["size", "score"]], columns={"size": ("n", ",d")})["rows"] == [["1"], ["20"], ["300"]]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_values_of_any_kind_are_empty(table, missing):
    data = pd.DataFrame({"x": pd.Series(["a", missing], dtype=object)})
    assert table(data, columns={"x": ("X", ".2f")})["rows"] == [["a"], [""]]


def test_filters_details_and_anchors(table):
    data = DATA.assign(why=["x", "y", "z"], id=["a-1", "b-1", "c-1"])
    columns = {"model": "Model", "why": "Why", "size": "Size"}
    words = table(data, columns=columns, filters=("size", "model"), details="why", anchors="id")
    assert (words["filters"], words["details"], words["anchors"]) == ([2, 0], 1, ["a-1", "b-1", "c-1"])
    plain = table(data, columns=columns)
    assert (plain["filters"], plain["details"], plain["anchors"]) == ([], None, None)


def test_evidence_may_be_left_out_of_a_table(table):
    assert table()["evidence"] is None
    assert table(evidence="people")["evidence"] == "people"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": DATA.iloc[:0]}, ValueError, "table table-1 has no rows"),
        ({"title": " "}, ValueError, "table-1 has an empty title"),
        ({"evidence": "hearsay"}, ValueError, "evidence must be one of .*not 'hearsay'"),
        (
            {"columns": {"modle": "Model"}},
            LookupError,
            "table table-1 has no column 'modle'; it has model, size, score",
        ),
        ({"filters": ("kind",)}, LookupError, "table table-1 shows no column 'kind'; it shows model, size, score"),
        ({"details": "why"}, LookupError, "table table-1 shows no column 'why'"),
        ({"columns": {"model": "Model"}, "filters": ("size",)}, LookupError, "shows no column 'size'; it shows model"),
        ({"anchors": "id"}, LookupError, "table table-1 has no column 'id'"),
    ],
)
def test_table_that_cannot_be_shown_is_refused(table, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        table(**options)
    assert list(tmp_path.iterdir()) == []


def test_notebook_saves_under_its_own_name(tmp_path, monkeypatch):
    monkeypatch.setattr("IPython.display.display", lambda shown: None)
    with plt.rc_context():
        notebook = begin("published", "printed", str(tmp_path / "executed"))
        notebook.figure("figure-1", draw(), DATA, "It rises")
        notebook.table("table-1", DATA, title="Scores.")
    folder = tmp_path / "executed" / "printed" / "published"
    assert sorted(path.name for path in folder.iterdir()) == [
        "figure-1.csv", "figure-1.json", "figure-1.svg", "table-1.csv", "table-1.json",
    ]  # fmt: skip
    assert {json.loads(path.read_text())["notebook"] for path in folder.glob("*.json")} == {"published"}


def test_a_dot_in_a_name_is_part_of_it(tmp_path):
    for name in ("pereira2018.243", "pereira2018.384"):
        assets.save_table(tmp_path / name, pd.DataFrame({"x": [1]}), notebook="people", title=name)
    made = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("pereira"))
    assert made == [f"pereira2018.{part}.{ending}" for part in ("243", "384") for ending in ("csv", "json")]


def test_examples_in_docstrings_of_modules_are_code():
    text = ["Reads it.", "", "    a = read()", "", "    b = more(a)", "", "And this::", "", "    c = 1"]
    lines = list(text)
    sphinx_extension.show_examples(None, "module", "m", None, None, lines)
    assert lines == [*text[:2], "::", "", *text[2:]]
    lines = list(text)
    sphinx_extension.show_examples(None, "function", "m.f", None, None, lines)
    assert lines == text
    lines = ["Reads it.", "", "a = read()"]
    sphinx_extension.show_examples(None, "module", "m", None, None, lines)
    assert lines == ["Reads it.", "", "::", "", "    a = read()"]


def test_a_reader_can_see_either_end_of_a_figure_alone():
    buttons = BeautifulSoup(toggle("controls/folds"), "lxml").fieldset
    assert [button["value"] for button in buttons.select("input")] == ["lenient", "strict", "both"]
    assert [button["value"] for button in buttons.select("input[checked]")] == ["both"]
    # By the style sheet, which hides what the drawing marks as the other end.
    style = (store.PROJECT / "book" / "_static" / "brainalign.css").read_text(encoding="utf-8")
    for end, other in (("lenient", "strict"), ("strict", "lenient")):
        hidden = f'[data-end="{other}"], [data-end="both"]'
        assert f'figure.result:has(input[value="{end}"]:checked) svg :is({hidden})' in style
    assert "toggle" not in buttons["class"]  # which the theme folds
