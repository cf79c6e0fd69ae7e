"""Reading times of one's own: a table, with readers or without, gives what published ones of the same times give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from test_natural_stories import STORIES, files, release  # noqa: F401
from test_study import little_stories

from brainalign import study as studies
from brainalign.alignment.behavior import behavioral_alignment
from brainalign.alignment.ceilings import reliability
from brainalign.cli import main
from brainalign.human import natural_stories, own_reading_times
from brainalign.llm.reading import series
from brainalign.paper.sections import behavioral_alignment as section
from brainalign.paper.sections import reading_times
from brainalign.study.description.members import members
from brainalign.study.measurement import people
from brainalign.study.running import keys

TABLE = """story,position,word,time,log_frequency
tea,1,"Well,",310.5,9
tea,2,Mr.,300,8.5
tea,3,Fox!”,,7
tea,4,He,290,10
a,1,Tea.,305,6
a,2,Ten.,306,
"""
READERS = """story,position,word,reader,gaze_duration,log_frequency
1,10,tea.,x,200,3
1,9,No,x,,4
1,9,No,y,220,4
1,10,tea.,y,240,3
""" + "".join(f"1,{k},w,{who},{200 + k},1\n" for k in range(1, 9) for who in "xy")


def exported(times, path, **changes):
    """A table of ReadingTimes as a CSV of one's own."""
    table = times.table().rename(columns={"text": "word", "reading_time": "time"})
    table.assign(**changes).to_csv(path, index=False)
    return path


def test_words_of_a_table(put):
    times = own_reading_times.load(put(TABLE))
    assert (times.name, times.alignment, times.times.dims) == ("mine", "original", ("word",))
    words = times.table()
    assert words.story.tolist() == ["tea"] * 4 + ["a"] * 2
    assert words.text.tolist() == ["Well,", "Mr.", "Fox!”", "He", "Tea.", "Ten."]
    assert words.sentence.tolist() == [1, 1, 1, 2, 1, 2]
    assert words.length.tolist() == [4, 2, 3, 2, 3, 3]
    np.testing.assert_array_equal(words.reading_time, [310.5, 300, np.nan, 290, 305, 306])
    np.testing.assert_array_equal(words.log_frequency, [9, 8.5, 7, 10, 6, np.nan])
    assert words.n_readers.isna().all() and words.sd.isna().all()


def test_readers_and_a_measure_by_name(put):
    times = own_reading_times.load(put(READERS), "gaze_duration")
    assert times.name == "mine.gaze_duration"
    assert times.times.reader.to_numpy().tolist() == ["x", "y"]
    words = times.table()
    assert words.position.tolist() == [*range(1, 11)] and words.text.iloc[-1] == "tea."  # 10 is after 9
    np.testing.assert_array_equal(times.times[8:], [[np.nan, 220], [200, 240]])
    assert words.n_readers.tolist() == [2] * 8 + [1, 2] and words.reading_time.tolist()[-1] == 220
    assert words.sd.iloc[-1] == pytest.approx(np.std([200, 240], ddof=1))


def test_sentences_that_are_given(put):
    lines = [f"{line},{name}" for line, name in zip(TABLE.splitlines(), ["sentence", *"bbaacc"], strict=True)]
    words = own_reading_times.load(put("\n".join(lines))).table()
    assert words.sentence.tolist() == [1, 1, 2, 2, 1, 1]
    lines = [f"{line},{name}" for line, name in zip(TABLE.splitlines(), ["sentence", *"babacc"], strict=True)]
    with pytest.raises(ValueError, match=r"mine.csv: sentence: 'b' comes back at position 3"):
        own_reading_times.load(put("\n".join(lines)))


@pytest.mark.parametrize("leave_out", [[], ["sentence"], ["length", "sentence"]])
def test_natural_stories_as_a_table_of_ones_own(release, tmp_path, leave_out):  # noqa: F811
    release(files(STORIES))
    published = natural_stories.load("corrected")
    path = exported(published, tmp_path / "mine.csv")
    pd.read_csv(path, keep_default_na=False).drop(columns=leave_out).sample(frac=1, random_state=0).to_csv(
        path, index=False
    )
    ours = own_reading_times.load(path)
    pd.testing.assert_frame_equal(ours.table(), published.table(), check_dtype=False)
    assert ours.passages == published.passages
    np.testing.assert_array_equal(ours.first_in_sentence, published.first_in_sentence)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("log_frequency", "frequency", "log_frequency: the column is missing. Add the natural logarithm"),
        ("time", "rt", "time: the column is missing; it has story, position, word, rt"),
        ("300", "0", "time: row 3: '0' is no time. Leave the cell empty where a word was skipped."),
        ("300", "-1", "time: row 3: '-1' is no time"),
        ("300", "fast", "time: row 3: 'fast' is no number"),
        ("tea,2", "tea,2.5", "position: row 3: '2.5' is no place in a story. Count its words from 1."),
        ("tea,2", "tea,", "position: row 3: '' is no place in a story"),
        ("tea,2", "tea,1", "row 3: 'Mr.' has a second time. Give each a row, or add a column reader."),
        ("tea,4", "tea,5", "mine: story tea, position 5 .* positions must count 1, 2, 3, ... within the story"),
        ("Mr.", " ", "word: row 3: ' ' is no word. Fill it in"),
        ("Mr.", "--", "mine: story tea, position 2 .*the length must be at least 1 character"),
    ],
)
def test_what_does_not_fit_is_refused(put, old, new, message):
    assert old in TABLE
    with pytest.raises(ValueError, match=f"mine.csv: {message}") as caught:
        own_reading_times.load(put(TABLE.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_readers_who_do_not_fit_are_refused(put):
    with pytest.raises(ValueError, match=r"word: row 4: 'Yes', where another reader's row has 'No'"):
        own_reading_times.load(put(READERS.replace("No,y", "Yes,y")), "gaze_duration")
    with pytest.raises(ValueError, match=r"row 4: 'No' has a second time. Give each a row\."):
        own_reading_times.load(put(READERS.replace("No,y", "No,x")), "gaze_duration")
    with pytest.raises(ValueError, match="no word is in it"):
        own_reading_times.load(put(TABLE.splitlines()[0]))


# --- in a study -------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Little stories as they are published, as a table of one's own, and with the times of three readers."""
    monkeypatch.setattr(natural_stories, "load", little_stories)
    monkeypatch.setattr(series, "gpt3", lambda words: np.linspace(1, 2, len(words)))
    times = little_stories()
    exported(times, tmp_path / "mine.csv")
    rng = np.random.default_rng(0)
    table = times.table().rename(columns={"text": "word"}).drop(columns=["n_readers", "sd", "sentence", "length"])
    copies = [table.assign(reader=who, go_past=table.reading_time + rng.uniform(0, 9, len(table))) for who in "xyz"]
    pd.concat(copies).to_csv(tmp_path / "eyes.csv", index=False)
    tiny.gpt2(tmp_path / "little")
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nevidence: people\nresamples: 100\nalignments: [original]\nmodels: [little]\n"
        "reading_times: [natural_stories, {table: mine.csv}, {table: eyes.csv, measure: go_past}]\n"
    )
    return studies.load(str(tmp_path / "mine.yaml"))


def test_the_same_times_give_the_same_numbers(study):
    tables = studies.run(study, "little")
    for analysis, key in (("behavior", "dataset"), ("words", "dataset"), ("capability", "benchmark")):
        table = tables[analysis].drop(columns=["yardstick", "whose"], errors="ignore").set_index(key)
        published, ours = table.loc[["natural_stories"]], table.loc[["mine"]]
        pd.testing.assert_frame_equal(
            published.reset_index(drop=True), ours.reset_index(drop=True), check_dtype=False, rtol=1e-12
        )
    bits = tables["words"].query("dataset == 'eyes.go_past'").surprisal.to_numpy()
    loaded = own_reading_times.load(study.reading_times[2].table, "go_past")
    expected = behavioral_alignment(bits, loaded, n_resamples=100)
    found = tables["behavior"].query("dataset == 'eyes.go_past'").reset_index(drop=True)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)


def test_all_of_section_5_follows(study):
    for name in studies.measured(study):
        studies.run(study, name)
    everyone = reading_times.sets_of_readers(study, studies.results(study), studies.results(study, "reading"))
    assert [readers.dataset for readers in everyone] == ["natural_stories", "mine", "eyes.go_past"]
    numbers = [{live.key: live.value for live in reading_times.numbers_of_people(one)} for one in everyone]
    assert numbers[0] == numbers[1] and numbers[2]["people.readers.median"] == 3
    surprisal = studies.results(study, "words")
    profiles = [reading_times.lag_profiles(one, surprisal) for one in everyone]
    pd.testing.assert_frame_equal(profiles[0], profiles[1])
    assert set(profiles[2].predictor) == {"word length", "surprisal, little"}
    for measure in ("r", "ppp"):
        scores = [section.reading_time_scores(one.scores, measure, "original").value.tolist() for one in everyone]
        assert scores[0] == pytest.approx(scores[1], rel=1e-12) and len(scores[2]) == 1
    readers = studies.results(study, "readers").set_index("dataset")
    times = own_reading_times.load(study.reading_times[2].table, "go_past").times
    assert readers.ceiling["eyes.go_past"] == reliability.split_half(times.to_numpy()) and readers.ceiling.count() == 1


def test_readers_who_are_not_stated(study):
    path = Path(study.reading_times[1].table)
    table = pd.read_csv(path, keep_default_na=False).drop(columns=["n_readers", "sd"])
    table.to_csv(path, index=False)
    words = people.reading(study.reading_times[1], "original")
    (readers,) = [reading_times.Readers("mine", {"original": words}, pd.DataFrame({"measure": [], "origin": []}))]
    assert np.isnan(readers.reliability("original"))


def test_a_table_that_changes_makes_results_stale(study):
    (member,) = (member for member in members(study).values() if member.name == "little")
    before = keys.dependencies(study, member)
    path = Path(study.reading_times[2].table)
    path.write_text(path.read_text().replace("x,", "anna,"))
    assert keys.changes(before, keys.dependencies(study, member)) == ["data: eyes.csv"]


def test_a_study_says_what_is_wrong_with_reading_times(tmp_path, put):
    def load(entries):
        (tmp_path / "mine.yaml").write_text(f"title: M\nevidence: people\nreading_times: [{entries}]\n")
        return studies.load(str(tmp_path / "mine.yaml"))

    assert load("{table: a.csv}, {table: a.csv, measure: b}").reading_time_names == ["a", "a.b"]
    with pytest.raises(ValueError, match=r"reading_times: .*natural_stories.csv: .* is another's name. Rename"):
        load("{table: natural_stories.csv}")
    with pytest.raises(ValueError, match=r"reading_times: .*a.csv: 'a' is another's name"):
        load("{table: a.csv}, {table: a.csv}")
    with pytest.raises(ValueError, match=r"unknown setting 'tables'. Did you mean table"):
        load("{tables: a.csv}")
    assert studies.missing(load("{table: a.csv}"))[0].startswith("reading_times: table")


def test_data_show(put, capsys):
    assert main(["data", "show", str(put(READERS)), "--measure", "gaze_duration"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["mine.gaze_duration: 10 words x 2 readers", "missing: 1 of 20 values"]
