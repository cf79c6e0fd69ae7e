"""Section 4.1 on the printed scores: does tuning raise brain alignment, and what does the answer rest on?

tables = printed.load()
changes = published_brain.changes(tables, seed=0)
notebook.show(*published_brain.numbers_of_changes(changes))
"""

import pandas as pd

from brainalign.paper.claims.printed import BRAIN_DATASETS, Printed
from brainalign.paper.publish.numbers import Live, p_value
from brainalign.paper.sections.published_models import IDENTITY
from brainalign.statistics import ALPHA
from brainalign.statistics.clusters import Estimate
from brainalign.statistics.pairs import change_of_mean, make_pairs, mean_of_changes, paired_tests, percent_changes

DATASETS = ["average", *BRAIN_DATASETS]
NOT_RUN = "not run: needs recordings and models"
# Columns of the tables, and the form of their numbers.
COLUMNS_OF_TESTS = {
    "test": "Test",
    "unit": "Unit",
    "estimate": ("Estimate", ".2f"),
    "low": ("low", ".2f"),
    "high": ("high", ".2f"),
    "p": ("p", ".4f"),
    "n": ("Pairs", ".0f"),
    "n_bases": ("Bases", ".0f"),
}
COLUMNS_OF_TABLE_5 = {
    **IDENTITY,
    "pereira2018": ("Pereira2018", ".3f"),
    "blank2014": ("Blank2014", ".3f"),
    "wehbe2014": ("Wehbe2014", ".3f"),
    "average": ("Average", ".3f"),
}
COLUMNS_OF_TABLE_6 = {"dataset": "Data set", "ceiling": ("Ceiling (Pearson r)", ".3f")}


def pairs(tables: Printed) -> pd.DataFrame:
    """Pairs of the paper's 25 models on the average of its data sets, with each one's ``percent_change``."""
    return percent_changes(make_pairs(tables.group("main"), "average"))


def pairs_by_dataset(tables: Printed) -> pd.DataFrame:
    """The same on each data set and their average, with the column ``dataset``."""
    main = tables.group("main")
    return pd.concat([percent_changes(make_pairs(main, name)).assign(dataset=name) for name in DATASETS])


def changes(tables: Printed, **bootstrap) -> pd.DataFrame:
    """Change with tuning on each data set, in percent.

    Parameters
    ----------
    tables : Printed
    **bootstrap
        `seed` and `resamples` of the bootstrap over bases.

    Returns
    -------
    DataFrame
        A row a data set: ``estimate`` with ``low`` and ``high``, the mean over pairs of each one's change; ``of_mean``
        with its ends, the change of the mean score; ``printed``; ``n`` pairs in ``n_clusters`` bases.
    """
    main = tables.group("main")

    def row(dataset: str) -> dict:
        table = make_pairs(main, dataset)
        of_mean = change_of_mean(table, **bootstrap)
        ends = {"of_mean": of_mean.estimate, "of_mean_low": of_mean.low, "of_mean_high": of_mean.high}
        mean = vars(mean_of_changes(table, **bootstrap))
        return {"dataset": dataset, **mean, **ends, "printed": tables.changes[dataset]}

    return pd.DataFrame(map(row, DATASETS))


def numbers_of_changes(changes: pd.DataFrame) -> list[Live]:
    """Numbers of `changes`, as ``change.DATASET``, and of its pairs."""
    average, numbers = changes.iloc[0], []
    for row in changes.itertuples():
        key, n, percent = f"change.{row.dataset}", row.n, ("+.1f", " %")
        mean, of_mean = "mean of the pairs' changes, bootstrap over bases", "change of the mean score"
        numbers += [
            Live(key, row.estimate, *percent, low=row.low, high=row.high, n=n, method=mean),
            Live(f"{key}.printed", row.printed, *percent, method="as printed"),
            Live(
                f"{key}.of-mean", row.of_mean, *percent, low=row.of_mean_low, high=row.of_mean_high, n=n, method=of_mean
            ),
        ]
    printed, method = changes.printed[1:].mean(), "mean of the three printed changes"
    numbers += [Live("pairs.n", average.n, "d"), Live("pairs.bases", average.n_clusters, "d")]
    return [*numbers, Live("change.mean-of-printed", printed, "+.1f", " %", method=method)]


def tests(tables: Printed, **bootstrap) -> pd.DataFrame:
    """Seven tests of the average change: two over pairs, five over bases (`pairs.paired_tests`)."""
    return paired_tests(make_pairs(tables.group("main"), "average"), effect="percent", **bootstrap)


def verdict(tests: pd.DataFrame) -> str:
    """What tuning does to brain alignment, by the sign flip over bases.

    It is exact, and assumes only that tuning could as well have turned all effects of a base the other way.
    """
    flip = _sign_flip(tests)
    return "does not reliably raise" if flip.p >= ALPHA else "raises" if flip.estimate > 0 else "lowers"


def numbers_of_tests(tests: pd.DataFrame) -> list[Live]:
    """The p value of each test, as ``test.UNIT.TEST``, how many of those over bases find a change, and the verdict."""
    numbers = [
        Live(
            f"test.{row.unit}.{row.test}".lower().replace(" ", "-"),
            p_value(row.p),
            n=row.n,
            method=f"{row.test} over {row.unit}s",
        )
        for row in tests.itertuples()
    ]
    by_base, flip = tests[tests.unit == "base"], _sign_flip(tests)
    method = "tests with the base as the unit whose p is below .05"
    rests_on = f"sign flip over {flip.n_bases} bases, {p_value(flip.p)}"
    return [
        *numbers,
        Live("tests.base.n", len(by_base), "d"),
        Live("tests.base.significant", (by_base.p < ALPHA).sum(), "d", method=method),
        Live("change.verdict", verdict(tests), n=flip.n, method=rests_on),
    ]


def _sign_flip(tests: pd.DataFrame) -> pd.Series:
    return tests.set_index("test").loc["sign flip"]


def by_base(pairs: pd.DataFrame) -> pd.Series:
    """Mean change of the models tuned from each base, in percent, ascending."""
    return pairs.groupby("base").percent_change.mean().sort_values()


def numbers_by_family(pairs: pd.DataFrame) -> list[Live]:
    """Who gains and who loses."""
    bases, families = by_base(pairs), pairs.groupby("family").percent_change
    small, large = bases["t5-small"], bases["t5-large"]
    losing = "bases whose tuned models score lower on average"
    return [
        Live("bases.losing", (bases < 0).sum(), "d", method=losing),
        Live("pairs.losing", (pairs.percent_change < 0).sum(), "d", method="pairs that lose"),
        Live("change.t5-small-large", (small + large) / 2, "+.0f", " %"),
        Live("change.llama", families.mean()["LLaMA"], "+.1f", " %", n=families.size()["LLaMA"]),
        Live("change.t5", families.mean()["T5"], "+.1f", " %", n=families.size()["T5"]),
    ]


def title_of_pairs(pairs: pd.DataFrame) -> str:
    """What Figure 1B shows."""
    most = by_base(pairs).idxmax()
    family = pairs.set_index("base").family[most].iloc[0]
    return f"Tuning raises {(pairs.percent_change > 0).sum()} of {len(pairs)} pairs, and {family} models most"


def strip(changes: pd.DataFrame, study: list[dict] | None = None) -> pd.DataFrame:
    """The average change as printed, as recomputed, and in a study: rows of `figures.strip`.

    Parameters
    ----------
    changes : DataFrame
        As from `changes`.
    study : list of dict, optional
        Rows of the study; the place of its own where it measured nothing.
    """
    average = changes.iloc[0]
    printed = {"label": "as printed", "estimate": average.printed, "note": "no interval printed"}
    recomputed = {"label": "recomputed", **row_of_strip(average)}
    return pd.DataFrame([printed, recomputed, *(study or [{"label": "this study", "note": NOT_RUN}])])


def row_of_strip(mean: Estimate | pd.Series) -> dict:
    """A mean of changes with its interval over bases, and a note on what it rests."""
    note = f"{mean.n} pairs, bootstrap over {mean.n_clusters} bases"
    return {"estimate": mean.estimate, "low": mean.low, "high": mean.high, "note": note}


def title_of_changes(changes: pd.DataFrame) -> str:
    """What Figure 1C shows."""
    clear = changes.dataset[changes.low > 0]
    return f"The interval excludes zero for {len(clear)} of {len(changes)}: {', '.join(clear)}"


def robustness(tables: Printed, **bootstrap) -> pd.DataFrame:
    """The average change with the GPT-2 family, of it alone, and without each family and each base.

    Returns
    -------
    DataFrame
        Rows of `figures.forest`; ``group`` is ``all``, ``family`` or ``base``, ``left_out`` who is.
    """
    main, everyone = pairs(tables), make_pairs(tables.group("with-gpt2"), "average")

    def change(table: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame([vars(mean_of_changes(table, **bootstrap))])

    def without(group: str) -> pd.DataFrame:
        names = sorted(main[group].unique())
        left = pd.concat([change(main[main[group] != name]).assign(left_out=name) for name in names])
        return left.assign(label="without " + left.left_out, group=group)

    whole = {"all pairs": main, "with GPT-2 added": everyone, "GPT-2 alone": everyone.query("family == 'GPT2'")}
    rows = [change(table).assign(label=label, group="all") for label, table in whole.items()]
    return pd.concat([*rows, without("family"), without("base")])


def numbers_of_robustness(robustness: pd.DataFrame) -> list[Live]:
    """The change with GPT-2, of GPT-2 alone, and without the base that matters most."""
    least = _least(robustness)
    rows = robustness.set_index("label")
    named = {"change.gpt2": "GPT-2 alone", "change.with-gpt2": "with GPT-2 added"}
    named_rows = [(key, rows.loc[label]) for key, label in named.items()]
    return [
        *(Live(key, row.estimate, "+.1f", " %", low=row.low, high=row.high, n=row.n) for key, row in named_rows),
        Live("change.without-one.least", least.estimate, "+.1f", " %", low=least.low, high=least.high),
        Live("change.without-one.least.base", least.left_out),
    ]


def title_of_robustness(robustness: pd.DataFrame, tables: Printed) -> str:
    """On which base the change rests most, and whether all GPT-2 models lose."""
    shrinks = f"without {_least(robustness).left_out} the gain shrinks most"
    gpt2 = make_pairs(tables.group("with-gpt2"), "average").query("family == 'GPT2'")
    lose = (gpt2.tuned < gpt2.vanilla).all()
    return f"Every GPT-2 model loses with tuning, and {shrinks}" if lose else shrinks[0].upper() + shrinks[1:]


def _least(robustness: pd.DataFrame) -> pd.Series:
    without = robustness[robustness.group == "base"]
    return without.loc[without.estimate == without.estimate.min()].iloc[0]


def above_ceiling(tables: Printed) -> pd.DataFrame:
    """Models whose average score exceeds its noise ceiling."""
    main = tables.group("main")
    return main.loc[main.average > tables.ceilings["average"], ["model", "average"]]


def numbers_of_ceilings(tables: Printed) -> list[Live]:
    """Printed noise ceilings, and how many models score above them."""
    main, above = tables.group("main"), len(above_ceiling(tables))
    pereira = (main.pereira2018 > tables.ceilings["pereira2018"]).sum()
    return [
        *(Live(f"ceiling.{name}", value, ".3f", method="as printed") for name, value in tables.ceilings.items()),
        Live("ceiling.above.n", above, "d", n=len(main), method="models whose average exceeds its ceiling"),
        Live("ceiling.above.pereira2018", pereira, "d", n=len(main)),
    ]


def table_6(tables: Printed) -> pd.DataFrame:
    """Printed noise ceilings of the brain data sets and of their average (Pearson r), a row each."""
    return tables.ceilings[[*BRAIN_DATASETS, "average"]].reset_index()
