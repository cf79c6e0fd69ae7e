"""Tuckute et al. 2024: the mean of five people who read single sentences, from a table and from Brain-Score's file."""

import numpy as np
import pytest
from books import MIRROR
from mirrored import publish
from test_brainscore import dataset, written  # noqa: F401

from brainalign import cli, human
from brainalign.alignment import controls, protocols
from brainalign.alignment.brain import brain_alignment
from brainalign.human.repeats import repeated
from brainalign.human.tuckute2024 import FILES

N = 40
REGIONS = ("lang_LH_IFG", "lang_LH_MFG", "lang_LH_netw")
TEXT = [f"{word} sat near the {end} door." for word in ("Ann", "Ben", "Cy", "Di") for end in "abcdefghij"]
VALUES = np.random.default_rng(0).normal(size=(N, len(REGIONS))).astype(np.float32)


def table(values=VALUES, text=TEXT):
    rows = [
        f'B.{i + 1},"{line}",{",".join(map(str, row))}' for i, (line, row) in enumerate(zip(text, values, strict=True))
    ]
    return "\n".join([",".join(["item_id", "sentence", *REGIONS]), *rows])


def netcdf():
    """As Brain-Score writes it: rows in the order of the ids' letters, one unit, and its people in one name."""
    order = sorted(range(N), key=lambda i: f"B.{i + 1}")
    rows = {"stimulus_id": [f"B.{i + 1}" for i in order], "stimulus": [TEXT[i] for i in order], "cond": ["B"] * N}
    columns = {"neuroid_id": [1], "subject_UID": ["848-853-865-875-876"], "roi": ["lang_LH_netw"]}
    return dataset(VALUES[order, 2:].astype(float), rows, columns)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(table(), encoding="utf-8")
    return human.load("tuckute2024", path=path)


def test_a_row_of_the_table_is_a_sentence_and_a_column_a_unit(own):
    assert own.name == "tuckute2024" and own.tr is None
    np.testing.assert_array_equal(own.responses, VALUES)
    assert own.units.region.tolist() == own.units.unit_id.tolist() == list(REGIONS)
    assert own.participants == ["mean of 5 people"]
    assert own.stimuli.stimulus_id[:2].tolist() == ["B.1", "B.2"] and own.stimuli.text.tolist() == TEXT


def test_nothing_precedes_a_sentence(own):
    assert [passage.parts for passage in own.passages] == [(text,) for text in TEXT]
    assert (own.stimuli.position == 1).all() and own.stimuli.story.is_unique
    assert not repeated(own).any()


def test_brain_scores_file_has_the_network_alone(written):  # noqa: F811
    recording = human.load("tuckute2024.brainscore", path=written(netcdf()))
    assert recording.name == "tuckute2024.brainscore" and recording.responses.shape == (N, 1)
    assert recording.participants == ["mean of 5 people"]
    values = recording.responses.to_numpy()[:, 0]
    by_id = dict(zip(recording.stimuli.stimulus_id, values, strict=True))
    np.testing.assert_array_equal([by_id[f"B.{i + 1}"] for i in range(N)], VALUES[:, 2])
    assert recording.stimuli.stimulus_id.tolist()[:3] == ["B.1", "B.10", "B.11"]  # the file's order


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table().replace("sentence", "text", 1), "sentence: the column is missing"),
        (table().replace(str(VALUES[0, 1]), "high", 1), "lang_LH_MFG: row 2: 'high' is no number"),
        (table().replace("B.2,", "B.1,", 1), "stimulus_id: it is not unique"),
        (table().replace(TEXT[0], "", 1), "text: it is empty"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"mine.csv: .*{message}"):
        human.load("tuckute2024", path=path)


def test_the_published_file_has_the_counts_of_the_catalog(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, "tuckute2024", {FILES["table"]: table()}, counts={"stimuli": 1000})
    with pytest.raises(ValueError, match=f"has {N} stimuli, expected 1000"):
        human.load("tuckute2024")


def test_brain_scores_file_says_whose_mean_it_is(tmp_path, monkeypatch, written):  # noqa: F811
    content = written(netcdf()).read_bytes()
    publish(tmp_path, monkeypatch, "tuckute2024.brainscore", {FILES["brainscore"]: content}, counts={"participants": 4})
    with pytest.raises(ValueError, match="has 5 participants, expected 4"):
        human.load("tuckute2024.brainscore")


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_every_protocol_splits_sentences_that_stand_alone(own, name):
    tested = [test for _, test in protocols.splits_of(name, own)]
    assert len(tested) == 10 and {len(test) for test in tested} == {N // 10}
    assert protocols.applicable([name], own) == [name]
    if protocols.PROTOCOLS[name].partition:
        assert sorted(np.concatenate(tested)) == list(range(N))


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_a_score_without_people_has_no_deviation_over_them(own, name):
    features = VALUES @ np.ones((3, 2)) + np.random.default_rng(1).normal(size=(N, 2))
    scores = brain_alignment({"1": features}, own, name).query("chosen and participant == 'pooled' and split == 'all'")
    assert scores.r.gt(0.1).all() and scores.ceiling.isna().all() and scores.mad.isna().all()
    assert scores.region.tolist() == ["all", *REGIONS]


@pytest.mark.filterwarnings("ignore:features of layer position", "ignore:100%")
def test_adjacency_and_position_tell_nothing_of_sentences_that_stand_alone(own):
    features = controls.features(own)
    for name in ("oasm", "position"):
        r = brain_alignment({name: features[name]}, own, "contiguous").query("chosen").r
        assert r.abs().max() < 1e-6, name


@pytest.fixture
def real(tmp_path, monkeypatch):
    if not list(MIRROR.glob(f"raw.githubusercontent.com/flawreen/LLM2vec/*/{FILES['table']}")):
        pytest.skip("BRAINALIGN_MIRROR has no Tuckute2024")
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(MIRROR))
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path))


def test_the_release(real):
    recording = human.load("tuckute2024")
    assert recording.responses.shape == (1000, 6) and len(recording.passages) == 1000
    assert recording.passages[0].parts == ("Taste that fowl and those fish.",)
    assert recording.stimuli.text.str.split().str.len().isin([6, 7]).all()
    assert recording.units.region.iloc[-1] == "lang_LH_netw"
    # What Brain-Score's own test holds its file to: the two are of one release.
    assert 1.28 < recording.responses[:, -1].max() < 1.29


def test_the_published_ceiling_is_shown_as_published(real, capsys):
    assert cli.main(["data", "show", "tuckute2024"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "tuckute2024: 1,000 stimuli x 6 units, 1 participant, 1,000 passages",
        "participants: 1 (mean of 5 people)",
    ]
    assert lines[-1] == "ceiling: r = 0.560, as published"


def test_length_tells_as_much_as_it_did(real):
    recording = human.load("tuckute2024")
    scores = brain_alignment({"length": controls.length(recording)}, recording, "contiguous")
    (r,) = scores.query("chosen and participant == 'pooled' and split == 'all' and region == 'all'").r
    assert r == pytest.approx(0.220, abs=0.005)
