"""Models in GGUF: made ones against the networks that they were written from, published ones against what they know."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from close import assert_close

from brainalign import store
from brainalign.llm.models import gguf, sources
from brainalign.llm.models.load import load
from brainalign.llm.models.networks import fresh

SMOLLM2, GEMMA = "smollm2-135m-instruct-q4_1", "gemma3-270m-q4_k_m"
PARTS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}
PARTS |= {"attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj"}
PARTS |= {"ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
WIDTH, HEADS, KV_HEADS, LAYERS = 64, 4, 2, 2
TEXTS = [
    "The old man had 12  apples\n\tand didn't say why",
    " x",
    "na\u00efve caf\u00e9 \u2014 \U0001f600",
    "line\n\nfeeds   ",
]
ENGLISH = """Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.
The committee met on Tuesday to discuss the new budget, which had been delayed because the finance minister was ill.
Children hear thousands of sentences every day, and the brain is looking for rules everywhere."""


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A byte-level tokenizer in Hugging Face's layout."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.gpt2(tmp_path_factory.mktemp("words")))


def network_of(kind, words, tied=False):
    from transformers import LlamaConfig, Qwen2Config

    settings = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": LAYERS, "vocab_size": len(words)}
    settings |= {"num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 128}
    settings |= {"initializer_range": 0.2, "tie_word_embeddings": tied, "rope_theta": 5000.0, "rms_norm_eps": 1e-5}
    return fresh({"llama": LlamaConfig, "qwen2": Qwen2Config}[kind](**settings), seed=0).eval()


def tensors_of(network, kind):
    """Weights under llama.cpp's names; it rotates neighboring entries of a Llama's queries and keys."""
    weights = {name: values.detach().numpy() for name, values in network.named_parameters()}
    tensors = {"token_embd.weight": weights["model.embed_tokens.weight"]}
    tensors["output_norm.weight"] = weights["model.norm.weight"]
    if "lm_head.weight" in weights:
        tensors["output.weight"] = weights["lm_head.weight"]
    for layer in range(LAYERS):
        for short, long in PARTS.items():
            for what in ("weight", "bias"):
                values = weights.get(f"model.layers.{layer}.{long}.{what}")
                heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(short)
                if kind == "llama" and heads:
                    values = values is not None and values.reshape(heads, 2, -1, WIDTH).swapaxes(1, 2).reshape(
                        -1, WIDTH
                    )
                if values is not None and values is not False:
                    tensors[f"blk.{layer}.{short}.{what}"] = values
    return tensors


def written(path, network, words, kind, precision="F32", cut="gpt-2", change=None):
    """A network and a tokenizer as llama.cpp's converter writes them; `change` may change writer and tensors before."""
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, quants

    writer, tensors = GGUFWriter(path, kind), tensors_of(network, kind)
    writer.add_file_type(LlamaFileType[{"F32": "ALL_F32"}.get(precision, f"MOSTLY_{precision}")])
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    pieces = words.convert_ids_to_tokens(range(len(words)))
    merges = json.loads(words.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(pieces)
    writer.add_token_types([3 if piece in words.all_special_tokens else 1 for piece in pieces])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(words.bos_token_id)
    writer.add_eos_token_id(words.eos_token_id)
    if change:
        change(writer, tensors)
    for name, values in tensors.items():
        quantization = GGMLQuantizationType["F32" if values.ndim == 1 else precision]
        writer.add_tensor(name, quants.quantize(values, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def quantize(network, precision):
    """Leave of the weights what their quantization does."""
    from gguf import GGMLQuantizationType, quants

    kind = GGMLQuantizationType[precision]
    for weights in network.parameters():
        if weights.ndim > 1:
            rounded = quants.dequantize(quants.quantize(weights.detach().numpy(), kind), kind)
            weights.data = torch.from_numpy(np.ascontiguousarray(rounded))


def logits(network, ids):
    with torch.inference_mode():
        return network(torch.tensor([ids])).logits[0].numpy()


def bits_a_token(model, text):
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        return model.network(ids, labels=ids).loss.item() / np.log(2)


# Made models


@pytest.mark.parametrize(
    ("kind", "tied", "precision"),
    [("llama", True, "F32"), ("llama", False, "Q8_0"), ("qwen2", False, "F32"), ("qwen2", True, "Q4_1")],
)
def test_a_model_gives_the_logits_of_the_network_it_was_written_from(tmp_path, words, kind, tied, precision):
    network = network_of(kind, words, tied)
    path = written(tmp_path / "made.gguf", network, words, kind, precision)
    model, ids = load(path), np.random.default_rng(0).integers(0, len(words), 40).tolist()
    quantize(network, precision)
    assert_close(logits(model.network, ids), logits(network, ids))
    assert (model.name, model.n_layers, model.n_positions, model.n_vocabulary) == ("made", LAYERS, 128, len(words))
    assert model.n_parameters == network.num_parameters()
    identity = {"sha256": store.checksum(path), "quantization": precision, "revision": gguf.REVISION}
    assert model.identity == {"gguf": identity, "dtype": "float32"}
    for text in TEXTS:
        assert model.tokenizer(text)["input_ids"] == words(text)["input_ids"]
        assert model.tokenizer.decode(model.tokenizer(text)["input_ids"]) == text
    half = load(path, dtype="bfloat16")
    assert {weights.dtype for weights in half.network.parameters()} == {torch.bfloat16}
    assert load(path, dtype="auto").network.dtype == torch.float32


@pytest.fixture
def made(tmp_path, words):
    """A small model in GGUF."""
    return written(tmp_path / "made.gguf", network_of("qwen2", words), words, "qwen2")


def test_a_model_is_converted_once_and_known_without(made, monkeypatch, tmp_path):
    source = sources.find(made)
    assert not list((tmp_path / "store").glob("models/*"))
    assert source.identity == sources.find(str(made), weights=False).identity
    folder = source.folder
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {file.name for file in folder.iterdir()} == names
    monkeypatch.setattr(gguf, "convert", None)
    copy = shutil.copy(made, tmp_path / "copy.gguf")
    assert sources.find(copy).folder == folder
    assert sources.is_local(str(made)) and sources.settings_of(str(made))["model_type"] == "qwen2"


def test_an_untrained_twin_has_other_weights_and_the_same_words(made):
    model, twin = load(made), load(made, untrained=0)
    assert twin.name == "made-untrained-0" and twin.identity["gguf"] == model.identity["gguf"]
    ids = model.tokenizer(ENGLISH)["input_ids"]
    assert twin.tokenizer(ENGLISH)["input_ids"] == ids
    assert np.abs(logits(model.network, ids[:20]) - logits(twin.network, ids[:20])).max() > 0.1


def test_a_conversion_that_was_killed_is_done_again(made, monkeypatch, tmp_path):
    with monkeypatch.context() as killed:
        killed.setattr("safetensors.torch.save_model", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load(made)
    assert not list((tmp_path / "store").rglob("config.json"))
    assert load(made).n_layers == LAYERS


def test_digits_are_cut_where_the_vocabulary_was_learned_so(tmp_path, words):
    path = written(tmp_path / "made.gguf", network_of("qwen2", words), words, "qwen2", cut="smollm")
    tokenizer = load(path).tokenizer
    assert tokenizer.tokenize("12 apples  3") == ["1", "2", *words.tokenize(" apples"), *words.tokenize("  "), "3"]


@pytest.mark.parametrize("first", [True, False])
def test_a_token_stands_first_where_the_file_says_so(tmp_path, words, first):
    def change(writer, tensors):
        writer.add_add_bos_token(first)

    path = written(tmp_path / "made.gguf", network_of("qwen2", words), words, "qwen2", change=change)
    ids = load(path).tokenizer("the old man")["input_ids"]
    assert ids == [words.bos_token_id] * first + words("the old man")["input_ids"]


# What is refused


def without_a_tensor(writer, tensors):
    del tensors["blk.1.ffn_up.weight"]


def with_a_tensor_more(writer, tensors):
    tensors["rope_freqs.weight"] = np.ones(8, "float32")


def with_a_smaller_tensor(writer, tensors):
    tensors["output_norm.weight"] = np.ones(32, "float32")


def with_longer_positions(writer, tensors):
    writer.add_rope_scaling_factor(8.0)


def in_parts(writer, tensors):
    writer.add_uint16("split.count", 3)


def of_another_tokenizer(writer, tensors):
    data = next(data for data in writer.kv_data if "tokenizer.ggml.model" in data)
    data["tokenizer.ggml.model"].value = "plamo2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_tensor, r"lacks weights that its metadata asks for: 1 \(model\.layers\.1\.mlp\.up_proj\.weight\)"),
        (with_a_tensor_more, r"tensors that transformers does not map: 1 \(rope_freqs\.weight\)"),
        (with_a_smaller_tensor, r"norm\.weight has shape \(32,\), and by its metadata \(64,\)"),
        (with_longer_positions, r"settings that transformers does not map: qwen2\.rope\.scaling\.factor"),
        (in_parts, r"one of 3 parts of a model\. Join them"),
        (of_another_tokenizer, r"its tokenizer cannot be mapped: .*plamo2"),
    ],
)
def test_what_would_be_left_out_or_random_is_named(tmp_path, words, change, message):
    path = written(tmp_path / "made.gguf", network_of("qwen2", words), words, "qwen2", change=change)
    with pytest.raises(ValueError, match=message) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not list((tmp_path / "store").rglob("config.json"))


def test_an_architecture_that_is_not_mapped_is_named(tmp_path, words):
    path = written(tmp_path / "made.gguf", network_of("qwen2", words), words, "rwkv6")
    with pytest.raises(ValueError, match=r"made\.gguf .*cannot map its architecture, rwkv6.*Hugging Face's layout"):
        load(path)


def test_a_way_to_cut_text_that_is_not_known_is_named(tmp_path, words):
    path = written(tmp_path / "made.gguf", network_of("qwen2", words), words, "qwen2", cut="superbpe")
    with pytest.raises(ValueError, match=r"made\.gguf .*its tokenizer cannot be mapped: it cuts text as superbpe\. "):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.99])
def test_a_file_that_is_cut_short_is_named(made, share):
    content = made.read_bytes()
    made.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"made\.gguf cannot be loaded as GGUF: .*etch it again") as error:
        load(made)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.gguf"):
        load(tmp_path / "none.gguf")
    with pytest.raises(ValueError, match="not on the hub, so it has no revision"):
        load(tmp_path / "none.gguf", revision="main")


# On the hub


def test_a_file_of_the_hub_is_taken_from_a_mirror_or_a_cache(made, tmp_path, monkeypatch):
    name = "org/model-GGUF/made.gguf"
    assert not sources.is_local(name)
    place = tmp_path / "mirror" / "huggingface.co/org/model-GGUF/resolve/v2/made.gguf"
    place.parent.mkdir(parents=True)
    shutil.copy(made, place)
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(tmp_path / "mirror"))
    assert sources.is_local(name, "v2") and not sources.is_local(name)
    assert load(name, revision="v2").name == name
    with pytest.raises(FileNotFoundError, match=r"made\.gguf \(revision main\) is neither in the mirror"):
        load(name)


# Published models


def published(mirror, name):
    from brainalign import catalog
    from brainalign.human import download

    (file,) = catalog.dataset(name).files.values()
    if download.find(file) is None:
        pytest.skip(f"the mirror has no {file.path}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "quantization"),
    [(SMOLLM2, (134_515_008, 30, 576, 8192), "Q4_1"), (GEMMA, (268_098_176, 18, 640, 32768), "Q4_K_M")],
)
def test_a_published_model_knows_english(mirror, name, shape, quantization):
    published(mirror, name)
    model = load(name)
    assert (model.n_parameters, model.n_layers, model.width, model.n_positions) == shape
    assert model.identity["gguf"]["quantization"] == quantization
    assert 2 < bits_a_token(model, ENGLISH) < 6
    assert bits_a_token(load(name, untrained=0), ENGLISH) > 12
    tokens = model.tokenizer.tokenize("the cat sat on the mat")
    assert [token.strip("\u0120\u2581") for token in tokens] == ["the", "cat", "sat", "on", "the", "mat"]
    assert model.tokenizer.decode(model.tokenizer(TEXTS[0])["input_ids"], skip_special_tokens=True) == TEXTS[0]
