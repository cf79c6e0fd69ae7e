"""Where results live: files written atomically, under keys made of everything that could change them."""

from brainalign.store.entries import Damaged, Entry, get, path_of, resumed
from brainalign.store.files import PROJECT, digest, root, writing

__all__ = ["PROJECT", "Damaged", "Entry", "digest", "get", "path_of", "resumed", "root", "writing"]
