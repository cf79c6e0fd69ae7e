import numpy as np
import pandas as pd
import pytest
import xarray as xr

from brainalign import human
from brainalign.human.checks import STIMULUS, UNIT
from brainalign.human.recording import Passage, Recording, passages, responses


def stimuli(**changes):
    table = {
        "stimulus_id": ["s1", "s2", "s3", "s4", "s5"],
        "text": ["One.", "Two.", "Three.", "Four.", "Five."],
        "passage": ["p", "p", "p", "q", "q"],
        "position": [1, 2, 3, 1, 2],
        "story": ["a", "a", "a", "a", "a"],
        "experiment": ["e"] * 5,
    }
    return pd.DataFrame({name: column for name, column in (table | changes).items() if column is not None})


def units(**changes):
    return pd.DataFrame({"participant": ["x", "x", "y"], "region": ["r"] * 3, "unit_id": ["1", "2", "3"]} | changes)


def values():
    return np.arange(15, dtype=np.float32).reshape(5, 3)


def recording(stimuli=stimuli(), units=units(), values=values(), text=None, **more):  # noqa: B008
    text = passages(stimuli, stimuli.passage) if text is None else text
    return Recording("mine", responses(values, stimuli, units), text, "", "", source="mine.csv", **more)


def series(**changes):
    """Three volumes of 2 s, in two runs; five words, one before the first volume."""
    table = {
        "stimulus_id": ["v1", "v2", "v3"],
        "text": ["b c", "", "d e"],
        "passage": ["p"] * 3,
        "position": [1, 2, 3],
        "story": ["p"] * 3,
        "experiment": ["e"] * 3,
        "time": [4.0, 6.0, 10.0],
        "run": [1, 1, 2],
    }
    table = pd.DataFrame({name: column for name, column in (table | changes).items() if column is not None})
    return table, Passage("p", tuple("abcde"), ("", "v1", "v1", "v3", "v3"), (3.0, 4.0, 5.0, 10.0, 11.5))


def test_same_coordinates_everywhere():
    mine = recording()
    assert mine.responses.dims == ("stimulus", "unit")
    assert mine.responses.dtype == np.float32
    assert set(mine.responses.coords) == {*STIMULUS, *UNIT}
    assert mine.stimuli.equals(stimuli()[mine.stimuli.columns])
    assert mine.units.participant.tolist() == ["x", "x", "y"]
    assert mine.participants == ["x", "y"]
    assert mine.evidence == "people"


def test_parts_of_passages_in_order_and_the_way_to_them():
    mine = recording()
    assert mine.passages == (
        Passage("p", ("One.", "Two.", "Three."), ("s1", "s2", "s3")),
        Passage("q", ("Four.", "Five."), ("s4", "s5")),
    )
    assert mine.part_rows.tolist() == [0, 1, 2, 3, 4]
    # Passages may stand in another order than the stimuli, and in other pieces.
    table = stimuli()
    backwards = tuple(Passage(i, (text,), (i,)) for i, text in zip(table.stimulus_id, table.text, strict=True))[::-1]
    assert recording(text=backwards).part_rows.tolist() == [4, 3, 2, 1, 0]


def test_time_series():
    table, passage = series()
    mine = recording(table, values=values()[:3], text=(passage,), tr=2.0)
    assert mine.volumes.tolist() == [2, 3, 5]
    assert mine.onsets.tolist() == [3, 4, 5, 10, 11.5]
    with pytest.raises(ValueError, match="words_to_volumes"):
        mine.part_rows  # noqa: B018
    with pytest.raises(ValueError, match="no time series"):
        recording().volumes  # noqa: B018


def test_nuisance():
    table, passage = series()

    def with_nuisance(shape, who):
        data = xr.DataArray(np.zeros(shape), dims=("participant", "stimulus", "regressor"), coords={"participant": who})
        return recording(table, values=values()[:3], text=(passage,), tr=2.0, nuisance=data)

    assert with_nuisance((2, 3, 4), ["x", "y"]).nuisance.shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"mine.csv: nuisance: .*a row for each stimulus.*'stimulus': 4"):
        with_nuisance((2, 4, 4), ["x", "y"])
    with pytest.raises(ValueError, match=r"mine.csv: nuisance: it is of \['y', 'x'\].*Take the same"):
        with_nuisance((2, 3, 4), ["y", "x"])


def changed(at, value):
    changed = values()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stimuli": stimuli(position=[1, 3, 2, 1, 2])},
            r"stimulus 's2' \(passage 'p', position 3\): position: .*count",
        ),
        ({"stimuli": stimuli(position=[2, 3, 4, 1, 2])}, r"stimulus 's1' .*position: .*count"),
        ({"stimuli": stimuli(position=[1, 2, 2, 1, 2])}, r"stimulus 's3' .*position: .*count"),
        ({"stimuli": stimuli(passage=["p", "q", "p", "q", "q"])}, r"stimulus 's3' .*passage: .*stand together.*Sort"),
        (
            {"stimuli": stimuli(stimulus_id=["s1", "s2", "s1", "s4", "s5"])},
            "stimulus 's1' .*stimulus_id: it is not unique",
        ),
        ({"stimuli": stimuli(story=["a", "a", "b", "b", "b"])}, r"stimulus 's3' .*story: its passage began in another"),
        ({"stimuli": stimuli(text=["a", " ", "c", "d", "e"])}, r"stimulus 's2' .*text: it is empty"),
        ({"stimuli": stimuli(story=None)}, r"story: the coordinate is missing on 'stimulus'. Assign"),
        ({"units": units(unit_id=["1", "2", "2"])}, r"unit '2' \(participant 'y'\): unit_id: it is not unique"),
        ({"values": changed((slice(None), 1), np.nan)}, r"unit '2' .*responses: it is missing.*Leave the unit out"),
        ({"values": changed((slice(None), 2), 7)}, r"unit '3' .*responses: it is constant.*Leave the unit out"),
        ({"values": changed((3, 0), np.inf)}, r"unit '1' .*responses: it is infinite"),
        ({"values": changed((slice(None), slice(1, 3)), 7)}, r"unit '2' .*constant.*the same of 1 more"),
        ({"text": (Passage("p", ("One.",), ("s1",)),)}, "passages: each stimulus must be the text of exactly one part"),
        ({"text": (Passage("p", ("One.",), ("s9",)),)}, "passages: they name 's9', which is no stimulus"),
        ({"text": (Passage("p", ("One.",)),)}, "passage 'p': stimuli: they are missing"),
        ({"text": (Passage("p", ("a",), ("s1",)), Passage("p", ("b",), ("s2",)))}, "passages: two have the same id"),
        ({"tr": 2.0}, "time: the coordinate is missing"),
    ],
)
def test_what_does_not_fit_names_source_field_and_remedy(changes, message):
    with pytest.raises(ValueError, match=f"^mine.csv: {message}"):
        recording(**changes)


def test_text_of_a_stimulus_is_that_of_its_passage():
    text = passages(stimuli(text=["One.", "2.", "Three.", "Four.", "Five."]), stimuli().passage)
    with pytest.raises(ValueError, match=r"stimulus 's2': text: its passage has '2.'"):
        recording(text=text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": [4.0, 4.0, 6.0]}, "stimulus 'v2' .*time: time must ascend within a run"),
        ({"time": [4.0, 6.0, 5.0]}, None),  # another run may have another clock
        ({"run": None}, "run: the coordinate is missing"),
    ],
)
def test_time_ascends_within_a_run(changes, message):
    table, passage = series(**changes)
    if message is None:
        assert recording(table, values=values()[:3], text=(passage,), tr=2.0).tr == 2
        return
    with pytest.raises(ValueError, match=message):
        recording(table, values=values()[:3], text=(passage,), tr=2.0)


def test_time_series_needs_onsets():
    table, passage = series()
    with pytest.raises(ValueError, match="passage 'p': onsets: a time series needs"):
        recording(table, values=values()[:3], text=(Passage("p", passage.parts, passage.stimuli),), tr=2.0)


def test_dims_and_dtype():
    mine = recording()
    for wrong in (mine.responses.T, mine.responses.astype(float)):
        with pytest.raises(ValueError, match=r"mine: responses: expected float32 \('stimulus', 'unit'\), got"):
            Recording("mine", wrong, mine.passages, "", "")
    with pytest.raises(ValueError, match="responses: nothing is left"):
        Recording("mine", mine.responses[:0], mine.passages, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("p", ()), "parts: expected a tuple"),
        (("p", "text"), "parts: expected a tuple"),
        (("p", ("a", "b"), ("s",)), "stimuli: 2 parts need as many, got 1"),
        (("p", ("a", "b"), (), (1.0,)), "onsets: 2 parts need as many, got 1"),
        (("p", ("a", "b", "c"), (), (1.0, 3.0, 2.0)), "onsets: part 3 begins before"),
    ],
)
def test_passage(arguments, message):
    with pytest.raises(ValueError, match=f"^passage 'p': {message}"):
        Passage(*arguments)


def test_missing_values_are_allowed_in_part():
    assert int(recording(values=changed((0, 0), np.nan)).responses.isnull().sum()) == 1  # noqa: PD003


def test_names():
    assert "pereira2018.auditory.243" in human.names()
    with pytest.raises(LookupError, match=r"unknown recording or reading times 'blank2015'. Did you mean blank2014"):
        human.load("blank2015")
    with pytest.raises(LookupError, match=r"unknown option of pereira2018.384 'contxt'. Did you mean context"):
        human.load("pereira2018.384", contxt="passage")
    with pytest.raises(LookupError, match=r"unknown option of pereira2018.384 'experiment'"):
        human.load("pereira2018.384", experiment="243")
    assert {human.dataset(name).name for name in human.names()} >= {
        *("pereira2018", "pereira2018.auditory", "blank2014", "wehbe2014", "brennan2016"),
        *("natural_stories", "natural_stories.maze", "futrell2018"),
    }
