"""Models in GGUF, the one file of llama.cpp, as folders in Hugging Face's layout.

transformers reads the file: it unpacks weights of any quantization, and rebuilds settings and tokenizer from the
metadata. What it cannot map it leaves out without a word, so that all of the file is held against what was made of it.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from brainalign import store
from brainalign.llm.models import networks

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

REVISION = 1  # of what `convert` writes; a new one leaves converted models behind
OTHER_FORMAT = "Load the model in Hugging Face's layout instead: its hub id, or a folder."
SPLIT = "split.count"  # files over which a model is spread
# What transformers does not read, and need not: what shapes of weights say, and notes on how the file was made.
SAID_BY_SHAPES = ("vocab_size", "attention.key_length", "attention.value_length", "expert_feed_forward_length")
SAID_BY_SHAPES += ("expert_shared_feed_forward_length",)
NOTES = ("tensor_data_layout", "rope.scaling.finetuned", "rope.scaling.original_context_length")
# Values that change nothing, by the end of their keys.
NEUTRAL = {"rope.scaling.type": "none", "rope.scaling.factor": 1.0, "attention.causal": True}
# How byte-level vocabularies cut a text, beside what transformers knows: as GPT-2's, or that with each digit by itself.
AS_GPT2 = ("gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais")
WITH_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell")
# As Llama 3's: a piece of the vocabulary is a token, however it could be merged, and ``bos`` stands in front.
AS_LLAMA3 = ("llama3", "llama-v3", "llama-bpe", "tekken")


def identify(path: Path) -> dict:
    """What tells a file from any other: its checksum, and the quantization that it names, as JSON; nothing is unpacked.

    Raises FileNotFoundError if there is no such file, ValueError if it is no GGUF.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}. Give a .gguf file.")
    checksum = store.checksum(path)
    return {"sha256": checksum, "quantization": _quantization(path, checksum), "revision": REVISION}


def converted(path: Path) -> Path:
    """Folder in the store with the model of a file, converted once; raises as `identify` and `convert`."""
    return networks.converted("gguf", identify(path), lambda folder: convert(path, folder))


def convert(path: Path, folder: Path) -> None:
    """Write the model of a file as a folder, in float32: whole or not at all.

    Raises
    ------
    ValueError
        The file is no GGUF, cut short, or a part of one; its architecture, one of its tensors, one of its settings or
        its tokenizer cannot be mapped; or weights are missing.
    """
    from safetensors.torch import save_model

    metadata = _require_whole(path)
    with networks.quiet():
        tokenizer, network = _tokenizer(path), _network(path, metadata)
    with networks.writing(folder) as temporary:
        save_model(network, str(temporary / "model.safetensors"), metadata={"format": "pt"})
        tokenizer.save_pretrained(temporary)
        network.config.save_pretrained(temporary)


@cache
def _quantization(path: Path, checksum: str) -> str:
    """Kind of most weights, such as ``Q4_1``, as the file says."""
    from gguf import LlamaFileType

    number = _metadata(path).get("general.file_type")
    try:
        return LlamaFileType(number).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return "unstated" if number is None else f"kind {number}"


def _metadata(path: Path) -> dict:
    """What the file says of its model; of long lists of texts, their length."""
    from transformers.integrations.gguf import read_gguf_metadata

    try:
        return read_gguf_metadata(str(path))[0]
    except (ValueError, struct.error, IndexError, MemoryError) as error:  # whatever follows from a wrong length
        raise _refused(path, f"its metadata cannot be read: {_first_line(error)}", "Fetch it again.") from None


def _require_whole(path: Path) -> dict:
    """Metadata of a file that holds all of a model's tensors."""
    metadata = _metadata(path)
    if metadata.get(SPLIT, 1) > 1:
        problem = f"it is one of {metadata[SPLIT]} parts of a model"
        raise _refused(path, problem, "Join them (llama.cpp: llama-gguf-split --merge), and load the whole.")
    try:
        sizes, expected = _tensors(path)
    except ValueError as error:
        problem = f"its tensors cannot be read: {_first_line(error)}"
        raise _refused(path, problem, "Fetch it again, or take another quantization.") from None
    if path.stat().st_size < expected:
        problem = f"it has {path.stat().st_size} bytes, and by its list of tensors at least {expected}"
        raise _refused(path, problem, "It is cut short: fetch it again.")
    return metadata | {"tensors": sizes}


def _tensors(path: Path) -> tuple[dict[str, int], int]:
    """How many numbers each tensor of a file holds, and how many bytes the file has at least."""
    from gguf import GGUFReader
    from transformers.integrations.gguf import GgufHeader

    try:
        header = GgufHeader.from_file(str(path))
    except ValueError:  # a quantization that it does not know; the other reader is slow
        tensors = GGUFReader(path).tensors
        return {tensor.name: tensor.n_elements for tensor in tensors}, path.stat().st_size
    end = header.data_start + max((tensor.offset + tensor.nbytes for tensor in header.tensors), default=0)
    return {tensor.name: prod(tensor.shape) for tensor in header.tensors}, end


def _network(path: Path, metadata: dict) -> PreTrainedModel:
    """Network with all weights of a file, and no others."""
    from transformers import AutoConfig

    kind = metadata["general.architecture"]
    try:
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        network, report = networks.architecture(config).from_pretrained(
            path.parent, gguf_file=path.name, config=config, dtype="float32", **networks.REPORTED
        )
    except Exception as error:  # of any kind: the reader asks for what is not there
        problem = f"transformers cannot map its architecture, {kind}: {_first_line(error)}"
        raise _refused(path, problem, OTHER_FORMAT) from error
    unread = _unread(kind, metadata, config)
    problem = f" has settings that transformers does not map: {', '.join(unread)}" if unread else None
    problem = problem or networks.flaw(report, "metadata") or _left_out(metadata["tensors"], network)
    if problem:
        raise _refused(path, f"it{problem}", OTHER_FORMAT)
    config = network.config
    for setting in ("quantization_config", "_model_name_or_path"):  # of what is kept as it is, and where that was
        vars(config).pop(setting, None)
    config.architectures, config.dtype = [type(network).__name__], "float32"
    return network


def _unread(kind: str, metadata: dict, config: PreTrainedConfig) -> list[str]:
    """Settings of a network that transformers does not read, and that may change what it computes."""
    from transformers.integrations import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS

    if kind in GGUF_CONFIG_ARCHS:  # by a function for this architecture, which asks for all
        return []
    by_kind = {re.sub("[_-]", "", name): keys for name, keys in GGUF_CONFIG_MAPPING.items()}
    read, unread = by_kind.get(re.sub("[_-]", "", kind), {}), []
    for name, value in metadata.items():
        key = name.removeprefix(f"{kind}.")
        if key == name or key in (*SAID_BY_SHAPES, *NOTES) or NEUTRAL.get(key) == value:
            continue
        if key == "rope.dimension_count" and read.get(key) is None:
            is_same = value == _rotated(config)
        else:
            is_same = key in read or getattr(config, key, None) == value
        if not is_same:
            unread.append(name)
    return unread


def _rotated(config: PreTrainedConfig) -> int:
    """Entries of a head that are rotated by their position."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    parameters = getattr(config, "rope_parameters", None) or {}
    return round(width * parameters.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", 1.0)))


def _left_out(sizes: dict[str, int], network: PreTrainedModel) -> str | None:
    """Tensors of a file, by how many numbers they hold, of which not all are in a network, as the rest of a sentence.

    Each number has one place, however tensors are cut or joined; a head that is the embedding's copy needs none.
    """
    from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

    if network.config.tie_word_embeddings:
        sizes = {name: size for name, size in sizes.items() if name != "output.weight"}
    if sum(sizes.values()) == network.num_parameters():
        return None
    with suppress(NotImplementedError):  # of an architecture that is mapped otherwise
        mapped = get_gguf_hf_weights_map(network, TensorProcessor())
        sizes = {name: size for name, size in sizes.items() if name not in mapped}
    return f" has tensors that transformers does not map: {networks.abridged(sizes)}. They would be left out"


def _tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Tokenizer of a file, which cuts text as llama.cpp does."""
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    try:
        kind, pieces, settings = get_gguf_tokenizer(str(path))
        backend, _ = convert_gguf_tokenizer(kind, pieces)
        if pieces["tokenizer_type"] == "gpt2":
            _cut_bytes(backend, pieces.get("pre_tokenizer_type", "gpt-2" if kind == "gpt2" else None), settings)
        elif not kind.startswith("gemma"):  # whose tokenizers never begin with a space, whatever files say
            _require_same_beginning(backend, pieces.get("add_prefix_space", True))
        if backend.get_vocab_size() != len(pieces["tokens"]):
            raise ValueError(f"of {len(pieces['tokens'])} tokens it would have {backend.get_vocab_size()}")
        return PreTrainedTokenizerFast(tokenizer_object=backend, **settings)
    except Exception as error:  # of any kind: the reader asks for what is not there
        raise _refused(path, f"its tokenizer cannot be mapped: {_first_line(error)}", OTHER_FORMAT) from error


def _cut_bytes(backend: Tokenizer, kind: str | None, settings: dict) -> None:
    """Have a byte-level tokenizer cut text before it merges as its vocabulary was learned.

    transformers takes all that it does not know for GPT-2's.
    """
    from tokenizers import pre_tokenizers
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if kind in WITH_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    elif kind not in (*AS_GPT2, *GGUF_PRE_TOKENIZER_SPLITS):
        raise ValueError(f"it cuts text as {kind or 'nothing says (no tokenizer.ggml.pre)'}")
    if kind in AS_LLAMA3:
        backend.model.ignore_merges = True
        settings.setdefault("add_bos_token", True)


def _require_same_beginning(backend: Tokenizer, with_space: bool) -> None:
    """See that a space is put in front of a text where the file says so."""
    first = backend.encode("a", add_special_tokens=False).tokens[0]
    if first.startswith("▁") != with_space:
        raise ValueError(f"a text would begin {'without' if with_space else 'with'} a space, unlike by its metadata")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _refused(path: Path, problem: str, remedy: str) -> ValueError:
    return ValueError(f"{path} cannot be loaded as GGUF: {problem}. {remedy}")
