"""A plan against networks that were built, passes whose operations were counted, and files that were written."""

import json
import math
from dataclasses import replace
from functools import cache

import pandas as pd
import pytest
import tiny

from brainalign import catalog, llm, store
from brainalign import study as studies
from brainalign.human.recording import Passage
from brainalign.llm import arithmetic, benchmarks
from brainalign.study import plan, texts
from brainalign.study.settings import LoadedModel
from brainalign.study.texts import Text

CHECKPOINTS = catalog.checkpoints()
SENTENCES = [line.split(" ") for line in tiny.TEXT.splitlines()]
PASSAGES = [Passage(f"p{n}", tuple(words)) for n, words in enumerate(SENTENCES)]
TEXT = [Text("states", False, [[1] * len(p.parts) for p in PASSAGES], PASSAGES)]
SCORED = [Text("words", True, [[1] * len(p.parts) for p in PASSAGES], PASSAGES)]


def counted(run):
    """What a function returns, and the operations of its products, as torch counts them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # The counter does not know the CPU's own kernel of attention: it sees its products where they are written out.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        found = run()
    return found, counter.get_total_flops()


# --- parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHECKPOINTS.index)
def test_parameters_of_every_checkpoint_are_the_published_ones(name):
    model = CHECKPOINTS.loc[name]
    network = arithmetic.of(catalog.architectures()[model.config])
    assert network.parameters == model.parameters
    assert (network.width, network.encoder + network.decoder) == (model.width, model.layers)


@pytest.mark.parametrize("name", catalog.architectures())
def test_parameters_are_those_of_the_network_that_transformers_builds(name):
    import torch
    from transformers import AutoConfig

    from brainalign.llm.networks import fresh

    settings = dict(catalog.architectures()[name])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        network = fresh(config, seed=0)
    assert arithmetic.of(catalog.architectures()[name]).parameters == sum(w.numel() for w in network.parameters())


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "t5", "d_model": 32, "d_kv": 4, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99},
        {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 50,
         "n_positions": 9, "vocab_size": 99},
        {
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 50, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 99, "attention_bias": True,
            "mlp_bias": True,
        },
        {
            "model_type": "mistral", "hidden_size": 32, "intermediate_size": 50, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 99,
        },
        {
            "model_type": "gpt_neox", "hidden_size": 32, "intermediate_size": 50, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 99, "attention_bias": False,
        },
    ],
    ids=lambda settings: settings["model_type"],
)  # fmt: skip
def test_settings_that_no_checkpoint_of_the_catalog_has(settings):
    import torch
    from transformers import AutoConfig

    from brainalign.llm.networks import fresh

    rest = {key: value for key, value in settings.items() if key != "model_type"}
    with torch.device("meta"):
        network = fresh(AutoConfig.for_model(settings["model_type"], **rest), seed=0)
    assert arithmetic.of(settings).parameters == sum(weights.numel() for weights in network.parameters())


def test_an_architecture_without_arithmetic_is_named():
    with pytest.raises(LookupError, match=r"unknown architecture 'llamma'\. Did you mean llama"):
        arithmetic.of({"model_type": "llamma"})


# --- operations and bytes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned():
    """Plan of any study, and what it asks of a scheduler, made once."""

    @cache
    def make(name):
        study = studies.load(name)
        return plan.of(study), plan.resources(study)

    return make


@pytest.mark.parametrize("shape", [tiny.gpt2, tiny.llama, tiny.t5])
def test_operations_and_bytes_are_those_of_a_run(tmp_path, write, shape):
    study, model = write(""), llm.load(shape(tmp_path / "model"), device="cpu")
    entry = LoadedModel(load=str(tmp_path / "model"))
    for read, run in ((TEXT, llm.activations), (SCORED, llm.surprisal)):
        found, expected = counted(lambda run=run: run(model, PASSAGES))
        cost = plan.cost_of(study, entry, read, device="cpu")
        assert cost.counted and cost.network.parameters == model.n_parameters
        assert cost.flops == pytest.approx(expected, rel=0.02)
        if run is llm.activations:
            assert cost.store == found.nbytes
            (path,) = (store.root() / "activations").glob("*.safetensors")
            assert path.stat().st_size == pytest.approx(cost.store, rel=0.1, abs=4000)  # and a record
    weights = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert sum(cost.download.values()) == pytest.approx(weights, rel=0.1)


def test_texts_are_as_the_catalog_describes_them(mirror):
    """Texts of the sample study: passages, parts and words are those that the catalog describes."""
    study = studies.load("sample").model_copy(update={"benchmarks": []})
    for described, real in zip(texts.of(study, load=False), texts.of(study), strict=True):
        assert described.passages is None and real.passages is not None
        assert described.parts == real.parts
        assert len(described.words) == len(real.words)
        assert sum(map(sum, described.words)) == pytest.approx(sum(map(sum, real.words)))


def test_benchmarks_are_read_too_as_many_of_their_questions_as_are_asked(mirror):
    study = studies.load("paper")
    asked = {text.name: text for text in texts.of(study, load=False)}
    assert asked["mmlu.standard"].parts == catalog.dataset("mmlu").counts["questions"]
    assert {"mmlu.instruct-eval", "bbh.standard", "bbh.instruct-eval", "wikitext2"} <= set(asked)
    few = {text.name: text.parts for text in texts.of(study.model_copy(update={"items": 2}), load=False)}
    assert few["mmlu.standard"] == 2 * catalog.dataset("mmlu").counts["subjects"]
    assert few["bbh.standard"] == 2 * catalog.dataset("bbh").counts["files"]
    documents = benchmarks.wikitext2()
    assert (len(documents), sum(len(text.split()) for text in documents)) == (
        asked["wikitext2"].parts,
        pytest.approx(sum(map(sum, asked["wikitext2"].words))),
    )


def test_tuning_asks_for_cards_that_hold_weights_gradients_and_moments(planned):
    _, asked = planned("paper")
    size = catalog.checkpoints().parameters["llama-7b"]
    card = plan.USABLE * catalog.accelerators()["cards"][plan.CARD]["memory"] * plan.GIB
    assert asked["llama-7b-instruction-0"].gpus == math.ceil(plan.TRAINING * size / card) > asked["llama-7b"].gpus
    assert asked["llama-7b-instruction-0"].minutes > asked["llama-7b"].minutes


def beginning(text: Text, n: int = 300) -> Text:
    """The first parts of each passage: an encoder reads every one anew."""
    passages = [Passage(passage.id, passage.parts[:n]) for passage in text.passages]
    return replace(text, words=[words[:n] for words in text.words], passages=passages)


@pytest.mark.parametrize("shape", ["gpt2", "t5-v1_1-base", "llama-7b"])
def test_estimated_operations_are_those_of_counted_tokens(tmp_path, mirror, shape):
    from brainalign.human.download import fetch
    from brainalign.llm.load import tokenizer_of

    merges = fetch(catalog.dataset("gpt2_merges").file("weights/tokenization/vocab.bpe"))
    tokenizer = tokenizer_of(tiny.gpt2(tmp_path / "model", merges=merges, positions=1024))
    network = arithmetic.of(catalog.architectures()[shape])
    for text in map(beginning, texts.of(studies.load("sample").model_copy(update={"benchmarks": []}))):
        estimated, exact = (
            texts.flops(network, text, texts.lengths(text, network, way), "cuda") for way in (None, tokenizer)
        )
        assert estimated == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("shape", ["gpt2", "t5-v1_1-small"])
def test_estimate_of_a_text_agrees_with_its_words(shape):
    network = arithmetic.of(catalog.architectures()[shape])
    story = Text("story", False, [[1.0] * 400])
    found = texts.lengths(story, network)
    whole = round(400 * texts.RATE) + texts.SPECIAL
    assert list(found) == ([whole] if shape == "gpt2" else [1 + min(510, round(n * texts.RATE)) for n in range(1, 401)])
    assert texts.lengths(Text("story", True, [[1.0] * 400]), network) == (whole,)


def test_twins_download_nothing_and_differences_two_checkpoints(write):
    study = write("recordings: [brennan2016]\nmodels: [alpaca-7b, {load: llama-7b, untrained: 0}]")
    table = plan.of(study)
    assert table.files["alpaca-7b"] == {"alpaca-7b": 4 * 6738415616, "llama-7b": 2 * 6738415616}
    assert table.download["llama-7b-untrained-0"] == 0
    assert table.host["llama-7b-untrained-0"] > 4 * 6738415616


# --- plans ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", studies.names())
def test_every_study_has_a_plan_and_resources(name, planned):
    study = studies.load(name)
    table, asked = planned(name)
    assert list(asked) == studies.measured(study)
    assert all(found.memory_mb > 0 and found.minutes > 0 for found in asked.values())
    origins = {name: member.about["origin"] for name, member in studies.members(study).items()}
    assert all(found.gpus == 0 for model, found in asked.items() if origins[model] not in ("model", "tuning"))
    published = table[table.state != "trained here"]
    assert (published[["parameters", "flops", "memory", "host", "store"]] > 0).all(axis=None)
    assert table.state.isin(["to fetch", "here", "done", "trained here"]).all()


def test_the_paper_is_complete(planned):
    study = studies.load("paper")
    names = set(studies.models(study).index)
    assert names >= set(CHECKPOINTS.index[CHECKPOINTS.group != "laptop"])
    table = studies.models(study)
    tuned = CHECKPOINTS[(CHECKPOINTS.kind == "instruction-tuned") & CHECKPOINTS.index.isin(names)]
    assert table.vanilla[tuned.index].to_dict() == tuned.vanilla.to_dict()
    found = planned("paper")[0].parameters[CHECKPOINTS.index.intersection(list(names))]
    assert found.to_dict() == CHECKPOINTS.parameters[found.index].to_dict()


def test_cards_hold_a_model_or_say_how_many_do(write):
    study = write("recordings: [blank2014]\nmodels: [{load: llama-33b, dtype: float16, device: auto}]")
    by_card = {card: plan.of(study, card).cards for card in ("H200", "A100", "V100")}
    assert by_card["H200"]["llama-33b"] == by_card["A100"]["llama-33b"] == 1
    assert by_card["V100"]["llama-33b"] == 3
    assert plan.resources(study, memory=32)["llama-33b"].gpus == 3
    assert plan.of(study, "cpu").cards.eq(0).all()


def test_hours_follow_the_rate(write):
    study = write("recordings: [brennan2016]\nmodels: [gpt2-small]")
    given = plan.of(study, rate=1e12)
    assert given.hours["gpt2-small"] == pytest.approx(given.flops["gpt2-small"] / 1e12 / 3600)
    with pytest.raises(LookupError, match=r"unknown accelerator 'H1000'\. Did you mean H100.*--rate"):
        plan.of(study, "H1000")


def test_a_model_of_ones_own_is_planned_by_its_settings_and_one_that_is_nowhere_is_not(tmp_path, write):
    tiny.llama(tmp_path / "mine")
    study = write("recordings: [brennan2016]\nmodels: [mine, nobody/nothing]")
    table = plan.of(study)
    settings = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert table.parameters["mine"] == arithmetic.of(settings).parameters
    assert table.state.to_dict() == {"mine": "here", "nothing": "unknown"}
    assert pd.isna(table.flops["nothing"])
    assert plan.resources(study)["nothing"].gpus == 0


def test_every_card_of_the_catalog_has_its_source():
    for name, card in catalog.accelerators()["cards"].items():
        assert set(card) == {"half", "float32", "memory", "source"}, name
        assert card["half"] > card["float32"] > 1e12 and 10 < card["memory"] < 300


def test_described_texts_have_a_loader():
    from brainalign import human

    described = catalog.texts()
    assert set(described.index) == {*human.names(), *texts.prompts(studies.load("paper"))}
    assert (described.parts <= described.words).all() and (described.passages <= described.parts).all()
