"""Every claim of the paper: as printed, as recomputed from its printed tables, and in the current study."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from brainalign import catalog, messages
from brainalign.paper.claims import printed, recompute, retest
from brainalign.paper.claims.printed import Printed
from brainalign.paper.publish.numbers import number

RECOMPUTED = ("matches", "differs", "not testable")
RETESTED = ("supported", "contradicted", "inconclusive", "not run")


@dataclass(frozen=True)
class Recomputed:
    """One claim held against the printed tables.

    Attributes
    ----------
    value : float, bool or None
        What the tables give.
    low, high : float or None
        The range that rounding leaves open (`printed.rounding_range`); None for a statement.
    verdict : str
        ``matches``, ``differs`` or ``not testable``.
    why : str
        On what it rests; for a claim that differs what would explain it, for one not testable what is missing.
    """

    value: float | bool | None
    low: float | None
    high: float | None
    verdict: str
    why: str


def check(claim: dict, tables: Printed) -> Recomputed:
    """Recompute one claim, an entry of ``catalog/claims.yaml``, from the printed tables.

    Raises
    ------
    LookupError
        The claim names a function that does not exist.
    """
    if "recompute" not in claim:
        return Recomputed(None, None, None, "not testable", claim["why"])
    arguments = dict(claim["recompute"])
    function = _function(arguments.pop("function"))
    finding = function(tables, **arguments)
    if "holds" in claim["expect"]:
        low, high = None, None  # a statement has no last digit
    else:
        low, high = printed.rounding_range(tables, lambda moved: function(moved, **arguments).value)
    if _agrees(claim["expect"], finding.value, low, high):
        verdict, why = "matches", finding.basis
    else:
        verdict = "differs"
        why = ". ".join(part for part in (finding.basis, claim.get("explain", "").rstrip(".")) if part) + "."
    value = bool(finding.value) if low is None else float(finding.value)
    return Recomputed(value, low, high, verdict, why)


def check_all(results: pd.DataFrame) -> pd.DataFrame:
    """Hold every claim against the printed tables, and against results of the current study, which may be empty.

    Returns
    -------
    DataFrame
        A row per claim: ``id``, ``section``, ``source``, ``claim``, ``printed``; ``value``, ``low``, ``high``,
        ``verdict``, ``why`` from the tables; ``study_verdict``, ``study_value``, ``study_why`` from the study.
    """
    tables, rows = printed.load(), []
    for claim in catalog.claims():
        row = {key: claim[key] for key in ("id", "section", "source", "claim", "printed")}
        tested = asdict(retest.run(claim.get("study"), results))
        rows.append(row | asdict(check(claim, tables)) | {f"study_{key}": value for key, value in tested.items()})
    return pd.DataFrame(rows)


def display(value: float | bool | None, digits: int = 3) -> str:
    """A recomputed value as a reader wants it: yes or no, a whole number, or significant digits."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "holds" if value else "does not hold"
    if float(value).is_integer():
        return f"{value / 1e9:g} B" if value >= 1e9 else f"{value / 1e6:g} M" if value >= 1e6 else number(value, ",.0f")
    return number(value, ".2e" if abs(value) < 0.001 else f".{digits}g")


def _function(name: str) -> Callable[..., recompute.Finding]:
    function = getattr(recompute, name, None)
    if function is None or name.startswith("_"):
        functions = [key for key, thing in vars(recompute).items() if callable(thing) and not key.startswith("_")]
        raise LookupError(messages.unknown("function of a claim", name, functions))
    return function


def _agrees(expect: dict, value: float | bool, low: float | None, high: float | None) -> bool:
    """Whether a recomputed value is what the claim expects."""
    if "holds" in expect:
        return bool(value) == expect["holds"]
    if "below" in expect:
        return value < expect["below"]
    if "above" in expect:
        return value > expect["above"]
    half = 0.5 * 10.0 ** -expect["digits"] * (1 + 1e-9)
    return low - half <= expect["value"] <= high + half
