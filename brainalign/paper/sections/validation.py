"""Can the method be trusted? How often simulated truth comes out, by protocol and test.

Simulations are those of `microworld.validation` and `microworld.ceilings`, a row a repetition. Tables here have a row
a setting, with its ``estimate``, the interval from ``low`` to ``high``, and ``n``, as from `statistics.summary`;
``panel``, ``line``, ``label`` and ``color`` are for figures.
"""

import pandas as pd

from brainalign.microworld.coverage import SLOW, STRIDE
from brainalign.microworld.validation import MIXED
from brainalign.paper.figures import LINES
from brainalign.paper.publish.numbers import Live, number
from brainalign.paper.sections.estimates import Finding, lives
from brainalign.statistics.correlations import summary

SIZE = "{n_participants} participants, {n_passages} passages"
CEILINGS = ["estimator", "protocol", "n_participants", "n_passages"]
LAYERS = ["kind", "protocol", "rule", "n_layers"]
NEIGHBORHOOD = ["people", "protocol", "features"]
COVERAGE = 0.95  # nominal, of an interval
ROUNDING = 1e-12  # of a correlation that is zero
ESTIMATOR_COLORS = dict(zip(["disattenuated", "extrapolated", "attainable"], LINES, strict=False))
PROTOCOL_COLORS = {"aw2024": LINES[1], "contiguous": LINES[0]}


def numbers_of_size(repetitions: int) -> list[Live]:
    """Over how many crowds everything is simulated.

    Raises
    ------
    ValueError
        Of so few crowds the slow extrapolation of a ceiling is done for one, and has no interval.
    """
    if repetitions <= STRIDE:
        raise ValueError(f"{repetitions} crowds are too few for intervals. Ask for {STRIDE + 1} or more.")
    return [Live("repetitions", repetitions, "d", method="simulated crowds")]


def of_size(table: pd.DataFrame, extreme: str) -> pd.DataFrame:
    """Rows with the most people and passages (``max``), or the fewest (``min``)."""
    sizes = table[["n_passages", "n_participants"]]
    return table[(sizes == sizes.agg(extreme)).all(axis=1)]


def ranks(simulated: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of overlap and score, by protocol, filler and size."""
    table = summary(simulated, ["protocol", "filler", "n_passages", "n_participants"], "rank")
    return table.assign(
        panel=table.protocol + ", filler: " + table.filler, line=table.n_passages.astype(str) + " passages"
    )


def finding_of_ranks(ranks: pd.DataFrame) -> Finding:
    """The rank correlations with the most and the fewest people and passages.

    The verdict is on what shuffled splits do to the order of spaces, every second of which encodes adjacency.
    """
    largest = of_size(ranks, "max").set_index(["protocol", "filler"])
    apart = largest.high["aw2024", MIXED] < largest.low["contiguous", MIXED]
    word = "disturb" if apart else "keep"
    method = "disturb: intervals apart from those of contiguous, with either filler in turn"
    numbers = [
        *lives(of_size(ranks, "max"), "rank.large.{protocol}.{filler}", ".2f", method=f"Spearman; {SIZE}"),
        *lives(of_size(ranks, "min"), "rank.small.{protocol}.{filler}", ".2f", method=f"Spearman; {SIZE}"),
        Live("rank.shuffled.verdict", word, method=method),
    ]
    return Finding(numbers, f"Shuffled splits {word} the order if some spaces encode adjacency")


def ceilings(simulated: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``bias`` of each estimate of `microworld.ceilings`, and ``width`` and ``coverage`` of its interval if it has one.

    Each has a row an estimator, protocol and size.
    """
    bounded = simulated[simulated.low.notna()]
    bounded = bounded.assign(width=bounded.high - bounded.low)
    return {
        "bias": summary(simulated, CEILINGS, "bias"),
        "width": summary(bounded, CEILINGS, "width"),
        "coverage": summary(bounded, CEILINGS, "covered"),
    }


def verdicts_of_ceilings(coverage: pd.DataFrame) -> dict[str, str]:
    """By estimator, whether its interval covers the true ceiling at every size, under ``contiguous``."""
    contiguous = coverage[coverage.protocol == "contiguous"]
    covers = (contiguous.high >= COVERAGE).groupby(contiguous.estimator).all()
    return {estimator: "covers" if yes else "does not cover" for estimator, yes in covers.items()}


def numbers_of_ceilings(simulated: pd.DataFrame) -> list[Live]:
    """Bias, width and coverage as ``ceiling.WHAT.ESTIMATOR.PROTOCOL.PEOPLE.PASSAGES``, the truth, and the verdicts."""
    tables, forms = ceilings(simulated), {"bias": "+.3f", "width": ".2f", "coverage": ".0%"}
    key = ".{estimator}.{protocol}.{n_participants}.{n_passages}"
    method = "the true ceiling, in 95 % of crowds within simulation error, at every size, under contiguous"
    verdicts = verdicts_of_ceilings(tables["coverage"])
    return [
        *(
            live
            for what, form in forms.items()
            for live in lives(tables[what], f"ceiling.{what}{key}", form, method=SIZE)
        ),
        Live("ceiling.true", simulated.true.mean(), ".2f", n=len(simulated), method="mean true ceiling"),
        *(Live(f"ceiling.{estimator}.verdict", word, method=method) for estimator, word in verdicts.items()),
    ]


def rows_of_ceilings(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `figures.forest`: an estimator at one size each, protocols apart."""
    rows = table.sort_values(["protocol", "estimator", "n_passages", "n_participants"], ignore_index=True)
    size = rows.n_participants.astype(str) + " people, " + rows.n_passages.astype(str) + " passages"
    label = rows.estimator + ", " + size + "\n" + rows.protocol
    return rows.assign(label=label, color=rows.estimator.map(ESTIMATOR_COLORS))


def title_of_bias(bias: pd.DataFrame) -> str:
    """How far two estimates are off."""
    estimate = bias.set_index(CEILINGS).estimate
    old, new = (number(estimate[name, "contiguous", *SLOW], "+.2f") for name in ("extrapolated", "disattenuated"))
    return f"The extrapolated ceiling is off by {old}, the disattenuated one by {new}"


def title_of_coverage(coverage: pd.DataFrame) -> str:
    """What the forest of coverages shows."""
    verdict = verdicts_of_ceilings(coverage)["disattenuated"]
    return f"The disattenuated interval {verdict} the true ceiling under contiguous cross-validation"


def layers(simulated: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How often a rule finds the best layer of a graded stack, and the bias of the score of the layer that it chooses.

    ``found`` and ``bias`` have a row a kind of stack, protocol, rule and number of layers; ``line`` is for curves.
    """
    tables = {
        "found": summary(simulated[simulated.kind == "graded"], LAYERS, "found"),
        "bias": summary(simulated, LAYERS, "bias"),
    }
    return {what: table.assign(line=table.rule + ", " + table.protocol) for what, table in tables.items()}


def finding_of_layers(layers: dict[str, pd.DataFrame]) -> Finding:
    """Both tables at the most layers, as ``layer.WHAT.KIND.PROTOCOL.RULE``.

    The verdict is on what choosing the layer on test sets does to the score of a stack without signal.
    """
    found, bias = (table[table.n_layers == table.n_layers.max()] for table in (layers["found"], layers["bias"]))
    null = bias[bias.kind == "null"].set_index(["protocol", "rule"])
    word = "inflates" if null.low["aw2024", "best on test"] > 0 else "does not inflate"
    key, method = "{kind}.{protocol}.{rule}", f"the score of the best of {bias.n_layers.max()} layers that know nothing"
    numbers = [
        *lives(found, f"layer.found.{key}", ".0%", method="{n_layers} layers"),
        *lives(bias, f"layer.bias.{key}", "+.3f", method="{n_layers} layers"),
        Live("layer.verdict", word, method=method),
    ]
    return Finding(numbers, f"Choosing the layer on test sets {word} the score of a null model")


def neighborhood(simulated: pd.DataFrame) -> pd.DataFrame:
    """Mean score of features and the middle 95 % of crowds, as rows of `figures.forest`."""
    table = summary(simulated, NEIGHBORHOOD, "r", of="crowds").sort_values(["people", "protocol"], ignore_index=True)
    label = table.features + "\n" + table.people + " people, " + table.protocol
    return table.assign(label=label, color=table.protocol.map(PROTOCOL_COLORS))


def finding_of_neighborhood(table: pd.DataFrame) -> Finding:
    """Scores as ``near.PEOPLE.PROTOCOL.FEATURES``.

    Verdicts are on what scores on participants without a text-driven signal: adjacency, and all features.
    """
    null = table[table.people == "null"].set_index(["protocol", "features"])
    shuffled = "above zero" if null.low["aw2024", "oasm"] > 0 else "not reliably above zero"
    ends = null.loc["contiguous", ["low", "high"]]
    zero = ((ends.low <= ROUNDING) & (ends.high >= -ROUNDING)).all()
    contiguous = "zero" if zero else "not zero"
    numbers = [
        *lives(table, "near.{people}.{protocol}.{features}", ".2f", method="mean and middle 95 % of crowds"),
        Live("near.shuffled.verdict", shuffled, method="neighborhood, null people, aw2024"),
        Live("near.contiguous.verdict", contiguous, method="all features, null people, contiguous"),
    ]
    title = f"Without a text-driven signal, adjacency scores {shuffled} under shuffled splits"
    return Finding(numbers, f"{title}, and all features score {contiguous} under contiguous ones")
