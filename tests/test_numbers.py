"""A number in prose is right, typographic and traceable, or it is an error."""

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from brainalign.paper.publish.numbers import (
    EVIDENCE,
    RECORD,
    Live,
    Numbers,
    anchor,
    collected,
    correlation,
    formatted,
    link,
    live_of,
    number,
    p_value,
    title_of,
)

SPACE = "\u00a0"


class Tags(HTMLParser):
    """Tags of a piece of HTML with their attributes, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def displayed(monkeypatch):
    """What the notebook displayed: pairs of HTML and the record beside it."""
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda cell, metadata: outputs.append((cell.data, metadata[RECORD])))
    return outputs


@pytest.fixture
def numbers():
    return Numbers("published", "printed", "printed")


# --- text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.809, ".2f", "0.81"),
        (-0.5, ".2f", "−0.50"),
        (0.062, "+.3f", "+0.062"),
        (-0.062, "+.3f", "−0.062"),
        (10256, ",d", "10,256"),
        (np.int64(10256), ",d", "10,256"),
        (np.float64(-1.25), ".1f", "−1.2"),
        (9.43e-9, ".2e", "9.43×10⁻⁹"),
        (-7.19e-11, ".2e", "−7.19×10⁻¹¹"),
        (33e9, ".1e", "3.3×10¹⁰"),
        (1.0, ".0e", "1×10⁰"),
        (0.5, ".0%", "50%"),
    ],
)
def test_number_is_typographic(value, form, text):
    assert number(value, form) == formatted("r", value, form, "") == text


def test_unit_does_not_part_from_its_number():
    assert formatted("r", -6.2, ".1f", " %") == f"−6.2{SPACE}%"
    assert formatted("r", 1.5, ".1f", " nats per word") == f"1.5{SPACE}nats{SPACE}per{SPACE}word"


def test_word_stays_as_it_is():
    assert formatted("verdict", "does not raise - much", ".2f", " %") == "does not raise - much"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, np.float64("nan"), "", "  \n"])
def test_what_is_no_number_raises_and_names_the_key(value):
    with pytest.raises(ValueError, match="live number 'r' is "):
        Live("r", value)


@pytest.mark.parametrize(("low", "high"), [(math.nan, 1.0), (0.0, math.nan), (0.0, None), (-math.inf, 1.0)])
def test_interval_without_an_end_raises_and_names_the_key(low, high):
    with pytest.raises(ValueError, match="live number 'r"):
        Live("r", 0.5, low=low, high=high)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "p < 0.001"),
        (9.43e-9, "p < 0.001"),
        (0.000999, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0234, "p = 0.023"),
        (0.0499, "p = 0.050"),
        (0.0994, "p = 0.099"),
        (0.1, "p = 0.10"),
        (0.764, "p = 0.76"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_value(p, text):
    assert p_value(p) == text.replace(" ", SPACE)


@pytest.mark.parametrize(
    ("found", "text"),
    [((0.954,), "r = 0.95"), ((-0.001,), "r = 0.00"), ((0.38, -0.117, 0.73), "r = 0.38 [−0.12, 0.73]")],
)
def test_correlation(found, text):
    assert correlation(*found) == text


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.5])
def test_p_value_that_is_none(p):
    with pytest.raises(ValueError, match="a p value lies between 0 and 1, got"):
        p_value(p)


# --- keys -------------------------------------------------------------------------------------------------


def test_key_is_used_once(numbers, displayed):
    numbers.show(Live("r", 0.8))
    with pytest.raises(ValueError, match=r"live number 'r' is shown twice in published\.ipynb; give it another key"):
        numbers.show(Live("r", 0.9))
    assert numbers.shown == {"r": "0.80"} and len(displayed) == 1


@pytest.mark.parametrize(("first", "second"), [("r", "r.low"), ("r.high", "r")])
def test_key_is_not_that_of_an_interval(numbers, displayed, first, second):
    numbers.show(Live(first, 0.5, low=0, high=1))
    with pytest.raises(ValueError, match="is shown twice"):
        numbers.show(Live(second, 0.5, low=0, high=1))


def test_ends_of_an_interval_are_quotable():
    live = Live("r", -0.5, ".1f", " %", low=-1, high=0)
    assert live.texts() == {"r": f"−0.5{SPACE}%", "r.low": f"−1.0{SPACE}%", "r.high": f"0.0{SPACE}%"}
    assert live.estimate() == f"−0.5{SPACE}% [−1.0, 0.0]"
    assert Live("r", 1).interval() == ""


# --- what a page gets -------------------------------------------------------------------------------------


def test_a_record_is_a_number_again(numbers, displayed):
    live = Live("r", np.float64(0.5), "+.2f", low=np.float32(-0.5), high=1, n=np.int64(17), method="Pearson")
    numbers.show(live)
    ((_, record),) = displayed
    assert live_of(json.loads(json.dumps(record))) == replace(live, evidence="printed")
    assert record["cell"] == "published#number-r" and record["study"] == "printed"


def test_numbers_of_a_build_are_collected_by_notebook_and_key(numbers, displayed, tmp_path):
    numbers.show(Live("r", 0.5, low=0, high=1))
    numbers.show(Live("verdict", "raises", evidence="people"))
    outputs = [{"metadata": {RECORD: record}} for _, record in displayed]
    cells = [{"cell_type": "code", "outputs": [*outputs, {"metadata": {}}]}, {"cell_type": "markdown"}]
    (tmp_path / "published.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    build = collected(tmp_path)
    assert list(build) == ["published:r", "published:verdict"]
    assert (build["published:r"]["low"], build["published:verdict"]["value"]) == (0, "raises")
    assert build["published:verdict"]["evidence"] == "people"


def test_a_link_leads_to_the_cell_that_made_the_number(numbers, displayed):
    numbers.show(Live("r", 0.5, method="a < b"))
    ((cell, record),) = displayed
    ((tag, attributes),) = Tags(link(record, "0.50 & more")).tags
    assert (tag, attributes["href"]) == ("a", "live:published#number-r")
    assert Tags(link(record, "0.50 & more")).text == "0.50 & more" and "a < b" in attributes["title"]
    box = Tags(cell)  # which carries that anchor
    assert box.tags[0][1]["id"] == "number-r" and "0.50" in box.text


def test_title_says_what_a_number_rests_on(numbers, displayed):
    numbers.show(Live("r", 0.5, "+.2f", low=-0.1, high=1.1, n=17, method="Pearson"))
    numbers.show(Live("n", 0.5, n=0))
    titles = [title_of(record) for _, record in displayed]
    assert titles[0] == "the paper's printed tables; study printed; n = 17; 95 % interval −0.10 to +1.10; Pearson"
    assert titles[1].endswith("; n = 0")


def test_a_number_that_the_book_has_otherwise_says_so(displayed):
    numbers = Numbers("published", "printed", "printed", {"n": "3", "same": "1"})
    numbers.show(Live("n", 4, "d"))
    numbers.show(Live("same", 1, "d"))
    assert ["The book has 3." in cell for cell, _ in displayed] == [True, False]


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_evidence_marks_the_link(numbers, displayed, evidence):
    numbers.show(Live("r", 0.5, evidence=evidence))
    ((_, record),) = displayed
    assert Tags(link(record, "0.50")).tags[0][1]["class"].split() == ["live", evidence]
    assert title_of(record).startswith(EVIDENCE[evidence])


def test_html_is_escaped(numbers, displayed):
    nasty = "a < b & \"c\" > 'd'</a><script>"
    numbers.show(Live("r", nasty, method=nasty))
    ((_, record),) = displayed
    parsed = Tags(link(record, nasty))
    assert [tag for tag, _ in parsed.tags] == ["a"]
    assert parsed.tags[0][1]["title"].endswith(nasty) and parsed.text == nasty


@pytest.mark.parametrize(("key", "name"), [("r.mmlu", "number-r-mmlu"), ("change 4.1", "number-change-4-1")])
def test_anchor_is_an_id(key, name):
    assert anchor(key) == name
