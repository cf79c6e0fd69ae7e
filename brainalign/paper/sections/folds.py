"""What shuffled folds reward: controls and models under a study's most lenient protocol and its strictest.

On one data set, that with the most participants: protocols differ by data set.
"""

import pandas as pd

from brainalign.alignment.protocols import PROTOCOLS
from brainalign.paper.publish.numbers import Live, number
from brainalign.paper.sections.estimates import Finding, lives, over_participants
from brainalign.paper.sections.scores import Scores
from brainalign.study.description.loading import informative

ADJACENCY = "oasm"
LABELS = {
    ADJACENCY: ("OASM", "encodes only which stimuli are adjacent"),
    "length": ("Length or word rate", "counts letters or words"),
    "twins": ("Untrained twins", "the same networks with random weights"),
}
MODEL, MEAN = "a language model", ("Trained models, mean", "language models")
MOST = 4  # models that have a row each; of more, the best and the mean
FOLDS = {"shuffled": "shuffled", "stories": "stories kept whole", "neighbors": "contiguous", "runs": "runs kept whole"}


def dataset(scores: Scores) -> str:
    """Data set with the most participants, of those that both protocols suit."""
    people = scores.people(scores.lenient).groupby("dataset", sort=False).size()
    both = people.index.intersection(scores.people(scores.strict).index.unique("dataset"), sort=False)
    return people[informative(both)].idxmax()


def table(scores: Scores) -> pd.DataFrame:
    """Scores of adjacency, length, twins and models on that data set, a row for each protocol.

    ``name``, ``label``, ``note``, ``family`` (empty unless it is one trained model), ``protocol``, ``end`` (``lenient``
    or ``strict``), ``folds``, ``ceiling``, and the mean over participants as from `over_participants`.
    """
    ends = {scores.strict: "strict"} | ({scores.lenient: "lenient"} if scores.lenient != scores.strict else {})
    people = {name: scores.under(name).xs(dataset(scores), level="dataset", drop_level=False) for name in ends}
    measured = scores.table[scores.table.dataset == dataset(scores)].groupby("protocol").ceiling.first()
    rows = [
        {"name": name, "protocol": protocol, "end": end, "ceiling": measured[protocol]}
        | {"folds": FOLDS[PROTOCOLS[protocol].splits]}
        | over_participants(people[protocol][name])
        for name in _names(scores, people[scores.lenient])
        for protocol, end in ends.items()
    ]
    rows = pd.DataFrame(rows)
    labels = LABELS | {"ours": MEAN}
    rows[["label", "note"]] = [labels.get(name, (name, MODEL)) for name in rows.name]
    return rows.assign(family=rows.name.map(scores.models.family).where(rows.note == MODEL, ""))


def _names(scores: Scores, people: pd.DataFrame) -> list[str]:
    """Columns that have a row: what is no model first, then models from the lowest score to the highest."""
    controls, trained = [name for name in LABELS if name in people], people[scores.trained].mean().sort_values()
    models = list(trained.index) if len(trained) <= MOST else ["ours", trained.index[-1]]
    return [*controls, *models]


def numbers_of_single(scores: Scores) -> list[Live]:
    """Scores on data sets with one participant, such as the mean of several people, as ``DATASET.NAME``.

    Under the strictest protocol; the best trained model is ``DATASET.best``.
    """
    numbers, people = [], scores.under(scores.strict)
    for name in informative(people.index.unique("dataset")):
        rows = people.xs(name, level="dataset")
        if len(rows) > 1:
            continue
        best = rows[scores.trained].iloc[0].idxmax()
        values = {
            **{other: rows[other].item() for other in (*LABELS, "random") if other in rows},
            "best": rows[best].item(),
        }
        numbers += [Live(f"{name}.{key}", value, ".3f", method=scores.strict) for key, value in values.items()]
        numbers.append(Live(f"{name}.best.model", best))
    return numbers


def finding(table: pd.DataFrame) -> Finding:
    """Each score as ``folds.END.NAME``, the best model's as ``folds.END.model``; whether adjacency outscores it."""
    best = table.name.iloc[-1]
    shown = table.assign(name=table.name.replace(best, "model"))
    numbers = lives(shown, "folds.{end}.{name}", method="{label}; mean over participants, t")
    numbers += [Live("folds.people", table.n.max(), "d", method="participants"), Live("folds.model", best)]
    scores = table.pivot(index="name", columns="end", values="estimate")
    values = {name: _values(table[table.name == name]) for name in (ADJACENCY, best)}
    if ADJACENCY not in scores.index or "lenient" not in scores:
        return Finding(numbers, f"{best} scores {values[best]}")
    outscores = scores.lenient[ADJACENCY] > scores.lenient[best]
    word = "outscores" if outscores else "does not outscore"
    numbers.append(Live("folds.verdict", word, method="adjacency against the best model, most lenient protocol"))
    return Finding(numbers, f"Adjacency alone {word} {best}: {values[ADJACENCY]}, against {values[best]}")


def _values(rows: pd.DataFrame) -> str:
    return " and ".join(f"{number(row.estimate, '.2f')} {row.folds}" for row in rows[::-1].itertuples())
