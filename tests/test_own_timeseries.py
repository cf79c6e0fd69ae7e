"""Time series of one's own: an array of volumes, words with their onsets, and what is refused."""

import builtins
import re
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from brainalign import llm
from brainalign import study as studies
from brainalign.alignment import protocols, volumes
from brainalign.cli import main
from brainalign.human import own_timeseries, timeseries
from brainalign.paper.publish import book
from brainalign.paper.sections import people as section
from brainalign.study.description.members import members
from brainalign.study.measurement import people
from brainalign.study.running import keys

ROOT = Path(__file__).resolve().parents[1]
TR, LENGTHS = 2.0, (4, 3)
WORDS = """word,onset,run,passage
Once,0,a,tale
upon,1.9,a,tale
a,2,a,tale
time.,7.9,a,tale
Then,0.5,b,tale
it,3,b,other
ended.,3,b,other
"""
UNITS = "participant,region\nanna,IFG\nanna,MFG\nben,IFG\nben,MFG\n"
NUISANCE = "csf,motion_x\n" + "".join(f"{k},{k % 2}.5\n" for k in range(7))
VALUES = np.random.default_rng(0).normal(size=(7, 4))


@pytest.fixture
def files(tmp_path):
    """Function that writes the four files, some of them with other content, and loads them."""

    def load(words=WORDS, units=UNITS, nuisance=NUISANCE, values=VALUES, tr=TR, lengths=LENGTHS, **more):
        for name, content in {"words": words, "units": units, "nuisance": nuisance}.items():
            (tmp_path / f"{name}.csv").write_text(content)
        np.save(tmp_path / "my.npy", values)
        sheets = {"units": tmp_path / "units.csv", "nuisance": tmp_path / "nuisance.csv"} | more
        return own_timeseries.load(tmp_path / "my.npy", tmp_path / "words.csv", tr, lengths, **sheets)

    return load


def test_words_and_volumes_are_on_one_clock(files):
    recording = files()
    assert (recording.name, recording.tr, recording.participants) == ("my", 2.0, ["anna", "ben"])
    stimuli = recording.stimuli
    assert stimuli.run.tolist() == [*"aaaabbb"]
    assert stimuli.text.tolist() == ["Once upon", "a", "", "time.", "Then", "it ended.", ""]
    assert recording.units.unit_id.tolist() == ["anna.1", "anna.2", "ben.1", "ben.2"]
    assert recording.units.region.tolist() == ["IFG", "MFG"] * 2
    np.testing.assert_array_equal(recording.responses, VALUES.astype(np.float32))
    # The second run begins 16 volumes, 32 s, after the first one's four have ended.
    assert stimuli.time.tolist() == [0, 2, 4, 6, 40, 42, 44]
    assert [passage.id for passage in recording.passages] == ["tale", "other"]
    assert recording.passages[0].parts == ("Once", "upon", "a", "time.", "Then")
    assert recording.onsets.tolist() == [0, 1.9, 2, 7.9, 40.5, 43, 43]
    assert recording.passages[1].stimuli == (stimuli.stimulus_id[5],) * 2
    nuisance = recording.nuisance.sel(participant="ben", regressor="nuisance.csf")
    assert nuisance.to_numpy().tolist() == [*range(7)]


def test_one_run_one_passage_one_participant(tmp_path):
    lines = "word,onset\n" + "".join(f"w{k},{k}\n" for k in range(14))
    (tmp_path / "words.csv").write_text(lines)
    np.save(tmp_path / "my.npy", VALUES)
    recording = own_timeseries.load(str(tmp_path / "my.npy"), str(tmp_path / "words.csv"), 2)
    assert recording.participants == ["1"] and set(recording.stimuli.run) == {"1"}
    assert [passage.id for passage in recording.passages] == ["my"] and recording.nuisance is None
    assert recording.stimuli.text.tolist() == [f"w{2 * k} w{2 * k + 1}" for k in range(7)]


@pytest.mark.parametrize("tr", [0.5, 1.5, 2.0, 3.0])
def test_no_word_reaches_another_run(files, tr):
    lengths = (40, 40)
    lines = "word,onset,run\nx,0,a\n" + f"last,{40 * tr - 0.1},a\ny,{tr},b\n"
    recording = files(lines, UNITS, "csf\n" + "1\n" * 80, np.random.default_rng(0).normal(size=(80, 4)), tr, lengths)
    features = np.array([[0.0], [1.0], [0.0]])  # of the last word of the first run
    assert not volumes.parts_to_stimuli(features, recording)[40:].any()
    assert not timeseries.events(recording.onsets, features[:, 0], tr, recording.volumes[-1] + 1)[
        recording.volumes[40:]
    ].any()


@pytest.mark.parametrize(("tr", "expected"), [(2.0, [1, 2, 3, 4]), (1.0, [*range(2, 9)]), (3.0, [1, 2, 3]), (9, [1])])
def test_delays_last_from_two_to_eight_seconds(tr, expected):
    assert volumes.lags(tr) == expected


def test_a_gap_lasts_ten_seconds(files):
    lines = "word,onset\n" + "".join(f"w{k},{k}\n" for k in range(100))
    for tr, gap in ((2.0, 5), (1.0, 10), (0.5, 20)):
        n = round(100 / tr)
        values = np.random.default_rng(0).normal(size=(n, 4))
        recording = files(lines, UNITS, "csf\n" + "1\n" * n, values, tr, None)
        train, test = protocols.splits_of(protocols.resolve("contiguous", recording), recording)[4]
        assert np.abs(train[:, None] - test).min() == gap + 1


def test_all_nuisance_is_taken_out(files):
    n = 200
    rng = np.random.default_rng(1)
    csf = rng.normal(size=n)
    values = csf[:, None] * [1, 2, -1, 0.5] + 0.01 * rng.normal(size=(n, 4))
    lines = "word,onset\n" + "".join(f"w{k},{2 * k}\n" for k in range(n))
    recording = files(lines, UNITS, "csf\n" + "".join(f"{value}\n" for value in csf), values, 2.0, None)
    clean = volumes.responses_of(recording, "neighbors")
    assert np.abs(np.corrcoef(csf, clean.T)[0, 1:]).max() < 0.05


def test_nuisance_of_each_participant(files):
    both = "participant,csf\n" + "".join(f"{who},{k}\n" for k in range(7) for who in ("ben", "anna"))
    recording = files(nuisance=both.replace("ben,6", "ben,9"))
    assert recording.nuisance.sel(participant="ben").to_numpy().ravel().tolist() == [0, 1, 2, 3, 4, 5, 9]
    assert recording.nuisance.sel(participant="anna").to_numpy().ravel().tolist() == [*range(7)]


def swapped(old, new, content=WORDS):
    assert old in content
    return content.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": swapped("upon,1.9", "upon,")}, "words.csv: onset: row 3: 'upon': it has no onset. Fill it in"),
        ({"words": swapped("upon,1.9", "upon,soon")}, "words.csv: onset: row 3: 'soon' is no number"),
        ({"words": swapped("7.9", "8")}, "onset: row 5: 'time.', 8 s, run a: it begins after the last volume"),
        ({"words": swapped("ended.,3", "ended.,6")}, "onset: row 8: 'ended.', 6 s, run b: it begins after the last"),
        ({"words": swapped("a,2,", "a,1.5,")}, "onset: row 4: 'a', 1.5 s, run a: it begins before the word above"),
        ({"words": swapped("Once,0", "Once,-1")}, "onset: row 2: 'Once', -1 s, run a: it begins before the first"),
        ({"words": swapped("upon", " ")}, "words.csv: word: row 3: it is empty. Fill it in"),
        ({"words": swapped("time.,7.9,a", "time.,7.9,")}, "words.csv: run: row 5: it is empty"),
        ({"words": swapped("ended.,3,b", "ended.,3,a")}, "words.csv: run: row 8: 'a' comes back after 'b'"),
        ({"words": swapped("ended.,3,b,other", "ended.,3,b,tale")}, "passage: row 8: 'tale' comes back after 'other'"),
        ({"words": swapped("onset", "start")}, "words.csv: onset: the column is missing"),
        ({"words": "word,onset\n"}, "words.csv: no word is in it"),
        ({"lengths": None}, "my.npy: volumes: words are of 2 runs .a, b.. Give the volumes of each"),
        ({"lengths": (7,)}, "my.npy: volumes: 1 numbers for 2 runs"),
        ({"lengths": (4, 4)}, r"my.npy: volumes: 4 \+ 4 make 8, the responses have 7 rows"),
        ({"lengths": (8, -1)}, r"my.npy: volumes: 8 \+ -1 make 7"),
        ({"tr": 0}, "my.npy: tr: 0 s is no time between volumes"),
        ({"units": UNITS + "ben,STG\n"}, "units.csv: it has 5 rows, the responses 4 columns"),
        ({"units": swapped("ben,IFG", ",IFG", UNITS)}, "units.csv: participant: row 4: it is empty"),
        ({"nuisance": NUISANCE + "1,1\n"}, "nuisance.csv: it has 8 rows for participant 'anna', the responses 7"),
        ({"nuisance": swapped("3,1.5", ",1.5", NUISANCE)}, "nuisance.csv: csf: row 5: no number is there"),
        ({"nuisance": "participant,csf\ncy,1\n"}, "nuisance.csv: participant: 'cy' has no unit"),
        ({"nuisance": "participant\nanna\n"}, "nuisance.csv: no column is a regressor"),
        ({"values": VALUES[:, :, None]}, r"my.npy: expected numbers, .volumes, units., found float64 \(7, 4, 1\)"),
        ({"values": np.array([["a"] * 4] * 7)}, "my.npy: expected numbers"),
        ({"values": np.array([[{"a": 1}] * 4] * 7)}, "my.npy: "),
        ({"values": np.where(np.arange(28).reshape(7, 4) == 6, np.nan, VALUES)}, "my.npy: row 2, column 3: nan is no"),
        ({"values": VALUES * [1, 0, 1, 1]}, "unit 'anna.2' .*: responses: it is constant"),
        ({"mask": "mask.nii"}, "my.npy: mask: it is for NIfTI"),
    ],
)
def test_what_does_not_fit_is_refused(files, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        files(**change)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"my.csv: responses are .npy or NIfTI"):
        own_timeseries.load("my.csv", "words.csv", 2.0)
    with pytest.raises(FileNotFoundError, match=r"my.npy does not exist"):
        own_timeseries.load(tmp_path / "my.npy", "words.csv", 2.0)
    with pytest.raises(ValueError, match=r"my.nii.gz: mask: NIfTI needs one"):
        own_timeseries.load(tmp_path / "my.nii.gz", "words.csv", 2.0)
    with pytest.raises(FileNotFoundError, match=r"my.nii.gz does not exist"):
        own_timeseries.load(tmp_path / "my.nii.gz", "words.csv", 2.0, mask="mask.nii")


@pytest.fixture
def nifti(tmp_path):
    for name in ("my.nii.gz", "mask.nii"):
        (tmp_path / name).touch()
    (tmp_path / "words.csv").write_text(WORDS)
    return lambda: own_timeseries.load(
        tmp_path / "my.nii.gz", tmp_path / "words.csv", TR, LENGTHS, mask=tmp_path / "mask.nii"
    )


def test_nifti_is_masked_by_nilearn(nifti, monkeypatch):
    calls = []

    def apply_mask(*places, dtype, ensure_finite):
        calls.append([place.rpartition("/")[2] for place in places])
        return VALUES.astype(dtype)

    monkeypatch.setitem(sys.modules, "nilearn", types.ModuleType("nilearn"))
    monkeypatch.setitem(sys.modules, "nilearn.masking", types.SimpleNamespace(apply_mask=apply_mask))
    recording = nifti()
    assert recording.name == "my" and calls == [["my.nii.gz", "mask.nii"]]
    np.testing.assert_array_equal(recording.responses, VALUES.astype(np.float32))


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (
            ValueError("Mask shape: (3, 3)\n is different."),
            r"my.nii.gz: Mask shape: \(3, 3\) is different. Give a series",
        ),
        (VALUES[0], "my.nii.gz: it is one volume. Give a series of volumes."),
        (np.where(VALUES[1, 2] == VALUES, np.nan, VALUES), "my.nii.gz: row 2, column 3: nan is no response"),
    ],
)
def test_nifti_that_does_not_fit_is_refused(nifti, monkeypatch, outcome, message):
    def apply_mask(*places, **options):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setitem(sys.modules, "nilearn", types.ModuleType("nilearn"))
    monkeypatch.setitem(sys.modules, "nilearn.masking", types.SimpleNamespace(apply_mask=apply_mask))
    with pytest.raises(ValueError, match=message) as caught:
        nifti()
    assert "\n" not in str(caught.value)


def test_nifti_without_nilearn(nifti, monkeypatch):
    true_import = builtins.__import__

    def without(name, *arguments):
        if name.startswith("nilearn"):
            raise ImportError(name)
        return true_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"my.nii.gz: NIfTI is read by nilearn, which is not installed. Install"):
        nifti()


# --- in a study -------------------------------------------------------------------------------------------

SENTENCES = [line for line in tiny.TEXT.splitlines() if line]
WITH_SIGNAL = "2"  # layer


def responses_to(states, recording, rng, strength):
    """Responses of 3 x 4 units: a mixture of features, delayed, under noise of each unit."""
    features = timeseries.zscore(volumes.parts_to_stimuli(states, recording))
    signal = timeseries.zscore(features @ rng.normal(size=(features.shape[1], 4)))
    signal = np.tile(signal, 3)
    return 100 + strength * signal + rng.normal(size=signal.shape)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Folder of a study: three people hear 12 texts in two runs, and respond to a layer of a model, or to nothing."""
    folder = tmp_path_factory.mktemp("planted")
    tiny.gpt2(folder / "little")
    rng = np.random.default_rng(0)
    vocabulary = " ".join(SENTENCES).split()
    rows = []
    for run in "ab":
        onsets = np.arange(240) * 0.5 + 1
        words = rng.choice(vocabulary, len(onsets))
        passages = [f"{run}{place // 40}" for place in range(len(onsets))]
        rows += list(zip(words, onsets, [run] * len(onsets), passages, strict=True))
    pd.DataFrame(rows, columns=["word", "onset", "run", "passage"]).to_csv(folder / "words.csv", index=False)
    units = [f"{who},{region}" for who in ("anna", "ben", "cleo") for region in ("IFG", "IFG", "MTG", "MTG")]
    (folder / "units.csv").write_text("participant,region\n" + "\n".join(units) + "\n")
    (folder / "nuisance.csv").write_text("csf\n" + "\n".join(map(str, rng.normal(size=130))) + "\n")
    np.save(folder / "signal.npy", rng.normal(size=(130, 12)))
    files = "words: words.csv, tr: 2.0, volumes: [65, 65], units: units.csv, nuisance: nuisance.csv"
    (folder / "mine.yaml").write_text(
        "title: Mine\nevidence: people\nresamples: 100\nprotocols: [contiguous]\nmodels: [little]\n"
        f"recordings: [{{responses: signal.npy, {files}}}, {{responses: nothing.npy, {files}}}]\n"
    )
    shutil.copy(folder / "signal.npy", folder / "nothing.npy")
    study = studies.load(str(folder / "mine.yaml"))
    recording = studies.load_recordings(study)["signal"]
    states = llm.activations(studies.load_model(study, "little"), recording.passages).sel(layer=WITH_SIGNAL)
    np.save(folder / "signal.npy", responses_to(states.to_numpy(), recording, rng, 3.0))
    np.save(folder / "nothing.npy", responses_to(states.to_numpy(), recording, rng, 0.0))
    return folder


@pytest.fixture
def study(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "store"))
    for file in planted.iterdir():
        (shutil.copytree if file.is_dir() else shutil.copy)(file, tmp_path / file.name)
    return studies.load(str(tmp_path / "mine.yaml"))


def test_a_planted_signal_is_found_at_its_layer_and_the_null_is_not(study):
    table = studies.run(study, "little")["brain"]
    pooled = table[(table.participant == "pooled") & (table.region == "all") & (table.split == "all")]
    signal, nothing = (pooled[pooled.dataset == name] for name in ("signal", "nothing"))
    layers = signal[signal.layer != "nested"].set_index("layer").r
    assert layers.idxmax() == WITH_SIGNAL and layers.max() > 0.5
    assert signal.set_index("layer").share[WITH_SIGNAL] == 1 and 0.8 < signal.ceiling.iloc[0] <= 1
    assert nothing.r.abs().max() < 0.15


def test_its_people_are_measured(study):
    tables = studies.run(study, "people")
    shape = tables["recordings"].set_index("dataset").loc["signal"]
    assert shape[["participants", "units", "regions", "stimuli", "tr"]].tolist() == [3, 12, 2, 130, 2.0]
    alike = tables["reliability"].set_index(["dataset", "region"])
    assert alike.value["signal"].min() > 0.8 and alike.value["nothing"].abs().max() < 0.3
    courses = tables["responses"].groupby(["dataset", "unit"]).size()
    assert courses.to_dict() == {(name, region): 130 for name in ("nothing", "signal") for region in ("IFG", "MTG")}


def test_one_person_has_time_courses_and_no_intervals(files):
    recording = files(units="participant,region\nanna,a\nanna,b\nanna,c\nanna,d\n")
    with np.errstate(all="raise"):
        assert people.responses(recording).low.isna().all()
    assert people.reliabilities(None, recording).empty


@pytest.mark.parametrize("name", ["words.csv of signal", "units.csv of signal", "nuisance.csv of signal", "signal.npy"])
def test_a_file_that_changes_makes_results_stale(study, name):
    (member,) = (member for member in members(study).values() if member.name == "little")
    before = keys.dependencies(study, member)
    file = Path(study.recordings[0].responses).parent / name.split()[0]
    file.write_bytes(file.read_bytes() + b"\n")
    (change,) = keys.changes(before, keys.dependencies(study, member))
    assert change.startswith("data: ") and name in change


def test_data_show_has_its_ceiling(study, tmp_path, capsys):
    sheets = [f"--{name}={tmp_path / name}.csv" for name in ("words", "units", "nuisance")]
    options = [*sheets, "--tr=2", "--volumes", "65", "65"]
    assert main(["data", "show", str(tmp_path / "signal.npy"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "signal: 130 stimuli x 12 units, 3 participants, 12 passages, a volume every 2 s"
    (ceiling,) = (line for line in lines if line.startswith("ceiling: r = 0.9"))
    assert ceiling.endswith("contiguous folds")
    assert main(["data", "show", str(tmp_path / "signal.npy"), "--tr=2"]) == 1
    assert "signal.npy: --words: volumes need it" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["responses: my.npy, words: words.csv", "table: my.csv, tr: 2.0", "mask: m.nii"])
def test_a_study_says_what_a_recording_needs(tmp_path, entry):
    (tmp_path / "mine.yaml").write_text(f"title: M\nevidence: people\nrecordings: [{{{entry}}}]\n")
    with pytest.raises(ValueError, match=r"recordings.0: give one of table .*, and responses with words and tr"):
        studies.load(str(tmp_path / "mine.yaml"))


def test_entries_of_the_page_are_settings(tmp_path):
    page = (ROOT / "book" / "own_data.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    kinds = []
    for settings in blocks:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"title": "M", "evidence": "people"} | settings))
        loaded = studies.load(str(tmp_path / "mine.yaml"))
        kinds += [source.name for source in [*loaded.recordings, *loaded.reading_times]]
    assert kinds == ["my", "bold", "my", "eyes.gaze_duration"]


def test_recordings_stand_on_the_people(study):
    studies.run(study, "people")
    recordings, reliability = section.recordings(study), section.reliability(study)
    table = section.table_of_recordings(recordings, reliability).set_index("dataset")
    assert table.intersubject["signal"] > 0.8 and np.isnan(table.ceiling["signal"])
    assert "own-recordings" in book._comparisons(study)
