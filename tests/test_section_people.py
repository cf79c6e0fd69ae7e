"""The section on the people: planted recordings and reading times of known size and reliability."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brainalign.paper.sections import people

STUDY = SimpleNamespace(name="planted")
RECORDING = {"dataset": "story", "participants": 3, "units": 7, "regions": 2, "stimuli": 1500, "tr": 2.0}


@pytest.fixture
def measured(monkeypatch):
    """Results by analysis; of those that a test does not plant there are none, as in a study that lacks them."""
    tables = {}
    nothing = pd.DataFrame(columns=["model", "kind"])
    monkeypatch.setattr("brainalign.study.results", lambda study, analysis: tables.get(analysis, nothing))
    return tables


def texts(numbers):
    return {key: text for live in numbers for key, text in live.texts().items()}


def test_recordings_say_how_large_they_are(measured):
    measured["recordings"] = pd.DataFrame([RECORDING])
    numbers = texts(people.numbers_of_recordings(people.recordings(STUDY)))
    assert numbers == {
        "story.participants": "3",
        "story.stimuli": "1,500",
        "story.units": "7",
        "story.units-each": "2",
        "story.regions": "2",
    }


def test_a_study_of_reading_times_alone_has_no_recordings(measured):
    recordings, reliability = people.recordings(STUDY), people.reliability(STUDY)
    assert people.numbers_of_recordings(recordings) == people.numbers_of_ceilings(reliability) == []
    assert (
        people.responses(STUDY, recordings) == people.intersubject(reliability) == people.word_rates(reliability) == {}
    )


@pytest.mark.parametrize(("units", "drawn"), [(2, ""), (2000, ", 2 of them drawn")])
def test_a_matrix_says_how_many_units_are_drawn(units, drawn):
    matrix = pd.DataFrame({"participant": "a", "unit": [0, 0, 0, 1, 1, 1], "stimulus": [0, 1, 2] * 2, "response": 0.5})
    assert people.title_of_matrix(matrix, units) == f"3 stimuli, {units:,} units{drawn}"
    assert people.by_unit(matrix)["mean"].tolist() == [0.5, 0.5]


def test_a_ceiling_that_could_not_be_estimated_is_no_number(measured):
    measured["reliability"] = pd.DataFrame(
        [
            {"dataset": "a", "measure": "ceiling", "value": 0.321},
            {"dataset": "b", "measure": "ceiling", "value": np.nan},
            {"dataset": "a", "measure": "true-ceiling", "protocol": "aw2024", "value": 0.5, "n": 240.0},
        ]
    )
    numbers = texts(people.numbers_of_ceilings(people.reliability(STUDY)))
    assert numbers == {"a.ceiling": "0.321", "a.true-ceiling.aw2024": "0.500"}


def test_regions_in_which_people_respond_alike_are_counted(measured):
    regions = pd.DataFrame({"region": ["LIFG", "LPTL", "RATL"], "value": [0.05, 0.4, 0.2], "n": 9})
    measured["reliability"] = regions.assign(
        dataset="story", measure="intersubject", low=regions.value - 0.1, high=regions.value + 0.1
    )
    table = people.intersubject(people.reliability(STUDY))["story"]
    numbers = texts(people.finding_of_intersubject("story", table).numbers)
    assert (numbers["story.isc.best.region"], numbers["story.isc.least.region"]) == ("LPTL", "LIFG")
    assert (numbers["story.isc.best.low"], numbers["story.isc.clear"]) == ("0.30", "2")
    assert people.finding_of_intersubject("story", table).title == "People respond alike in 2 of 3 regions"


@pytest.mark.parametrize(("lag", "verdict"), [(0, "are aligned in time"), (2, "are not aligned in time")])
def test_words_and_responses_are_aligned_if_their_correlation_is_largest_without_a_lag(measured, lag, verdict):
    measured["reliability"] = pd.DataFrame(
        {"dataset": "story", "measure": "word-rate", "region": region, "lag": float(k), "value": 0.3 * (k == lag) + own}
        for k in range(-2, 3)
        for region, own in {"LIFG": 0.1, "LPTL": -0.1}.items()
    )
    rates = people.word_rates(people.reliability(STUDY))["story"]
    numbers = texts(people.finding_of_word_rate("story", rates).numbers)
    assert (numbers["story.lag.verdict"], numbers["story.lag.r"]) == (verdict, "0.30")
    assert numbers["story.lag.best"] == f"{lag}\u00a0volumes"


def words(dataset, alignment, times):
    """Two sentences in each of two stories."""
    return pd.DataFrame(
        {
            "dataset": dataset,
            "alignment": alignment,
            "story": np.repeat([1, 2], len(times) // 2),
            "sentence": np.resize([1, 2], len(times)),
            "n_readers": 4,
            "sd": 2.0,
            "reading_time": times,
        }
    )


def test_maze_times_are_held_against_self_paced_ones_where_both_are_known(measured):
    times = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0])
    tables = [
        words("natural_stories", "original", np.where(times > 6, np.nan, times)),
        words("natural_stories", "corrected", -times),
        words("natural_stories.maze", "original", np.where(times < 2, np.nan, 10 * times)),
    ]
    measured["reading"] = pd.concat(tables)
    measured["readers"] = pd.DataFrame({"dataset": ["natural_stories.maze"], "readers": [63.0], "ceiling": [0.6168]})
    numbers = people.numbers_of_reading(people.reading(STUDY))
    shown, n = texts(numbers), {live.key: live.n for live in numbers}
    assert (shown["maze.words"], shown["maze.readers"], shown["maze.ceiling"]) == ("5", "63", "0.62")
    assert (shown["maze.self-paced.original.r"], n["maze.self-paced.original.r"]) == ("1.00", 4)
    assert (shown["maze.self-paced.corrected.r"], n["maze.self-paced.corrected.r"]) == ("−1.00", 5)
    assert (shown["natural_stories.stories"], shown["natural_stories.sentences"]) == ("2", "4")


def test_the_reliability_of_means_follows_from_their_deviations(measured):
    # Means vary by 4, and each has an error of 2 ** 2 / 4 = 1.
    times = np.array([0.0, 4.0]) * np.sqrt(0.5)
    measured["reading"] = words("natural_stories", "original", times)
    measured["readers"] = pd.DataFrame({"dataset": ["natural_stories"], "readers": [np.nan], "ceiling": [np.nan]})
    shown = texts(people.numbers_of_reading(people.reading(STUDY)))
    assert shown["natural_stories.reliability"] == "0.750"


def test_a_profile_shows_the_beginning_of_what_was_read(measured):
    measured["reading"] = words("microworld.readers", "original", np.arange(200.0))
    measured["readers"] = pd.DataFrame({"dataset": ["microworld.readers"], "readers": [40], "ceiling": [0.662]})
    reading = people.reading(STUDY)
    ((name, (table, title, evidence)),) = people.profiles(reading).items()
    assert (name, len(table), evidence) == ("microworld-profile", people.OPENING, "microworld")
    assert title.startswith("Simulated readers")
    assert texts(people.numbers_of_reading(reading))["microworld.times.ceiling"] == "0.66"


def test_without_reading_times_nothing_is_said_of_them(measured):
    reading = people.reading(STUDY)
    assert people.numbers_of_reading(reading) == [] and people.profiles(reading) == {}
