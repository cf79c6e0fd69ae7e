"""Fuzzing tokenizers and networks: each token is of one part, and no passage's values depend on another's.

As `test_fuzz`, of which this has more examples, too, with `BRAINALIGN_FUZZ`.
"""

import warnings

import numpy as np
import pytest
import test_causality as kinds
import tiny
import transformers as hub
from close import assert_close
from fuzz import CELLS, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from test_layouts import saved

from brainalign.cli.commands import UNEXPLAINED
from brainalign.human.recording import Passage
from brainalign.llm import activations, surprisal
from brainalign.llm.models.load import load, tokenizer_of
from brainalign.llm.reading.tokens import ids_of_parts, join, tokenize

TOKENIZERS = {"gpt2": tiny.gpt2, "llama": tiny.llama, "t5": tiny.t5}
PARTS = st.sampled_from(tiny.TEXT.split()) | st.sampled_from(tiny.TEXT.split()) | CELLS
PASSAGES = st.lists(st.lists(PARTS, min_size=1, max_size=7), min_size=1, max_size=4)


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request, tmp_path_factory):
    return tokenizer_of(TOKENIZERS[request.param](tmp_path_factory.mktemp(request.param)))


@fuzzed(20)
@given(parts=st.lists(PARTS, min_size=1, max_size=8))
def test_every_token_is_of_one_part(parts, tokenizer):
    text = join(parts)
    tokens = tokenize(tokenizer, text)
    assert len(tokens.stops) == len(parts) and tokens.stops == sorted(tokens.stops)
    assert not tokens.ids or 0 <= tokens.stops[-1] <= len(tokens.ids)
    ids = ids_of_parts(tokenizer, [Passage("p", tuple(parts))])
    assert [number for part in ids for number in part] == tokens.ids[: tokens.stops[-1]]
    assert set(tokens.ids).isdisjoint(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


def sized(config, **more):
    return lambda n: config(**{**kinds.HEADS, **more, "vocab_size": n})


NETWORKS = {
    "gpt2": (lambda n: hub.GPT2Config(**kinds.OLD | {"vocab_size": n}), tiny.gpt2),
    "llama": (sized(hub.LlamaConfig), tiny.llama),
    "mistral, sliding": (sized(hub.MistralConfig, sliding_window=4), tiny.llama),
    "gemma3, sliding": (sized(hub.Gemma3TextConfig, sliding_window=4, num_hidden_layers=7), tiny.llama),
    "phi3, longrope": (
        sized(hub.Phi3Config, rope_parameters=kinds.LONGROPE, original_max_position_embeddings=16), tiny.gpt2),
    "mixtral": (sized(hub.MixtralConfig, num_local_experts=4), tiny.gpt2),
    "bloom": (
        lambda n: hub.BloomConfig(vocab_size=n, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
        tiny.llama),
    "t5": (lambda n: hub.T5Config(**kinds.T5 | {"vocab_size": n}), tiny.t5),
}  # fmt: skip


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, tmp_path_factory):
    config, make = NETWORKS[request.param]
    return load(saved(tmp_path_factory.mktemp("network") / "tiny", config, make))


def read(measure, model, passages):
    """Values of each part, the parts first; None where a passage is refused in a sentence that names it."""
    with warnings.catch_warnings(action="ignore"):
        try:
            values = measure(model, passages)
        except ValueError as error:
            assert not isinstance(error, UNEXPLAINED) and "passage" in str(error), error
            return None
    return values.transpose("part", ...).to_numpy()


@pytest.mark.parametrize("measure", [surprisal, activations])
@fuzzed(4)
@given(texts=PASSAGES)
def test_values_of_a_passage_do_not_depend_on_its_company(measure, texts, network):
    passages = [Passage(f"p{number}", tuple(parts)) for number, parts in enumerate(texts)]
    alone = [read(measure, network, [passage]) for passage in passages]
    good = [number for number, values in enumerate(alone) if values is not None]
    if len(good) < len(passages):
        assert read(measure, network, passages) is None
    for order in (good, good[::-1]):
        if order:
            together = read(measure, network, [passages[number] for number in order])
            assert_close(together, np.concatenate([alone[number] for number in order]))
