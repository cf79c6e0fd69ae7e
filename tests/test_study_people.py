"""What is measured of people is what their recordings hold; a finished study is read where nothing of it is."""

import shutil
import warnings

import measuring
import numpy as np
import pytest
import recordings
from test_study_models import study  # noqa: F401

from brainalign import study as studies
from brainalign.alignment import protocols
from brainalign.alignment.ceilings import reliability
from brainalign.study.measurement import measures, people
from brainalign.study.running import runs


def test_a_time_course_is_the_mean_over_participants():
    recording = recordings.listening(recordings.noise(40, 6), np.repeat([1, 2], 20), n_participants=3)
    table = people.responses(recording)
    assert table.unit.unique().tolist() == ["r"] and table.seconds.tolist() == [2.0 * k for k in range(40)]
    values = recording.responses.to_numpy().astype(float)
    for stimulus in (0, 17):
        z = [(course[stimulus] - course.mean()) / course.std() for course in values.T]
        error = 1.96 * np.std(z, ddof=1) / np.sqrt(6)
        row = table.iloc[stimulus]
        np.testing.assert_allclose([row.response, row.low, row.high], np.mean(z) + np.array([0, -error, error]))


@pytest.mark.parametrize("n_units", [7, people.UNITS + 100])
def test_units_that_are_drawn_are_the_recordings_own(n_units):
    recording = recordings.reading(recordings.noise(48, n_units), recordings.STORIES, n_participants=3)
    table = people.responses(recording)
    n_drawn = min(n_units, people.UNITS)
    assert len(table) == 48 * n_drawn and table.participant.is_monotonic_increasing
    assert set(table.participant) == {"p0", "p1", "p2"}  # none is left out
    units = recording.units.set_index("unit_id").participant
    for unit, rows in list(table.groupby("unit"))[::50]:
        np.testing.assert_array_equal(rows.response, recording.responses.to_numpy()[:, int(unit)].astype("float32"))
        assert set(rows.participant) == {units[unit]} and rows.stimulus.tolist() == list(range(48))


def test_reliability_is_that_of_the_recording(study):  # noqa: F811
    reading = recordings.reading(recordings.noise(48, 12), recordings.STORIES, n_participants=4)
    table = people.reliabilities(study, reading)
    limit = protocols.ceiling_of(protocols.resolve("aw2024", reading), reading)
    assert table.measure.tolist() == ["ceiling"]
    np.testing.assert_array_equal(table[["value", "low", "high"]].to_numpy()[0], limit[:3])
    listening = recordings.listening(recordings.noise(40, 6), np.repeat([1, 2], 20), n_participants=3)
    table = people.reliabilities(study, listening)
    owners, regions = listening.units.participant.to_numpy(), listening.units.region.to_numpy()
    expected = reliability.intersubject_correlation(listening.responses.to_numpy(), owners, regions)
    assert table.value.tolist() == expected.value.tolist() and set(table.measure) == {"intersubject"}


def test_two_people_have_no_ceiling(study):  # noqa: F811
    two = recordings.reading(recordings.noise(48, 12), recordings.STORIES, n_participants=2)
    assert people.reliabilities(study, two).value.isna().all()


def test_notes_of_a_loader_are_kept(monkeypatch):
    recording = recordings.reading(recordings.noise(48, 12), recordings.STORIES)

    def load(source):
        warnings.warn("p9 is left out", stacklevel=1)
        return recording

    monkeypatch.setattr(people, "load_recording", load)
    found, notes = people.load_with_notes("mine")
    assert found is recording
    (row,) = people.shape(found, notes).itertuples()
    assert (row.participants, row.units, row.regions, row.stimuli, row.notes) == (2, 12, 2, 48, "p9 is left out")


def test_people_are_read_as_they_were_measured(study):  # noqa: F811
    reading = measuring.results(study, "reading", ["people"])
    assert reading.alignment.unique().tolist() == ["original", "corrected"] and len(reading) == 240
    assert "model" not in reading and "family" not in reading
    readers = studies.results(study, "readers")
    assert readers.readers.isna().all()  # only means were released
    assert studies.results(study, "recordings").dataset.tolist() == ["roi"]


# A finished study where neither data nor weights are


@pytest.fixture
def bare(study, tmp_path, tmp_path_factory, monkeypatch):  # noqa: F811
    """The settings of a finished study in a folder of their own, and its results in another; all else is gone."""
    measuring.results(study)
    measured, elsewhere = tmp_path_factory.mktemp("measured"), tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(studies.result_path(study, "people").parent, measured / "results")
    shutil.copyfile(tmp_path / "mine.yaml", elsewhere / "mine.yaml")
    monkeypatch.setenv("BRAINALIGN_STORE", str(elsewhere / "store"))
    monkeypatch.setattr(measures, "measure", lambda *_: pytest.fail("measured again"))
    return elsewhere / "mine.yaml", measured / "results"


def test_results_are_taken_over_where_nothing_else_is(bare):
    settings, results = bare
    finished = studies.load(str(settings))
    with pytest.raises(LookupError, match=r"results of \d+ models are missing or stale:\n  people: missing"):
        studies.results(finished, "recordings")
    runs.adopt(finished, results)
    assert set(studies.status(finished).state) == {"up to date"}
    assert len(studies.results(finished, "brain")) and len(studies.results(finished, "words"))
    assert not any(studies.want(finished, model) for model in studies.measured(finished))
    assert studies.missing(finished, models=[]) == []


def test_results_that_do_not_count_are_not_taken_for_others(bare):
    settings, results = bare
    shutil.rmtree(results / "other")
    settings.write_text(settings.read_text().replace("resamples: 100", "resamples: 101"))
    with pytest.raises(LookupError, match=r"(?s)little: settings: resamples.*other: missing.*brainalign run mine"):
        runs.adopt(studies.load(str(settings)), results)
    assert not studies.result_path(studies.load(str(settings)), "little").exists()


def test_another_model_that_is_not_here_is_another(bare):
    settings, results = bare
    settings.write_text(settings.read_text().replace("load: little, name: other", "load: bigger, name: other"))
    with pytest.raises(LookupError, match=r"other: model: "):
        runs.adopt(studies.load(str(settings)), results)
