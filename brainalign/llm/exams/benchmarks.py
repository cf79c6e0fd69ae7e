"""What models are examined in: questions from the catalog's files, and task files that say how they are put.

    load("mmlu").config("standard", "anatomy")      # settings of a task of lm-evaluation-harness
    load("mmlu").splits("anatomy")                  # its questions, by split

A task file is ``catalog/tasks/BENCHMARK.PROTOCOL.yaml``, in the harness's own format. It may include one of the
harness's; ``${name}`` and ``${subject}`` stand for the task at hand. Questions are put into the layout that the harness
expects here, in memory.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import pandas as pd
import yaml

from brainalign import catalog, messages
from brainalign.human.download import fetch

Splits = dict[str, list[dict]]
HARNESS = "lm_eval"
WIKITEXT = "ressources/ml/wikitext-2/test.txt"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: tasks, and the questions of each."""

    name: str  #: as in the names of its task files
    tasks: pd.DataFrame  #: by ``name``, a row a file of questions: ``task`` (several files may be one), ``category``
    splits: Callable[[str], Splits]  #: from the name of a file to its questions, in the layout of its task files
    letters: Callable[[], str] = field(default_factory=lambda: str)  #: gives those that a tokenizer must have

    @property
    def protocols(self) -> list[str]:
        """Ways to run it: those that have a task file."""
        return sorted(path.stem.partition(".")[2] for path in catalog.TASKS.glob(f"{self.name}.*.yaml"))

    def config(self, protocol: str, name: str) -> dict:
        """Settings of a task, as the harness takes them; raises LookupError if there is no such protocol, or task."""
        if protocol not in self.protocols:
            raise LookupError(messages.unknown(f"protocol of {self.name}", protocol, self.protocols))
        if name not in self.tasks.index:
            raise LookupError(messages.unknown(f"task of {self.name}", name, self.tasks.index))
        text = (catalog.TASKS / f"{self.name}.{protocol}.yaml").read_text(encoding="utf-8")
        (package,) = importlib.util.find_spec(HARNESS).submodule_search_locations
        substitutions = {"harness": f"{package}/tasks", "name": name, "subject": name.replace("_", " ")}
        settings = yaml.safe_load(Template(text).substitute(substitutions))
        return _included(Path(settings.pop("include"))) | settings if "include" in settings else settings


def load(name: str) -> Benchmark:
    """Load a published benchmark: ``mmlu`` or ``bbh``; raises LookupError, with near names, for any other."""
    if name not in PUBLISHED:
        raise LookupError(messages.unknown("benchmark", name, PUBLISHED))
    splits, letters = PUBLISHED[name]
    return Benchmark(name, catalog.benchmark_tasks(name), splits, letters)


def wikitext2() -> list[str]:
    """Articles of WikiText-2's test split; one after the other they are its text, to the byte."""
    text = fetch(catalog.dataset("wikitext2").file(WIKITEXT)).read_bytes().decode()
    preamble, *articles = re.split(r"(?m)(?=^ = [^=\n]+ =$)", text)
    return [preamble + articles[0], *articles[1:]]


def version(config: dict) -> str:
    """Version of a task: its own, and the harness's."""
    return f"{config['metadata']['version']}, {HARNESS} {importlib.metadata.version(HARNESS)}"


def _mmlu(subject: str) -> Splits:
    """Questions of a subject: ``question``, ``choices``, ``answer`` (the place of the right choice)."""

    def questions(split: str) -> list[dict]:
        path = fetch(catalog.dataset("mmlu").file(f"data/mmlu/{split}/{subject}_{split}.csv"))
        table = pd.read_csv(path, dtype=str, keep_default_na=False)  # an answer of "1.0" or "NA" stays so
        choices = table[[f"choice{i}" for i in range(4)]].to_numpy().tolist()
        rows = zip(table.question, choices, table.answer.astype(int), strict=True)
        return [{"question": question, "choices": texts, "answer": answer} for question, texts, answer in rows]

    return {split: questions(split) for split in ("dev", "test")}


def _bbh(name: str) -> Splits:
    """Items of a file: ``input`` and ``target``."""
    path = fetch(catalog.dataset("bbh").file(f"bbh/{name}.json"))
    return {"test": json.loads(path.read_text(encoding="utf-8"))["examples"]}


def _letters_of_options() -> str:
    """Letters of BBH's options, which stand as (A) in questions and answers."""
    targets = {item["target"] for name in catalog.benchmark_tasks("bbh").index for item in _bbh(name)["test"]}
    return "".join(sorted(target[1] for target in targets if len(target) == 3 and target[0] + target[2] == "()"))


PUBLISHED = {"mmlu": (_mmlu, lambda: "ABCD"), "bbh": (_bbh, _letters_of_options)}


def _included(path: Path) -> dict:
    """A task file of the harness with those that it includes."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    return _included(path.parent / settings.pop("include")) | settings if "include" in settings else settings
