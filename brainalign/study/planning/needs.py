"""What a study needs and this machine lacks: data, weights, a license, a card. Asked before anything is begun."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from urllib.parse import urlsplit

import pandas as pd

from brainalign import catalog
from brainalign.llm.models import sources
from brainalign.messages import count
from brainalign.study.description import texts
from brainalign.study.description.files import WEHBE_FOLDER, absent_files
from brainalign.study.description.members import NO_SERIES, Member, members
from brainalign.study.description.settings import (
    MICROWORLD,
    MICROWORLD_PREFIX,
    READERS,
    WEHBE,
    LoadedModel,
    SeriesFile,
    Study,
    Tuning,
)
from brainalign.study.planning import costs, plan
from brainalign.study.planning.costs import GIB, Cost
from brainalign.study.running.runs import measured

PATIENCE = 3  # seconds for a server to say that it is there
ON_CPU = 24  # hours that a pass over a study's texts may take without a GPU
HUB = "https://huggingface.co"


def missing(study: Study, models: Collection[str] | None = None, gpu: bool = True) -> list[str]:
    """What has to be got before a study can run here: a sentence or two for each thing, empty if there is nothing.

    The network is tried only if something is not here. What it can fetch is not missing.

    Parameters
    ----------
    models : collection of str, optional
        Those to be run; all if left out.
    gpu : bool
        Whether models must fit this machine's cards; not where they run on others, as on a cluster.
    """
    if not (chosen_members := _chosen(study, models)):
        return []
    names, published = _needed(study, chosen_members)
    files = [f"{file}: it does not exist. Paths are relative to the study's file." for file in absent_files(study)]
    return [*files, *_data(names), *_models(published), *(_cards(study, published) if gpu else ())]


def downloads(study: Study, models: Collection[str] | None = None) -> dict[str, int]:
    """Bytes of each data set and model that is fetched first, by its name; those of the hub are the plan's to count."""
    names, published = _needed(study, _chosen(study, models))
    data = {data.name: data for name in names for data in texts.needed(name)}
    data |= {data.name: data for entry in published.values() if (data := sources.in_catalog(entry.load))}
    sizes = {name: sum(file.bytes or 0 for file in texts.absent(dataset)) for name, dataset in data.items()}
    return {name: size for name, size in sizes.items() if size}


def _chosen(study: Study, models: Collection[str] | None) -> list[Member]:
    """Members of a study that are to be run, or all; none of a study that is made on the spot."""
    members_by_name, names = members(study), [] if _is_simulated(study) else measured(study)
    return [members_by_name[name] for name in names if models is None or name in models]


def _needed(study: Study, chosen_members: Sequence[Member]) -> tuple[list[str], dict[str, LoadedModel]]:
    """Published data sets that members of a study need, and the models that are loaded."""
    if not chosen_members:
        return [], {}
    published = {
        member.name: member.source
        for member in chosen_members
        if isinstance(member.source, LoadedModel) and member.source.microworld_name is None
    }
    collections = {
        member.source for member in chosen_members if isinstance(member.source, str) and member.source not in NO_SERIES
    }
    if any(not isinstance(member.source, str | SeriesFile) for member in chosen_members):
        collections |= set(study.benchmarks)
    collections |= {name for member in chosen_members if (name := _samples(member.source)) in catalog.datasets()}
    names = [source for source in [*study.recordings, *study.reading_times] if isinstance(source, str)]
    return [name for name in [*names, *sorted(collections)] if name not in (*MICROWORLD, READERS)], published


def _samples(source: object) -> str | None:
    """What a model is tuned with here: a data set or a file."""
    tune = source if isinstance(source, Tuning) else source.tune if isinstance(source, LoadedModel) else None
    return tune and tune.samples


def _is_simulated(study: Study) -> bool:
    """Whether all of a study is made on the spot."""
    loaded = [model.load if isinstance(model, LoadedModel) else model for model in study.models]
    made = {*MICROWORLD, READERS}.issuperset([*study.recordings, *study.reading_times])
    return made and not study.surprisal and all(name.startswith(MICROWORLD_PREFIX) for name in loaded)


def _data(names: Collection[str]) -> Iterator[str]:
    reported = set()
    for name in names:
        if name == WEHBE:
            yield (
                f"{WEHBE}: its files have no public home. Get them from {catalog.dataset(WEHBE).address}, and set "
                f"{WEHBE_FOLDER} to their folder, or write {{wehbe2014: FOLDER}} in the study."
            )
            continue
        for data in texts.needed(name):
            if data.name not in reported and (files := texts.absent(data)) and not _reached(files[0].url):
                remedy = _get(f"brainalign data fetch {data.name}")
                yield f"{data.name}: not here: {count(len(files), 'file')}. {remedy}"
            reported.add(data.name)


def _models(published: dict[str, LoadedModel]) -> Iterator[str]:
    """Models that are not here, those of the hub in one sentence, as there may be many."""
    table, gated, absent, reported = catalog.checkpoints(), [], [], set()
    for name, weights, revision in dict.fromkeys(_files(published, table)):
        if sources.is_local(name, revision, weights):
            continue
        repository = sources.repository_of(name)
        if file := sources.hub_file(name):
            if not _reached(HUB):
                yield f"{name}: not in the cache. {_get('hf download ' + ' '.join(file))}"
        elif repository is not None:
            (gated if name in table.index and table.gated[name] else absent).append(repository)
        elif (data := sources.in_catalog(name)) is None:
            yield f"{name}: neither a model that the catalog knows nor a folder or file. Correct it in the study."
        elif data.name not in reported and not _reached(next(iter(data.files.values())).url):
            reported.add(data.name)
            yield f"{name}: not here. {_get(f'brainalign data fetch {data.name}')}"
    absent, gated = (list(dict.fromkeys(repositories)) for repositories in (absent, gated))
    if absent and not _reached(HUB):
        yield f"{count(len(absent), 'model')}: not in the cache. {_get('hf download ID')}, of each: {' '.join(absent)}"
    if gated and (not _reached(HUB) or not _token()):
        yield (
            f"{count(len(gated), 'gated model')}: not in the cache. Accept the terms on {HUB}/ID, then hf auth login, "
            f"or set HF_TOKEN to a token of yours. {_get('hf download ID')}, of each: {' '.join(gated)}"
        )


def _files(published: dict[str, LoadedModel], table: pd.DataFrame) -> Iterator[tuple[str, bool, str | None]]:
    """What is loaded, with its weights or without, and of which revision: models, and bases of differences."""
    for entry in published.values():
        yield entry.load, entry.untrained is None, entry.revision
        base = entry.base or (table.delta_of.get(entry.load) if entry.load in table.index else None)
        if isinstance(base, str) and entry.untrained is None:
            yield base, True, None


def _cards(study: Study, published: dict[str, LoadedModel]) -> Iterator[str]:
    """Models that no card here holds, and what would hold them."""
    costs_by_name, _ = costs.by_member(study, published, exact=False)
    heavy = {name: cost for name, cost in costs_by_name.items() if _is_heavy(cost)}
    if not heavy:
        return
    cards = _local_cards()
    if not cards:
        size = max(cost.weights + cost.batch for cost in heavy.values()) / GIB
        yield (
            f"a GPU: without one, {_abridged(list(heavy))} would take over {ON_CPU} hours, or more memory than the "
            f"{_memory() / GIB:.0f} GiB here. The largest takes {size:.0f} GiB on GPUs: see brainalign plan "
            f"{study.name}. Run the study where there are some, or leave these models out of it."
        )
    for name, cost in heavy.items() if cards else ():
        entry, smallest = published[name], min(cards)
        needed = cost.cards(smallest)
        if needed == 1 or (entry.device == "auto" and 0 < needed <= len(cards)):
            continue
        yield f"{name}: {_fits(cost, entry, smallest, len(cards), needed)}"


def _fits(cost: Cost, entry: LoadedModel, card: float, n_cards: int, needed: int) -> str:
    size = f"takes {(cost.weights + cost.batch) / GIB:.0f} GiB in {entry.dtype}, and a card here has {card / GIB:.0f}"
    remedies = []
    if needed > 1:
        remedies.append(f"{needed} such cards hold it" + (" (device: auto)" if entry.device != "auto" else ""))
    if entry.dtype == "float32" and cost.halved.cards(card) == 1:
        remedies.append("bfloat16 fits one (dtype: bfloat16)")
    if larger := [
        name
        for name, properties in catalog.accelerators()["cards"].items()
        if cost.cards(properties["memory"] * GIB) == 1
    ]:
        remedies.append(f"one {' or '.join(larger)} holds it")
    return f"{size} ({count(n_cards, 'card')}): {'; '.join(remedies) or 'no card that the catalog knows holds it'}."


def _is_heavy(cost: Cost) -> bool:
    return (cost.flops + cost.training) / plan.CPU_RATE / 3600 > ON_CPU or cost.host > _memory()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _local_cards() -> list[int]:
    """Bytes of each card of this machine."""
    import torch

    return [torch.cuda.get_device_properties(k).total_memory for k in range(torch.cuda.device_count())]


@cache
def _reached(url: str) -> bool:
    """Whether the server of an address answers, whatever it says; a mirror stands for all of them."""
    import requests

    if os.environ.get("BRAINALIGN_MIRROR") or (url == HUB and os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")):
        return False
    address = urlsplit(url)
    try:
        requests.head(f"{address.scheme}://{address.netloc}", timeout=PATIENCE)
    except requests.exceptions.RequestException:
        return False
    return True


def _get(command: str) -> str:
    if mirror := os.environ.get("BRAINALIGN_MIRROR"):
        command = f"HF_HOME={mirror}/huggingface {command}" if command.startswith("hf ") else command
        return f"Put it into the mirror {mirror}, or unset BRAINALIGN_MIRROR, and with a network: {command}"
    return f"With a network: {command}"


def _token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _abridged(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
