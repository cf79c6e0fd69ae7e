"""Outcomes of expensive computations: arrays, and a record of what they are.

An entry is one safetensors file, ``STORE/KIND/DIGEST.safetensors``, with the record and a SHA-256 in its header. `get`
reads it or has it computed, once, however many processes ask; `resumed` lets a computation that was killed go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from brainalign.store.files import digest, root, unwritable, writing

if TYPE_CHECKING:
    import numpy as np

HEADER = "brainalign"  # one key: safetensors writes several in an order that changes from run to run


class Entry(NamedTuple):
    """Arrays by name, and their record: ``{"identity": {...}, **notes}``, plain JSON."""

    arrays: dict[str, np.ndarray]
    record: dict


class Damaged(ValueError):
    """A file of the store is not as it was written, or not what its name says."""


def path_of(kind: str, identity: dict) -> Path:
    """File of an entry of a kind, such as ``activations``, which need not exist yet.

    The identity is everything that changes the outcome. ValueError if it is not plain JSON.
    """
    return root() / kind / f"{digest(_plain('identity', identity))}.safetensors"


def get(kind: str, identity: dict, compute: Callable[[], tuple[dict[str, np.ndarray], dict]]) -> Entry:
    """Read an entry, or compute and keep it.

    Of several processes at one entry the first computes, and the others wait and read. A file that is damaged, or
    is of another identity, is made again, with a warning. Identical outcomes are byte-identical files.

    Parameters
    ----------
    kind, identity
        As in `path_of`.
    compute
        Gives the arrays by name (floats of up to 64 bits, integers, booleans; any shape), and notes on them for the
        record, as plain JSON. What is slow in it may go through `resumed`.

    Raises
    ------
    ValueError
        An array of another type, or an identity or notes that are not plain JSON.
    OSError
        The store cannot be written to, or the disk is full; what `resumed` has saved is kept.
    """
    path = path_of(kind, identity)
    # Most calls end here, also where the store is read-only.
    with suppress(FileNotFoundError, Damaged):
        entry = read(path, path.stem)
        with suppress(OSError):  # read-only is fine
            os.utime(path)  # `brainalign store prune` goes by it
        return entry
    with locked(path):
        entry = _intact_entry(path, path.stem)
        if entry is None:
            arrays, notes = compute()
            if "identity" in notes:
                raise ValueError(f"notes on {kind} have a key 'identity', which is the record's own. Rename it.")
            entry = Entry(_storable(kind, arrays), _plain(f"record of {kind}", {"identity": identity, **notes}))
            _write(path, entry)
        shutil.rmtree(parts_of(path), ignore_errors=True)
    return entry


def fingerprint(values: np.ndarray) -> list:
    """What tells an array from any other, for `digest`: type, shape, and SHA-256 of its values."""
    import numpy as np

    values = np.ascontiguousarray(values.astype(str) if values.dtype == object else values)
    return [values.dtype.str, list(values.shape), hashlib.sha256(values).hexdigest()]


def resumed(
    kind: str, identity: dict, n_steps: int, work: Callable[[int], dict[str, np.ndarray]], every: float = 60.0
) -> list[dict[str, np.ndarray]]:
    """Results of ``work(0)`` to ``work(n_steps - 1)``, arrays by name as in `get`, where a killed run left off.

    To be called once inside the ``compute`` of `get`, which removes the saved parts when the entry is whole. They are
    saved ``every`` some seconds: a run that is killed loses no more than this and one step, an exception loses nothing.
    Raises as `get`.
    """
    path = path_of(kind, identity)
    results = _finished(path, n_steps)
    unsaved: dict[int, dict] = {}

    def save() -> None:
        if unsaved:
            arrays = {f"{step}/{name}": array for step, result in unsaved.items() for name, array in result.items()}
            record = {"identity": _plain("identity", identity), "steps": list(unsaved), "of": n_steps}
            _write(parts_of(path) / f"{min(unsaved):05}.safetensors", Entry(arrays, record))
            unsaved.clear()

    saved = time.monotonic()
    try:
        for step in range(n_steps):
            if step not in results:
                results[step] = unsaved[step] = _storable(f"step {step} of {kind}", work(step))
                if time.monotonic() - saved >= every:
                    save()
                    saved = time.monotonic()
    except BaseException:  # a KeyboardInterrupt too
        save()
        raise
    return [results[step] for step in range(n_steps)]


def whole_in(folder: Path) -> list[Path]:
    """Files of entries in a folder, sorted; hidden ones were left by killed processes, and are not whole."""
    return sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("."))


def parts_of(path: Path) -> Path:
    """Folder with the saved steps of an entry that is not whole yet."""
    return path.with_suffix(".parts")


def lock_of(path: Path) -> Path:
    """File that a process locks while it works on an entry; the lock ends with the process, the file stays."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Be the only process that works on an entry.

    Raises TimeoutError if another one still does ``timeout`` seconds later (by default there is no limit), OSError if
    the store cannot be written to.
    """
    from filelock import FileLock

    lock = FileLock(lock_of(path), timeout=timeout)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except TimeoutError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def record_of(path: Path) -> dict:
    """Record of an entry, from the file's header alone: the arrays are neither read nor verified; raises as `read`."""
    return _opened(path, with_arrays=False)[1]["record"]


def read(path: Path, key: str) -> Entry:
    """Read an entry and verify it: its checksum, and that the digest of its identity is ``key``.

    Raises FileNotFoundError, or Damaged if it is not as it was written, or of another identity.
    """
    arrays, header = _opened(path)
    if header.get("sha256") != _checksum(header["record"], arrays):
        raise Damaged(f"{path} is damaged: its content does not have the checksum in its header")
    if key != digest(header["record"]["identity"]):
        raise Damaged(f"{path} is of another identity than its name says")
    return Entry(arrays, header["record"])


def _opened(path: Path, with_arrays: bool = True) -> tuple[dict[str, np.ndarray], dict]:
    from safetensors import SafetensorError, safe_open

    try:
        # Not mapped into memory: that would hold the arrays twice, and a disk that fails would kill the process.
        with safe_open(path, framework="numpy", backend="pread") as file:
            header = json.loads(file.metadata()[HEADER])
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())} if with_arrays else {}
        if not isinstance(header["record"]["identity"], dict):
            raise TypeError("the identity is not a dictionary")
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise Damaged(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return arrays, header


def _intact_entry(path: Path, key: str) -> Entry | None:
    """Read an entry if there is a good one; of a bad one, say that it is made again."""
    try:
        return read(path, key)
    except FileNotFoundError:
        return None
    except Damaged as error:
        warnings.warn(f"{error}. It is made again.", stacklevel=3)
        return None


def _finished(path: Path, n_steps: int) -> dict[int, dict[str, np.ndarray]]:
    """Results of the steps that were saved for an entry, by a run that cut the work into as many.

    Another machine may cut it otherwise: a graphics card takes larger batches than a processor.
    """
    results = {}
    for part in whole_in(parts_of(path)):
        entry = _intact_entry(part, path.stem)
        if entry and entry.record.get("of") == n_steps:
            results |= {step: {} for step in entry.record["steps"]}
            for name, array in entry.arrays.items():
                step, _, inner = name.partition("/")
                results[int(step)][inner] = array
    return results


def _write(path: Path, entry: Entry) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    header = {"record": entry.record, "sha256": _checksum(entry.record, entry.arrays)}
    with writing(path, sum(array.nbytes for array in entry.arrays.values())) as temporary:
        try:
            save_file(entry.arrays, temporary, {HEADER: json.dumps(header, sort_keys=True)})
        except SafetensorError as error:
            # It hides the system's error in its text.
            if number := re.search(r"\(os error (\d+)\)", str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            raise


def _checksum(record: dict, arrays: dict[str, np.ndarray]) -> str:
    outcome = hashlib.sha256(digest(record).encode())
    for name, array in sorted(arrays.items()):
        outcome.update(digest(name, array.dtype.name, array.shape).encode())
        outcome.update(array.reshape(-1).view("u1"))
    return outcome.hexdigest()


def _storable(label: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays as they will be read: in C order, and of this machine's byte order."""
    import numpy as np

    outcome = {}
    for name, array in arrays.items():
        array = np.asarray(array, order="C")
        if name == "__metadata__" or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ValueError(
                f"{label}: an array {name!r} of type {array.dtype} cannot be stored. Store floats of up to 64 bits, "
                "integers or booleans, not called __metadata__; what is text belongs to the record."
            )
        outcome[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return outcome


def _plain(label: str, value: dict) -> dict:
    """Value as JSON reads it back."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{label} is not plain JSON: {error}. Use dictionaries, lists, strings, finite numbers, booleans and None."
        ) from error
