"""The probe of networks: tiny ones of many kinds pass, and those that look ahead, or at other texts, are refused."""

import numpy as np
import pytest
import tiny
import torch
import transformers as hub
from close import assert_close
from plain import beginning, bits_after

from brainalign.human.recording import Passage
from brainalign.llm import activations, surprisal
from brainalign.llm.models import causality, networks
from brainalign.llm.models.load import load

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
HEADS = SIZES | {"head_dim": 8}
EXPERTS = SIZES | {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 100, "initializer_range": 0.2}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "init_std": 0.2,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 100}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 16,
}
KINDS = {
    "gpt2": lambda: hub.GPT2Config(**OLD),
    "openai-gpt": lambda: hub.OpenAIGPTConfig(**OLD),
    "gptj": lambda: hub.GPTJConfig(**OLD, rotary_dim=4),
    "gpt-bigcode": lambda: hub.GPTBigCodeConfig(**OLD),
    "codegen": lambda: hub.CodeGenConfig(**OLD, rotary_dim=4),
    "ctrl": lambda: hub.CTRLConfig(**OLD, dff=64),
    "gpt-neox": lambda: hub.GPTNeoXConfig(**SIZES),
    "opt": lambda: hub.OPTConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=16
    ),
    "bloom": lambda: hub.BloomConfig(vocab_size=100, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
    "falcon-alibi": lambda: hub.FalconConfig(**SIZES, alibi=True),
    "mpt": lambda: hub.MptConfig(vocab_size=100, d_model=32, n_layers=2, n_heads=4, max_seq_len=64),
    "llama": lambda: hub.LlamaConfig(**SIZES),
    "mistral": lambda: hub.MistralConfig(**SIZES, sliding_window=4),
    "mixtral": lambda: hub.MixtralConfig(**SIZES, num_local_experts=4),
    "qwen2": lambda: hub.Qwen2Config(**SIZES),
    "qwen3": lambda: hub.Qwen3Config(**HEADS),
    "qwen3-moe": lambda: hub.Qwen3MoeConfig(**EXPERTS),
    "olmo2": lambda: hub.Olmo2Config(**SIZES),
    "gemma": lambda: hub.GemmaConfig(**HEADS),
    "gemma2": lambda: hub.Gemma2Config(**HEADS),
    "gemma3": lambda: hub.Gemma3TextConfig(**HEADS),
    "phi": lambda: hub.PhiConfig(**SIZES),
    "phi3": lambda: hub.Phi3Config(**SIZES),
    "phi3-longrope": lambda: hub.Phi3Config(**SIZES, rope_parameters=LONGROPE, original_max_position_embeddings=16),
    "stablelm": lambda: hub.StableLmConfig(**SIZES),
    "mamba": lambda: hub.MambaConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, state_size=4),
    "rwkv": lambda: hub.RwkvConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32),
    "t5": lambda: hub.T5Config(**T5),
    "t5gemma": lambda: hub.T5GemmaConfig(encoder=dict(HEADS), decoder=dict(HEADS), vocab_size=100),
    "bart": lambda: hub.BartConfig(**BART),
    "pegasus": lambda: hub.PegasusConfig(**BART),
}


def network_of(config):
    with networks.quiet():
        return networks.fresh(config, 0).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_reads_from_left_to_right_passes(kind):
    network = network_of(KINDS[kind]())
    causality.check(network)
    causality.check(network.to(torch.bfloat16))


@pytest.mark.parametrize(
    "config",
    [
        lambda: hub.XLNetConfig(d_model=32, n_layer=2, n_head=4, d_inner=64, vocab_size=100, initializer_range=0.2),
        lambda: hub.Gemma3TextConfig(**HEADS, use_bidirectional_attention=True),
    ],
    ids=["xlnet", "gemma3"],
)
def test_a_network_that_looks_ahead_is_refused(config):
    with pytest.raises(ValueError, match=r"(XLNetLMHeadModel|Gemma3ForCausalLM).* changes with later tokens"):
        causality.check(network_of(config()))


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_network_that_looks_at_the_length_of_what_is_beside_is_refused(kind, monkeypatch):
    network = network_of(KINDS[kind]())
    block = networks.blocks(network)["decoder." if kind == "t5" else ""][0]
    block.register_forward_hook(
        lambda block, arguments, output: (
            (output[0] * output[0].shape[1], *output[1:]) if isinstance(output, tuple) else output * output.shape[1]
        )
    )
    with pytest.raises(ValueError, match="changes with"):
        causality.check(network)


def test_a_network_that_tokens_alone_do_not_run_is_named(monkeypatch):
    network = network_of(KINDS["llama"]())
    monkeypatch.setattr(network, "forward", lambda **options: 1 / 0)
    with pytest.raises(ValueError, match=r"LlamaForCausalLM cannot be run on tokens alone: division by zero"):
        causality.check(network)


def test_a_model_is_probed_once_when_its_weights_are_read(tmp_path, monkeypatch):
    probed = []
    monkeypatch.setattr(causality, "check", probed.append)
    model = load(tiny.gpt2(tmp_path / "model"))
    assert not probed
    assert probed == [model.network] == [model.network] == probed


def test_a_probe_takes_few_tokens(monkeypatch):
    """Fewer than 2 % of the ten thousand words of the shortest reading times."""
    network, read = network_of(KINDS["llama"]()), []
    embedding = network.get_input_embeddings()
    embedding.register_forward_hook(lambda part, arguments, output: read.append(arguments[0].numel()))
    causality.check(network)
    assert sum(read) < 0.02 * 10_000


# Angles that depend on lengths


def phi3(folder, seed: int = 0):
    """The tokenizer of `tiny.llama`, and a network that rotates otherwise beyond 16 tokens."""
    tiny.llama(folder)
    words = len(hub.AutoTokenizer.from_pretrained(folder))
    sizes = SIZES | {"vocab_size": words, "bos_token_id": 1, "eos_token_id": 2}
    config = hub.Phi3Config(**sizes, rope_parameters=LONGROPE, original_max_position_embeddings=16)
    network_of(config).save_pretrained(folder)
    return folder


def test_values_do_not_depend_on_a_longer_passage_beside(tmp_path):
    model = load(phi3(tmp_path / "model"))
    assert model.n_positions == 16 and model.limited == {"positions": 16}
    short = Passage("short", ("Once", "upon", "a", "time"))
    long = Passage("long", tuple(tiny.TEXT.split()[:60]))
    expected = [
        bits_after(model, beginning(short, part), len(beginning(short, part - 1)) if part else 0) for part in range(4)
    ]
    for passages in ([short], [short, long], [long, short]):
        bits, states = surprisal(model, passages), activations(model, passages)
        assert_close(bits[bits.passage == "short"], expected)
        assert_close(states[:, states.passage == "short"], activations(model, [short]))
    whole = surprisal(model, [long])
    assert_close(surprisal(model, [short, long])[4:], whole)
    assert np.isfinite(whole).all() and whole.attrs["identity"]["positions"] == 16


@pytest.mark.parametrize("rope", ["default", "linear", "dynamic", "yarn", "llama3"])
def test_other_rotary_embeddings_read_as_much_as_they_say(rope):
    settings = {"rope_type": rope, "rope_theta": 10000.0, "factor": 2.0}
    settings |= {"original_max_position_embeddings": 32, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    kept = {"default": 2, "linear": 3, "dynamic": 3, "yarn": 4, "llama3": 6}[rope]
    with networks.quiet():
        config = hub.LlamaConfig(**SIZES, rope_parameters=dict(list(settings.items())[:kept]))
        network = networks.blank(config)
    assert networks.positions(network) == 64
    rotary = type(network.model.rotary_emb)(config)

    def angles(n):
        return rotary(torch.zeros(1), torch.arange(n)[None])[0][0, :4]

    torch.testing.assert_close(angles(64), angles(8))
    assert config.rope_parameters["rope_type"] == rope
