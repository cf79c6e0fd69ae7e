"""Every claim of the paper: as printed, as recomputed from its printed tables, and in the current study."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign import catalog
from brainalign.paper import printed, recompute, retest
from brainalign.paper.printed import Printed

RECOMPUTED = ("matches", "differs", "not testable")
RETESTED = ("supported", "contradicted", "inconclusive", "not run")


@dataclass(frozen=True)
class Recomputed:
    """One claim held against the printed tables.

    Attributes
    ----------
    verdict : str
        ``matches``, ``differs`` or ``not testable``.
    value : float, bool or None
        What the tables give.
    low, high : float or None
        The range that rounding leaves open: the extremes over the tables as printed and as redrawn within the
        rounding of their entries.
    why : str
        On what it rests; for a claim that differs what would explain it, for one not testable what is missing.
    """

    verdict: str
    value: float | bool | None
    low: float | None
    high: float | None
    why: str


def check(claim: dict, tables: Printed, redrawn: list[Printed]) -> Recomputed:
    """Recompute one claim from the printed tables.

    Parameters
    ----------
    claim : dict
        An entry of ``catalog/claims.yaml``.
    tables : Printed
        The tables as printed.
    redrawn : list of Printed
        The same tables as they may have been before rounding.

    Raises
    ------
    LookupError
        The claim names a function that does not exist.
    """
    if "recompute" not in claim:
        return Recomputed("not testable", None, None, None, claim["why"])
    arguments = dict(claim["recompute"])
    function = _function(arguments.pop("function"))
    finding = function(tables, **arguments)
    # A statement has no last digit that rounding could have changed.
    draws = [] if "holds" in claim["expect"] else redrawn
    values = [finding.value, *(function(draw, **arguments).value for draw in draws)]
    if _agrees(claim["expect"], finding.value, values):
        verdict, why = "matches", finding.basis
    else:
        verdict = "differs"
        why = ". ".join(part for part in (finding.basis, claim.get("explain", "").rstrip(".")) if part) + "."
    if isinstance(finding.value, bool):
        return Recomputed(verdict, finding.value, None, None, why)
    return Recomputed(verdict, float(finding.value), float(min(values)), float(max(values)), why)


def check_all(results: pd.DataFrame, seed: int = 0, draws: int = 100) -> pd.DataFrame:
    """Hold every claim against the printed tables and against the current study.

    Parameters
    ----------
    results : DataFrame
        Results of the current study (`study.results`); may be empty.
    seed : int
        Of the draws within rounding.
    draws : int
        How many times the tables are redrawn.

    Returns
    -------
    DataFrame
        A row per claim: ``id``, ``section``, ``source``, ``claim``, ``printed``; ``value``, ``low``, ``high``,
        ``verdict``, ``why`` from the tables; ``study_verdict``, ``study_value``, ``study_why`` from the study.
    """
    tables = printed.load()
    rng = np.random.default_rng(seed)
    redrawn = [printed.unrounded(tables, rng) for _ in range(draws)]
    rows = []
    for claim in catalog.claims():
        found = check(claim, tables, redrawn)
        tested = retest.run(claim.get("study"), results)
        rows.append(
            {
                **{key: claim[key] for key in ("id", "section", "source", "claim", "printed")},
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "verdict": found.verdict,
                "why": found.why,
                "study_verdict": tested.verdict,
                "study_value": tested.value,
                "study_why": tested.why,
            }
        )
    return pd.DataFrame(rows)


def display(value: float | bool | None, digits: int = 3) -> str:
    """A recomputed value as a reader wants it: yes or no, a whole number, or significant digits."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "holds" if value else "does not hold"
    if float(value).is_integer():
        return f"{value / 1e9:g} B" if value >= 1e9 else f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,.0f}"
    return f"{value:.2e}" if abs(value) < 0.001 else f"{value:.{digits}g}"


def _function(name: str) -> Callable[..., recompute.Finding]:
    function = getattr(recompute, name, None)
    if function is None or name.startswith("_"):
        known = [key for key, thing in vars(recompute).items() if callable(thing) and not key.startswith("_")]
        raise LookupError(catalog.unknown("function of a claim", name, known))
    return function


def _agrees(expect: dict, value: float | bool, redrawn: list) -> bool:
    """Whether a recomputed value is what the claim expects."""
    if "holds" in expect:
        return bool(value) == expect["holds"]
    if "below" in expect:
        return value < expect["below"]
    if "above" in expect:
        return value > expect["above"]
    half = 0.5 * 10.0 ** -expect["digits"] * (1 + 1e-9)
    return min(redrawn) - half <= expect["value"] <= max(redrawn) + half
