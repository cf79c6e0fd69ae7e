"""Where results live: files written atomically, under keys made of everything that could change them."""

from brainalign.store.entries import Damaged, Entry, fingerprint, get, path_of, resumed
from brainalign.store.files import PROJECT, checksum, digest, from_project, root, update, writing

__all__ = [
    "PROJECT", "Damaged", "Entry", "checksum", "digest", "fingerprint", "from_project", "get", "path_of", "resumed",
    "root", "update", "writing",
]  # fmt: skip
