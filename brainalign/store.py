"""Where results live: files written atomically, under keys made of everything that could change them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def root() -> Path:
    """Folder of the store: `BRAINALIGN_STORE`, or `.store` in the project.

    Returns
    -------
    Path
        The folder, which need not exist yet.
    """
    return Path(os.environ.get("BRAINALIGN_STORE") or PROJECT / ".store").resolve()


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
def writing(path: Path | str) -> Iterator[Path]:
    """Write a file whole or not at all: a temporary name beside it, renamed when the block ends well.

    Parameters
    ----------
    path
        The file to make; its folder is created.

    Yields
    ------
    Path
        The temporary file to write to.

    Raises
    ------
    OSError
        The folder cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        raise OSError(
            f"cannot write {path.name} in {path.parent}: {error.strerror}. "
            "Make the folder writable, or set BRAINALIGN_STORE to one that is."
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner reads; results are ordinary files.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
