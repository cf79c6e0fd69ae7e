"""A plan against networks that were built, passes whose operations were counted, and files that were written."""

import json
import math
import shutil
from dataclasses import replace
from functools import cache

import pandas as pd
import pytest
import tiny
import transformers

from brainalign import catalog, cli, llm, store
from brainalign import study as studies
from brainalign.cli import plan_command
from brainalign.human.recording import Passage
from brainalign.llm.exams import benchmarks
from brainalign.llm.models import architectures
from brainalign.study.description import texts
from brainalign.study.description.settings import LoadedModel
from brainalign.study.description.texts import Text
from brainalign.study.planning import costs, plan

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
def test_parameters_of_every_checkpoint_are_the_published_ones(one_store, name):
    model = CHECKPOINTS.loc[name]
    network = architectures.from_settings(catalog.architectures()[model.config])
    assert network.parameters == model.parameters
    assert network.width == model.width
    assert network.layers == model.layers + (2 if network.encoder_decoder else 1)


# --- operations and bytes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned():
    """Plan of any study, and what it asks of a scheduler, made once."""

    @cache
    def make(name):
        study = studies.load(name)
        return plan.by_model(study), plan.resources(study)

    return make


PUBLISHED = {  # config.json and number of parameters of models on the hub, as the hub counts them in their safetensors
    "Qwen/Qwen2.5-0.5B": (transformers.Qwen2Config(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=True), 494_032_768),
    "microsoft/Phi-3-mini-4k-instruct": (transformers.Phi3Config(
        vocab_size=32064, hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, max_position_embeddings=4096, sliding_window=2047, pad_token_id=32000), 3_821_079_552),
    "mistralai/Mixtral-8x7B-v0.1": (transformers.MixtralConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=32768, num_local_experts=8, num_experts_per_tok=2),
        46_702_792_704),
    "google/gemma-3-1b-pt": (transformers.Gemma3TextConfig(
        vocab_size=262144, hidden_size=1152, intermediate_size=6912, num_hidden_layers=26, num_attention_heads=4,
        num_key_value_heads=1, head_dim=256, sliding_window=512, max_position_embeddings=32768), 999_885_952),
    "google/gemma-3-4b-pt": (transformers.Gemma3Config(
        text_config={"vocab_size": 262208, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
                     "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 1024},
        vision_config={"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14,
                       "num_attention_heads": 16, "image_size": 896, "vision_use_head": False}), 4_300_079_472),
    # Two Gemma 2 of 2,614,341,888 and, for each block of the decoder, attention to the encoder and its two norms.
    "google/t5gemma-2b-2b-prefixlm": (transformers.T5GemmaConfig(),
        2 * 2_614_341_888 + 26 * (2 * 2304 * (2048 + 1024) + 2 * 2304)),
}  # fmt: skip


def test_every_class_of_transformers_has_a_row_and_any_other_its_reason(tmp_path, write, capsys):
    for name, (config, _) in PUBLISHED.items():
        config.save_pretrained(tmp_path / name.rpartition("/")[2])
    others = {"telepathy": {"model_type": "telepathy"}, "bert": transformers.BertConfig().to_dict(),
              "crooked": {"model_type": "llama", "hidden_size": "wide"}}  # fmt: skip
    for name, settings in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(settings))
    folders = [*(name.rpartition("/")[2] for name in PUBLISHED), *others]
    for name in folders:
        shutil.copy(tiny.gpt2(tmp_path / "tiny") / "tokenizer.json", tmp_path / name)
    study = write(
        "recordings: [brennan2016]\nreading_times: [natural_stories]\nmodels:\n"
        + "".join(
            f"- {{load: {name}, name: {name.replace('.', '-')}, dtype: bfloat16, untrained: 0}}\n" for name in folders
        )
    )
    table = plan.by_model(study)
    for name, (_, parameters) in PUBLISHED.items():
        row = table.loc[name.rpartition("/")[2].replace(".", "-")]
        assert row.parameters == parameters and pd.isna(row.why)
        assert (row[["flops", "memory", "store", "hours", "cards"]] > 0).all()
    assert table.cards["Mixtral-8x7B-v0-1"] == 2
    assert table.flops[list(others)].isna().all()
    assert (
        "transformers" in table.why["telepathy"] and "no class for models of type 'telepathy'" in table.why["telepathy"]
    )
    assert "of type bert, which predicts no next words" in table.why["bert"]
    assert "transformers refuses these settings of a llama" in table.why["crooked"]
    assert cli.main(["plan", str(tmp_path / "mine.yaml")]) == 0
    out = capsys.readouterr().out
    assert "not planned (3):" in out and "- telepathy: transformers" in out
    asked = plan.resources(study)
    assert asked["telepathy"].gpus == 1 and asked["telepathy"].why == table.why["telepathy"]


@pytest.mark.parametrize("shape", [tiny.gpt2, tiny.llama, tiny.t5])
def test_operations_and_bytes_are_those_of_a_run(tmp_path, write, shape):
    study, model = write(""), llm.load(shape(tmp_path / "model"), device="cpu")
    entry = LoadedModel(load=str(tmp_path / "model"))
    assert model.network  # probed as it is loaded, which is no part of a reading
    for read, run in ((TEXT, llm.activations), (SCORED, llm.surprisal)):
        found, expected = counted(lambda run=run: run(model, PASSAGES))
        cost = costs.reading(study, entry, read, device="cpu")
        assert cost.counted and cost.network.parameters == model.n_parameters
        assert cost.flops == pytest.approx(expected, rel=0.02)
        if run is llm.activations:
            assert cost.store == found.nbytes
            (path,) = (store.root() / "activations").glob("*.safetensors")
            assert path.stat().st_size == pytest.approx(cost.store, rel=0.1, abs=4000)  # and a record
    weights = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert sum(cost.files.values()) == pytest.approx(weights, rel=0.1)
    assert cost.download == {}  # it is here


def test_texts_are_as_the_catalog_describes_them(mirror):
    """Texts of the sample study: passages, parts and words are those that the catalog describes."""
    study = studies.load("sample").model_copy(update={"benchmarks": []})
    for described, real in zip(texts.collect(study, load=False), texts.collect(study), strict=True):
        assert described.passages is None and real.passages is not None
        assert described.parts == real.parts
        assert len(described.words) == len(real.words)
        assert sum(map(sum, described.words)) == pytest.approx(sum(map(sum, real.words)))


def test_benchmarks_are_read_too_as_many_of_their_questions_as_are_asked(mirror):
    study = studies.load("paper")
    asked = {text.name: text for text in texts.collect(study, load=False)}
    assert asked["mmlu.standard"].parts == catalog.dataset("mmlu").counts["questions"]
    assert {"mmlu.instruct-eval", "bbh.standard", "bbh.instruct-eval", "wikitext2"} <= set(asked)
    few = {text.name: text.parts for text in texts.collect(study.model_copy(update={"items": 2}), load=False)}
    assert few["mmlu.standard"] == 2 * catalog.dataset("mmlu").counts["subjects"]
    assert few["bbh.standard"] == 2 * catalog.dataset("bbh").counts["files"]
    documents = benchmarks.wikitext2()
    assert (len(documents), sum(len(text.split()) for text in documents)) == (
        asked["wikitext2"].parts,
        pytest.approx(sum(map(sum, asked["wikitext2"].words))),
    )


def test_what_is_tuned_has_a_row_and_asks_for_cards_that_hold_it(planned):
    table, asked = planned("paper")
    names = [entry.member_name for entry in studies.load("paper").tuning]
    assert len(names) == 9 and set(names) <= set(table.index)
    size, card = CHECKPOINTS.parameters["llama-7b"], catalog.accelerators()["cards"][plan.CARD]["memory"] * costs.GIB
    for name in names:
        row = table.loc[name]
        assert row.memory > costs.TRAINING * size and row.parameters == size
        assert row.cards == asked[name].gpus >= math.ceil(costs.TRAINING * size / (costs.USABLE * card))
        # Forward, backward, and forward again for checkpointed gradients, of 999 samples thrice, with the head.
        network = architectures.from_settings(catalog.architectures()["llama-7b"])
        of_training = 4 * 3 * 999 * network.flops(1, 512, head=True)
        assert row.training == pytest.approx(of_training / plan.speed_of(plan.CARD, "bfloat16") / 3600)
        assert row.flops > of_training + 4 * table.flops["llama-7b"] * 0.9  # four models are read after step 0
        assert row.store > 5 * 4 * size and row.hours > row.training
        assert row.files == {"llama-7b": 2 * size}
        assert asked[name].minutes > asked["llama-7b"].minutes
    assert plan_command.fetched(table) == plan_command.fetched(table.drop(index=names))  # the base is fetched once


def test_a_measured_rate_counts_instead_of_an_assumed_share(tmp_path, monkeypatch):
    assumed = plan.speed_of("A100", "bfloat16")
    monkeypatch.setattr(plan, "GPU_RESULTS", tmp_path / "gpu.json")
    plan.GPU_RESULTS.write_text(json.dumps({"card": "H100", "rates": {"half": 1e14}}))
    assert plan.speed_of("H100", "float16") == 1e14 and plan.speed_of("A100", "bfloat16") == assumed


def test_adapters_take_less_than_weights(write, tmp_path):
    tiny.llama(tmp_path / "mine")
    samples = [{"instruction": "Say it.", "input": "", "output": "It."}] * 10
    (tmp_path / "mine.json").write_text(json.dumps(samples))
    tune = "samples: mine.json, batch_size: 5, epochs: 1, max_length: 32"
    study = write(
        f"recordings: [brennan2016]\nmodels: [mine, {{load: mine, name: other, tune: {{{tune}}}}}]\n"
        f"tuning: [{{model: mine, {tune}, checkpoints: [1]}}, {{model: mine, {tune}, method: lora}}]"
    )
    known, unknown = costs.by_member(study, exact=False)
    assert unknown == {} and set(known) == {"mine", "other", "mine-instruction-0", "mine-instruction-lora-0"}
    plain, other, full, lora = known.values()
    assert plain.training == 0 and other.flops == plain.flops
    assert full.training == other.training == 3 * 10 * full.network.flops(1, 32, head=True)
    assert lora.training == 2 * 10 * full.network.flops(1, 32, head=True)
    assert (full.weights, lora.weights) == (16 * full.network.parameters, 4 * full.network.parameters)
    assert full.flops == 2 * lora.flops == 2 * plain.flops  # step 1 and the last, which is 2
    assert full.store - 2 * plain.store == 2 * 4 * full.network.parameters


def beginning(text: Text, n: int = 300) -> Text:
    """The first parts of each passage: an encoder reads every one anew."""
    passages = [Passage(passage.id, passage.parts[:n]) for passage in text.passages]
    return replace(text, words=[words[:n] for words in text.words], passages=passages)


@pytest.mark.parametrize("shape", ["gpt2", "t5-v1_1-base", "llama-7b"])
def test_estimated_operations_are_those_of_counted_tokens(tmp_path, mirror, shape):
    from brainalign.human.download import fetch
    from brainalign.llm.models.load import tokenizer_of

    merges = fetch(catalog.dataset("gpt2_merges").file("weights/tokenization/vocab.bpe"))
    tokenizer = tokenizer_of(tiny.gpt2(tmp_path / "model", merges=merges, positions=1024))
    network = architectures.from_settings(catalog.architectures()[shape])
    for text in map(beginning, texts.collect(studies.load("sample"))):
        estimated, exact = (
            texts.flops(network, text, texts.lengths(text, network, way), "cuda") for way in (None, tokenizer)
        )
        # Sentences that were chosen to be unusual have more tokens a word.
        assert estimated == pytest.approx(exact, rel=0.35 if text.name == "tuckute2024" else 0.15)


@pytest.mark.parametrize("shape", ["gpt2", "t5-v1_1-small"])
def test_estimate_of_a_text_agrees_with_its_words(shape):
    network = architectures.from_settings(catalog.architectures()[shape])
    story = Text("story", False, [[1.0] * 400])
    found = texts.lengths(story, network)
    whole = round(400 * texts.RATE) + texts.SPECIAL
    assert list(found) == ([whole] if shape == "gpt2" else [1 + min(510, round(n * texts.RATE)) for n in range(1, 401)])
    assert texts.lengths(Text("story", True, [[1.0] * 400]), network) == (whole,)


def test_twins_download_nothing_and_differences_two_checkpoints(write):
    study = write("recordings: [brennan2016]\nmodels: [alpaca-7b, {load: llama-7b, untrained: 0}]")
    table = plan.by_model(study)
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
    assert table.state.isin(["to fetch", "here", "done", "trained here"]).all() and table.why.isna().all()


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
    by_card = {card: plan.by_model(study, card).cards for card in ("H200", "A100", "V100")}
    assert by_card["H200"]["llama-33b"] == by_card["A100"]["llama-33b"] == 1
    assert by_card["V100"]["llama-33b"] == 3
    assert plan.resources(study, memory=32)["llama-33b"].gpus == 3
    assert plan.resources(study, "V100")["llama-33b"].gpus == 3
    assert plan.by_model(study, "cpu").cards.eq(0).all()
    assert plan.resources(study, "cpu")["llama-33b"].gpus == 0


def test_hours_follow_the_rate(write):
    study = write("recordings: [brennan2016]\nmodels: [gpt2-small]")
    given = plan.by_model(study, rate=1e12)
    assert given.hours["gpt2-small"] == pytest.approx(given.flops["gpt2-small"] / 1e12 / 3600)
    for planning in (plan.by_model, plan.resources):
        with pytest.raises(LookupError, match=r"unknown accelerator 'H1000'\. Did you mean H100.*--rate"):
            planning(study, "H1000")


def test_a_model_of_ones_own_is_planned_by_its_settings_and_one_that_is_nowhere_is_not(tmp_path, write):
    tiny.llama(tmp_path / "mine")
    study = write("recordings: [brennan2016]\nmodels: [mine, nobody/nothing]")
    table = plan.by_model(study)
    settings = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert table.parameters["mine"] == architectures.from_settings(settings).parameters
    assert table.state.to_dict() == {"mine": "here", "nothing": "unknown"}
    assert pd.isna(table.flops["nothing"]) and pd.isna(table.why["mine"])
    assert "neither the catalog nor this machine has its config.json" in table.why["nothing"]
    assert plan.resources(study)["nothing"] == (1, 8192, plan.DAY, table.why["nothing"])
    assert (table.download["mine"], table.files["mine"]) == (0, {})  # it is here


def test_every_card_of_the_catalog_has_its_source():
    for name, card in catalog.accelerators()["cards"].items():
        assert set(card) == {"half", "float32", "memory", "source"}, name
        assert card["half"] > card["float32"] > 1e12 and 10 < card["memory"] < 300


def test_described_texts_have_a_loader():
    from brainalign import human

    described = catalog.texts()
    assert set(described.index) == {*human.names(), *texts.prompts(studies.load("paper"))}
    assert (described.parts <= described.words).all() and (described.passages <= described.parts).all()
