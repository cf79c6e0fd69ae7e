"""How fast the library is, beside other ways: what `paper.speed` reads, as numbers and words."""

import pandas as pd

from brainalign.paper import speed
from brainalign.paper.publish.numbers import Live

LAYER, MODEL = "pereira 384", "33"  # the case of one wide layer, and the mark of those of all layers
HIMALAYA = ["himalaya numpy", "himalaya torch"]
WAYS = {"loop": "plain loop", "ours": "ours", "bare": "bare pass"}  # to read a text
AS_LONG = 1.25  # times another way, that a reader would call as long
# Columns of the tables, and the form of their numbers.
COLUMNS = {
    "case": "Case",
    "solver": "Solver",
    "seconds": ("Seconds", ".3f"),
    "peak_gib": ("Peak memory (GiB)", ".2f"),
    "times_slower": ("Times ours", ".1f"),
    "largest_difference": ("Largest difference of r", ".1e"),
    "share_of_product_rate": ("Share of product rate", ".2f"),
}


def numbers_of_encoding(measured: dict) -> list[Live]:
    """Where the benchmark ran, what one layer takes each solver, and what all layers of a model take.

    Parameters
    ----------
    measured : dict
        Of `speed.read("encoding")`.
    """
    encoding = speed.encoding(measured)
    return [
        Live("encoding.machine", speed.machine(measured), method="where the encoding benchmark ran"),
        *_numbers_of_shape(measured["cases"][LAYER]["shape"]),
        *_numbers_of_layer(_layer(encoding)),
        *_numbers_of_model(encoding),
    ]


def _numbers_of_shape(shape: dict) -> list[Live]:
    return [
        Live("encoding.features", shape["n_features"], ",d"),
        Live("encoding.stimuli", shape["n_stimuli"], "d"),
        Live("encoding.voxels", shape["n_units"], ",d"),
    ]


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
    """Solvers of one layer as rows of `speed.bars`, the fastest first."""
    rows = _layer(encoding).sort_values("seconds").reset_index()
    return rows.assign(label=rows.solver.where(~rows.ours, "ours, " + rows.solver))


def title_of_encoding(encoding: pd.DataFrame) -> str:
    """What the bars of solvers show."""
    times = _layer(encoding).times_slower["LinearRegression"]
    return f"Least squares takes {times:.0f} times as long in scikit-learn"


def numbers_of_extraction(measured: dict) -> list[Live]:
    """Where the benchmark ran, and what a text takes beside the plain loop and a bare pass, as ``extraction.TEXT``.

    Parameters
    ----------
    measured : dict
        Of `speed.read("extraction")`.
    """
    peak, loop = "most memory of the benchmark, model included", "times as long as ours: the plain loop"
    numbers = [
        Live("extraction.machine", speed.machine(measured), method="where the extraction benchmark ran"),
        Live("extraction.peak", measured["peak_gib"], ".1f", " GiB", method=peak),
    ]
    for row in speed.extraction(measured).itertuples():
        key = f"extraction.{row.text.replace(' ', '-')}"
        numbers += [
            Live(f"{key}.loop", row.times_faster, ".0f", n=row.parts, method=loop),
            Live(f"{key}.bare", row.times_bare, ".2f", n=row.parts, method="ours, times the bare pass"),
        ]
    return numbers


def bars_of_extraction(extraction: pd.DataFrame) -> pd.DataFrame:
    """Ways to read each text as rows of `speed.bars`."""
    rows = extraction.melt("text", list(WAYS), "way", "seconds")
    rows = rows.assign(label=rows.text + ", " + rows.way.map(WAYS), ours=rows.way == "ours")
    return rows.sort_values(["text", "seconds"], ignore_index=True)


def title_of_extraction(extraction: pd.DataFrame) -> str:
    """What the bars of ways to read show."""
    as_long = extraction.times_bare.max() <= AS_LONG
    return f"One pass takes {'about as long as' if as_long else 'longer than'} a bare forward pass"
