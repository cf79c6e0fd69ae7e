"""What shuffled folds reward: planted scores of a few participants, on two data sets."""

import pytest
from brain_scores import planted

from brainalign.paper.sections import folds

MODELS = {
    "base": ("vanilla", None, None),
    "base-untrained-0": ("untrained", None, "base"),
    **dict.fromkeys("bcde", ("vanilla", None, None)),
    "oasm": ("control", None, None),
}
LENIENT = {"base": [0.2, 0.3, 0.4], "base-untrained-0": [0.1, 0.1, 0.2], "oasm": [0.5, 0.5, 0.6]}
STRICT = {"base": [0.1, 0.1, 0.2], "base-untrained-0": [0.0, 0.1, 0.0], "oasm": [0.0, 0.0, 0.0]}
ALONE = {name: values[:1] for name, values in LENIENT.items()}


def scores(lenient=LENIENT, strict=STRICT):
    brain = planted(
        {"aw2024": {"few": ALONE, "many": lenient}, "contiguous": {"few": ALONE, "many": strict}}, models=MODELS
    )
    brain.measured.loc[brain.measured.model == "oasm", "origin"] = "control"
    return brain


def test_the_data_set_with_the_most_participants_is_shown():
    brain = scores()
    assert folds.dataset(brain) == "many"
    table = folds.table(brain)
    assert (table.n == 3).all() and table.name.drop_duplicates().tolist() == ["oasm", "twins", "base"]
    means = table.set_index(["name", "end"]).estimate
    assert means["oasm", "lenient"] == pytest.approx(1.6 / 3) and means["oasm", "strict"] == 0
    assert means["base", "lenient"] == pytest.approx(0.3) and means["base", "strict"] == pytest.approx(0.4 / 3)
    assert table.set_index("name").family.to_dict() == {"oasm": "", "twins": "", "base": "T5"}


@pytest.mark.parametrize(("oasm", "verdict"), [([0.5, 0.5, 0.6], "outscores"), ([0.1, 0.1, 0.1], "does not outscore")])
def test_whether_adjacency_outscores_the_best_model(oasm, verdict):
    finding = folds.finding(folds.table(scores(LENIENT | {"oasm": oasm})))
    values = {live.key: live.value for live in finding.numbers}
    assert values["folds.verdict"] == verdict and f"Adjacency alone {verdict} base: " in finding.title
    assert values["folds.model"] == "base" and values["folds.people"] == 3
    assert values["folds.lenient.model"] == pytest.approx(0.3)


def test_of_many_models_the_mean_and_the_best_are_shown():
    more = {name: [0.1 * place, 0.1, 0.1] for place, name in enumerate("bcde")}
    table = folds.table(scores(LENIENT | more, STRICT | more))
    assert table.name.drop_duplicates().tolist() == ["oasm", "twins", "ours", "base"]
    values = {live.key for live in folds.finding(table).numbers}
    assert {"folds.lenient.ours", "folds.strict.model"} <= values


def test_one_protocol_has_one_end():
    brain = planted({"contiguous": {"many": {"base": STRICT["base"]}}}, models=MODELS)
    table = folds.table(brain)
    assert table.end.tolist() == ["strict"]
    assert folds.finding(table).title == "base scores 0.13 contiguous"


def test_a_mean_of_people_counts_by_itself():
    values = {live.key: live.value for live in folds.numbers_of_single(scores())}
    assert values == {"few.oasm": 0.5, "few.twins": 0.1, "few.best": 0.2, "few.best.model": "base"}


def test_a_data_set_that_one_protocol_does_not_suit_is_not_shown():
    brain = planted({"aw2024": {"few": ALONE, "many": LENIENT}, "contiguous": {"few": ALONE}}, models=MODELS)
    assert folds.dataset(brain) == "few"
    assert set(folds.table(brain).protocol) == {"aw2024", "contiguous"}


def test_a_study_of_one_mean_has_its_numbers():
    brain = planted({"contiguous": {"few": {"base": ALONE["base"]}}}, models=MODELS)
    assert {live.key for live in folds.numbers_of_single(brain)} >= {"few.best", "few.best.model"}
    assert folds.finding(folds.table(brain)).title == "base scores 0.20 contiguous"
