"""Networks of less usual layouts, and what is refused when a model is loaded: against transformers' own outputs."""

import json

import numpy as np
import pytest
import test_causality as kinds
import tiny
import torch
import transformers as hub
from close import assert_close

from brainalign.human.recording import Passage
from brainalign.llm import activations, surprisal
from brainalign.llm.models import networks
from brainalign.llm.models.load import load

WORDS = ("Once", "upon", "a", "time", "there", "was", "a", "girl")
PASSAGES = [Passage("p", WORDS)]
EYE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
EYE |= {"image_size": 28, "patch_size": 14}


def saved(folder, config, make=tiny.llama):
    """Network of a configuration, which is given the size of the vocabulary, beside a tokenizer."""
    make(folder)
    config = config(len(hub.AutoTokenizer.from_pretrained(folder)))
    with networks.quiet():
        networks.fresh(config, 0).save_pretrained(folder)
    return folder


def gemma3(n):
    text = kinds.HEADS | {"vocab_size": n}
    return hub.Gemma3Config(text_config=text, vision_config=EYE, image_token_index=5, boi_token_index=6)


@torch.inference_mode()
@pytest.mark.parametrize(
    "config",
    [gemma3, lambda n: hub.OpenAIGPTConfig(**kinds.OLD | {"vocab_size": n})],
    ids=["gemma3", "openai-gpt"],
)
def test_a_causal_network_is_read_as_transformers_does(config, tmp_path):
    model = load(saved(tmp_path / "model", config))
    ids = model.tokenizer(" ".join(WORDS), return_tensors="pt").input_ids
    outputs = model.network(ids, output_hidden_states=True)
    lengths = [len(model.tokenizer(word, add_special_tokens=False).input_ids) for word in WORDS]
    expected = torch.stack(outputs.hidden_states)[:-1, 0, np.cumsum(lengths)]  # of the last, transformers has the norm
    assert_close(activations(model, PASSAGES)[:-1], expected)
    bits = -torch.log_softmax(outputs.logits[0, :-1].double(), -1).gather(1, ids[0, 1:, None]).sum() / np.log(2)
    assert float(surprisal(model, PASSAGES).sum()) == pytest.approx(float(bits), rel=1e-5)


def t5gemma(n):
    stack = kinds.HEADS | {"vocab_size": n, "bos_token_id": 1}
    return hub.T5GemmaConfig(encoder=dict(stack), decoder=dict(stack), vocab_size=n)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("config", "make", "start"),
    [(t5gemma, tiny.llama, 1), (lambda n: hub.T5Config(**kinds.T5 | {"vocab_size": n}), tiny.t5, 0)],
    ids=["t5gemma", "t5"],
)
def test_a_decoder_starts_as_its_class_does(config, make, start, tmp_path):
    model = load(saved(tmp_path / "model", config, make))
    assert model.config.decoder_start_token_id == start
    ids = model.tokenizer(" ".join(WORDS), return_tensors="pt").input_ids
    text = ids[:, ids[0].tolist().index(1) + 1 :] if make is tiny.llama else ids[:, :-1]
    front = [1] if make is tiny.llama else []
    read = torch.tensor([[start, *front, *text[0]]])
    logits = model.network(input_ids=ids, decoder_input_ids=read).logits[0, len(front) : -1].double()
    bits = -torch.log_softmax(logits, -1).gather(1, text[0, :, None]).sum() / np.log(2)
    assert float(surprisal(model, PASSAGES).sum()) == pytest.approx(float(bits), rel=1e-5)


def test_the_start_of_decoding_may_stand_with_the_settings_of_generation(tmp_path):
    folder = saved(tmp_path / "model", lambda n: hub.T5Config(**kinds.T5 | {"vocab_size": n}), tiny.t5)
    (folder / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": 7}))
    assert load(folder).config.decoder_start_token_id == 7


def edit(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "compressed-tensors"])
def test_quantized_weights_are_refused_in_a_sentence(method, tmp_path):
    folder = edit(tiny.llama(tmp_path / "model"), quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(ValueError, match=rf"were quantized \({method}\).* Load the model that they were made from"):
        load(folder)


def test_a_token_beyond_the_embedding_is_found_when_a_model_is_loaded(tmp_path):
    with pytest.raises(ValueError, match=r"has token 499 .* knows 450, from 0 on"):
        load(saved(tmp_path / "model", lambda n: hub.LlamaConfig(**kinds.SIZES | {"vocab_size": n - 50})))


def test_a_special_token_that_no_text_has_may_be_beyond_the_embedding(tmp_path):
    folder = tiny.llama(tmp_path / "model")
    expected = surprisal(load(folder), PASSAGES)
    tokenizer = hub.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    assert_close(surprisal(load(folder), PASSAGES), expected)


def test_a_network_without_blocks_is_named():
    with networks.quiet():
        network = networks.blank(kinds.KINDS["llama"]())
    network.model.layers = torch.nn.Identity()
    with pytest.raises(ValueError, match="a LlamaForCausalLM has no list of blocks"):
        networks.blocks(network)
