"""The benchmark for a GPU runs from end to end where there is none, on shapes of no interest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_runs_on_a_cpu_and_keeps_nothing_of_it():
    results = SCRIPT.parent / "results" / "gpu.json"
    before = results.read_bytes() if results.is_file() else None
    command = [sys.executable, SCRIPT, "--small", "--device", "cpu", "--repeats", "1"]
    measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (results.read_bytes() if results.is_file() else None) == before
    assert set(measured["extraction"]) == {"LLaMA-7B", "T5-XL"} and measured["card"] == "none"
    ways = [way for shape in measured["extraction"].values() for way in shape.values() if isinstance(way, dict)]
    times = [way["seconds"] for way in (*ways, *measured["encoding"]["solvers"].values(), measured["tuning"])]
    assert len(times) == 10 and min(times) > 0 and measured["rates"]["half"] > 0
