"""What people did: recordings and reading times. One module a data set, one shape for all.

human.load("pereira2018.384")                    # a Recording
human.load("brennan2016", radius=10)
human.load("natural_stories.maze")               # ReadingTimes
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from brainalign import catalog, messages

if TYPE_CHECKING:
    from brainalign.human.reading_times import ReadingTimes
    from brainalign.human.recording import Recording

DATASETS = {name: entry for entry in catalog.datasets().values() for name in entry.loads}  # by what is loaded
READING_TIMES = [name for name, entry in DATASETS.items() if entry.kind == "reading times"]
RECORDINGS = [name for name in DATASETS if name not in READING_TIMES]


def names() -> list[str]:
    """Everything that `load` knows."""
    return sorted(DATASETS)


def load(name: str, **options) -> Recording | ReadingTimes:
    """Load a recording or reading times by name, one of `names`.

    Options are what the module's own ``load`` takes: ``context`` and ``path`` for Pereira2018, ``path`` for the other
    files of Brain-Score, ``radius`` for Brennan2016, ``folder`` for Wehbe2014, ``alignment`` for reading times.

    Raises
    ------
    LookupError
        No such data, or no such option; the message suggests near names.
    ValueError
        A file is not what it should be.
    OSError
        A file could not be fetched.
    """
    for option in options:
        messages.require(f"option of {name}", option, options_of(name))
    return _loader(name)(**DATASETS[name].loads[name], **options)


def options_of(name: str) -> set[str]:
    """Options that `load` takes of a recording or of reading times; LookupError where there are none of that name."""
    return set(inspect.signature(_loader(name)).parameters) - set(DATASETS[name].loads[name])


def _loader(name: str) -> Callable[..., Recording | ReadingTimes]:
    messages.require("recording or reading times", name, DATASETS)
    return import_module(f"brainalign.human.{DATASETS[name].module or DATASETS[name].name}").load


def dataset(name: str) -> catalog.Dataset:
    """Give the data set that a recording or reading times belong to, or that has the name itself.

    Raises LookupError if there is none.
    """
    return catalog.dataset(DATASETS[name].name if name in DATASETS else name)
