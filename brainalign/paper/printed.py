"""The paper's printed tables as one object, and what their rounding leaves open."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from brainalign import catalog

BRAIN_DATASETS = ["pereira2018", "blank2014", "wehbe2014"]
UNITS = {"M": 1e6, "B": 1e9}
# Digits after the point that the paper prints.
DIGITS = {
    **dict.fromkeys([*BRAIN_DATASETS, "average", "futrell2018", "wikitext2_nwp_loss", "mmlu", "bbh"], 3),
    **dict.fromkeys(["linear", "cka", "rsa"], 2),
    "ceiling": 3,
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
        """Models of one group.

        Parameters
        ----------
        name : str
            ``main`` (the 25), ``vanilla``, ``tuned`` (the 8 and the 17 of them), ``t5-tuned``, ``llama-tuned``,
            ``gpt2-tuned``, ``with-gpt2`` (the 25 and the GPT-2 family) or ``with-gpt2-tuned``.

        Raises
        ------
        LookupError
            No such group.
        """
        models = self.models
        main = models.in_main_25 == "yes"
        tuned = models.kind == "instruction-tuned"
        groups = {
            "main": main,
            "vanilla": main & ~tuned,
            "tuned": main & tuned,
            "t5-tuned": tuned & (models.family == "T5"),
            "llama-tuned": tuned & (models.family == "LLaMA"),
            "gpt2-tuned": tuned & (models.family == "GPT2"),
            "with-gpt2": main | ~main,
            "with-gpt2-tuned": tuned,
        }
        if name not in groups:
            raise LookupError(catalog.unknown("group of models", name, groups))
        return models[groups[name]]


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


def unrounded(tables: Printed, rng: np.random.Generator) -> Printed:
    """Tables as they may have been before rounding: each entry drawn from the interval that rounds to it.

    Sizes stay as printed: they are names of models as much as measurements.

    Parameters
    ----------
    tables : Printed
        The tables as printed.
    rng : numpy.random.Generator
        Where the draws come from.
    """

    def draw(values: pd.Series, digits: int) -> pd.Series:
        return values + rng.uniform(-0.5, 0.5, len(values)) * 10.0**-digits

    def draw_columns(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{name: draw(table[name], DIGITS[name]) for name in table if name in DIGITS})

    r = tables.correlations.r
    decimals = r.map(lambda value: 2 if pd.isna(value) or round(value, 2) == value else 3)
    return replace(
        tables,
        models=draw_columns(tables.models),
        correlations=tables.correlations.assign(r=r + rng.uniform(-0.5, 0.5, len(r)) * 10.0**-decimals),
        ceilings=draw(tables.ceilings, DIGITS["ceiling"]),
        gemma_llama2=draw_columns(tables.gemma_llama2),
    )
