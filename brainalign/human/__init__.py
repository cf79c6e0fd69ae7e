"""What people did: recordings and reading times. One module a data set, one shape for all.

human.load("pereira2018.384")                    # a Recording
human.load("brennan2016", radius=10)
human.load("natural_stories.maze")               # ReadingTimes
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING

from brainalign import catalog, messages

if TYPE_CHECKING:
    from brainalign.human.reading_times import ReadingTimes
    from brainalign.human.recording import Recording

# By name: the module that loads it, and with what.
RECORDINGS = {
    "pereira2018.243": ("pereira2018", {"experiment": "243"}),
    "pereira2018.384": ("pereira2018", {"experiment": "384"}),
    "pereira2018.auditory.243": ("pereira2018", {"experiment": "243", "network": "auditory"}),
    "pereira2018.auditory.384": ("pereira2018", {"experiment": "384", "network": "auditory"}),
    "blank2014": ("blank2014", {}),
    "wehbe2014": ("wehbe2014", {}),
    "brennan2016": ("brennan2016", {}),
}
READING_TIMES = {
    "natural_stories": ("natural_stories", {}),
    "natural_stories.maze": ("natural_stories_maze", {}),
    "futrell2018": ("futrell2018", {}),
}


def names() -> list[str]:
    """Everything that `load` knows."""
    return sorted(RECORDINGS | READING_TIMES)


def load(name: str, **options) -> Recording | ReadingTimes:
    """Load a recording or reading times by name.

    Parameters
    ----------
    name : str
        One of `names`.
    **options
        What the module's own ``load`` takes: ``context`` and ``path`` for Pereira2018, ``path`` for the other files
        of Brain-Score, ``radius`` for Brennan2016, ``folder`` for Wehbe2014, ``alignment`` for reading times.

    Raises
    ------
    LookupError
        No such data, or no such option; the message suggests near names.
    ValueError
        A file is not what it should be.
    OSError
        A file could not be fetched.
    """
    loaders = RECORDINGS | READING_TIMES
    if name not in loaders:
        raise LookupError(messages.unknown("recording or reading times", name, loaders))
    module, preset = loaders[name]
    loader = import_module(f"brainalign.human.{module}").load
    parameters = set(inspect.signature(loader).parameters) - set(preset)
    for option in options:
        if option not in parameters:
            raise LookupError(messages.unknown(f"option of {name}", option, parameters))
    return loader(**preset, **options)


def dataset(name: str) -> catalog.Dataset:
    """Give the data set that a recording or reading times belong to.

    Raises
    ------
    LookupError
        No such data set.
    """
    return catalog.dataset(name.removesuffix(".243").removesuffix(".384"))
