"""Examinations: the answer given is the one that a plain pass through the network finds the likeliest."""

import pytest
import tiny
import torch

from brainalign import llm
from brainalign.llm.exams.answers import answers
from brainalign.microworld import make
from brainalign.microworld.questions import benchmark, questions


@pytest.fixture(scope="module")
def some():
    return questions(make(seed=0))[::40]


@pytest.fixture(scope="module", params=["causal", "encoder-decoder"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return llm.load(tiny.llama(folder, positions=256) if request.param == "causal" else tiny.t5(folder))


def likeliest(model, prompt, choices):
    """The choice of the highest log probability after the prompt, a pass for each."""
    scores = []
    for choice in choices:
        if model.encoder_decoder:
            given = model.tokenizer(prompt, return_tensors="pt").input_ids
            answer = model.tokenizer(choice, return_tensors="pt", add_special_tokens=False).input_ids
            start = torch.tensor([[model.network.config.decoder_start_token_id]])
            logits = model.network(input_ids=given, decoder_input_ids=torch.cat([start, answer[:, :-1]], 1)).logits
        else:
            whole = model.tokenizer(f"{prompt} {choice}", return_tensors="pt", return_offsets_mapping=True)
            inside = whole.offset_mapping[0, :, 1] > len(prompt)
            answer = whole.input_ids[:, inside]
            logits = model.network(input_ids=whole.input_ids).logits[:, :-1][:, inside[1:]]
        found = logits.log_softmax(-1).gather(-1, answer[..., None]).sum()
        scores.append(float(found))
    return scores.index(max(scores))


def test_the_likeliest_choice_is_given(model, some):
    table = answers(model, benchmark(some))
    with torch.no_grad():
        expected = [one.choices[likeliest(model, one.prompt, one.choices)] for one in some]
    of = {(one.domain, choice): (one, choice) for one, choice in zip(some, expected, strict=True)}
    assert [(row.task, row.given) for row in table.itertuples()] == [*of]
    assert table.right.tolist() == [choice == one.right for one, choice in of.values()]
    assert table.category.tolist() == [one.kind for one, _ in of.values()]
    assert {one.choices.index(choice) for one, choice in of.values()} != {0}
    assert (table.shots == 0).all() and table.attrs["over"] == "questions"


def test_it_has_one_protocol(some):
    assert benchmark(some).protocols == ["standard"]
