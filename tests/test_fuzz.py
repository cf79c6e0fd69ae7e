"""Fuzzing files of one's own, of every kind: what is wrong is explained, and nothing is put in another order.

A few examples in the fast tests, always the same; `BRAINALIGN_FUZZ=5000 pytest tests/test_fuzz.py` draws as many anew.
What was found stays as an example.
"""

import json
import warnings
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from fuzz import CELLS, changed, damaged, explained, fuzzed, garbled, put, table
from hypothesis import example, given
from hypothesis import strategies as st

from brainalign import study as studies
from brainalign.human import own, own_reading_times, own_timeseries
from brainalign.llm.reading import series

TABLE = [["text", "passage", "position", "v1", "v2"]]
TABLE += [[f"word {n}", f"p{n // 3}", str(1 + n % 3), str(n), str(-n * n)] for n in range(9)]
SHEET = [["unit", "participant", "region"], ["v1", "x", "IFG"], ["v2", "y", "MFG"]]


def require_order(recording):
    """Each row of responses is that of its text."""
    if recording.tr is None:
        parts = [part for passage in recording.passages for part in passage.parts]
        assert [parts[row] for row in recording.part_rows] == recording.stimuli.text.tolist()
    for passage in recording.passages:
        own_rows = recording.stimuli[recording.stimuli.stimulus_id.isin(set(passage.stimuli))]
        assert (own_rows.position.diff().dropna() > 0).all()


@fuzzed(40)
@given(
    rows=damaged(TABLE),
    sheet=damaged(SHEET),
    rule=st.sampled_from([None, "mean", "leave out units", "leave out stimuli"]),
)
@example(rows=changed(TABLE, 2, 2, "1e300"), sheet=SHEET, rule=None)
@example(rows=changed(TABLE, 2, 3, "1e39"), sheet=SHEET, rule=None)
def test_tables_of_recordings(rows, sheet, rule, tmp_path):
    file, people = put(tmp_path / "mine.csv", table(rows)), put(tmp_path / "sheet.csv", table(sheet))
    recording = explained(lambda: own.load_table(file, people, rule), file, people)
    if recording is not None:
        require_order(recording)
        repr(recording)


@fuzzed(15)
@given(content=garbled(table(TABLE).encode("utf-8")))
def test_tables_that_are_damaged(content, tmp_path):
    file = put(tmp_path / "mine.csv", content)
    explained(lambda: own.load_table(file), file)


TIMES = [["story", "position", "word", "log_frequency", "time", "reader"]]
TIMES += [
    [
        str(story),
        str(place),
        f"w{story}{place}" + "." * (place == 4),
        "3.5",
        str(300 + 7 * place + reader),
        f"r{reader}",
    ]
    for story in (2, 10, 1)
    for place in range(1, 5)
    for reader in (1, 2)
]


@fuzzed(40)
@given(rows=damaged(TIMES), measure=st.sampled_from(["time", "time", "time", "gaze"]))
@example(rows=changed(TIMES, 3, 1, "inf"), measure="time")
@example(rows=changed(TIMES, 3, 3, "-inf"), measure="time")
@example(rows=changed(TIMES, 3, 4, "inf"), measure="time")
@example(rows=changed(TIMES, 3, 4, "1e300"), measure="time")
@example(rows=changed(TIMES, 3, 0, "1" * 4400), measure="time")
@example(rows=[*TIMES, ["01", "1", "more", "1", "300", "r1"]], measure="time")
def test_reading_times(rows, measure, tmp_path):
    file = put(tmp_path / "times.csv", table(rows))
    times = explained(lambda: own_reading_times.load(file, measure), file)
    if times is not None:
        assert np.isfinite(times.table()[["position", "sentence", "length"]]).all(axis=None)
        assert not np.isinf(times.table().log_frequency).any()
        assert len({passage.id for passage in times.passages}) == len(times.passages)
        repr(times)


@fuzzed(4)
@given(order=st.permutations(TIMES[1:]))
def test_reading_times_do_not_depend_on_the_order_of_rows(order, tmp_path):
    plain, mixed = put(tmp_path / "a.csv", table(TIMES)), put(tmp_path / "b.csv", table([TIMES[0], *order]))
    expected, ours = (own_reading_times.load(path) for path in (plain, mixed))
    assert ours.passages == expected.passages
    pd.testing.assert_frame_equal(ours.table(), expected.table())


@fuzzed(10)
@given(order=st.permutations(range(9)))
def test_rows_that_are_not_in_order_are_refused_or_the_same(order, tmp_path):
    file = put(tmp_path / "mine.csv", table([TABLE[0], *(TABLE[1 + n] for n in order)]))
    recording = explained(lambda: own.load_table(file), file)
    if recording is not None:
        expected = {f"p{k}": tuple(f"word {3 * k + n}" for n in range(3)) for k in range(3)}
        assert {passage.id: passage.parts for passage in recording.passages} == expected
        require_order(recording)
        np.testing.assert_array_equal(
            recording.responses[:, 0], [float(text.split()[1]) for text in recording.stimuli.text]
        )


WORDS = pd.DataFrame(
    {"story": np.repeat([1, 2], 4), "position": [1, 2, 3, 4] * 2, "text": ["Lily", "saw", "a", "tree."] * 2}
)
SERIES = [["story", "position", "word", "surprisal"]]
SERIES += [[str(row.story), str(row.position), row.text, str(1.5 + row.Index)] for row in WORDS.itertuples()]


def require_bits(bits):
    assert bits.shape == (len(WORDS),) and not np.isinf(bits).any() and not (bits < 0).any()


@fuzzed(20)
@given(rows=damaged(SERIES), order=st.permutations(range(8)))
def test_series_in_tables(rows, order, tmp_path):
    file = put(tmp_path / "series.csv", table(rows))
    bits = explained(lambda: series.load_one(file, "series", WORDS), file)
    if bits is not None:
        require_bits(bits)
    file = put(tmp_path / "series.csv", table([SERIES[0], *(SERIES[1 + n] for n in order)]))
    np.testing.assert_array_equal(series.load_one(file, "series", WORDS), 1.5 + np.arange(8))


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | CELLS
JSON = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CELLS, inner, max_size=3))


@fuzzed(25)
@given(content=JSON | st.lists(NUMBERS, min_size=8, max_size=8))
@example(content=[1e3] * 7 + [10**400])
def test_series_in_json(content, tmp_path):
    file = put(tmp_path / "series.json", json.dumps(content))
    bits = explained(lambda: series.load_one(file, "series", WORDS), file)
    if bits is not None:
        require_bits(bits)


def test_series_that_are_nested_too_deep(tmp_path):
    file = put(tmp_path / "series.json", "[" * 100_000)
    assert explained(lambda: series.load_one(file, "series", WORDS), file) is None


VOLUMES = 12
HEARD = [["word", "onset", "run", "passage"]]
HEARD += [[f"w{n}", str(n % 6), "ab"[n // 6], "pq"[n // 8]] for n in range(12)]
RESPONSES = np.random.default_rng(0).normal(size=(VOLUMES, 2))
UNITS = [["participant", "region", "unit"], ["x", "IFG", "1"], ["y", "IFG", "1"]]
NUISANCE = [["move", "drift"], *([str(n), str(n * n)] for n in range(VOLUMES))]
HEARING = {"words": HEARD, "units": UNITS, "nuisance": NUISANCE, "tr": 1.0, "volumes": (6, 6), "value": 0.0}


@fuzzed(40)
@given(
    words=damaged(HEARD),
    units=damaged(UNITS),
    nuisance=damaged(NUISANCE),
    tr=st.sampled_from([1.0, 1.0, 1.0, 0.5, 2.0, 0.0, -1.0, np.nan, np.inf, 1e-300]),
    volumes=st.sampled_from([(6, 6), (6, 6), (6, 6), None, (5, 7), (12,), (0, 12), (13, -1)]),
    value=st.sampled_from([0.0, 0.0, 0.0, np.nan, np.inf, 1e300]),
)
@example(**HEARING | {"tr": np.nan})
@example(**HEARING | {"tr": 1e-300})
@example(**HEARING | {"value": 1e300})
@example(**HEARING | {"nuisance": changed(NUISANCE, 1, 0, "1e39")})
def test_time_series(words, units, nuisance, tr, volumes, value, tmp_path):
    values = RESPONSES.copy()
    values[3, 1] += value
    np.save(tmp_path / "bold.npy", values)
    files = [tmp_path / "bold.npy"]
    files += [put(tmp_path / f"{name}.csv", table(rows)) for name, rows in
              (("words", words), ("units", units), ("nuisance", nuisance))]  # fmt: skip
    recording = explained(lambda: own_timeseries.load(*files[:2], tr, volumes, *files[2:]), *files)
    if recording is not None:
        require_order(recording)
        assert np.isfinite(recording.onsets).all()
        repr(recording)


def saved_array(values):
    buffer = BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@fuzzed(15)
@given(content=garbled(saved_array(RESPONSES)) | st.sampled_from([
    saved_array(np.empty((VOLUMES, 0))), saved_array(np.empty((0, 2))), saved_array(np.zeros(3)), b"",
    saved_array(RESPONSES + 1j), saved_array(np.array([["a"]])), saved_array(np.array([{}], object)),
]))  # fmt: skip
@example(content=saved_array(np.empty((VOLUMES, 0))))
def test_arrays_of_volumes(content, tmp_path):
    place, words = put(tmp_path / "bold.npy", content), put(tmp_path / "words.csv", table(HEARD))
    explained(lambda: own_timeseries.load(place, words, 1.0, (6, 6)), place, words)


STORIES = [f"s{n // 4}" for n in range(8)]
COORDINATES = {
    "stimulus": [f"Word {n} fell" for n in range(8)],
    "stimulus_id": [f"id{n}" for n in range(8)],
    "story": STORIES,
    "sentence_number_in_story": [10, 2, 1, 3] * 2,
    "passage_index": [0, 0, 0, 0, 1, 1, 1, 1],
    "experiment": ["e"] * 8,
}
KINDS_OF_COORDINATES = st.lists(CELLS, min_size=8, max_size=8) | st.lists(
    st.integers(-3, 12) | st.floats(allow_infinity=True), min_size=8, max_size=8
)


@fuzzed(8)
@given(
    others=st.dictionaries(st.sampled_from([*COORDINATES]), KINDS_OF_COORDINATES, max_size=2),
    left_out=st.sets(st.sampled_from([*COORDINATES, "subject"]), max_size=2),
    value=st.sampled_from([0.0, 0.0, np.nan, np.inf, -999.0]),
    experiment=st.sampled_from([None, None, "e", "f"]),
    kind=st.sampled_from(["f8", "f8", "f4", "i4", "U3", "bool"]),
)
@example(others={}, left_out={"story"}, value=0.0, experiment=None, kind="f8")
@example(others={}, left_out=set(), value=0.0, experiment=None, kind="U3")
@example(others={}, left_out=set(), value=0.0, experiment=None, kind="bool")
def test_netcdf(others, left_out, value, experiment, kind, tmp_path):
    values = np.random.default_rng(0).normal(10, 5, size=(8, 3))
    values[2, 1] += value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = xr.DataArray(values.astype(kind), dims=("presentation", "neuroid"), name="data")
    on_stimulus = {name: cells for name, cells in (COORDINATES | others).items() if name not in left_out}
    data = data.assign_coords({name: ("presentation", np.array(cells)) for name, cells in on_stimulus.items()})
    if "subject" not in left_out:
        data = data.assign_coords(subject=("neuroid", ["x", "x", "y"]))
    path = tmp_path / "mine.nc"
    data.to_netcdf(path, engine="h5netcdf")
    recording = explained(lambda: own.load_netcdf(path, experiment), path)
    if recording is not None:
        require_order(recording)
        if not others and "sentence_number_in_story" not in left_out and not {"story", "passage_index"} <= left_out:
            assert [int(text.split()[1]) for text in recording.stimuli.text] == [2, 1, 3, 0, 6, 5, 7, 4]


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    path = tmp_path_factory.mktemp("netcdf") / "mine.nc"
    data = xr.DataArray(np.eye(8, 3), dims=("presentation", "neuroid"), name="data")
    data = data.assign_coords({name: ("presentation", cells) for name, cells in COORDINATES.items()})
    data.assign_coords(subject=("neuroid", ["x", "x", "y"])).to_netcdf(
        path, engine="h5netcdf", encoding={"data": {"zlib": True}}
    )
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # h5netcdf, of a file half open
@fuzzed(15)
@given(choice=st.data())
def test_netcdf_that_is_damaged(choice, netcdf, tmp_path):
    path = put(tmp_path / "mine.nc", choice.draw(garbled(netcdf)))
    explained(lambda: own.load_netcdf(path), path)


FIELDS = [
    *studies.Study.model_fields,
    "table",
    "netcdf",
    "responses",
    "words",
    "tr",
    "load",
    "vanilla",
    "kind",
    "file",
    "tune",
]
FIELDS += ["samples", "recording", "1"]
NAMES = [
    "gpt2-small",
    "pereira2018",
    "natural_stories",
    "microworld",
    "microworld/llama-small",
    "aw2024",
    "kuribayashi2024",
]
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | CELLS | st.sampled_from([*NAMES, "mine.csv"])
)
YAML = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=8,
)
RAW = ["a: 2001-13-45", "a: !!int ''", "a: !!bool x", "a: !!timestamp x", "a: !!python/object:os.system x",
       "a: &a [*a]", "[" * 900, "a: {" * 900, "? [a]\n: b", "<<: 3", "\t", "- a", "a: 1\na: 2", "%", "&a", "a: *b",
       "\ufeffa: b"]  # fmt: skip


@fuzzed(60)
@given(entries=st.dictionaries(st.sampled_from(FIELDS) | st.integers(0, 3), YAML, max_size=4))
def test_studies(entries, tmp_path):
    path = put(
        tmp_path / "mine.yaml", yaml.safe_dump({"title": "Mine", "evidence": "people"} | entries, allow_unicode=True)
    )
    explained(lambda: studies.load(str(path)), path)


@pytest.mark.parametrize("text", RAW, ids=range(len(RAW)))
def test_studies_that_are_no_settings(text, tmp_path):
    path = put(tmp_path / "mine.yaml", text)
    assert explained(lambda: studies.load(str(path)), path) is None


def test_what_is_damaged_was_whole_before(netcdf, tmp_path):
    np.save(tmp_path / "bold.npy", RESPONSES)
    files = {"mine": TABLE, "sheet": SHEET, "times": TIMES, "series": SERIES, "words": HEARD, "units": UNITS}
    paths = {name: put(tmp_path / f"{name}.csv", table(rows)) for name, rows in (files | {"move": NUISANCE}).items()}
    assert own.load_table(paths["mine"], paths["sheet"]).shape.startswith("9 stimuli x 2 units")
    assert own_reading_times.load(paths["times"]).times.shape == (12, 2)
    assert series.load_one(paths["series"], "series", WORDS).sum() == sum(1.5 + n for n in range(8))
    sheets = (paths["units"], paths["move"])
    listened = own_timeseries.load(tmp_path / "bold.npy", paths["words"], 1.0, (6, 6), *sheets)
    assert listened.responses.shape == (VOLUMES, 2) and len(listened.passages) == 2
    assert own.load_netcdf(put(tmp_path / "mine.nc", netcdf)).responses.shape == (8, 3)
