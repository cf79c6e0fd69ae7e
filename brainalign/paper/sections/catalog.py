"""What the book rests on: checkpoints and data sets, as the catalog lists them."""

import pandas as pd

from brainalign import catalog, human
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns
from brainalign.study import Study

PEOPLE = ("fMRI", "reading times")  # kinds of data sets
COLUMNS_OF_CHECKPOINTS = (
    columns.named("name", "family", "kind", "group")
    | {"huggingface": "Hub id"}
    | columns.numbers(",.0f", "parameters")
    | columns.numbers(".0f", "layers", "width")
    | {"vanilla": "Compared with", "parent": "Trained from", "tuned_on": "Tuned on", "note": "Note"}
)
COLUMNS_OF_DATASETS = (
    columns.named("name", "title", "kind")
    | columns.numbers(".0f", "files")
    | columns.numbers(".1f", megabytes="MB")
    | columns.named("licence", "citation")
)
COLUMNS_OF_PEOPLE = (
    columns.named("name", "kind")
    | columns.numbers(".0f", "participants")
    | columns.numbers(".3f", ceiling="Ceiling (r)")
    | {"loaded": "In this study"}
    | columns.named("licence")
)
COLUMNS_OF_SOFTWARE = {"name": "Package", "version": "Version"}
COLUMNS_OF_SETTINGS = columns.named("setting", "value", "meaning")


def datasets() -> pd.DataFrame:
    """Every data set: files and megabytes are missing where the publisher does not give them."""
    return pd.DataFrame(
        {
            "name": data.name,
            "title": data.title,
            "kind": data.kind,
            "files": len(data.files) or None,
            "megabytes": data.bytes / 1e6 if data.bytes else None,
            "licence": data.licence,
            "address": data.address,
            "citation": data.citation,
        }
        for data in catalog.datasets().values()
    )


def numbers_of_datasets() -> list[Live]:
    """How many data sets there are, what their publishers count, as ``DATASET.WHAT``, and published ceilings."""
    listed = catalog.datasets()
    counts = [
        Live(f"{data.name}.{what}", count, ",d", method="as its publisher counts", evidence="people")
        for data in listed.values()
        for what, count in data.counts.items()
        if isinstance(count, int)
    ]
    method = {"method": "as published", "evidence": "people"}
    ceilings = [
        Live(f"{data.name}.ceiling", _ceiling(data), ".2f", **method) for data in listed.values() if data.ceilings
    ]
    return [Live("datasets.n", len(listed), "d"), *counts, *ceilings]


def people(study: Study) -> pd.DataFrame:
    """Recordings and reading times: participants and mean ceiling as published, and whether the study loads them."""
    loaded = {human.dataset(name).name for name in study.parts if name in human.names()}
    return pd.DataFrame(
        {
            "name": data.name,
            "kind": data.kind,
            "participants": data.counts.get("participants", data.counts.get("readers")),
            "ceiling": _ceiling(data) if data.ceilings else None,
            "licence": data.licence,
            "loaded": "yes" if data.name in loaded else "no",
        }
        for data in catalog.datasets().values()
        if data.kind in PEOPLE
    )


def _ceiling(data: catalog.Dataset) -> float:
    """Mean of the published ceilings of a data set's parts."""
    return sum(data.ceilings.values()) / len(data.ceilings)
