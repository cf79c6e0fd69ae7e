"""Correlations and slopes on tables with a row a model.

These take models as independent, as the paper does. What resamples whole bases is in `brainalign.statistics.clusters`,
tests of tuned models against their vanilla ones are in `brainalign.statistics.pairs`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second


@dataclass(frozen=True)
class Correlation:
    """A correlation of `n` rows, its confidence interval from `low` to `high`, and its two-sided p."""

    r: float
    low: float
    high: float
    p: float
    n: int
    method: str
    confidence: float

    @property
    def estimate(self) -> float:
        """Its r, under the name that every estimate has."""
        return self.r


def complete(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows of a table in which none of the columns is missing.

    No other function of the book's statistics drops a row: they raise, and the caller says what to leave out.

    Parameters
    ----------
    table
        A row a model.
    columns
        Names of the columns that must be filled.

    Returns
    -------
    DataFrame
        The complete rows, in their order, with all columns and the index they had.

    Raises
    ------
    KeyError
        When the table has no such column.
    """
    return table.dropna(subset=list(columns))


def student(values) -> dict:
    """Mean with a 95 % interval, Student's: mean ± t s / sqrt(n).

    Parameters
    ----------
    values : (n,) array or Series
        None missing.

    Returns
    -------
    dict
        ``estimate``, ``low``, ``high`` (NaN of a single value) and ``n``.
    """
    values = np.asarray(values, float)
    n, mean = len(values), values.mean()
    half = scipy.stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return {"estimate": mean, "low": mean - half, "high": mean + half, "n": n}


def summary(table: pd.DataFrame, by: Sequence[str], value: str, of: str = "mean") -> pd.DataFrame:
    """Mean over repetitions with a 95 % interval: Student's of a measure, Wilson's (1927) of a share of yes and no.

    Parameters
    ----------
    table : DataFrame
        A row per repetition.
    by : sequence of str
        Columns that tell settings apart.
    value : str
        Column to summarize.
    of : str
        What the interval is of: the ``mean``, or ``crowds``, the middle 95 % of them.

    Returns
    -------
    DataFrame
        A row per value of ``by``, in the table's order: ``estimate``, ``low``, ``high``, ``n``.
    """
    rows = []
    for names, values in table.groupby(list(by), sort=False)[value]:
        n, mean = len(values), float(values.mean())
        if of == "crowds":
            low, high = np.quantile(values, [0.025, 0.975])
        elif values.dtype == bool:
            low, high = scipy.stats.binomtest(int(values.sum()), n).proportion_ci(method="wilson")
        else:
            low, high = (student(values)[end] for end in ("low", "high"))
        rows.append(dict(zip(by, names, strict=True)) | {"estimate": mean, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows)


def pearson(x, y, confidence: float = 0.95) -> Correlation:
    """Pearson correlation of two columns, every row taken as independent.

    Parameters
    ----------
    x, y : (n,) arrays or Series
        Any units; at least four rows, none missing.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Correlation
        Its p is that of `scipy.stats.pearsonr`, its interval Fisher's: tanh(artanh r ± z / sqrt(n - 3)).

    Raises
    ------
    ValueError
        When values are missing, rows are fewer than four, or a column is constant.
    """
    x, y = checked(x=x, y=y)
    r, p = scipy.stats.pearsonr(x, y)
    low, high = _fisher_interval(r, 1 / np.sqrt(len(x) - 3), confidence)
    return Correlation(float(r), low, high, float(p), len(x), "pearson", confidence)


def spearman(x, y, confidence: float = 0.95) -> Correlation:
    """Spearman rank correlation of two columns, every row taken as independent.

    Parameters
    ----------
    x, y, confidence
        As for `pearson`. Ties share their mean rank.

    Returns
    -------
    Correlation
        Its p is that of `scipy.stats.spearmanr`, its interval tanh(artanh r ± z sqrt((1 + r²/2) / (n - 3))),
        the standard error of Bonett and Wright (2000), Psychometrika 65, 23-28.

    Raises
    ------
    ValueError
        When values are missing, rows are fewer than four, or a column is constant.
    """
    x, y = checked(x=x, y=y)
    r, p = scipy.stats.spearmanr(x, y)
    low, high = _fisher_interval(r, np.sqrt((1 + r**2 / 2) / (len(x) - 3)), confidence)
    return Correlation(float(r), low, high, float(p), len(x), "spearman", confidence)


def partial_pearson(x, y, given, confidence: float = 0.95) -> Correlation:
    """Pearson correlation of what is left of two columns once others are regressed out of both.

    Parameters
    ----------
    x, y : (n,) arrays or Series
        Any units; none missing; at least four rows more than `given` has columns.
    given : (n,) or (n, k) array, Series or DataFrame
        What is held constant, log10 of the number of parameters for instance.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Correlation
        p from t = r sqrt(df / (1 - r²)) with df = n - 2 - k; Fisher's interval with standard error
        1 / sqrt(n - k - 3) (Fisher 1924, Metron 3, 329-332: each variable held constant costs one row).

    Raises
    ------
    ValueError
        When values are missing, rows are too few, a column is constant, columns of `given` determine each
        other, or they determine x or y.
    """
    if not isinstance(given, pd.DataFrame):
        given = pd.DataFrame(np.asarray(given, float))
    n, k = given.shape
    columns = {f"given {name}": given[name] for name in given}
    x_values, y_values, *held = checked(x=x, y=y, least=k + 4, **columns)
    x_left = _residuals(x_values, held, _name(x, "x"))
    y_left = _residuals(y_values, held, _name(y, "y"))
    r = float(np.clip(x_left @ y_left / (np.linalg.norm(x_left) * np.linalg.norm(y_left)), -1, 1))
    df = n - 2 - k
    with np.errstate(divide="ignore"):  # r = 1: t is infinite and p is 0
        t = abs(r) * np.sqrt(np.divide(df, 1 - r**2))
    low, high = _fisher_interval(r, 1 / np.sqrt(n - k - 3), confidence)
    return Correlation(r, low, high, float(2 * scipy.stats.t.sf(t, df)), n, "partial pearson", confidence)


def fdr(p):
    """Adjust p values for the false discovery rate of the whole set.

    Parameters
    ----------
    p : (n,) array or Series
        Raw p values, none missing. Which tests belong together is the caller's choice.

    Returns
    -------
    (n,) array, or Series with the index of `p`
        Adjusted values, in the order of `p` (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57, 289-300).

    Raises
    ------
    ValueError
        When there are no p values, or some are missing or outside 0 to 1.
    """
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"p must be one column of at least one value, not of shape {values.shape}")
    if wrong := int(np.sum(~((values >= 0) & (values <= 1)))):
        raise ValueError(f"{wrong} of {values.size} p values are missing or outside 0 to 1; leave them out")
    adjusted = multipletests(values, method="fdr_bh")[1]
    return pd.Series(adjusted, p.index, name=p.name) if isinstance(p, pd.Series) else adjusted


def slopes_by_group(
    table: pd.DataFrame, x: str, y: str, group: str = "family", confidence: float = 0.95
) -> pd.DataFrame:
    """Slope of y on x within each group, by ordinary least squares, every row taken as independent.

    Parameters
    ----------
    table
        A row a model; none of x and y missing.
    x, y
        Names of the columns: the slope is in units of y for each unit of x.
    group
        Name of the column with the groups.
    confidence
        Coverage of the intervals, between 0 and 1.

    Returns
    -------
    DataFrame
        A row a group, in alphabetical order. Columns: the group, under its own name; `slope`, `low`, `high`,
        `p` (two-sided, t with n - 2 degrees of freedom), `n` and `intercept`.

    Raises
    ------
    ValueError
        When values are missing, or a group has fewer than three rows or a constant x; the message names it.
    """
    from statsmodels.api import OLS, add_constant

    rows = []
    for name in _groups(table, group):
        part = table[table[group] == name]
        try:
            a, b = checked(x=part[x], y=part[y], least=3, may_be_constant="y")
        except ValueError as error:
            raise ValueError(f"{group} {name!r}: {error}; or leave this {group} out") from error
        fit = OLS(b, add_constant(a)).fit()
        low, high = fit.conf_int(2 * _quantiles(confidence)[0])[1]
        row = {"slope": fit.params[1], "low": low, "high": high, "p": fit.pvalues[1], "n": len(part)}
        rows.append({group: name, **row, "intercept": fit.params[0]})
    return pd.DataFrame(rows)


def leave_one_group_out(
    table: pd.DataFrame, group: str, statistic: Callable, groups: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compute a statistic on the whole table, and without each of its groups.

    With and without the GPT-2 family, for instance:

    ``leave_one_group_out(tuned, "family", lambda t: pearson(t["mmlu"], t["average"]), groups=["GPT2"])``

    Parameters
    ----------
    table
        A row a model.
    group
        Name of the column with the groups.
    statistic
        Function from a table to a dataclass, a DataFrame or a number.
    groups
        Those to leave out in turn; all when None.

    Returns
    -------
    DataFrame
        First the rows with `left_out` = "none", then those of each group in the order given, or alphabetical.
        The other columns are the fields of the dataclass, the columns of the DataFrame, or `value`.

    Raises
    ------
    ValueError
        When the table has no such group, or the statistic fails without one; the message names the group.
    """
    names = _groups(table, group)
    if unknown := sorted(set(groups or []) - set(names)):
        raise ValueError(f"no row has {group} {unknown}; there are {names}")
    frames = [_as_frame(statistic(table), "none")]
    for name in names if groups is None else groups:
        try:
            frames.append(_as_frame(statistic(table[table[group] != name]), name))
        except ValueError as error:
            raise ValueError(f"without {group} {name!r}: {error}") from error
    return pd.concat(frames, ignore_index=True)


def _groups(table: pd.DataFrame, group: str) -> list[str]:
    """Names of the groups, sorted, once every row is found to have one."""
    if absent := int(table[group].isna().sum()):
        raise ValueError(f"{absent} of {len(table)} rows have no {group}; see statistics.complete")
    return sorted(table[group].unique())


def _as_frame(result, left_out: str) -> pd.DataFrame:
    """Rows of a statistic's result, with the group that was left out."""
    if not isinstance(result, pd.DataFrame):
        result = pd.DataFrame([asdict(result) if is_dataclass(result) else {"value": result}])
    return pd.concat([pd.Series(left_out, result.index, name="left_out"), result], axis=1)


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
        raise ValueError(
            f"{absent.sum()} of {absent.size} rows lack a finite number in {label}; see statistics.complete"
        )
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


def _residuals(values: np.ndarray, held: list[np.ndarray], name: str) -> np.ndarray:
    """Residuals of values, (n,), after regression on an intercept and the columns held constant."""
    # Standardized, so that the rank does not depend on units.
    standard = [(column - column.mean()) / column.std() for column in held]
    design = np.column_stack([np.ones_like(values), *standard])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(f"the {len(held)} columns of given determine each other; drop one")
    basis, _ = np.linalg.qr(design)
    left = values - basis @ (basis.T @ values)
    if np.linalg.norm(left) <= 1e-10 * np.linalg.norm(values - values.mean()):
        raise ValueError(f"{name} is determined by given: nothing of it is left to correlate")
    return left


def _quantiles(confidence: float) -> tuple[float, float]:
    """Lower and upper quantile of an interval with that coverage."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, 0.95 for instance, not {confidence}")
    return (1 - confidence) / 2, (1 + confidence) / 2


def _fisher_interval(r: float, error: float, confidence: float) -> tuple[float, float]:
    """Interval of a correlation whose Fisher transform has that standard error."""
    with np.errstate(divide="ignore"):  # r = 1 has an infinite transform, and comes back as 1
        center = np.arctanh(r)
    low, high = np.tanh(center + error * scipy.stats.norm.ppf(_quantiles(confidence)))
    return float(low), float(high)
