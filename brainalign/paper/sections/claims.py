"""Every claim of the paper: what its own tables and the current study say of it."""

import pandas as pd

from brainalign.paper import claims
from brainalign.paper.claims import display
from brainalign.paper.figures import GRAY
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns

SUMMARY = ("change-average", "behavior-no-gain", "r-size-tuned", "r-mmlu-overall")  # the paper's, on the first page
TINTS = {"matches": "#1b7f4d", "differs": "#b3401f", "not testable": GRAY}  # no color of a family
PANELS = [("log_size", "average", "All printed models"), ("mmlu", "average", "Those with MMLU")]
COLUMNS = columns.named("section", "claim", "printed", "recomputed", "verdict") | {
    "study_value": "This study",
    "study_verdict": "Verdict here",
    "why": "Evidence",
    "range": "Range by rounding",
    "source": "Where",
}


def checked(results: pd.DataFrame) -> pd.DataFrame:
    """Every claim, checked (`claims.check_all`), with ``recomputed`` and its ``range`` as a reader wants them."""
    table = claims.check_all(results)
    ends = zip(table.low, table.high, strict=True)
    return table.assign(
        recomputed=[display(value) for value in table.value],
        range=[f"{display(low)} to {display(high)}" if low < high else "" for low, high in ends],
        verdict_study=table.study_verdict,
    )


def numbers_of_verdicts(checked: pd.DataFrame, evidence: str) -> list[Live]:
    """How many claims there are, and how many have each verdict; `evidence` is what the study's verdicts rest on."""
    n = len(checked)
    return [
        Live("claims.n", n, "d"),
        *(Live(_key("claims", verdict), (checked.verdict == verdict).sum(), "d", n=n) for verdict in claims.RECOMPUTED),
        *(
            Live(_key("claims.study", verdict), (checked.study_verdict == verdict).sum(), "d", n=n, evidence=evidence)
            for verdict in claims.RETESTED
        ),
    ]


def counts(checked: pd.DataFrame) -> pd.DataFrame:
    """How many claims have each verdict, with its tint: rows of `figures.counts`."""
    n = checked.verdict.value_counts().reindex(TINTS)
    return pd.DataFrame({"verdict": n.index, "n": n.to_numpy(), "tint": list(TINTS.values())})


def _key(group: str, verdict: str) -> str:
    return f"{group}.{verdict.replace(' ', '-')}"


def numbers_of_summary(checked: pd.DataFrame, evidence: str) -> list[Live]:
    """The paper's summary: each claim as printed, as recomputed and in the study, with its verdicts."""
    rows = checked.set_index("id").loc[list(SUMMARY)]
    return [live for claim in rows.itertuples() for live in _numbers_of_claim(claim, evidence)]


def _numbers_of_claim(claim, evidence: str) -> list[Live]:
    name, here = claim.Index, {"method": claim.study_why, "evidence": evidence}
    measured = ", ".join(filter(None, (claim.study_value, claim.study_verdict)))
    return [
        Live(f"{name}.printed", claim.printed, method=claim.source),
        Live(f"{name}.recomputed", claim.recomputed, method=claim.why),
        Live(f"{name}.verdict", claim.verdict, method=claim.why),
        Live(f"{name}.study", measured, **here),
        Live(f"{name}.study.verdict", claim.study_verdict, **here),
    ]
