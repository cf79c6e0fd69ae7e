"""What the benchmarks measured: their JSON as tables, and seconds as bars."""

import json
import statistics

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign import store
from brainalign.paper.figures import FAMILIES, GRAY

RESULTS = store.PROJECT / "benchmarks" / "results"
OURS = ("least squares", "ridge", "ridge per unit")  # solvers of this library


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
    """Solvers of encoding models, a row a case and solver.

    Parameters
    ----------
    measured : dict
        Of `read("encoding")`.

    Returns
    -------
    DataFrame
        ``case``, ``solver``, ``ours`` (bool), ``seconds`` (median of repeated runs), ``peak_gib``, ``times_slower``
        than ours, ``largest_difference`` of r, ``share_of_product_rate``; missing where it does not apply.
    """
    rows = [
        {"case": case, "solver": solver, "ours": solver in OURS, **took}
        for case, results in measured["cases"].items()
        for solver, took in results["solvers"].items()
    ]
    columns = ["case", "solver", "ours", "seconds", "peak_gib", "times_slower", "largest_difference"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "share_of_product_rate"])


def extraction(measured: dict) -> pd.DataFrame:
    """Ways to read a text, a row a text.

    Parameters
    ----------
    measured : dict
        Of `read("extraction")`.

    Returns
    -------
    DataFrame
        ``text``, ``parts``, ``tokens``; seconds ``ours``, ``bare`` (one forward pass of the same tokens) and ``loop``
        (every beginning by itself); ``times_faster`` than the loop, ``times_bare``, ``largest_difference`` of a state,
        relative to the largest.
    """
    rows = [
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
        for text, results in measured["texts"].items()
    ]
    return pd.DataFrame(rows)


def bars(table: pd.DataFrame, xlabel: str = "Seconds (logarithmic)") -> plt.Figure:
    """Seconds as bars on a logarithmic axis, ours in color; the number stands at the bar's end.

    Parameters
    ----------
    table : DataFrame
        ``label``, ``seconds``, ``ours``; its order is the order of the rows.
    xlabel : str
        What the bars are.
    """
    figure, ax = plt.subplots(figsize=(4.2, 0.32 * len(table) + 0.8))
    y = np.arange(len(table))
    ax.barh(y, table.seconds, height=0.7, color=np.where(table.ours, FAMILIES["T5"], GRAY))
    for place, seconds in zip(y, table.seconds, strict=True):
        text = f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"
        ax.annotate(text, (seconds, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_xscale("log")
    ax.set_xlim(table.seconds.min() / 2, table.seconds.max() * 4)
    ax.set_yticks(y, table.label)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(xlabel)
    return figure
