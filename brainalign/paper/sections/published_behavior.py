"""Section 5 on the printed scores: does tuning raise behavioral alignment, and what correlates with it?"""

import pandas as pd

from brainalign.paper.claims.printed import Printed
from brainalign.paper.publish.numbers import Live, correlation, p_value
from brainalign.paper.sections import columns
from brainalign.paper.sections.columns import IDENTITY
from brainalign.paper.sections.covariates import as_row
from brainalign.paper.sections.estimates import HOLDS, Finding, live, lives, verdict
from brainalign.paper.sections.published_factors import PROPERTIES
from brainalign.statistics import ALPHA
from brainalign.statistics.correlations import pearson
from brainalign.statistics.pairs import make_pairs, over_bases, paired_tests

SCORE = "futrell2018"
# What may correlate with the score: its column, over which models, and the label of its panel. Losses of the two
# families are computed differently.
FACTORS = (
    ("mmlu", "tuned", "MMLU"),
    ("log_size", "tuned", "Size"),
    ("wikitext2_nwp_loss", "t5-tuned", "T5"),
    ("wikitext2_nwp_loss", "llama-tuned", "LLaMA"),
)
COLUMNS_OF_TABLE_9 = IDENTITY | columns.numbers(".3f", **{SCORE: "Futrell2018 (r)"})
COLUMNS_OF_TABLE_10 = columns.named("dataset") | columns.numbers(".3f", "ceiling")


def pairs(tables: Printed) -> pd.DataFrame:
    """Pairs of the paper's 25 models on behavioral alignment (Pearson r)."""
    return make_pairs(tables.group("main"), SCORE)


def tests(pairs: pd.DataFrame, **bootstrap) -> pd.DataFrame:
    """Tests of the mean difference of r, as from `pairs.paired_tests`."""
    return paired_tests(pairs, effect="difference", **bootstrap)


def finding_of_change(pairs: pd.DataFrame, tests: pd.DataFrame) -> Finding:
    """The mean change over bases and its p, how many pairs do not gain, and the verdict by the interval."""
    change, gain = over_bases(tests), (pairs.tuned > pairs.vanilla).sum()
    word = verdict(change, "raises", "lowers", "does not raise")
    numbers = [
        live("behavior.change", change, "+.3f", n=change.n_bases, method="mean difference of r over base models, t"),
        Live("behavior.change.p", p_value(change.p)),
        Live("behavior.without-gain", len(pairs) - gain, "d", n=len(pairs)),
        Live("behavior.verdict", word),
        Live(
            "behavior.holds",
            verdict(change, "contradicted", HOLDS, "undecided"),
            method="that tuning does not raise it",
        ),
    ]
    return Finding(numbers, f"Tuning {word} behavioral alignment: {gain} of {len(pairs)} pairs gain")


def correlations(tables: Printed) -> pd.DataFrame:
    """Pearson correlations of four properties with behavioral alignment over tuned models.

    A row a property: ``property``, ``group`` (of `Printed.group`), ``label``, ``estimate``, ``low``, ``high``, ``p``
    and ``n`` models.
    """

    def row(name: str, group: str, label: str) -> dict:
        models = tables.group(group)
        return {"property": name, "group": group, "label": label, **as_row(pearson(models[name], models[SCORE]))}

    return pd.DataFrame([row(*factor) for factor in FACTORS])


def finding_of_correlations(correlations: pd.DataFrame) -> Finding:
    """Each correlation as ``behavior.PROPERTY.r`` with its ``.p``, and how many have a p below .05."""
    family = correlations.group.str.removesuffix("tuned").str.removesuffix("-")
    key = correlations.property.str.replace("_", "-") + ("." + family).where(family != "", "")
    rows = correlations.assign(key="behavior." + key, in_words=correlations.p.map(p_value))
    clear = rows[rows.p < ALPHA]
    numbers = [
        *lives(rows, "{key}.r", method="Pearson"),
        *(Live(f"{row.key}.p", row.in_words, n=row.n, method="Pearson") for row in rows.itertuples()),
        Live("behavior.factors.found", len(clear), "d"),
    ]
    names = clear.label.where(clear.group == "tuned", "the loss of " + clear.label + " models")
    return Finding(numbers, f"Behavioral alignment correlates with {', '.join(names) or 'none of four properties'}")


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
