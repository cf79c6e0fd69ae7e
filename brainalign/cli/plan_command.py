"""`brainalign plan`: what a study takes, model by model and in total, and what has to be got first."""

import argparse
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from tabulate import tabulate

from brainalign import catalog
from brainalign import study as studies
from brainalign.study import Study
from brainalign.study.description import texts
from brainalign.study.planning import plan as plans
from brainalign.study.planning.plan import Resources

GB, GIB = 1e9, 1 << 30
HEADS = {"parameters": "10⁶\nparam.", "dtype": "\ndtype", "download": "GB to\ndownload", "store": "GB\nkept",
         "memory": "GPU\nGiB", "cards": "\ncards", "flops": "\nPFLOP", "hours": "hours,\npasses",
         "scoring": "hours,\nscores", "state": "\nstate"}  # fmt: skip
# Units and formats of numbers; totals show more of what is small.
FORMS = {"parameters": (1e6, ",.0f"), "download": (GB, ",.1f"), "store": (GB, ",.1f"), "memory": (GIB, ",.1f"),
         "cards": (1, ".0f"), "flops": (1e15, ",.3g"), "hours": (1, ",.2g"), "scoring": (1, ",.1f")}  # fmt: skip
FORMS_OF_TOTALS = FORMS | {"flops": (1e15, ",.2f"), "hours": (1, ",.2f")}
TOTALS = {"store": "sum", "memory": "max", "cards": "max", "flops": "sum", "hours": "sum", "scoring": "sum"}


def plan(options: argparse.Namespace) -> None:
    """Print the plan of a study."""
    study = studies.load(options.study)
    on = cards(options)
    table = plans.by_model(study, **on)
    if options.json:
        print(table.to_json(orient="index", indent=1))
        return
    print(f"{study.name}: {study.title}\n")
    print(shown(table) if len(table) else "no models are run here: nothing to fetch and nothing to compute on a card")
    print("\n" + notes(table, **on))
    if unplanned := table.why.dropna().to_dict():
        print(f"\nnot planned ({len(unplanned)}):")
        print(listed([f"{name}: {why}" for name, why in unplanned.items()]))
    if lacking := studies.missing(study):
        print(f"\nmissing here ({len(lacking)}):")
        print(listed(lacking))


def cards(options: argparse.Namespace) -> dict[str, str | float | None]:
    """What `study.plan` is to know of the cards on which models run; a number that is not positive is an error."""
    for name in ("rate", "memory"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} is {value:g}. Give a positive number.")
    return {"accelerator": options.accelerator or plans.CARD, "rate": options.rate, "memory": options.memory}


def require(study: Study, models: Collection[str] | None = None, gpu: bool = True) -> bool:
    """Whether a study can run here; if it cannot, what is missing is on standard error."""
    if lacking := studies.missing(study, models, gpu):
        print(f"brainalign: {study.name} cannot be run here. Missing:", file=sys.stderr)
        print(listed(lacking), file=sys.stderr)
    return not lacking


def listed(sentences: list[str]) -> str:
    """Sentences as items, in lines of a terminal."""
    form = {"initial_indent": "- ", "subsequent_indent": "  ", "break_on_hyphens": False, "break_long_words": False}
    return "\n".join(textwrap.fill(sentence, 110, **form) for sentence in sentences)


def shown(table: pd.DataFrame) -> str:
    """Rows and total, for a terminal of a hundred columns."""
    total = table.agg(TOTALS).to_dict() | {"download": fetched(table)}
    rows = [_cells(name, row, FORMS) for name, row in table.iterrows()] + [_cells("total", total, FORMS_OF_TOTALS)]
    align = ["left", "right", "left", *["right"] * 7, "left"]
    return tabulate(rows, ["model", *HEADS.values()], tablefmt="simple", colalign=align, disable_numparse=True)


def _cells(name: str, row: Mapping[str, object], forms: Mapping[str, tuple[float, str]]) -> list[str]:
    """A row of the table; what is missing is left empty."""

    def text(column: str) -> str:
        value = row.get(column)
        if pd.isna(value):
            return ""
        unit, form = forms.get(column, (None, None))
        return format(value / unit, form) if unit else value

    return [name, *map(text, HEADS)]


def fetched(table: pd.DataFrame) -> float:
    """Bytes of weights that the models of a table lack here, those that two of them share counted once."""
    return sum({name: size for files in table.files.dropna() for name, size in files.items()}.values())


def notes(table: pd.DataFrame, accelerator: str, rate: float | None, memory: float | None) -> str:
    """What the numbers of a plan rest on."""
    accelerators = catalog.accelerators()
    if rate is not None:
        speed = f"at {rate:.3g} operations a second, as given"
    elif accelerator == plans.CPU:
        speed = f"at {plans.CPU_RATE:.3g} operations a second: two cores, as benchmarks/extraction.py measured them"
    elif rates := plans.measured_rates(accelerator):
        speed = f"on one {accelerator} at {rates['half']:.3g} operations a second, as benchmarks/gpu.py measured it"
    else:
        source = accelerators["cards"][accelerator]["source"]
        speed = f"on one {accelerator} at {accelerators['share']:.0%} of its peak ({source})"
    size = memory or accelerators["cards"].get(accelerator, {}).get("memory")
    words = [f"Hours of passes: {speed}.", "Hours of scores: brain alignment on two cores."]
    if size:
        words.append(f"Cards: of {size:g} GiB; totals of memory and cards are those of the largest model.")
    if (table.training > 0).any():
        words.append(
            "Of what is tuned: GiB with gradients and moments; GB of each model that is kept, and its states; "
            "operations and hours\nof tuning on one card, with samples as long as they may be, and of reading each "
            "such model."
        )
    if (table.tokens == "estimated").any():
        words.append(f"Tokens are estimated at {texts.RATE} a word where a text or a tokenizer is not here.")
    return "\n".join(words)


def jobs(due: Sequence[Sequence[str]], asked: Mapping[str, Resources]) -> str:
    """Jobs that are due (steps of each: models, notebooks, the book), and what each asks of a scheduler.

    What is ``asked`` of models gives their order.
    """
    place = {name: number for number, name in enumerate(asked)}
    due = sorted(due, key=lambda steps: place.get(steps[0], len(place)))  # Snakemake's order means nothing
    rows = [[number, ", ".join(steps), *_needed(steps, asked)] for number, steps in enumerate(due, start=1)]
    heads = ["job", "models", "GPUs", "memory, MB", "minutes"]
    form = {"tablefmt": "simple", "maxcolwidths": [None, 70], "disable_numparse": True}
    table = tabulate(rows, heads, colalign=["right", "left", *["right"] * 3], **form)
    guesses = {step: asked[step].why for steps in due for step in steps if step in asked and asked[step].why}
    if guesses:
        table += f"\n\nnot planned ({len(guesses)}), and given a day:\n"
        table += listed([f"{name}: {why}" for name, why in guesses.items()])
    return table


def _needed(steps: Sequence[str], asked: Mapping[str, Resources]) -> list[str]:
    """GPUs, megabytes and minutes of a job; nothing of the book, which is rendered here."""
    if not steps[0].endswith(".ipynb") and steps[0] not in asked:
        return ["here", "", ""]
    return [f"{value:,}" for value in together([asked.get(step, plans.NOTEBOOK) for step in steps])]


def together(of_models: Sequence[Resources]) -> tuple[int, int, int]:
    """GPUs, memory and minutes of a process that runs models one after the other."""
    gpus, memory, minutes, _ = zip(*of_models, strict=True)
    return max(gpus), max(memory), sum(minutes)
