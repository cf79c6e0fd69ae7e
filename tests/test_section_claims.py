"""The claims page: verdicts are counted, and the summary says what printed tables and the study make of a claim."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper import claims as claims_module
from brainalign.paper.sections import claims


@pytest.fixture
def checked(monkeypatch):
    """The four claims of the summary, of which the study has tested the first."""
    table = pd.DataFrame(
        {
            "id": claims.SUMMARY,
            "printed": "6.2 %",
            "source": "abstract",
            "value": [6.19, 0.5, True, None],
            "low": [6.0, 0.5, np.nan, np.nan],
            "high": [6.5, 0.5, np.nan, np.nan],
            "verdict": ["matches", "differs", "matches", "not testable"],
            "why": "because",
            "study_verdict": ["supported", "not run", "not run", "not run"],
            "study_value": ["+5 %", "", "", ""],
            "study_why": "measured, or not",
        }
    )
    monkeypatch.setattr(claims_module, "check_all", lambda results: table)
    return claims.checked(pd.DataFrame())


def test_values_are_written_and_have_a_range_if_rounding_leaves_one_open(checked):
    assert checked.recomputed.tolist() == ["6.19", "0.5", "holds", "–"]
    assert checked.range.tolist() == ["6 to 6.5", "", "", ""]


def test_every_verdict_is_counted(checked):
    numbers = {live.key: live for live in claims.numbers_of_verdicts(checked, "people")}
    counts = {key: live.value for key, live in numbers.items()}
    assert counts == {
        "claims.n": 4,
        "claims.matches": 2,
        "claims.differs": 1,
        "claims.not-testable": 1,
        "claims.study.supported": 1,
        "claims.study.contradicted": 0,
        "claims.study.inconclusive": 0,
        "claims.study.not-run": 3,
    }
    assert (numbers["claims.matches"].evidence, numbers["claims.study.not-run"].evidence) == (None, "people")


def test_the_summary_has_what_the_study_says_if_it_says_anything(checked):
    values = {live.key: live.value for live in claims.numbers_of_summary(checked, "people")}
    first, second = claims.SUMMARY[:2]
    assert values[f"{first}.study"] == "+5 %, supported"
    assert values[f"{second}.study"] == values[f"{second}.study.verdict"] == "not run"
    assert values[f"{second}.verdict"] == "differs"
