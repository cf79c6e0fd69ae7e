"""`brainalign score`: planted signal is found at its layer, noise is not, and a script gets the same."""

import re

import numpy as np
import pandas as pd
import pytest
import test_causality as kinds
import tiny
import transformers as hub
from test_layouts import EYE, saved

from brainalign import llm, store
from brainalign.alignment import brain_alignment, ceiling_of, protocols, to_stimuli
from brainalign.cli import main
from brainalign.human import own

PASSAGES, SENTENCES, PEOPLE, UNITS, SIGNAL = 24, 5, 3, 4, "2"  # the layer that people have something of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def table(folder, tmp_path_factory):
    """Sentences, with responses that one layer predicts (planted) or nothing does (null)."""
    rng, words = np.random.default_rng(0), tiny.TEXT.split()
    places = [(f"p{passage:02}", place) for passage in range(PASSAGES) for place in range(1, SENTENCES + 1)]
    text = [" ".join(rng.choice(words, 6)) for _ in places]
    about = pd.DataFrame(places, columns=["passage", "position"]).assign(text=text)
    path = tmp_path_factory.mktemp("own")
    units = [f"v{unit}" for unit in range(PEOPLE * UNITS)]
    owners = [f"s{unit % PEOPLE}" for unit in range(PEOPLE * UNITS)]
    pd.DataFrame({"unit": units, "participant": owners}).to_csv(path / "sheet.csv", index=False)

    def put(name, responses):
        pd.concat([about, pd.DataFrame(responses, columns=units)], axis=1).to_csv(path / f"{name}.csv", index=False)

    noise = rng.normal(size=(len(about), len(units)))
    put("null", noise)
    recording = own.load_table(path / "null.csv", path / "sheet.csv")
    states = llm.activations(llm.load(folder), recording.passages).sel(layer=SIGNAL).to_numpy()[recording.part_rows]
    signal = (states - states.mean(axis=0)) @ np.repeat(rng.normal(size=(tiny.WIDTH, UNITS)), PEOPLE, axis=1)
    put("planted", signal / signal.std(axis=0) + 0.5 * noise)
    return path


@pytest.fixture
def score(folder, table, capsys):
    def run(name, *options):
        place = ["--participants", str(table / "sheet.csv")]
        status = main(["score", str(folder), str(table / f"{name}.csv"), *place, *options])
        return status, *capsys.readouterr()

    return run


def layers(printed):
    """Score of each layer under the last protocol."""
    curve = printed.rpartition("layers of ")[2]
    return {layer: float(r) for layer, r in re.findall(r"^ *(\S+) +(-?[\d.]+)  █*$", curve, re.M)}


def test_planted_signal_is_found_at_its_layer(score, folder):
    status, out, _ = score("planted")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines() if "ceiling" in line and "," in line] == [
        "planted, aw2024",
        "planted, contiguous",
    ]
    curve = layers(out)
    assert set(curve) == {"0", "1", "2", "3"} and max(curve, key=curve.get) == SIGNAL
    rows = dict(re.findall(r"^(\S+) +r = +(-?[\d.]+) ", out, re.M))  # of the last protocol
    assert float(rows[folder.name]) > 0.5
    assert all(abs(float(rows[name])) < 0.25 for name in ("oasm", "length", "position", "random"))


def test_noise_is_no_signal(score):
    assert max(map(abs, layers(score("null", "--protocol", "contiguous")[1]).values())) < 0.2


def test_a_network_that_sees_too_is_scored(table, tmp_path, capsys):
    """Gemma 3 with an eye; most of its blocks look back four tokens, and each passage has more."""
    reads = kinds.HEADS | {"num_hidden_layers": 7, "sliding_window": 4}

    def sees(n):
        return hub.Gemma3Config(text_config=reads | {"vocab_size": n}, vision_config=EYE | {"num_hidden_layers": 3})

    folder = saved(tmp_path / "sees", sees)
    place = ["--participants", str(table / "sheet.csv"), "--protocol", "contiguous"]
    status, printed = main(["score", str(folder), str(table / "null.csv"), *place]), capsys.readouterr()
    assert status == 0, printed.err
    assert list(layers(printed.out)) == [str(k) for k in range(8)]


def test_a_script_gets_the_same(score, folder, table):
    curve = layers(score("planted", "--protocol", "contiguous")[1])
    recording = own.load_table(table / "planted.csv", table / "sheet.csv")
    states = llm.activations(llm.load(folder), recording.passages)
    features = {layer: to_stimuli(states.sel(layer=layer).to_numpy(), recording, "contiguous") for layer in curve}
    rows = brain_alignment(features, recording, "contiguous", ceiling_of("contiguous", recording))
    rows = rows[(rows.participant == "pooled") & (rows.region == "all") & (rows.split == "all")].set_index("layer")
    for layer, r in curve.items():
        assert rows.r[layer] == pytest.approx(r, abs=5e-4)


def test_the_page_from_a_model_to_a_score_runs(score, folder, table, tmp_path, monkeypatch):
    page = (store.PROJECT / "book" / "score.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 30
    for text, instead in (
        ('human.load("brennan2016")', "own.load_table(table / 'planted.csv', table / 'sheet.csv')"),
        ('llm.load("stories260K")', "llm.load(folder)"),
    ):
        assert text in code
        code = code.replace(text, instead)
    monkeypatch.chdir(tmp_path)
    names = {"own": own, "table": table, "folder": folder}
    exec(compile(code, "score.md", "exec"), names)
    assert (tmp_path / "layers.png").stat().st_size > 0
    printed = score("planted")[1]
    for protocol, name in (("aw2024", "oasm"), ("contiguous", folder.name)):
        part = printed.partition(f"planted, {protocol}")[2]
        (r,) = re.findall(rf"^{name} +r = +(-?[\d.]+) ", part, re.M)[:1]
        assert names["scores"].r[protocol][name] == pytest.approx(float(r), abs=5e-4)


def test_what_cannot_be_scored_is_said(score, folder, capsys):
    status, _, error = score("planted", "--protocol", "contigous")
    assert status == 1 and "unknown protocol 'contigous'. Did you mean contiguous?" in error
    assert main(["score", str(folder), "natural_storys"]) == 1
    assert "Did you mean natural_stories" in capsys.readouterr().err


def test_names_do_where_protocols_do(table):
    recording = own.load_table(table / "planted.csv", table / "sheet.csv")
    for name in protocols.PROTOCOLS:
        protocol = protocols.resolve(name, recording)
        for function in (protocols.splits_of, protocols.penalties_of, ceiling_of):
            assert repr(function(name, recording)) == repr(function(protocol, recording))


def test_a_recording_prints_in_ten_lines(table):
    printed = str(own.load_table(table / "planted.csv", table / "sheet.csv")).splitlines()
    assert printed[0] == "planted: 120 stimuli x 12 units, 3 participants, 24 passages"
    assert len(printed) <= 10 and max(map(len, printed)) <= 120
    assert "missing: 0 of 1,440 values" in printed
