"""What a study's models know, how they reason and how well they predict: Appendices E and H.

What a study did not measure has no number.
"""

from collections.abc import Sequence

import pandas as pd

from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns, covariates
from brainalign.paper.sections.covariates import KNOWLEDGE, LOSS, OVERALL, REASONING, SIZE, TRAINED, UNITS, Property
from brainalign.paper.sections.estimates import Finding, live
from brainalign.study.description.loading import load_benchmark

SLUGS = {SIZE: "size", KNOWLEDGE: "knowledge", REASONING: "reasoning", LOSS: "loss"}  # in keys, and their order
ABOVE_CHANCE = {KNOWLEDGE: "trained models know more than chance", REASONING: "reason better than chance"}
COLUMNS_OF_EXAMS = ["benchmark", "name", "model", "family", "kind", "value", "low", "high", "n"]
COLUMNS_OF_CAPABILITY = (
    columns.named("model", "kind", "measure", "protocol", "level", "domain")
    | columns.interval(".3f", value="Value")
    | columns.numbers(".0f", n="n")
)
COLUMNS_OF_MODELS = columns.IDENTITY | columns.numbers(",.0f", "parameters")


def numbers_of_measures(properties: list[Property]) -> list[Live]:
    """The measure that stands for each role."""
    items = covariates.quoted(properties).items()
    return [Live(f"{SLUGS[role]}.measure", item.name, method="what stands for it") for role, item in items]


def chances(benchmarks: Sequence[str]) -> dict[str, float]:
    """Share of answers that are right by guessing, by measure, where it is known."""
    shares = {"MMLU": 1 / 4}  # four options each
    if "microworld" in benchmarks:
        exam = load_benchmark("microworld")
        questions = [question for name in exam.tasks.index for question in exam.splits(name)["test"]]
        share = sum(1 / len(question["choices"]) for question in questions) / len(questions)
        shares |= {KNOWLEDGE: share, REASONING: share}
    return shares


def exams(results: pd.DataFrame, properties: list[Property], benchmarks: Sequence[str]) -> pd.DataFrame:
    """Shares of right answers over all of each benchmark, by all models, untrained twins among them.

    Rows of `results`, as from `covariates.scored`, in the order of properties; with their ``name`` and ``chance``, NaN
    where it is unknown.
    """
    names = {(item.measure, item.protocol): item.name for item in properties if item.overall}
    order = {item.name: place for place, item in enumerate(properties)}
    asked = {item.measure for item in properties if item.role in ABOVE_CHANCE}
    table = results[(results.level == OVERALL) & results.measure.isin(asked)]
    keys = zip(table.measure, table.protocol, strict=True)
    table = table.assign(
        name=[names.get((measure, protocol), names.get((measure, None))) for measure, protocol in keys],
        chance=table.measure.map(chances(benchmarks)),
    )
    return table.sort_values("name", key=lambda name: name.map(order), kind="stable")


def data_of_exams(exams: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Data of the figure of exams by its name; no figure where there was none."""
    return {"capability": exams[COLUMNS_OF_EXAMS]} if len(exams) else {}


def best_in_exams(exams: pd.DataFrame, properties: list[Property]) -> pd.DataFrame:
    """The best trained model in knowledge and in reasoning, and how many are better than chance.

    A row a role that was examined: the best model's row of `exams`, ``role``, ``trained`` models, and ``above``, those
    whose interval lies above chance.
    """
    rows = []
    for role, item in covariates.quoted(properties).items():
        table = exams[(exams.name == item.name) & exams.kind.isin(TRAINED)]
        if role in ABOVE_CHANCE and len(table):
            about = {"role": role, "trained": len(table), "above": (table.low > table.chance).sum()}
            rows.append(table.loc[table.value.idxmax()].to_dict() | about)
    return pd.DataFrame(rows)


def finding_of_exams(best: pd.DataFrame) -> Finding:
    """Numbers of `best_in_exams`; those about chance, and what the title counts, only where it is known."""
    numbers, counts = [], []
    for row in best.to_dict("records"):
        slug, count = SLUGS[row["role"]], f"{row['above']} of {row['trained']}"
        numbers += [
            Live(f"{slug}.questions", row["n"], ",d", method="questions"),
            Live(f"{slug}.best.model", row["model"]),
            live(f"{slug}.best", row, value="value", method="95 % interval over questions"),
        ]
        if row["chance"] > 0:  # it is known
            counts.append(f"{count} {ABOVE_CHANCE[row['role']]}")
            verdict = "beyond chance" if row["above"] else "no better than chance"
            numbers += [
                Live(f"{slug}.chance", row["chance"], method="share of right answers by guessing"),
                Live(f"{slug}.above", count, method="trained models whose interval lies above chance"),
                Live(f"{slug}.verdict", verdict, method="of the trained models"),
            ]
    return Finding(numbers, ", ".join(counts) or "Shares of right answers")


def numbers_of_loss(results: pd.DataFrame, properties: list[Property]) -> list[Live]:
    """The lowest next-word loss of a trained model; nothing where none was measured."""
    measures = [item.measure for role, item in covariates.quoted(properties).items() if role == LOSS]
    table = results[(results.level == OVERALL) & results.measure.isin(measures) & results.kind.isin(TRAINED)]
    if table.empty:
        return []
    best = table.loc[table.value.idxmin()]
    unit = f" {UNITS[best.measure]}"
    return [
        live("loss.best", best, unit=unit, value="value", method="interval over texts"),
        Live("loss.best.model", best.model),
    ]


def table_of_models(models: pd.DataFrame, protocols: list[str]) -> pd.DataFrame:
    """Models with their ``parameters``, and brain alignment under each protocol as ``brain, PROTOCOL``."""
    table = models.assign(parameters=(10 ** models[SIZE]).round())
    return table.rename(columns={name: f"brain, {name}" for name in protocols})


def columns_of_models(properties: list[Property], protocols: list[str]) -> dict:
    """Columns of `table_of_models`: the properties over all of a benchmark, and alignment."""
    names = [item.name for item in properties if item.overall and item.role != SIZE]
    names += [f"brain, {name}" for name in protocols]
    return COLUMNS_OF_MODELS | columns.numbers(".3f", **{name: f"{name[0].upper()}{name[1:]}" for name in names})
