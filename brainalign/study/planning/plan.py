"""What a study takes before it is run: bytes to download and to keep, memory and cards, operations, hours.

    table = plan.by_model(studies.load("paper"), "A100")     # a row a model
    plan.resources(study)["llama-7b"].gpus             # for a scheduler

Nothing is loaded but texts and tokenizers that are here. What is estimated is marked so.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import pandas as pd

from brainalign import catalog, messages, store
from brainalign.llm.models import sources
from brainalign.microworld import learners as trained_here
from brainalign.study.description.members import Member, bases, members, models
from brainalign.study.description.settings import LoadedModel, Study, Tuning, base_of
from brainalign.study.planning import costs
from brainalign.study.planning.costs import GIB, LIBRARIES, Cost
from brainalign.study.running.runs import measured, up_to_date

CARD = "A100"  # for which time is asked of a scheduler: what is newer is faster
CPU = "cpu"
GPU_RESULTS = store.PROJECT / "benchmarks" / "results" / "gpu.json"
CPU_RATE = 1e11  # operations a second of two cores in float32: benchmarks/results/extraction.json has 1.3e11
CPU_SECONDS = 600  # what a CPU does in this time needs no card
IN_TRAINING = "bfloat16"  # in which a model of float32 computes on a card while it is tuned
READING = 2e8  # bytes of weights a second from a disk
MARGIN, SHORTEST = 2, 30  # what is asked of a scheduler: so many times the time expected, and minutes at least
DAY = 24 * 60  # minutes that are asked for where nothing is expected
# Rules of thumb for what nobody has timed: short notebooks in which a model reads the microworld, or texts that people
# read, and is scored; such readings in which one is trained on the spot, is tuned, and is tuned with its checkpoints
# scored; parameters that double a reading.
READ, READ_LONG, TRAINED, TUNED, FOLLOWED, LITTLE = 3.0, 24.0, 9.0, 1.0, 3.0, 27e6
COLUMNS = ["parameters", "dtype", "files", "download", "disk", "store", "memory", "host", "cards", "flops", "hours",
           "training", "scoring", "tokens", "state", "why"]  # fmt: skip


class Resources(NamedTuple):
    """What one model of a study asks of a scheduler: cards, megabytes of host memory, minutes; why that is a guess."""

    gpus: int
    memory_mb: int
    minutes: int
    why: str = ""


# Of a notebook, which reads tables.
NOTEBOOK = Resources(0, LIBRARIES >> 20, 2 * SHORTEST)


def by_model(
    study: Study, accelerator: str = CARD, rate: float | None = None, memory: float | None = None
) -> pd.DataFrame:
    """Plan a study.

    Parameters
    ----------
    accelerator : str
        One of the catalog's, or ``cpu``.
    rate : float, optional
        Operations a second, where they were measured; by default a share of the accelerator's peak.
    memory : float, optional
        GiB of a card; by default the accelerator's.

    Returns
    -------
    DataFrame
        Indexed by ``model``, those that are run or tuned here: ``parameters``, ``dtype``; ``files``, bytes of weights
        that are not here, by what they are files of, and their sum ``download``; ``store``, of states and of models
        that tuning keeps, and ``disk``, of both; ``memory`` and ``host``; ``cards``; ``flops``, of tuning too;
        ``hours`` that they take on one card, those of ``training`` among them, and of ``scoring``; ``tokens``
        (``counted`` or ``estimated``); ``state`` (``done``, ``here``, ``to fetch``, ``trained here`` or ``unknown``:
        neither the catalog nor this machine has its settings); ``why`` there are no numbers.

    Raises
    ------
    LookupError
        No such accelerator.
    """
    size = _memory(accelerator, memory)
    names, entries = measured(study), members(study)
    costs_by_name, reasons = costs.by_member(study, names, CPU if accelerator == CPU else "cuda")
    rows = {}
    for name in names:
        if name in costs_by_name:
            rows[name] = _row(costs_by_name[name], accelerator, rate, size)
        elif name in reasons:
            rows[name] = {"dtype": costs.base(study, entries[name].source).dtype, "why": reasons[name]}
        elif isinstance(entries[name].source, LoadedModel):
            rows[name] = {"dtype": entries[name].source.dtype}
    for name, row in rows.items():
        row["state"] = _state(study, entries[name])
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=COLUMNS).rename_axis("model")


def _row(cost: Cost, accelerator: str, rate: float | None, size: float) -> dict[str, object]:
    download = sum(cost.download.values())
    return {
        "parameters": cost.network.parameters,
        "dtype": cost.dtype,
        "files": cost.download,
        "download": download,
        "disk": download + cost.store,
        "store": cost.store,
        "memory": cost.weights + cost.batch,
        "host": cost.host,
        "cards": cost.cards(size) if size else 0,
        "flops": cost.flops + cost.training,
        "hours": (_passes(cost, accelerator, rate) + _training(cost, accelerator, rate)) / 3600,
        "training": _training(cost, accelerator, rate) / 3600,
        "scoring": cost.scoring / 3600,
        "tokens": "counted" if cost.counted else "estimated",
    }


def resources(
    study: Study, accelerator: str = CARD, rate: float | None = None, memory: float | None = None
) -> dict[str, Resources]:
    """What each measured member of a study asks of a scheduler, by name.

    What a CPU does in `CPU_SECONDS` asks for no card. A model of which no cost is known asks for one card for a day,
    and says why. Arguments are those of `by_model`.
    """
    size = _memory(accelerator, memory)
    costs_by_name, reasons = costs.by_member(study, measured(study), CPU if accelerator == CPU else "cuda", exact=False)
    resources_by_name = dict.fromkeys(measured(study), Resources(0, LIBRARIES >> 20, SHORTEST))
    resources_by_name |= {name: _resources(cost, accelerator, rate, size) for name, cost in costs_by_name.items()}
    guess = Resources(0 if accelerator == CPU else 1, 2 * LIBRARIES >> 20, DAY)
    return resources_by_name | {name: guess._replace(why=why) for name, why in reasons.items()}


def _resources(cost: Cost, accelerator: str, rate: float | None, size: float) -> Resources:
    on_cpu = accelerator == CPU or (cost.flops + cost.training) / CPU_RATE <= CPU_SECONDS
    place, speed = (CPU, None if accelerator != CPU else rate) if on_cpu else (accelerator, rate)
    cards = 0 if on_cpu else max(1, cost.cards(size))
    seconds = _passes(cost, place, speed) + _training(cost, place, speed) / max(1, cards)
    seconds += cost.scoring + sum(cost.files.values()) / READING
    return Resources(cards, cost.host >> 20, max(SHORTEST, math.ceil(MARGIN * seconds / 60)))


def _passes(cost: Cost, accelerator: str, rate: float | None) -> float:
    """Seconds in which texts are read."""
    return cost.flops / (rate or speed_of(accelerator, cost.dtype))


def _training(cost: Cost, accelerator: str, rate: float | None) -> float:
    """Seconds in which one card tunes a model; several share them."""
    return cost.training / (rate or speed_of(accelerator, IN_TRAINING))


def speed_of(accelerator: str, dtype: str) -> float:
    """Operations a second that are expected of an accelerator."""
    if accelerator == CPU:
        return CPU_RATE
    accelerators = catalog.accelerators()
    precision = "half" if dtype in ("float16", "bfloat16") else "float32"
    assumed = accelerators["share"] * accelerators["cards"][accelerator][precision]
    return measured_rates(accelerator).get(precision, assumed)


def measured_rates(accelerator: str) -> dict[str, float]:
    """Operations a second by precision, of an accelerator on which ``benchmarks/gpu.py`` has run here."""
    if not GPU_RESULTS.is_file():
        return {}
    results = json.loads(GPU_RESULTS.read_text(encoding="utf-8"))
    return results["rates"] if results["card"] == accelerator else {}


def _memory(accelerator: str, memory: float | None) -> float:
    """Bytes of a card: those given as GiB, or the accelerator's; 0 without one."""
    cards = catalog.accelerators()["cards"]
    if accelerator not in (CPU, *cards):
        unknown = messages.unknown("accelerator", accelerator, [CPU, *cards])
        raise LookupError(f"{unknown} Of any other, give --rate and --memory.")
    return 0 if accelerator == CPU else (memory or cards[accelerator]["memory"]) * GIB


def _state(study: Study, member: Member) -> str:
    entry = costs.base(study, member.source)
    if entry is None:
        return "trained here"
    if sources.is_local(entry.load, entry.revision, entry.untrained is None):
        return "done" if up_to_date(study, member.name) else "here"
    return "to fetch" if sources.settings_of(entry.load, entry.revision) else "unknown"


def weights(study: Study) -> dict[str, float]:
    """How long it takes to measure each member, relative to a short notebook: by its size and what is done with it.

    Where its parameters are not known before it is loaded, they count as the mean of its kind.
    """
    table, members_by_name = models(study), members(study)
    table.loc[table.origin == "series", "parameters"] = 0  # of which the surprisal is here
    for name, source in ((name, member.source) for name, member in members_by_name.items()):
        if isinstance(source, Tuning):
            table.loc[name, "parameters"] = catalog.checkpoints().parameters.get(base_of(study, source.model).load)
    sizes = table.parameters.fillna(table.groupby(["origin", "kind"]).parameters.transform("mean")).fillna(0)
    sizes.update({name: sizes[base] for name, base in bases(study).items()})  # what is tuned here has its base's size
    return {
        name: _weight(study, members_by_name[name]) * (1 + float(sizes.get(name, 0)) / LITTLE)
        for name in measured(study)
    }


def _weight(study: Study, member: Member) -> float:
    """How long it takes to measure a little member: people, series and controls are only scored."""
    source = member.source
    base = base_of(study, source.model) if isinstance(source, Tuning) else source
    if not isinstance(base, LoadedModel):
        return 1.0
    if isinstance(source, Tuning):
        readings = FOLLOWED
    elif source.tuned:
        readings = 1 + TUNED
    elif source.microworld_name is None or source.untrained is not None:
        readings = 1
    else:
        readings = 1 + TRAINED * trained_here.effort(source.microworld_name)
    return readings * (READ_LONG if base.microworld_name is None else READ)
