"""The three files of Brain-Score, made up in their true layout; and what can be wrong with them."""

import os
import warnings
from pathlib import Path

import mirrored
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from recordings import reading

from brainalign import human
from brainalign.human import blank2014, brainscore, futrell2018, own, pereira2018
from brainalign.human.checks import STIMULUS, UNIT
from brainalign.human.reading_times import ReadingTimes, by_word
from brainalign.human.recording import Recording

EXPERIMENTS = ["243sentences"] * 8 + ["384sentences"] * 6


def dataset(values, rows, columns, dims=("presentation", "neuroid")):
    """A file as Brain-Score writes it: a MultiIndex reset to plain coordinates."""
    coordinates = {name: (dims[0], np.array(column)) for name, column in rows.items()}
    coordinates |= {name: (dims[1], np.array(column)) for name, column in columns.items()}
    return xr.DataArray(values, dims=dims, coords=coordinates).to_dataset(name="data")


def pereira(order=None, **changes):
    """14 sentences of two experiments, 12 voxels of three participants; `b` took part in both."""
    number = [*range(8), *range(6)]
    category = [f"topic{i // 4}" for i in number]
    rows = {
        "experiment": EXPERIMENTS,
        "story": [f"{name}.{topic}" for name, topic in zip(EXPERIMENTS, category, strict=True)],
        "passage_category": category,
        # In the first experiment one label covers the passages of a topic.
        "passage_label": category[:8] + [f"label{i // 2}" for i in range(6)],
        "passage_index": [1 + i // 2 for i in number],
        "stimulus_id": [f"{name}.{i}" for name, i in zip(EXPERIMENTS, number, strict=True)],
        "stimulus": [f"Sentence {i}." for i in number],
    }
    columns = {
        "subject": np.repeat(["a", "b", "c"], 4),
        "neuroid_id": [f"v{i}" for i in range(12)],
        "voxel_num": range(12),
        "atlas": ["language"] * 12,
        "roi": ["IFG", "MFG"] * 6,
    }
    values = 100.0 * np.arange(14)[:, None] + np.arange(12) ** 1.5
    values[:8, 8:] = np.nan
    values[8:, :4] = np.nan
    for name, (at, value) in changes.items():
        assert name.startswith("cell")
        values[at] = value
    order = np.arange(14) if order is None else order
    rows = {name: np.array(column)[order] for name, column in rows.items()}
    return dataset(values.astype(np.float32)[order], rows, columns)


def blank(order=None):
    """Two stories of six parts, four regions of two participants."""
    sentence, part = np.divmod(np.arange(6), 2)
    rows = {
        "story": np.repeat(["Boar", "Aqua"], 6),
        "stimulus_id": [f"{story}.{s}.{p}" for story in ("Boar", "Aqua") for s, p in zip(sentence, part, strict=True)],
        "stimulus": [f"part {i} " for i in range(12)],
        "sentence_number_in_story": np.tile(sentence, 2),
        "part_number_in_sentence": np.tile(part, 2),
    }
    areas = ["01_LH_PostTemp", "02_LH_AntTemp"]
    columns = {
        "subject_id": np.repeat(["061", "085"], 2),
        "fROI_area": areas * 2,
        "neuroid_id": [f"{who}.{area}" for who in ("061", "085") for area in areas],
    }
    values = np.arange(48.0).reshape(12, 4) ** 1.1
    order = np.arange(12) if order is None else order
    rows = {name: np.array(column)[order] for name, column in rows.items()}
    return dataset(values.astype(np.float32)[order], rows, columns)


def futrell(words="'If you go, Mr. Null. It did. A well-off tale.", stories=(1, 1, 1, 1, 1, 1, 1, 2, 2, 2)):
    words, stories = words.split(), np.array(stories)
    ends = np.array([word.endswith(".") and word != "Mr." for word in words])
    first = np.r_[True, ends[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(words)), 0))
    rows = {
        "word": words,
        "word_core": [word.strip(".,'") for word in words],
        "story_id": stories,
        "word_id": np.concatenate([np.arange(1, (stories == story).sum() + 1) for story in np.unique(stories)]),
        "word_within_sentence_id": 1 + np.arange(len(words)) - start,
        "sentence_id": np.cumsum(first),
        "stimulus_id": np.arange(len(words)) + 1,
    }
    times = 300 + np.arange(len(words))[:, None] + np.array([0.0, 100, 200])
    times[3, 0] = np.nan
    times[4, :2] = np.nan
    columns = {"subject_id": ["r1", "r2", "r3"], "WorkTimeInSeconds": [1, 2, 3]}
    return dataset(times, rows, columns, ("presentation", "subject"))


@pytest.fixture
def written(tmp_path):
    def write(data, name="file.nc", variable="data", **encoding):
        path = tmp_path / name
        data.to_netcdf(path, engine="h5netcdf", encoding={variable: {"zlib": True, **encoding}})
        return path

    return write


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Function that puts a file into a mirror, and makes the catalog name it with some counts."""

    def put(path, name, **counts):
        mirror = mirrored.publish(
            tmp_path, monkeypatch, "pereira2018", {name: path.read_bytes()}, licence="none", counts=counts
        )
        return mirror / name

    return put


# --- Pereira2018 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", ["243", "384"])
def test_pereira_has_the_sentences_and_voxels_of_one_experiment(written, experiment):
    recording = human.load(f"pereira2018.{experiment}", path=written(pereira()))
    rows, voxels = (np.arange(8), np.arange(8)) if experiment == "243" else (np.arange(8, 14), np.arange(4, 12))
    assert recording.name == f"pereira2018.{experiment}"
    assert recording.participants == (["a", "b"] if experiment == "243" else ["b", "c"])
    expected = pereira()["data"].to_numpy()[np.ix_(rows, voxels)]
    np.testing.assert_array_equal(recording.responses, expected)
    assert recording.responses.dtype == np.float32
    assert recording.stimuli.row.tolist() == rows.tolist()
    assert recording.units.unit_id.tolist() == [f"v{i}" for i in voxels]
    assert recording.units.region.tolist() == ["IFG", "MFG"] * 4
    assert {*STIMULUS, *UNIT, "row"} == set(recording.responses.coords)
    assert set(recording.stimuli.experiment) == {f"{experiment}sentences"}
    assert recording.stimuli.position.tolist() == [1, 2] * (len(rows) // 2)
    assert recording.stimuli.story[0] == f"{experiment}sentences.topic0"
    assert recording.licence.startswith("not stated")
    assert recording.tr is None


def test_pereira_contexts(written):
    path = written(pereira())

    def ids(experiment, context):
        recording = pereira2018.load(experiment, context=context, path=path)
        assert recording.stimuli.passage.nunique() == len(recording.stimuli) // 2  # what people saw, in any case
        return [[int(i.rpartition(".")[2]) for i in passage.stimuli] for passage in recording.passages]

    assert ids("243", "label") == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert ids("243", "passage") == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert ids("243", "sentence") == [[i] for i in range(8)]
    assert ids("384", "label") == ids("384", "passage") == [[0, 1], [2, 3], [4, 5]]
    label = pereira2018.load("384", path=path).passages[1]
    assert label.id == "384sentences.label1"
    assert label.parts == ("Sentence 2.", "Sentence 3.")


def test_pereira_is_in_reading_order_and_knows_its_rows(written):
    order = np.random.default_rng(0).permutation(14)
    straight = pereira2018.load("243", path=written(pereira()))
    mixed = pereira2018.load("243", path=written(pereira(order), "mixed.nc"))
    np.testing.assert_array_equal(mixed.responses, straight.responses)
    assert mixed.passages == straight.passages
    assert order[mixed.stimuli.row].tolist() == list(range(8))


@pytest.mark.parametrize("chunks", [(14, 12), (5, 5), (3, 1), None])
def test_blocks_follow_the_chunks_of_the_file(written, monkeypatch, chunks):
    monkeypatch.setattr(brainscore, "BLOCK", 20)
    encoding = {"chunksizes": chunks} if chunks else {"zlib": False}
    loaded = pereira2018.load("384", path=written(pereira(), **encoding))
    np.testing.assert_array_equal(loaded.responses, pereira()["data"][8:, 4:])


def test_packed_files_are_unpacked(written):
    path = written(pereira(), dtype="int32", _FillValue=-9, scale_factor=0.5)
    with brainscore.opened(path) as opened:
        values, kept = brainscore.responses(opened, np.arange(8), opened.subject.to_numpy())
    assert kept.tolist() == list(range(8))
    np.testing.assert_allclose(values, pereira()["data"][:8, :8], atol=0.25)


def test_auditory_network(written, publish):
    place = publish(written(pereira()), "assy_Pereira2018_auditory.nc", stimuli=14, units=12)
    assert human.load("pereira2018.auditory.384").responses.shape == (6, 8)
    assert place.exists()


COUNTS = {"stimuli": 14, "units": 12, "participants": 3, "units_384": 8, "participants_384": 2}


def test_published_file_has_the_published_counts(written, publish):
    publish(written(pereira()), "assy_Pereira2018_language.nc", **COUNTS)
    assert pereira2018.load("384").responses.shape == (6, 8)


@pytest.mark.parametrize("what", COUNTS)
def test_other_counts_are_an_error(written, publish, what):
    publish(written(pereira()), "assy_Pereira2018_language.nc", **COUNTS | {what: 99})
    with pytest.raises(ValueError, match=rf"assy_Pereira2018_language.nc has \d+ {what}, expected 99.*datasets.yaml"):
        pereira2018.load("384")


def test_extra_participant(written, publish):
    data = pereira()
    data = data.assign_coords(subject=("neuroid", np.array([*data.subject.to_numpy()[:-1], "d"])))
    publish(written(data), "assy_Pereira2018_language.nc", **COUNTS)
    with pytest.raises(ValueError, match="has 4 participants, expected 3"):
        pereira2018.load("384")


def test_wrong_hash(written, publish):
    place = publish(written(pereira()), "assy_Pereira2018_language.nc", **COUNTS)
    place.write_bytes(b"another")
    with pytest.raises(
        ValueError, match=r"assy_Pereira2018_language.nc in the mirror is not the file .* expected sha256:"
    ):
        pereira2018.load("384")


@pytest.mark.parametrize("name", [*pereira2018.STIMULUS.values(), *pereira2018.UNIT.values()])
def test_missing_coordinate(written, name):
    path = written(pereira().drop_vars(name))
    with pytest.raises(ValueError, match=rf"{path}: {name}: the coordinate is missing on .*which has .*Fetch"):
        pereira2018.load("384", path=path)


def test_voxel_without_any_response(written):
    path = written(pereira(cell=((slice(None), 5), np.nan)))
    with pytest.raises(ValueError, match=rf"{path}: data: neuroid 5 \(participant 'b'\) is missing .*Leave it out"):
        pereira2018.load("384", path=path)


def test_constant_voxel(written):
    path = written(pereira(cell=((slice(8, None), 6), 3)))
    with pytest.raises(ValueError, match=rf"{path}: unit 'v6' \(participant 'b'\): responses: it is constant"):
        pereira2018.load("384", path=path)
    assert pereira2018.load("243", path=path).responses.shape == (8, 8)


@pytest.mark.parametrize("rows", [8, slice(8, None)])
def test_voxel_without_some_responses_is_left_out_as_by_brainscore(written, rows):
    path = written(pereira(cell=((rows, 6), np.nan)))
    with pytest.warns(UserWarning, match=f"{path}: data: 1 units lack stimuli .*are left out"):
        recording = pereira2018.load("384", path=path)
    assert recording.units.unit_id.tolist() == [f"v{i}" for i in (4, 5, 7, 8, 9, 10, 11)]
    np.testing.assert_array_equal(recording.responses, pereira()["data"][8:, [4, 5, 7, 8, 9, 10, 11]])


def test_passages_out_of_order(written):
    data = pereira()
    index = data.passage_index.to_numpy().copy()
    index[8:12] = [1, 2, 1, 2]
    path = written(data.assign_coords(passage_index=("presentation", index)))
    with pytest.raises(ValueError, match=rf"{path}: stimulus '384sentences.2' .*passage: its stimuli do not stand"):
        pereira2018.load("384", path=path)


def test_stimuli_without_numbers(written):
    data = pereira()
    ids = data.stimulus_id.to_numpy().astype("U30")
    ids[9] = "384sentences.x"
    path = written(data.assign_coords(stimulus_id=("presentation", ids)))
    with pytest.raises(ValueError, match=r"stimulus_id: '384sentences.x' ends in no number"):
        pereira2018.load("384", path=path)


def test_file_without_the_experiment(written):
    path = written(pereira().isel(presentation=slice(0, 8)))
    with pytest.raises(ValueError, match=r"experiment: no stimulus is of '384sentences'"):
        pereira2018.load("384", path=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "348"}, "experiment of Pereira2018 '348'. Did you mean 384"),
        ({"network": "langauge"}, "network of Pereira2018 'langauge'. Did you mean language"),
        ({"context": "passages"}, "context 'passages'. Did you mean passage"),
    ],
)
def test_unknown_options(options, message):
    with pytest.raises(LookupError, match=message):
        pereira2018.load(**options)


# --- Blank2014 --------------------------------------------------------------------------------------------


def test_blank(written):
    recording = human.load("blank2014", path=written(blank()))
    straight = np.r_[6:12, 0:6]  # stories by name
    np.testing.assert_array_equal(recording.responses, blank()["data"].to_numpy()[straight])
    assert recording.stimuli.row.tolist() == straight.tolist()
    assert recording.stimuli.passage.tolist() == recording.stimuli.story.tolist() == ["Aqua"] * 6 + ["Boar"] * 6
    assert recording.stimuli.position.tolist() == [*range(1, 7)] * 2
    assert set(recording.stimuli.experiment) == {"blank2014"}
    assert {*STIMULUS, *UNIT, "row", "trimmed"} == set(recording.responses.coords)
    assert recording.units.region.tolist() == ["01_LH_PostTemp", "02_LH_AntTemp"] * 2
    assert recording.participants == ["061", "085"]
    assert [passage.id for passage in recording.passages] == ["Aqua", "Boar"]
    assert recording.passages[1].parts == tuple(f"part {i}" for i in range(6))
    assert recording.part_rows.tolist() == list(range(12))


def test_blank_is_read_in_order_whatever_the_order_of_the_file(written):
    order = np.random.default_rng(0).permutation(12)
    straight, mixed = (blank2014.load(written(blank(o), f"{o is None}.nc")) for o in (None, order))
    np.testing.assert_array_equal(mixed.responses, straight.responses)
    assert mixed.passages == straight.passages
    assert (order[mixed.stimuli.row] == straight.stimuli.row).all()


def test_blank_part_twice(written):
    data = blank()
    part = data.part_number_in_sentence.to_numpy().copy()
    part[3] = 0
    path = written(data.assign_coords(part_number_in_sentence=("presentation", part)))
    with pytest.raises(
        ValueError, match=rf"{path}: part_number_in_sentence: story 'Boar', sentence 1 has part 0 twice"
    ):
        blank2014.load(path)


def test_blank_counts(written, publish):
    counts = {"stimuli": 12, "units": 4, "participants": 2, "stories": 2, "stimuli_Aqua": 6}
    publish(written(blank()), "assy_Blank2014_fROI.nc", **counts)
    assert blank2014.load().responses.shape == (12, 4)
    publish(written(blank()), "assy_Blank2014_fROI.nc", **counts | {"stimuli_Aqua": 5})
    with pytest.raises(ValueError, match="has 6 stimuli_Aqua, expected 5"):
        blank2014.load()


def test_blank_missing_unit_is_an_error(written):
    data = blank()
    data["data"][:, 2] = np.nan
    with pytest.raises(ValueError, match=r"unit '085.01_LH_PostTemp' .*responses: it is missing"):
        blank2014.load(written(data))


# --- Futrell2018 ------------------------------------------------------------------------------------------


def test_futrell(written):
    times = human.load("futrell2018", path=written(futrell()))
    assert times.times.dims == ("word", "reader")
    assert times.times.attrs["units"] == "ms"
    assert times.times.reader.to_numpy().tolist() == ["r1", "r2", "r3"]
    words = times.table()
    assert words.text.tolist() == ["'If", "you", "go,", "Mr.", "Null.", "It", "did.", "A", "well-off", "tale."]
    assert words.story.tolist() == [1] * 7 + [2] * 3
    assert words.position.tolist() == [*range(1, 8), 1, 2, 3]
    assert words.sentence.tolist() == [1] * 5 + [2] * 2 + [1] * 3
    assert words.length.tolist() == [2, 3, 2, 2, 4, 2, 3, 1, 8, 4]
    assert words.n_readers.tolist() == [3, 3, 3, 2, 1, 3, 3, 3, 3, 3]
    assert words.reading_time.tolist() == [400, 401, 402, 453, 504, 405, 406, 407, 408, 409]
    np.testing.assert_allclose(words.sd, [100, 100, 100, np.sqrt(5000), np.nan, *[100] * 5])
    assert words.log_frequency.isna().all()


def test_futrell_corrected_moves_each_time_to_the_next_word_of_the_story(written):
    path = written(futrell())
    original, corrected = (futrell2018.load(name, path) for name in ("original", "corrected"))
    before, after = original.times.to_numpy(), corrected.times.to_numpy()
    for story in (slice(0, 7), slice(7, 10)):
        np.testing.assert_array_equal(after[story][1:], before[story][:-1])
        assert np.isnan(after[story][0]).all()
    assert corrected.table().n_readers.tolist() == [0, 3, 3, 3, 2, 1, 3, 0, 3, 3]
    assert corrected.alignment == "corrected"
    with pytest.raises(LookupError, match="Did you mean corrected"):
        futrell2018.load("correct")


def test_story_that_ends_without_a_stop_ends_its_sentence(written):
    stories = (1, 1, 1, 2, 2, 2, 2, 2, 2, 2)  # "... go, | Mr. Null. ..."
    assert futrell2018.load(path=written(futrell(stories=stories))).table().sentence.tolist()[:5] == [1, 1, 1, 1, 1]


def test_futrell_errors_name_the_file(written):
    data = futrell()
    data["data"][2, 0] = -1
    path = written(data)
    with pytest.raises(ValueError, match=rf"{path}: futrell2018: story 1, position 3 .*positive number"):
        futrell2018.load(path=path)


# --- files ------------------------------------------------------------------------------------------------


def test_no_netcdf(tmp_path):
    path = tmp_path / "file.nc"
    with pytest.raises(FileNotFoundError, match=rf"{path} does not exist"):
        blank2014.load(path)
    path.write_text("<html>Sign in</html>")
    with pytest.raises(ValueError, match=rf"{path}: not a netCDF-4 file.*Fetch it again"):
        blank2014.load(path)


def test_other_dims(written):
    with pytest.raises(ValueError, match=r"data: expected the dims \('presentation', 'neuroid'\), found .*'subject'"):
        blank2014.load(written(futrell()))
    with pytest.raises(ValueError, match="found none"):
        blank2014.load(written(blank().rename(data="values"), variable="values"))


@pytest.fixture
def reference():
    beside = Path(__file__).resolve().parents[2] / "shared" / "reference"
    folder = Path(os.environ.get("BRAINALIGN_REFERENCE") or beside) / "brainscore"
    if not folder.is_dir():
        pytest.skip("no reference files: set BRAINALIGN_REFERENCE")
    return folder


@pytest.mark.parametrize(
    ("name", "file", "shape"),
    [
        ("pereira2018.243", "assy_Pereira2018_language.nc", (72, 36)),
        ("pereira2018.384", "assy_Pereira2018_language.nc", (48, 36)),
        ("blank2014", "assy_Blank2014_fROI.nc", (96, 20)),
    ],
)
def test_reference_recordings(reference, name, file, shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = human.load(name, path=reference / file)
    assert recording.responses.shape == shape
    assert not np.isnan(recording.responses).any()
    with xr.open_dataset(reference / file, engine="h5netcdf") as original:
        text = original.stimulus.to_numpy()[recording.stimuli.row]
        # Brain-Score's own way to the same numbers.
        rows = recording.stimuli.row.to_numpy()
        expected = original["data"][rows].dropna("neuroid")
        np.testing.assert_array_equal(recording.responses, expected)
        assert recording.units.unit_id.tolist() == expected.neuroid_id.astype(str).to_numpy().tolist()
    assert recording.stimuli.text.tolist() == [single.strip() for single in text]  # Blank2014's end in a space
    assert (rows == np.arange(rows[0], rows[0] + len(rows))).all()  # these files are in reading order


def test_reference_reading_times(reference):
    times = human.load("futrell2018", path=reference / "assy_Futrell2018.nc")
    assert times.times.shape == (400, 30)
    assert times.first_in_sentence.sum() == 40
    assert times.table().n_readers.between(1, 30).all()


# --- Order ------------------------------------------------------------------------------------------------


def story_of(n=12):
    """One story of sentences of one part, in the order of the file."""
    data = blank().isel(presentation=np.resize(np.arange(6), n))
    numbers = np.arange(1, n + 1)
    return data.assign_coords(
        story=("presentation", ["Boar"] * n),
        stimulus=("presentation", [f"Sentence {number}." for number in numbers]),
        stimulus_id=("presentation", [f"s{number}" for number in numbers]),
        sentence_number_in_story=("presentation", numbers),
        part_number_in_sentence=("presentation", np.ones(n, int)),
    )


@pytest.mark.parametrize("load", [own.load_netcdf, lambda path: blank2014.load(path)])
@pytest.mark.parametrize("kind", [str, "S2", float])
@pytest.mark.parametrize("name", ["sentence_number_in_story", "part_number_in_sentence"])
def test_numbers_that_are_text_order_as_numbers(written, load, kind, name):
    data = story_of()
    if name == "part_number_in_sentence":
        numbers, ones = (data[at] for at in ("sentence_number_in_story", "part_number_in_sentence"))
        data = data.assign_coords(sentence_number_in_story=ones, part_number_in_sentence=numbers)
    data = data.assign_coords({name: data[name].astype(kind)}).isel(presentation=slice(None, None, -1))
    recording = load(written(data))
    assert recording.passages[0].parts == tuple(f"Sentence {number}." for number in range(1, 13))


@pytest.mark.parametrize("load", [own.load_netcdf, lambda path: blank2014.load(path)])
def test_an_order_that_is_no_number_is_refused(written, load):
    names = ("presentation", ["first", *map(str, range(2, 13))])
    with pytest.raises(ValueError, match=r"file.nc: sentence_number_in_story: row 0: 'first' is no number"):
        load(written(story_of().assign_coords(sentence_number_in_story=names)))
    holes = ("presentation", [*range(1, 12), np.nan])
    with pytest.raises(ValueError, match="sentence_number_in_story: row 11: 'nan' is no number"):
        load(written(story_of().assign_coords(sentence_number_in_story=holes)))


def test_passages_with_numbers_come_in_their_order_and_others_in_the_files(written):
    data = story_of().assign_coords(passage_index=("presentation", [str(number) for number in range(1, 13)]))
    ids = [f"Boar.{number}" for number in range(1, 13)]
    assert [passage.id for passage in own.load_netcdf(written(data)).passages] == ids
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    data = story_of().assign_coords(passage_label=("presentation", names))
    assert [passage.id for passage in own.load_netcdf(written(data)).passages] == [f"Boar.{name}" for name in names]


def test_places_of_words_that_are_text_count_as_numbers(written):
    data = futrell()
    text = data.assign_coords({name: data[name].astype(str) for name in ("word_id", "word_within_sentence_id")})
    ours, theirs = (futrell2018.load(path=written(file)).table() for file in (text, data))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_place_that_is_text_is_refused_in_the_one_shape():
    recording = reading(np.arange(24.0).reshape(12, 2) ** 1.1, ["s"] * 12)
    data = recording.responses
    with pytest.raises(ValueError, match="mine: position: expected numbers, got <U"):
        Recording("mine", data.assign_coords(position=data.position.astype(str)), recording.passages, "", "")
    with pytest.raises(ValueError, match="mine: row: expected numbers, got <U"):
        rows = data.assign_coords(row=("stimulus", list("abcdefghijkl")))
        Recording("mine", rows, recording.passages, "", "")
    times = natural_times(position=[str(place) for place in range(1, 13)])
    with pytest.raises(ValueError, match="mine: position: expected numbers, got text"):
        ReadingTimes("mine", times, "", "", "original")


def natural_times(**changed):
    words = {"story": 1, "position": range(1, 13), "sentence": 1, "text": "a", "length": 1, "log_frequency": 0.0}
    table = pd.DataFrame(words).assign(n_readers=1, sd=0.0, **changed)
    return by_word(table, np.full(12, 300.0))
