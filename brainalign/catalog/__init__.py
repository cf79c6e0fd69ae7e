"""What the literature says, as data: checkpoints, data sets, printed tables, claims. No computation."""

import csv
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
    """One file of a data set.

    Attributes
    ----------
    path : str
        Its place below the data set's address.
    url : str
        Its whole address.
    hash : str
        ``sha256:...`` or ``sha1:...``, as its publisher gives it.
    bytes : int or None
        Its size, where it is known.
    """

    path: str
    url: str
    hash: str
    bytes: int | None


@dataclass(frozen=True)
class Dataset:
    """One data set: where it is, what may be done with it, whom to cite.

    Attributes
    ----------
    name, title, kind, address, licence, citation, note : str
        As in ``datasets.yaml``.
    counts, ceilings : dict
        Published counts, and noise ceilings (Pearson r) by part.
    files : dict of str to DataFile
        By path; empty where the user brings the files.
    module : str
        Of `human`, that loads it; empty where it has the name of the data set.
    loads : dict of str to dict
        What can be loaded of it, and the options of the module's ``load`` for each.
    """

    name: str
    title: str
    kind: str
    address: str
    licence: str
    citation: str
    note: str
    counts: dict
    ceilings: dict
    files: dict[str, DataFile]
    module: str = ""
    loads: dict[str, dict] = field(default_factory=dict)

    def file(self, path: str) -> DataFile:
        """One file by its path.

        Raises
        ------
        LookupError
            The data set has no such file.
        """
        if path not in self.files:
            raise LookupError(messages.unknown(f"file of {self.name}", path, self.files))
        return self.files[path]

    @property
    def bytes(self) -> int | None:
        """Size of all files together, or None where one is not known."""
        sizes = [file.bytes for file in self.files.values()]
        return sum(sizes) if sizes and None not in sizes else None


def checkpoints() -> pd.DataFrame:
    """Every checkpoint of the paper, the true parents of Flan-T5, small newer ones, and how they descend.

    Returns
    -------
    DataFrame
        Indexed by ``name``. ``vanilla`` is what the paper's names imply that it is compared with, ``parent`` what
        it was trained from; ``parameters`` counts the architecture's (a checkpoint that adds tokens to the
        vocabulary has a few thousand more); ``layers`` counts encoder and decoder blocks; ``config`` names its
        `architecture`; ``stored`` is the precision of the published weights, where it is known; ``gated``, whether
        one has to accept terms to get them; ``group`` is ``main`` (the paper's 25), ``gpt2``, ``table8``,
        ``extension`` (the true parents) or ``laptop`` (small newer ones). ``delta_of`` is the checkpoint to which the
        published weights are a difference, ``delta_rows`` (``zero`` or ``mean``) what its publisher's script takes
        that checkpoint's embeddings of new tokens to be.
    """
    table = _read("checkpoints.csv").set_index("name")
    return table.assign(gated=table.gated == "yes")


def checkpoint(name: str) -> pd.Series:
    """One checkpoint by the paper's name for it.

    Raises
    ------
    LookupError
        No such checkpoint; the message suggests near names.
    """
    table = checkpoints()
    if name not in table.index:
        raise LookupError(messages.unknown("checkpoint", name, table.index))
    return table.loc[name]


@cache
def architectures() -> dict[str, dict]:
    """Settings of the checkpoints' networks, in transformers' keys, by the name that ``config`` gives."""
    return yaml.safe_load((HERE / "architectures.yaml").read_text(encoding="utf-8"))


def texts() -> pd.DataFrame:
    """How long the texts of recordings and reading times are, for plans that are made before the texts are here.

    Returns
    -------
    DataFrame
        Indexed by ``name``, that of a recording or of reading times: ``passages``, ``parts`` and ``words``;
        ``estimated``, which of them are (sentences of Pereira2018 have about twelve words), missing if none is.
    """
    return _read("texts.csv").set_index("name")


@cache
def accelerators() -> dict:
    """Peak rates and memory of accelerators by name (``cards``), and the ``share`` of a peak that is assumed."""
    return yaml.safe_load((HERE / "accelerators.yaml").read_text(encoding="utf-8"))


def displays() -> pd.DataFrame:
    """Figures and tables of the paper that show results, and what shows the same here.

    Returns
    -------
    DataFrame
        ``display``; ``section`` of the paper; ``printed`` and ``study``: NOTEBOOK/NAME of what is drawn from its
        printed tables (missing where it prints no values) and from a study's own results.
    """
    return _read("displays.csv")


def surprisal_series(collection: str) -> pd.DataFrame:
    """Models of a published collection of surprisal series.

    Parameters
    ----------
    collection : str
        Name of the collection, also that of its data set.

    Returns
    -------
    DataFrame
        Indexed by ``name``: ``family``, ``kind``, ``vanilla`` (base of a tuned model, where the collection has
        it), ``parameters`` (nominal; missing where unpublished), ``huggingface``.

    Raises
    ------
    LookupError
        No such collection.
    """
    table = _read("surprisal_series.csv")
    if collection not in set(table.collection):
        raise LookupError(messages.unknown("collection of surprisal series", collection, set(table.collection)))
    return table[table.collection == collection].drop(columns="collection").set_index("name")


def printed(table: str) -> pd.DataFrame:
    """One of the paper's printed tables.

    Parameters
    ----------
    table : str
        ``models``, ``correlations``, ``changes``, ``ceilings`` or ``gemma_llama2``.

    Returns
    -------
    DataFrame
        As printed, without computation; an empty cell is missing.

    Raises
    ------
    LookupError
        No such table.
    """
    tables = {path.stem for path in (HERE / "printed").glob("*.csv")}
    if table not in tables:
        raise LookupError(messages.unknown("printed table", table, tables))
    return _read(f"printed/{table}.csv")


def benchmark_tasks(benchmark: str) -> pd.DataFrame:
    """Tasks of a benchmark, and the groups that the paper puts them in.

    Returns
    -------
    DataFrame
        Indexed by ``name``, one row a file of questions: ``task`` (the sizes of one are one) and ``category``.

    Raises
    ------
    LookupError
        No such benchmark.
    """
    table = _read(BENCHMARK_TASKS.name)
    if benchmark not in set(table.benchmark):
        raise LookupError(messages.unknown("benchmark", benchmark, set(table.benchmark)))
    return table[table.benchmark == benchmark].drop(columns="benchmark").set_index("name")


@cache
def datasets() -> dict[str, Dataset]:
    """Every data set by name."""
    entries = yaml.safe_load((HERE / "datasets.yaml").read_text(encoding="utf-8"))
    return {name: _dataset(name, entry) for name, entry in entries.items()}


def dataset(name: str) -> Dataset:
    """One data set by name.

    Raises
    ------
    LookupError
        No such data set; the message suggests near names.
    """
    if name not in datasets():
        raise LookupError(messages.unknown("data set", name, datasets()))
    return datasets()[name]


@cache
def claims() -> list[dict]:
    """Every quantitative claim of the paper, in our words, in the paper's order."""
    return yaml.safe_load((HERE / "claims.yaml").read_text(encoding="utf-8"))


def _dataset(name: str, entry: dict) -> Dataset:
    optional = {"note": "", "counts": {}, "ceilings": {}}
    manifest = HERE / "files" / f"{name}.csv"
    rows = [{"path": path, **about} for path, about in entry.get("files", {}).items()]  # of few files, in the entry
    if manifest.exists():
        with manifest.open(encoding="utf-8", newline="") as lines:
            rows += csv.DictReader(lines)
    files = {
        row["path"]: DataFile(
            row["path"], entry["address"] + row["path"], row["hash"], int(row.get("bytes") or 0) or None
        )
        for row in rows
    }
    return Dataset(name=name, **{**optional, **entry, "files": files})


def _read(path: str) -> pd.DataFrame:
    return _table(path).copy()  # a caller's own


@cache
def _table(path: str) -> pd.DataFrame:
    # "NA" and the like are names here, never missing; only an empty cell is missing.
    return pd.read_csv(HERE / path, keep_default_na=False, na_values=[""])
