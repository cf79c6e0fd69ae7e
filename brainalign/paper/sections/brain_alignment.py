"""Section 4.1 on a study's scores: how well models predict recordings, and what training and tuning change."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from brainalign import study as studies
from brainalign.alignment.protocols import AW2024, CONTIGUOUS
from brainalign.alignment.summary import ALL, NESTED, POOLED
from brainalign.paper.publish.numbers import Live, number
from brainalign.paper.sections import columns, estimates
from brainalign.paper.sections.estimates import CHANGES, Finding, difference, live, lives, verdict
from brainalign.paper.sections.scores import LABELS, UNTRAINED, Scores, number_of_models
from brainalign.study.description.loading import informative

DISCUSSED = (AW2024.name, CONTIGUOUS.name)  # the protocols that pages quote come first
# Two protocols side by side: a figure's name, what it shows of a score, and the label of its axis.
COMPARISONS = {
    "protocols": ("r", "Brain alignment (Pearson r)"),
    "protocols-normalized": ("r_normalized", "Share of the noise ceiling"),
}
COLUMNS_OF_SCORES = (
    columns.named("model", "kind", "dataset", "protocol", "layer")
    | columns.numbers(".3f", r="r", mad="MAD")
    | columns.numbers(".2f", r_normalized="r / ceiling")
    | columns.interval(".3f", estimate="Mean over people")
    | columns.numbers("d", n="People")
)
ABOUT = columns.named("model", "family", "kind", "vanilla")
COLUMNS_OF_MODELS = ABOUT | columns.numbers(",.0f", "parameters") | columns.numbers("d", "layers")
COLUMNS_OF_MODELS |= {"weights": "Loaded from"}
COLUMNS_OF_CEILINGS = columns.named("dataset", "protocol") | columns.numbers(".3f", ceiling="Ceiling (Pearson r)")
COLUMNS_OF_CEILINGS |= columns.numbers("d", n="People")


def numbers_of_study(brain: Scores) -> list[Live]:
    """How many people, units and models there are."""
    recordings = studies.results(brain.study, "recordings").set_index("dataset")
    recordings = recordings.loc[informative(recordings.index)]
    sizes = brain.models.parameters[brain.trained]
    ends = dict.fromkeys(f"{size:,.0f}" for size in (sizes.min(), sizes.max()))
    return [
        Live("recordings", ", ".join(recordings.index)),
        Live("units.n", recordings.units.sum(), ",d", method="voxels or regions"),
        Live("people.n", brain.headline.n.max(), "d", method="participants"),
        number_of_models(brain),
        Live("models.sizes", " to ".join(ends), method="parameters"),
        Live("twins.n", len(brain.untrained), "d", method="untrained twins"),
    ]


def ceilings(brain: Scores) -> dict[str, float]:
    """Noise ceiling under each protocol that has one."""
    return brain.headline.groupby("protocol").ceiling.first().dropna().to_dict()


def numbers_of_ceilings(brain: Scores) -> list[Live]:
    """Noise ceilings as ``ceiling.PROTOCOL``."""
    return [
        Live(f"ceiling.{protocol}", value, ".3f", method=f"{brain.datasets[0]}, {protocol}")
        for protocol, value in ceilings(brain).items()
    ]


def ranking(brain: Scores) -> pd.DataFrame:
    """Scores of models and twins under each protocol, the best first: rows of `figures.brain_scores.scores`."""
    rows = brain.headline[brain.headline.origin == "model"]
    rows = rows.assign(panel=rows.protocol.map(LABELS), order=rows.protocol.map(brain.protocols.index))
    return rows.sort_values(["order", "estimate"], ascending=[True, False], kind="stable")


def finding_of_ranking(brain: Scores, ranking: pd.DataFrame) -> Finding:
    """The best trained model as ``score.PROTOCOL``, and how many models score above zero."""
    numbers = []
    for protocol, rows in ranking[ranking.kind != UNTRAINED].groupby("protocol", sort=False):
        key, leader = f"score.{protocol}", rows.iloc[0]
        clear = f"{(rows.low > 0).sum()} of {len(brain.trained)}"
        numbers += [
            live(key, leader, ".3f", method=f"best trained model; {estimates.OVER_PARTICIPANTS}"),
            Live(f"{key}.model", leader.model),
            Live(f"{key}.pooled", leader.r, ".3f", method="median over all units, as in the paper"),
            Live(f"{key}.clear", clear, method="trained models whose interval lies above zero"),
        ]
        share = 100 * leader.r_normalized
        if np.isfinite(share):
            numbers.append(Live(f"{key}.share", share, ".0f", " %", method="of the noise ceiling, not clipped"))
    # The last protocol is the strictest.
    of_ceiling = f", {share:.0f} % of the ceiling" if np.isfinite(share) else ""
    return Finding(numbers, f"{leader.model} scores {number(leader.r, '.3f')} under {protocol}{of_ceiling}")


def side_by_side(brain: Scores, ranking: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of a ranking, a column a protocol, as `figures.brain_scores.dumbbells` draws it."""
    wide = ranking.pivot(index="model", columns="protocol", values=column)
    wide = wide.sort_values(brain.strict, ascending=False).reset_index()
    return wide.assign(label=wide.model)


def finding_of_leaders(ranking: pd.DataFrame) -> Finding:
    """The model with the highest score under each protocol, twins among them, and whether protocols agree on it."""
    leading = ranking.loc[ranking.groupby("protocol", sort=False).r.idxmax()].set_index("protocol").model
    (lenient, first), (strict, last) = leading.iloc[[0, -1]].items()
    word = "agree" if first == last else "disagree"
    method = "highest score, twins among the models"
    numbers = [Live(f"leader.{protocol}", model, method=method) for protocol, model in leading.items()]
    numbers.append(Live("leaders.verdict", word, method="on which model is best, untrained twins included"))
    if first == last:
        return Finding(numbers, f"{last} is best under {' and '.join(dict.fromkeys([lenient, strict]))}")
    return Finding(numbers, f"Best under {lenient}: {first}; under {strict}: {last}")


def training(brain: Scores) -> dict[str, pd.DataFrame]:
    """Each trained model minus its untrained twins, by the figure that shows it; nothing if none has twins.

    The difference is taken inside participants, and its interval is over them.
    """
    rows = [
        {"panel": LABELS[protocol], "label": name, "protocol": protocol}
        | difference(brain.people(protocol), [name], twins)
        for protocol in sorted(brain.protocols, key=lambda name: name not in DISCUSSED)
        for name, twins in brain.twins.items()
    ]
    return {"training": pd.DataFrame(rows)} if rows else {}


def finding_of_training(brain: Scores) -> Finding:
    """Trained models minus all of their twins under each protocol; no numbers without twins."""
    protocols = brain.protocols if brain.untrained else []
    effect = {name: difference(brain.people(name), list(brain.twins), brain.untrained) for name in protocols}
    words = verdicts(effect)
    if len(set(words.values())) == 1:
        title = f"Training {words[brain.strict]} the score under each protocol"
    else:
        title = "Training " + by_protocol(words)
    return Finding(numbers_of_effect("training", effect, "trained minus untrained twins"), title)


def verdicts(effect: Mapping[str, dict]) -> dict[str, str]:
    """What training or tuning does to the score under each protocol, by the interval over participants."""
    return {protocol: verdict(row, *CHANGES) for protocol, row in effect.items()}


def numbers_of_effect(key: str, effect: Mapping[str, dict], what: str, scope: str = "") -> list[Live]:
    """An effect under each protocol as ``KEY.PROTOCOL``, with its verdict, which holds for `scope`."""
    return [
        number
        for protocol, word in verdicts(effect).items()
        for number in (
            live(f"{key}.{protocol}", effect[protocol], "+.3f", method=f"{what}; {estimates.OVER_PARTICIPANTS}"),
            Live(f"{key}.{protocol}.verdict", word, method=estimates.BY_INTERVAL + scope),
        )
    ]


def by_protocol(words: Mapping[str, str]) -> str:
    """The verdict under each protocol, in one line."""
    return "; ".join(f"{word} it under {protocol}" for protocol, word in words.items())


def layers(brain: Scores) -> pd.DataFrame:
    """Score of each layer over all participants' units, mean over data sets: rows of `figures.brain_scores.layers`."""
    results = brain.results
    rows = results[(results.participant == POOLED) & (results.region == ALL) & (results.layer != NESTED)]
    rows = rows[(rows.origin == "model") & rows.dataset.isin(brain.datasets)]
    table = rows.groupby(["protocol", "model", "kind", "layer"], sort=False).r.mean().reset_index()
    models = table.groupby(["protocol", "model"])
    table["depth"] = models.cumcount() / (models.layer.transform("size") - 1).clip(lower=1)
    table = table.assign(panel=table.protocol.map(LABELS))
    return table.sort_values("protocol", key=lambda names: names.map(brain.protocols.index), kind="stable")


def finding_of_layers(layers: pd.DataFrame, ranking: pd.DataFrame) -> Finding:
    """The best layer of each protocol's best trained model, as ``layers.PROTOCOL.best``."""
    best = ranking[ranking.kind != UNTRAINED].groupby("protocol", sort=False).head(1)[["protocol", "model"]]
    rows = best.merge(layers, on=["protocol", "model"])
    top = rows.loc[rows.groupby("protocol", sort=False).r.idxmax()]
    method = "layer of the best trained model with the highest score on test sets"
    strict = top.iloc[-1]
    place = {0: "its embeddings", 1: "its last layer"}.get(strict.depth, f"layer {strict.layer}")
    numbers = lives(top, "layers.{protocol}.best", value="layer", method=method)
    return Finding(numbers, f"Under {strict.protocol}, {strict.model} is best at {place}")


def models(brain: Scores) -> pd.DataFrame:
    """Tables 3 and 4 of the paper, of this study: size and layers of each trained model, and where it comes from.

    Encoder and decoder layers are added up; embeddings count as none.
    """
    layers = brain.results[brain.results.layer != NESTED].groupby("model").layer.unique()
    members = studies.members(brain.study)

    def blocks(name: str) -> int:
        return len(layers[name]) - (2 if any(layer.startswith("decoder.") for layer in layers[name]) else 1)

    table = brain.models.loc[brain.trained].reset_index()[[*ABOUT, "parameters"]]
    return table.assign(
        layers=[blocks(name) for name in table.model],
        weights=[_origin(members[name].source) for name in table.model],
    )


def _origin(source: object) -> str:
    """Name of a hub or a file, without the folders that a machine has it in."""
    text = str(getattr(source, "load", source))
    return text if re.fullmatch("[^/]+/[^/]+", text) else text.rsplit("/", 1)[-1]
