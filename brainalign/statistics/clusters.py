"""Cluster bootstraps: the paper's 17 tuned models descend from 8 bases, and these resample whole bases."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.statistics import INTERVAL
from brainalign.statistics.correlations import checked, correlation_of_sums


@dataclass(frozen=True)
class Estimate:
    """A statistic of `n` rows in `n_clusters` clusters, with the 95 % interval and p of resampling those.

    `undefined` counts the resamples in which the statistic has no value; interval and p come from the others.
    """

    estimate: float
    low: float
    high: float
    p: float
    n: int
    n_clusters: int
    undefined: int


def resampled(n_clusters: int, seed: int, resamples: int) -> np.ndarray:
    """How often each cluster is drawn, with replacement: (resamples, n_clusters) counts."""
    return np.random.default_rng(seed).multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=resamples)


def bootstrap_by_cluster(terms, clusters, statistic: Callable, *, seed: int = 0, resamples: int = 10_000) -> Estimate:
    """Cluster bootstrap of a function of sums: a mean, a ratio of means, a correlation.

    Each resample draws as many whole clusters as there are, with replacement. With about eight of them,
    intervals come out too narrow (Cameron, Gelbach and Miller 2008, Rev. Econ. Stat. 90, 414-427). The interval is
    that of percentiles; p is twice the smaller share of resamples on either side of zero, and at least 1 / resamples.

    Parameters
    ----------
    terms : (n, m) array
        What each row contributes to each of m sums.
    clusters : (n,) array or Series
        Cluster of each row, its base for instance.
    statistic
        Function from sums, (..., m), to values, (...).

    Raises
    ------
    ValueError
        When a term or cluster is missing, there are fewer than two clusters, or no resample has a value.
    """
    terms = np.asarray(terms, float)
    codes, labels = pd.factorize(np.asarray(clusters))
    if absent := int(np.sum(~np.isfinite(terms).all(axis=1) | (codes < 0))):
        raise ValueError(f"{absent} of {len(terms)} rows lack a value or cluster; leave them out")
    if len(labels) < 2:
        raise ValueError(f"a bootstrap over clusters needs two or more of them, not {list(labels)}")
    sums = np.eye(len(labels))[codes].T @ terms
    draws = statistic(resampled(len(labels), seed, resamples) @ sums)
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        raise ValueError(f"the statistic has no value in any of {resamples} resamples of {list(labels)}")
    low, high = np.percentile(defined, INTERVAL).tolist()
    p = float(np.clip(2 * min(np.mean(defined <= 0), np.mean(defined >= 0)), 1 / resamples, 1))
    estimate = float(statistic(sums.sum(axis=0)))
    return Estimate(estimate, low, high, p, len(terms), len(labels), undefined=resamples - defined.size)


def bootstrap_mean_by_cluster(values, clusters, **options) -> Estimate:
    """Mean over rows, (n,), by `bootstrap_by_cluster`. Each row counts once, so that big clusters weigh more."""
    values = np.asarray(values, float)
    terms = np.column_stack([values, np.ones_like(values)])
    return bootstrap_by_cluster(terms, clusters, lambda sums: sums[..., 0] / sums[..., 1], **options)


def correlation_by_cluster(table: pd.DataFrame, x: str, y: str, cluster: str, **options) -> Estimate:
    """The r of `pearson` of two columns, by `bootstrap_by_cluster`; both say what is raised.

    Resamples in which x or y is constant are `undefined`.
    """
    a, b = (scipy.stats.zscore(column) for column in checked(x=table[x], y=table[y]))
    terms = np.column_stack([np.ones_like(a), a, b, a * a, b * b, a * b])
    return bootstrap_by_cluster(terms, table[cluster], correlation_of_sums, **options)
