"""How fast the library is, beside other ways: what the benchmarks wrote as JSON, in tables, numbers and words."""

import json
import statistics

import pandas as pd

from brainalign import store
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns
from brainalign.paper.sections.estimates import Finding, lives

RESULTS = store.PROJECT / "benchmarks" / "results"
OURS = ("least squares", "ridge", "ridge per unit")  # solvers of this library
LAYER, MODEL = "pereira 384", "33"  # the case of one wide layer, and the mark of those of all layers
HIMALAYA = ["himalaya numpy", "himalaya torch"]
WAYS = {"loop": "plain loop", "ours": "ours", "bare": "bare pass"}  # to read a text
AS_LONG = 1.25  # times another way, that a reader would call as long
COLUMNS = (
    columns.named("case", "solver")
    | columns.numbers(".3f", "seconds")
    | columns.numbers(".2f", peak_gib="Peak memory (GiB)")
    | columns.numbers(".1f", times_slower="Times ours")
    | columns.numbers(".1e", largest_difference="Largest difference of r")
    | columns.numbers(".2f", share_of_product_rate="Share of product rate")
)


def read(benchmark: str) -> dict:
    """Read what a benchmark wrote.

    Raises
    ------
    FileNotFoundError
        It has not been run.
    """
    path = RESULTS / f"{benchmark}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there. Run it: python benchmarks/{benchmark}.py")
    return json.loads(path.read_text(encoding="utf-8"))


def machine(measured: dict) -> str:
    """Name the machine that a benchmark ran on, in a few words."""
    about = measured["machine"]
    return f"{about['processor']}, {about['cores']} cores, Python {about['python']}, numpy {about['numpy']}"


def encoding(measured: dict) -> pd.DataFrame:
    """Solvers of encoding models, a row a case and solver, of ``read("encoding")``.

    ``case``, ``solver``, ``ours`` (bool), ``seconds`` (median of repeated runs), ``peak_gib``, ``times_slower`` than
    ours, ``largest_difference`` of r, ``share_of_product_rate``; missing where it does not apply.
    """
    rows = [
        {"case": case, "solver": solver, "ours": solver in OURS, **took}
        for case, results in measured["cases"].items()
        for solver, took in results["solvers"].items()
    ]
    return pd.DataFrame(rows).reindex(columns=["case", "solver", "ours", *list(COLUMNS)[2:]])


def extraction(measured: dict) -> pd.DataFrame:
    """Ways to read a text, a row a text and model, of ``read("extraction")``.

    ``text``, ``parts``, ``tokens``; seconds ``ours``, ``bare`` (one forward pass of the same tokens) and ``loop``
    (every beginning by itself); ``times_faster`` than the loop, ``times_bare``, ``largest_difference`` of a state,
    relative to the largest.
    """
    texts = measured["texts"] | {
        f"{text}, {model}": results
        for model, of_model in measured.get("models", {}).items()
        for text, results in of_model["texts"].items()
    }
    return pd.DataFrame(
        {
            "text": text,
            "parts": results["parts"],
            "tokens": results["tokens"],
            "ours": statistics.median(results["activations_seconds"]),
            "bare": statistics.median(results["bare_seconds"]),
            "loop": results["loop_seconds"],
            "times_faster": results["times_faster_than_loop"],
            "times_bare": results["times_bare_pass"],
            "largest_difference": results["largest_difference"],
        }
        for text, results in texts.items()
    )


def finding_of_encoding(measured: dict) -> Finding:
    """Where the benchmark ran, what one layer takes each solver, and what all layers of a model take."""
    table, shape = encoding(measured), measured["cases"][LAYER]["shape"]
    times = _layer(table).times_slower["LinearRegression"]
    numbers = [
        Live("encoding.machine", machine(measured), method="where the encoding benchmark ran"),
        Live("encoding.features", shape["n_features"], ",d"),
        Live("encoding.stimuli", shape["n_stimuli"], "d"),
        Live("encoding.voxels", shape["n_units"], ",d"),
        *_numbers_of_layer(_layer(table)),
        *_numbers_of_model(table),
    ]
    return Finding(numbers, f"Least squares takes {times:.0f} times as long in scikit-learn")


def _layer(encoding: pd.DataFrame) -> pd.DataFrame:
    """Solvers of one layer, by name."""
    return encoding[encoding.case == LAYER].set_index("solver")


def _numbers_of_layer(layer: pd.DataFrame) -> list[Live]:
    seconds, slower, ridge = layer.seconds, layer.times_slower, "ridge, seven penalties, one layer, ten folds"
    himalaya = slower[slower.index.isin(HIMALAYA)].min()
    share, difference = layer.share_of_product_rate["least squares"], layer.largest_difference["RidgeCV"]
    return [
        Live("encoding.seconds", seconds["least squares"], ".2f", " s", method="least squares, one layer, ten folds"),
        Live("encoding.ridge.seconds", seconds["ridge"], ".2f", " s", method=ridge),
        Live("encoding.sklearn", slower["LinearRegression"], ".0f", method="times as long as ours: scikit-learn"),
        Live("encoding.himalaya", himalaya, ".0f", method="times as long as ours: himalaya's faster backend"),
        Live("encoding.share", 100 * share, ".0f", " %", method="of the rate of a product"),
        Live("encoding.difference", difference, ".0e", method="largest difference of r from RidgeCV"),
    ]


def _numbers_of_model(encoding: pd.DataFrame) -> list[Live]:
    rows = encoding[encoding.case.str.contains("pereira") & encoding.case.str.contains(MODEL)]
    seconds, method = rows.groupby("solver").seconds.sum(), "33 layers, both experiments of Pereira2018"
    return [
        Live("encoding.model.least-squares", seconds["least squares"], ".0f", " s", method=method),
        Live("encoding.model.ridge", seconds["ridge"], ".0f", " s", method=method),
        Live("encoding.model.peak", rows.peak_gib.max(), ".1f", " GiB", method="most memory, 33 layers"),
    ]


def bars_of_encoding(encoding: pd.DataFrame) -> pd.DataFrame:
    """Solvers of one layer as rows of `figures.bars`, the fastest first."""
    rows = _layer(encoding).sort_values("seconds").reset_index()
    return rows.assign(label=rows.solver.where(~rows.ours, "ours, " + rows.solver))


def finding_of_extraction(measured: dict) -> Finding:
    """Where the benchmark ran, and what a text takes beside the plain loop and a bare pass, as ``extraction.TEXT``."""
    table = extraction(measured).rename(columns={"parts": "n"})
    peak, loop = "most memory of the benchmark, model included", "times as long as ours: the plain loop"
    bare, as_long = "ours, times the bare pass", table.times_bare.max() <= AS_LONG
    numbers = [
        Live("extraction.machine", machine(measured), method="where the extraction benchmark ran"),
        Live("extraction.peak", measured["peak_gib"], ".1f", " GiB", method=peak),
        *lives(table, "extraction.{text}.loop", ".0f", value="times_faster", method=loop),
        *lives(table, "extraction.{text}.bare", value="times_bare", method=bare),
    ]
    return Finding(numbers, f"One pass takes {'about as long as' if as_long else 'longer than'} a bare forward pass")


def numbers_of_gpu() -> list[Live]:
    """What ``benchmarks/gpu.py`` measured on a graphics card; nothing where it was not run."""
    if not (RESULTS / "gpu.json").is_file():
        return []
    measured = read("gpu")
    solvers = {name: solver["seconds"] for name, solver in measured["encoding"]["solvers"].items()}
    n_layers, tuning = measured["encoding"]["shape"]["n_layers"], measured["tuning"]
    himalaya = n_layers * solvers["himalaya, one layer"] / solvers["ridge"]
    memory = "most memory of the card in a step of LoRA"
    numbers = [
        Live("gpu.card", measured["card"], method="where benchmarks/gpu.py ran"),
        Live("gpu.ridge.seconds", solvers["ridge"], ".1f", " s", method=f"ridge, {n_layers} layers, ten folds"),
        Live("gpu.himalaya", himalaya, ".1f", method="times as long as ours: himalaya, on the same card"),
        Live("gpu.step.seconds", tuning["seconds"], ".1f", " s", method=f"LoRA, {tuning['examples']} samples a step"),
        Live("gpu.step.peak", tuning["gpu_gib"], ".1f", " GiB", method=memory),
    ]
    for shape, ways in measured["extraction"].items():
        ratio = ways["activations"]["seconds"] / ways["bare"]["seconds"]
        numbers.append(Live(f"gpu.{shape.lower()}.bare", ratio, ".2f", method="ours, times the bare pass"))
    return numbers


def bars_of_extraction(extraction: pd.DataFrame) -> pd.DataFrame:
    """Ways to read each text as rows of `figures.bars`."""
    rows = extraction.melt("text", list(WAYS), "way", "seconds")
    rows = rows.assign(label=rows.text + ", " + rows.way.map(WAYS), ours=rows.way == "ours")
    return rows.sort_values(["text", "seconds"], ignore_index=True)
