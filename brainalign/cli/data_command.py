"""`brainalign data`: which data sets there are, whether they are here and whole, and what is in them."""

import argparse

from brainalign import catalog, human, messages
from brainalign.alignment import protocols
from brainalign.cli.commands import timed
from brainalign.human import download, missing, own, own_reading_times, own_timeseries
from brainalign.human.reading_times import ReadingTimes
from brainalign.human.recording import Recording
from brainalign.human.repeats import repeated

CHEAP = 100_000  # responses whose ceiling is computed in seconds


def show_list(options: argparse.Namespace) -> None:
    """Print every data set with its size, its license, and whether it is here."""
    for data in catalog.datasets().values():
        places = [download.find(file) for file in data.files.values()]
        here = [path for path in places if path]
        size = data.bytes or (sum(path.stat().st_size for path in here) if here and all(places) else None)
        state = (
            "yours to bring" if not places else "here" if all(places) else f"{len(here)} of {len(places)} files here"
        )
        megabytes = f"{size / 1e6:.1f} MB" if size else "size unknown"
        print(f"{data.name:22} {data.kind:17} {megabytes:>12}  {state:20} {data.licence}")


def fetch(options: argparse.Namespace) -> None:
    """Fetch the files of a data set into the store."""
    data = human.dataset(options.name)
    with timed(f"fetched {data.name}"):
        download.fetch_all(data)


def check(options: argparse.Namespace) -> None:
    """Check the files of a data set against the catalog's hashes and counts; fetches nothing."""
    data = human.dataset(options.name)
    if options.place and data.files:
        raise ValueError(f"{data.name}: --from: its counts are those of the published files. Leave --from out.")
    download.verify(data)
    if data.files:
        print(f"{data.name}: {messages.count(len(data.files), 'file')}, as the hashes in the catalog say")
    for name in human.names():
        if human.dataset(name) == data and options.name in (name, data.name):
            print(f"{name}: {load(name, options).shape}, as the counts in the catalog say")


def show(options: argparse.Namespace) -> None:
    """Print what is in a recording or in reading times, by name or in a file of one's own."""
    measure = options.measure
    loaded = own_reading_times.load(options.name, measure) if measure is not None else load(options.name, options)
    print(loaded)
    if isinstance(loaded, Recording):
        print(f"repeats: {int(repeated(loaded).sum()):,} stimuli have a text that another one has too")
        if "trimmed" in loaded.responses.coords:
            n = int(loaded.responses.trimmed.sum())
            print(f"trimmed: {messages.count(n, 'text')} had a space at an edge, or two in a row")
        if remedies := missing.remedies(loaded):
            print(f"refused: {remedies}")
    if loaded.name in human.names() and not options.place:
        ceilings = human.dataset(loaded.name).ceilings
        ceiling = ceilings.get(loaded.name.rpartition(".")[2], ceilings.get("all"))
        print(f"ceiling: {f'r = {ceiling:.3f}, as published' if ceiling else 'none is published'}")
    elif isinstance(loaded, Recording):
        print(f"ceiling: {_ceiling(loaded)}")


def load(name: str, options: argparse.Namespace) -> Recording | ReadingTimes:
    """Load by name, from the place that was given if one was; or a file of one's own."""
    if name.endswith(".csv"):
        return own.load_table(name, options.participants)
    if name.endswith(".nc"):
        return own.load_netcdf(name)
    if own_timeseries.is_time_series(name):
        return _load_time_series(name, options)
    place = {"folder" if "folder" in human.options_of(name) else "path": options.place} if options.place else {}
    return human.load(name, **place)


def _load_time_series(name: str, options: argparse.Namespace) -> Recording:
    """Load volumes of one's own, with the files that go with them."""
    for option in ("words", "tr"):
        if getattr(options, option) is None:
            raise ValueError(f"{name}: --{option}: volumes need it. Give --words words.csv --tr 2.")
    given = {option: getattr(options, option) for option in ("volumes", "units", "nuisance", "mask")}
    return own_timeseries.load(name, options.words, options.tr, **given)


def _ceiling(recording: Recording) -> str:
    """The noise ceiling of a recording of one's own, where there are people enough, and it takes seconds."""
    if recording.responses.size > CHEAP:
        return "not computed here, since it takes long; a study computes it"
    try:
        limit = protocols.ceiling_of(protocols.CONTIGUOUS, recording)
    except ValueError as error:
        return f"none: {error}"
    return f"r = {limit.ceiling:.3f} [{limit.low:.3f}, {limit.high:.3f}], {protocols.CONTIGUOUS.name} folds"
