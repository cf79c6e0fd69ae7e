"""Instruction tuning: Alpaca's layout, where the loss is taken, the loop against transformers' Trainer, and kills."""

import json
import math
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from close import assert_close
from moments import STOP, kill, number_from
from safetensors.torch import load_file

from brainalign.llm import tuning
from brainalign.llm.models.load import load
from brainalign.llm.tuning import Tuning, checkpoints, instruction, samples, training
from brainalign.llm.tuning.adapters import Lora
from brainalign.llm.tuning.objective import IGNORED, losses_of
from brainalign.llm.tuning.training import Example, Recipe

SAMPLES = [
    {"instruction": "Name a color.", "input": "", "output": "Red is a color."},
    {"instruction": "Which animal can fly?", "input": "bird, fish", "output": "A bird can fly."},
    {"instruction": "Say what people do.", "input": "", "output": "They read slowly, word by word."},
    {"instruction": "Repeat the number.", "input": "45 pears", "output": "45"},
] * 5
RECIPE = Recipe(epochs=2, batch_size=4, at_once=3, learning_rate=1e-3, max_length=400)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "causal": tiny.llama(root / "llama", positions=512),
        "t5": tiny.t5(root / "t5"),
    }


def model(folder):
    loaded = load(folder)
    loaded.network.requires_grad_(True)
    return loaded


def encoded(loaded, **options):
    return samples.encode(loaded.tokenizer, SAMPLES, loaded.encoder_decoder, max_length=400, **options)


# Prompts and examples


def test_prompts_are_alpacas():
    without, with_input = (samples.prompt(sample) for sample in SAMPLES[:2])
    assert without.startswith("Below is an instruction that describes a task. Write a response")
    assert without.endswith("### Instruction:\nName a color.\n\n### Response:")
    assert "### Instruction:\nWhich animal can fly?\n\n### Input:\nbird, fish\n\n### Response:" in with_input


def test_without_instruction_the_input_or_nothing_is_left():
    assert samples.prompt(SAMPLES[0], "no-instruction") == ""
    assert samples.prompt(SAMPLES[1], "no-instruction") == "bird, fish\n\n"


@pytest.mark.parametrize("condition", ["instruction", "no-instruction"])
@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_source_is_the_prompt_and_target_the_response_that_ends(folders, kind, condition):
    loaded = model(folders[kind])
    words = loaded.tokenizer
    for sample, (source, target) in zip(SAMPLES, encoded(loaded, condition=condition), strict=True):
        assert target[-1] == words.eos_token_id
        assert words.decode(target, skip_special_tokens=True).strip() == words.decode(
            words(sample["output"])["input_ids"], skip_special_tokens=True
        )
        before = samples.prompt(sample, condition)
        if kind == "causal":
            assert source + target[:-1] == words(before + sample["output"])["input_ids"]
        else:
            assert source == words(before)["input_ids"]


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_continued_pretraining_has_the_same_words_as_plain_texts_each_response_after_another_instruction(folders, kind):
    loaded = model(folders[kind])
    words, end = loaded.tokenizer, loaded.tokenizer.eos_token_id
    found = encoded(loaded, condition="continued")
    assert len(found) == len(SAMPLES)
    for i, (source, target) in enumerate(found):
        one, other = SAMPLES[i], SAMPLES[(i + 1) % len(SAMPLES)]
        before = one["instruction"] + (f"\n\n{one['input']}" if one["input"] else "")
        texts = [words(text)["input_ids"] for text in (before, other["output"])]
        texts = [text if text[-1] == end else [*text, end] for text in texts]
        assert source == ([end] if kind == "t5" else []) and target == texts[0] + texts[1]


def test_every_condition_sees_the_same_samples_and_so_makes_as_many_steps(folders):
    words = load(folders["causal"]).tokenizer
    long = {"instruction": " ".join(["Say what people do."] * 20), "input": "", "output": "Read."}
    with warnings.catch_warnings(action="ignore"):
        room = len(samples.encode(words, SAMPLES[:1], False)[0].source) + 60
        found = {
            condition: samples.encode(words, [*SAMPLES[:3], long], False, condition, room)
            for condition in samples.CONDITIONS
        }
    assert {condition: len(examples) for condition, examples in found.items()} == dict.fromkeys(samples.CONDITIONS, 3)
    assert all(len(one.source) + len(one.target) <= room for examples in found.values() for one in examples)


def test_another_condition_is_named(folders):
    words = load(folders["causal"]).tokenizer
    with pytest.raises(LookupError, match=r"unknown condition 'continue'. Did you mean continued"):
        samples.encode(words, SAMPLES, False, "continue")
    with pytest.raises(LookupError, match="unknown condition with prompts 'continued'"):
        samples.prompt(SAMPLES[0], "continued")


def test_a_long_response_is_cut_and_a_sample_with_none_left_is_left_out(folders):
    words = load(folders["causal"]).tokenizer
    whole = samples.encode(words, SAMPLES[:2], False)
    room = len(whole[0].source) + 2
    with pytest.warns(UserWarning, match=f"2 of 2 samples were cut to {room} tokens"):
        (cut,) = samples.encode(words, SAMPLES[:2], False, max_length=room)
    assert cut == Example(whole[0].source, whole[0].target[:2])


def test_bad_samples_are_named(folders):
    words = load(folders["causal"]).tokenizer
    with pytest.raises(ValueError, match=r"sample 1: output: expected a text, got ' '"):
        samples.encode(words, [SAMPLES[0], SAMPLES[1] | {"output": " "}], False)
    with pytest.raises(ValueError, match=r"sample 0: input: expected a text, got None"):
        samples.encode(words, [{"instruction": "a", "output": "b"}], False)
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(ValueError, match="no sample has a response within 3 tokens"),
    ):
        samples.encode(words, SAMPLES, False, max_length=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "mine.json is not JSON"),
        ('{"instruction": "a"}', "mine.json is no list of objects"),
        ('[{"instruction": "a", "input": "", "output": "b"}, {"instruction": "a", "input": ""}]',
         "mine.json: sample 1: output: expected a text, got None"),
    ],
)  # fmt: skip
def test_a_file_of_samples_that_is_none_is_named(tmp_path, content, message):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        samples.load(tmp_path / "mine.json")


def test_samples_are_a_file_or_a_data_set(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(SAMPLES))
    assert samples.load(tmp_path / "mine.json") == SAMPLES
    with pytest.raises(LookupError, match=r"'alpaca_sampl'. Did you mean alpaca_sample. Or give the path"):
        samples.load("alpaca_sampl")


def test_the_real_samples(mirror):
    real = samples.load("alpaca_sample")
    assert len(real) == 999 and {tuple(sample) for sample in real} == {samples.FIELDS}


# The loop


def test_the_rate_is_that_of_transformers():
    import torch
    from transformers import get_cosine_schedule_with_warmup

    recipe = Recipe(warmup=0.1, learning_rate=1.0)
    n_steps = 50
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(0.1 * n_steps), n_steps)
    theirs = []
    for _ in range(n_steps):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    ours = [recipe.rate(step, n_steps) for step in range(n_steps)]
    # Theirs begins with a step of rate 0, which is lost.
    np.testing.assert_allclose(ours[5:], theirs[5:], atol=1e-12)
    assert 0 < ours[0] < ours[1] < ours[4] < 1


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_loss_and_gradients_are_those_of_the_models_own_loss(folders, kind):
    import torch

    ours, theirs = model(folders[kind]), model(folders[kind])
    batch = encoded(ours)[:4]
    ours.network.eval()
    theirs.network.eval()
    with losses_of(ours.network):
        loss = training._backward(ours.network, batch, 3)
    n_tokens, total = 0, 0.0
    for source, target in batch:  # one by one: no padding
        if kind == "causal":
            ids, labels = source + target, [IGNORED] * len(source) + target
        else:
            ids, labels = source, target
        out = theirs.network(input_ids=torch.tensor([ids]), labels=torch.tensor([labels]))
        n_tokens += len(target)
        total = total + out.loss * len(target)
    (total / n_tokens).backward()
    assert loss == pytest.approx(float(total.detach()) / n_tokens, rel=1e-5)
    pairs = list(zip(ours.network.parameters(), theirs.network.parameters(), strict=True))
    scale = max(float(b.grad.abs().max()) for _, b in pairs)
    for a, b in pairs:
        assert_close(a.grad, b.grad, scale=scale)


def test_of_a_text_without_source_all_tokens_but_the_first_count(folders):
    import torch

    loaded = model(folders["causal"])
    texts = [Example([], [1, 300, 301, 302, 2]), Example([], [1, 310, 2])]
    with losses_of(loaded.network.eval()):
        found = training._backward(loaded.network, texts, 2)
    with torch.no_grad():
        each = [loaded.network(input_ids=torch.tensor([t]), labels=torch.tensor([t])).loss.item() for _, t in texts]
    assert found == pytest.approx((4 * each[0] + 2 * each[1]) / 6, rel=1e-5)


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_tuning_learns_and_saves_models_along_the_way(folders, tmp_path, kind):
    loaded = model(folders[kind])
    recipe = Recipe(epochs=8, batch_size=4, learning_rate=3e-3, max_length=400)
    losses = tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=recipe, checkpoints=(0, 7)))
    assert len(losses) == 40 == recipe.n_steps(20)
    assert losses[-5:].mean() < losses[0] / 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "losses.safetensors",
        "run.json",
        "step-0",
        "step-40",
        "step-7",
    ]
    before = load_file(folders[kind] / "model.safetensors")
    for name, weights in load_file(tmp_path / "step-0" / "model.safetensors").items():
        np.testing.assert_array_equal(weights, before[name])
    tuned = load(tmp_path / "step-40")
    for name, weights in loaded.network.state_dict().items():
        np.testing.assert_array_equal(weights, tuned.network.state_dict()[name], err_msg=name)


def test_each_example_is_seen_once_an_epoch_in_an_order_of_its_own():
    examples = [Example([], [number]) for number in range(10)]
    batches = training._batches(examples, Recipe(epochs=2.5, batch_size=4))
    seen = [example.target[0] for batch in batches for example in batch]
    assert len(seen) == 25
    assert sorted(seen[:10]) == sorted(seen[10:20]) == list(range(10))
    assert seen[:10] != seen[10:20]


def test_a_loss_that_is_not_finite_stops_the_run(folders, tmp_path):
    loaded = model(folders["causal"])
    next(loaded.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"step 0: the loss is nan. Lower the learning rate"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=RECIPE))


def test_training_leaves_the_callers_random_numbers_alone(folders, tmp_path):
    import torch

    loaded = model(folders["causal"])
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=replace(RECIPE, epochs=0.4)))
    assert torch.rand(1) == expected


def test_no_checkpoint_lies_behind_the_last_step(folders, tmp_path):
    loaded = model(folders["causal"])
    with pytest.raises(ValueError, match="no checkpoint after step 11: 20 samples take 10 steps"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=RECIPE, checkpoints=(5, 11)))


def test_a_network_without_gradients_is_not_trained(folders, tmp_path):
    loaded = load(folders["causal"])
    with pytest.raises(ValueError, match="no weights of the network require a gradient"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=RECIPE))


def test_activations_that_are_computed_twice_change_nothing(folders, tmp_path):
    found = []
    for again in (False, True):
        loaded, how = model(folders["causal"]), Tuning(recipe=RECIPE, gradient_checkpointing=again)
        found.append(tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path / str(again), how))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


# The store


def test_a_model_is_tuned_once_for_each_way_to_tune_it(folders, monkeypatch):
    how = Tuning(recipe=RECIPE, checkpoints=(0, 3))
    found = tuning.tuned(folders["causal"], SAMPLES, how)
    assert list(found) == [0, 3, 10] and len(tuning.losses(found)) == 10
    with monkeypatch.context() as patch:
        patch.setattr(instruction, "tune", None)  # it is not called again
        assert tuning.tuned(folders["causal"], SAMPLES, how) == found
    others = [
        replace(how, condition="continued"), replace(how, checkpoints=(0,)), replace(how, lora=Lora(rank=2)),
        replace(how, recipe=replace(RECIPE, seed=1)),
    ]  # fmt: skip
    places = [instruction._folder(folders["causal"], SAMPLES, one, None, {}) for one in (how, *others)]
    places += [instruction._folder(folders["t5"], SAMPLES, how, None, {})]
    places += [instruction._folder(folders["causal"], SAMPLES[1:], how, None, {})]
    assert places[0] == found[0].parent and len(set(places)) == 7


def test_checkpoints_of_an_unknown_run_are_refused(folders, tmp_path):
    loaded = model(folders["causal"])
    (tmp_path / "step-4").mkdir()
    with pytest.raises(ValueError, match="step-4 of a run that is not known"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=RECIPE))


def test_the_folder_of_another_model_is_refused(folders, tmp_path):
    for kind, message in (("causal", None), ("t5", "not the same samples, nor the same network")):
        loaded = model(folders[kind])
        with pytest.raises(ValueError, match=message) if message else nullcontext():
            tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, Tuning(recipe=RECIPE))


# LoRA


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_adapters_alone_are_trained_and_merged_into_what_is_saved(folders, tmp_path, kind):
    import torch

    loaded = model(folders[kind])
    before = {name: weights.clone() for name, weights in loaded.network.state_dict().items()}
    how = Tuning(recipe=replace(RECIPE, learning_rate=1e-2), lora=Lora(rank=4, alpha=32), checkpoints=(0,))
    losses = tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, how)
    assert losses[-3:].mean() < losses[:3].mean()
    trained = {name for name, weights in loaded.network.named_parameters() if weights.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    for name, weights in loaded.network.state_dict().items():
        if "lora_" not in name:
            np.testing.assert_array_equal(weights, before[name.replace(".base_layer", "")], err_msg=name)
    fed, _ = training._inputs(loaded.network, encoded(loaded)[:4])
    with torch.no_grad():
        expected = loaded.network.eval()(**fed).logits
        merged, first, base = (load(f)
                               for f in (tmp_path / "step-10", tmp_path / "step-0", folders[kind]))  # fmt: skip
        found = merged.network(**fed).logits
        assert_close(found, expected)
        assert np.abs(found - base.network(**fed).logits).max() > 1e-2
        assert_close(first.network(**fed).logits, base.network(**fed).logits, share=1e-6)


def test_targets_that_the_network_lacks_are_named(folders, tmp_path):
    loaded = model(folders["causal"])
    how = Tuning(recipe=RECIPE, lora=Lora(targets=("q_proj", "query")))
    with pytest.raises(ValueError, match=r"LlamaForCausalLM has no layers called query. Give targets among .*v_proj"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, how)


# Kills


def stop_at(monkeypatch, loaded, folder, step):
    """Tune until a step, and be interrupted there."""
    steps, backward = iter(range(step + 1)), training._backward

    def stopping(*arguments):
        if next(steps) == step:
            raise KeyboardInterrupt
        return backward(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_backward", stopping)
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, folder, Tuning(recipe=RECIPE), every=0)


def with_dropout(folder):
    loaded = model(folder)
    for module in loaded.network.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.1
    return loaded


def test_a_run_that_was_stopped_goes_on_to_the_same_losses_and_weights(folders, tmp_path, monkeypatch):
    whole, parts, again = (with_dropout(folders["t5"]) for _ in range(3))  # so that random numbers count
    expected = tuning.tune(whole.network, whole.tokenizer, SAMPLES, tmp_path / "whole", Tuning(recipe=RECIPE))
    stop_at(monkeypatch, parts, tmp_path / "parts", 6)
    found = tuning.tune(again.network, again.tokenizer, SAMPLES, tmp_path / "parts", Tuning(recipe=RECIPE))
    np.testing.assert_array_equal(found, expected)
    for (name, a), b in zip(again.network.named_parameters(), whole.network.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach(), b.detach(), err_msg=name)
    assert not (tmp_path / "parts" / checkpoints.STATES).exists()
    np.testing.assert_array_equal(checkpoints.losses(tmp_path / "parts"), expected)


PROGRAM = """
import json, sys
from pathlib import Path
import torch
from brainalign.llm import tuning
from brainalign.llm.tuning import distributed
from brainalign.llm.tuning.adapters import Lora
from brainalign.llm.models.load import load
from brainalign.llm.tuning.training import Recipe

folder, samples, where, rank = sys.argv[1:]
torch.set_num_threads(1)
{before}
distributed.current()
model = load(Path(folder), device="cpu")
recipe = Recipe(epochs=4, batch_size=6, at_once=2, learning_rate=1e-3, max_length=400)
how = tuning.Tuning(recipe=recipe, lora=Lora(int(rank), targets=("q_proj", "up_proj")) if int(rank) else None)
network = model.network.requires_grad_(True)
tuning.tune(network, model.tokenizer, json.loads(samples), Path(where), how, every=0.0)
"""


# Put before the program: its last process stops once all have saved their state.
STOPPING = """
from brainalign.llm.tuning import checkpoints

def stopping(run, losses, save=checkpoints.Run.save):
    save(run, losses)
    if run.crew.rank == run.crew.n - 1:
        stop_at(PIPE)

checkpoints.Run.save = stopping
"""


def start(folder, where, rank=0, before="", launch=(), pipe=None):
    program = where.with_suffix(".py")
    stopping = f"{STOP}\nPIPE = {str(pipe)!r}\n{STOPPING}" if pipe else ""
    program.write_text(PROGRAM.replace("{before}", before + stopping))
    command = [*(launch or [sys.executable]), str(program), str(folder), json.dumps(SAMPLES), str(where)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, str(rank)], env=environment)


def killed(folder, where, **options):
    """Tune until the first state is saved, and be killed there, with all processes."""
    pipe = where.with_suffix(".pipe")
    os.mkfifo(pipe)
    process = start(folder, where, pipe=pipe, **options)
    number_from(pipe)
    kill(process)


@pytest.mark.parametrize("rank", [pytest.param(0, id="full"), pytest.param(4, id="lora", marks=pytest.mark.slow)])
def test_a_killed_process_goes_on_to_the_same_losses_and_weights(folders, tmp_path, rank):
    whole = start(folders["causal"], tmp_path / "whole", rank)
    killed(folders["causal"], tmp_path / "killed", rank=rank)
    assert start(folders["causal"], tmp_path / "killed", rank).wait() == whole.wait() == 0
    one, two = (checkpoints.losses(tmp_path / name) for name in ("whole", "killed"))
    assert one.tolist() == two.tolist() and len(one) == 14 and one[7:].mean() < one[:7].mean()
    last = [tmp_path / name / "step-14" / "model.safetensors" for name in ("whole", "killed")]
    assert last[0].read_bytes() == last[1].read_bytes()


# Each process would drop others.
STILL = "torch.nn.Dropout.forward = lambda self, x: x"
# Without a GPU accelerate gives each process all of the network; it can shard there too.
SHARDED = """
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
made = AcceleratorState.__init__

def sharding(self, *given, **options):
    first = not AcceleratorState._shared_state
    made(self, *given, **options)
    if first:
        self.fsdp_plugin = FullyShardedDataParallelPlugin()
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP

AcceleratorState.__init__ = sharding
"""


CONFIG = Path(__file__).resolve().parents[1] / "workflow" / "accelerate" / "fsdp.yaml"
OPTIONS = ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG), *OPTIONS]


@pytest.fixture(scope="module", params=[0, 4], ids=["full", "lora"])
def alone(request, folders, tmp_path_factory):
    """The rank of adapters, if there are any, and the folder of a run by one process."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    assert start(folders["causal"], folder, request.param, before=STILL).wait() == 0
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", SHARDED], ids=["whole", "shards"])
def test_two_processes_that_were_killed_have_the_losses_of_one(folders, tmp_path, alone, before):
    rank, expected = alone
    options, launched = {"rank": rank, "before": STILL + before, "launch": LAUNCH}, tmp_path / "launched"
    killed(folders["causal"], launched, **options)
    assert len(list((launched / checkpoints.STATES).glob("*-of-2.safetensors"))) >= 2
    assert start(folders["causal"], launched, **options).wait() == 0
    np.testing.assert_allclose(checkpoints.losses(launched), checkpoints.losses(expected), rtol=1e-4)
    ours, theirs = (load_file(folder / "step-14" / "model.safetensors") for folder in (launched, expected))
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        np.testing.assert_allclose(weights, theirs[name], atol=2e-3, err_msg=name)  # AdamW magnifies rounding
    assert not list(launched.glob(".step-*")) and not (launched / checkpoints.STATES).exists()


def test_the_state_of_another_run_is_refused(folders, tmp_path, monkeypatch):
    loaded = model(folders["causal"])
    stop_at(monkeypatch, loaded, tmp_path, 2)
    other = Tuning(recipe=replace(RECIPE, epochs=1))
    with pytest.raises(ValueError, match=r"is the folder of another run: not the same recipe, nor .* network\. Give"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, other)
