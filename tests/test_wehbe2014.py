import pickle
import pickletools

import numpy as np
import pytest

from brainalign import human
from brainalign.human import npy, wehbe2014
from brainalign.human.checks import SERIES, STIMULUS, UNIT

RUNS = np.repeat([1, 2, 3, 4], [40, 38, 41, 39])  # volumes; 35 of each run are not in the responses
TIME = 2.0 * np.arange(len(RUNS))
KEPT = np.concatenate([np.flatnonzero(run == RUNS)[20:-15] for run in (1, 2, 3, 4)])
ONSETS = 0.5 * np.arange(4 * len(RUNS))
WORDS = np.array([f"w{i}" for i in range(len(ONSETS))])


def voxels(participant):
    return 10 + "FHIJKLMN".index(participant)


def masks(participant):
    everything = np.arange(voxels(participant)) % 3 != 0
    return {
        "all": everything,
        "IFG": everything & (np.arange(voxels(participant)) < 4),
        "MFG": np.zeros_like(everything),
    }


def responses(participant):
    rng = np.random.default_rng(ord(participant))
    return rng.standard_normal((len(KEPT), voxels(participant)))


@pytest.fixture
def folder(tmp_path):
    for participant in "FHIJKLMN":
        np.save(tmp_path / f"data_subject_{participant}.npy", responses(participant))
    np.save(tmp_path / "time_fmri.npy", TIME)
    np.save(tmp_path / "runs_fmri.npy", RUNS)
    np.save(tmp_path / "time_words_fmri.npy", ONSETS)
    np.save(tmp_path / "stimuli_words.npy", WORDS)
    save_masks(tmp_path)
    return tmp_path


def save_masks(folder, **changes):
    stored = {participant: masks(participant) for participant in "FHIJKLMN"} | changes
    np.save(folder / "HP_subj_roi_inds.npy", stored)


def load(folder):
    return human.load("wehbe2014", folder=folder, counts=False)


def test_volumes_by_voxels_of_the_language_network(folder):
    recording = load(folder)
    expected = np.hstack([responses(who)[:, masks(who)["all"]] for who in "FHIJKLMN"])
    np.testing.assert_allclose(recording.responses, expected.astype(np.float32))
    assert recording.responses.shape[0] == len(RUNS) - 4 * 35
    assert recording.participants == list("FHIJKLMN")
    assert {*STIMULUS, *SERIES, *UNIT} == set(recording.responses.coords)
    mine = recording.units[recording.units.participant == "H"]
    assert mine.unit_id.tolist() == ["H.1", "H.2", "H.4", "H.5", "H.7", "H.8", "H.10"]
    assert mine.region.tolist() == ["IFG", "IFG", "all", "all", "all", "all", "all"]
    assert recording.tr == 2
    assert recording.stimuli.time.tolist() == TIME[KEPT].tolist()
    assert recording.stimuli.run.tolist() == RUNS[KEPT].tolist()
    assert recording.stimuli.position.tolist() == list(range(1, len(KEPT) + 1))
    assert recording.volumes.tolist() == KEPT.tolist()


def test_words_of_the_chapter_are_in_their_volumes(folder):
    recording = load(folder)
    (chapter,) = recording.passages
    assert chapter.parts == tuple(WORDS)
    assert chapter.onsets == tuple(ONSETS)
    volume = np.arange(len(ONSETS)) // 4
    named = {volume: f"chapter9.{position}" for position, volume in enumerate(KEPT, start=1)}
    assert chapter.stimuli == tuple(named.get(v, "") for v in volume)
    assert recording.stimuli.text[0] == "w80 w81 w82 w83"


def test_files_may_lie_in_a_folder_fmri(folder):
    straight = load(folder)
    (folder / "fMRI").mkdir()
    for path in [*folder.glob("data_subject_*.npy"), folder / "runs_fmri.npy"]:
        path.rename(folder / "fMRI" / path.name)
    assert load(folder).responses.equals(straight.responses)


def test_words_stored_as_objects(folder):
    np.save(folder / "stimuli_words.npy", WORDS.astype(object))
    assert load(folder).passages[0].parts == tuple(WORDS)


def test_counts_are_the_published_ones(folder):
    with pytest.raises(ValueError, match=r"has 632 words, expected 5176.*datasets.yaml"):
        human.load("wehbe2014", folder=folder)


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"wehbe2014: folder: none is given. Get the files from https://drive"):
        human.load("wehbe2014")
    with pytest.raises(FileNotFoundError, match="nowhere: folder: it does not exist"):
        human.load("wehbe2014", folder=tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["data_subject_K.npy", "time_fmri.npy", "stimuli_words.npy", "HP_subj_roi_inds.npy"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{folder}: {name} is missing. Put it there"):
        load(folder)


def test_extra_participant(folder):
    np.save(folder / "data_subject_G.npy", responses("F"))
    with pytest.raises(ValueError, match=r"data_subject_G.npy is of no known participant. Move it"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("data_subject_K.npy", responses("K")[:-1], r"data_subject_K.npy: expected \(18, 14\) .* found \(17, 14\)"),
        ("data_subject_K.npy", responses("K")[:, 1:], r"data_subject_K.npy: expected \(18, 14\) .* found \(18, 13\)"),
        ("runs_fmri.npy", RUNS[1:], r"runs_fmri.npy has 157 entries, time_fmri.npy 158"),
        ("time_words_fmri.npy", ONSETS[1:], r"stimuli_words.npy has 632 entries, time_words_fmri.npy 631"),
        ("stimuli_words.npy", WORDS[None], r"stimuli_words.npy: expected one dimension, found \(1, 632\)"),
    ],
)
def test_other_shapes(folder, name, values, message):
    np.save(folder / name, values)
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({}, "masks for 'K', 'all' among"),
        ({"IFG": np.ones(14, bool)}, "masks for 'K', 'all' among"),
        ({"all": np.arange(14)}, "K, all: expected a mask of 14 zeros and ones"),
        ({"all": np.ones(14), "IFG": np.ones(13)}, "K, IFG: expected a mask of 14"),
        ({"all": np.ones(13, bool)}, r"data_subject_K.npy: expected \(18, 13\)"),
    ],
)
def test_other_masks(folder, stored, message):
    save_masks(folder, K=stored)
    with pytest.raises(ValueError, match=message):
        load(folder)
    np.save(folder / "HP_subj_roi_inds.npy", np.ones(15))
    with pytest.raises(ValueError, match=r"HP_subj_roi_inds.npy: expected a dictionary"):
        load(folder)


def test_constant_voxel(folder):
    values = responses("K")
    values[:, 4] = 0
    np.save(folder / "data_subject_K.npy", values)
    with pytest.raises(ValueError, match=r"unit 'K.4' \(participant 'K'\): responses: it is constant"):
        load(folder)


# --- .npy files that hold objects -------------------------------------------------------------------------


class Evil:
    """Does something when it is unpickled."""

    def __reduce__(self):
        return eval, (f"open('{self.path}', 'w').close()",)


def write_object(path, content, protocol=4):
    """As numpy.save writes an object, by any protocol."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        array = np.empty((), object)
        array[()] = content
        pickle.dump(array, file, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_arrays_and_dictionaries_come_through(tmp_path, protocol):
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    content = {
        "F": {"all": np.array([True, False]), "n": np.arange(3, dtype=">i4"), "matrix": fortran},
        "words": np.array(["a", "bcd"]),
        "mixed": [1, 2.5, None, "text", ("tuple", np.zeros(0))],
        "objects": np.array(["a", {"b": np.ones(2)}], object),
    }
    path = tmp_path / "file.npy"
    write_object(path, content, protocol)
    loaded = npy.load(path).item()
    assert list(loaded) == list(content)
    for name, expected in content["F"].items():
        np.testing.assert_array_equal(loaded["F"][name], expected)
        assert loaded["F"][name].dtype == expected.dtype
    assert loaded["words"].tolist() == ["a", "bcd"]
    assert loaded["mixed"][:4] == [1, 2.5, None, "text"]
    assert loaded["objects"][1]["b"].tolist() == [1, 1]


def test_a_plain_file_is_mapped(tmp_path):
    np.save(tmp_path / "file.npy", np.arange(3))
    assert isinstance(npy.load(tmp_path / "file.npy"), np.memmap)


def test_forbidden_class_is_refused_and_nothing_is_run(tmp_path):
    evil = Evil()
    evil.path = tmp_path / "ran"
    path = tmp_path / "HP_subj_roi_inds.npy"
    for content in (evil, {"F": evil}, {"F": np.array([evil, 1], object)}):
        write_object(path, content)
        with pytest.raises(ValueError, match=rf"{path}: its pickle names builtins.eval, which is not admitted. Save"):
            npy.load(path)
    assert not evil.path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(2, [("a", "i4")]), "values of the type 'V4', which is not admitted"),
        (np.float64(1), "numpy._core.multiarray.scalar, which is not admitted"),
        ({1, 2}, "__builtin__.set, which is not admitted"),
    ],
)
def test_unusual_content_is_refused(tmp_path, content, message):
    write_object(tmp_path / "file.npy", {"F": content}, protocol=2)
    with pytest.raises(ValueError, match=message):
        npy.load(tmp_path / "file.npy")


def test_object_with_raw_bytes_for_pointers_is_refused(tmp_path):
    # An array of objects whose pickle gives bytes instead of objects: numpy would follow them as pointers.
    array = np.empty(1, object)
    array[0] = "x"
    good = pickle.dumps(array, protocol=2)
    assert any(code.name == "APPEND" or code.name == "EMPTY_LIST" for code, _, _ in pickletools.genops(good))
    bad = good.replace(b"]q", b"U\x08" + bytes(8) + b"q", 1)
    path = tmp_path / "file.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        file.write(bad)
    with pytest.raises(ValueError, match="Save plain numpy arrays"):
        npy.load(path)


@pytest.mark.parametrize("damage", [slice(0, 40), slice(0, -20), slice(10, None)])
def test_damaged_file(tmp_path, damage):
    path = tmp_path / "file.npy"
    write_object(path, {"F": np.arange(100)})
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(ValueError, match=rf"{path}: "):
        npy.load(path)


def test_not_an_array(tmp_path):
    path = tmp_path / "file.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump({"a": 1}, file)
    with pytest.raises(ValueError, match="expected a numpy array, found dict"):
        npy.load(path)


def test_run_edges_are_those_of_the_files():
    assert (wehbe2014.FIRST, wehbe2014.LAST) == (20, 15)
    # 1,351 volumes in four runs leave 1,211.
    assert 1351 - 4 * (wehbe2014.FIRST + wehbe2014.LAST) == 1211
