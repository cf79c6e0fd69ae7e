"""What the benchmarks wrote becomes tables and bars, and nothing that is missing is made up."""

import json

import pytest

from brainalign.paper import speed

ENCODING = {
    "machine": {"processor": "a chip", "cores": 2, "python": "3.11", "numpy": "2.4"},
    "cases": {
        "pereira 384": {
            "solvers": {
                "least squares": {"seconds": 0.1, "peak_gib": 0.3, "share_of_product_rate": 0.5},
                "RidgeCV": {"seconds": 50.0, "peak_gib": 2.0, "times_slower": 100.0, "largest_difference": 1e-7},
            }
        }
    },
}
EXTRACTION = {
    "texts": {
        "blank-like": {
            "parts": 150,
            "tokens": 1200,
            "activations_seconds": [3.0, 1.0, 2.0],
            "bare_seconds": [2.0, 2.0, 1.0],
            "loop_seconds": 160.0,
            "times_faster_than_loop": 80.0,
            "times_bare_pass": 1.0,
            "largest_difference": 1e-6,
        }
    }
}


def test_solvers_are_rows():
    table = speed.encoding(ENCODING).set_index("solver")
    assert table.ours.to_dict() == {"least squares": True, "RidgeCV": False}
    assert table.times_slower.isna().tolist() == [True, False]
    assert table.share_of_product_rate["least squares"] == 0.5


def test_texts_are_rows_with_medians():
    (row,) = speed.extraction(EXTRACTION).itertuples()
    assert (row.ours, row.bare, row.loop, row.times_faster) == (2.0, 2.0, 160.0, 80.0)


def test_bars_are_as_long_as_they_say():
    table = speed.encoding(ENCODING).assign(label=lambda rows: rows.solver)
    (ax,) = speed.bars(table).axes
    assert [bar.get_width() for bar in ax.patches] == [0.1, 50.0]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["0.1", "50"]


def test_a_machine_is_named():
    assert speed.machine(ENCODING) == "a chip, 2 cores, Python 3.11, numpy 2.4"


def test_a_benchmark_that_was_not_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python benchmarks/encoding\.py"):
        speed.read("encoding")
    (tmp_path / "encoding.json").write_text(json.dumps(ENCODING))
    assert speed.read("encoding") == ENCODING
