"""`brainalign plan`: what a study takes, model by model and in total, and what has to be got first."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from brainalign.study import Study
    from brainalign.study.planning.plan import Resources

GB, GIB = 1e9, 1 << 30


def add(parser: argparse.ArgumentParser) -> None:
    """Add what `brainalign plan` takes to its parser."""
    parser.add_argument("study")
    add_accelerator(parser)
    parser.add_argument("--json", action="store_true", help="bytes, operations and hours, for programs")
    parser.set_defaults(run=plan)


def add_accelerator(parser: argparse.ArgumentParser) -> None:
    """Add what says on which cards models run."""
    parser.add_argument("--accelerator", metavar="NAME", help="H100, A100, ..., or cpu; A100 if left out")
    parser.add_argument("--rate", type=float, metavar="FLOPS", help="operations a second, where you measured them")
    parser.add_argument("--memory", type=float, metavar="GIB", help="of a card; the accelerator's if left out")


def cards(options: argparse.Namespace) -> dict[str, str | float | None]:
    """What `study.plan` is to know of the cards on which models run.

    Raises
    ------
    ValueError
        A number that is not positive.
    """
    from brainalign.study.planning import plan as plans

    for name in ("rate", "memory"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} is {value:g}. Give a positive number.")
    return {"accelerator": options.accelerator or plans.CARD, "rate": options.rate, "memory": options.memory}


def plan(options: argparse.Namespace) -> None:
    """Print the plan of a study."""
    from brainalign import study as studies
    from brainalign.study.planning import plan as plans

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


def require(study: Study, models: Collection[str] | None = None, gpu: bool = True) -> bool:
    """Whether a study can run here; if it cannot, what is missing is on standard error."""
    from brainalign import study as studies

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
    from tabulate import tabulate

    rows = [
        [
            name,
            _number(row.parameters, 1e6, ",.0f"),
            row["dtype"],
            _number(row.download, GB, ",.1f"),
            _number(row.store, GB, ",.1f"),
            _number(row.memory, GIB, ",.1f"),
            _number(row.cards, 1, ".0f"),
            _number(row.flops, 1e15, ",.3g"),
            _number(row.hours, 1, ",.2g"),
            _number(row.scoring, 1, ",.1f"),
            row.state,
        ]
        for name, row in table.iterrows()
    ]
    total = ["total", "", "", f"{fetched(table) / GB:,.1f}", _number(table.store.sum(), GB, ",.1f"),
             _number(table.memory.max(), GIB, ",.1f"), _number(table.cards.max(), 1, ".0f"),
             _number(table.flops.sum(), 1e15, ",.2f"), _number(table.hours.sum(), 1, ",.2f"),
             _number(table.scoring.sum(), 1, ",.1f"), ""]  # fmt: skip
    heads = ["model", "10⁶\nparam.", "\ndtype", "GB to\ndownload", "GB\nkept", "GPU\nGiB", "\ncards", "\nPFLOP",
             "hours,\npasses", "hours,\nscores", "\nstate"]  # fmt: skip
    align = ["left", "right", "left", *["right"] * 7, "left"]
    return tabulate([*rows, total], heads, tablefmt="simple", colalign=align, disable_numparse=True)


def fetched(table: pd.DataFrame) -> float:
    """Bytes of weights that the models of a table lack here, those that two of them share counted once."""
    return sum({name: size for files in table.files.dropna() for name, size in files.items()}.values())


def notes(table: pd.DataFrame, accelerator: str, rate: float | None, memory: float | None) -> str:
    """What the numbers of a plan rest on."""
    from brainalign import catalog
    from brainalign.study.description import texts
    from brainalign.study.planning import plan as plans

    accelerators = catalog.accelerators()
    if rate is not None:
        speed = f"at {rate:.3g} operations a second, as given"
    elif accelerator == "cpu":
        speed = f"at {plans.CPU_RATE:.3g} operations a second: two cores, as benchmarks/extraction.py measured them"
    else:
        source = accelerators["cards"][accelerator]["source"]
        speed = f"on one {accelerator} at {accelerators['share']:.0%} of its peak ({source})"
    size = memory or accelerators["cards"].get(accelerator, {}).get("memory")
    words = [
        f"Hours of passes: {speed}.",
        "Hours of scores: brain alignment on two cores.",
        *([f"Cards: of {size:g} GiB; totals of memory and cards are those of the largest model."] if size else []),
    ]
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
    """Jobs that are due, and what each asks of a scheduler.

    Parameters
    ----------
    due : sequence of sequence of str
        Steps of each job: models, notebooks, the book.
    asked : mapping
        Of models, in whose order the jobs are listed.
    """
    from tabulate import tabulate

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
    from brainalign.study.planning.plan import NOTEBOOK

    if not steps[0].endswith(".ipynb") and steps[0] not in asked:
        return ["here", "", ""]
    return [f"{value:,}" for value in together([asked.get(step, NOTEBOOK) for step in steps])]


def together(of_models: Sequence[Resources]) -> tuple[int, int, int]:
    """GPUs, memory and minutes of a process that runs models one after the other."""
    gpus, memory, minutes, _ = zip(*of_models, strict=True)
    return max(gpus), max(memory), sum(minutes)


def _number(value: float, unit: float, form: str) -> str:
    return "" if value != value else format(value / unit, form)
