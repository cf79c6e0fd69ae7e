import numpy as np
import pandas as pd
import pytest
import xarray as xr
from mirrored import publish

from brainalign import human
from brainalign.human import natural_stories, natural_stories_maze
from brainalign.human.reading_times import COORDINATES, ReadingTimes

# Sentences of the corpus; Maze puts those of story 2 that stand in one line together.
STORIES = {1: ["If you were Mr. Null.", "Go.", "It did so well."], 2: ["'Go,' he said.", "The tale ended there."]}
HEADER = "rt\twlen\tunigramsurp\tsubject\tdocid\tsentid\tsentpos"
# Reader, story, sentence over all stories, word from 1. Sentence 1 ("Go.") has no times.
TIMES = [
    *[("s1", "Boar", 0, place) for place in (2, 3, 4)],
    *[("s2", "Boar", 0, place) for place in (2, 4)],
    *[("s1", "Boar", 2, place) for place in (2, 3)],
    *[("s2", "Aqua", 3, place) for place in (2, 3, 4, 5, 6)],
]
WORDS = {0: "If you were Mr. Null.", 2: "It did so well.", 3: "'Go,' he said. The tale ended there."}


def rows(times=TIMES, **changes):
    lines = []
    for who, story, sentence, place in times:
        word = WORDS[sentence].split()[place - 1]
        cells = {"wlen": len(word), "place": place} | changes.get(f"{who}_{sentence}_{place}", {})
        lines.append(f"{100 * sentence + place}\t{cells['wlen']}\t3.5\t{who}\t{story}\t{sentence}\t{cells['place']}")
    return "\n".join([HEADER, *lines]) + "\n"


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Function that puts the file into a mirror; the words of the stories are made up."""
    words = pd.DataFrame(
        [
            (story, sentence, word)
            for story, sentences in STORIES.items()
            for sentence, text in enumerate(sentences, start=1)
            for word in text.split()
        ],
        columns=["story", "sentence", "text"],
    )
    words["position"] = words.groupby("story").cumcount() + 1
    words = words.assign(length=words.text.str.len(), log_frequency=7.0, n_readers=9, sd=1.0)
    on_word = {name: ("word", words[name].to_numpy()) for name in COORDINATES}
    means = xr.DataArray(np.full(len(words), 300.0), dims="word", coords=on_word)
    monkeypatch.setattr(natural_stories, "load", lambda: ReadingTimes("natural_stories", means, "", "", "original"))

    def put(content, readers=2):
        about = {"licence": "MIT", "citation": "Boyce", "counts": {"readers": readers}}
        publish(tmp_path, monkeypatch, "natural_stories.maze", {natural_stories_maze.TIMES: content}, **about)

    return put


def test_each_time_is_at_its_word(release):
    release(rows())
    times = human.load("natural_stories.maze")
    assert times.times.dims == ("word", "reader")
    assert times.times.reader.to_numpy().tolist() == ["s1", "s2"]
    words = times.table().set_index(["story", "position"])
    by_reader = pd.DataFrame(times.times.to_numpy(), columns=["s1", "s2"], index=words.index)
    nan = np.nan
    assert words.loc[(1, 2), "text"] == "you"
    expected = {(1, 2): (2, 2), (1, 3): (3, nan), (1, 4): (4, 4), (1, 8): (202, nan), (1, 9): (203, nan)}
    expected |= {(2, place): (nan, 300 + place) for place in (2, 3, 4, 5, 6)}
    for place, row in by_reader.iterrows():
        np.testing.assert_array_equal(row, expected.get(place, (nan, nan)), err_msg=str(place))
    assert words.n_readers.tolist() == [0, 2, 1, 2, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0]
    assert words.loc[1].sd.notna().tolist() == [False, True, False, True] + [False] * 6
    assert words.sentence.tolist() == [1] * 5 + [2] + [3] * 4 + [1] * 3 + [2] * 4  # the corpus's
    assert (times.alignment, times.licence) == ("original", "MIT")


def test_rows_in_any_order(release):
    release(rows())
    straight = human.load("natural_stories.maze").times
    release(rows(TIMES[::-1]))
    np.testing.assert_array_equal(human.load("natural_stories.maze").times, straight)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (rows(s1_0_3={"wlen": 5}), r"wlen: Boar, sentence 0, word 3, s1 has 5 characters, the story has 'were' there"),
        (rows([*TIMES, ("s1", "Bear", 3, 2)]), "docid: unknown story 'Bear'. Did you mean Boar"),
        (rows(TIMES[:-1]), r"sentpos: the sentences of Aqua have 6 words, the story has 7"),
        (rows([*TIMES, TIMES[1]]), r"Boar, sentence 0, word 3, s1: two times of one reader"),
    ],
)
def test_what_does_not_fit_names_the_place(release, content, message):
    release(content)
    with pytest.raises(ValueError, match=rf"boyce_2023.tsv: {message}"):
        natural_stories_maze.load()


def test_readers_are_counted(release):
    release(rows(), readers=63)
    with pytest.raises(ValueError, match="has 2 readers, expected 63"):
        natural_stories_maze.load()


def test_the_release(mirror):
    times = human.load("natural_stories.maze")
    assert times.times.shape == (10256, 63)
    assert int(times.times.notnull().sum()) == 56447  # noqa: PD004
    words = times.table()
    assert (words.n_readers > 0).sum() == 9304
    assert words.n_readers.max() == 8
    # Slowing is at the word itself, and at no other.
    shifted = {lag: words.groupby("story").reading_time.shift(-lag) for lag in (-1, 0, 1)}
    r = {lag: words.length.corr(time) for lag, time in shifted.items()}
    assert r[0] > 0.4
    assert max(abs(r[-1]), abs(r[1])) < 0.03
