"""Section 3 and Appendices A, B and J on the printed tables: which models there are, and how newer ones change."""

import numpy as np
import pandas as pd

from brainalign.paper.claims.printed import Printed
from brainalign.paper.figures import color
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns
from brainalign.paper.sections.columns import IDENTITY
from brainalign.paper.sections.estimates import Finding

METRICS = {"linear": "linear", "cka": "CKA", "rsa": "RSA"}
COLUMNS_OF_TABLE_3 = IDENTITY | {"params": "Parameters"} | columns.numbers(".0f", "layers")
COLUMNS_OF_TABLE_4 = IDENTITY | columns.named("vanilla") | {"link_in_paper_table4": "Link in the paper"}
COLUMNS_OF_TABLE_8 = columns.named("model", "kind") | columns.numbers(".2f", linear="Linear", cka="CKA", rsa="RSA")


def by_family(tables: Printed) -> pd.DataFrame:
    """How many of the paper's 25 models are of each family, a row each, and of each kind."""
    return tables.group("main").groupby(["family", "kind"]).size().unstack()


def numbers_of_models(tables: Printed) -> list[Live]:
    """How many models there are, as ``models.KIND``, and the sizes of the smallest and the largest."""
    main, tuned = tables.group("main"), tables.group("tuned")
    return [
        Live("models.n", len(main), "d"),
        Live("models.vanilla", len(main) - len(tuned), "d"),
        Live("models.tuned", len(tuned), "d"),
        Live("models.gpt2", (tables.models.family == "GPT2").sum(), "d"),
        Live("models.smallest", main["size"].min() / 1e6, ".0f", " M"),
        Live("models.largest", main["size"].max() / 1e9, ".0f", " B"),
    ]


def newer(tables: Printed) -> pd.DataFrame:
    """Change with tuning of the Gemma and LLaMA-2 models by each metric of Table 8, in its units.

    Rows of `figures.forest`, one a ``metric`` and ``model``: its score ``vanilla`` and ``instruction-tuned``, and their
    difference as ``estimate``. Without intervals: the paper prints none.
    """
    scores = tables.gemma_llama2.melt(id_vars=["model", "kind"], value_vars=list(METRICS), var_name="metric")
    wide = scores.pivot(index=["metric", "model"], columns="kind", values="value").reset_index()
    return wide.assign(
        estimate=wide["instruction-tuned"] - wide["vanilla"],
        label=wide.metric.map(METRICS) + ", " + wide.model,
        low=np.nan,
        high=np.nan,
        color=[color("other" if "Gemma" in name else "LLaMA") for name in wide.model],
    )


def finding_of_newer(newer: pd.DataFrame) -> Finding:
    """In how many comparisons the tuned model scores higher, over all and by metric, and each metric's mean change."""
    gains, total = (newer.estimate > 0).sum(), len(newer)
    method = "comparisons in which the tuned model scores higher"
    numbers = [Live("newer.gains", gains, "d", n=total, method=method), Live("newer.n", total, "d")]
    for metric, changes in newer.groupby("metric").estimate:
        key, n = f"newer.{metric}", len(changes)
        numbers.append(Live(f"{key}.gains", (changes > 0).sum(), "d", n=n))
        numbers.append(Live(f"{key}.change", changes.mean(), "+.2f", n=n, method="mean difference"))
    always = ", by CKA in all" if newer[newer.metric == "cka"].estimate.min() > 0 else ""
    return Finding(numbers, f"Tuned models score higher in {gains} of {total} comparisons{always}")
