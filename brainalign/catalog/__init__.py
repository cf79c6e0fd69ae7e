"""What the literature says, as data: checkpoints, data sets, printed tables, claims. No computation.

Tables are a caller's own, and only an empty cell is missing. Who asks for what is not there gets a LookupError that
suggests near names.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

from brainalign import messages

HERE = Path(__file__).parent
TASKS = HERE / "tasks"  # how benchmarks are put to models, in the format of lm-evaluation-harness
BENCHMARK_TASKS = HERE / "benchmark_tasks.csv"
PAPER = "Aw et al. 2024, arXiv 2312.00575 v2"


@dataclass(frozen=True)
class DataFile:
    """One file of a data set."""

    path: str  #: below the data set's address
    url: str
    hash: str  #: ``sha256:...`` or ``sha1:...``, as its publisher gives it
    bytes: int | None  #: None where it is not known


@dataclass(frozen=True)
class Dataset:
    """One data set: where it is, what may be done with it, whom to cite; as in ``datasets.yaml``."""

    name: str
    title: str
    kind: str
    address: str
    licence: str
    citation: str
    note: str = ""
    counts: dict = field(default_factory=dict)  #: published ones
    ceilings: dict = field(default_factory=dict)  #: noise ceilings (Pearson r) by part
    files: dict[str, DataFile] = field(default_factory=dict)  #: by path; empty where the user brings the files
    module: str = ""  #: of `human`, that loads it, if it has another name than the data set
    loads: dict[str, dict] = field(default_factory=dict)  #: by what can be loaded, the options of the module's ``load``

    def file(self, path: str) -> DataFile:
        """One file by its path."""
        messages.require(f"file of {self.name}", path, self.files)
        return self.files[path]

    @property
    def bytes(self) -> int | None:
        """Size of all files together, or None where one is not known."""
        sizes = [file.bytes for file in self.files.values()]
        return sum(sizes) if sizes and None not in sizes else None


def checkpoints() -> pd.DataFrame:
    """Every checkpoint of the paper, the true parents of Flan-T5, small newer ones, and how they descend, by ``name``.

    ``vanilla`` is what the paper's names imply that it is compared with, ``parent`` what it was trained from;
    ``parameters`` counts the architecture's (a checkpoint that adds tokens to the vocabulary has a few thousand more);
    ``layers`` counts encoder and decoder blocks; ``config`` names its `architecture`; ``stored`` is the precision of
    the published weights, where it is known; ``gated``, whether one has to accept terms to get them; ``group`` is
    ``main`` (the paper's 25), ``gpt2``, ``table8``, ``extension`` (the true parents) or ``laptop`` (small newer ones).
    ``delta_of`` is the checkpoint to which the published weights are a difference, ``delta_rows`` (``zero`` or
    ``mean``) what its publisher's script takes that checkpoint's embeddings of new tokens to be.
    """
    table = _read("checkpoints.csv").set_index("name")
    return table.assign(gated=table.gated == "yes")


@cache
def architectures() -> dict[str, dict]:
    """Settings of the checkpoints' networks, in transformers' keys, by the name that ``config`` gives."""
    return _yaml("architectures")


def texts() -> pd.DataFrame:
    """How long the texts of recordings and reading times are, for plans that are made before the texts are here.

    By ``name``: ``passages``, ``parts`` and ``words``; ``estimated``, which of them are (sentences of Pereira2018 have
    about twelve words), missing if none is.
    """
    return _read("texts.csv").set_index("name")


@cache
def accelerators() -> dict:
    """Peak rates and memory of accelerators by name (``cards``), and the ``share`` of a peak that is assumed."""
    return _yaml("accelerators")


def displays() -> pd.DataFrame:
    """Figures and tables of the paper that show results, and what shows the same here.

    ``display``; ``section`` of the paper; ``printed`` and ``study``: NOTEBOOK/NAME of what is drawn from its printed
    tables (missing where it prints no values) and from a study's own results.
    """
    return _read("displays.csv")


def surprisal_series(collection: str) -> pd.DataFrame:
    """Models of a published collection of surprisal series, which has the name of its data set, by ``name``.

    ``family``, ``kind``, ``vanilla`` (base of a tuned model, where the collection has it), ``parameters`` (nominal;
    missing where unpublished), ``huggingface``.
    """
    return _rows("surprisal_series.csv", "collection", collection, "collection of surprisal series")


def printed(table: str) -> pd.DataFrame:
    """A table of the paper: ``models``, ``correlations``, ``changes``, ``ceilings``, ``gemma_llama2``."""
    messages.require("printed table", table, {path.stem for path in (HERE / "printed").glob("*.csv")})
    return _read(f"printed/{table}.csv")


def benchmark_tasks(benchmark: str) -> pd.DataFrame:
    """Tasks of a benchmark by ``name``, one a file of questions: ``task`` (the sizes of one are one), ``category``."""
    return _rows(BENCHMARK_TASKS.name, "benchmark", benchmark, "benchmark")


@cache
def datasets() -> dict[str, Dataset]:
    """Every data set by name."""
    entries = _yaml("datasets").items()
    return {name: Dataset(name=name, **entry | {"files": _files(name, entry)}) for name, entry in entries}


def dataset(name: str) -> Dataset:
    """One data set by name."""
    messages.require("data set", name, datasets())
    return datasets()[name]


@cache
def claims() -> list[dict]:
    """Every quantitative claim of the paper, in our words, in the paper's order."""
    return _yaml("claims")


def _files(name: str, entry: dict) -> dict[str, DataFile]:
    """Files of a data set by path: many in a table of their own, few in the entry."""
    rows = [{"path": path, "bytes": None, **about} for path, about in entry.get("files", {}).items()]
    if (HERE / "files" / f"{name}.csv").exists():
        rows += _table(f"files/{name}.csv").to_dict("records")
    return {
        row["path"]: DataFile(
            row["path"],
            entry["address"] + row["path"],
            row["hash"],
            None if pd.isna(row["bytes"]) else int(row["bytes"]),
        )
        for row in rows
    }


def _rows(path: str, column: str, value: str, kind: str) -> pd.DataFrame:
    """Rows of a table that have a value, without it, by name."""
    table = _read(path)
    messages.require(kind, value, set(table[column]))
    return table[table[column] == value].drop(columns=column).set_index("name")


def _yaml(name: str) -> dict | list:
    return yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))


def _read(path: str) -> pd.DataFrame:
    return _table(path).copy()


@cache
def _table(path: str) -> pd.DataFrame:
    # "NA" and the like are names here, never missing.
    return pd.read_csv(HERE / path, keep_default_na=False, na_values=[""])
