"""Section 4.2 on the printed scores: which properties of a model correlate with brain alignment?"""

import numpy as np
import pandas as pd

from brainalign.paper.claims.printed import Printed
from brainalign.paper.figures import GRAY, color
from brainalign.paper.publish.numbers import Live, correlation, p_value
from brainalign.paper.sections import columns
from brainalign.paper.sections.columns import IDENTITY
from brainalign.paper.sections.covariates import as_row
from brainalign.paper.sections.estimates import HOLDS, Finding, live, lives, verdict
from brainalign.statistics import ALPHA
from brainalign.statistics.clusters import correlation_by_cluster
from brainalign.statistics.correlations import partial_pearson, pearson, slopes_by_group, spearman

SCORE = "average"
# What may correlate with alignment: column of the printed models to label.
PROPERTIES = {"mmlu": "MMLU", "bbh": "BBH", "log_size": "size", "wikitext2_nwp_loss": "WikiText-2 loss"}
WITHIN = ("log_size", "mmlu", "wikitext2_nwp_loss")  # correlated within families
WITH_GPT2 = ("log_size", "mmlu")  # and with the GPT-2 family added
COLUMNS_OF_FIGURE_7 = [*IDENTITY, "vanilla", "size", SCORE]
COLUMNS_OF_TABLE_2 = (
    columns.named("benchmark", "category")
    | columns.numbers(".3f", r="r")
    | columns.interval(".2f")
    | {"p": "p, adjusted"}
    | columns.numbers(".0f", n_tasks="Tasks")
    | columns.numbers(".2f", mean_accuracy="Accuracy")
)
COLUMNS_OF_TABLE_7 = columns.named("model", "family")
COLUMNS_OF_TABLE_7 |= columns.numbers(".3f", wikitext2_nwp_loss="Loss", mmlu="MMLU", bbh="BBH")
COLUMNS_OF_SLOPES = (
    columns.named("family")
    | columns.interval(".3f", slope="Slope")
    | columns.numbers(".1e", p="p")
    | columns.numbers(".0f", n="Models")
)


def correlations(tables: Printed, **bootstrap) -> pd.DataFrame:
    """Correlations of each property with average brain alignment over the tuned models.

    Of each property Pearson's r, the same with the base as the cluster, the ranks', and that with size held constant;
    of size, also with MMLU and with BBH held constant. Rows of `figures.forest`: ``property``, ``label``, ``kind`` (the
    method), ``estimate``, ``low``, ``high``, ``p`` and ``n`` models.
    """
    tuned = tables.group("tuned")
    rows = [row for name in PROPERTIES for row in _by_method(tuned, name, **bootstrap)]
    rows += [_given(tuned, "log_size", held) for held in ("mmlu", "bbh")]
    return pd.DataFrame(rows).sort_values("property", kind="stable", ignore_index=True)


def _by_method(tuned: pd.DataFrame, name: str, **bootstrap) -> list[dict]:
    label, x, y = PROPERTIES[name], tuned[name], tuned[SCORE]
    clustered = correlation_by_cluster(tuned, name, SCORE, "vanilla", **bootstrap)
    results = [
        (label, "Pearson", pearson(x, y)),
        (f"{label}, by base", "Pearson, bootstrap over bases", clustered),
        (f"{label}, ranks", "Spearman", spearman(x, y)),
    ]
    rows = [{"property": name, "label": label, "kind": kind} | as_row(result) for label, kind, result in results]
    return rows if name == "log_size" else [*rows, _given(tuned, name, "log_size")]


def _given(tuned: pd.DataFrame, name: str, held: str) -> dict:
    label = f"{PROPERTIES[name]}, given {PROPERTIES[held]}"
    partial = partial_pearson(tuned[name], tuned[SCORE], tuned[held])
    return {"property": name, "label": label, "kind": "partial Pearson"} | as_row(partial)


def finding_of_correlations(correlations: pd.DataFrame) -> Finding:
    """Each correlation as ``r.LABEL`` and ``r.LABEL.p``, and what remains of MMLU's and size's given each other."""
    rows = correlations.assign(in_words=correlations.p.map(p_value))
    rows = rows.assign(key=rows.label.str.lower().str.replace(", ", ".").str.replace(" ", "-"))
    remains = (rows.set_index("label").p < ALPHA).map({True: "remains", False: "does not remain"})
    survives, size = remains["MMLU, given size"] == "remains", rows.set_index("label").loc["size, by base"]
    numbers = [
        *lives(rows, "r.{key}", method="{kind}"),
        *(Live(f"r.{row.key}.p", row.in_words, n=row.n, method=row.kind) for row in rows.itertuples()),
        Live("size.holds", verdict(size, HOLDS, "contradicted", "not reliable"), method="interval over bases"),
        Live("mmlu.holds", HOLDS if survives else "explained by size", method="partial correlation given log size"),
        Live("mmlu.given-size.verdict", remains["MMLU, given size"]),
        Live("size.given-mmlu.verdict", remains["size, given MMLU"]),
    ]
    given = " even with size held constant" if survives else ", but hardly once size is held constant"
    return Finding(numbers, f"MMLU correlates with brain alignment{given}")


def models(tables: Printed) -> pd.DataFrame:
    """The tuned models with their average score and their properties."""
    return tables.group("tuned")[[*IDENTITY, "vanilla", SCORE, *PROPERTIES]]


def panels(correlations: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Panels of `figures.scatter`, one a property, each with its correlation."""
    plain = correlations[correlations.kind == "Pearson"].set_index("property")
    return [
        (name, SCORE, f"{label}: {correlation(*plain.loc[name, ['estimate', 'low', 'high']])}")
        for name, label in PROPERTIES.items()
    ]


def title_of_panels(correlations: pd.DataFrame) -> str:
    """What Figure 2 shows."""
    plain = correlations[correlations.kind == "Pearson"]
    closest = plain.label[plain.estimate.abs().idxmax()]
    return f"{closest[0].upper()}{closest[1:]} correlates with brain alignment most closely"


def title_of_losses(correlations: pd.DataFrame) -> str:
    """What Figure 6 adds: the sign of the correlation with the printed losses."""
    if correlations.set_index("label").estimate["WikiText-2 loss"] > 0:
        return "The printed losses correlate positively with brain alignment, not negatively as the paper says"
    return "The printed losses correlate negatively with brain alignment, as the paper says"


def finding_with_vanilla(tables: Printed) -> Finding:
    """Correlation of size with average brain alignment over the 25 models, vanilla ones among them."""
    main = tables.group("main")
    size = live("r.size.all", as_row(pearson(main["log_size"], main[SCORE])))
    verb = "too, size correlates" if size.low > 0 else "size no longer correlates"
    return Finding([size], f"With the vanilla models, {verb} with brain alignment")


def panel_with_vanilla(size: Live) -> tuple[str, str, str]:
    """The panel of Figure 7."""
    return "log_size", SCORE, correlation(size.value, size.low, size.high)


def families(tables: Printed) -> pd.DataFrame:
    """Correlations with average brain alignment within each family, and with the GPT-2 family added to all.

    Rows of `figures.forest`: ``label`` (the property, and the family or "with GPT-2"), ``property``, ``estimate``,
    ``low``, ``high``, ``p``, ``n`` models and ``color``.
    """
    groups = tables.group("tuned").groupby("family")
    parts = [(family, rows, WITHIN, color(family)) for family, rows in groups]
    parts.append(("with GPT-2", tables.group("with-gpt2-tuned"), WITH_GPT2, GRAY))
    rows = [
        {"label": f"{PROPERTIES[name]}, {part}", "property": name, **_plain(models, name), "color": tint}
        for part, models, names, tint in parts
        for name in names
    ]
    return pd.DataFrame(rows).sort_values("property", kind="stable")


def _plain(models: pd.DataFrame, name: str) -> dict[str, float]:
    rows = models.dropna(subset=[name, SCORE])
    return as_row(pearson(rows[name], rows[SCORE]))


def finding_of_families(families: pd.DataFrame) -> Finding:
    """Each correlation, as ``r.PROPERTY.FAMILY`` or ``r.PROPERTY.with-gpt2``; the title is about size."""
    part = families.label.str.split(", ").str[1]
    slug = part.str.lower().replace("with gpt-2", "with-gpt2")
    rows = families.assign(
        key=families.property.str.replace("_", "-") + "." + slug,
        method=part.map({"with GPT-2": ""}).fillna("Pearson within the family"),
    )
    numbers = lives(rows, "r.{key}", method="{method}")
    size = part[families.label.isin(["size, T5", "size, LLaMA"]) & (families.low < 0) & (families.high > 0)]
    if len(size):
        return Finding(numbers, f"Within {' and '.join(size)}, size does not correlate with brain alignment")
    return Finding(numbers, "Size correlates with brain alignment within both families")


def slopes(tables: Printed) -> pd.DataFrame:
    """Gain in average brain alignment (Pearson r) per tenfold size within each family, GPT-2 among them."""
    return slopes_by_group(tables.group("with-gpt2-tuned"), "log_size", SCORE, "family")


def table_2(tables: Printed) -> pd.DataFrame:
    """Table 2 with the 95 % intervals of Fisher's z that the printed r and n imply, as ``low`` and ``high``."""
    rows = tables.correlations[tables.correlations.benchmark.isin(["MMLU", "BBH"])]
    z, error = np.arctanh(rows.r), 1 / np.sqrt(rows.n_models - 3)
    return rows.assign(low=np.tanh(z - 1.96 * error), high=np.tanh(z + 1.96 * error))


def table_7(tables: Printed) -> pd.DataFrame:
    """Models of Table 7, all of them tuned."""
    return tables.models.dropna(subset=["mmlu"])
