"""Files that are whole or not there, in one folder, under keys made of everything that could change them."""

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# EFBIG is a limit on the size of files, which clusters set; it is met like a full disk.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CHECKSUMS = "checksums"  # folder of the store with the checksums of large files
LARGE = 1 << 20  # bytes; what is smaller is read about as fast as a note of its checksum
SETTLED = 2  # seconds, the coarsest clock of a file system: what is as young may change again and keep its times


def root() -> Path:
    """Folder of the store, which need not exist yet: `BRAINALIGN_STORE`, or `.store` in the project."""
    return Path(os.environ.get("BRAINALIGN_STORE") or PROJECT / ".store").resolve()


def from_project(path: Path) -> Path:
    """Path from the project's folder on, of what lies there: what is built must not depend on where that is."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def digest(*parts) -> str:
    """Key of a result: SHA-256 (64 hexadecimal digits) of all that could change it, as JSON with its keys in order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits; of a large file it is taken once, and noted in the store.

    What was noted counts as long as size, times and inode of the file are what they were.
    """
    path = path.resolve()
    state = _state(path)
    return _noted(path, state) if max(state[1:3]) < time.time_ns() - SETTLED * 10**9 else _read(path)


@cache
def _noted(path: Path, state: tuple[int, ...]) -> str:
    """Checksum of a file in a state, from the note on it where that is of this state."""
    if state[0] < LARGE:
        return _read(path)
    note = root() / CHECKSUMS / f"{digest(str(path))}.json"
    with suppress(OSError, ValueError, LookupError, TypeError):  # none yet, or none that is whole
        noted = json.loads(note.read_text(encoding="utf-8"))
        if noted["state"] == list(state):
            return noted["sha256"]
    sha256 = _read(path)
    if _state(path) == state:
        with suppress(OSError), writing(note) as file:  # a store that is read-only will do
            file.write_text(json.dumps({"path": str(path), "state": state, "sha256": sha256}), encoding="utf-8")
    return sha256


def _state(path: Path) -> tuple[int, ...]:
    """What changes with a file's content: its size, when content and inode were changed, and the inode."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path | str, n_bytes: int | None = None) -> Iterator[Path]:
    """Write a file whole or not at all: to the temporary file beside it that this yields, renamed when all is well.

    Its folder is created. How large it will be is for the message of a full disk.

    Raises OSError, with the remedy, if the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        raise unwritable(path, error, n_bytes) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner reads; results are ordinary files.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        if error.errno in FULL:
            raise unwritable(path, error, n_bytes) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def update(path: Path, text: str) -> None:
    """Write a text file if its text changes; else keep its time, so that nothing is made again for it."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with writing(path) as file:
            file.write_text(text, encoding="utf-8")


def unwritable(path: Path, error: OSError, n_bytes: int | None = None) -> OSError:
    """What to say instead of a system's error, with the remedy."""
    if error.errno in FULL:
        return OSError(
            f"no room for {path.name} in {path.parent}: {error.strerror}"
            f"{f'; it takes {n_bytes:,} bytes' if n_bytes else ''}. Nothing that was there is lost: finished parts are "
            "kept, and the next run goes on from them. See what takes room: brainalign store size. Make room: "
            "brainalign store prune. Or set BRAINALIGN_STORE to a folder on a larger disk."
        )
    return OSError(
        f"cannot write {path.name} in {path.parent}: {error.strerror}. "
        "Make the folder writable, or set BRAINALIGN_STORE to one that is."
    )
