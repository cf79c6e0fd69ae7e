"""What scores, and their change with tuning, owe to choices of the analysis: the width of features, and the layer."""

import pandas as pd

from brainalign import study as studies
from brainalign.alignment.protocols import CONTIGUOUS
from brainalign.alignment.summary import POOLED
from brainalign.paper.publish.numbers import Live, number
from brainalign.paper.sections import estimates
from brainalign.paper.sections.estimates import CHANGES, Finding, difference, live, over_participants, verdict
from brainalign.paper.sections.scores import WHO, Scores, whole
from brainalign.study.description.loading import averaged


def narrow(scores: Scores) -> pd.DataFrame:
    """Scores with all features projected to one width, under the protocols of `scores`."""
    table = studies.results(scores.study, "one-width")
    return table[table.protocol.isin(scores.protocols)]


def width(narrow: pd.DataFrame) -> str:
    """Features that are left: one number, or the least and the most of several layers."""
    return " to ".join(str(end) for end in dict.fromkeys([narrow.width.min(), narrow.width.max()]))


def both_widths(scores: Scores, narrow: pd.DataFrame) -> pd.DataFrame:
    """Scores over all participants' units: ``protocol``, ``model``, ``r_full``, ``r_narrow``, ``label``."""
    keys = ["model", "dataset", "protocol", "participant"]
    # Projected are recordings as they are; experiments of one data set are not averaged here.
    full = whole(scores.measured).query("chosen")
    table = narrow.merge(full[[*keys, "r"]], on=keys, suffixes=("_narrow", "_full"))
    pooled = table[(table.participant == POOLED) & table.dataset.isin(averaged(table))]
    pooled = pooled.groupby(["protocol", "model"], sort=False)
    table = pooled[["r_full", "r_narrow"]].mean().reset_index()
    table = table.sort_values("protocol", key=lambda names: names.map(scores.protocols.index), kind="stable")
    return table.assign(label=table.model + ", " + table.protocol)


def finding_of_widths(both: pd.DataFrame, scores: Scores, narrow: pd.DataFrame) -> Finding:
    """How far scores move at one width."""
    moved = both.loc[(both.r_full - both.r_narrow).abs().idxmax()]
    trained = both[both.model.isin(scores.trained)]
    features = "features of every layer: of the narrowest model, or as many as training stimuli"
    largest = "largest change of a trained model's score at one width"
    change = f"largest change at one width: {moved.label}"
    numbers = [
        Live("width", width(narrow), method=features),
        Live("width.most", moved.r_narrow - moved.r_full, "+.3f", method=change),
        Live("width.most.model", moved.label),
        Live("width.models", (trained.r_narrow - trained.r_full).abs().max(), ".3f", method=largest),
    ]
    ends = f"{number(moved.r_full, '.2f')} to {number(moved.r_narrow, '.2f')} under {moved.protocol}"
    return Finding(numbers, f"At width {width(narrow)}, {moved.model} changes most: {ends}")


def best_layer(scores: Scores) -> dict[str, pd.DataFrame]:
    """Score of participants at the best layer on the test sets, minus that at the one chosen inside the training sets.

    Under ``best-layer``, a column a model or twin; nothing without the protocol that chooses.
    """
    if CONTIGUOUS.name not in scores.protocols:
        return {}
    names = [*scores.trained, *scores.untrained]
    gain = scores.best[names] - scores.chosen[names]  # one layer leaves nothing to choose
    return {"best-layer": gain.xs(CONTIGUOUS.name, level="protocol")}


def by_model(gain: pd.DataFrame) -> pd.DataFrame:
    """Mean of each model over participants: rows of `figures.brain_scores.differences`."""
    rows = [{"panel": CONTIGUOUS.name, "label": name, **over_participants(gain[name])} for name in gain]
    return pd.DataFrame(rows)


def finding_of_best_layer(gain: pd.DataFrame) -> Finding:
    """What choosing the layer on the test sets adds, over all models, and the verdict."""
    method = "best layer on the test sets minus nested choice; trained and untrained, mean over participants, t"
    overall = over_participants(gain.mean(axis=1))
    word = verdict(overall, *CHANGES)
    rests_on = f"choosing the layer on the test set; {estimates.BY_INTERVAL}"
    numbers = [live("best-layer", overall, "+.3f", method=method), Live("best-layer.verdict", word, method=rests_on)]
    return Finding(numbers, f"Choosing the layer on the test set {word} the score")


def tuning(scores: Scores, narrow: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tuned minus vanilla under each protocol, as models are and at one width.

    Under ``headline``, rows of `figures.brain_scores.differences`; nothing without a tuned model.
    """
    if scores.pairs.empty:
        return {}
    tuned, vanilla = scores.pairs.index, scores.pairs.vanilla
    slim = narrow[narrow.participant != POOLED].pivot(index=WHO, columns="model", values="r")
    rows = [
        {"panel": "tuned minus vanilla", "label": label}
        | difference(table.xs(protocol, level="protocol"), tuned, vanilla)
        for protocol in scores.protocols
        for label, table in ((protocol, scores.chosen), (f"{protocol}, width {width(narrow)}", slim))
    ]
    return {"headline": pd.DataFrame(rows)}


def finding_of_tuning(table: pd.DataFrame) -> Finding:
    """What tuning does to the score in the most lenient comparison and in the strictest."""
    lenient, strict = table.iloc[0], table.iloc[-1]
    first, last = (verdict(row, *CHANGES) for row in (lenient, strict))
    numbers = [
        Live("tuning.lenient.verdict", first, method=f"{lenient.label}, {estimates.BY_INTERVAL}"),
        Live("tuning.strict.verdict", last, method=f"{strict.label}, {estimates.BY_INTERVAL}"),
        live("tuning.strict", strict, "+.3f", method=f"{strict.label}; over participants, t"),
    ]
    return Finding(numbers, f"Tuning {first} the score under {lenient.label} and {last} it under {strict.label}")
