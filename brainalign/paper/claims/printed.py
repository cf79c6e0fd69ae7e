"""The paper's printed tables as one object, and what their rounding leaves open."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from brainalign import catalog, messages

BRAIN_DATASETS = ["pereira2018", "blank2014", "wehbe2014"]
UNITS = {"M": 1e6, "B": 1e9}
# Digits after the point that the paper prints.
DIGITS = {
    **dict.fromkeys([*BRAIN_DATASETS, "average", "futrell2018", "wikitext2_nwp_loss", "mmlu", "bbh"], 3),
    **dict.fromkeys(["linear", "cka", "rsa"], 2),
    "ceiling": 3,
}

# Groups of models, by what their rows have in some columns: the 25, the 8 and the 17 of them, families.
MAIN, TUNED = {"in_main_25": ["yes"]}, {"kind": ["instruction-tuned"]}
GROUPS = {
    "main": MAIN,
    "vanilla": MAIN | {"kind": ["vanilla"]},
    "tuned": MAIN | TUNED,
    "t5-tuned": TUNED | {"family": ["T5"]},
    "llama-tuned": TUNED | {"family": ["LLaMA"]},
    "gpt2-tuned": TUNED | {"family": ["GPT2"]},
    "with-gpt2": {},
    "with-gpt2-tuned": TUNED,
}


# Compared by identity, so that what is computed from one object can be cached.
@dataclass(frozen=True, eq=False)
class Printed:
    """The printed tables.

    Attributes
    ----------
    models : DataFrame
        Tables 3, 4, 5, 7 and 9: a row per checkpoint, with ``size`` (parameters) and ``log_size`` (log10).
    correlations : DataFrame
        Table 2 and the correlations of Figures 2, 3, 6 and 7.
    ceilings : Series
        Tables 6 and 10: noise ceiling (Pearson r) by data set.
    gemma_llama2 : DataFrame
        Table 8.
    changes : Series
        Percent change by data set, as printed.
    """

    models: pd.DataFrame
    correlations: pd.DataFrame
    ceilings: pd.Series
    gemma_llama2: pd.DataFrame
    changes: pd.Series

    @cache  # noqa: B019 (a handful of objects, as long-lived as the process)
    def group(self, name: str) -> pd.DataFrame:
        """Models of one of the `GROUPS`; of any other an error that names near ones."""
        if name not in GROUPS:
            raise LookupError(messages.unknown("group of models", name, GROUPS))
        models = self.models
        for column, values in GROUPS[name].items():
            models = models[models[column].isin(values)]
        return models


def load() -> Printed:
    """Read the printed tables from the catalog."""
    models = catalog.printed("models")
    size = models.params.str[:-1].astype(float) * models.params.str[-1].map(UNITS)
    return Printed(
        models=models.assign(size=size, log_size=np.log10(size)),
        correlations=catalog.printed("correlations"),
        ceilings=catalog.printed("ceilings").set_index("dataset").ceiling,
        gemma_llama2=catalog.printed("gemma_llama2"),
        changes=catalog.printed("changes").set_index("dataset").percent_change,
    )


def rounding_range(tables: Printed, function: Callable[[Printed], float]) -> tuple[float, float]:
    """Smallest and largest value of a function over all tables that round to the printed ones, to first order.

    Within half a unit of its last digit, an entry may have been anything. Over so small a range the function is taken
    to rise or fall evenly with each entry, so that its extremes lie where each entry is at one end of its range: which
    end is found by moving the entries one by one.

    Sizes stay as they are: they are names of models as much as measurements.

    Returns
    -------
    tuple of float
        Low and high; the value of the tables as printed lies within.
    """
    value = function(tables)
    toward_high = {}
    for place, half in _halves(tables).items():
        if function(_moved_unevenly(tables, place)) != value:
            rises = np.array([function(moved) - value for moved in _moved_one_by_one(tables, place)])
            toward_high[place] = np.sign(rises) @ _steps(half)
    toward_low = {place: -move for place, move in toward_high.items()}
    ends = [value, *(function(_moved(tables, moves)) for moves in (toward_high, toward_low))]
    return float(min(ends)), float(max(ends))


@cache
def _halves(tables: Printed) -> dict[tuple[str, str], np.ndarray]:
    """Half a unit of the last printed digit of each entry, by table and column; zero where nothing is printed."""
    r = tables.correlations.r
    digits = {("correlations", "r"): r.map(lambda value: 2 if round(value, 2) == value else 3)}
    for table in ("models", "gemma_llama2"):
        printed = getattr(tables, table)
        digits |= {(table, name): printed[name] * 0 + DIGITS[name] for name in printed if name in DIGITS}
    digits["ceilings", "ceiling"] = tables.ceilings * 0 + DIGITS["ceiling"]
    missing = {("correlations", "r"): r.isna()}
    return {
        place: np.where(missing.get(place, values.isna()), 0.0, 0.5 * 10.0 ** -values.astype(float))
        for place, values in digits.items()
    }


def _steps(half: np.ndarray) -> np.ndarray:
    """A move of each entry that is printed, and of no other: (n_printed, n_entries)."""
    return half * np.eye(len(half))[half > 0]


# Kept, since most claims look at the same columns, and what is computed from the same tables is cached.
@cache
def _moved_unevenly(tables: Printed, place: tuple[str, str]) -> Printed:
    """Most functions look at few columns; an uneven shift of a whole column tells which."""
    half = _halves(tables)[place]
    return _moved(tables, {place: half * np.sin(np.arange(1, len(half) + 1) ** 2)})


@cache
def _moved_one_by_one(tables: Printed, place: tuple[str, str]) -> tuple[Printed, ...]:
    return tuple(_moved(tables, {place: step}) for step in _steps(_halves(tables)[place]))


def _moved(tables: Printed, moves: dict[tuple[str, str], np.ndarray]) -> Printed:
    """Tables with something added to each entry of some columns."""
    changed = {}
    for (table, column), move in moves.items():
        before = changed.get(table, getattr(tables, table))
        changed[table] = (
            before + move if isinstance(before, pd.Series) else before.assign(**{column: before[column] + move})
        )
    return replace(tables, **changed)
