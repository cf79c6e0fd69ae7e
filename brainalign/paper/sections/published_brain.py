"""Section 4.1 on the printed scores: does tuning raise brain alignment, and what does the answer rest on?

Intervals are those of a bootstrap over bases, of which `bootstrap` has the `seed` and the number of `resamples`.
"""

import pandas as pd

from brainalign.paper.claims.printed import BRAIN_DATASETS, Printed
from brainalign.paper.publish.numbers import Live, p_value
from brainalign.paper.sections import columns
from brainalign.paper.sections.columns import IDENTITY
from brainalign.paper.sections.estimates import HOLDS, Finding, live, lives, verdict
from brainalign.statistics import ALPHA
from brainalign.statistics.pairs import (
    change_of_mean,
    make_pairs,
    mean_of_changes,
    over_bases,
    paired_tests,
    percent_changes,
    t_test_over_bases,
)

DATASETS = ["average", *BRAIN_DATASETS]
NOT_RUN = "not run: needs recordings and models"
PERCENT = ("+.1f", " %")  # form and unit of changes
COLUMNS_OF_TESTS = (
    columns.named("test", "unit")
    | columns.interval(".2f", estimate="Estimate")
    | columns.numbers(".4f", p="p")
    | columns.numbers(".0f", n="Pairs", n_bases="Bases")
)
COLUMNS_OF_TABLE_5 = IDENTITY | columns.numbers(".3f", *BRAIN_DATASETS, "average")
COLUMNS_OF_TABLE_6 = columns.named("dataset") | columns.numbers(".3f", ceiling="Ceiling (Pearson r)")


def pairs(tables: Printed) -> pd.DataFrame:
    """Pairs of the paper's 25 models on the average of its data sets, with each one's ``percent_change``."""
    return percent_changes(make_pairs(tables.group("main"), "average"))


def pairs_by_dataset(tables: Printed) -> pd.DataFrame:
    """The same on each data set and their average, with the column ``dataset``."""
    main = tables.group("main")
    return pd.concat([percent_changes(make_pairs(main, name)).assign(dataset=name) for name in DATASETS])


def changes(tables: Printed, **bootstrap) -> pd.DataFrame:
    """Change with tuning on each data set, in percent.

    A row a data set: ``estimate`` with ``low`` and ``high``, the mean over pairs of each one's change; ``of_mean`` with
    its ends, the change of the mean score; ``printed``; ``n`` pairs in ``n_clusters`` bases.
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
    average, printed = changes.iloc[0], changes[["dataset", "printed"]]
    of_mean = changes[["dataset", "n", "of_mean", "of_mean_low", "of_mean_high"]]
    of_mean = of_mean.rename(columns=lambda name: name.removeprefix("of_mean_"))
    mean, mean_of_printed = "mean of the pairs' changes, bootstrap over bases", "mean of the three printed changes"
    return [
        *lives(changes, "change.{dataset}", *PERCENT, method=mean),
        *lives(printed, "change.{dataset}.printed", *PERCENT, method="as printed", value="printed"),
        *lives(of_mean, "change.{dataset}.of-mean", *PERCENT, method="change of the mean score", value="of_mean"),
        Live("pairs.n", average.n, "d"),
        Live("pairs.bases", average.n_clusters, "d"),
        Live("change.mean-of-printed", printed.printed[1:].mean(), *PERCENT, method=mean_of_printed),
    ]


def tests(tables: Printed, **bootstrap) -> pd.DataFrame:
    """Seven tests of the average change: two over pairs, five over bases (`pairs.paired_tests`)."""
    return paired_tests(make_pairs(tables.group("main"), "average"), effect="percent", **bootstrap)


def finding_of_tests(tests: pd.DataFrame) -> Finding:
    """The p value of each test, as ``test.UNIT.TEST``, how many of those over bases find a change, and the verdict.

    That is of the mean over bases, ``change.base``, by its interval.
    """
    by_base = tests[tests.unit == "base"]
    mean = over_bases(tests)
    word = verdict(mean, "raises", "lowers", "does not reliably raise")
    keys = ("test." + tests.unit + "." + tests.test).str.lower().str.replace(" ", "-")
    method = "tests with the base as the unit whose p is below .05"
    rests_on = f"95 % interval of the mean over {mean.n_bases} bases, {p_value(mean.p)}"
    numbers = [
        *(
            Live(key, p_value(row.p), n=row.n, method=f"{row.test} over {row.unit}s")
            for key, row in zip(keys, tests.itertuples(), strict=True)
        ),
        Live("tests.base.n", len(by_base), "d"),
        Live("tests.base.significant", (by_base.p < ALPHA).sum(), "d", method=method),
        live("change.base", mean, *PERCENT, n=mean.n_bases, method="mean over base models, t"),
        Live("change.verdict", word, n=mean.n_bases, method=rests_on),
        Live("change.holds", verdict(mean, HOLDS, "contradicted", "not reliable"), n=mean.n_bases, method=rests_on),
    ]
    return Finding(numbers, f"Tuning {word} brain alignment, by the printed scores")


def by_base(pairs: pd.DataFrame) -> pd.Series:
    """Mean change of the models tuned from each base, in percent, ascending."""
    return pairs.groupby("base").percent_change.mean().sort_values()


def finding_of_pairs(pairs: pd.DataFrame) -> Finding:
    """Who gains and who loses."""
    bases, families = by_base(pairs), pairs.groupby("family").percent_change
    both, n = (bases["t5-small"] + bases["t5-large"]) / 2, families.size()
    losing = "bases whose tuned models score lower on average"
    means = pairs.groupby("base")[["vanilla", "tuned"]].mean().mean()
    numbers = [
        *(
            Live(f"mean.{kind}", mean, ".3f", n=len(bases), method="mean over base models")
            for kind, mean in means.items()
        ),
        Live("bases.losing", (bases < 0).sum(), "d", method=losing),
        Live("pairs.losing", (pairs.percent_change < 0).sum(), "d", method="pairs that lose"),
        Live("change.t5-small-large", both, "+.0f", " %"),
        Live("change.llama", families.mean()["LLaMA"], *PERCENT, n=n["LLaMA"]),
        Live("change.t5", families.mean()["T5"], *PERCENT, n=n["T5"]),
    ]
    raised, most = (pairs.percent_change > 0).sum(), pairs.set_index("base").family[bases.idxmax()].iloc[0]
    return Finding(numbers, f"Tuning raises {raised} of {len(pairs)} pairs, and {most} models most")


def strip(tables: Printed, test: pd.Series, study: list[dict] | None = None) -> pd.DataFrame:
    """The average change as printed, as recomputed, and in a study, if it has rows of it: rows of `figures.strip`.

    `test` is that of the mean over bases (`pairs.over_bases`).
    """
    printed = {"label": "as printed", "estimate": tables.changes["average"], "note": "no interval printed"}
    recomputed = {"label": "recomputed", **row_of_strip(test)}
    return pd.DataFrame([printed, recomputed, *(study or [{"label": "this study", "note": NOT_RUN}])])


def row_of_strip(test: pd.Series) -> dict:
    """The mean change over bases with its interval, and a note on what it rests."""
    note = f"{test.n} pairs, t over {test.n_bases} bases"
    return {"estimate": test.estimate, "low": test.low, "high": test.high, "note": note}


def overall(tables: Printed, pairs: pd.DataFrame, changes: pd.DataFrame, **bootstrap) -> pd.DataFrame:
    """The printed change, its mean over pairs and over bases, and over bases with GPT-2: rows below `figures.bases`."""
    mean, everyone = changes.iloc[0], make_pairs(tables.group("with-gpt2"), "average")
    over = {f"{table.base.nunique()} bases": table for table in (pairs, everyone)}
    rows = [{"label": "printed", "estimate": mean.printed}]
    rows.append({"label": f"{mean.n} pairs", "estimate": mean.estimate, "low": mean.low, "high": mean.high})
    for label, table in over.items():
        label += " with GPT-2" if table is everyone else ""
        rows.append({"label": label, **t_test_over_bases(table, **bootstrap)[["estimate", "low", "high"]]})
    return pd.DataFrame(rows)


def title_of_changes(changes: pd.DataFrame) -> str:
    """What Figure 1C shows."""
    clear = changes.dataset[changes.low > 0]
    return f"The interval excludes zero for {len(clear)} of {len(changes)}: {', '.join(clear)}"


def robustness(tables: Printed, **bootstrap) -> pd.DataFrame:
    """The average change with the GPT-2 family, of it alone, and without each family and each base.

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


def finding_of_robustness(robustness: pd.DataFrame, tables: Printed) -> Finding:
    """The change with GPT-2, of GPT-2 alone, and without the base that matters most."""
    rows, least = robustness.set_index("label"), robustness[robustness.group == "base"].nsmallest(1, "estimate").iloc[0]
    numbers = [
        live("change.gpt2", rows.loc["GPT-2 alone"], *PERCENT),
        live("change.with-gpt2", rows.loc["with GPT-2 added"], *PERCENT),
        live("change.without-one.least", least, *PERCENT, n=None),
        Live("change.without-one.least.base", least.left_out),
    ]
    gpt2 = make_pairs(tables.group("with-gpt2"), "average").query("family == 'GPT2'")
    shrinks = f"ithout {least.left_out} the gain shrinks most"
    lose = (gpt2.tuned < gpt2.vanilla).all()
    return Finding(numbers, f"Every GPT-2 model loses with tuning, and w{shrinks}" if lose else f"W{shrinks}")


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
