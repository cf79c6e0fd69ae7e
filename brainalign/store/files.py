"""Files that are whole or not there, in one folder, under keys made of everything that could change them."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# EFBIG is a limit on the size of files, which clusters set; it is met like a full disk.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def root() -> Path:
    """Folder of the store: `BRAINALIGN_STORE`, or `.store` in the project.

    Returns
    -------
    Path
        The folder, which need not exist yet.
    """
    return Path(os.environ.get("BRAINALIGN_STORE") or PROJECT / ".store").resolve()


def from_project(path: Path) -> Path:
    """Path from the project's folder on, of what lies there: what is built must not depend on where that is."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def digest(*parts) -> str:
    """Key of a result: SHA-256 of the JSON of all that could change it.

    Parameters
    ----------
    *parts
        JSON-serialisable values; dictionaries count as equal in any order of their keys.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


@contextmanager
def writing(path: Path | str, n_bytes: int | None = None) -> Iterator[Path]:
    """Write a file whole or not at all: a temporary name beside it, renamed when the block ends well.

    Parameters
    ----------
    path
        The file to make; its folder is created.
    n_bytes
        How large it will be, if that is known: for the message of a full disk.

    Yields
    ------
    Path
        The temporary file to write to.

    Raises
    ------
    OSError
        The folder cannot be written to, or the disk is full.
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
    """Write a text file where it says something else: what goes by its time need not be made again else."""
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
