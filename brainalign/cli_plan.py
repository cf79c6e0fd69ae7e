"""`brainalign plan`: what a study takes, model by model and in total, and what has to be got first."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from brainalign.study import Study

GB, GIB = 1e9, 1 << 30


def add(parser: argparse.ArgumentParser) -> None:
    """Add what `brainalign plan` takes to its parser."""
    parser.add_argument("study")
    parser.add_argument("--accelerator", metavar="NAME", help="H100, A100, ..., or cpu; A100 if left out")
    parser.add_argument("--rate", type=float, metavar="FLOPS", help="operations a second, where you measured them")
    parser.add_argument("--memory", type=float, metavar="GIB", help="memory of a card; the accelerator's if left out")
    parser.add_argument("--json", action="store_true", help="bytes, operations and hours, for programs")
    parser.set_defaults(run=plan)


def plan(options: argparse.Namespace) -> None:
    """Print the plan of a study."""
    from brainalign import study as studies
    from brainalign.study import plan as plans

    for name in ("rate", "memory"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ValueError(f"--{name} is {value:g}. Give a positive number.")
    study = studies.load(options.study)
    accelerator = options.accelerator or plans.CARD
    table = plans.of(study, accelerator, options.rate, options.memory)
    if options.json:
        print(table.to_json(orient="index", indent=1))
        return
    print(f"{study.name}: {study.title}\n")
    print(shown(table) if len(table) else "no models are run here: nothing to fetch and nothing to compute on a card")
    print("\n" + notes(table, accelerator, options.rate, options.memory))
    if lacking := studies.missing(study):
        print(f"\nmissing here ({len(lacking)}):")
        print(listed(lacking))


def require(study: Study, models: Collection[str] | None = None, gpu: bool = True) -> bool:
    """Whether a study can run here; if it cannot, what is missing is on standard error."""
    from brainalign import study as studies

    lacking = studies.missing(study, models, gpu)
    if lacking:
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
    heads = ["model", "10⁶\nparam.", "\ndtype", "GB to\ndownload", "GB of\nstates", "GPU\nGiB", "\ncards", "\nPFLOP",
             "hours,\npasses", "hours,\nscores", "\nstate"]  # fmt: skip
    align = ["left", "right", "left", *["right"] * 7, "left"]
    return tabulate([*rows, total], heads, tablefmt="simple", colalign=align, disable_numparse=True)


def fetched(table: pd.DataFrame) -> float:
    """Bytes of weights that the models of a table take, those that two of them share counted once."""
    return sum({name: size for files in table.files.dropna() for name, size in files.items()}.values())


def notes(table: pd.DataFrame, accelerator: str, rate: float | None, memory: float | None) -> str:
    """What the numbers of a plan rest on."""
    from brainalign import catalog
    from brainalign.study import plan as plans
    from brainalign.study import texts

    known = catalog.accelerators()
    if rate is not None:
        speed = f"at {rate:.3g} operations a second, as given"
    elif accelerator == "cpu":
        speed = f"at {plans.CPU_RATE:.3g} operations a second: two cores, as benchmarks/extraction.py measured them"
    else:
        speed = f"on one {accelerator} at {known['share']:.0%} of its peak ({known['cards'][accelerator]['source']})"
    size = memory or known["cards"].get(accelerator, {}).get("memory")
    words = [
        f"Hours of passes: {speed}.",
        "Hours of scores: brain alignment on two cores.",
        *([f"Cards: of {size:g} GiB; totals of memory and cards are those of the largest model."] if size else []),
    ]
    if (table.tokens == "estimated").any():
        words.append(f"Tokens are estimated at {texts.RATE} a word where a text or a tokenizer is not here.")
    return "\n".join(words)


def _number(value: float, unit: float, form: str) -> str:
    return "" if value != value else format(value / unit, form)
