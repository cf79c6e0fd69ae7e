"""A real language model on real people, in the sample's book: its scores keep to ranges around what they were.

Ranges, not values: a processor's own rounding moves what follows from hundreds of millions of products.
"""

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

MODEL = "smollm2-135m-instruct-q4_1"
TWIN, STORIES = f"{MODEL}-untrained-0", "stories260K"
WIDTH, LAYERS, VOLUMES = 576, 31, 362
MIDDLE = range(LAYERS // 4, LAYERS * 3 // 4 + 1)  # the middle half of its layers


@pytest.fixture(scope="module")
def built(library):
    return library("sample")


def results(built, model, analysis):
    folder = built.project.root / ".store" / "results" / "sample" / model
    return pd.read_parquet(folder / f"{analysis}.parquet")


def pooled(built, model, protocol, dataset="brennan2016", layer=None):
    """Score over everybody's units, at a layer, by default the one that the protocol chooses."""
    rows = results(built, model, "brain")
    rows = rows[
        (rows.protocol == protocol) & (rows.dataset == dataset) & (rows.split == "all") & (rows.region == "all")
    ]
    rows = rows[rows.chosen] if layer is None else rows[rows.layer == str(layer)]
    return rows[rows.participant == "pooled"].r.item()


def correlation(built, model, dataset, alignment="original"):
    rows = results(built, model, "behavior")
    rows = rows[(rows.measure == "r") & (rows.story == "all") & (rows.alignment == alignment)]
    return rows[rows.dataset == dataset].value.item()


def test_the_model_has_a_page(built):
    assert {"book/controls.html", "executed/controls.html", f"models/model-{MODEL}.html"} <= set(built.pages)


def test_shapes_are_those_of_the_model_and_of_the_recording(built):
    (model,) = results(built, MODEL, "model").itertuples()
    assert (model.width, model.n_layers + 1, model.n_parameters) == (WIDTH, LAYERS, 134_515_008)
    widths = results(built, MODEL, "one-width").width
    assert (widths == results(built, TWIN, "one-width").width.iloc[0]).all() and widths.max() < VOLUMES < WIDTH


def test_the_trained_model_predicts_brains_beyond_its_untrained_twin(built):
    for protocol, (low, high) in {"aw2024": (0.25, 0.33), "contiguous": (0.06, 0.12)}.items():
        assert low < pooled(built, MODEL, protocol) < high
        assert pooled(built, TWIN, protocol) < pooled(built, MODEL, protocol) / 2
    sentences = {
        model: pooled(built, model, "contiguous", "tuckute2024") for model in (MODEL, TWIN, "length", "random")
    }
    assert 0.28 < sentences[MODEL] < 0.38 and sentences[TWIN] < sentences[MODEL]
    assert 0.19 < sentences["length"] < 0.25 and sentences["random"] < 0.12


def test_sentences_are_predicted_best_from_the_middle_layers(built):
    by_layer = [pooled(built, MODEL, "contiguous", "tuckute2024", layer) for layer in range(LAYERS)]
    assert by_layer.index(max(by_layer)) in MIDDLE


def test_adjacency_alone_outscores_it_where_folds_are_shuffled(built):
    assert pooled(built, "oasm", "aw2024") > 0.4 > pooled(built, MODEL, "aw2024")
    assert abs(pooled(built, "oasm", "contiguous")) < 0.01 < pooled(built, MODEL, "contiguous")


def test_surprisal_correlates_with_reading_times(built):
    assert 0.28 < correlation(built, MODEL, "natural_stories") < 0.35
    assert correlation(built, MODEL, "natural_stories.maze") > 0.5
    assert correlation(built, TWIN, "natural_stories.maze") < 0.3
    words, of_twin = (results(built, model, "words").query("dataset == 'natural_stories'") for model in (MODEL, TWIN))
    assert 4 < words.surprisal.mean() < 7 < 15 < of_twin.surprisal.mean()  # bits
    # GPT-3's, as the corpus publishes it.
    assert words.surprisal.corr(words.yardstick) > 0.7 > of_twin.surprisal.corr(of_twin.yardstick) + 0.3


def test_the_tiny_model_scores_as_before(built):
    assert 0.05 < pooled(built, STORIES, "contiguous") < 0.10
    assert 0.02 < pooled(built, STORIES, "aw2024") < 0.08
