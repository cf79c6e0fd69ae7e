"""Whether base and tuned model read the same token ids: on tiny models with the same tokenizer and with others."""

import json

import numpy as np
import pytest
import tiny
import transformers
from test_study import little_stories
from tokenizers import processors

from brainalign import study as studies
from brainalign.human import natural_stories
from brainalign.human.recording import Passage
from brainalign.llm.models import networks
from brainalign.llm.reading.tokens import ids_of_parts
from brainalign.paper.sections import tokens as section
from brainalign.study.measurement import measures


def tuned(folder, with_tokens=(), beginning=None):
    """GPT-2 with added tokens, or a token at the beginning of each text."""
    tiny.gpt2(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(with_tokens))
    if beginning:
        tokenizer.add_special_tokens({"bos_token": beginning})
        number = tokenizer.convert_tokens_to_ids(beginning)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{beginning} $A", special_tokens=[(beginning, number)]
        )
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    network = networks.fresh(transformers.GPT2Config(**config | {"vocab_size": len(tokenizer)}), 1)
    network.save_pretrained(folder)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A base, three models that are tuned from it, and one without a base, on sentences and little stories."""
    tiny.gpt2(tmp_path / "base")
    tuned(tmp_path / "alike")
    tuned(tmp_path / "chat", beginning="<|im_start|>")
    tuned(tmp_path / "more", with_tokens=["tree", "w77"])
    rows = ["Lily,a,1", "saw,a,2", "a,a,3", "ball,a,4", "Her,b,1", "big,b,2", "tree,b,3", "fell,b,4"]
    values = [f"{row},{value},{1 - value}" for row, value in zip(rows, np.linspace(0, 1, len(rows)), strict=True)]
    (tmp_path / "roi.csv").write_text("\n".join(["text,passage,position,v0,v1", *values]))
    (tmp_path / "people.csv").write_text("unit,participant,region\nv0,x,IFG\nv1,y,IFG\n")
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nevidence: people\nreading_times: [natural_stories]\n"
        "recordings: [{table: roi.csv, participants: people.csv}]\n"
        "models: [base, {load: base, untrained: 0}, {load: alike, vanilla: base}, {load: chat, vanilla: base},\n"
        "  {load: more, vanilla: base}, {load: base, name: alone, kind: instruction-tuned}]\n"
    )
    monkeypatch.setattr(natural_stories, "load", little_stories)
    read = {"model": ["model", "texts", "tokens"], "control": [], "people": []}
    monkeypatch.setattr(measures, "analyses", lambda study, member: read[member.about["origin"]])
    return studies.load(str(tmp_path / "mine.yaml"))


def compared(study, *models):
    pairs = section.pairs(study)
    for name in {*models, *(pairs[name] for name in models)}:
        studies.run(study, name)
    return section.compared(study, {name: pairs[name] for name in models})


def test_pairs_are_those_of_which_the_study_runs_both(study):
    assert section.pairs(study) == {"alike": "base", "chat": "base", "more": "base"}


def test_the_same_tokenizer_reads_the_same(study):
    table = compared(study, "alike")
    assert table.text.tolist() == ["natural_stories", "roi"]
    assert table.same.tolist() == ["yes", "yes"] and table.parting.tolist() == ["", ""]
    (number,) = section.numbers_of_model(table)
    assert number.value == "those of base in every text"


def test_a_token_at_the_beginning_parts_them_from_there_on(study):
    table = compared(study, "chat").set_index("text")
    assert table.parting["roi"] == "states: <|im_start|> around each passage, not nothing"
    # Surprisal is after the token for the beginning of a text, where a tokenizer has one.
    assert table.parting["natural_stories"] == ("surprisal: <|im_start|> around each passage, not <|endoftext|>")


def test_an_added_word_parts_them_where_it_first_stands(study):
    table = compared(study, "more").set_index("text")
    assert table.parting["roi"] == "passage b, part 3 (“tree”), on"
    assert table.parting["natural_stories"] == "passage 2, part 38 (“w77”), on"
    assert section.numbers_of_model(table.reset_index())[0].value == (
        "other than those of base, from here on: natural_stories: passage 2, part 38 (“w77”), on; "
        "roi: passage b, part 3 (“tree”), on"
    )


def test_pairs_that_read_alike_are_counted(study):
    table = compared(study, "alike", "chat", "more")
    assert section.numbers_of_pairs(table)[0].value == "1 of 3"
    assert section.tables(table)["pairs-tokens"]["title"].startswith("1 of 3 tuned models read the same")


def test_nothing_is_said_without_pairs(study):
    table = section.compared(study, {})
    assert table.empty and section.tables(table) == {}
    assert section.numbers_of_pairs(table) == section.numbers_of_model(table) == []


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama, tiny.t5])
def test_ids_of_parts_are_those_of_their_passages(make, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(make(tmp_path / "model"))
    passages = [Passage("first", ("Lily saw", "", "a tree ,")), Passage("second", ("She", "fell", "!"))]
    ids = ids_of_parts(tokenizer, passages)
    assert len(ids) == 6 and ids[1] == []
    for place, text in ((slice(0, 3), "Lily saw a tree,"), (slice(3, 6), "She fell!")):
        assert [number for part in ids[place] for number in part] == tokenizer(text, add_special_tokens=False).input_ids
