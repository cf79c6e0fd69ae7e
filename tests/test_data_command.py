"""`brainalign data`, and the recordings of a study."""

import pytest
from test_brainscore import blank, written  # noqa: F401
from test_brennan2016 import files, release  # noqa: F401

from brainalign import catalog, study
from brainalign.cli import main
from brainalign.human import brennan2016
from brainalign.study.running import keys

REAL = catalog.datasets()
TABLE = "text,passage,position,v1\nOne.,p,1,1\nTwo.,p,2,2\n"


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "empty"))
    monkeypatch.delenv("BRAINALIGN_MIRROR", raising=False)


@pytest.fixture
def brennan(release, monkeypatch):  # noqa: F811
    release(files())
    known = REAL | {"brennan2016": catalog.dataset("brennan2016")}
    monkeypatch.setattr(catalog, "dataset", lambda name: known[name])
    monkeypatch.setattr(catalog, "datasets", lambda: known)


def data(capsys, *arguments):
    status = main(["data", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_list(capsys):
    status, out, _ = data(capsys, "list")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(lines) == set(catalog.datasets())
    assert "3.6 MB  0 of 10 files here" in lines["natural_stories"]
    assert lines["natural_stories"].endswith("CC BY-NC-SA 4.0")
    assert "yours to bring" in lines["wehbe2014"]
    assert "size unknown" in lines["blank2014"]


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_fetch_then_check(capsys, brennan, tmp_path, monkeypatch):
    (line,) = [line for line in data(capsys, "list")[1].splitlines() if line.startswith("brennan2016")]
    assert "0.0 MB  here" in line  # in the mirror, with the size that it has there
    assert data(capsys, "fetch", "brennan2016")[0] == 0
    mirror = tmp_path / "mirror"
    mirror.rename(tmp_path / "gone")
    monkeypatch.delenv("BRAINALIGN_MIRROR")
    status, out, err = data(capsys, "check", "brennan2016")
    assert status == 0, err
    assert "17 files" in out
    assert "12 stimuli x 12 units, 2 participants, 1 passage, a volume every 2 s" in out


def test_check_of_files_that_are_not_here(capsys):
    status, _, err = data(capsys, "check", "pereira2018.384")
    assert status == 1
    assert "assy_Pereira2018_language.nc is not here. Fetch it: brainalign data fetch pereira2018." in err


def test_check_of_a_damaged_file(capsys, brennan, tmp_path):
    place = tmp_path / "mirror" / "example.org" / brennan2016.CHAPTER
    place.write_text("another")
    status, _, err = data(capsys, "check", "brennan2016")
    assert status == 1
    assert f"{place} is not the file that the catalog names: expected sha256:" in err


def test_check_of_another_file(capsys):
    status, _, err = data(capsys, "check", "blank2014", "--from", "mine.nc")
    assert status == 1
    assert "--from: its counts are those of the published files" in err


def test_show_from_a_file_where_none_is_taken(capsys):
    status, _, err = data(capsys, "show", "brennan2016", "--from", "mine.nc")
    assert status == 1
    assert "unknown option of brennan2016 'path'. Known: radius." in err


def test_fetch_of_what_has_no_home(capsys):
    status, _, err = data(capsys, "fetch", "wehbe2014")
    assert status == 1
    assert "points the loader at a folder" in err


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_show(capsys, brennan):
    status, out, _ = data(capsys, "show", "brennan2016")
    assert status == 0
    for line in (
        "brennan2016: 12 stimuli x 12 units, 2 participants, 1 passage, a volume every 2 s",
        "participants: 2 (s18, s40)",
        "missing: 0 of 144 values",
        "repeats: 0 stimuli have a text that another one has too",
        "text: `Alice' WAS, did n't say:",
        "ceiling: none is published",
        "license: CC BY 4.0",
    ):
        assert line in out.splitlines()


def test_show_from_a_file(capsys, written, tmp_path):  # noqa: F811
    path = written(blank())
    for arguments in (("blank2014", "--from", str(path)), (str(path),)):
        status, out, _ = data(capsys, "show", *arguments)
        assert status == 0
        assert "12 stimuli x 4 units, 2 participants, 2 passages" in out
        assert "trimmed: 12 texts had a space at an edge, or two in a row" in out.splitlines()
        assert "as published" not in out  # that one is of the published file
        assert "ceiling: none: " in out  # of two people and twelve stimuli
    (tmp_path / "mine.csv").write_text(TABLE)
    out = data(capsys, "show", str(tmp_path / "mine.csv"))[1]
    assert "mine: 2 stimuli x 1 unit, 1 participant, 1 passage" in out
    assert "trimmed" not in out


def test_show_has_the_published_ceiling(capsys, monkeypatch, written):  # noqa: F811
    from brainalign.human import blank2014, download

    monkeypatch.setattr(blank2014, "fetch", lambda _: written(blank()))
    monkeypatch.setattr(blank2014, "check_counts", lambda *_: None)
    assert download.check_counts is not blank2014.check_counts
    assert "ceiling: r = 0.210, as published" in data(capsys, "show", "blank2014")[1]


def test_show_of_an_unknown_name(capsys):
    status, _, err = data(capsys, "show", "brenan2016")
    assert status == 1
    assert "Did you mean brennan2016" in err


# --- studies ----------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path):
    def put(recordings):
        path = tmp_path / "mine.yaml"
        path.write_text(f"title: Mine\nevidence: people\nrecordings: {recordings}\n")
        return str(path)

    return put


def test_recordings_of_a_study(settings, tmp_path, written):  # noqa: F811
    (tmp_path / "roi.csv").write_text(TABLE)
    (tmp_path / "sheet.csv").write_text("unit,participant\nv1,x\n")
    written(blank(), "stories.nc")
    loaded = study.load_recordings(
        study.load(settings("[{table: roi.csv, participants: sheet.csv}, {netcdf: stories.nc}]"))
    )
    assert list(loaded) == ["roi", "stories"]
    assert loaded["roi"].participants == ["x"]
    assert loaded["stories"].responses.shape == (12, 4)


@pytest.mark.filterwarnings("ignore:brennan2016")
def test_recordings_by_name(settings, release):  # noqa: F811
    release(files())
    assert list(study.load_recordings(study.load(settings("[brennan2016]")))) == ["brennan2016"]


def test_recordings_of_the_shipped_studies():
    assert study.load("printed").recordings == []
    assert study.load("sample").recordings == ["tuckute2024", "brennan2016"]


@pytest.mark.parametrize(
    ("recordings", "error", "message"),
    [
        (
            "[pereira2018.348]",
            LookupError,
            r"mine.yaml: recordings: unknown recording '.*348'. Did you mean pereira2018.384",
        ),
        ("[natural_stories]", LookupError, "unknown recording 'natural_stories'"),
        ("[{tabel: roi.csv}]", ValueError, r"mine.yaml: unknown setting 'tabel'. Did you mean table"),
        ("[{table: a.csv, netcdf: b.nc}]", ValueError, "give one of table .* not table, netcdf"),
        ("[{netcdf: b.nc, participants: c.csv}]", ValueError, "give one of table .* not participants, netcdf"),
        ("[{}]", ValueError, "give one of table .* not nothing"),
        ("[3]", ValueError, r"mine.yaml: recordings.0: input should be"),
        ("3", ValueError, r"mine.yaml: recordings: input should be a valid list"),
        ("brennan2016", ValueError, r"mine.yaml: recordings: input should be a valid list"),
    ],
)
def test_wrong_recordings_are_named(settings, recordings, error, message):
    with pytest.raises(error, match=message):
        study.load(settings(recordings))


def test_two_recordings_of_one_name(settings, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "roi.csv").write_text(TABLE)
    with pytest.raises(ValueError, match="two recordings are called 'roi'; rename one"):
        study.load_recordings(study.load(settings("[{table: a/roi.csv}, {table: b/roi.csv}]")))


def test_recordings_do_not_touch_behavioral_results(settings, tmp_path):
    (tmp_path / "roi.csv").write_text(TABLE)
    series = study.Member("m", "kuribayashi2024", {"origin": "series"})
    none, one = (
        keys.dependencies(study.load(settings(f"{recordings}\nreading_times: [natural_stories]")), series)
        for recordings in ("[]", "[{table: roi.csv}]")
    )
    assert none == one and set(none["analyses"]) == {"words", "behavior"}
