"""What goes with brain alignment among the models of a study: knowledge, reasoning, size, next-word loss.

A row a model, correlations over models, and figures of both.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainalign.paper.clusters import correlation_by_cluster
from brainalign.paper.figures import FAMILIES, GRAY, color, name_rows, row_panels
from brainalign.paper.statistics import fdr, partial_pearson, pearson

SIZE, KNOWLEDGE, REASONING, LOSS = "size", "world knowledge", "reasoning", "next-word loss"
LABELS = {
    KNOWLEDGE: "World knowledge (share right)",
    REASONING: "Reasoning (share right)",
    SIZE: "Parameters (log10)",
    LOSS: "Next-word loss (bits per word)",
}
PLAIN, GIVEN_SIZE, BY_BASE = "Pearson", "partial Pearson", "Pearson, bootstrap over bases"
TRAINED = ("vanilla", "instruction-tuned")
MARKS = {PLAIN: ("o", "plain"), GIVEN_SIZE: ("D", "given size"), BY_BASE: ("s", "bootstrap over bases")}


def models(capability: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Trained models beside what may go with their alignment.

    Parameters
    ----------
    capability : DataFrame
        As from ``study.results(study, "capability")``.
    scores : DataFrame
        As from `brain_tables.scores`, of one data set: ``model``, ``protocol`` and ``r``.

    Returns
    -------
    DataFrame
        ``model``, ``family``, ``kind``, ``vanilla``, ``base`` (the model itself if it is vanilla); the keys of
        `LABELS`, in their units, means over benchmarks; and a column a protocol (Pearson r). NaN where something was
        not measured.
    """
    known = capability[(capability.domain == "all") & capability.kind.isin(TRAINED)]
    about = known.drop_duplicates("model")[["model", "family", "kind", "vanilla", "parameters"]]
    about = about.assign(base=about.vanilla.fillna(about.model), **{SIZE: np.log10(about.pop("parameters"))})
    measured = known.pivot_table(index="model", columns="measure", values="value")
    measured = measured.reindex(columns=[name for name in LABELS if name != SIZE])
    aligned = scores.pivot(index="model", columns="protocol", values="r")
    table = about.merge(measured, on="model").merge(aligned, on="model", how="left")
    return table.reset_index(drop=True)


def correlations(table: pd.DataFrame, protocols: list[str], **bootstrap) -> pd.DataFrame:
    """Correlations of each property with brain alignment under each protocol.

    Parameters
    ----------
    table : DataFrame
        As from `models`.
    protocols : list of str
        Columns of it.
    **bootstrap
        As in `clusters.correlation_by_cluster`.

    Returns
    -------
    DataFrame
        ``protocol``, ``property``, ``method`` (`PLAIN`, `GIVEN_SIZE`, `BY_BASE`), ``estimate``, ``low``, ``high``,
        ``p``, ``n`` models, and ``adjusted``: p for the false discovery rate over all rows of one method.

    Raises
    ------
    ValueError
        As in `statistics.pearson`, `statistics.partial_pearson` and `clusters.correlation_by_cluster`.
    """
    rows = []
    for protocol in protocols:
        for name in LABELS:
            some = table.dropna(subset=[name, SIZE, protocol])
            if some.empty:  # the study does not measure it
                continue
            plain = pearson(some[name], some[protocol])
            found = {PLAIN: (plain.r, plain)}
            if name != SIZE:
                given = partial_pearson(some[name], some[protocol], some[SIZE])
                found[GIVEN_SIZE] = (given.r, given)
            clustered = correlation_by_cluster(some, name, protocol, "base", **bootstrap)
            found[BY_BASE] = (clustered.estimate, clustered)
            for method, (r, of) in found.items():
                row = {"protocol": protocol, "property": name, "method": method, "estimate": r}
                rows.append(row | {"low": of.low, "high": of.high, "p": of.p, "n": of.n})
    result = pd.DataFrame(rows)
    return result.assign(adjusted=result.groupby("method").p.transform(fdr))


def forest(table: pd.DataFrame, panels: dict[str, str]) -> plt.Figure:
    """Correlations with their intervals: a row a property, a mark a method, one panel below the other a protocol.

    Parameters
    ----------
    table : DataFrame
        As from `correlations`.
    panels : dict
        Titles of panels by protocol.
    """
    names = [name for name in LABELS if name in set(table.property)]
    methods = [method for method in MARKS if method in set(table.method)]
    tints = dict(zip(methods, FAMILIES.values(), strict=False))
    size = (4.6, len(panels) * (0.62 * len(names) + 0.4) + 0.9)
    figure, axes = plt.subplots(len(panels), figsize=size, sharex=True, squeeze=False)
    for ax, (protocol, title) in zip(axes[:, 0], panels.items(), strict=True):
        for row in table[table.protocol == protocol].itertuples():
            y = names.index(row.property) + 0.24 * (methods.index(row.method) - (len(methods) - 1) / 2)
            tint, (mark, _) = tints[row.method], MARKS[row.method]
            fill = tint if row.low > 0 or row.high < 0 else "none"
            ax.plot([row.low, row.high], [y, y], color=tint, linewidth=1.6)
            ax.plot(row.estimate, y, mark, color=tint, markerfacecolor=fill, markersize=5.5)
        name_rows(ax, names)
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set(title=title, xlim=(-1.05, 1.05))
    for method in methods:
        axes[0, 0].plot([], [], MARKS[method][0], color=tints[method], label=MARKS[method][1])
    figure.legend(loc="outside upper right", ncols=len(methods), fontsize=8, handletextpad=0.1, columnspacing=1)
    axes[-1, 0].set_xlabel("Correlation with brain alignment")
    return figure


def shares(table: pd.DataFrame, chance: float) -> plt.Figure:
    """Shares of right answers, a row a model, one panel below the other a kind of question.

    Parameters
    ----------
    table : DataFrame
        ``measure``, ``model``, ``family``, ``kind``, ``value``, ``low`` and ``high``; its order is that of panels and
        rows.
    chance : float
        Share that is right by guessing.
    """
    figure, panels = row_panels(table, "measure", 0.24)
    for name, (ax, rows) in panels.items():
        for y, row in enumerate(rows.itertuples()):
            tint = color(row.family) if row.kind in TRAINED else GRAY
            fill = tint if row.kind == "instruction-tuned" else "none"
            ax.plot([row.low, row.high], [y, y], color=tint, linewidth=1.8)
            ax.plot(row.value, y, "o", color=tint, markerfacecolor=fill, markersize=5.5)
        name_rows(ax, list(rows.model))
        ax.axvline(chance, color=GRAY, linewidth=0.9, linestyle="--")
        ax.set_title(name.capitalize())
    ax.set_xlabel("Share of right answers (dashed: chance)")
    return figure
