"""The section on controls: planted scores of a few participants, whose differences and verdicts are plain to see."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.sections import choices, controls
from brainalign.paper.sections.scores import FEW, numbers_of_members, read

LENIENT, STRICT = "aw2024", "contiguous"
STUDY = SimpleNamespace(name="planted", protocols=[STRICT, LENIENT])
ABOUT = ["kind", "vanilla", "twin_of", "origin"]
# Mean scores under both protocols; participants differ by what cancels in differences, and by their own noise.
MEMBERS = {
    "base": (0.30, 0.20, "vanilla", None, None, "model"),
    "tuned": (0.36, 0.20, "instruction-tuned", "base", None, "model"),
    "twin": (0.25, 0.05, "untrained", None, "base", "model"),
    "oasm": (0.50, 0.00, "control", None, None, "control"),
    "length": (0.10, 0.19, "control", None, None, "control"),
}
PARTICIPANTS = {"p1": 0.03, "p2": -0.01, "p3": -0.01, "p4": -0.01}
NOISE = {"length": [0.1, -0.1, 0.1, -0.1], "tuned": [0.02, -0.02, 0.01, -0.01]}
STATIC, BEST = -0.04, 0.02  # of the first layer, and of the best one, beside the chosen


def rows(name, members=MEMBERS, dataset="world"):
    """Results of a model: three layers, the second chosen, all participants and what is pooled over them."""
    *means, kind, vanilla, twin_of, origin = members[name]
    about = {"model": name, "dataset": dataset, "family": "T5", "parameters": 1e6, "region": "all", "split": "all"}
    about |= {"kind": kind, "vanilla": vanilla, "twin_of": twin_of, "origin": origin}
    values = np.array([*PARTICIPANTS.values()]) + NOISE.get(name, np.zeros(4))
    return [
        about
        | {"protocol": protocol, "layer": layer, "participant": who, "r": mean + beside + own, "chosen": not beside}
        for protocol, mean in zip((LENIENT, STRICT), means, strict=True)
        for layer, beside in {"0": STATIC, "1": 0.0, "2": BEST}.items()
        for who, own in {**dict(zip(PARTICIPANTS, values, strict=True)), "pooled": 0.0}.items()
    ]


@pytest.fixture
def measured(monkeypatch):
    """Results by analysis, which a test may change before the section reads them."""
    tables = {"brain": pd.DataFrame([row for name in MEMBERS for row in rows(name)])}
    monkeypatch.setattr("brainalign.study.results", lambda study, analysis: tables[analysis])
    return tables


@pytest.fixture
def scores(measured):
    return read(STUDY)


def texts(numbers):
    return {key: text for live in numbers for key, text in live.texts().items()}


# --- who was scored ---------------------------------------------------------------------------------------


def test_models_twins_and_controls_are_kept_apart(scores):
    assert (scores.trained, scores.untrained, scores.controls) == (["base", "tuned"], ["twin"], ["oasm", "length"])
    assert list(scores.pairs.index) == ["tuned"]
    assert (scores.lenient, scores.strict) == (LENIENT, STRICT)
    numbers = texts(numbers_of_members(scores))
    assert (numbers["models.n"], numbers["people.n"], numbers["pairs.n"]) == ("2 trained language models", "4", "1")


def test_means_of_models_stand_beside_each_participants_scores(scores):
    table = scores.under(STRICT)
    np.testing.assert_allclose(table.ours, (table.base + table.tuned) / 2)
    np.testing.assert_allclose(table.static, table.ours + STATIC)
    np.testing.assert_allclose(table.twins, table.twin)


def test_of_many_models_the_mean_is_compared(measured):
    many = {f"model-{k}": (0.1, 0.1, "vanilla", None, None, "model") for k in range(FEW + 1)}
    measured["brain"] = pd.DataFrame([row for name in many for row in rows(name, many)])
    assert list(read(STUDY).members) == ["ours", "static"]


# --- controls ---------------------------------------------------------------------------------------------


def test_what_needs_neighbors_falls_most(scores):
    means = controls.means(scores)
    assert means.set_index("name").loc["oasm", [LENIENT, STRICT]].tolist() == pytest.approx([0.5, 0])
    assert controls.finding_of_means(means, scores).title == "OASM scores 0.50 under aw2024 and 0.00 under contiguous"
    numbers = texts(controls.finding_of_means(means, scores).numbers)
    assert numbers["score.aw2024.twins"] == "0.25"
    assert "score.aw2024.random" not in numbers and "score.aw2024.base" not in numbers


def test_one_protocol_is_named_once(measured):
    scores = read(STUDY, LENIENT)
    assert controls.finding_of_means(controls.means(scores), scores).title.endswith("under aw2024")
    assert set(controls.left(scores).protocol) == {LENIENT}


def test_without_a_null_recording_nothing_is_said_of_it(scores):
    assert controls.without_signal(scores) == {}


def test_scores_without_a_signal_are_held_against_zero(measured):
    null = pd.DataFrame([row for name in MEMBERS for row in rows(name, dataset="world.null")])
    measured["brain"] = pd.concat([measured["brain"], null], ignore_index=True)
    table = controls.without_signal(read(STUDY))["null"]
    numbers = texts(controls.numbers_of_null(table))
    # Under aw2024 the noise of `length` is too large for an interval that holds for five at once.
    assert (numbers["null.aw2024.above"], numbers["null.aw2024.zero"]) == ("4 of 5", "1 of 5")
    assert (numbers["null.contiguous.above"], numbers["null.aw2024.most"]) == ("2 of 5", "0.500")
    assert controls.title_of_null(table).startswith(
        "Without a text-driven signal, 4 of 5 score above zero under aw2024"
    )


def test_models_are_held_against_controls_inside_participants(scores):
    left = controls.left(scores)
    strict = left[left.protocol == STRICT]
    assert strict.verdict.to_dict() == {
        "oasm": "above",
        "length": "not told apart from",
        "static": "above",
        "twins": "above",
    }
    lenient = left[left.protocol == LENIENT]
    assert lenient.verdict["oasm"] == "below"
    # Only one of two models has a twin, and is what that one is held against.
    assert lenient.estimate["twins"] == pytest.approx(0.30 - 0.25)
    assert controls.title_of_left(strict) == "The models beat 3 of 4 controls under contiguous"


def test_differences_and_their_verdicts_can_be_quoted(scores):
    numbers = texts(controls.numbers_of_left(controls.left(scores)))
    assert (numbers["left.aw2024.oasm"], numbers["left.aw2024.oasm.verdict"]) == ("−0.170", "below")
    assert numbers["left.contiguous.n"] == "3 of 4"
    assert "left.contiguous.random" not in numbers


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (["above", "above"], "beat all controls"),
        (["below", "not told apart from"], "beat none of the controls"),
        (["above", "below"], "beat OASM, and do not beat position"),
    ],
)
def test_controls_are_beaten_in_words(verdicts, words):
    assert controls.beaten_and_not(pd.DataFrame({"label": ["OASM", "position"], "verdict": verdicts})) == words


@pytest.mark.parametrize(
    ("least", "verdict", "n"),
    [(0.1, "adds to", "2 of 2"), (-0.03, "does not reliably add to", "0 of 2"), (-0.2, "takes from", "0 of 2")],
)
def test_the_best_model_adds_to_length_and_position_or_not(measured, scores, least, verdict, n):
    gains = {"base": 0.0, "tuned": 0.01, "twin": 1.0}  # an untrained twin is never the best model
    measured["unique"] = pd.DataFrame(
        {"model": name, "dataset": "world", "participant": who, "unique": gain + beside, "nuisance": 0.5}
        for name, gain in gains.items()
        for who, beside in enumerate((least, least + 0.01, least + 0.06))
    )
    unique = controls.unique(scores)
    beyond = controls.beyond(scores, unique)
    numbers = texts(controls.finding_of_beyond(beyond, unique).numbers)
    assert (numbers["unique.most.model"], numbers["unique.verdict"]) == ("tuned", verdict)
    assert (numbers["unique.n"], numbers["unique.nuisance"]) == (n, "+0.5000")
    assert controls.finding_of_beyond(beyond, unique).title == f"tuned {verdict} what length and position explain"


# --- choices of the analysis ------------------------------------------------------------------------------


@pytest.fixture
def narrow(measured, scores):
    """Half the scores, at one width."""
    table = measured["brain"].query("chosen")
    measured["one-width"] = table.assign(r=table.r / 2, width=32)
    return choices.narrow(scores)


def test_the_score_that_one_width_moves_most_is_named(scores, narrow):
    both = choices.both_widths(scores, narrow)
    assert both.r_narrow.tolist() == pytest.approx((both.r_full / 2).tolist())
    assert list(dict.fromkeys(both.protocol)) == [LENIENT, STRICT]
    numbers = texts(choices.finding_of_widths(both, scores, narrow).numbers)
    assert (numbers["width.most"], numbers["width.most.model"]) == ("−0.250", "oasm, aw2024")
    assert (numbers["width"], numbers["width.models"]) == ("32", "0.180")
    assert (
        choices.finding_of_widths(both, scores, narrow).title
        == "At width 32, oasm changes most: 0.50 to 0.25 under aw2024"
    )


def test_several_widths_are_a_range():
    assert choices.width(pd.DataFrame({"width": [32, 24, 28]})) == "24 to 32"


def test_the_best_layer_on_the_test_set_is_above_the_chosen_one(scores):
    gain = choices.best_layer(scores)["best-layer"]
    assert choices.by_model(gain).set_index("label").estimate.to_dict() == pytest.approx(
        dict.fromkeys(["base", "tuned", "twin"], BEST)
    )
    numbers = texts(choices.finding_of_best_layer(gain).numbers)
    assert (numbers["best-layer"], numbers["best-layer.verdict"]) == ("+0.020", "raises")
    assert choices.finding_of_best_layer(-gain).title == "Choosing the layer on the test set lowers the score"


def test_the_best_layer_needs_a_protocol_that_chooses_one(measured):
    assert choices.best_layer(read(STUDY, LENIENT)) == {}


def test_tuning_is_compared_under_both_protocols_and_at_one_width(scores, narrow):
    table = choices.tuning(scores, narrow)["headline"]
    assert table.set_index("label").estimate.to_dict() == pytest.approx(
        {"aw2024": 0.06, "aw2024, width 32": 0.03, "contiguous": 0, "contiguous, width 32": 0}, abs=1e-12
    )
    numbers = texts(choices.finding_of_tuning(table).numbers)
    assert numbers["tuning.lenient.verdict"] == "raises"
    assert numbers["tuning.strict.verdict"] == "does not reliably change"
    assert choices.finding_of_tuning(table).title == (
        "Tuning raises the score under aw2024 and does not reliably change it under contiguous, width 32"
    )


def test_without_a_tuned_model_nothing_is_said_of_tuning(measured):
    measured["brain"] = measured["brain"].query("model != 'tuned'")
    measured["one-width"] = measured["brain"].query("chosen").assign(width=32)
    scores = read(STUDY)
    assert choices.tuning(scores, choices.narrow(scores)) == {}
