"""Networks of language models: with the weights of a folder, with fresh ones, or the sum of a base and a difference."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from brainalign import store
from brainalign.store.entries import locked

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.utils import ModelOutput

    from brainalign.llm.models.sources import Source

# Masks and tables that older checkpoints hold beside their weights; networks compute them.
BUFFERS = re.compile(
    r"attn\.(attention\.)?(masked_)?bias$|attention\.(masked_)?bias$|rotary_emb\.inv_freq$|position_ids$"
)
DEQUANTIZED = ("gguf", "mxfp4")  # formats of weights that transformers turns into plain ones as it reads them
# Options under which a network is loaded from files here, and what is wrong with its weights is told (`flaw`).
REPORTED = {"local_files_only": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
MOST_POSITIONS, PROBED = 1 << 20, 4  # tokens that are asked about where nothing sets a limit; first ones compared


def config_of(folder: Path) -> PreTrainedConfig:
    """Settings of a network that predicts words; raises ValueError for any other, or if they name its weights' file."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{folder / 'config.json'} describes no model that transformers {versions()['transformers']} knows "
            f"without running the model's own code, which is never done: {error}. Use a model that it knows."
        ) from error
    if getattr(config, "transformers_weights", None):
        raise ValueError(
            f"{folder / 'config.json'} names a file of its own for its weights ({config.transformers_weights}), which "
            "can be a pickle. Save them as model.safetensors, and delete that entry."
        )
    _require_unquantized(folder, config)
    architecture(config)
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = _decoder_start(folder, config)
    return config


def _require_unquantized(folder: Path, config: PreTrainedConfig) -> None:
    settings = getattr(config, "quantization_config", None) or {}
    method = (settings if isinstance(settings, dict) else settings.to_dict()).get("quant_method", "some method")
    if settings and method not in DEQUANTIZED:
        raise ValueError(
            f"{folder} holds weights that were quantized ({getattr(method, 'value', method)}), so that neither their "
            "precision nor what reads them is that of others. Load the model that they were made from, with "
            "dtype='bfloat16' where memory is short."
        )


def _decoder_start(folder: Path, config: PreTrainedConfig) -> int:
    """Token that starts decoding, where settings name none: by the class, for generation, or as all T5s."""
    import torch

    network = blank(config)
    try:
        return int(network.prepare_decoder_input_ids_from_labels(torch.ones((1, 1), dtype=torch.long))[0, 0])
    except (AttributeError, ValueError, TypeError, KeyError):  # the class asks for what is not there, too
        pass
    file = folder / "generation_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    start = settings.get("decoder_start_token_id")
    if start is None and hasattr(config, "relative_attention_num_buckets"):
        start = config.pad_token_id
    if start is None:
        raise ValueError(
            f"{folder / 'config.json'} names no token that starts decoding, nor does {type(network).__name__}. Add "
            "decoder_start_token_id there, as the model was trained."
        )
    return int(start)


def positions(network: PreTrainedModel) -> int | None:
    """Most tokens that a network reads at once and alike; None where nothing sets a limit.

    Some rotate by other angles as soon as any text beside is longer than what they were first trained on. They read no
    more than that, so that no text's values depend on the length of another, or of what follows.
    """
    limit = stated_positions(network.config)
    lengths = [
        _steady_length(module, limit or MOST_POSITIONS)
        for stack in stacks(network).values()
        for module in stack.modules()
        if any(name.endswith("inv_freq") for name, _ in module.named_buffers(recurse=False))
    ]
    steady = min(lengths, default=MOST_POSITIONS)
    return steady if steady < (limit or MOST_POSITIONS) else limit


def stated_positions(config: PreTrainedConfig) -> int | None:
    """Most tokens that a network reads at once, as its settings say; None where they set no limit."""
    config = config.get_text_config()
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    return next((int(limit) for limit in limits if limit and limit > 0), None)


def _steady_length(rotary: torch.nn.Module, most: int) -> int:
    """Tokens up to which a rotary embedding turns the first ones by the same angles, however many there are."""
    import torch

    if not hasattr(rotary, "config"):
        return most
    kinds = getattr(rotary, "rope_type", None)
    options = [{"layer_type": kind} for kind in kinds] if isinstance(kinds, dict) else [{}]

    def angles(n: int) -> torch.Tensor:
        # Anew each time: some keep the angles of the longest text that they have seen.
        fresh_rotary = type(rotary)(rotary.config)
        places = torch.cat([torch.arange(PROBED), torch.tensor([n - 1])])[None]
        turned = [fresh_rotary(torch.zeros(1), places, **option) for option in options]
        return torch.stack([part[0, :PROBED] for pair in turned for part in pair])

    with torch.device("cpu"):
        first = angles(PROBED)
        unequal = bisect_left(range(PROBED, most + 1), True, key=lambda n: not torch.allclose(angles(n), first))
    return PROBED + unequal - 1


def title(network: PreTrainedModel) -> str:
    """Name of a network's folder or file, where it has one, and its class."""
    name = Path(str(network.config.name_or_path)).name
    return f"{name} ({type(network).__name__})" if name else f"a {type(network).__name__}"


def fresh(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """Network of random weights in float32, drawn on the CPU as the architecture's code draws them.

    The caller's random numbers go on as if nothing had been drawn. Raises as `architecture`.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        return _built(config, dtype=torch.float32)


def blank(config: PreTrainedConfig) -> PreTrainedModel:
    """Network whose weights have shapes and no values yet, on torch's meta device; raises as `architecture`."""
    import torch

    with torch.device("meta"):
        return _built(config)


def _built(config: PreTrainedConfig, **options) -> PreTrainedModel:
    """Network of a class of transformers.

    The head of a T5 v1.1 (one that does not scale its outputs) is its own, as in every published one: transformers 5
    builds it tied to the embedding.
    """
    import torch

    network = architecture(config).from_config(config, **options)
    if getattr(config, "scale_decoder_outputs", None) is False:
        head = torch.empty_like(network.lm_head.weight).normal_(std=config.initializer_factor)
        network.lm_head.weight = torch.nn.Parameter(head)
        network.all_tied_weights_keys.pop("lm_head.weight", None)
    return network


def stacks(network: PreTrainedModel) -> dict[str, PreTrainedModel]:
    """A network's ``encoder.`` and ``decoder.``, or under an empty name that of one that only decodes.

    Of a network that sees too, what reads text.
    """
    if network.config.is_encoder_decoder:
        return {"encoder.": network.get_encoder(), "decoder.": network.get_decoder()}
    return {"": network.get_decoder()}


def blocks(network: PreTrainedModel) -> dict[str, torch.nn.ModuleList]:
    """Blocks of each of the `stacks`: the outermost list of modules in it."""
    from torch.nn import ModuleList

    lists = {
        name: next((module for module in stack.modules() if isinstance(module, ModuleList)), None)
        for name, stack in stacks(network).items()
    }
    if not all(lists.values()):  # no list, or an empty one
        raise ValueError(f"{title(network)} has no list of blocks whose states could be read off. Use another model.")
    return lists


def states_of(output: object) -> object:
    """States among what a block gives: all of it, or the first of several."""
    return output[0] if isinstance(output, (tuple, list)) else output


def run_without_head(
    network: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    decoder_input_ids: torch.Tensor | None = None,
) -> ModelOutput:
    """Compute the states of all blocks, which hooks may read, and no probabilities over the vocabulary.

    Gives what the decoder gives: first of all the states that the head would take, window x token x feature.
    """
    options = {"input_ids": input_ids}
    if network.config.is_encoder_decoder:
        encoded = network.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        options = {"input_ids": decoder_input_ids, "encoder_hidden_states": encoded}
        options |= {"encoder_attention_mask": attention_mask}
    return network.get_decoder()(**options, use_cache=False)


def precision(folder: Path, config: PreTrainedConfig) -> str:
    """Precision in which the weights of a folder are stored: as its config says, or its first weights are."""
    from safetensors import SafetensorError
    from transformers.modeling_utils import get_state_dict_dtype, load_state_dict

    stored = config.dtype
    if stored is None:
        first = min(folder.glob("model*.safetensors"))
        try:
            stored = get_state_dict_dtype(load_state_dict(first, map_location="meta"))  # its header alone
        except SafetensorError as error:
            raise _damaged(folder, error) from error
    return str(stored).removeprefix("torch.")


def trained(folder: Path, dtype: str, device: str) -> PreTrainedModel:
    """Network with the weights of a folder, all of them and no others; in a precision, or ``auto``, as it was stored.

    Raises ValueError where weights are damaged, missing or left over; or as `config_of`.
    """
    from safetensors import SafetensorError

    config = config_of(folder)
    options = {"use_safetensors": True, "trust_remote_code": False} | REPORTED
    try:
        network, report = architecture(config).from_pretrained(
            folder, config=config, dtype=dtype, **options, **_map(device)
        )
    except (SafetensorError, RuntimeError) as error:
        raise _damaged(folder, error) from error
    if problem := flaw(report, "config.json"):
        raise ValueError(f"{folder}{problem}. Save the whole model there, with its head and its own config.json.")
    return network if device == "auto" else network.to(device)


def flaw(report: dict, settings: str) -> str | None:
    """What is wrong with weights that were loaded, by transformers' report, as the rest of a sentence; None if nothing.

    Settings are what says which weights there must be.
    """
    leftover = {name for name in report["unexpected_keys"] if not BUFFERS.search(name)}
    if report["mismatched_keys"]:
        name, stored, expected = min(report["mismatched_keys"])
        return f": {name} has shape {tuple(stored)}, and by its {settings} {tuple(expected)}"
    if missing := report["missing_keys"]:
        return f" lacks weights that its {settings} asks for: {abridged(missing)}. They would be random"
    if leftover:
        return f" has weights that its {settings} does not ask for: {abridged(leftover)}. They would be left out"
    return None


def summed(source: Source, base_source: Source, dtype: str, new_rows: str) -> PreTrainedModel:
    """Network whose weights are those of a base plus published differences, added in float32 on the CPU.

    The precision of the sums may be ``auto``, that of the differences. New rows are what counts as the base's
    embeddings of tokens that only the differences have: ``zero``, as in FastChat's and StableVicuna's
    ``apply_delta.py``, or the ``mean`` of the others, as in Alpaca's ``weight_diff.py``. Raises ValueError where names
    or shapes do not fit.
    """
    import torch

    network, base = trained(source.folder, "auto", "cpu"), trained(base_source.folder, "auto", "cpu")
    # parameters() lists tied weights once: they must not be added twice.
    differences, originals = dict(network.named_parameters()), dict(base.named_parameters())
    unshared = differences.keys() ^ originals.keys()
    if unshared:
        raise ValueError(
            f"{source.name} is no difference to {base_source.name}: one of them lacks weights of the other: "
            f"{abridged(unshared)}. Give its own base."
        )
    embeddings = {id(part.weight) for part in (network.get_input_embeddings(), network.get_output_embeddings())}
    for name, difference in differences.items():
        original = originals[name].data.float()
        if id(difference) in embeddings and original.shape[1:] == difference.shape[1:]:
            original = _extended(original, len(difference), new_rows)
        if original.shape != difference.shape:
            raise ValueError(
                f"{source.name} is no difference to {base_source.name}: {name} has shape {tuple(difference.shape)} in "
                f"one and {tuple(original.shape)} in the other. Give its own base."
            )
        precision = difference.dtype if dtype == "auto" else getattr(torch, dtype)
        difference.data = (original + difference.data.float()).to(precision)
    return network


def placed(network: PreTrainedModel, dtype: str | torch.dtype, device: str) -> PreTrainedModel:
    """Network in another precision, but for the parts that its architecture keeps in float32, and on its device."""
    placed = type(network).from_pretrained(
        None, config=network.config, state_dict=network.state_dict(), dtype=dtype, **_map(device)
    )
    return placed if device == "auto" else placed.to(device)


def converted(kind: str, identity: dict, convert: Callable[[Path], None]) -> Path:
    """Folder in the store with a model of another format, which one process converts, once.

    The identity is all that tells it from others of its kind, as JSON. `convert` makes the folder with `writing`.
    """
    folder = store.root() / "models" / f"{kind}-{store.digest(identity)}"
    if not (folder / "config.json").exists():  # also where the store is read-only
        with locked(folder):
            if not (folder / "config.json").exists():
                convert(folder)
    return folder


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Fill a folder in Hugging Face's layout under a temporary name: it is there whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with quiet():
            yield temporary
        temporary.chmod(0o755)  # mkdtemp makes folders that only their owner reads
        temporary.replace(folder)
    finally:
        rmtree(temporary, ignore_errors=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from talking and drawing bars; what is wrong with a model is an error here, not a warning."""
    from transformers.utils import logging as chatter

    verbosity, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(logging.CRITICAL)
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(verbosity)
        if bars:
            chatter.enable_progress_bar()


def versions() -> dict[str, str]:
    """Versions that decide, too, which weights a seed gives."""
    import torch
    import transformers

    return {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}


def architecture(config: PreTrainedConfig):
    """Class that builds networks of this kind with their head; raises ValueError if it predicts no next words."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.models.auto import modeling_auto

    kind = config.model_type
    if config.is_encoder_decoder and kind in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return AutoModelForSeq2SeqLM
    # Models that fill in masks come with a causal head too, which nobody trained.
    fills_masks = kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if not config.is_encoder_decoder and kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not fills_masks:
        return AutoModelForCausalLM
    raise ValueError(
        f"{config.name_or_path or 'the model'} is of type {kind}, which predicts no next words: neither a causal "
        "language model nor an encoder-decoder of text. Use one of these."
    )


def _damaged(folder: Path, error: Exception) -> ValueError:
    return ValueError(
        f"the weights in {folder} cannot be loaded: {str(error).strip()}. If they are damaged, download or copy them "
        "again."
    )


def abridged(names: Collection[str]) -> str:
    """How many names, and the first of them."""
    return f"{len(names)} ({', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''})"


def _map(device: str) -> dict:
    return {"device_map": "auto"} if device == "auto" else {}


def _extended(rows: torch.Tensor, n_rows: int, new_rows: str) -> torch.Tensor:
    """Embeddings of a base with those of the tokens that a difference adds."""
    import torch

    filling = rows.mean(dim=0) if new_rows == "mean" else torch.zeros_like(rows[0])
    return torch.cat([rows, filling.expand(max(0, n_rows - len(rows)), -1)])
