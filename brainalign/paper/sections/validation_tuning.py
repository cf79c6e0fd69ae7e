"""Do tests of tuning keep their level, and what does it take to find a change as large as the paper's?

rates = validation_tuning.false_positives(simulated)
notebook.show(*validation_tuning.numbers_of_false_positives(rates))

Simulations are those of `tuning_power`; tables are as in `sections.validation`.
"""

from itertools import product

import pandas as pd

from brainalign.paper import tuning_power
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections.validation import estimates, of_size
from brainalign.statistics.correlations import summary

POWER = ["unit", "spread", "n_passages", "n_participants", "n_bases"]
ENOUGH = 0.8  # power
FEW_BASES, MANY_BASES = (4,), (16, 32)  # besides as many as the paper has
SPREADS = {"as printed": 1.0, "a quarter of it": 0.25}  # of the printed standard deviation of changes


def false_positives(simulated: pd.DataFrame) -> pd.DataFrame:
    """Rates of `tuning_power.false_positives`, by unit, test and correlation within a base; ``panel`` is for curves."""
    rates = summary(simulated, ["unit", "test", "alike"], "rejected")
    return rates.assign(panel="tests over " + rates.unit + "s")


def keeps_level(rates: pd.DataFrame) -> pd.Series:
    """Whether a test stays at its nominal level whatever the correlation, by unit and test."""
    return (rates.low <= tuning_power.LEVEL).groupby([rates.unit, rates.test]).all()


def verdict_of_pairs(rates: pd.DataFrame) -> str:
    """What tests over pairs do to their nominal level."""
    return "do not all exceed" if keeps_level(rates)["pair"].any() else "exceed"


def numbers_of_false_positives(rates: pd.DataFrame) -> list[Live]:
    """Rates as ``null.UNIT.TEST.CORRELATION``, which tests over bases keep their level, and the verdict."""
    pairs, keeps = tuning_power.printed_pairs(), keeps_level(rates)["base"]
    method = "false positives at the 5 % level; differences of one base correlate by {alike:g}"
    by_level = {"null.nominal": keeps.index[keeps], "null.above": keeps.index[~keeps]}
    return [
        Live("null.level", tuning_power.LEVEL, ".0%", method="of each test"),
        Live("null.repetitions", rates.n.max(), "d", method="simulated sets of models"),
        Live("null.pairs", len(pairs), "d", evidence="printed"),
        Live("null.bases", pairs.base.nunique(), "d", evidence="printed"),
        *estimates(rates, "null.{unit}.{test}.{alike:g}", ".1%", method),
        *(Live(key, ", ".join(tests)) for key, tests in by_level.items() if len(tests)),
        Live("null.pair.verdict", verdict_of_pairs(rates)),
    ]


def title_of_false_positives(rates: pd.DataFrame) -> str:
    """What the curves of rates show."""
    return f"Tests over pairs {verdict_of_pairs(rates)} their nominal level"


def noise(changes: pd.DataFrame) -> pd.Series:
    """Standard deviation of a pair's change over crowds, percent, by numbers of passages and of participants."""
    return changes.groupby(["n_passages", "n_participants"]).noise.std()


def power(noise: pd.Series, seed: int) -> pd.DataFrame:
    """How often t tests find a change as large as the paper's (`tuning_power.power`).

    Returns
    -------
    DataFrame
        A row per ``unit`` of the test, ``spread`` of the models, ``n_passages``, ``n_participants`` and ``n_bases``.
    """
    spread, alike = tuning_power.printed_spread()
    bases = (*FEW_BASES, _printed_bases(), *MANY_BASES)
    simulated = [
        tuning_power.power(deviation, spread * part, alike, n_bases, seed=seed).assign(
            n_passages=n_passages, n_participants=n_participants, n_bases=n_bases, spread=kind
        )
        for (kind, part), ((n_passages, n_participants), deviation), n_bases in product(
            SPREADS.items(), noise.items(), bases
        )
    ]
    return summary(pd.concat(simulated), POWER, "found")


def numbers_of_power(noise: pd.Series, power: pd.DataFrame) -> list[Live]:
    """The change to find, how models differ in it, the noise, and the power with the most people and passages."""
    (spread, alike), largest = tuning_power.printed_spread(), of_size(power, "max")
    deviation = "standard deviation of the printed changes"
    over_crowds = "standard deviation of a pair's change over crowds"
    return [
        Live("power.effect", tuning_power.EFFECT, ".0f", " %", method="the true change"),
        Live("power.spread", spread, ".1f", " %", method=deviation, evidence="printed"),
        Live("power.alike", alike, ".2f", method="share of its variance between bases", evidence="printed"),
        *estimates(largest[largest.unit == "base"], "power.{n_bases}.{spread}", ".0%", "t test over bases"),
        *(
            Live(f"power.noise.{n_passages}.{n_participants}", value, ".1f", " %", method=over_crowds)
            for (n_passages, n_participants), value in noise.iloc[[0, -1]].items()
        ),
    ]


def power_by_people(power: pd.DataFrame) -> pd.DataFrame:
    """Power of tests over as many bases as the paper has; ``panel`` and ``line`` are for curves."""
    rows = power[(power.n_bases == _printed_bases()) & (power.unit == "base")]
    return rows.assign(line=rows.n_passages.astype(str) + " passages", panel="models differ: " + rows.spread)


def title_of_people(by_people: pd.DataFrame) -> str:
    """What the curves over participants show."""
    low, high = by_people.estimate.min(), by_people.estimate.max()
    return f"{_printed_bases()} bases: a rise of {tuning_power.EFFECT:.0f} % is found in {low:.0%} to {high:.0%}"


def power_by_bases(power: pd.DataFrame) -> pd.DataFrame:
    """Power with the most people and passages; ``panel`` and ``line`` are for curves."""
    rows = of_size(power, "max")
    return rows.assign(line="over " + rows.unit + "s", panel="models differ: " + rows.spread)


def title_of_bases(by_bases: pd.DataFrame) -> str:
    """What the curves over bases show."""
    rows = by_bases.set_index(["unit", "n_bases", "spread"])
    enough = rows.estimate["base", _printed_bases(), "as printed"] >= ENOUGH
    return f"If models differ as the printed ones do, {_printed_bases()} bases are {'enough' if enough else 'too few'}"


def _printed_bases() -> int:
    return tuning_power.printed_pairs().base.nunique()
