"""Precision decides a score, or does not: planted spreads, and the random numbers themselves."""

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.sections import precision


@pytest.mark.parametrize(("spread", "word"), [(1e-3, "depends"), (1e-9, "does not depend")])
def test_a_score_depends_if_it_varies_far_more_than_in_double_precision(spread, word):
    rows = [
        {"order": order, "precision": label, "r": 0.2 + order * step}
        for label, step in (("single", spread), ("double", 1e-10))
        for order in (0, 1)
    ]
    scores = pd.DataFrame(rows)
    finding = precision.finding(scores, ours=0.25)
    values = {live.key: live.value for live in finding.numbers}
    assert values["verdict"] == word and word in finding.title
    assert values["single.spread"] == pytest.approx(spread)
    assert values["ours.difference"] == pytest.approx(0.05)
    assert precision.differences(scores).off.abs().max() == pytest.approx(max(spread, 1e-10))


def test_our_score_is_that_of_double_precision():
    rng = np.random.default_rng(0)
    features, responses = precision.random_numbers(rng)
    assert features.dtype == responses.dtype == np.float32
    scores = precision.scores(features, responses, orders=2, rng=rng)
    first = scores[scores.precision == "double"].r.iloc[0]
    assert precision.our_score(features, responses) == pytest.approx(first, abs=1e-6)
    assert precision.finding(scores, first).numbers[-1].value == "depends"
