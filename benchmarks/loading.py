"""How fast Pereira2018 loads, and in how much memory: a made-up file of the published size, against plain xarray.

    python benchmarks/loading.py [FOLDER]

Writes the file (35 MB, noise) in the chunks of several writers, loads the experiment with 384 sentences in a fresh
process each, and prints JSON. Memory is what a load takes at its peak over what was there before: `traced` is what
Python allocates, `resident` what the process occupies, the HDF5 library included (Linux only). Both are times the
bytes of the result.
"""

import json
import multiprocessing
import re
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import xarray as xr

from brainalign.human import pereira2018

# Columns of each participant, by the experiments that they took part in: 12,155 have 384 sentences, 8,121 have 243.
ONLY_243, BOTH, ONLY_384 = 1398, 6723, 5432
CHUNKS = {
    "netCDF-C, compressed": {"chunksizes": (209, 4518), "zlib": True},
    "netCDF-C 4.9, compressed": {"chunksizes": (314, 6777), "zlib": True},
    "h5netcdf, compressed": {"chunksizes": (79, 848), "zlib": True},
    "one chunk, compressed": {"chunksizes": (627, 13553), "zlib": True},
    "contiguous": {},
}


def write(path: Path, encoding: dict) -> None:
    rng = np.random.default_rng(0)
    n_units = ONLY_243 + BOTH + ONLY_384
    values = rng.standard_normal((627, n_units), dtype=np.float32)
    experiment = np.repeat(["243sentences", "384sentences"], [243, 384])
    values[:243, ONLY_243 + BOTH :] = np.nan
    values[243:, :ONLY_243] = np.nan
    number = np.r_[:243, :384]
    on_presentation = {
        "experiment": experiment,
        "story": [f"{name}.topic{i // 16}" for name, i in zip(experiment, number, strict=True)],
        "passage_label": [f"passage{i // 4}" for i in number],
        "passage_index": number // 4,
        "stimulus_id": [f"{name}.{i}" for name, i in zip(experiment, number, strict=True)],
        "stimulus": [f"Sentence {i} says something about a topic." for i in number],
    }
    on_neuroid = {
        "subject": np.repeat([f"{i:03}" for i in range(10)], [ONLY_243, *[1351] * 8, n_units - ONLY_243 - 8 * 1351]),
        "neuroid_id": np.arange(n_units),
        "roi": np.arange(n_units) % 12,
    }
    coordinates = {name: ("presentation", np.array(column)) for name, column in on_presentation.items()}
    coordinates |= {name: ("neuroid", np.array(column)) for name, column in on_neuroid.items()}
    data = xr.DataArray(values, dims=("presentation", "neuroid"), coords=coordinates)
    data.to_dataset(name="data").to_netcdf(path, engine="h5netcdf", encoding={"data": encoding})


def ours(path: Path) -> np.ndarray:
    return pereira2018.load("384", path=path).responses.to_numpy()


def plain_xarray(path: Path) -> np.ndarray:
    data = xr.load_dataset(path, engine="h5netcdf")["data"]
    return data[(data.experiment == "384sentences").to_numpy()].dropna("neuroid").to_numpy()


def measure(load, path: Path, trace: bool, answer) -> None:
    load(path.parent / "small.nc")  # imports what a load imports
    if trace:
        tracemalloc.start()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, wall, cpu = peak_resident(), time.perf_counter(), time.process_time()
    values = load(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = {"shape": values.shape, "bytes": values.nbytes, "wall": wall, "cpu": cpu}
    found["resident"] = peak_resident() - before
    found["traced"] = tracemalloc.get_traced_memory()[1] if trace else 0
    answer.put(found)


def peak_resident() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def in_fresh_process(load, path: Path, trace: bool) -> dict:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=measure, args=(load, path, trace, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def small(path: Path, source: Path) -> None:
    with xr.open_dataset(source, engine="h5netcdf") as data:
        part = data.isel(neuroid=slice(0, 4000, 100)).load()
    part.to_netcdf(path, engine="h5netcdf")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        rows = []
        for chunks, encoding in CHUNKS.items():
            path = folder / "pereira.nc"
            write(path, encoding)
            small(folder / "small.nc", path)
            for load in (ours, plain_xarray):
                timed = [in_fresh_process(load, path, trace=False) for _ in range(3)]
                traced = in_fresh_process(load, path, trace=True)
                size = traced["bytes"]
                rows.append(
                    {
                        "file": chunks,
                        "loader": load.__name__,
                        "shape": traced["shape"],
                        "seconds": round(min(run["wall"] for run in timed), 3),
                        "cpu_seconds": round(min(run["cpu"] for run in timed), 3),
                        "traced": round(traced["traced"] / size, 2),
                        "resident": round(max(run["resident"] for run in timed) / size, 2),
                    }
                )
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
