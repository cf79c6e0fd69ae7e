"""A number in prose is right, typographic and traceable, or it is an error."""

import math
from html.parser import HTMLParser

import numpy as np
import pytest
from IPython.core.formatters import format_display_data

from brainalign.paper import numbers
from brainalign.paper.numbers import LiveNumber, Numbers, correlation, formatted, number, p_value

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
def glued(monkeypatch):
    """What was glued, by key, and what the notebook displayed."""
    live, displayed = {}, []
    monkeypatch.setattr("myst_nb.glue", lambda key, value, display: live.update({key: (value, display)}))
    monkeypatch.setattr("IPython.display.display", displayed.append)
    return live, displayed


@pytest.fixture
def shown(glued):
    """Function that shows a number under the key `r`, and gives what a page would quote."""

    def show(*arguments, **options):
        Numbers("published", "printed", "printed").show("r", *arguments, **options)
        return glued[0]["r"][0]

    return show


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
def test_what_is_no_number_raises_and_names_the_key(shown, glued, value):
    with pytest.raises(ValueError, match="live number 'r' is "):
        shown(value)
    assert glued == ({}, [])


@pytest.mark.parametrize(("low", "high"), [(math.nan, 1.0), (0.0, math.nan), (0.0, None), (-math.inf, 1.0)])
def test_interval_without_an_end_raises_and_names_the_key(shown, glued, low, high):
    with pytest.raises(ValueError, match="live number 'r'"):
        shown(0.5, low=low, high=high)
    assert glued == ({}, [])


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


def test_key_is_used_once(glued):
    live = Numbers("published", "printed", "printed")
    live.show("r", 0.8)
    with pytest.raises(ValueError, match=r"live number 'r' is shown twice in published\.ipynb; give it another key"):
        live.show("r", 0.9)
    assert live.shown == {"r": "0.80"}


@pytest.mark.parametrize(("first", "second"), [("r", "r.low"), ("r.high", "r")])
def test_key_is_not_that_of_an_interval(glued, first, second):
    live = Numbers("published", "printed", "printed")
    live.show(first, 0.5, low=0, high=1)
    with pytest.raises(ValueError, match="is shown twice"):
        live.show(second, 0.5, low=0, high=1)


def test_ends_of_an_interval_are_quotable(glued):
    live = Numbers("published", "printed", "printed")
    live.show("r", -0.5, ".1f", " %", low=-1, high=0)
    assert live.shown == {"r": f"−0.5{SPACE}%", "r.low": f"−1.0{SPACE}%", "r.high": f"0.0{SPACE}%"}
    assert set(glued[0]) == {"r", "r.low", "r.high"}
    assert {value.target for value, _ in glued[0].values()} == {"published#number-r"}
    assert live.quote("r.high") == "{glue:}`/executed/published.ipynb::r.high`"


def test_quote_is_a_glue_role_of_what_was_shown(glued):
    live = Numbers("published", "printed", "printed")
    with pytest.raises(LookupError, match=r"published\.ipynb quotes 'r\.mmlu' before it shows it"):
        live.quote("r.mmlu")
    live.show("r.mmlu", 0.8)
    assert live.quote("r.mmlu") == "{glue:}`/executed/published.ipynb::r.mmlu`"


def test_failed_number_is_not_quoted(shown, glued):
    live = Numbers("published", "printed", "printed")
    with pytest.raises(ValueError):
        live.show("r", math.nan)
    with pytest.raises(LookupError):
        live.quote("r")


# --- what a page gets -------------------------------------------------------------------------------------


def test_plain_text_and_latex_are_the_bare_number(shown):
    bundle, _ = format_display_data(shown(-0.5, ".2f", " %", low=-1, high=0, n=17))
    assert bundle["text/plain"] == bundle["text/latex"] == f"−0.50{SPACE}%"


def test_html_links_to_the_cell_that_made_it(shown, glued):
    live = shown(0.5)
    ((tag, attributes),) = Tags(live._repr_html_()).tags
    assert tag == "a"
    assert attributes["href"] == "live:published#number-r"
    assert glued[0]["r"] == (live, False)
    # The cell's own output carries that anchor.
    (displayed,) = glued[1]
    box = Tags(displayed.data)
    assert box.tags[0][1]["id"] == "number-r"
    assert "0.50" in box.text


def test_title_says_what_a_number_rests_on(shown):
    live = shown(0.5, "+.2f", low=-0.1, high=1.1, n=17, method="Pearson")
    assert live.title == ("the paper's printed tables; study printed; n = 17; 95 % interval −0.10 to +1.10; Pearson")
    assert shown(0.5, n=0).title.endswith("; n = 0")


@pytest.mark.parametrize("evidence", numbers.EVIDENCE)
def test_evidence_marks_the_link(shown, evidence):
    live = shown(0.5, evidence=evidence)
    assert Tags(live._repr_html_()).tags[0][1]["class"].split() == ["live", evidence]
    assert live.title.startswith(numbers.EVIDENCE[evidence])


def test_html_is_escaped(shown):
    nasty = "a < b & \"c\" > 'd'</a><script>"
    parsed = Tags(shown(nasty, method=nasty)._repr_html_())
    assert [tag for tag, _ in parsed.tags] == ["a"]
    assert parsed.tags[0][1]["title"].endswith(nasty)
    assert parsed.text == nasty


def test_live_number_shows_as_its_text():
    live = LiveNumber("0.81", "published#number-r", "", "printed")
    assert repr(live) == f"{live}" == "0.81"


@pytest.mark.parametrize(("key", "anchor"), [("r.mmlu", "number-r-mmlu"), ("change 4.1", "number-change-4-1")])
def test_anchor_is_an_id(key, anchor):
    assert numbers.anchor(key) == anchor
