"""What a study takes before it is run: bytes to download and to keep, memory and cards, operations, hours.

    table = plan.of(studies.load("paper"), "A100")     # a row a model
    plan.resources(study)["llama-7b"].gpus             # for a scheduler

Nothing is loaded but texts and tokenizers that are here. What is estimated is marked so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

from brainalign import catalog
from brainalign.llm import arithmetic, sources, tuning
from brainalign.llm.arithmetic import BYTES, Network
from brainalign.llm.batches import MEMORY, WIDTHS
from brainalign.llm.load import tokenizer_of
from brainalign.study import texts
from brainalign.study.members import Member, members, models
from brainalign.study.runs import measured, up_to_date
from brainalign.study.settings import LoadedModel, Study, Tuning, base_of
from brainalign.study.texts import Text

GIB = 1 << 30
TRAINING = 16  # bytes a parameter while it is trained: in float32 itself, its gradient, and two moments of Adam
SAMPLES, OWN_SAMPLES = {"alpaca_sample": 999}, 52_002  # of one's own file as many as Alpaca has
CHECKPOINTS = 8  # at most, for a scheduler: each is read like a model
CARD = "A100"  # for which time is asked of a scheduler: what is newer is faster
CPU_RATE = 1e11  # operations a second of two cores in float32: benchmarks/results/extraction.json has 1.3e11
CPU_SECONDS = 600  # what a CPU does in this time needs no card
USABLE = 0.9  # of a card's memory for weights and a batch: the rest is the driver's, and lost between blocks
LIBRARIES = 4 * GIB  # host memory of Python, torch, and recordings while they are scored
SCORING = 3.0  # seconds a layer, recording and protocol: benchmarks/results/encoding.json has 0.1 to 1.9 on two cores
READING = 2e8  # bytes of weights a second from a disk
MARGIN, SHORTEST = 2, 30  # what is asked of a scheduler: so many times the time expected, and minutes at least
# Rules of thumb for what nobody has timed: short notebooks in which a model is read and scored; such readings in which
# one is trained on the spot, is tuned, and a checkpoint is scored; parameters that double a reading.
READ, TRAINED, TUNED, CHECKPOINT, LITTLE = 4.0, 7.0, 2.0, 0.2, 1e8


class Resources(NamedTuple):
    """What one model of a study asks of a scheduler: cards, megabytes of host memory, minutes."""

    gpus: int
    memory_mb: int
    minutes: int


# Of a notebook, which reads tables: its longest work is the noise ceilings of recordings.
NOTEBOOK = Resources(0, LIBRARIES >> 20, 2 * SHORTEST)


@dataclass(frozen=True)
class Cost:
    """What one model of a study takes; bytes, operations and seconds.

    Attributes
    ----------
    network : Network
        Its sizes.
    weights, batch, host : int
        Memory: of its weights and of a batch on the accelerator, and of the host while it is loaded.
    download : dict of str to int
        Size of what has to be fetched to run it, by repository, whether or not it is here.
    store : int
        Of its states.
    flops : float
        Of all passes.
    scoring : float
        Seconds that brain alignment takes, on two cores.
    counted : bool
        Whether its tokens were counted, rather than estimated.
    """

    network: Network
    weights: int
    batch: int
    host: int
    download: dict[str, int]
    store: int
    flops: float
    scoring: float
    counted: bool

    def cards(self, memory: float) -> int:
        """Cards of so many bytes that hold it: weights are spread over them, a batch has to fit into each."""
        room = USABLE * memory - self.batch
        return math.ceil(self.weights / room) if room > 0 else 0


def of(study: Study, accelerator: str = CARD, rate: float | None = None, memory: float | None = None) -> pd.DataFrame:
    """Plan a study.

    Parameters
    ----------
    study : Study
        Its settings.
    accelerator : str
        One of the catalog's, or ``cpu``.
    rate : float, optional
        Operations a second, where they were measured; by default a share of the accelerator's peak.
    memory : float, optional
        GiB of a card; by default the accelerator's.

    Returns
    -------
    DataFrame
        Indexed by ``model``, those that are run here: ``parameters``, ``dtype``; ``files``, bytes of
        weights by what they are files of, and their sum ``download``; ``store``, of states, and ``disk``, of both;
        ``memory`` and ``host``; ``cards``; ``flops``; ``hours`` of passes and of ``scoring``;
        ``tokens`` (``counted`` or ``estimated``); ``state`` (``done``, ``here``, ``to fetch``, ``trained here`` or
        ``unknown``: neither the catalog nor this machine has its settings).

    Raises
    ------
    LookupError
        No such accelerator.
    """
    _check(accelerator)
    gib = memory or (0 if accelerator == "cpu" else catalog.accelerators()["cards"][accelerator]["memory"])
    device = "cpu" if accelerator == "cpu" else "cuda"
    rows, known = {}, members(study)
    read = texts.of(study) if any(map(_is_published, known.values())) else []
    for name in measured(study):
        member = known[name]
        if not isinstance(member.source, LoadedModel):
            continue
        cost = cost_of(study, member.source, read, device) if _is_published(member) else None
        state = _state(study, member)
        rows[name] = {"state": state, "dtype": member.source.dtype}
        if cost is not None:
            speed = rate or speed_of(accelerator, member.source.dtype)
            rows[name] |= {
                "parameters": cost.network.parameters,
                "files": cost.download,
                "download": sum(cost.download.values()),
                "disk": sum(cost.download.values()) + cost.store,
                "store": cost.store,
                "memory": cost.weights + cost.batch,
                "host": cost.host,
                "cards": cost.cards(gib * GIB) if gib else 0,
                "flops": cost.flops,
                "hours": cost.flops / speed / 3600,
                "scoring": cost.scoring / 3600,
                "tokens": "counted" if cost.counted else "estimated",
            }
    columns = ["parameters", "dtype", "files", "download", "disk", "store", "memory", "host", "cards", "flops", "hours",
               "scoring", "tokens", "state"]  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns).rename_axis("model")


def resources(study: Study, memory: float | None = None) -> dict[str, Resources]:
    """What each measured member of a study asks of a scheduler, by name.

    Parameters
    ----------
    study : Study
        Its settings.
    memory : float, optional
        GiB of a card; by default those of an A100.
    """
    gib = memory or catalog.accelerators()["cards"][CARD]["memory"]
    little = Resources(0, LIBRARIES >> 20, SHORTEST)
    asked, known = dict.fromkeys(measured(study), little), members(study)
    published = {name: known[name].source for name in asked if _is_published(known[name])}
    read = texts.of(study, load=False) if published else []
    for name, entry in published.items():
        cost = cost_of(study, entry, read, tokenized=False)
        if cost is not None:
            alone = cost.flops / CPU_RATE <= CPU_SECONDS
            seconds = cost.flops / (CPU_RATE if alone else speed_of(CARD, entry.dtype)) + cost.scoring
            seconds += sum(cost.download.values()) / READING
            minutes = max(SHORTEST, math.ceil(MARGIN * seconds / 60))
            asked[name] = Resources(0 if alone else max(1, cost.cards(gib * GIB)), cost.host >> 20, minutes)
    for name in asked:
        if (cost := _of_tuning(study, known[name])) is not None:
            source = known[name].source
            passes = asked.get(source.model, little) if isinstance(source, Tuning) else little
            cards = math.ceil(TRAINING * cost.network.parameters / (USABLE * gib * GIB))
            alone = cost.flops / CPU_RATE <= CPU_SECONDS
            seconds = cost.flops / (CPU_RATE if alone else cards * speed_of(CARD, "bfloat16"))
            host = max(asked[name].memory_mb, cost.host >> 20)
            minutes = asked[name].minutes + CHECKPOINTS * passes.minutes + math.ceil(MARGIN * seconds / 60)
            asked[name] = Resources(0 if alone else cards, host, minutes)
    return asked


def weights(study: Study) -> dict[str, float]:
    """How long it takes to measure each member, relative to a short notebook: by its size and what is done with it.

    Where its parameters are not known before it is loaded, they count as the mean of its kind.
    """
    table, known = models(study), members(study)
    table.loc[table.origin == "series", "parameters"] = 0  # of which the surprisal is here
    for name, source in ((name, member.source) for name, member in known.items()):
        if isinstance(source, Tuning):
            table.loc[name, "parameters"] = catalog.checkpoints().parameters.get(base_of(study, source.model).load)
    sizes = table.parameters.fillna(table.groupby(["origin", "kind"]).parameters.transform("mean")).fillna(0)
    return {name: float(_readings(known[name]) * READ * (1 + sizes.get(name, 0) / LITTLE)) for name in measured(study)}


def _readings(member: Member) -> float:
    """How often a member is read, with what else is done counted in readings; controls have only scores."""
    source = member.source
    if isinstance(source, Tuning):
        return TUNED + CHECKPOINT * CHECKPOINTS
    if not isinstance(source, LoadedModel):
        return 1 / READ if member.about["origin"] == "series" else 1
    if source.tuned:
        return 1 + TUNED
    return 1 + TRAINED * (source.of_microworld is not None and source.untrained is None)


def _of_tuning(study: Study, member: Member) -> Cost | None:
    """Operations of tuning a published model, forward and backward, and the host memory; None of any other."""
    source = member.source
    tune = source if isinstance(source, Tuning) else source.tune if isinstance(source, LoadedModel) else None
    base = base_of(study, source.model) if isinstance(source, Tuning) else source
    if tune is None or base.of_microworld is not None:
        return None
    cost = cost_of(study, base, [], tokenized=False)
    recipe = tune.how(tuning.Tuning()).recipe
    tokens = SAMPLES.get(tune.samples, OWN_SAMPLES) * recipe.epochs * recipe.max_length
    host = LIBRARIES + TRAINING * cost.network.parameters if cost else 0
    return cost and replace(cost, flops=6 * cost.network.parameters * tokens, host=host)


def cost_of(
    study: Study, entry: LoadedModel, read: Sequence[Text], device: str = "cuda", tokenized: bool = True
) -> Cost | None:
    """What a model takes to read some texts; None of one whose settings are not known here.

    Parameters
    ----------
    study : Study
        For its protocols.
    entry : LoadedModel
        The model.
    read : sequence of Text
        As of `texts.of`.
    device : str
        ``cuda`` or ``cpu``, whose batches differ.
    tokenized : bool
        Whether to count tokens where text and tokenizer are here.
    """
    settings = sources.settings_of(entry.load, entry.revision)
    if settings is None or settings.get("model_type") not in arithmetic.ARCHITECTURES:
        return None
    network = arithmetic.of(settings)
    here = tokenized and sources.here(entry.load, entry.revision, weights=False)
    tokenizer = tokenizer_of(sources.find(entry.load, entry.revision, weights=False).folder) if here else None
    dtype = stored_as(entry.load, settings) if entry.dtype == "auto" else entry.dtype
    n_bytes, flops, store, largest, batch = BYTES[dtype], 0.0, 0, 0, MEMORY
    for text in read:
        found = texts.lengths(text, network, tokenizer)
        flops += texts.flops(network, text, found, device)
        of_token = WIDTHS * network.width + (2 * network.vocabulary if text.scored else 0)
        batch = max(batch, 4 * of_token * max(found))  # a window at least
        if not text.scored:
            # numpy has no bfloat16: such states are kept in float32.
            states = network.layers * text.parts * network.width * (2 if dtype == "float16" else 4)
            store, largest = store + states, max(largest, states)
    weights = network.parameters * n_bytes
    download = _download(entry, network, settings)
    # Fresh weights are drawn in float32; a difference and its base are added where both are whole.
    loading = 4 * network.parameters if entry.untrained is not None else max(weights, sum(download.values()))
    recordings = sum(not text.scored for text in read)
    return Cost(
        network=network,
        weights=weights,
        batch=batch,
        host=LIBRARIES + loading + 3 * largest,
        download=download,
        store=store,
        flops=flops,
        scoring=SCORING * network.layers * recordings * len(study.protocols),
        counted=tokenizer is not None and all(text.passages is not None for text in read),
    )  # fmt: skip


def stored_as(name: str, settings: dict) -> str:
    """Precision in which a model's weights are published; float32, the most it can be, where that is not known."""
    table = catalog.checkpoints()
    if name in table.index:
        return table.stored[name] if pd.notna(table.stored[name]) else "float32"
    return settings.get("dtype") or settings.get("torch_dtype") or "float32"


def speed_of(accelerator: str, dtype: str) -> float:
    """Operations a second that are expected of an accelerator."""
    if accelerator == "cpu":
        return CPU_RATE
    known = catalog.accelerators()
    return known["share"] * known["cards"][accelerator]["half" if dtype in ("float16", "bfloat16") else "float32"]


def halved(cost: Cost) -> Cost:
    """What a model of float32 takes in half the precision."""
    return replace(cost, weights=cost.weights // 2)


def _check(accelerator: str) -> None:
    known = ["cpu", *catalog.accelerators()["cards"]]
    if accelerator not in known:
        raise LookupError(
            catalog.unknown("accelerator", accelerator, known) + " Of any other, give --rate and --memory."
        )


def _download(entry: LoadedModel, network: Network, settings: dict) -> dict[str, int]:
    """Bytes of weights by repository: the model's, and its base's if it is published as a difference."""
    if entry.untrained is not None:
        return {}
    table = catalog.checkpoints()
    base = entry.base or (table.delta_of.get(entry.load) if entry.load in table.index else None)
    names = [entry.load, *([base] if isinstance(base, str) else [])]
    return {name: network.parameters * BYTES.get(stored_as(name, settings), 4) for name in names}


def _is_published(member: Member) -> bool:
    return isinstance(member.source, LoadedModel) and member.source.of_microworld is None


def _state(study: Study, member: Member) -> str:
    entry = member.source
    if entry.of_microworld is not None:
        return "trained here"
    if sources.here(entry.load, entry.revision, entry.untrained is None):
        return "done" if up_to_date(study, member.name) else "here"
    return "to fetch" if sources.settings_of(entry.load, entry.revision) else "unknown"
