import numpy as np
import pytest
from test_brainscore import blank, futrell, pereira, written  # noqa: F401

from brainalign.human import own
from brainalign.human.checks import STIMULUS, UNIT
from brainalign.llm.reading import series, tokens

TABLE = """text,passage,position,v1,v2
"One, two.",p,1,0.5,1
Three.,p,2,,2
NA,p,3,1.5,-3e-1
Four.,7,1,2,4
null,7,2,3,5
"""
SHEET = "unit,participant,region\nv2,y,MFG\nv1,x,IFG\n"


def test_table(put):
    recording = own.load_table(put(TABLE))
    assert recording.name == "mine"
    np.testing.assert_array_equal(recording.responses, np.float32([[0.5, 1], [np.nan, 2], [1.5, -0.3], [2, 4], [3, 5]]))
    assert {*STIMULUS, *UNIT} == set(recording.responses.coords)
    stimuli = recording.stimuli
    assert stimuli.text.tolist() == ["One, two.", "Three.", "NA", "Four.", "null"]
    assert stimuli.stimulus_id.tolist() == ["p.1", "p.2", "p.3", "7.1", "7.2"]
    assert stimuli.position.tolist() == [1, 2, 3, 1, 2]
    assert stimuli.story.tolist() == stimuli.passage.tolist() == ["p", "p", "p", "7", "7"]
    assert set(stimuli.experiment) == {"mine"}
    assert recording.units.to_numpy().tolist() == [["1", "all", "v1"], ["1", "all", "v2"]]
    assert recording.passages[1].parts == ("Four.", "null")


def test_sheet_of_participants(put):
    recording = own.load_table(put(TABLE), put(SHEET, "sheet.csv"))
    assert recording.units.to_numpy().tolist() == [["x", "IFG", "v1"], ["y", "MFG", "v2"]]
    without = "unit,participant\nv1,x\nv2,x\n"
    assert own.load_table(put(TABLE), put(without, "sheet.csv")).units.region.tolist() == ["all", "all"]


def test_more_coordinates_in_the_table(put):
    head, *rows = TABLE.splitlines()
    lines = [f"{head},story,stimulus_id,experiment", *(f"{row},s,id{i},e" for i, row in enumerate(rows))]
    stimuli = own.load_table(put("\n".join(lines))).stimuli
    assert stimuli.stimulus_id.tolist() == [f"id{i}" for i in range(5)]
    assert set(stimuli.story) == {"s"}
    assert set(stimuli.experiment) == {"e"}


def test_a_table_saved_by_a_spreadsheet(put):
    assert own.load_table(put("\ufeff" + TABLE)).responses.shape == (5, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("p,2,", "p,1,", r"mine.csv: position: row 3: '1' of passage 'p' is there twice. Number"),
        ("p,2,", "p,2.5,", r"mine.csv: position: row 3: '2.5' of passage 'p' is no whole number"),
        ("p,2,", "p,,", r"mine.csv: position: row 3: '' of passage 'p' is no whole number"),
        ("p,2,", "p,two,", r"mine.csv: position: row 3: 'two' is no number"),
        ("p,2,", "p,4,", r"mine.csv: stimulus 'p.4' .*position: positions must count"),
        ("p,2,", "q,2,", r"mine.csv: stimulus 'p.3' .*passage: its stimuli do not stand together"),
        ("p,3,", "7,3,", r"mine.csv: stimulus '7.3' .*position: positions must count"),
        ("1.5", "n/a", r"mine.csv: v1: row 4: 'n/a' is no number. Leave it empty"),
        ("1.5", "nan", r"mine.csv: v1: row 4: 'nan' is no number"),
        ("1.5", "inf", r"mine.csv: unit 'v1' .*responses: it is infinite"),
        ("Three.", "", r"mine.csv: stimulus 'p.2' .*text: it is empty"),
        ("passage", "paragraph", r"mine.csv: passage: the column is missing; it has text, paragraph"),
        ("v2", "v1", r"mine.csv: v1: the column is there twice"),
        ('"One, two."', "One, two.", r"mine.csv: row 2: 6 cells, the header has 5"),
        ("p,2,,2", "p,2,2", r"mine.csv: row 3: 4 cells, the header has 5"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(put, old, new, message):
    assert old in TABLE
    with pytest.raises(ValueError, match=message):
        own.load_table(put(TABLE.replace(old, new, 1)))


def test_passages_out_of_order(put):
    head, *rows = TABLE.splitlines()
    with pytest.raises(ValueError, match=r"mine.csv: stimulus 'p.2' .*position: positions must count.*Sort the rows"):
        own.load_table(put("\n".join([head, rows[1], rows[0], *rows[2:]])))
    with pytest.raises(ValueError, match=r"mine.csv: stimulus 'p.3' .*passage: its stimuli do not stand together"):
        own.load_table(put("\n".join([head, *rows[:2], *rows[3:], rows[2]])))


@pytest.mark.parametrize("column", ["", "7"])
def test_unit_without_or_with_one_value(put, column):
    lines = [f"{line},{name}" for line, name in zip(TABLE.splitlines(), ["v3"] + [column] * 5, strict=True)]
    with pytest.raises(ValueError, match=r"mine.csv: unit 'v3' .*responses: it is (missing|constant)"):
        own.load_table(put("\n".join(lines)))


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (SHEET + "v3,z,IFG\n", r"sheet.csv: unit: 'v3' is not a column of the table \(.*mine.csv\)"),
        ("unit,participant\nv1,x\n", r"sheet.csv: unit: 'v2' has no row, but is a column"),
        (SHEET + "v1,z,IFG\n", r"sheet.csv: unit: 'v1' has two rows"),
        ("unit,person\nv1,x\n", r"sheet.csv: participant: the column is missing; it has unit, person"),
    ],
)
def test_sheet_that_does_not_fit(put, sheet, message):
    with pytest.raises(ValueError, match=message):
        own.load_table(put(TABLE), put(sheet, "sheet.csv"))


@pytest.mark.parametrize("name", ["time", "run"])
def test_table_of_volumes(put, name):
    with pytest.raises(ValueError, match=f"mine.csv: {name}: a table holds no time series"):
        own.load_table(put(TABLE.replace("v2", name)))


def test_table_without_units_or_file(put, tmp_path):
    with pytest.raises(ValueError, match=r"mine.csv: no column is a unit"):
        own.load_table(put("text,passage,position\na,p,1\n"))
    with pytest.raises(ValueError, match=r"mine.csv: text: the column is missing"):
        own.load_table(put(""))
    with pytest.raises(FileNotFoundError, match=r"other.csv does not exist"):
        own.load_table(tmp_path / "other.csv")


def test_netcdf_of_passages(written):  # noqa: F811
    path = written(pereira(), "mine.nc")
    recording = own.load_netcdf(path)
    assert recording.name == "mine"
    assert recording.responses.shape == (14, 12)
    assert int(recording.responses.isnull().sum()) == 8 * 4 + 6 * 4
    assert recording.stimuli.position.tolist() == [1, 2] * 7
    assert len(recording.passages) == 7
    one = own.load_netcdf(path, experiment="384sentences")
    assert one.responses.shape == (6, 8)
    assert one.participants == ["b", "c"]
    with pytest.raises(ValueError, match="experiment: no stimulus is of '384'"):
        own.load_netcdf(path, experiment="384")


def test_netcdf_of_stories(written):  # noqa: F811
    order = np.random.default_rng(0).permutation(12)
    recording = own.load_netcdf(written(blank(order)))
    assert [passage.id for passage in recording.passages] == ["Aqua", "Boar"]
    assert recording.passages[1].parts == tuple(f"part {i}" for i in range(6))
    assert recording.units.region.tolist() == ["01_LH_PostTemp", "02_LH_AntTemp"] * 2


def test_netcdf_with_the_least(written):  # noqa: F811
    # As Tuckute2024: sentences by themselves, one unit.
    data = pereira().isel(presentation=slice(0, 8), neuroid=[0])
    data = data.drop_vars(["story", "experiment", "passage_index", "passage_label", "neuroid_id", "roi", "atlas"])
    data = (
        data.drop_vars("passage_category")
        .rename(subject="subject_UID")
        .assign_coords(stimulus_id=("presentation", np.arange(8)))
    )
    recording = own.load_netcdf(written(data, "mine.nc"))
    assert recording.stimuli.position.tolist() == [1] * 8
    assert recording.stimuli.story.tolist() == [str(i) for i in range(8)]
    assert recording.units.to_numpy().tolist() == [["a", "all", "0"]]
    assert len(recording.passages) == 8


@pytest.mark.parametrize("name", ["stimulus", "stimulus_id", "subject"])
def test_netcdf_without_a_coordinate(written, name):  # noqa: F811
    path = written(pereira().drop_vars(name))
    with pytest.raises(ValueError, match=rf"{path}: {name}: the coordinate is missing on"):
        own.load_netcdf(path)


def test_netcdf_of_reading_times(written):  # noqa: F811
    with pytest.raises(ValueError, match="expected the dims"):
        own.load_netcdf(written(futrell()))


def test_parts_are_joined_by_one_space(put, written):  # noqa: F811
    clean = put(TABLE.replace("Three.", "Three four."), "clean.csv")
    spaced = TABLE.replace('"One, two."', '" One,  two. "').replace("Three.", "Three\u00a0 four.\t")
    theirs, ours = own.load_table(clean), own.load_table(put(spaced))
    assert [passage.parts for passage in ours.passages] == [passage.parts for passage in theirs.passages]
    assert ours.stimuli.text.tolist() == theirs.stimuli.text.tolist()
    assert tokens.join(ours.passages[0].parts).text == "One, two. Three four. NA"
    assert ours.stimuli.trimmed.tolist() == [True, True, False, False, False]
    assert "trimmed" not in theirs.stimuli
    netcdf = own.load_netcdf(written(blank()))
    assert tokens.join(netcdf.passages[1].parts).text == " ".join(f"part {i}" for i in range(6))
    assert netcdf.stimuli.trimmed.all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            TABLE.replace("Three.", "It’s.").encode("cp1252"),
            r"row 3: the byte 0x92 is not UTF-8, .*cp1252.*Save",
        ),
        (TABLE.encode("utf-16"), r"its encoding is UTF-16. Save it as UTF-8"),
        (TABLE.encode("utf-16-le"), r"row 1: it has a NUL byte: .* or UTF-16. Save it as UTF-8"),
        (TABLE.replace("Three.", "Thr\0ee.").encode(), r"row 3: it has a NUL byte"),
        (TABLE.replace("Three.", '"' + "a" * 200_000).encode(), r"row \d+: field larger than field limit .* quotation"),
    ],
)
def test_a_table_in_another_encoding_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"mine\.csv: {message}"):
        own.load_table(path)
    if "field" not in message:
        with pytest.raises(ValueError, match=rf"mine\.csv: {message}"):
            series.load_one(path, "mine", None)
