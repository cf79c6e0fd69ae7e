"""What each model of a study takes: memory, files, states, operations. What cannot be counted, and why.

costs, reasons = by_member(studies.load("paper"))
costs["llama-7b"].flops, reasons["my-model"]
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from brainalign import catalog
from brainalign.llm import tuning
from brainalign.llm.models import architectures, heads, sources
from brainalign.llm.models.architectures import Architecture
from brainalign.llm.models.load import tokenizer_of
from brainalign.llm.reading.batches import MEMORY, WIDTHS
from brainalign.llm.tuning import samples
from brainalign.study.description import texts
from brainalign.study.description.members import members
from brainalign.study.description.settings import LoadedModel, Study, Tune, Tuning, base_of
from brainalign.study.description.texts import Text

GIB = 1 << 30
BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
# Bytes a parameter while a model is tuned: in float32 itself, its gradient, and two moments of Adam; under LoRA itself,
# as adapters are thousandths.
TRAINING, FROZEN = 16, 4
# Passes that a step takes, a backward one being two: it is of weights and of states, and of states alone under LoRA.
# Gradient checkpointing adds one.
STEP, FROZEN_STEP = 3, 2
USABLE = 0.9  # of a card's memory for weights and a batch: the rest is the driver's, and lost between blocks
LIBRARIES = 4 * GIB  # host memory of Python, torch, and recordings while they are scored
SCORING = 3.0  # seconds a layer, recording and protocol: benchmarks/results/encoding.json has 0.1 to 1.9 on two cores


@dataclass(frozen=True)
class Cost:
    """What one model of a study takes; bytes, operations and seconds.

    Attributes
    ----------
    network : Architecture
        Its sizes.
    dtype : str
        In which it is read; it is tuned in float32, and computes in bfloat16 on a card.
    weights, batch, host : int
        Memory: of its weights (while it is tuned, with gradients and moments) and of a batch on the accelerator, and
        of the host while it is loaded.
    files : dict of str to int
        Size of the weights that are loaded, by what they are files of.
    download : dict of str to int
        Of these, those that are not here.
    store : int
        Of its states, and of models that are kept while it is tuned.
    flops, training : float
        Of all passes over texts, and of tuning before.
    scoring : float
        Seconds that brain alignment takes, on two cores.
    counted : bool
        Whether its tokens were counted, rather than estimated.
    """

    network: Architecture
    dtype: str
    weights: int
    batch: int
    host: int
    files: dict[str, int]
    download: dict[str, int]
    store: int
    flops: float
    training: float
    scoring: float
    counted: bool

    def cards(self, memory: float) -> int:
        """Cards of so many bytes that hold it: weights are spread over them, a batch has to fit into each."""
        room = USABLE * memory - self.batch
        return math.ceil(self.weights / room) if room > 0 else 0

    @property
    def halved(self) -> Cost:
        """What a model of float32 takes in half the precision."""
        return replace(self, weights=self.weights // 2)


def by_member(
    study: Study, names: Collection[str] | None = None, device: str = "cuda", exact: bool = True
) -> tuple[dict[str, Cost], dict[str, str]]:
    """Costs of members that are run or tuned here; those of the microworld are little, and left out.

    Parameters
    ----------
    names : collection of str, optional
        Members; all if left out.
    device : str
        ``cuda`` or ``cpu``, whose batches differ.
    exact : bool
        Whether to count the tokens of texts where they and tokenizers are here, which takes seconds a model.

    Returns
    -------
    costs : dict of str to Cost
    reasons : dict of str to str
        Why there is no cost of the others, in words.
    """
    sources_by_name = {
        name: member.source
        for name, member in members(study).items()
        if (names is None or name in names) and base(study, member.source) is not None
    }
    study_texts = texts.collect(study, load=exact) if sources_by_name else []
    costs, reasons = {}, {}
    for name, source in sources_by_name.items():
        try:
            costs[name] = _cost(study, source, study_texts, device, exact)
        except (ValueError, OSError) as error:
            reasons[name] = str(error)
    return costs, reasons


def base(study: Study, source: object) -> LoadedModel | None:
    """Model of the hub or of one's own that a member loads, itself or to be tuned; None of any other member."""
    entry = base_of(study, source.model) if isinstance(source, Tuning) else source
    return entry if isinstance(entry, LoadedModel) and entry.microworld_name is None else None


def _cost(study: Study, source: LoadedModel | Tuning, study_texts: Sequence[Text], device: str, exact: bool) -> Cost:
    entry = base(study, source)
    if isinstance(source, LoadedModel):
        cost = reading(study, entry, study_texts, device, exact)
        return _tuned(cost, source.tune, 1) if source.tune else cost
    # As in `measures.followed`: two protocols, and one text of reading times.
    left_out = study.reading_time_names[1:]
    ends = study.model_copy(update={"protocols": list(dict.fromkeys([study.protocols[0], study.protocols[-1]]))})
    cost = reading(ends, entry, [text for text in study_texts if text.name not in left_out], device, exact)
    # Before the first step it is the base, which is read anyway where the study has it.
    n_read = len(_kept_steps(source) - ({0} if entry in study.entries else set()))
    return _tuned(cost, source, n_read)


def reading(
    study: Study, entry: LoadedModel, study_texts: Sequence[Text], device: str = "cuda", exact: bool = True
) -> Cost:
    """What a model takes to read some texts, and to be scored under a study's protocols.

    Raises
    ------
    ValueError
        Its settings are not known here, or as in `architectures.from_settings`.
    """
    settings = sources.settings_of(entry.load, entry.revision)
    if settings is None:
        raise ValueError("neither the catalog nor this machine has its config.json, which says how large it is.")
    network = architectures.from_settings(settings)
    is_local = exact and sources.is_local(entry.load, entry.revision, weights=False)
    tokenizer = tokenizer_of(sources.find(entry.load, entry.revision, weights=False).folder) if is_local else None
    dtype = stored_as(entry.load, settings) if entry.dtype == "auto" else entry.dtype
    flops, store, largest, batch = 0.0, 0, 0, MEMORY
    for text in study_texts:
        lengths = texts.lengths(text, network, tokenizer)
        flops += texts.flops(network, text, lengths, device)
        logits = 2 * min(4 * network.vocabulary * max(lengths), heads.MEMORY) if text.scored else 0
        batch = max(batch, 4 * WIDTHS * network.width * max(lengths) + logits)  # a window at least
        if not text.scored:
            # numpy has no bfloat16: such states are kept in float32.
            states = sum(network.widths) * text.parts * (2 if dtype == "float16" else 4)
            store, largest = store + states, max(largest, states)
    weights = network.parameters * BYTES[dtype]
    files, download = _files(entry, network, settings)
    # Fresh weights are drawn in float32; a difference and its base are added where both are whole.
    loading = 4 * network.parameters if entry.untrained is not None else max(weights, sum(files.values()))
    recordings = sum(not text.scored for text in study_texts)
    return Cost(
        network=network,
        dtype=dtype,
        weights=weights,
        batch=batch,
        host=LIBRARIES + loading + 3 * largest,
        files=files,
        download=download,
        store=store,
        flops=flops,
        training=0.0,
        scoring=SCORING * network.layers * recordings * len(study.protocols),
        counted=tokenizer is not None and all(text.passages is not None for text in study_texts),
    )  # fmt: skip


def _tuned(cost: Cost, tune: Tune, n_read: int) -> Cost:
    """What a model takes that is tuned and then read so often, by what it takes to read it once.

    Samples are taken to be as long as they may be. Of each token, what every block computes is kept for the backward
    pass; with gradient checkpointing, what enters the blocks.
    """
    settings, network = tune.as_tuning(tuning.Tuning()), cost.network
    recipe, passes = settings.recipe, (FROZEN_STEP if settings.lora else STEP) + settings.gradient_checkpointing
    forward = network.flops(1, recipe.max_length, head=True)
    states_kept = (network.layers if settings.gradient_checkpointing else network.layers * WIDTHS) + WIDTHS
    n_tokens = recipe.at_once * recipe.max_length
    logits = 3 * min(4 * n_tokens * network.vocabulary, heads.MEMORY)  # their softmax and their gradients, too
    batch = 4 * n_tokens * states_kept * network.width + logits
    weights = (FROZEN if settings.lora else TRAINING) * network.parameters
    return replace(
        cost,
        weights=max(weights, cost.weights),
        batch=max(batch, cost.batch),
        host=max(LIBRARIES + weights, cost.host),
        store=n_read * cost.store + len(_kept_steps(tune)) * BYTES["float32"] * network.parameters,
        flops=n_read * cost.flops,
        training=passes * _n_samples(tune) * recipe.epochs * forward,
        scoring=n_read * cost.scoring,
        counted=False,
    )


def _kept_steps(tune: Tune) -> set[int]:
    """Steps after which a model that is tuned is kept."""
    settings = tune.as_tuning(tuning.Tuning())
    return {*settings.checkpoints, settings.recipe.n_steps(_n_samples(tune))}


def _n_samples(tune: Tune) -> int:
    if tune.samples in samples.names():
        return catalog.dataset(tune.samples).counts["samples"]
    return len(samples.load(tune.samples))


def stored_as(name: str, settings: dict) -> str:
    """Precision in which a model's weights are published; float32, the most it can be, where that is not known."""
    table = catalog.checkpoints()
    if name in table.index:
        return table.stored[name] if pd.notna(table.stored[name]) else "float32"
    dtype = settings.get("dtype") or settings.get("torch_dtype")
    return dtype if dtype in BYTES else "float32"


def _files(entry: LoadedModel, network: Architecture, settings: dict) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of weights, a model's and, if it is published as a difference, its base's: all, and those not here."""
    if entry.untrained is not None:
        return {}, {}
    table = catalog.checkpoints()
    base = entry.base or (table.delta_of.get(entry.load) if entry.load in table.index else None)
    revisions = {entry.load: entry.revision} | ({base: None} if isinstance(base, str) else {})
    sizes = {name: network.parameters * BYTES[stored_as(name, settings)] for name in revisions}
    labels = {name: f"{name}@{revision}" if revision else name for name, revision in revisions.items()}
    # What is quantized is smaller than what is made of it.
    downloads = {name: data.bytes if (data := sources.in_catalog(name)) else size for name, size in sizes.items()}
    absent = [name for name, revision in revisions.items() if not sources.is_local(name, revision)]
    return {labels[name]: sizes[name] for name in sizes}, {labels[name]: downloads[name] for name in absent}
