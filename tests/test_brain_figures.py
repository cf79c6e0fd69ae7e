"""Figures of brain alignment draw all of their tables, without complaint."""

import io
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from brainalign.paper import figures
from brainalign.paper.figures import brain_scores

pytestmark = pytest.mark.usefixtures("book_style")

SCORES = pd.DataFrame(
    {
        "panel": ["aw2024"] * 3 + ["contiguous"] * 3,
        "model": ["t5", "flan", "t5-untrained-0"] * 2,
        "family": "T5",
        "kind": ["vanilla", "instruction-tuned", "untrained"] * 2,
        "r": np.linspace(0.1, 0.2, 6),
        "mad": [0.02] * 5 + [np.nan],
        "estimate": np.linspace(0.12, 0.18, 6),
        "low": [0.1] * 5 + [np.nan],
        "high": [0.2] * 5 + [np.nan],
        "ceiling": [0.3] * 3 + [np.nan] * 3,
    }
)
LAYERS = pd.DataFrame(
    [
        (panel, model, kind, depth, depth / 10)
        for panel in ("aw2024", "contiguous")
        for model, kind in (("t5", "vanilla"), ("t5-untrained-0", "untrained"), ("flan", "instruction-tuned"))
        for depth in (0.0, 0.5, 1.0)
    ],
    columns=["panel", "model", "kind", "depth", "r"],
)
PAIRS = pd.DataFrame({"label": ["oasm", "length"], "shuffled": [0.5, 0.1], "apart": [0.0, np.nan]})
FOLDS = pd.DataFrame(
    [
        ("OASM", "adjacency", "", "strict", -1e-9, np.nan, np.nan, np.nan),
        ("OASM", "adjacency", "", "lenient", 0.5, 0.4, 0.6, 0.3),
        ("flan", "a language model", "T5", "strict", 0.2, 0.1, 0.3, np.nan),
        ("flan", "a language model", "T5", "lenient", 0.21, 0.1, 0.3, 0.3),
    ],
    columns=["label", "note", "family", "end", "estimate", "low", "high", "ceiling"],
).assign(folds="shuffled")
DIFFERENCES = pd.DataFrame(
    {
        "panel": ["aw2024", "contiguous", "contiguous"],
        "label": ["oasm", "oasm", "length"],
        "estimate": [-0.4, 0.2, 0.0],
        "low": [-0.5, 0.1, -0.1],
        "high": [-0.3, 0.3, 0.1],
    }
)
DRAW = {
    "scores": lambda: brain_scores.scores(SCORES),
    "layers": lambda: brain_scores.layers(LAYERS),
    "layers without twins": lambda: brain_scores.layers(LAYERS[LAYERS.kind != "untrained"]),
    "dumbbells": lambda: brain_scores.dumbbells(PAIRS, "shuffled", "apart", ("shuffled", "apart"), "r"),
    "folds": lambda: brain_scores.folds(FOLDS, "r"),
    "folds, narrow": lambda: brain_scores.folds(FOLDS, "r", narrow=True),
    "folds of one protocol": lambda: brain_scores.folds(FOLDS[FOLDS.end == "strict"], "r"),
    "differences": lambda: brain_scores.differences(DIFFERENCES, "Change (r)"),
}


def test_every_figure_of_the_module_is_drawn_here():
    returning = {
        name
        for name, thing in vars(brain_scores).items()
        if getattr(thing, "__annotations__", {}).get("return") is plt.Figure
    }
    assert {name.split(" ")[0].rstrip(",") for name in DRAW} == returning


@pytest.mark.parametrize("name", DRAW)
def test_figure_draws_without_warnings(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = DRAW[name]()
        file = io.BytesIO()
        figure.savefig(file, format="svg")
    assert file.tell() > 1000
    assert figure.axes[-1].get_xlabel()


def circles(ax):
    """Height and place of each circle, and whether it is filled."""
    faces = ax.collections[-1].get_facecolor()
    return {(x, face[3] > 0) for (x, _), face in zip(ax.collections[-1].get_offsets(), faces, strict=True)}


def test_scores_are_filled_where_a_model_is_tuned():
    first, second = DRAW["scores"]().axes
    assert circles(first) == {(row.estimate, row.kind == "instruction-tuned") for row in SCORES[:3].itertuples()}
    assert circles(second) == {(row.estimate, row.kind == "instruction-tuned") for row in SCORES[3:].itertuples()}
    assert [label.get_text() for label in first.get_yticklabels()] == list(SCORES.model[:3])


def test_an_unknown_ceiling_is_not_drawn():
    first, second = DRAW["scores"]().axes
    assert [text.get_text().strip() for text in first.texts] == ["noise ceiling"]
    assert len(second.texts) == 0


def test_untrained_twins_are_gray_in_every_figure():
    ax = DRAW["layers"]().axes[0]
    tints = [to_hex(line.get_color()) for line in ax.lines if len(line.get_xdata()) == 3]
    assert tints.count(figures.GRAY) == 1 and len(set(tints)) == 3
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["t5", "flan", "untrained twins"]


def test_more_models_than_colors_are_told_apart_by_their_lines():
    many = pd.concat([LAYERS[LAYERS.model == "t5"].assign(model=f"m{n}") for n in range(len(figures.LINES) + 2)])
    ax = brain_scores.layers(many).axes[0]
    looks = [(line.get_color(), line.get_linestyle()) for line in ax.lines if len(line.get_xdata()) == 3]
    assert len(set(looks)) == len(looks) == len(figures.LINES) + 2


def test_dumbbells_join_both_scores():
    ax = DRAW["dumbbells"]().axes[0]
    joined, hollow, filled = ax.collections
    np.testing.assert_array_equal(hollow.get_offsets()[:, 0], PAIRS.shuffled)
    assert filled.get_offsets()[0, 0] == 0.0
    assert list(joined.get_segments()[0][:, 0]) == [0.5, 0.0]


def test_differences_are_filled_only_where_all_of_the_interval_is_above_zero():
    first, second = DRAW["differences"]().axes
    assert circles(first) == {(-0.4, False)}
    assert circles(second) == {(0.2, True), (0.0, False)}
    assert first.get_shared_x_axes().joined(first, second)
