"""Section 4.1 on a study's scores: tuned models against their vanilla ones, by brain scores and other metrics."""

import numpy as np
import pandas as pd

from brainalign import study as studies
from brainalign.paper.claims.printed import Printed
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns, published_brain
from brainalign.paper.sections.brain_alignment import ABOUT, by_protocol, numbers_of_effect, verdicts
from brainalign.paper.sections.estimates import difference, over_participants
from brainalign.paper.sections.scores import AVERAGE, LABELS, Scores
from brainalign.statistics.pairs import make_pairs, percent_changes, t_test_over_bases
from brainalign.study import Study
from brainalign.study.description.loading import informative

METRICS = ("linear", "cka", "rsa")
COLUMNS_OF_METRICS = (
    ABOUT
    | columns.numbers(".3f", linear="Linear (r)")
    | columns.numbers(".2f", normalized="Linear / ceiling")
    | columns.numbers(".3f", cka="CKA", rsa="RSA")
)


def pairs(brain: Scores) -> dict[str, pd.DataFrame]:
    """Tuned models beside their vanilla ones under each protocol (`pairs.make_pairs`); nothing if none is tuned."""
    models = brain.headline[brain.headline.model.isin(brain.pairs.index) | (brain.headline.kind == "vanilla")]
    protocols = brain.protocols if len(brain.pairs) else []
    return {protocol: make_pairs(models[models.protocol == protocol], "r") for protocol in protocols}


def numbers_of_pairs(pairs: dict[str, pd.DataFrame]) -> list[Live]:
    """How many pairs and bases there are, and how many pairs gain as ``tuning.PROTOCOL.gaining``."""
    strict, method = list(pairs.values())[-1:], "pairs whose score rises"
    gains = [Live(f"tuning.{name}.gaining", gaining(table), "d", method=method) for name, table in pairs.items()]
    return [
        Live("pairs.n", sum(map(len, strict)), "d"),
        Live("pairs.bases", sum(table.base.nunique() for table in strict), "d"),
        *gains,
    ]


def gaining(pairs: pd.DataFrame) -> int:
    """How many tuned models score above their vanilla ones."""
    return (pairs.tuned > pairs.vanilla).sum()


def scatters(pairs: dict[str, pd.DataFrame]) -> dict[str, str]:
    """Protocols whose pairs are drawn one by one, the most lenient and the strictest, by the figure's name."""
    protocols = list(pairs)
    return {"study-figure-1b": protocols[0], "study-figure-1b-strict": protocols[-1]} if pairs else {}


def title_of_scatter(pairs: dict[str, pd.DataFrame], protocol: str) -> str:
    """How many pairs gain under a protocol."""
    return f"Under {protocol}, {gaining(pairs[protocol])} of {len(pairs[protocol])} pairs gain"


def by_dataset(brain: Scores, pairs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean change of all pairs under each protocol, on each data set and, if there are several, on their average.

    A vanilla model counts once for each model that was tuned from it. The interval is over participants.
    """
    rows = []
    for protocol, table in pairs.items():
        people = brain.people(protocol)
        change = people[list(table.model)].mean(axis=1) - people[list(table.base)].mean(axis=1)
        names = informative(people.index.unique("dataset"))  # not every protocol suits every recording
        parts = {AVERAGE: change} if AVERAGE in brain.datasets else {}
        parts |= {name: change.xs(name, level="dataset", drop_level=False) for name in names}
        rows += [
            {"panel": LABELS[protocol], "label": name, "protocol": protocol, **over_participants(part)}
            for name, part in parts.items()
        ]
    return pd.DataFrame(rows)


def by_pair(brain: Scores, pairs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Change of each pair under each protocol, with its interval over participants."""
    rows = [
        {"panel": LABELS[protocol], "label": pair.model, "base": pair.base, "family": pair.family}
        | difference(brain.people(protocol), [pair.model], [pair.base])
        for protocol, table in pairs.items()
        for pair in table.itertuples()
    ]
    return pd.DataFrame(rows)


def effect_of_tuning(brain: Scores, pairs: dict[str, pd.DataFrame]) -> dict[str, dict]:
    """Mean change of all pairs under each protocol, on average over data sets or on the only one."""
    rows = by_dataset(brain, pairs).to_dict("records")
    return {row["protocol"]: row for row in rows if row["label"] == brain.datasets[0]}


def numbers_of_tuning(brain: Scores, pairs: dict[str, pd.DataFrame]) -> list[Live]:
    """The effect of tuning under each protocol as ``tuning.PROTOCOL``, with its verdict."""
    return numbers_of_effect("tuning", effect_of_tuning(brain, pairs), "tuned minus vanilla", ", for these models")


def changes(brain: Scores, pairs: dict[str, pd.DataFrame]) -> dict[str, tuple[pd.DataFrame, str]]:
    """Changes by data set and by pair with their titles, by the figure that shows them; nothing without pairs."""
    if not pairs:
        return {}
    finding = by_protocol(verdicts(effect_of_tuning(brain, pairs)))
    return {
        "study-figure-1c": (by_dataset(brain, pairs), f"Tuning, by data set: {finding}"),
        "pairs": (by_pair(brain, pairs), f"Tuning, pair by pair: {finding}"),
    }


def strip(tables: Printed, pairs: dict[str, pd.DataFrame], **bootstrap) -> pd.DataFrame:
    """The average change as printed, as recomputed, and in this study, as the mean over bases.

    Rows of `figures.strip`; `bootstrap` has its `seed` and `resamples`.
    """
    study = [{"label": f"this study, {name}", **percent_change(table, **bootstrap)} for name, table in pairs.items()]
    without = [{"label": "this study", "note": "not run: it has no pair of a vanilla and a tuned model"}]
    test = t_test_over_bases(published_brain.pairs(tables), **bootstrap)
    return published_brain.strip(tables, test, study or without)


def percent_change(pairs: pd.DataFrame, **bootstrap) -> dict:
    """Mean percent change of pairs with its interval over bases, and a note on what it rests, or why there is none."""
    if pairs.base.nunique() < 2:
        return {"note": f"all of one base, {pairs.base.iloc[0]}: no interval over bases"}
    if (pairs[["vanilla", "tuned"]] <= 0).any(axis=None):
        return {"note": "a score is not above zero: no percentage"}
    if np.isclose(pairs.tuned / pairs.vanilla, (pairs.tuned / pairs.vanilla).iloc[0]).all():
        return {"estimate": percent_changes(pairs).percent_change.mean(), "note": "all pairs change alike: no interval"}
    return published_brain.row_of_strip(t_test_over_bases(pairs, **bootstrap))


def finding_of_strip(study: Study, pairs: dict[str, pd.DataFrame]) -> tuple[str, str]:
    """The title of the strip, and on what it rests: without pairs of the study, on the printed tables alone."""
    if pairs:
        return "As printed, as recomputed, and in this study", study.evidence
    return "This study has no pair of models to compare with the printed scores", "printed"


def metrics(brain: Scores) -> pd.DataFrame:
    """Table 8 of the paper, of this study: trained models by linear predictivity, CKA and RSA.

    A row a model: ``linear`` under the most lenient protocol, ``normalized`` by its ceiling; ``cka`` and ``rsa`` of the
    best layer, mean over data sets and not scaled.
    """
    similarity = studies.results(brain.study, "similarity")
    best = similarity.groupby(["model", "dataset"], sort=False)[["cka", "rsa"]].max().groupby("model").mean()
    lenient = brain.headline[brain.headline.protocol == brain.lenient].set_index("model")
    linear = lenient[["r", "r_normalized"]].set_axis(["linear", "normalized"], axis=1)
    about = brain.models.loc[brain.trained, ["family", "kind", "vanilla"]]
    return about.join(linear).join(best).rename_axis("model").reset_index()


def numbers_of_metrics(metrics: pd.DataFrame) -> list[Live]:
    """How many tuned models score above their vanilla ones by each metric, as ``metrics.METRIC.gains``."""
    tuned = metrics[metrics.vanilla.isin(metrics.model)]
    bases = metrics.set_index("model").reindex(tuned.vanilla)
    method = "tuned models above their vanilla ones, at the best layer"
    gains = {name: (tuned[name].to_numpy() > bases[name].to_numpy()).sum() for name in METRICS if len(tuned)}
    return [Live(f"metrics.{name}.gains", f"{n} of {len(tuned)}", method=method) for name, n in gains.items()]
