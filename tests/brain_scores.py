"""Brain scores of a study, planted: each participant's score at the chosen layer is known."""

import numpy as np
import pandas as pd

from brainalign import study as studies
from brainalign.paper.sections.scores import Scores

MODELS = {  # kind, vanilla model, model that it is an untrained twin of
    "base": ("vanilla", None, None),
    "tuned": ("instruction-tuned", "base", None),
    "base-untrained-0": ("untrained", None, "base"),
}


def planted(scores, ceiling=0.5, models=MODELS):
    """Scores of two layers a model, the second chosen and twice as high.

    ``scores`` holds those of participants by protocol, data set and model.
    """
    rows = []
    for protocol, datasets in scores.items():
        for dataset, by_model in datasets.items():
            for model, values in by_model.items():
                rows += _rows(protocol, dataset, model, models[model], np.asarray(values, float), ceiling)
    return Scores(studies.load("microworld"), list(scores), pd.DataFrame(rows))


def _rows(protocol, dataset, model, about, values, ceiling):
    kind, vanilla, twin_of = about
    pooled = {"pooled": values.mean()} | {f"p{number}": value for number, value in enumerate(values)}
    same = {"protocol": protocol, "dataset": dataset, "model": model, "kind": kind, "vanilla": vanilla}
    same |= {"twin_of": twin_of, "family": "T5", "parameters": 1e6, "origin": "model", "region": "all", "split": "all"}
    for layer, share in (("0", 0.5), ("1", 1.0)):
        for participant, r in pooled.items():
            about_layer = {"layer": layer, "chosen": layer == "1", "participant": participant, "r": share * r}
            yield same | about_layer | {"ceiling": ceiling, "r_normalized": share * r / ceiling, "mad": 0.01}
