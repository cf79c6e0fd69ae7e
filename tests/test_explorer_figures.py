"""Figures draw without complaint in one palette; the interactive scatter has all data and needs no network."""

import io
import json
import re
import warnings
from html.parser import HTMLParser
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from brainalign.paper import figures
from brainalign.paper.claims import printed
from brainalign.paper.figures import explorer
from brainalign.statistics.pairs import make_pairs

pytestmark = pytest.mark.usefixtures("book_style")

MODELS = pd.DataFrame(
    {
        "model": ["t5", "flan", "llama", "vicuna", "gpt2", "gpt2-alpaca", "gemma"],
        "family": ["T5", "T5", "LLaMA-2", "LLaMA-2", "GPT-2", "GPT-2", "Gemma"],
        "kind": ["vanilla", "instruction-tuned"] * 3 + ["vanilla"],
        "vanilla": [None, "t5", None, "llama", None, "gpt2", None],
        "average": [0.10, 0.14, 0.20, 0.22, 0.15, 0.13, 0.18],
        "log_size": [8.0, 8.0, 9.8, 9.8, 8.1, 8.1, 9.3],
        "mmlu": [np.nan, 0.3, np.nan, 0.5, np.nan, 0.26, np.nan],
    }
)
PAIRS = make_pairs(MODELS, "average")
INTERVALS = pd.DataFrame(
    {
        "label": ["a", "b", "c"],
        "group": ["x", "x", "y"],
        "estimate": [1.0, -2.0, 0.5],
        "low": [0.5, np.nan, -1.0],
        "high": [1.5, np.nan, 2.0],
        "note": ["n = 17", "", "n = 8"],
    }
)
LAGS = pd.DataFrame(
    [(lag, lag / 10, *place) for place in product(("length", "gpt2"), ("original", "corrected")) for lag in (-1, 0, 1)],
    columns=["lag", "r", "line", "panel"],
)
CHANGES = pd.DataFrame(
    {"dataset": ["A", "A", "B", "B"], "family": ["T5", "LLaMA", "T5", "LLaMA"], "percent_change": [5.0, 1.0, -2.0, 3.0]}
)
SECONDS = pd.DataFrame({"label": ["ours", "theirs"], "seconds": [0.1, 50.0], "ours": [True, False]})
MEANS = pd.DataFrame({"dataset": ["A", "B"], "estimate": [3.0, 0.5], "low": [1.0, -2.0], "high": [5.0, 3.0]})
BELOW = MEANS.rename(columns={"dataset": "label"})
COUNTS = pd.DataFrame({"verdict": ["matches", "differs"], "n": [3, 1], "tint": [figures.GRAY, figures.LINES[0]]})

DRAW = {
    "tuning": lambda: figures.tuning(PAIRS, "average", ceiling=0.224),
    "tuning without labels": lambda: figures.tuning(PAIRS, "average", labels=False),
    "tuning, one pair": lambda: figures.tuning(PAIRS.iloc[:1], "average"),
    "changes": lambda: figures.changes(CHANGES, MEANS),
    "bases": lambda: figures.bases(CHANGES.assign(base=["a", "b", "a", "b"], model=list("cdef")), BELOW),
    "bases, narrow": lambda: figures.bases(CHANGES.assign(base="a", model=list("cdef")), BELOW, narrow=True),
    "counts": lambda: figures.counts(COUNTS, "claims.html?verdict={}"),
    "forest": lambda: figures.forest(INTERVALS, "Change (%)", groups="group"),
    "forest in colors": lambda: figures.forest(INTERVALS.assign(color=figures.GRAY), "Change (%)", zero=1.0),
    "scatter": lambda: figures.scatter(MODELS, [("log_size", "average", "r"), ("mmlu", "average", "r")]),
    "scatter without labels": lambda: figures.scatter(MODELS, [("log_size", "average", "r")], labels=False),
    "profile": lambda: figures.profile(LAGS, "lag", "r", "line", "panel", "Lag (words)", "r"),
    "bars": lambda: figures.bars(SECONDS),
    "strip": lambda: figures.strip(INTERVALS, "Change (%)"),
    "strip with a blank": lambda: figures.strip(INTERVALS.assign(estimate=[np.nan, 1, 2]), "Change (%)"),
}


# --- figures ----------------------------------------------------------------------------------------------


def test_every_figure_of_the_module_is_drawn_here():
    drawn = {name.split(" ")[0].rstrip(",") for name in DRAW}
    returning = {
        name
        for name, thing in vars(figures).items()
        if getattr(thing, "__annotations__", {}).get("return") is plt.Figure
    }
    assert drawn == returning


@pytest.mark.parametrize("name", DRAW)
def test_figure_draws_without_warnings(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = DRAW[name]()
        file = io.BytesIO()
        figure.savefig(file, format="svg")
    assert file.tell() > 1000
    # Axes say what they show.
    assert all(ax.get_xlabel() or ax.get_shared_x_axes().joined(ax, figure.axes[-1]) for ax in figure.axes)


@pytest.mark.parametrize(
    ("family", "tint"),
    [
        ("T5", figures.FAMILIES["T5"]),
        ("LLaMA", figures.FAMILIES["LLaMA"]),
        ("LLaMA-2", figures.FAMILIES["LLaMA"]),
        ("GPT2", figures.FAMILIES["GPT2"]),
        ("GPT-2", figures.FAMILIES["GPT2"]),
        ("Gemma", figures.FAMILIES["other"]),
        ("anything", figures.FAMILIES["other"]),
    ],
)
def test_color_of_a_family(family, tint):
    assert figures.color(family) == tint


def contrast(tint, background):
    """Contrast of two colors, as WCAG 2 defines it."""

    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    light, dark = sorted([luminance(tint), luminance(background)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
@pytest.mark.parametrize("tint", [*figures.FAMILIES.values(), figures.GRAY])
def test_colors_are_seen_on_light_and_dark_pages(tint, background):
    assert contrast(tint, background) >= 3  # what WCAG asks of graphics


def points(ax):
    """Every drawn point of an axes: (x, y) to its color, and whether it is filled."""
    found = {}
    for collection in ax.collections:
        filled = len(collection.get_facecolor()) > 0
        tints = collection.get_facecolor() if filled else collection.get_edgecolor()
        for number, place in enumerate(collection.get_offsets()):
            found[tuple(np.round(place, 6))] = (to_hex(tints[min(number, len(tints) - 1)]), filled)
    return found


@pytest.mark.parametrize("x", ["log_size", "mmlu"])
def test_scatter_has_each_model_in_its_familys_color_and_tuned_ones_filled(x):
    found = points(figures.scatter(MODELS, [(x, "average", "")], labels=False).axes[0])
    shown = MODELS.dropna(subset=[x])
    expected = {
        (row[x], row.average): (figures.color(row.family), row.kind == "instruction-tuned")
        for _, row in shown.iterrows()
    }
    assert found == expected


def test_scatter_joins_tuned_models_with_their_base():
    ax = figures.scatter(MODELS, [("log_size", "average", "")], labels=False).axes[0]
    joined = {tuple(np.round(line.get_ydata(), 6)) for line in ax.lines}
    assert {(0.10, 0.14), (0.20, 0.22), (0.15, 0.13)} <= joined


def test_tuning_has_each_pair_in_its_familys_color():
    ax = figures.tuning(PAIRS, "average", labels=False).axes[0]
    expected = {(pair.vanilla, pair.tuned): (figures.color(pair.family), True) for pair in PAIRS.itertuples()}
    assert points(ax) == expected
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["T5", "LLaMA-2", "GPT-2"]


def test_points_are_named_in_their_familys_color():
    ax = figures.scatter(MODELS, [("log_size", "average", "")]).axes[0]
    tints = {text.get_text(): to_hex(text.get_color()) for text in ax.texts}
    assert tints == {row.model: figures.color(row.family) for row in MODELS.itertuples()}


def test_ceiling_is_named_and_in_view():
    ax = figures.tuning(PAIRS, "average", ceiling=0.5, labels=False).axes[0]
    assert "noise ceiling" in [text.get_text() for text in ax.texts]
    assert ax.get_ylim()[1] > 0.5


def test_rows_run_from_top_to_bottom():
    ax = figures.forest(INTERVALS, "Change (%)").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_each_score_of_the_paper_has_a_name_with_its_unit():
    models = printed.load().models
    assert set(figures.PRINTED_AXES) <= set(models)
    assert all(re.search(r"\(.+\)$", figures.NAMES[name]) for name in figures.PRINTED_AXES)


# --- the interactive scatter ------------------------------------------------------------------------------

AXES = {"log_size": "Size", "average": "Brain alignment", "mmlu": "MMLU"}


class Page(HTMLParser):
    """Tags outside of scripts, and the text of each script."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    explorer.save_explorer(path, MODELS, AXES, "log_size", "average")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def chart(page):
    """The Vega-Lite specification inside the page; strict, as a browser's JSON is."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    (script,) = Page(page).scripts
    start = script.index("{", script.rindex("vegaEmbed(document.querySelector"))
    return json.JSONDecoder(parse_constant=refuse).raw_decode(script[start:])[0]


def test_explorer_fetches_nothing(page):
    parsed = Page(page)
    # One box and one script: nothing of the bundle broke out of it.
    assert [tag for tag, _ in parsed.tags] == ["div", "script"]
    assert not {"src", "href"} & {name for _, attributes in parsed.tags for name in attributes}
    assert len(parsed.scripts[0]) > 100_000
    assert not re.search(r"""(src|href)\s*=\s*["'`]?\s*(https?:)?//""", page)
    assert not re.search(r"""(from|import|import\()\s*["']https?:""", page)
    assert "@import" not in page


def test_explorer_has_the_data_of_every_model(chart):
    (rows,) = chart["datasets"].values()
    assert chart["data"]["name"] in chart["datasets"]
    found = pd.DataFrame(rows).set_index("model")
    expected = MODELS.set_index("model")
    assert list(found.index) == list(expected.index)
    for name in AXES:
        pd.testing.assert_series_equal(found[name].astype(float), expected[name])
    assert found.kind.tolist() == MODELS.kind.tolist()


def test_explorer_has_the_colors_of_the_figures(chart):
    scale = chart["encoding"]["color"]["scale"]
    found = dict(zip(scale["domain"], scale["range"], strict=True))
    (rows,) = chart["datasets"].values()
    assert {row["family"] for row in rows} == set(found)
    assert found == {family: figures.color(family) for family in found}
    assert {figures.color(family) for family in MODELS.family} == set(found.values())


def test_explorer_offers_every_axis(chart):
    params = {param["name"]: param for param in chart["params"]}
    for name, first in (("x", "log_size"), ("y", "average")):
        assert params[name]["value"] == first
        assert params[name]["bind"]["options"] == list(AXES)
        assert params[name]["bind"]["labels"] == list(AXES.values())


def test_explorer_is_named_for_screen_readers(page):
    (_, box), _ = Page(page).tags
    assert box["role"] == "figure"
    assert box["aria-label"].strip()


@pytest.mark.parametrize("column", ["kind", "mmlu"])
def test_explorer_without_a_column(tmp_path, column):
    with pytest.raises(LookupError, match=f"needs column '{column}'; the table has model"):
        explorer.save_explorer(tmp_path / "x.html", MODELS.drop(columns=column), AXES, "log_size", "average")
    assert list(tmp_path.iterdir()) == []


def test_explorer_of_a_column_that_cannot_be_chosen(tmp_path):
    with pytest.raises(LookupError, match="needs column 'bbh'"):
        explorer.save_explorer(tmp_path / "x.html", MODELS, AXES, "bbh", "average")
