"""`brainalign store`: what is kept, how much room it takes, and what can go."""

import argparse
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from brainalign import messages, store
from brainalign.store import entries
from brainalign.store.files import CHECKSUMS

WHOLE = ("results", "downloads", CHECKSUMS)  # kinds that are ordinary files, not entries
UNITS = {"days": 86400, "h": 3600, "min": 60, "s": 1}  # seconds
# Names that tempfile and safetensors give: what still has one after an hour was left by a killed process.
TEMPORARY = re.compile(r"\.(tmp\w{6}|.+\.[a-z0-9_]{8}(\.\w+)?)")


class File(NamedTuple):
    """A file and what the system says of it, seen at once: other processes write and remove meanwhile."""

    path: Path
    stat: os.stat_result


def show(options: argparse.Namespace) -> None:
    """Print a row an entry; results and downloads are summed."""
    for kind in _kinds():
        files = _files(kind)
        rows = [(messages.count(len(files), "file"), files, "")] if kind.name in WHOLE else _rows(kind)
        for name, files, words in rows:
            print(f"{kind.name:12} {name:12} {_bytes(files):>14}  {_age(files):>8}  {words}".rstrip())


def size(options: argparse.Namespace) -> None:
    """Print the bytes of each kind, and of all, and what the disk still has."""
    total = []
    for kind in _kinds():
        files = _files(kind)
        total += files
        things, noun = (files, "file") if kind.name in WHOLE else (entries.whole_in(kind), "entry")
        print(f"{kind.name:12} {_bytes(files):>14}  {messages.count(len(things), noun)}")
    if total:
        free = shutil.disk_usage(store.root()).free
        print(f"{'total':12} {_bytes(total):>14}  in {store.root()}, where {free / 1e6:,.1f} MB are free")


def prune(options: argparse.Namespace) -> None:
    """Remove what can be made again and is not used, and say what went."""
    if not options.older_than >= 0:
        raise ValueError(f"--older-than {options.older_than:g}: give a number of days, 0 or more")
    kinds = {kind.name: kind for kind in _kinds()}
    if options.kind and kinds and options.kind not in kinds:
        raise LookupError(messages.unknown("kind of the store", options.kind, kinds))
    verb, gone = "would remove" if options.dry_run else "removed", []
    for name, kind in kinds.items():
        if name == options.kind or (options.kind is None and name != "downloads"):
            for path, why in _useless(kind, options):
                files = _files(path)
                gone += files
                print(f"{verb}  {path.relative_to(store.root())}  {_bytes(files)}  {why}", flush=True)
                if not options.dry_run:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kinds:
        print(f"{verb} {messages.count(len(gone), 'file')}, {_bytes(gone)}" if gone else "nothing to remove")


def _useless(kind: Path, options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """What can go, and why. Nobody else works on it until the next is asked for, so it may be removed at once."""
    before, unused = time.time() - options.older_than * UNITS["days"], f"not used for {options.older_than:g} days"
    if kind.name not in WHOLE:
        keys = {path.stem for path in [*entries.whole_in(kind), *kind.glob("*.parts")]}
        for path in (kind / f"{key}.safetensors" for key in sorted(keys)):
            try:
                with nullcontext() if options.dry_run else entries.locked(path, timeout=0):
                    yield from _useless_of(path, before, unused)
                    if not (options.dry_run or path.exists() or entries.parts_of(path).exists()):
                        entries.lock_of(path).unlink()
            except TimeoutError:
                print(f"left alone  {path.relative_to(store.root())}  a process works on it")
    for path, stat in _files(kind):
        if TEMPORARY.fullmatch(path.name) and stat.st_mtime < time.time() - UNITS["h"]:
            yield path, "left by a killed process"
        # Who reads a result or a download leaves no trace but the time of access, which not every disk keeps.
        elif kind.name in WHOLE and options.kind and max(stat.st_atime, stat.st_mtime) < before:
            yield path, unused


def _useless_of(path: Path, before: float, unused: str) -> Iterator[tuple[Path, str]]:
    """What can go of one entry: itself, and what was saved on the way to it."""
    whole, saved = path.exists(), entries.parts_of(path)
    if whole:
        reason = unused if path.stat().st_mtime < before else "damaged" if _damaged(path) else None
        if reason:
            whole = False
            yield path, reason
    if whole and saved.exists():
        yield saved, "the entry is whole"
    elif saved.exists() and all(file.stat.st_mtime < before for file in _files(saved)):
        yield saved, f"unfinished, and {unused}"


def _damaged(path: Path) -> bool:
    try:
        entries.read(path, path.stem)
    except entries.Damaged:
        return True
    return False


def _rows(kind: Path) -> list[tuple[str, list[File], str]]:
    """Name, files and description of each entry, also of those that are not whole yet."""
    whole = [(path.stem, _files(path), _words(path)) for path in entries.whole_in(kind)]
    unfinished = [
        (folder.stem, _files(folder), f"unfinished: {_words(first)}")
        for folder in kind.glob("*.parts")
        for first in entries.whole_in(folder)[:1]
    ]
    rows = sorted(whole + unfinished, key=lambda row: (row[2], row[0]))
    # Others may have removed a file meanwhile.
    return [(name[:12], files, words) for name, files, words in rows if files]


def _words(path: Path) -> str:
    """What an entry is of: the plain values in its identity."""
    try:
        identity = entries.record_of(path)["identity"].items()
    except (entries.Damaged, FileNotFoundError):
        return "damaged: it is made again when it is needed"
    words = [(name, str(value)) for name, value in identity if isinstance(value, str | int | float)]
    return ", ".join(f"{name} {value if len(value) <= 40 else value[:37] + '...'}" for name, value in words)


def _kinds() -> list[Path]:
    """Folders of the store that hold something; says so if none does."""
    kinds = [folder for folder in sorted(store.root().glob("*")) if folder.is_dir() and _files(folder)]
    if not kinds:
        print(f"the store is empty: {store.root()}")
    return kinds


def _files(path: Path) -> list[File]:
    """Files of a folder, locks left out; or the file itself."""
    files = []
    for file in sorted([path, *path.rglob("*")]):
        with suppress(FileNotFoundError):
            if file.is_file() and file.suffix != ".lock":
                files.append(File(file, file.stat()))
    return files


def _bytes(files: list[File]) -> str:
    n_bytes = sum(file.stat.st_size for file in files)
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"


def _age(files: list[File]) -> str:
    """How long ago the latest of some files was written, or read as an entry."""
    seconds = max(1, time.time() - max(file.stat.st_mtime for file in files))
    return next(f"{seconds // unit:.0f} {name}" for name, unit in UNITS.items() if seconds >= unit)
