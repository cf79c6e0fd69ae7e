"""Section 4.1 on a study's scores: rankings, training, layers and their words, on planted scores."""

import numpy as np
import pytest
from brain_scores import planted

from brainalign.paper.sections import brain_alignment as section

LENIENT = {"base": [0.30, 0.32, 0.31], "tuned": [0.20, 0.22, 0.21], "base-untrained-0": [0.40, 0.42, 0.44]}
STRICT = {"base": [0.20, 0.22, 0.24], "tuned": [-0.1, 0.1, 0.03], "base-untrained-0": [0.10, 0.11, 0.15]}


@pytest.fixture
def brain():
    return planted({"aw2024": {"blank2014": LENIENT}, "contiguous": {"blank2014": STRICT}})


def texts(numbers):
    return {key: text for live in numbers for key, text in live.texts().items()}


def test_the_best_trained_model_is_quoted_though_a_twin_scores_higher(brain):
    quoted = texts(section.finding_of_ranking(brain, section.ranking(brain)).numbers)
    assert quoted["score.aw2024.model"] == quoted["score.contiguous.model"] == "base"
    assert (quoted["score.aw2024"], quoted["score.contiguous.pooled"]) == ("0.310", "0.220")
    assert quoted["score.contiguous.share"] == "44\u00a0%"
    assert (quoted["score.aw2024.clear"], quoted["score.contiguous.clear"]) == ("2 of 2", "1 of 2")


def test_a_ranking_begins_with_the_most_lenient_protocol_and_the_best_model(brain):
    ranking = section.ranking(brain)
    assert list(ranking.protocol.unique()) == ["aw2024", "contiguous"]
    assert list(ranking.model[:3]) == ["base-untrained-0", "base", "tuned"]
    assert section.finding_of_ranking(brain, ranking).title == "base scores 0.220 under contiguous, 44 % of the ceiling"


def test_without_a_ceiling_there_is_no_share_of_it():
    brain = planted({"contiguous": {"blank2014": STRICT}}, ceiling=np.nan)
    ranking = section.ranking(brain)
    assert section.ceilings(brain) == {} and section.numbers_of_ceilings(brain) == []
    assert "score.contiguous.share" not in texts(section.finding_of_ranking(brain, ranking).numbers)
    assert section.finding_of_ranking(brain, ranking).title == "base scores 0.220 under contiguous"


def test_protocols_disagree_on_the_best_model(brain):
    ranking = section.ranking(brain)
    quoted = texts(section.finding_of_leaders(ranking).numbers)
    assert (quoted["leader.aw2024"], quoted["leader.contiguous"]) == ("base-untrained-0", "base")
    assert quoted["leaders.verdict"] == "disagree"
    assert section.finding_of_leaders(ranking).title == "Best under aw2024: base-untrained-0; under contiguous: base"


def test_protocols_agree_on_the_best_model():
    ranking = section.ranking(planted({"aw2024": {"blank2014": STRICT}, "contiguous": {"blank2014": STRICT}}))
    assert texts(section.finding_of_leaders(ranking).numbers)["leaders.verdict"] == "agree"
    assert section.finding_of_leaders(ranking).title == "base is best under aw2024 and contiguous"


def test_two_protocols_stand_side_by_side_ordered_by_the_strictest(brain):
    table = section.side_by_side(brain, section.ranking(brain), "r_normalized")
    assert list(table.label) == ["base", "base-untrained-0", "tuned"]
    assert table.contiguous[0] == pytest.approx(0.44) and table.aw2024[0] == pytest.approx(0.62)


def test_training_is_compared_with_twins_inside_participants(brain):
    table = section.training(brain)["training"]
    assert list(table.label) == ["base", "base"]  # the tuned model has no twin
    assert list(table.estimate) == pytest.approx([-0.11, 0.10])
    quoted = texts(section.finding_of_training(brain).numbers)
    assert (quoted["training.aw2024.verdict"], quoted["training.contiguous.verdict"]) == ("lowers", "raises")
    assert quoted["training.contiguous"] == "+0.100"
    assert section.finding_of_training(brain).title == "Training lowers it under aw2024; raises it under contiguous"


def test_one_verdict_for_all_protocols_is_said_once():
    brain = planted({"aw2024": {"blank2014": STRICT}, "contiguous": {"blank2014": STRICT}})
    assert section.finding_of_training(brain).title == "Training raises the score under each protocol"


def test_without_twins_training_has_no_figure_and_no_numbers():
    brain = planted({"contiguous": {"blank2014": {"base": STRICT["base"]}}})
    assert section.training(brain) == {} and section.finding_of_training(brain).numbers == []


def test_layers_have_a_depth_and_the_best_model_its_best_one(brain):
    ranking, layers = section.ranking(brain), section.layers(brain)
    base = layers[(layers.model == "base") & (layers.protocol == "contiguous")]
    assert list(base.depth) == [0, 1] and list(base.r) == pytest.approx([0.11, 0.22])
    assert texts(section.finding_of_layers(layers, ranking).numbers) == {
        "layers.aw2024.best": "1",
        "layers.contiguous.best": "1",
    }
    assert section.finding_of_layers(layers, ranking).title == "Under contiguous, base is best at its last layer"
    layers["r"] = 1 - layers.depth
    assert section.finding_of_layers(layers, ranking).title == "Under contiguous, base is best at its embeddings"


def test_layers_are_averaged_over_the_data_sets_that_count():
    half = {model: [value / 2 for value in values] for model, values in STRICT.items()}
    datasets = {"blank2014": STRICT, "brennan2016": half, "microworld.null": LENIENT}
    layers = section.layers(planted({"contiguous": datasets}))
    assert layers.query("model == 'base' and layer == '1'").r.item() == pytest.approx((0.22 + 0.11) / 2)


@pytest.mark.parametrize(
    ("source", "name"),
    [("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"), ("/data/models/mine.gguf", "mine.gguf"), ("gpt2", "gpt2")],
)
def test_weights_are_named_without_the_folders_of_a_machine(source, name):
    assert section._origin(source) == name
