"""Load language models: trained, untrained twins of them, or sums of a base and a published difference.

    load("gpt2-small")                                    # a checkpoint of the catalog
    load("EleutherAI/pythia-70m", revision="step1000")    # any causal or encoder-decoder model of the hub
    load("runs/my-model")                                 # a folder in Hugging Face's layout
    load("model.gguf")                                    # a file of llama.cpp, whatever its quantization
    load("ORG/NAME/model.gguf")                           # one on the hub
    load("stories15M.bin")                                # a llama2.c export, its tokenizer beside it
    load("gpt2-small", untrained=0)                       # the same architecture and tokenizer, fresh weights
    load("alpaca-7b")                                     # a difference, added to LLaMA as its publisher says

`sources` says where files are looked for. Weights are safetensors or GGUF; no pickle is loaded, and no remote code is
run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from brainalign import catalog, messages
from brainalign.llm.models import causality, networks, sources
from brainalign.llm.models.sources import Source

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

DTYPES = ("float32", "float16", "bfloat16", "auto")
UNLIMITED = 10**9  # tokens; a tokenizer without a limit says 10^30
ITS_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")  # a tokenizer that is all in tokenizer.json
SAMPLES = ("a", "a b c")  # texts that show whether a tokenizer pads or cuts what it reads


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A network with its head, in evaluation mode, without gradients; its tokenizer; and what tells it from others."""

    name: str  #: as asked for, a folder's or file's own; of an untrained twin with ``-untrained-SEED`` behind it
    config: PreTrainedConfig = field(repr=False)
    tokenizer: PreTrainedTokenizerFast = field(repr=False)  #: fast: it knows which characters a token stands for
    identity: dict  #: plain JSON: all that tells weights, tokenizer and precision from any other's
    read: Callable[[], PreTrainedModel] = field(repr=False)  #: gives the network; reads it once

    @property
    def network(self) -> PreTrainedModel:
        """A causal model or an encoder-decoder, whose weights are read now if they have not been yet.

        Raises ValueError where weights are damaged, missing or left over, do not fit those of their base, or were
        exchanged after the model was identified by them.
        """
        return self.read()

    @cached_property
    def blank(self) -> PreTrainedModel:
        """The network before any weights are read: shapes, on torch's meta device."""
        return networks.blank(self.config)

    @property
    def encoder_decoder(self) -> bool:
        """Whether it has an encoder beside its decoder."""
        return bool(self.config.is_encoder_decoder)

    @property
    def n_positions(self) -> int | None:
        """Most tokens that it reads at once; None where nothing sets a limit."""
        limit = self.tokenizer.model_max_length
        return self._positions or (int(limit) if 0 < limit < UNLIMITED else None)

    @cached_property
    def _positions(self) -> int | None:
        return networks.positions(self.blank)

    @property
    def limited(self) -> dict:
        """Tokens that it reads at once, where those are fewer than its settings say (`networks.positions`)."""
        return {} if self._positions == networks.stated_positions(self.config) else {"positions": self._positions}

    @property
    def n_layers(self) -> int:
        """Blocks; those of encoder and decoder together."""
        return sum(map(len, networks.blocks(self.blank).values()))

    @property
    def width(self) -> int:
        """Features of a hidden state."""
        return self.config.get_text_config().hidden_size

    @property
    def n_parameters(self) -> int:
        """Numbers in its weights, with those that are shared counted once."""
        return sum(weights.numel() for weights in self.blank.parameters())

    @property
    def n_vocabulary(self) -> int:
        """Tokens that it predicts among: a few more than its tokenizer has, where the embedding is padded."""
        return self.config.get_text_config().vocab_size

    @property
    def device(self) -> torch.device:
        """Where its first weights are."""
        return self.network.device


def load(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str | None = None,
    untrained: int | None = None,
    base: str | Path | None = None,
) -> LanguageModel:
    """Load a language model and its tokenizer, from here where the files are here, else from the hub.

    Its weights are read at the first forward pass; until then, the configuration tells all that there is to know.

    Parameters
    ----------
    name_or_path
        The first that fits: a checkpoint of the catalog, ``stories260k``, a file of llama.cpp (``.gguf``) or llama2.c
        (``.bin``), a folder in Hugging Face's layout, a hub id, one with the name of a GGUF file behind it. A model on
        the hub may have a revision: a branch, tag or commit.
    dtype
        ``float32``, ``float16``, ``bfloat16``, or ``auto``: as its publisher stored it; from GGUF, float32.
    device
        A torch device, or ``auto`` to spread it over all GPUs with accelerate; by default the GPU if there is one.
    untrained
        Seed of fresh weights instead of the trained ones, which need not be there. They are drawn in float32 on the
        CPU, as the architecture's own code draws them, so that they are the same on every device.
    base
        The loaded weights are differences, to be added to this model, whose embeddings of tokens that only the
        difference has count as zero. The catalog knows it for its own checkpoints, and what counts there.

    Raises
    ------
    LookupError, OSError, ValueError
        As in `sources.find`; or an argument, the architecture or the tokenizer is of no use here. What is wrong with
        weights is said when they are read (`LanguageModel.network`).
    """
    _check_options(dtype, untrained, base)
    place = _device(device)
    base, new_rows = (base, "zero") if base is not None or untrained is not None else _published_base(name_or_path)
    source = sources.find(name_or_path, revision, weights=untrained is None)
    base_source = None if base is None else sources.find(base)
    name, identity, precision = source.name, source.identity, dtype
    with networks.quiet():
        (tokenizer, switched_off), config = _steady_tokenizer(source.folder), networks.config_of(source.folder)
        identity = identity | switched_off
        _require_embedded(source.folder, tokenizer, config)
        if untrained is not None:
            name, identity = f"{name}-untrained-{untrained}", identity | {"untrained": untrained} | networks.versions()
            precision = str(config.dtype or "float32").removeprefix("torch.") if dtype == "auto" else dtype
        elif dtype == "auto":
            precision = networks.precision(source.folder, config)
        if base_source:
            networks.config_of(base_source.folder)
            identity = identity | {"base": base_source.identity, "new_rows": new_rows}

    @cache  # once, also where the model is given another name
    def read() -> PreTrainedModel:
        with networks.quiet():
            if untrained is not None:
                network = networks.placed(networks.fresh(config, untrained), precision, place)
            else:
                network = _stored(source, base_source, dtype, new_rows, place)
            network.eval().requires_grad_(False)
            causality.check(network)
            return network

    return LanguageModel(name, config, tokenizer, identity | {"dtype": precision}, read)


def _require_embedded(folder: Path, tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig) -> None:
    """See that each token that a text can have is in the embedding; special ones that no text has need not be."""
    backend, rows = tokenizer.backend_tokenizer, config.get_text_config().vocab_size
    added = backend.get_added_tokens_decoder()
    around = {tokenizer.bos_token_id, tokenizer.eos_token_id, *backend.encode("a").ids} - {None}
    ids = around | {number for number, token in added.items() if not token.special}
    ids.add(max(set(range(backend.get_vocab_size(with_added_tokens=False))) - added.keys(), default=0))
    if max(ids) >= rows:
        raise ValueError(
            f"{folder}: the tokenizer has token {max(ids)} ({backend.id_to_token(max(ids))!r}), and by config.json the "
            f"network knows {rows}, from 0 on. Use the tokenizer that it was trained with, or enlarge its embedding."
        )


def _stored(source: Source, base_source: Source | None, dtype: str, new_rows: str, device: str) -> PreTrainedModel:
    """Network with the weights of a model, added to those of its base if they are differences."""
    if base_source is None:
        network = networks.trained(source.folder, dtype, device)
    else:
        network = networks.summed(source, base_source, dtype, new_rows)
        network = networks.placed(network, network.dtype, device)
    for part in filter(None, (source, base_source)):
        part.require_same()  # after they were read: files may be exchanged meanwhile
    return network


def _check_options(dtype: str, untrained: int | None, base: str | Path | None) -> None:
    if dtype not in DTYPES:
        raise ValueError(messages.unknown("dtype", dtype, DTYPES))
    if base is not None and _published_base(base)[0]:
        raise ValueError(
            f"{base} is itself published as a difference. Save the sum first, and give its folder as base."
        )
    if untrained is None:
        return
    if isinstance(untrained, bool) or not isinstance(untrained, int) or not 0 <= untrained < 2**63:
        raise ValueError(f"untrained is {untrained!r}, expected the seed of the weights. Give an integer from 0 on.")
    if base is not None:
        raise ValueError("an untrained model is no difference to a base. Leave out `base`, or `untrained`.")


def _device(device: str | None) -> str:
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "auto":
        return device
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device {device!r} is not here: {str(error).splitlines()[0]}. Give 'cpu', one of the "
            f"{torch.cuda.device_count()} GPUs ('cuda:0', ...), 'auto', or nothing."
        ) from None
    return device


def _published_base(name: str | Path) -> tuple[str | None, str]:
    """Base of a checkpoint that the catalog knows to be published as a difference, and how to extend it."""
    checkpoints = catalog.checkpoints()
    if not isinstance(name, str) or name not in checkpoints.index or pd.isna(checkpoints.delta_of[name]):
        return None, "zero"
    return checkpoints.delta_of[name], checkpoints.delta_rows[name]


def tokenizer_of(folder: Path) -> PreTrainedTokenizerFast:
    """Tokenizer of a folder in Hugging Face's layout; raises ValueError if it has none that is fast."""
    return _steady_tokenizer(folder)[0]


def _steady_tokenizer(folder: Path) -> tuple[PreTrainedTokenizerFast, dict]:
    """Tokenizer without what was saved with it and is no token of a text; and what of that changes tokens, as JSON."""
    tokenizer = _saved_tokenizer(folder)
    backend = tokenizer.backend_tokenizer
    dropout = getattr(backend.model, "dropout", None)  # of merges, by chance: a means of training
    if not (dropout or backend.padding or backend.truncation):
        return tokenizer, {}
    before = [backend.encode(text).ids for text in SAMPLES]
    backend.no_padding()
    backend.no_truncation()
    if dropout:
        backend.model.dropout = None
    changed = dropout or before != [backend.encode(text).ids for text in SAMPLES]
    return tokenizer, {"tokenizer": "without padding, truncation and dropout"} if changed else {}


def _saved_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # What says that it is its file and nothing else is that, whatever its network's kind usually has.
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    whole = settings.get("tokenizer_class") in ITS_FILE and (folder / "tokenizer.json").exists()
    loader = PreTrainedTokenizerFast if whole else AutoTokenizer
    remedy = (
        "A fast one knows which characters a token stands for. Where the slow one loads, convert it: save the "
        "folder's tokenizer with transformers and sentencepiece installed, which writes tokenizer.json."
    )
    try:
        tokenizer = loader.from_pretrained(folder, use_fast=True, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of any kind, from tokenizers' own to ImportError
        raise ValueError(f"{folder} has no tokenizer that can be loaded as a fast one: {error}. {remedy}") from error
    if not tokenizer.is_fast:
        raise ValueError(f"{folder} has a slow tokenizer, {type(tokenizer).__name__}. {remedy}")
    return tokenizer
