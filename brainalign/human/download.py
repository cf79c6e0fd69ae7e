"""Files of a data set: from a mirror or from their address, verified, kept in the store.

``BRAINALIGN_MIRROR=DIR`` takes each file from ``DIR/HOST/PATH`` and never touches the network. Without it a
file is downloaded by pooch, which checks its hash and retries. What has arrived of it lies beside its final
name as ``NAME.part`` and survives a killed process: the next call asks for the missing bytes only.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from brainalign import catalog, store

RETRIES = 3  # after the first attempt; pooch waits 1, 2, 3 s between them
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16  # bytes
BAR_FROM = 10_000_000  # bytes; smaller files are here before a bar is read


def fetch(file: catalog.DataFile) -> Path:
    """Path of a file whose hash is right, ``STORE/downloads/HOST/PATH``, fetched first where the store lacks it.

    The hash is checked at every call: a damaged file is fetched again.

    Raises
    ------
    FileNotFoundError
        The mirror does not have the file, or its server does not.
    ValueError
        The content is not the one that the catalog names.
    OSError
        The network, or the disk.
    """
    target = store.root() / "downloads" / _place(file)
    if target.is_file() and _matches(target, file):
        return target
    if mirror := os.environ.get("BRAINALIGN_MIRROR"):
        _copy(file, Path(mirror), target)
    else:
        _download(file, target)
    return target


def fetch_all(dataset: catalog.Dataset | str) -> dict[str, Path]:
    """Fetch every file of a data set, given as such or by name: where each is, by its path in the catalog.

    Raises as `fetch`; LookupError if there is no such data set, ValueError if it has no public home.
    """
    if isinstance(dataset, str):
        dataset = catalog.dataset(dataset)
    if not dataset.files:
        raise ValueError(f"{dataset.name} has no files to download. {dataset.note}".strip())
    return {path: fetch(file) for path, file in dataset.files.items()}


def find(file: catalog.DataFile) -> Path | None:
    """Where a file is, in the store or else in the mirror, whatever is in it; None if it is in neither."""
    folders = [str(store.root() / "downloads"), os.environ.get("BRAINALIGN_MIRROR")]
    places = [Path(folder, _place(file)) for folder in folders if folder]
    return next(filter(Path.is_file, places), None)


def verify(dataset: catalog.Dataset) -> None:
    """See that every file of a data set is here with the right hash; fetches nothing.

    Raises FileNotFoundError for a file that is not here, ValueError for one that the catalog does not name.
    """
    for file in dataset.files.values():
        path = find(file)
        if path is None:
            raise FileNotFoundError(f"{file.path} is not here. Fetch it: brainalign data fetch {dataset.name}.")
        if not _matches(path, file):
            raise ValueError(
                f"{path} is not the file that the catalog names: expected {file.hash}, got {_hash(path, file)}. "
                "Delete it, and fetch it again."
            )


def check_counts(path: Path | str, counts: dict[str, int], data: catalog.Dataset) -> None:
    """Compare what a published file holds with the counts in the catalog; what it does not count is not checked.

    Raises ValueError if one differs.
    """
    for quantity, expected in data.counts.items():
        if counts.get(quantity, expected) != expected:
            raise ValueError(
                f"{path} has {counts[quantity]} {quantity}, expected {expected}: it is of another release than the "
                f"catalog names. Correct datasets.yaml, or files/{data.name}.csv."
            )


def _place(file: catalog.DataFile) -> Path:
    """HOST/PATH of the file's address: its place in a mirror, and in the store."""
    address = urlsplit(file.url)
    # A colon cannot stand in a file name everywhere, so a port stays out of it.
    return Path(address.hostname or "") / address.path.lstrip("/")


def _hash(path: Path, file: catalog.DataFile) -> str:
    import pooch

    algorithm = file.hash.partition(":")[0]
    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def _matches(path: Path, file: catalog.DataFile) -> bool:
    return _hash(path, file) == file.hash.lower()


def _copy(file: catalog.DataFile, mirror: Path, target: Path) -> None:
    source = mirror / _place(file)
    remedy = "Put the file there, or unset BRAINALIGN_MIRROR to download it."
    if not source.is_file():
        raise FileNotFoundError(
            f"{file.path} is not in the mirror {mirror}: no {source}. {remedy} Its address is {file.url}."
        )
    with store.writing(target) as temporary:
        shutil.copyfile(source, temporary)
        # The copy is checked, not the source: it is what will be used.
        if not _matches(temporary, file):
            raise ValueError(
                f"{source} in the mirror is not the file that the catalog names: expected {file.hash}, "
                f"got {_hash(temporary, file)}. {remedy}"
            )


class _WrongContent(Exception):
    """The server's whole answer is another file. Not a ValueError: pooch would try that again."""


def _download(file: catalog.DataFile, target: Path) -> None:
    import pooch
    import requests
    from filelock import FileLock

    part, folder = target.with_name(f"{target.name}.part"), target.parent

    def downloader(_url: str, output: str, _pooch: pooch.Pooch) -> None:
        if _receive(file, part) and not _matches(part, file):
            # It was appended to what lay there, which may be damaged: once more, from zero.
            part.unlink()
            _receive(file, part)
        if not _matches(part, file):
            content = f"{_hash(part, file)} ({part.stat().st_size} bytes)"
            part.unlink()
            raise _WrongContent(content)
        part.replace(output)

    hashes, addresses = {target.name: file.hash.lower()}, {target.name: file.url}
    downloads = pooch.create(folder, base_url="", registry=hashes, urls=addresses, retry_if_failed=RETRIES)
    alternative = f"or set BRAINALIGN_MIRROR to a folder that has it as {_place(file)}."
    size = f"{file.bytes} bytes" if file.bytes else "an unknown number of bytes"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Jobs that run side by side would write the same part; the second finds the file that the first made.
        with FileLock(folder / f".{target.name}.lock"):
            downloads.fetch(target.name, downloader=downloader)
    except _WrongContent as content:
        raise ValueError(
            f"{file.url} is not the file that the catalog names: expected {file.hash} ({size}), got {content}. "
            f"Nothing was kept. Its publisher may have replaced it: update the catalog, {alternative}"
        ) from None
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. Correct its address in the catalog, {alternative}") from None
    except requests.exceptions.RequestException as error:
        n_bytes = part.stat().st_size if part.exists() else 0
        remains = f" (kept in {part}, where the next call goes on)" if n_bytes else ""
        raise ConnectionError(
            f"could not download {file.url} in {1 + RETRIES} attempts: {error}. Expected {size}, got {n_bytes}"
            f"{remains}. Try again with a network, {alternative}"
        ) from error
    except OSError as error:
        raise OSError(
            f"cannot write {target.name} in {folder}: {error.strerror or error}. Make the folder writable, "
            "see that the disk has room, or set BRAINALIGN_STORE to another folder."
        ) from error


def _receive(file: catalog.DataFile, part: Path) -> bool:
    """Append to ``part`` what it lacks of the file; whether there was something to append to."""
    import requests
    from tqdm import tqdm

    offset = part.stat().st_size if part.exists() else 0
    # Ranges count the bytes that are sent: they must be those of the file, not of a compressed form of it.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        status, content_range = answer.status_code, answer.headers.get("Content-Range", "")
        if status == 416:
            return True  # nothing is missing, or the part is longer than the file: its hash tells
        if 400 <= status < 500 and status not in (408, 429):
            raise FileNotFoundError(f"{file.url} cannot be downloaded: {status} {answer.reason}")
        answer.raise_for_status()
        resumed = status == 206  # a server that knows no ranges answers 200, and starts anew
        if resumed and not content_range.startswith(f"bytes {offset}-"):
            part.unlink()
            raise requests.exceptions.ConnectionError(f"asked for the bytes from {offset} on, got {content_range!r}")
        start = offset if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else file.bytes
        hidden = (total or 0) <= BAR_FROM or None  # None: where there is no terminal
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=hidden)
        with bar, part.open("ab" if resumed else "wb") as out:
            for chunk in answer.iter_content(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
    n_bytes = part.stat().st_size
    if total and n_bytes < total:
        raise requests.exceptions.ConnectionError(f"the answer ended early, after {n_bytes} of {total} bytes")
    return resumed
