"""Sizes of architectures against formulas, networks that were traced whole, and passes that were run."""

import json

import pytest
import torch
import transformers

from brainalign import catalog, store
from brainalign.llm.models import architectures, networks

LENGTHS = (3, 40, 700)


def settings_of(config):
    return json.loads(json.dumps(config.to_dict(), default=str))


def by_hand(shape: dict, tokens: int, head: bool) -> float:
    """Operations of a pass by the arithmetic of a Transformer's products, as papers have it."""
    match shape["model_type"]:
        case "gpt2":
            width, blocks, heads, stacks = shape["n_embd"], shape["n_layer"], shape["n_head"], 1
            features, groups, inner, products = width // heads, heads, 4 * width, 2
        case "t5":
            width, blocks, heads, stacks = shape["d_model"], shape["num_layers"], shape["num_heads"], 2
            features, groups, inner, products = shape["d_kv"], heads, shape["d_ff"], 3
        case _:
            width, blocks, heads, stacks = (
                shape["hidden_size"],
                shape["num_hidden_layers"],
                shape["num_attention_heads"],
                1,
            )
            features, groups = shape.get("head_dim", width // heads), shape["num_key_value_heads"]
            inner, products = shape["intermediate_size"], 3
    attentions = blocks * (1 if stacks == 1 else 3)  # of the encoder, of the decoder, and of the one to the other
    weights = attentions * 2 * width * features * (heads + groups) + stacks * blocks * products * width * inner
    between = 2 * attentions * heads * features * tokens
    return 2.0 * tokens * (weights + between + (shape["vocab_size"] * width if head else 0))


@pytest.mark.parametrize(
    "name", ["gpt2", "gpt2-xl", "llama-7b", "t5-v1_1-base", "gemma-2b", "qwen2.5-0.5b", "smollm2-360m"]
)
def test_operations_are_those_of_the_closed_formula(one_store, name):
    shape = catalog.architectures()[name]
    network = architectures.from_settings(shape)
    for tokens in LENGTHS:
        for head in (False, True):
            assert network.flops(5, tokens, head) == pytest.approx(5 * by_hand(shape, tokens, head), rel=1e-9)


def test_of_experts_those_count_to_which_a_token_is_routed():
    config = transformers.MixtralConfig(
        vocab_size=99, hidden_size=32, intermediate_size=50, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=8, num_experts_per_tok=2,
    )  # fmt: skip
    network = architectures.from_settings(settings_of(config))
    attention, router, expert = 2 * 32 * 8 * (4 + 2), 32 * 8, 3 * 32 * 50
    assert network.linear == 2 * 3 * (attention + router + 2 * expert)
    assert network.quadratic == 4 * 3 * 4 * 8
    assert network.parameters == 2 * 99 * 32 + 3 * (attention + router + 8 * expert + 2 * 32) + 32


TEXT = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "head_dim": 8,
        "num_key_value_heads": 2, "sliding_window": 16, "num_hidden_layers": 7}  # fmt: skip
SEES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 28,
        "patch_size": 14}  # fmt: skip
FACTORS = ("long_factor", "short_factor")
CONFIGS = {
    "alternating": transformers.Gemma3TextConfig(**TEXT),
    "sees": transformers.Gemma3Config(text_config=TEXT, vision_config=SEES),
    "experts": transformers.MixtralConfig(**TEXT, num_local_experts=4),
    "two stacks": transformers.T5GemmaConfig(encoder=TEXT, decoder=TEXT | {"cross_attention_hidden_size": 32}),
    "relative": transformers.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=4, num_heads=4, vocab_size=99),
    "long": transformers.Phi3Config(
        **TEXT, pad_token_id=0, max_position_embeddings=8192, original_max_position_embeddings=64,
        rope_parameters={"rope_type": "longrope", "rope_theta": 1e4} | dict.fromkeys(FACTORS, [1.0] * 4)),
    "few positions": transformers.GPT2Config(n_embd=32, n_layer=4, n_head=4, n_positions=64, vocab_size=99),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_blocks_that_are_alike_and_lengths_between_are_counted_as_if_traced(name):
    config = architectures.configured(settings_of(CONFIGS[name]))
    config._experts_implementation = architectures.ROUTED
    found = architectures.from_settings(settings_of(CONFIGS[name]))
    lengths = [n for n in LENGTHS if n <= (found.positions or n)]
    for tokens, counted in architectures.operations(networks.blank(config).eval(), lengths).items():
        assert found.flops(1, tokens) == pytest.approx(counted, rel=1e-9)
    assert found.widths == (32,) * len(found.widths)


@pytest.mark.parametrize("name", ["alternating", "sees", "two stacks", "relative"])
def test_operations_are_those_of_a_pass_that_is_run(name):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    found, network = (
        architectures.from_settings(settings_of(CONFIGS[name])),
        networks.fresh(CONFIGS[name], seed=0).eval(),
    )
    ids = torch.arange(40)[None]
    fed = {"decoder_input_ids": ids} if found.encoder_decoder else {}
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(input_ids=ids, use_cache=False, **fed)
    assert found.flops(1, 40, head=True) == pytest.approx(counter.get_total_flops(), rel=1e-9)
    assert found.parameters == sum(weights.numel() for weights in network.parameters())


def test_sizes_are_kept_in_the_store_and_where_nothing_can_be_kept_counted_again(monkeypatch, tmp_path):
    architectures._from_settings.cache_clear()
    shape = settings_of(CONFIGS["few positions"])
    first = architectures.from_settings(shape)
    assert len(list((store.root() / "architectures").glob("*.safetensors"))) == 1
    architectures._from_settings.cache_clear()
    counted = []
    plain = architectures._counted
    monkeypatch.setattr(architectures, "_counted", lambda settings: counted.append(1) or plain(settings))
    assert architectures.from_settings(shape) == first and counted == []
    architectures._from_settings.cache_clear()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "file"))
    assert architectures.from_settings(shape) == first and counted == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no class for models of type None"),
        (
            {"model_type": "telepathy"},
            "transformers .* has no class for models of type 'telepathy', and a model's own code",
        ),
        ({"model_type": "bert"}, "of type bert, which predicts no next words"),
        ({"model_type": "llama", "hidden_size": "wide"}, "transformers refuses these settings of a llama"),
        (
            {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "head_dim": 0},
            "what a llama takes cannot be counted without weights",
        ),
    ],
)
def test_what_cannot_be_counted_says_why(settings, message):
    with pytest.raises(ValueError, match=message):
        architectures.from_settings(settings)


def test_operations_that_are_no_polynomial_are_refused():
    with pytest.raises(ValueError, match=r"do not grow with tokens and their square.*takes 4, and it takes 9"):
        architectures._polynomial((1, 2, 4), {1: 1, 2: 2, 4: 9})
