"""Load language models: trained, untrained twins of them, or sums of a base and a published difference.

    load("gpt2-small")                                    # a checkpoint of the catalog
    load("EleutherAI/pythia-70m", revision="step1000")    # any causal or encoder-decoder model of the hub
    load("runs/my-model")                                 # a folder in Hugging Face's layout
    load("stories15M.bin")                                # a llama2.c export, its tokenizer beside it
    load("gpt2-small", untrained=0)                       # the same architecture and tokenizer, fresh weights
    load("alpaca-7b")                                     # a difference, added to LLaMA as its publisher says

`sources` says where files are looked for. Weights are safetensors; no pickle is loaded, and no remote code is run.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from brainalign import catalog
from brainalign.llm import networks, sources

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DTYPES = ("float32", "float16", "bfloat16", "auto")
UNLIMITED = 10**9  # tokens; a tokenizer without a limit says 10^30


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A network with its head, in evaluation mode, without gradients; its tokenizer; and what tells it from others.

    Attributes
    ----------
    name : str
        As asked for: the catalog's name, the hub id, or the name of the folder or file; of an untrained twin with
        ``-untrained-SEED`` behind it.
    network : PreTrainedModel
        A causal model or an encoder-decoder.
    tokenizer : PreTrainedTokenizerFast
        Fast, so that it knows which characters a token stands for.
    identity : dict
        Plain JSON, for keys of results: all that tells weights, tokenizer and precision from any other's.
    """

    name: str
    network: "PreTrainedModel" = field(repr=False)
    tokenizer: "PreTrainedTokenizerFast" = field(repr=False)
    identity: dict

    @property
    def encoder_decoder(self) -> bool:
        """Whether it has an encoder beside its decoder."""
        return bool(self.network.config.is_encoder_decoder)

    @property
    def n_positions(self) -> int | None:
        """Most tokens that it reads at once; None where nothing sets a limit."""
        config = self.network.config.get_text_config()
        limits = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
        limits.append(self.tokenizer.model_max_length)
        return next((int(limit) for limit in limits if limit and 0 < limit < UNLIMITED), None)

    @property
    def n_layers(self) -> int:
        """Blocks; those of encoder and decoder together."""
        config = self.network.config.get_text_config()
        if not self.encoder_decoder:
            return config.num_hidden_layers
        return sum(
            next(getattr(config, name) for name in names if hasattr(config, name))
            for names in (("encoder_layers", "num_layers"), ("decoder_layers", "num_decoder_layers"))
        )

    @property
    def width(self) -> int:
        """Features of a hidden state."""
        return self.network.config.get_text_config().hidden_size

    @property
    def n_parameters(self) -> int:
        """Numbers in its weights, with those that are shared counted once."""
        return sum(weights.numel() for weights in self.network.parameters())

    @property
    def n_vocabulary(self) -> int:
        """Tokens that it predicts among: a few more than its tokenizer has, where the embedding is padded."""
        return self.network.config.get_text_config().vocab_size

    @property
    def device(self) -> "torch.device":
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
    new_rows: str = "zero",
) -> LanguageModel:
    """Load a language model and its tokenizer, from here where the files are here, else from the hub.

    Parameters
    ----------
    name_or_path : str or Path
        The first that fits: a checkpoint of the catalog, ``stories260k``, a llama2.c export (``.bin``), a folder in
        Hugging Face's layout, a hub id.
    revision : str, optional
        Branch, tag or commit of a model on the hub.
    dtype : str
        ``float32``, ``float16``, ``bfloat16``, or ``auto``: as its publisher stored it.
    device : str, optional
        A torch device, or ``auto`` to spread it over all GPUs with accelerate; by default the GPU if there is one.
    untrained : int, optional
        Seed of fresh weights instead of the trained ones, which need not be there. They are drawn in float32 on the
        CPU, as the architecture's own code draws them, so that they are the same on every device.
    base : str or Path, optional
        The loaded weights are differences, to be added to this model. The catalog knows it for its own checkpoints.
    new_rows : str
        What counts as the base's embeddings of tokens that only the difference has: ``zero``, as for FastChat's and
        StableVicuna's, or their ``mean``, as for Alpaca's. The catalog knows it too.

    Returns
    -------
    LanguageModel

    Raises
    ------
    LookupError, FileNotFoundError, PermissionError, ConnectionError
        As in `sources.find`.
    ValueError
        An argument, the architecture or the tokenizer is of no use here; weights are damaged or missing or left over,
        or do not fit those of their base.
    ImportError
        The device is ``auto`` and accelerate is not installed.
    """
    _check_options(dtype, untrained, base, new_rows)
    place = _device(device)
    if untrained is None and base is None:
        base, new_rows = _published_base(name_or_path, new_rows)
    source = sources.find(name_or_path, revision, weights=untrained is None)
    name, identity = source.name, source.identity
    with networks.quiet():
        tokenizer = tokenizer_of(source.folder)
        if untrained is not None:
            name, identity = f"{name}-untrained-{untrained}", identity | {"untrained": untrained} | networks.versions()
            config = networks.config_of(source.folder)
            stored = config.dtype or "float32"  # before it is built in float32
            network = networks.placed(networks.fresh(config, untrained), stored if dtype == "auto" else dtype, place)
        elif base is not None:
            below = sources.find(base)
            identity = identity | {"base": below.identity, "new_rows": new_rows}
            network = networks.summed(source, below, dtype, new_rows)
            network = networks.placed(network, network.dtype, place)
        else:
            network = networks.trained(source.folder, dtype, place)
    identity = identity | {"dtype": str(network.dtype).removeprefix("torch.")}
    return LanguageModel(name, network.eval().requires_grad_(False), tokenizer, identity)


def _check_options(dtype: str, untrained: int | None, base: str | Path | None, new_rows: str) -> None:
    if dtype not in DTYPES:
        raise ValueError(catalog.unknown("dtype", dtype, DTYPES))
    if new_rows not in networks.NEW_ROWS:
        raise ValueError(catalog.unknown("kind of new rows", new_rows, networks.NEW_ROWS))
    if base is not None and _published_base(base, new_rows)[0]:
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
        if importlib.util.find_spec("accelerate") is None:
            raise ImportError(
                "device 'auto' takes accelerate, which is not installed. Install it: pip install accelerate"
            )
        return device
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device {device!r} is not here: {str(error).splitlines()[0]}. Give 'cpu', one of the "
            f"{torch.cuda.device_count()} GPUs ('cuda:0', ...), 'auto', or nothing."
        ) from None
    return device


def _published_base(name: str | Path, new_rows: str) -> tuple[str | None, str]:
    """Base of a checkpoint that the catalog knows to be published as a difference, and how to extend it."""
    checkpoints = catalog.checkpoints()
    if not isinstance(name, str) or name not in checkpoints.index or pd.isna(checkpoints.delta_of[name]):
        return None, new_rows
    return checkpoints.delta_of[name], checkpoints.delta_rows[name]


def tokenizer_of(folder: Path) -> "PreTrainedTokenizerFast":
    """Tokenizer of a folder in Hugging Face's layout.

    Raises
    ------
    ValueError
        It has none, or none that is fast.
    """
    from transformers import AutoTokenizer

    remedy = (
        "A fast one knows which characters a token stands for. Where the slow one loads, convert it: save the "
        "folder's tokenizer with transformers and sentencepiece installed, which writes tokenizer.json."
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of any kind, from tokenizers' own to ImportError
        raise ValueError(f"{folder} has no tokenizer that can be loaded as a fast one: {error}. {remedy}") from error
    if not tokenizer.is_fast:
        raise ValueError(f"{folder} has a slow tokenizer, {type(tokenizer).__name__}. {remedy}")
    return tokenizer
