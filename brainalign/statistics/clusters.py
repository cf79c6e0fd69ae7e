"""Cluster bootstraps: the paper's 17 tuned models descend from 8 bases, and these resample whole bases."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.statistics.correlations import checked


@dataclass(frozen=True)
class Estimate:
    """A statistic of `n` rows in `n_clusters` clusters, with the interval and p of resampling those.

    `undefined` counts the resamples in which the statistic has no value; interval and p come from the others.
    """

    estimate: float
    low: float
    high: float
    p: float
    n: int
    n_clusters: int
    undefined: int
    confidence: float


def bootstrap_by_cluster(
    terms,
    clusters,
    statistic: Callable,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Estimate:
    """Cluster bootstrap of a function of sums: a mean, a ratio of means, a correlation.

    Each resample draws as many whole clusters as there are, with replacement. With about eight of them,
    intervals come out too narrow (Cameron, Gelbach and Miller 2008, Rev. Econ. Stat. 90, 414-427).

    Parameters
    ----------
    terms : (n, m) array
        What each row contributes to each of m sums.
    clusters : (n,) array or Series
        Cluster of each row, its base for instance; at least two different ones.
    statistic
        Function from sums, (..., m), to values, (...).
    seed, resamples
        Seed of the resamples, and how many.
    confidence
        Coverage of the percentile interval, between 0 and 1.

    Returns
    -------
    Estimate
        Its p is twice the smaller share of resamples on either side of zero, and at least 1 / resamples.

    Raises
    ------
    ValueError
        When a term or cluster is missing, there are fewer than two clusters, or no resample has a value.
    """
    terms = np.asarray(terms, float)
    codes, labels = pd.factorize(np.asarray(clusters))
    if absent := int(np.sum(~np.isfinite(terms).all(axis=1) | (codes < 0))):
        raise ValueError(f"{absent} of {len(terms)} rows lack a value or cluster; see statistics.complete")
    if len(labels) < 2:
        raise ValueError(f"a bootstrap over clusters needs two or more of them, not {list(labels)}")
    sums = np.eye(len(labels))[codes].T @ terms
    shares = np.full(len(labels), 1 / len(labels))
    drawn = np.random.default_rng(seed).multinomial(len(labels), shares, size=resamples)
    draws = statistic(drawn @ sums)
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        raise ValueError(f"the statistic has no value in any of {resamples} resamples of {list(labels)}")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    p = np.clip(2 * min(np.mean(defined <= 0), np.mean(defined >= 0)), 1 / resamples, 1)
    return Estimate(
        estimate=float(statistic(sums.sum(axis=0))),
        low=float(low),
        high=float(high),
        p=float(p),
        n=len(terms),
        n_clusters=len(labels),
        undefined=resamples - defined.size,
        confidence=confidence,
    )


def bootstrap_mean_by_cluster(values, clusters, **options) -> Estimate:
    """Mean over rows, with an interval from resampling whole clusters.

    Parameters
    ----------
    values : (n,) array or Series
        In any unit, which the estimate shares. Each row counts once, so that big clusters weigh more.
    clusters : (n,) array or Series
        Cluster of each row.
    **options
        `seed`, `resamples` and `confidence`, as for `bootstrap_by_cluster`, which also says what is raised.
    """
    values = np.asarray(values, float)
    terms = np.column_stack([values, np.ones_like(values)])
    return bootstrap_by_cluster(terms, clusters, lambda sums: sums[..., 0] / sums[..., 1], **options)


def correlation_by_cluster(table: pd.DataFrame, x: str, y: str, cluster: str, **options) -> Estimate:
    """Pearson correlation over rows, with an interval from resampling whole clusters.

    Parameters
    ----------
    table
        A row a model.
    x, y, cluster
        Names of the columns to correlate, and of the one with each row's cluster.
    **options
        `seed`, `resamples` and `confidence`, as for `bootstrap_by_cluster`.

    Returns
    -------
    Estimate
        Its estimate is the r of `pearson`. Resamples in which x or y is constant are `undefined`.

    Raises
    ------
    ValueError
        As `pearson` and `bootstrap_by_cluster` do.
    """
    a, b = (scipy.stats.zscore(column) for column in checked(x=table[x], y=table[y]))
    terms = np.column_stack([np.ones_like(a), a, b, a * a, b * b, a * b])
    return bootstrap_by_cluster(terms, table[cluster], _correlation_of_sums, **options)


def _correlation_of_sums(sums: np.ndarray) -> np.ndarray:
    """Pearson r from sums, (..., 6), of 1, x, y, x², y² and xy of z-scores; NaN where x or y is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    x_variance, y_variance = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
    # All rows together have variance 1: what is near rounding error comes from a resample of one value.
    varies = np.minimum(x_variance, y_variance) > 1e-12
    scale = np.sqrt(np.where(varies, x_variance * y_variance, np.nan))
    return np.clip((xy / n - x * y / n**2) / scale, -1, 1)
