import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from mirrored import publish

from brainalign import human
from brainalign.human import brennan2016, timeseries

N = 12  # volumes kept, of 22 recorded
WORDS = [
    ("sp", 19.0),
    ("Alice", 20.1),
    ("was", 21.9),
    ("", 22.3),
    ("did", 26.0),
    ("n't ", 26.5),
    ("sp", 27),
    ("say", 43.9),
]
CHAPTER = "`Alice' WAS, she didn't\nsay:"


def grid(words=WORDS):
    lines = ['File type = "ooTextFile"', "xmin = 12", "xmax = 44", "        intervals: size = 8"]
    for number, (word, start) in enumerate(words, start=1):
        lines += [f"        intervals [{number}]:", f"            xmin = {start}", "            xmax = 99"]
        lines += [f'            text = "{word}"']
    return "\n".join(lines)


def table(values):
    return "\n".join("   ".join(f"{value:.7e}" for value in np.atleast_1d(row)) for row in values)


def files(participants=("s18", "s33", "s40"), silent="s33"):
    """The release in its true layout, with three participants and 12 volumes."""
    rng = np.random.default_rng(0)
    contents = {brennan2016.GRID: grid(), brennan2016.CHAPTER: CHAPTER}
    for number, who in enumerate(participants):
        for radius in (6, 10):
            values = np.zeros((N, 6)) if who == silent else 100 * number + radius + rng.random((N, 6))
            contents[f"{brennan2016.DATA}/{radius}mm/{who}-timecourses.txt"] = table(values)
        contents[f"{brennan2016.DATA}/{who}-rp_run0{number}.e02.txt"] = table(number + rng.random((N + 10, 6)))
        contents[f"{brennan2016.DATA}/{who}-sndpwr.txt"] = table(10 + number + rng.random(N))
        contents[f"{brennan2016.DATA}/{who}-rate.txt"] = table(20 + number + rng.random(N))
    return contents


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Function that puts files into a mirror, and makes the catalog name them."""

    def put(contents, **counts):
        counts = {"participants": 3, "volumes": N, "units": 6} | counts
        about = {"address": "there", "licence": "CC BY 4.0", "citation": "Brennan", "counts": counts}
        publish(tmp_path, monkeypatch, "brennan2016", contents, **about)

    return put


@pytest.mark.parametrize("radius", [6, 10])
@pytest.mark.filterwarnings("ignore:brennan2016")
def test_volumes_by_regions_of_participants(release, radius):
    contents = files()
    release(contents)
    recording = human.load("brennan2016", radius=radius)
    assert recording.responses.shape == (N, 12)
    assert recording.units.participant.tolist() == ["s18"] * 6 + ["s40"] * 6
    assert recording.units.region.tolist() == ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"] * 2
    assert recording.units.unit_id[7] == "s40.RATL"
    expected = np.loadtxt(contents[f"{brennan2016.DATA}/{radius}mm/s40-timecourses.txt"].splitlines())
    np.testing.assert_allclose(recording.responses[:, 6:], expected, rtol=1e-6)
    assert recording.tr == 2
    assert recording.stimuli.time.tolist() == [20 + 2 * k for k in range(N)]
    assert recording.stimuli.position.tolist() == list(range(1, N + 1))
    assert set(recording.stimuli.run) == {1}
    assert recording.volumes.tolist() == list(range(10, 10 + N))
    assert recording.licence == "CC BY 4.0"


def test_silent_participant_is_left_out_with_the_reason(release):
    release(files())
    with pytest.warns(UserWarning, match=r"s33 is left out: every value of .*6mm/s33-timecourses.txt is 0, so that"):
        assert brennan2016.load().participants == ["s18", "s40"]


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_words_onsets_and_text(release):
    release(files())
    recording = brennan2016.load()
    (chapter,) = recording.passages
    # As printed where the letters are the same; contractions and pauses as in the TextGrid.
    assert chapter.parts == ("`Alice'", "WAS,", "did", "n't", "say:")
    assert chapter.onsets == (20.1, 21.9, 26.0, 26.5, 43.9)
    assert chapter.stimuli == ("alice.1.1", "alice.1.1", "alice.1.4", "alice.1.4", "alice.1.12")
    assert recording.stimuli.text.tolist() == ["`Alice' WAS,", "", "", "did n't", *[""] * 7, "say:"]


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_word_after_the_last_volume_belongs_to_none(release):
    contents = files() | {brennan2016.GRID: grid([("Alice", 19.9), ("was", 20.0), ("say", 44.0)])}
    release(contents)
    assert brennan2016.load().passages[0].stimuli == ("", "alice.1.1", "")


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_nuisance_of_each_participant(release):
    contents = files()
    release(contents)
    nuisance = brennan2016.load().nuisance
    assert nuisance.dims == ("participant", "stimulus", "regressor")
    assert nuisance.shape == (2, N, 8)
    assert nuisance.regressor.to_numpy().tolist() == [*brennan2016.MOTION, "sound_power", "word_rate"]
    mine = nuisance.sel(participant="s40")
    motion = np.loadtxt(contents[f"{brennan2016.DATA}/s40-rp_run02.e02.txt"].splitlines())
    np.testing.assert_allclose(mine[:, :6], motion[10:], rtol=1e-6)  # the first ten volumes are not in the responses
    for name, first in (("sound_power", 12), ("word_rate", 22)):
        assert mine.sel(regressor=name).to_numpy().astype(int).tolist() == [first] * N


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("6mm/s40-timecourses.txt", table(np.ones((N, 5))), r"6mm/s40-timecourses.txt: expected 6 columns, found 5"),
        ("6mm/s40-timecourses.txt", table(np.ones((9, 6))), r"6mm/s40-timecourses.txt has 9 volumes, expected 12"),
        ("6mm/s40-timecourses.txt", "1 2 x 4 5 6", r"6mm/s40-timecourses.txt: .*'x'.*Fetch the file again"),
        ("s40-sndpwr.txt", table(np.ones(9)), r"sndpwr: s40 has 9 volumes, the responses 12"),
        ("s40-rp_run02.e02.txt", table(np.ones((N, 6))), r"s40-rp_run02.e02.txt: s40 has 2 volumes, the responses 12"),
    ],
)
@pytest.mark.filterwarnings("ignore:brennan2016")
def test_other_shapes_name_the_file(release, path, content, message):
    release(files() | {f"{brennan2016.DATA}/{path}": content})
    with pytest.raises(ValueError, match=message):
        brennan2016.load()


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_participants_are_those_of_the_catalog(release):
    release(files(("s18", "s33", "s40", "s99")))
    with pytest.raises(ValueError, match="has 4 participants, expected 3"):
        brennan2016.load()
    contents = files()
    release({path: content for path, content in contents.items() if "s40-rate" not in path})
    with pytest.raises(LookupError, match="s40-rate"):
        brennan2016.load()


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_textgrid_without_words(release):
    release(files() | {brennan2016.GRID: "File type"})
    with pytest.raises(ValueError, match=r"TextGrid: intervals: no word is in it. It must be"):
        brennan2016.load()


def test_unknown_radius():
    with pytest.raises(LookupError, match=r"unknown radius \(mm\) '8'"):
        brennan2016.load(radius=8)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    beside = Path(__file__).resolve().parents[2] / "shared" / "mirror"
    folder = os.environ.get("BRAINALIGN_MIRROR") or (str(beside) if beside.is_dir() else None)
    if folder is None:
        pytest.skip("no mirror: set BRAINALIGN_MIRROR")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINALIGN_MIRROR", folder)
        patch.setenv("BRAINALIGN_STORE", str(tmp_path_factory.mktemp("store")))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            recording = brennan2016.load()
            spheres = brennan2016.load(10)
    assert [str(warning.message).split(":")[1] for warning in caught] == [" s33 is left out"] * 2
    return recording, spheres


def test_the_release(real):
    recording, larger = real
    assert recording.responses.shape == larger.responses.shape == (362, 27 * 6)
    assert len(recording.participants) == 27
    assert "s33" not in recording.participants
    assert recording.nuisance.shape == (27, 362, 8)
    assert not recording.responses.isnull().any()
    assert not np.allclose(recording.responses, larger.responses, rtol=0.01)
    (chapter,) = recording.passages
    assert len(chapter.parts) == 2127
    assert chapter.onsets[0] == pytest.approx(20.059, abs=1e-3)
    assert "" not in chapter.stimuli
    assert " ".join(chapter.parts[:13]) == "Alice was beginning to get very tired of sitting by her sister on"
    assert " ".join(recording.stimuli.text).split() == " ".join(chapter.parts).split()


def test_our_word_rate_is_that_of_the_authors(real):
    recording, _ = real
    rate = timeseries.events(recording.onsets, np.ones(2127), recording.tr, 372)[recording.volumes]
    theirs = recording.nuisance.sel(regressor="word_rate").to_numpy()
    r = timeseries.lagged_correlation(rate, theirs.T, range(-2, 3))
    assert (r.argmax(axis=0) == 2).all()
    assert r[2].min() > 0.98


def test_regions_follow_the_word_rate_at_the_right_lag(real):
    profile = brennan2016.word_rate_profile(real[0], range(-5, 6))
    assert profile.index.tolist() == list(brennan2016.REGIONS)
    assert profile.columns.tolist() == list(range(-5, 6))
    assert (profile.idxmax(axis=1) == 0).all()
    assert profile[0].between(0.1, 0.25).all()
    wrong = profile[[lag for lag in profile if abs(lag) >= 3]]
    assert (wrong.max(axis=1) < profile[0] / 2).all()


def test_ten_millimeters_agree_within_a_volume(real):
    profile = brennan2016.word_rate_profile(real[1], range(-5, 6))
    assert profile.idxmax(axis=1).isin([-1, 0]).all()
    assert profile.mean().idxmax() == 0
