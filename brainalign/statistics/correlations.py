"""Correlations and slopes on tables with a row a model, and means over repetitions; all intervals are of 95 %.

These take models as independent, as the paper does. What resamples whole bases is in `brainalign.statistics.clusters`,
tests of tuned models against their vanilla ones are in `brainalign.statistics.pairs`. Nothing here drops a row: where
a value is missing, a function raises, and the caller says what to leave out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.statistics import INTERVAL

QUANTILES = np.divide(INTERVAL, 100)


@dataclass(frozen=True)
class Correlation:
    """A correlation of `n` rows, its confidence interval from `low` to `high`, and its two-sided p."""

    r: float
    low: float
    high: float
    p: float
    n: int

    @property
    def estimate(self) -> float:
        """Its r, under the name that every estimate has."""
        return self.r


def student(values) -> dict:
    """Mean with Student's interval, mean ± t s / sqrt(n): ``estimate``, ``low``, ``high`` (NaN of one value), ``n``."""
    values = np.asarray(values, float)
    n, mean = len(values), values.mean()
    half = scipy.stats.t.ppf(QUANTILES[1], n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return {"estimate": mean, "low": mean - half, "high": mean + half, "n": n}


def summary(table: pd.DataFrame, by: Sequence[str], value: str, of: str = "mean") -> pd.DataFrame:
    """Mean over repetitions, a row each, of a column: ``estimate``, ``low``, ``high``, ``n`` by the columns ``by``.

    The interval is Student's of a measure, Wilson's (1927) of a share of yes and no, or, ``of`` the ``crowds``
    instead of their mean, that which the middle 95 % of them are in.
    """
    rows = []
    for names, values in table.groupby(list(by), sort=False)[value]:
        n, mean = len(values), float(values.mean())
        if of == "crowds":
            low, high = np.quantile(values, QUANTILES)
        elif values.dtype == bool:
            low, high = scipy.stats.binomtest(int(values.sum()), n).proportion_ci(method="wilson")
        else:
            low, high = (student(values)[end] for end in ("low", "high"))
        rows.append(dict(zip(by, names, strict=True)) | {"estimate": mean, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows)


def pearson(x, y) -> Correlation:
    """Pearson correlation of two columns, (n,) each, every row taken as independent.

    Its p and its interval, Fisher's, are those of `scipy.stats.pearsonr`.

    Raises
    ------
    ValueError
        When values are missing, rows are fewer than four, or a column is constant.
    """
    x, y = checked(x=x, y=y)
    r, p = scipy.stats.pearsonr(x, y)
    return _with_fishers_interval(r, p, len(x), 1 / np.sqrt(len(x) - 3))


def spearman(x, y) -> Correlation:
    """Spearman rank correlation of two columns; raises as `pearson`.

    Its p is that of `scipy.stats.spearmanr`, its interval tanh(artanh r ± z sqrt((1 + r²/2) / (n - 3))), the standard
    error of Bonett and Wright (2000), Psychometrika 65, 23-28.
    """
    x, y = checked(x=x, y=y)
    r, p = scipy.stats.spearmanr(x, y)
    return _with_fishers_interval(r, p, len(x), np.sqrt((1 + r**2 / 2) / (len(x) - 3)))


def partial_pearson(x, y, given) -> Correlation:
    """Pearson correlation of what is left of two columns once others, (n,) or (n, k), are regressed out of both.

    p from t = r sqrt(df / (1 - r²)) with df = n - 2 - k; Fisher's interval with standard error 1 / sqrt(n - k - 3)
    (Fisher 1924, Metron 3, 329-332: each variable held constant costs one row).

    Raises
    ------
    ValueError
        When values are missing, rows are fewer than k + 4, a column is constant, columns of `given` determine each
        other, or they determine x or y.
    """
    from statsmodels.api import OLS

    if not isinstance(given, pd.DataFrame):
        given = pd.DataFrame(np.asarray(given, float))
    n, k = given.shape
    columns = {f"given {name}": given[name] for name in given}
    values, other_values, *held = checked(x=x, y=y, least=k + 4, **columns)
    design = np.column_stack([np.ones(n), *map(scipy.stats.zscore, held)])  # the rank does not depend on units
    if np.linalg.matrix_rank(design) <= k:
        raise ValueError(f"the {k} columns of given determine each other; drop one")
    left = [OLS(column, design).fit().resid for column in (values, other_values)]
    for name, column, rest in zip((_name(x, "x"), _name(y, "y")), (values, other_values), left, strict=True):
        if np.std(rest) <= 1e-10 * np.std(column):
            raise ValueError(f"{name} is determined by given: nothing of it is left to correlate")
    r, df = scipy.stats.pearsonr(*left).statistic, n - 2 - k
    with np.errstate(divide="ignore"):  # r = 1: t is infinite and p is 0
        t = abs(r) * np.sqrt(np.divide(df, 1 - r**2))
    return _with_fishers_interval(r, 2 * scipy.stats.t.sf(t, df), n, 1 / np.sqrt(n - k - 3))


def correlation_of_sums(sums: np.ndarray) -> np.ndarray:
    """Pearson's r from sums of 1, x, y, x², y² and xy, (..., 6); NaN where x or y does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (xx - x * x / n) * (yy - y * y / n)
        # What rounding leaves of a constant is not variance.
        return np.where(spread > 1e-13 * xx * yy, (xy - x * y / n) / np.sqrt(spread), np.nan)


def slopes_by_group(table: pd.DataFrame, x: str, y: str, group: str) -> pd.DataFrame:
    """Slope of column y on column x within each group, by least squares, every row taken as independent.

    Returns
    -------
    DataFrame
        A row a group, in alphabetical order: the group, under its own name; `slope`, `low`, `high`, `p` (two-sided, t
        with n - 2 degrees of freedom), `n` and `intercept`.

    Raises
    ------
    ValueError
        When values are missing, or a group has fewer than three rows or a constant x; the message names it.
    """
    if absent := int(table[group].isna().sum()):
        raise ValueError(f"{absent} of {len(table)} rows have no {group}; leave them out")
    rows = []
    for name, part in table.groupby(group):
        try:
            fit = scipy.stats.linregress(*checked(x=part[x], y=part[y], least=3, may_be_constant="y"))
        except ValueError as error:
            raise ValueError(f"{group} {name!r}: {error}; or leave this {group} out") from error
        low, high = fit.slope + fit.stderr * scipy.stats.t.ppf(QUANTILES, len(part) - 2)
        row = {"slope": fit.slope, "low": low, "high": high, "p": fit.pvalue, "n": len(part)}
        rows.append({group: name, **row, "intercept": fit.intercept})
    return pd.DataFrame(rows)


def checked(*, least: int = 4, may_be_constant: str = "", **columns) -> list[np.ndarray]:
    """Columns as arrays of float, once they are found to be of one length, complete and not constant."""
    names = {key: _name(column, key) for key, column in columns.items()}
    arrays = {key: np.asarray(column, float) for key, column in columns.items()}
    label = ", ".join(names.values())
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or len(min(shapes)) != 1:
        raise ValueError(f"{label} must be columns of one length, not of shapes {sorted(shapes)}")
    absent = ~np.isfinite(list(arrays.values())).all(axis=0)
    if absent.any():
        raise ValueError(f"{absent.sum()} of {absent.size} rows lack a finite number in {label}; leave them out")
    if absent.size < least:
        raise ValueError(f"{absent.size} rows of {label}: at least {least} are needed")
    for key, array in arrays.items():
        # A constant that is not exact in binary may carry rounding noise, which is not variance.
        if key != may_be_constant and np.ptp(array) <= 1e-12 * np.abs(array).max():
            raise ValueError(f"{names[key]} is {array[0]:g} in all {array.size} rows; it must vary")
    return list(arrays.values())


def _name(column, otherwise: str) -> str:
    """Name of a column for an error message."""
    return str(column.name) if isinstance(column, pd.Series) and column.name is not None else otherwise


def _with_fishers_interval(r: float, p: float, n: int, error: float) -> Correlation:
    """A correlation whose Fisher transform has that standard error."""
    with np.errstate(divide="ignore"):  # r = 1 has an infinite transform, and comes back as 1
        low, high = np.tanh(np.arctanh(r) + error * scipy.stats.norm.ppf(QUANTILES)).tolist()
    return Correlation(float(r), low, high, float(p), n)
