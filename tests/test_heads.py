"""Logits and losses of some tokens at a time are those that networks of many kinds give of whole texts."""

import pytest
import torch
import transformers as hub
from close import assert_close
from test_causality import HEADS, KINDS, SIZES, T5, network_of

from brainalign.llm.models import heads
from brainalign.llm.tuning.objective import IGNORED, losses_of
from brainalign.llm.tuning.training import Example, _inputs

# What scales or caps logits, or is no product of single states at all.
MORE = {
    "cohere": lambda: hub.CohereConfig(**SIZES, logit_scale=0.3),
    "granite": lambda: hub.GraniteConfig(**SIZES, logits_scaling=3.0),
    "gemma2-capped": lambda: hub.Gemma2Config(**HEADS, final_logit_softcapping=2.0),
    "t5-tied": lambda: hub.T5Config(**T5, tie_word_embeddings=True),
    "switch": lambda: hub.SwitchTransformersConfig(**T5, num_sparse_encoder_layers=0, num_sparse_decoder_layers=0),
}
EXAMPLES = [Example([5, 6, 7, 8], [9, 10, 11, 12, 13, 14]), Example([15, 16], [17, 18, 19]), Example([20], [21] * 4)]


@pytest.fixture
def network(request):
    network = network_of((KINDS | MORE)[request.param]())
    if network.config.is_encoder_decoder and getattr(network.config, "decoder_start_token_id", None) is None:
        network.config.decoder_start_token_id = 2  # not 0: some take that for padding
    return network


everywhere = pytest.mark.parametrize("network", [*KINDS, *MORE], indirect=True)


@everywhere
def test_logits_of_some_states_are_those_of_the_network(network):
    arguments, _ = _inputs(network, EXAMPLES)
    with torch.inference_mode():
        expected = network(**arguments, use_cache=False).logits
        head = heads.Head(network)
        rows = torch.tensor([0, 0, 1, 2]), torch.tensor([3, 1, 2, 0])
        assert_close(head.logits(head.states(**arguments)[rows]), expected[rows])


@pytest.mark.parametrize("network", sorted({*KINDS, *MORE} - {"rwkv"}), indirect=True)  # its own code has no gradients
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_losses_and_gradients_are_those_of_whole_logits(network, frozen, chunked, monkeypatch):
    arguments, labels = _inputs(network, EXAMPLES)
    weights = [weight.requires_grad_() for weight in network.parameters()]
    if frozen:
        network.get_output_embeddings().requires_grad_(False)
    logits = network(**arguments, use_cache=False).logits
    pairs = (logits, labels) if network.config.is_encoder_decoder else (logits[:, :-1], labels[:, 1:])
    loss = torch.nn.functional.cross_entropy(
        *(each.flatten(0, 1) for each in pairs), ignore_index=IGNORED, reduction="sum"
    )
    loss.backward()
    expected = [weight.grad for weight in weights]
    network.zero_grad()
    monkeypatch.setattr(heads, "MEMORY", 4 * network.config.get_text_config().vocab_size * 3)  # three tokens at once
    with losses_of(network, chunked):
        objective, nats = network(**arguments, labels=labels)
    objective.backward()
    assert nats == pytest.approx(loss.item(), rel=1e-5)
    scale = max(float(gradient.abs().max()) for gradient in expected if gradient is not None)
    for weight, gradient in zip(weights, expected, strict=True):
        assert (weight.grad is None) == (gradient is None)
        if gradient is not None:
            assert_close(weight.grad, gradient, scale=scale)


@pytest.mark.parametrize("network", ["gemma3", "t5"], indirect=True)
def test_there_are_never_more_logits_than_asked_for(network, monkeypatch):
    monkeypatch.setattr(heads, "MEMORY", 4 * 100 * 3)
    sizes = []
    with losses_of(network):
        network.get_output_embeddings().register_forward_hook(lambda head, given, logits: sizes.append(logits.numel()))
        arguments, labels = _inputs(network.requires_grad_(), EXAMPLES)
        network(**arguments, labels=labels)
    n = (labels != IGNORED).sum()
    assert max(sizes) == 3 * 100 and sum(sizes) == 100 * n


@pytest.mark.parametrize("network", ["switch"], indirect=True)
def test_a_network_whose_head_cannot_be_run_alone_is_run_whole(network):
    head = heads.Head(network)
    arguments, _ = _inputs(network, EXAMPLES)
    assert head.states(**arguments).shape[-1] == network.config.vocab_size
