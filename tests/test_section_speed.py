"""What the benchmarks wrote becomes tables, bars, numbers and words, and nothing that is missing is made up."""

import json

import pytest

from brainalign.paper import figures
from brainalign.paper.sections import speed as section

MACHINE = {"processor": "a chip", "cores": 2, "python": "3.11", "numpy": "2.4"}
OURS = {
    "least squares": {"seconds": 0.5, "peak_gib": 0.3, "share_of_product_rate": 0.5},
    "ridge": {"seconds": 0.25, "peak_gib": 0.4},
}
ENCODING = {
    "machine": MACHINE,
    "cases": {
        "pereira 384": {
            "shape": {"n_features": 4096, "n_stimuli": 384, "n_units": 12155},
            "solvers": OURS
            | {
                "LinearRegression": {"seconds": 200.0, "peak_gib": 2.0, "times_slower": 400.0},
                "RidgeCV": {"seconds": 50.0, "peak_gib": 2.0, "times_slower": 200.0, "largest_difference": 1e-7},
                "himalaya numpy": {"seconds": 5.0, "peak_gib": 1.0, "times_slower": 20.0},
                "himalaya torch": {"seconds": 2.0, "peak_gib": 1.0, "times_slower": 8.0},
            },
        },
        "pereira 384, 33 layers": {"solvers": OURS},
        "pereira 243, 33 layers": {"solvers": OURS},
    },
}


def text(bare: float) -> dict:
    """A text, read in one second where a bare pass takes that share."""
    return {
        "parts": 150,
        "tokens": 1200,
        "activations_seconds": [1.0],
        "bare_seconds": [1 / bare],
        "loop_seconds": 80.0,
        "times_faster_than_loop": 80.0,
        "times_bare_pass": bare,
        "largest_difference": 1e-6,
    }


def test_encoding_is_compared_with_the_faster_backend_and_layers_are_summed():
    values = {live.key: live.value for live in section.finding_of_encoding(ENCODING).numbers}
    assert (values["encoding.sklearn"], values["encoding.himalaya"]) == (400, 8)
    assert (values["encoding.model.least-squares"], values["encoding.model.ridge"]) == (1.0, 0.5)
    assert (values["encoding.model.peak"], values["encoding.share"]) == (0.4, 50)
    assert (values["encoding.features"], values["encoding.machine"][:6]) == (4096, "a chip")
    assert section.bars_of_encoding(section.encoding(ENCODING)).label.tolist()[:2] == [
        "ours, ridge",
        "ours, least squares",
    ]
    assert "400 times as long in scikit-learn" in section.finding_of_encoding(ENCODING).title


@pytest.mark.parametrize(("bare", "words"), [(1.1, "takes about as long as"), (2.0, "takes longer than")])
def test_the_slowest_text_says_whether_one_pass_is_as_fast_as_a_bare_one(bare, words):
    measured = {"machine": MACHINE, "peak_gib": 1.0, "texts": {"blank like": text(1.0), "pereira": text(bare)}}
    values = {live.key: live.value for live in section.finding_of_extraction(measured).numbers}
    assert (values["extraction.blank-like.loop"], values["extraction.pereira.bare"]) == (80, bare)
    assert words in section.finding_of_extraction(measured).title
    assert section.bars_of_extraction(section.extraction(measured)).label.iloc[-1] == "pereira, plain loop"


def test_solvers_are_rows():
    table = section.encoding(ENCODING).query("case == 'pereira 384'").set_index("solver")
    assert table.ours.to_dict() == {name: name in OURS for name in ENCODING["cases"]["pereira 384"]["solvers"]}
    assert table.times_slower.isna()["ridge"] and table.times_slower["RidgeCV"] == 200
    assert table.share_of_product_rate["least squares"] == 0.5


def test_texts_are_rows_with_medians():
    several = {"activations_seconds": [3.0, 1.0, 2.0], "bare_seconds": [2.0, 2.0, 1.0]}
    (row,) = section.extraction({"texts": {"blank like": text(1.0) | several}}).itertuples()
    assert (row.ours, row.bare, row.loop, row.times_faster) == (2.0, 2.0, 80.0, 80.0)


def test_another_model_has_rows_of_its_own():
    measured = {"texts": {"blank like": text(1.0)}, "models": {"smollm2": {"texts": {"blank like": text(1.1)}}}}
    table = section.extraction(measured)
    assert table.text.tolist() == ["blank like", "blank like, smollm2"] and table.times_bare.tolist() == [1.0, 1.1]


def test_bars_are_as_long_as_they_say():
    table = section.encoding(ENCODING).iloc[[0, 3]].assign(label=lambda rows: rows.solver)
    (ax,) = figures.bars(table).axes
    assert [bar.get_width() for bar in ax.patches] == [0.5, 50.0]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["0.5", "50"]


def test_a_benchmark_that_was_not_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(section, "RESULTS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python benchmarks/encoding\.py"):
        section.read("encoding")
    (tmp_path / "encoding.json").write_text(json.dumps(ENCODING))
    assert section.read("encoding") == ENCODING


def test_a_gpu_has_numbers_where_it_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(section, "RESULTS", tmp_path)
    assert section.numbers_of_gpu() == []
    seconds = {"activations": {"seconds": 3.0}, "bare": {"seconds": 2.5}}
    solvers = {"ridge": {"seconds": 2.0}, "himalaya, one layer": {"seconds": 0.5}}
    measured = {
        "card": "A100",
        "extraction": {"LLaMA-7B": seconds},
        "encoding": {"shape": {"n_layers": 33}, "solvers": solvers},
        "tuning": {"seconds": 4.0, "examples": 16, "gpu_gib": 20.0},
    }
    (tmp_path / "gpu.json").write_text(json.dumps(measured))
    values = {live.key: live.value for live in section.numbers_of_gpu()}
    assert values["gpu.llama-7b.bare"] == 1.2 and values["gpu.himalaya"] == 33 * 0.5 / 2.0
    assert (values["gpu.card"], values["gpu.step.seconds"], values["gpu.step.peak"]) == ("A100", 4.0, 20.0)
