"""Section 5 on a study's own readers: how close is surprisal to reading times, and does tuning change that?"""

from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign.alignment.behavior import pair_difference
from brainalign.paper import figures
from brainalign.paper.claims.printed import Printed
from brainalign.paper.claims.retest import reading_time_pairs, reading_time_scores
from brainalign.paper.publish.numbers import Live, p_value
from brainalign.paper.sections import columns
from brainalign.paper.sections.estimates import CHANGES, live, verdict
from brainalign.paper.sections.reading_times import Readers
from brainalign.statistics.correlations import Correlation, pearson
from brainalign.statistics.pairs import make_pairs, t_test_over_bases

SIZE = ("rises with model size", "falls with model size", "does not reliably change with model size")
ALIGNED = columns.named("dataset", "alignment") | columns.numbers(",d", "words")
COLUMNS_OF_CEILINGS = ALIGNED | columns.numbers(".0f", readers="Readers of a word, median")
COLUMNS_OF_CEILINGS |= columns.numbers(".3f", reliability="Reliability of the word means")
COLUMNS_OF_READERS = (
    ALIGNED
    | columns.numbers(".3f", r="r, median over models")
    | columns.interval("+.2f", "size_", size="Correlation with log size")
    | columns.interval("+.3f", "tuning_", tuning="Change with tuning")
)


class Measure(NamedTuple):
    """A measure of behavioral alignment: in a title, on an axis, and the form of its numbers."""

    title: str
    label: str
    form: str


MEASURES = {
    "r": Measure("the correlation with reading times", "Pearson r with reading times", ".3f"),
    "ppp": Measure("predictive power", "PPP (nats per word)", ".4f"),
    "exact": Measure("agreement with the true surprisal", "Pearson r with true surprisal", ".3f"),
}


def scores(readers: Readers) -> pd.DataFrame:
    """Behavioral alignment of each model.

    `Readers.models`, ``log_size`` (log10 parameters), and ``MEASURE_ALIGNMENT`` of each measure under each alignment,
    with ``_low`` and ``_high``; ``normalized`` is r under the first alignment divided by its ceiling, as Brain-Score
    does, here the reliability of the word means.
    """
    table = readers.models.assign(log_size=np.log10(readers.models.parameters))
    for measure, alignment in product(readers.measures, readers.alignments):
        rows = reading_time_scores(readers.scores, measure, alignment).set_index("model").loc[table.model]
        key = f"{measure}_{alignment}"
        table[[key, f"{key}_low", f"{key}_high"]] = rows[["value", "low", "high"]].to_numpy()
    first = readers.alignments[0]
    return table.assign(normalized=table[f"r_{first}"] / readers.reliability(first))


def numbers_of_scores(readers: Readers) -> list[Live]:
    """The best and the least score by each measure under each alignment, and the best model."""
    numbers = []
    for measure, alignment in product(readers.measures, readers.alignments):
        rows = reading_time_scores(readers.scores, measure, alignment).set_index("model")
        best, key, form = rows.loc[rows.value.idxmax()], f"{measure}.{alignment}", MEASURES[measure].form
        method = f"{best.name}; interval over stories"
        numbers += [
            live(f"{key}.best", best, form, value="value", method=method),
            Live(f"{key}.best.model", best.name),
            Live(f"{key}.least", rows.value.min(), form, method=rows.value.idxmin()),
        ]
    return numbers


def numbers_of_truth(scores: pd.DataFrame) -> list[Live]:
    """In how many families the larger vanilla model is closer to the true surprisal; none where that is not known."""
    if "exact_original" not in scores:
        return []
    vanilla = scores[scores.kind == "vanilla"].sort_values("parameters")
    rising = vanilla.groupby("family").exact_original.agg(lambda r: r.is_monotonic_increasing)
    method = "families whose larger vanilla models agree better"
    return [Live("exact.rising", f"{rising.sum()} of {len(rising)}", method=method)]


def columns_of_scores(readers: Readers) -> dict:
    """Columns of the table of `scores`, and the form of their numbers."""
    shown = columns.IDENTITY | columns.numbers(".2e", "parameters")
    for alignment in readers.alignments:
        r, ppp = f"r_{alignment}", f"ppp_{alignment}"
        shown |= columns.interval(".3f", f"{r}_", **{r: f"r, {alignment}"})
        shown |= columns.numbers(".4f", **{ppp: f"PPP, {alignment}"})
    return shown | (columns.numbers(".3f", exact_original="r, true surprisal") if readers.simulated else {})


def size_correlation(readers: Readers, measure: str, alignment: str) -> Correlation:
    """Correlation of a measure with the logarithm of model size, over models of known size."""
    sized = reading_time_scores(readers.scores, measure, alignment).dropna(subset="log_size")
    return pearson(sized.log_size, sized.value)


def size_correlations(readers: Readers) -> pd.DataFrame:
    """The same by each ``measure`` and ``alignment``, a row each: ``r``, ``low``, ``high``, ``p``, ``n``."""
    keys = product(readers.measures, readers.alignments)
    rows = [{"measure": key[0], "alignment": key[1], **vars(size_correlation(readers, *key))} for key in keys]
    return pd.DataFrame(rows)


def numbers_of_sizes(sizes: pd.DataFrame) -> list[Live]:
    """Numbers of `size_correlations`, as ``size.MEASURE.ALIGNMENT``, with p and verdict."""
    numbers, method = [], "Pearson with log size"
    for row in sizes.to_dict("records"):
        key = f"size.{row['measure']}.{row['alignment']}"
        numbers += [
            live(key, row, value="r", method=method),
            Live(f"{key}.p", p_value(row["p"]), n=row["n"]),
            Live(f"{key}.verdict", verdict(row, *SIZE)),
        ]
    return numbers


def title_of_sizes(sizes: pd.DataFrame, measure: str) -> str:
    """Whether a measure changes with size."""
    words = {verdict(row, *SIZE) for row in sizes[sizes.measure == measure].to_dict("records")}
    name = MEASURES[measure].title
    changes = words.pop() if len(words) == 1 else "changes with model size under one alignment only"
    return f"{name[0].upper()}{name[1:]} {changes}"


def size_panels(readers: Readers, measure: str) -> list[tuple[str, str, str]]:
    """Panels of `figures.scatter`: a measure against size, under each alignment."""
    return [("log_size", f"{measure}_{alignment}", f"{alignment} alignment") for alignment in readers.alignments]


def differences(readers: Readers, seed: int, resamples: int) -> pd.DataFrame:
    """Tuned minus base by each measure under each alignment, of each pair on the same resampled stories.

    Rows of `behavior.pair_difference` with ``model``, ``base``, ``family``, and ``clear``: whether the interval over
    stories excludes zero.
    """
    scores, models = readers.scores, readers.models
    rows = pd.concat(
        pair_difference(
            scores[scores.model == tuned.model], scores[scores.model == tuned.vanilla], seed, resamples
        ).assign(model=tuned.model, base=tuned.vanilla, family=tuned.family)
        for tuned in models[models.vanilla.isin(models.model)].itertuples()
    )
    return rows.assign(clear=np.sign(rows.low) == np.sign(rows.high))


def lower_and_higher(differences: pd.DataFrame) -> tuple[int, int]:
    """How many differences lie clearly below zero, and above."""
    clear = differences.value[differences.clear]
    return (clear < 0).sum(), (clear > 0).sum()


def change(readers: Readers, measure: str, alignment: str, **bootstrap) -> pd.Series:
    """Mean change of a measure with tuning, the base as the unit (`t_test_over_bases`)."""
    return t_test_over_bases(reading_time_pairs(readers.scores, measure, alignment), effect="difference", **bootstrap)


def changes(readers: Readers, **bootstrap) -> pd.DataFrame:
    """The same by each ``measure`` and ``alignment``, a row each."""
    keys = product(readers.measures, readers.alignments)
    rows = [{"measure": key[0], "alignment": key[1], **change(readers, *key, **bootstrap)} for key in keys]
    return pd.DataFrame(rows)


def numbers_of_changes(changes: pd.DataFrame, differences: pd.DataFrame) -> list[Live]:
    """Numbers of `changes`, as ``tuning.MEASURE.ALIGNMENT``, with their verdict, and of clear `differences`."""
    numbers = [Live("pairs.n", differences.model.nunique(), "d")]
    tables = dict(list(differences.groupby(["measure", "alignment"])))
    for row in changes.to_dict("records"):
        pairs = tables[row["measure"], row["alignment"]]
        key, n, (lower, higher) = f"tuning.{row['measure']}.{row['alignment']}", len(pairs), lower_and_higher(pairs)
        form, interval = f"+{MEASURES[row['measure']].form}", "pairs whose interval over stories lies"
        numbers += [
            live(key, row, form, n=n, method="mean over pairs, t over bases"),
            Live(f"{key}.lower", lower, "d", n=n, method=f"{interval} below zero"),
            Live(f"{key}.higher", higher, "d", n=n, method=f"{interval} above zero"),
            Live(f"{key}.verdict", verdict(row, *CHANGES)),
        ]
    return numbers


def rows_of_differences(differences: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Differences by one measure, as rows of `figures.forest`."""
    rows = differences[differences.measure == measure].sort_values(["alignment", "model"], ascending=[False, True])
    label = rows.model + ", " + rows.alignment
    return rows.assign(estimate=rows.value, label=label, color=rows.family.map(figures.color))


def title_of_differences(rows: pd.DataFrame, measure: str) -> str:
    """How often tuning clearly lowers and raises a measure."""
    lower, higher = lower_and_higher(rows)
    return f"Tuning lowers {MEASURES[measure].title} in {lower} of {len(rows)} comparisons, raises it in {higher}"


def strip(changes: pd.DataFrame, tables: Printed, **bootstrap) -> pd.DataFrame:
    """The change of r with tuning as printed, as recomputed and on these readers: rows of `figures.strip`."""
    pairs = make_pairs(tables.group("main"), "futrell2018")
    recomputed = t_test_over_bases(pairs, effect="difference", **bootstrap)
    bases = f"{recomputed.n} pairs, {recomputed.n_bases} bases, t over bases"
    own = changes[changes.measure == "r"]
    label = "this study, " + own.alignment if len(own) > 1 else "this study"
    own = own.assign(label=label, note=own.n.astype(int).astype(str) + " pairs, t over bases")
    printed = {"label": "as printed", "note": "no number printed: 'generally does not improve'"}
    rows = [printed, recomputed.to_dict() | {"label": "recomputed", "note": bases}, *own.to_dict("records")]
    return pd.DataFrame(rows)[["label", "note", "estimate", "low", "high"]]


def title_of_strip(strip: pd.DataFrame) -> str:
    """What tuning does in the printed scores, and on these readers under the first alignment."""
    printed, own, *_ = [verdict(row, *CHANGES) for row in strip[strip.low.notna()].to_dict("records")]
    return f"Tuning {printed} behavioral alignment in the printed scores and {own} it on these readers"


def compare_readers(everyone: list[Readers], **bootstrap) -> pd.DataFrame:
    """Ceiling, median alignment, its correlation with size and its change with tuning, for each set of readers.

    A row a ``dataset`` and ``alignment``: columns of `COLUMNS_OF_CEILINGS` and of `COLUMNS_OF_READERS`.
    """
    rows = []
    for readers in everyone:
        for alignment, words in readers.words.items():
            size, tuning = size_correlation(readers, "r", alignment), change(readers, "r", alignment, **bootstrap)
            row = {
                "dataset": readers.dataset,
                "alignment": alignment,
                "words": words.reading_time.notna().sum(),
                "readers": words.n_readers[words.n_readers > 0].median(),
                "reliability": readers.reliability(alignment),
                "r": reading_time_scores(readers.scores, "r", alignment).value.median(),
            }
            row |= {"size": size.r, "size_low": size.low, "size_high": size.high}
            rows.append(row | {"tuning": tuning.estimate, "tuning_low": tuning.low, "tuning_high": tuning.high})
    return pd.DataFrame(rows)


def numbers_of_readers(table: pd.DataFrame) -> list[Live]:
    """In how many rows of `compare_readers` alignment falls with size, and changes with tuning."""
    n, clear = len(table), np.sign(table.tuning_low) == np.sign(table.tuning_high)
    falls, changes = "correlation with log size below zero", "change with tuning on one side of zero"
    return [
        Live("readers.n", n, "d", method="sets of readers and alignments of their times"),
        Live("readers.falls", (table.size_high < 0).sum(), "d", n=n, method=falls),
        Live("readers.changes", clear.sum(), "d", n=n, method=changes),
    ]
