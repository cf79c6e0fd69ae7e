"""Instruction tuning: Alpaca's layout, where the loss is taken, the loop against transformers' Trainer, and kills."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tiny
from safetensors.torch import load_file

from brainalign.llm import samples, states, training, tuning
from brainalign.llm.load import load
from brainalign.llm.training import IGNORED, Example, Recipe
from brainalign.llm.tuning import Tuning

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
    for (name, a), b in zip(ours.network.named_parameters(), theirs.network.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad, atol=1e-5, err_msg=name)


def test_of_a_text_without_source_all_tokens_but_the_first_count(folders):
    import torch

    loaded = model(folders["causal"])
    texts = [Example([], [1, 300, 301, 302, 2]), Example([], [1, 310, 2])]
    found = training._backward(loaded.network.eval(), texts, 2)
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
    assert not (tmp_path / "parts" / states.STATES).exists()
    np.testing.assert_array_equal(states.losses(tmp_path / "parts"), expected)


PROGRAM = """
import json, sys
from pathlib import Path
import torch
from brainalign.llm import processes, tuning
from brainalign.llm.adapters import Lora
from brainalign.llm.load import load
from brainalign.llm.training import Recipe

folder, samples, where, rank, every = sys.argv[1:]
torch.set_num_threads(1)
{before}
processes.here()
model = load(Path(folder), device="cpu")
recipe = Recipe(epochs=4, batch_size=6, at_once=2, learning_rate=1e-3, max_length=400)
how = tuning.Tuning(recipe=recipe, lora=Lora(int(rank), targets=("q_proj", "up_proj")) if int(rank) else None)
network = model.network.requires_grad_(True)
tuning.tune(network, model.tokenizer, json.loads(samples), Path(where), how, every=float(every))
"""


def start(folder, where, rank=0, every=0.0, before="", launch=()):
    program = where.with_suffix(".py")
    program.write_text(PROGRAM.replace("{before}", before))
    command = [*(launch or [sys.executable]), str(program), str(folder), json.dumps(SAMPLES), str(where)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, str(rank), str(every)], env=environment, start_new_session=True)


@pytest.mark.parametrize("rank", [0, 4], ids=["full", "lora"])
def test_a_killed_process_goes_on_to_the_same_losses_and_weights(folders, tmp_path, rank):
    whole, killed = (start(folders["causal"], tmp_path / name, rank) for name in ("whole", "killed"))
    while killed.poll() is None and not list((tmp_path / "killed" / states.STATES).glob("[0-9]*")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert start(folders["causal"], tmp_path / "killed", rank).wait() == whole.wait() == 0
    one, two = (states.losses(tmp_path / name) for name in ("whole", "killed"))
    assert one.tolist() == two.tolist() and len(one) == 14 and one[-1] < one[0]
    last = [tmp_path / name / "step-14" / "model.safetensors" for name in ("whole", "killed")]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_the_state_of_another_run_is_refused(folders, tmp_path, monkeypatch):
    loaded = model(folders["causal"])
    stop_at(monkeypatch, loaded, tmp_path, 2)
    other = Tuning(recipe=replace(RECIPE, epochs=1))
    with pytest.raises(ValueError, match=r"is the folder of another run: not the same recipe, nor .* network\. Give"):
        tuning.tune(loaded.network, loaded.tokenizer, SAMPLES, tmp_path, other)
