"""Controls: what language models score above what knows only order, length, position, words or nothing."""

import pandas as pd

from brainalign import study as studies
from brainalign.alignment.protocols import AW2024, CONTIGUOUS
from brainalign.paper.publish.numbers import Live, number
from brainalign.paper.sections import estimates
from brainalign.paper.sections.estimates import Finding, difference, live, lives, over_participants, share, verdict
from brainalign.paper.sections.scores import LABELS, UNTRAINED, Scores
from brainalign.study.description.loading import NULL

# What the trained models are held against.
AGAINST = {
    "oasm": "OASM",
    "random": "random features",
    "position": "position",
    "length": "length or word rate",
    "length+position": "length and position",
    "static": "static embeddings",
    "twins": "untrained twins",
}
ABOVE = "above"
ADDS = ("adds to", "takes from", "does not reliably add to")


def means(scores: Scores) -> pd.DataFrame:
    """Mean score over participants: ``name``, a column a protocol, ``label``."""
    columns = {
        protocol: scores.under(protocol)[list(scores.members)].apply(lambda r: over_participants(r)["estimate"])
        for protocol in scores.protocols
    }
    return pd.DataFrame(columns).rename_axis("name").reset_index().assign(label=scores.members.values())


def finding_of_means(means: pd.DataFrame, scores: Scores) -> Finding:
    """Scores of the controls, as ``score.PROTOCOL.NAME``; the title is what falls most, from lenient to strict."""
    table = means[means.name.isin(AGAINST)].drop(columns="label").melt("name", var_name="protocol")
    method = "mean over participants; models together"
    numbers = lives(table, "score.{protocol}.{name}", method=method, value="value")
    fallen = means.loc[(means[scores.lenient] - means[scores.strict]).idxmax()]
    ends = dict.fromkeys([scores.lenient, scores.strict])
    values = " and ".join(f"{number(fallen[protocol], '.2f')} under {protocol}" for protocol in ends)
    return Finding(numbers, f"{fallen.label.split(' (')[0]} scores {values}")


def without_signal(scores: Scores) -> dict[str, pd.DataFrame]:
    """Scores on a recording in which the text has no share, with intervals that hold for a protocol at once.

    Under ``null``, rows of `figures.brain_scores.differences` with their ``protocol``; nothing without a recording.
    """
    recordings = [name for name in scores.chosen.index.unique("dataset") if name.endswith(NULL)]
    if not recordings:
        return {}
    names = [*scores.trained, *scores.untrained, *scores.controls]
    rows = [
        {"panel": LABELS[protocol], "label": name, "protocol": protocol}
        | over_participants(scores.people(protocol).loc[recordings, name], len(names))
        for protocol in scores.protocols
        for name in names
    ]
    return {"null": pd.DataFrame(rows)}


def numbers_of_null(table: pd.DataFrame) -> list[Live]:
    """How many score above zero, how many do not differ from it, and the highest, as ``null.PROTOCOL.WHAT``."""
    numbers, method = [], "models and controls whose interval {}; all at once"
    for protocol, rows in by_protocol(table):
        zero = ((rows.low <= 0) & (rows.high >= 0)).sum()
        numbers += [
            Live(f"null.{protocol}.above", share(rows.low > 0), method=method.format("lies above zero")),
            Live(f"null.{protocol}.zero", f"{zero} of {len(rows)}", method=method.format("holds zero")),
            Live(f"null.{protocol}.most", rows.estimate.max(), ".3f", method="highest mean over participants"),
        ]
    return numbers


def title_of_null(table: pd.DataFrame) -> str:
    """How many score above zero under each protocol."""
    above = [f"{share(rows.low > 0)} score above zero under {name}" for name, rows in by_protocol(table)]
    return f"Without a text-driven signal, {' and '.join(above)}"


def left(scores: Scores) -> pd.DataFrame:
    """Score of the trained models minus that of each control, inside each participant, with its ``verdict``.

    Rows of `figures.brain_scores.differences` with their ``protocol``, indexed by the names of `AGAINST`.
    """
    rows, names = [], [name for name in AGAINST if name in scores.members]
    # First the two protocols that pages quote.
    for protocol in sorted(scores.protocols, key=lambda name: name not in (AW2024.name, CONTIGUOUS.name)):
        for name in names:
            row = above(scores, protocol, name)
            word = verdict(row, ABOVE, "below", "not told apart from")
            about = {"panel": LABELS[protocol], "label": AGAINST[name], "protocol": protocol, "verdict": word}
            rows.append(about | row)
    return pd.DataFrame(rows, index=names * len(scores.protocols))


def above(scores: Scores, protocol: str, name: str) -> dict:
    """What the trained models score above a control; of untrained twins, those that have one."""
    table = scores.under(protocol)
    if name == "twins":
        return difference(table, sorted(set(scores.models.twin_of[scores.untrained])), scores.untrained)
    return difference(table, scores.trained, [name])


def numbers_of_left(left: pd.DataFrame) -> list[Live]:
    """Each difference with its verdict, as ``left.PROTOCOL.NAME``, and how many controls the models beat."""
    numbers, minus = [], f"trained models minus {{label}}; {estimates.OVER_PARTICIPANTS}"
    numbers += lives(left.rename_axis("name").reset_index(), "left.{protocol}.{name}", "+.3f", method=minus)
    for name, row in left.iterrows():
        numbers.append(Live(f"left.{row.protocol}.{name}.verdict", row.verdict, method=estimates.BY_INTERVAL))
    for protocol, rows in by_protocol(left):
        beaten = share(rows.verdict == ABOVE)
        numbers.append(Live(f"left.{protocol}.n", beaten, method="controls that are beaten"))
        numbers.append(Live(f"left.{protocol}.verdict", beaten_and_not(rows), method=estimates.BY_INTERVAL))
    return numbers


def beaten_and_not(rows: pd.DataFrame) -> str:
    """Which controls the trained models beat."""
    beaten, rest = (", ".join(rows.label[chosen]) for chosen in (rows.verdict == ABOVE, rows.verdict != ABOVE))
    if not rest:
        return "beat all controls"
    return f"beat {beaten}, and do not beat {rest}" if beaten else "beat none of the controls"


def title_of_left(left: pd.DataFrame) -> str:
    """How many controls the models beat under each protocol."""
    beaten = [f"{share(rows.verdict == ABOVE)} controls under {name}" for name, rows in by_protocol(left)]
    return f"The models beat {'; '.join(beaten)}"


def unique(scores: Scores) -> pd.DataFrame:
    """Unique variance and variance of length and position alone, by model and participant."""
    return studies.results(scores.study, "unique").set_index(["dataset", "participant"])


def beyond(scores: Scores, unique: pd.DataFrame) -> pd.DataFrame:
    """Unique variance of each model and twin, mean over participants: rows of `figures.brain_scores.differences`."""
    kinds = scores.models.kind[scores.models.origin == "model"]
    rows = [
        {"panel": "beyond length and position", "label": name, "kind": kind}
        | over_participants(unique.unique[unique.model == name])
        for name, kind in kinds.items()
    ]
    return pd.DataFrame(rows)


def finding_of_beyond(beyond: pd.DataFrame, unique: pd.DataFrame) -> Finding:
    """The trained model that adds most to length and position, and how many do."""
    trained = beyond[beyond.kind != UNTRAINED]
    most = trained.loc[trained.estimate.idxmax()]
    word = verdict(most, *ADDS)
    alone = over_participants(unique.nuisance[unique.model == most.label])
    numbers = [
        Live("unique.n", share(trained.low > 0), method="trained models, interval above zero"),
        live("unique.most", most, "+.4f", method=f"{most.label}; R², {estimates.OVER_PARTICIPANTS}"),
        Live("unique.most.model", most.label),
        live("unique.nuisance", alone, "+.4f", method="R² of length and position; over participants, t"),
        Live("unique.verdict", word, method=f"{estimates.BY_INTERVAL}, of the best trained model"),
    ]
    return Finding(numbers, f"{most.label} {word} what length and position explain")


def by_protocol(table: pd.DataFrame):
    """Rows of each protocol, by its name, in their order."""
    return table.groupby("protocol", sort=False)
