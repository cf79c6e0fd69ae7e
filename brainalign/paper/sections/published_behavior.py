"""Section 5 on the printed scores: does tuning raise behavioral alignment, and what correlates with it?

tables = printed.load()
pairs = published_behavior.pairs(tables)
tests = published_behavior.tests(pairs, seed=0)
notebook.show(*published_behavior.numbers_of_change(pairs, tests))
"""

import pandas as pd

from brainalign.paper.claims.printed import Printed
from brainalign.paper.publish.numbers import Live, correlation, p_value
from brainalign.paper.sections.published_factors import PROPERTIES, as_columns
from brainalign.paper.sections.published_models import IDENTITY
from brainalign.statistics import ALPHA
from brainalign.statistics.correlations import pearson
from brainalign.statistics.pairs import make_pairs, paired_tests

SCORE = "futrell2018"
# What may correlate with the score: its column, over which models, and the label of its panel. Losses of the two
# families are computed differently.
FACTORS = (
    ("mmlu", "tuned", "MMLU"),
    ("log_size", "tuned", "Size"),
    ("wikitext2_nwp_loss", "t5-tuned", "T5"),
    ("wikitext2_nwp_loss", "llama-tuned", "LLaMA"),
)
# Columns of the tables, and the form of their numbers.
COLUMNS_OF_TABLE_9 = {**IDENTITY, SCORE: ("Futrell2018 (r)", ".3f")}
COLUMNS_OF_TABLE_10 = {"dataset": "Data set", "ceiling": ("Ceiling", ".3f")}


def pairs(tables: Printed) -> pd.DataFrame:
    """Pairs of the paper's 25 models on behavioral alignment (Pearson r)."""
    return make_pairs(tables.group("main"), SCORE)


def tests(pairs: pd.DataFrame, **bootstrap) -> pd.DataFrame:
    """Tests of the mean difference of r, as from `pairs.paired_tests`; the first is the paired t test."""
    return paired_tests(pairs, effect="difference", **bootstrap)


def verdict(tests: pd.DataFrame) -> str:
    """What tuning does to behavioral alignment, by the interval of the paired t test."""
    change = tests.iloc[0]
    return "raises" if change.low > 0 else "lowers" if change.high < 0 else "does not raise"


def numbers_of_change(pairs: pd.DataFrame, tests: pd.DataFrame) -> list[Live]:
    """The mean change with tuning and its p, how many pairs do not gain, and the verdict."""
    change, method = tests.iloc[0], "mean difference of r, paired t"
    return [
        Live("behavior.change", change.estimate, "+.3f", low=change.low, high=change.high, n=change.n, method=method),
        Live("behavior.change.p", p_value(change.p)),
        Live("behavior.without-gain", (pairs.tuned <= pairs.vanilla).sum(), "d", n=len(pairs)),
        Live("behavior.verdict", verdict(tests)),
    ]


def title_of_change(pairs: pd.DataFrame, tests: pd.DataFrame) -> str:
    """What Figure 3A shows."""
    gain = (pairs.tuned > pairs.vanilla).sum()
    return f"Tuning {verdict(tests)} behavioral alignment: {gain} of {len(pairs)} pairs gain"


def correlations(tables: Printed) -> pd.DataFrame:
    """Pearson correlations of four properties with behavioral alignment over tuned models.

    Returns
    -------
    DataFrame
        A row a property: ``property``, ``group`` (of `Printed.group`), ``label``, ``estimate``, ``low``, ``high``,
        ``p`` and ``n`` models.
    """

    def row(name: str, group: str, label: str) -> dict:
        models = tables.group(group)
        return {"property": name, "group": group, "label": label, **as_columns(pearson(models[name], models[SCORE]))}

    return pd.DataFrame([row(*factor) for factor in FACTORS])


def numbers_of_correlations(correlations: pd.DataFrame) -> list[Live]:
    """Each correlation as ``behavior.PROPERTY.r`` with its ``.p``, and how many have a p below .05."""
    numbers = []
    for row in correlations.itertuples():
        family = "" if row.group == "tuned" else f".{row.group.removesuffix('-tuned')}"
        key, about = f"behavior.{row.property.replace('_', '-')}{family}", {"n": row.n, "method": "Pearson"}
        numbers += [
            Live(f"{key}.r", row.estimate, low=row.low, high=row.high, **about),
            Live(f"{key}.p", p_value(row.p), **about),
        ]
    return [*numbers, Live("behavior.factors.found", (correlations.p < ALPHA).sum(), "d")]


def title_of_correlations(correlations: pd.DataFrame) -> str:
    """With which properties behavioral alignment correlates, if any."""
    significant = [
        row.label if row.group == "tuned" else f"the loss of {row.label} models"
        for row in correlations[correlations.p < ALPHA].itertuples()
    ]
    return f"Behavioral alignment correlates with {', '.join(significant) or 'none of four properties'}"


def models(tables: Printed, group: str = "tuned") -> pd.DataFrame:
    """Tuned models of a group of `Printed.group` with their behavioral alignment and their properties."""
    return tables.group(group)[[*IDENTITY, "vanilla", SCORE, *PROPERTIES]]


def panels(correlations: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Panels of `figures.scatter`, one a row, each with its correlation."""
    return [
        (row.property, SCORE, f"{row.label}: {correlation(row.estimate)}, {p_value(row.p)}")
        for row in correlations.itertuples()
    ]


def title_of_loss(loss: pd.Series) -> str:
    """Whether behavioral alignment correlates with the loss of a family, a row of `correlations`."""
    correlates = "correlates" if loss.p < ALPHA else "does not correlate"
    return f"Among tuned {loss.label} models, the loss {correlates} with behavioral alignment"
