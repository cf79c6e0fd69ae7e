"""Do tests of tuning keep their level, and what does it take to find a change as large as the paper's?

Simulations are those of `tuning_power`; tables are as in `sections.validation`.
"""

from itertools import product

import pandas as pd

from brainalign.microworld import tuning_power
from brainalign.paper.claims import printed
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import published_brain
from brainalign.paper.sections.estimates import Finding, lives
from brainalign.paper.sections.validation import of_size
from brainalign.statistics import ALPHA
from brainalign.statistics.correlations import summary

POWER = ["unit", "spread", "n_passages", "n_participants", "n_bases"]
ENOUGH = 0.8  # power
FEW_BASES, MANY_BASES = (4,), (16, 32)  # besides as many as the paper has
SPREADS = {"as printed": 1.0, "a quarter of it": 0.25}  # of the printed standard deviation of changes


def printed_pairs() -> pd.DataFrame:
    """The paper's 17 tuned models of 8 bases, with the percent change of the printed average brain alignment."""
    return published_brain.pairs(printed.load())


def printed_spread() -> tuple[float, float]:
    """How the paper's models differ in their change: its standard deviation (percent), and the share between bases.

    The share is 1 less the pooled variance within bases over that of all pairs, and at least 0.
    """
    pairs = printed_pairs()
    change = pairs.percent_change
    left = change - change.groupby(pairs.base).transform("mean")
    within = (left**2).sum() / (len(pairs) - pairs.base.nunique())
    return float(change.std()), float(max(0.0, 1 - within / change.var()))


def false_positives(simulated: pd.DataFrame) -> pd.DataFrame:
    """Rates of `tuning_power.false_positives`, by unit, test and correlation within a base; ``panel`` is for curves."""
    rates = summary(simulated, ["unit", "test", "alike"], "rejected")
    return rates.assign(panel="tests over " + rates.unit + "s")


def finding_of_false_positives(rates: pd.DataFrame) -> Finding:
    """Rates as ``null.UNIT.TEST.CORRELATION``, which tests over bases keep their level, and what those over pairs do.

    A test keeps its nominal level if it stays there whatever the correlation.
    """
    keeps = (rates.low <= ALPHA).groupby([rates.unit, rates.test]).all()
    pairs, over_bases = printed_pairs(), keeps["base"]
    word = "do not all exceed" if keeps["pair"].any() else "exceed"
    method = "false positives at the 5 % level; differences of one base correlate by {alike:g}"
    by_level = {"null.nominal": over_bases.index[over_bases], "null.above": over_bases.index[~over_bases]}
    numbers = [
        Live("null.level", ALPHA, ".0%", method="of each test"),
        Live("null.repetitions", rates.n.max(), "d", method="simulated sets of models"),
        Live("null.pairs", len(pairs), "d", evidence="printed"),
        Live("null.bases", pairs.base.nunique(), "d", evidence="printed"),
        *lives(rates, "null.{unit}.{test}.{alike:g}", ".1%", method=method),
        *(Live(key, ", ".join(tests)) for key, tests in by_level.items() if len(tests)),
        Live("null.pair.verdict", word),
    ]
    return Finding(numbers, f"Tests over pairs {word} their nominal level")


def noise(changes: pd.DataFrame) -> pd.Series:
    """Standard deviation of a pair's change over crowds, percent, by numbers of passages and of participants."""
    return changes.groupby(["n_passages", "n_participants"]).noise.std()


def power(noise: pd.Series, seed: int) -> pd.DataFrame:
    """How often t tests find a change as large as the paper's (`tuning_power.power`).

    A row per ``unit`` of the test, ``spread`` of the models, ``n_passages``, ``n_participants`` and ``n_bases``.
    """
    sizes, (spread, alike) = printed_pairs().groupby("base").size(), printed_spread()
    settings = product(SPREADS.items(), noise.items(), (*FEW_BASES, len(sizes), *MANY_BASES))
    simulated = [
        tuning_power.power(sizes, deviation, spread * part, alike, n_bases, seed=seed).assign(
            n_passages=n_passages, n_participants=n_participants, n_bases=n_bases, spread=kind
        )
        for (kind, part), ((n_passages, n_participants), deviation), n_bases in settings
    ]
    return summary(pd.concat(simulated), POWER, "found")


def numbers_of_power(noise: pd.Series, power: pd.DataFrame) -> list[Live]:
    """The change to find, how models differ in it, the noise, and the power with the most people and passages."""
    (spread, alike), largest = printed_spread(), of_size(power, "max")
    deviation, over_crowds = (
        "standard deviation of the printed changes",
        "standard deviation of a pair's change over crowds",
    )
    key, ends = "power.noise.{n_passages:.0f}.{n_participants:.0f}", noise.iloc[[0, -1]].reset_index()
    return [
        Live("power.effect", tuning_power.EFFECT, ".0f", " %", method="the true change"),
        Live("power.spread", spread, ".1f", " %", method=deviation, evidence="printed"),
        Live("power.alike", alike, ".2f", method="share of its variance between bases", evidence="printed"),
        *lives(largest[largest.unit == "base"], "power.{n_bases}.{spread}", ".0%", method="t test over bases"),
        *lives(ends, key, ".1f", " %", value="noise", method=over_crowds),
    ]


def power_by_people(power: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Power of tests over as many bases as the paper has, for curves, and their title."""
    bases = printed_pairs().base.nunique()
    rows = power[(power.n_bases == bases) & (power.unit == "base")]
    rows = rows.assign(line=rows.n_passages.astype(str) + " passages", panel="models differ: " + rows.spread)
    low, high = rows.estimate.min(), rows.estimate.max()
    return rows, f"{bases} bases: a rise of {tuning_power.EFFECT:.0f} % is found in {low:.0%} to {high:.0%}"


def power_by_bases(power: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Power with the most people and passages, for curves, and their title."""
    bases, rows = printed_pairs().base.nunique(), of_size(power, "max")
    enough = rows.set_index(["unit", "n_bases", "spread"]).estimate["base", bases, "as printed"] >= ENOUGH
    rows = rows.assign(line="over " + rows.unit + "s", panel="models differ: " + rows.spread)
    return rows, f"If models differ as the printed ones do, {bases} bases are {'enough' if enough else 'too few'}"
