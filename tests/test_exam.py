"""Examinations: the answer given is the one that a plain pass through the network finds the likeliest."""

import pytest
import tiny
import torch

from brainalign import llm
from brainalign.microworld import make
from brainalign.microworld.exam import examine
from brainalign.microworld.questions import questions


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
    table = examine(model, some)
    with torch.no_grad():
        assert table.given.tolist() == [likeliest(model, one.prompt, one.choices) for one in some]
    assert table.right.tolist() == [given == one.answer for given, one in zip(table.given, some, strict=True)]
    assert table[["kind", "domain"]].to_numpy().tolist() == [[one.kind, one.domain] for one in some]
    assert table.given.nunique() > 1


def test_what_stands_before_the_choices_can_be_another_prompt(model, some):
    def other(question):
        return f"It is said that ships came and went. {question.prompt}"

    table = examine(model, some, other)
    with torch.no_grad():
        assert table.given.tolist() == [likeliest(model, other(one), one.choices) for one in some]
