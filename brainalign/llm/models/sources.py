"""Where a language model's files are: in the hub's cache or a mirror, on the hub, in a folder, or in an export.

Files are looked for here before the network is asked. With ``BRAINALIGN_MIRROR=DIR`` it is never asked, and
``DIR/huggingface/hub`` counts as a cache, laid out as the hub's own (``models--ORG--NAME/snapshots/COMMIT``):
``HF_HOME=DIR/huggingface hf download ORG/NAME`` fills it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property, partialmethod
from pathlib import Path

from brainalign import catalog, messages, store
from brainalign.human import download
from brainalign.llm.models import gguf, llama2c

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HUB_FILE = re.compile(rf"({HUB_ID.pattern})/([\w./-]+\.gguf)")
FORMATS = {".gguf": ("gguf", gguf), ".bin": ("llama2.c", llama2c)}  # of models in one file, which are converted
CONFIG = ("config.json", "generation_config.json")
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")
TOKENIZER = (*VOCABULARIES, "merges.txt", *SETTINGS)
INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", INDEX, "model-*-of-*.safetensors")  # no second copy in another layout or precision
ALL, FILES = (*CONFIG, *TOKENIZER, *WEIGHTS), "files"  # what identifies a folder of one's own; its key there
CONVERT = (
    "Where you trust them, transformers turns them into safetensors: from_pretrained(OLD).save_pretrained(NEW); then "
    "load NEW. Or see whether the hub has a conversion among the model's pull requests: revision='refs/pr/NUMBER'."
)


@dataclass(frozen=True)
class Source:
    """A model's name, what tells its files from any others, and their folder in Hugging Face's layout.

    That of another format is made when it is asked for: the identity needs no conversion.
    """

    name: str
    identity: dict
    place: Callable[[], Path] = field(repr=False)

    @cached_property
    def folder(self) -> Path:
        """Folder of the files; raises as the conversion from their format."""
        return self.place()

    def require_same(self) -> None:
        """Raise ValueError if a file of one's own folder has been exchanged since it was identified."""
        if FILES in self.identity and self.identity[FILES] != _content(self.folder, ALL):
            raise ValueError(
                f"{self.folder}: a file has been exchanged since the model was identified by it, so that its results "
                "would count as those of another. Load the model again."
            )


def find(name: str | Path, revision: str | None = None, weights: bool = True) -> Source:
    """Folder of a model, fetched first where it is not here; the name and the revision are as in `load.load`.

    Without weights, config and tokenizer are enough, and only they are identified.

    Raises
    ------
    LookupError
        No such model; the message suggests near names.
    FileNotFoundError, PermissionError, ConnectionError
        Something is not there, the hub wants its license accepted, or it cannot be reached.
    ValueError
        A revision of something that is not on the hub, an adapter, or a file as in `identify` of its format. What else
        is wrong with a file is said when its folder is asked for.
    """
    if revision is not None and repository_of(name) is None and hub_file(name) is None:
        raise ValueError(f"{name} is not on the hub, so it has no revision {revision!r}. Leave the revision out.")
    if in_one_file := _in_one_file(name, revision or "main"):
        name, file = in_one_file
        label, form = FORMATS[file.suffix]
        return Source(name, {label: form.identify(file)}, lambda: form.converted(file))
    if repository := repository_of(name):
        folder = _from_hub(repository, revision or "main", weights)
        name, identity = str(name), {"hub": repository, "commit": folder.name}
    else:
        name, folder = _from_disk(name)
        identity = {FILES: _content(folder, ALL)} if weights else {}
    if missing := lacks(folder, weights):
        raise FileNotFoundError(f"{folder} {missing}")
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder} holds an adapter, which would be left out. Merge it into its model (peft: merge_and_unload), "
            "and load the folder to which that is saved."
        )
    if not weights:
        identity = {"config": _content(folder, CONFIG[:1]), "tokenizer": _content(folder, TOKENIZER)}
    return Source(name, identity, lambda: folder)


def is_local(name: str | Path, revision: str | None = None, weights: bool = True) -> bool:
    """Whether `find` needs no network for a model."""
    if file := hub_file(name):
        return any(_cached_files(*file, revision or "main"))
    if repository := repository_of(name):
        return any(folder and not lacks(folder, weights) for _, folder in _cached(repository, revision or "main"))
    if data := in_catalog(name):
        return all(download.find(file) for file in data.files.values())
    return Path(name).expanduser().exists()


def settings_of(name: str, revision: str | None = None) -> dict | None:
    """Settings of a model's network: the catalog's, or those of its ``config.json`` if that is here."""
    table, architectures = catalog.checkpoints(), catalog.architectures()
    if name in table.index:
        return architectures[table.config[name]]
    if name.lower() in architectures:
        return architectures[name.lower()]
    if not is_local(name, revision, weights=False):
        return None
    folder = find(name, revision, weights=False).folder
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def lacks(folder: Path, weights: bool = True) -> str | None:
    """What a folder lacks to be a model, and what to do about it, as the rest of a sentence; None if nothing."""
    names = {path.name for path in folder.iterdir()}
    if "config.json" not in names:
        return "has no config.json: it is no model in Hugging Face's layout. Save one there with save_pretrained."
    if not names.intersection(VOCABULARIES):
        return f"has no tokenizer ({', '.join(VOCABULARIES)}). Save it there: tokenizer.save_pretrained(folder)."
    if not weights or "model.safetensors" in names:
        return None
    if INDEX in names:
        shards = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        absent = sorted(shards - names)
        return f"lacks {', '.join(absent)}, named in {INDEX}. Copy or download the rest." if absent else None
    pickles = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt")))
    problem = f"has its weights only as {', '.join(pickles)}: pickles, which run code, are never loaded. " + CONVERT
    return problem if pickles else "has no weights: no model.safetensors, and no index of parts. Save them there."


def in_catalog(name: str | Path) -> catalog.Dataset | None:
    """Files of a model that the catalog has with their addresses, as a data set; None of any other model."""
    return _exports().get(name.lower()) if isinstance(name, str) else None


def _exports() -> dict[str, catalog.Dataset]:
    return {name: data for name, data in catalog.datasets().items() if data.kind == "weights"}


def repository_of(name: str | Path) -> str | None:
    """Hub id of a checkpoint's name, or of itself; None for what is on disk."""
    if not isinstance(name, str):
        return None
    checkpoints = catalog.checkpoints()
    if name in checkpoints.index and not in_catalog(name):
        return checkpoints.huggingface[name]
    in_one_file = Path(name).suffix in FORMATS
    return name if HUB_ID.fullmatch(name) and not Path(name).exists() and not in_one_file else None


def hub_file(name: str | Path) -> tuple[str, str] | None:
    """Repository and file of a model in one file on the hub, ``ORG/NAME/FILE.gguf``; None of any other."""
    match = HUB_FILE.fullmatch(name) if isinstance(name, str) and not Path(name).exists() else None
    return (match[1], match[2]) if match else None


def _in_one_file(name: str | Path, revision: str) -> tuple[str, Path] | None:
    """What a model of one file is called, and the file; None of any other."""
    path = Path(name).expanduser()
    if data := in_catalog(name):
        files = download.fetch_all(data).values()
        return str(name), next(file for file in files if not file.name.startswith("tok"))
    if file := hub_file(name):
        cached = _cached_files(*file, revision)
        return str(name), next(filter(None, cached), None) or _download_file(*file, revision)
    return (path.stem, path) if path.suffix in FORMATS else None


def _from_disk(name: str | Path) -> tuple[str, Path]:
    path = Path(name).expanduser()
    if path.is_dir() and str(name):
        return path.resolve().name, path
    if isinstance(name, Path) or "/" in name or os.sep in name or name.startswith((".", "~")):
        raise FileNotFoundError(
            f"there is no folder {path}, and it is no hub id. Give a folder in Hugging Face's layout, a file "
            "of llama.cpp (.gguf) or llama2.c (.bin), or ORG/NAME."
        )
    raise LookupError(
        messages.unknown("language model", name, [*catalog.checkpoints().index, *_exports()])
        + " A model on the hub is ORG/NAME; a folder, a path."
    )


def _content(folder: Path, patterns: tuple[str, ...]) -> str:
    """Hash of the files' names and contents."""
    files = sorted(path for path in folder.iterdir() if any(fnmatch(path.name, pattern) for pattern in patterns))
    return store.digest({path.name: store.checksum(path) for path in files})


def _from_hub(repository: str, revision: str, weights: bool) -> Path:
    """Snapshot of a model that lacks nothing: from the mirror, from the cache, else from the network."""
    cached, partial = _cached(repository, revision), ""
    for _, folder in cached:
        missing = lacks(folder, weights) if folder else None
        if folder and not missing:
            return folder
        partial += f" {folder} {missing}" if folder else ""
    caches = [cache for cache, _ in cached]
    if mirror := os.environ.get("BRAINALIGN_MIRROR"):
        raise FileNotFoundError(
            f"{repository} (revision {revision}) is not in {' or '.join(map(str, caches))}.{partial} Download it there "
            f"where there is a network: HF_HOME={Path(mirror) / 'huggingface'} hf download {repository}; or unset "
            "BRAINALIGN_MIRROR to download it here."
        )
    return _download(repository, revision, weights, f"It is not in {caches[-1]} either.{partial}")


def _cached(repository: str, revision: str) -> list[tuple[Path, Path | None]]:
    """Caches, that of the mirror first, and where each has a model, whole or not."""
    from huggingface_hub import constants, try_to_load_from_cache

    mirror = os.environ.get("BRAINALIGN_MIRROR")
    caches = [*([Path(mirror) / "huggingface" / "hub"] if mirror else []), Path(constants.HF_HUB_CACHE)]
    configs = [try_to_load_from_cache(repository, "config.json", cache, revision) for cache in caches]
    folders = [Path(config).parent if isinstance(config, str) else None for config in configs]
    return list(zip(caches, folders, strict=True))


def _cached_files(repository: str, file: str, revision: str) -> list[Path | None]:
    """Where a file of the hub is: in a mirror, under its address or in a cache there, and in the hub's own cache."""
    from huggingface_hub import constants, try_to_load_from_cache

    mirror, places = os.environ.get("BRAINALIGN_MIRROR"), []
    if mirror:
        places += [str(Path(mirror, "huggingface.co", repository, "resolve", revision, file))]
        places += [try_to_load_from_cache(repository, file, Path(mirror) / "huggingface" / "hub", revision)]
    places += [try_to_load_from_cache(repository, file, constants.HF_HUB_CACHE, revision)]
    return [Path(place) if isinstance(place, str) and Path(place).is_file() else None for place in places]


def _download_file(repository: str, file: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    if mirror := os.environ.get("BRAINALIGN_MIRROR"):
        address = Path("huggingface.co", repository, "resolve", revision, file)
        raise FileNotFoundError(
            f"{repository}/{file} (revision {revision}) is neither in the mirror {mirror}, as {address}, nor in the "
            f"hub's cache. Put it there, or unset BRAINALIGN_MIRROR to download it here."
        )
    with _hub(repository, revision, f"{file} is not in the hub's cache either."):
        return Path(hf_hub_download(repository, file, revision=revision, tqdm_class=_bars()))


def _bars() -> type:
    from huggingface_hub import utils

    class Bars(utils.tqdm):
        __init__ = partialmethod(utils.tqdm.__init__, disable=None)  # drawn on a terminal only

    return Bars


def _download(repository: str, revision: str, weights: bool, other_places: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    patterns = [*CONFIG, *TOKENIZER, *(WEIGHTS if weights else ())]
    with _hub(repository, revision, other_places):
        siblings = HfApi().model_info(repository, revision=revision, timeout=10).siblings or []
        names = [file.rfilename for file in siblings]
        pickles = [name for name in names if name.startswith("pytorch_model")]
        if weights and pickles and not any(fnmatch(name, pattern) for name in names for pattern in WEIGHTS):
            raise FileNotFoundError(
                f"{repository} (revision {revision}) has its weights on the hub only as {', '.join(pickles)}: pickles, "
                f"which run code, are never loaded. {CONVERT}"
            )
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns, tqdm_class=_bars()))


@contextmanager
def _hub(repository: str, revision: str, other_places: str) -> Iterator[None]:
    """Say in words why the hub does not give something."""
    from huggingface_hub import errors

    login = "accept its terms on its page, then log in: hf auth login, or set HF_TOKEN to a token of yours"
    try:
        yield
    except errors.GatedRepoError as error:
        raise PermissionError(f"{repository} is gated: {login}.") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"the hub has no model {repository}, or shows it to some people only. Correct the id; if it is one of "
            f"those, {login}."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{repository} has no revision {revision!r} on the hub. Give a branch, a tag or a commit of it."
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise FileNotFoundError(f"{repository} (revision {revision}) has no such file on the hub: {error}") from error
    except (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ConnectionError(
            f"could not get {repository} (revision {revision}) from the hub: {reason}. {other_places} Try again "
            "with a network, or set BRAINALIGN_MIRROR to a folder with it in huggingface/hub, laid out as a hub cache."
        ) from error
