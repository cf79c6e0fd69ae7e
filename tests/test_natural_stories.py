import json

import numpy as np
import pytest
import xarray as xr
from mirrored import publish

from brainalign import catalog
from brainalign.human import natural_stories
from brainalign.human.reading_times import COORDINATES, ReadingTimes

STORIES = {
    1: "'If \"you go, (well-off) Mr. Null said!' NA came. It did?",
    2: "l'Ecluse isn't null. 'Go.' You 90's",
}


def files(stories):
    """Text of the three files in their true layout; times are 100 * story + position, in no order."""
    text, times, counts = ["word\tzone\titem"], [], []
    header = "word\tzone\titem\tnItem\tmeanItemRT\tsdItemRT\tgmeanItemRT\tgsdItemRT"
    for story, words in stories.items():
        for position, word in enumerate(words.split(" "), start=1):
            core = word.strip(".,!?'\"()")
            text.append(f"{word}\t{position}\t{story}")
            mean, readers = 100 * story + position, 10 * position
            times.append(f"{word}\t{position}\t{story}\t{readers}\t{mean}.5\t{position}.25\t{mean}\t1.4")
            count = {"well-off": 0, "l'Ecluse": 0}.get(core, 1000 * position)
            # A title has no row for the word without punctuation.
            rows = [("whole", word, count), ("word", core, count), ("1", core, 7)]
            counts += [
                f"{story}.{position}.{part}\t1\t{token}\t{n}\tNA"
                for part, token, n in rows
                if not (word == "Mr." and part == "word")
            ]
    return {
        natural_stories.TEXT: "\n".join(text) + "\n",
        natural_stories.TIMES: "\n".join([header, *sorted(times)]) + "\n",
        natural_stories.FREQUENCIES: "\n".join(counts) + "\n",
    }


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Function that puts files into a mirror, and makes the catalog name them."""

    def put(contents, **counts):
        counts = {"words": 17, "stories": 2, "sentences": 6} | counts
        about = {"licence": "CC BY-NC-SA 4.0", "citation": "Futrell", "counts": counts}
        publish(tmp_path, monkeypatch, "natural_stories", contents, **about)

    return put


def test_words_as_shown_with_what_is_known_of_them(release):
    release(files(STORIES))
    times = natural_stories.load()
    assert times.name == "natural_stories"
    assert (times.alignment, times.licence, times.citation) == ("original", "CC BY-NC-SA 4.0", "Futrell")
    assert times.times.dims == ("word",)
    assert times.times.attrs["units"] == "ms"
    words = times.table()
    assert list(words.columns) == [*COORDINATES, "reading_time"]
    assert words.text.tolist() == " ".join(STORIES.values()).split(" ")
    assert words.story.tolist() == [1] * 11 + [2] * 6
    assert words.position.tolist() == [*range(1, 12), *range(1, 7)]
    assert words.sentence.tolist() == [1] * 7 + [2] * 2 + [3] * 2 + [1] * 3 + [2, 3, 3]
    assert times.first_in_sentence.nonzero()[0].tolist() == [0, 7, 9, 11, 14, 15]
    assert words.length.tolist() == [2, 3, 2, 8, 2, 4, 4, 2, 4, 2, 3, 8, 5, 4, 2, 3, 4]


def test_numbers_and_units(release):
    release(files(STORIES))
    words = natural_stories.load().table()
    np.testing.assert_allclose(words.reading_time, 100 * words.story + words.position + 0.5)
    np.testing.assert_allclose(words.sd, words.position + 0.25)
    assert words.n_readers.tolist() == (10 * words.position).tolist()
    expected = np.log(1000.0 * words.position)
    expected[[3, 11]] = np.log(natural_stories.UNCOUNTED)
    np.testing.assert_allclose(words.log_frequency, expected)


def test_corrected_times_belong_to_the_next_word_of_the_story(release):
    release(files(STORIES))
    original, corrected = (natural_stories.load(name) for name in ("original", "corrected"))
    assert corrected.alignment == "corrected"
    before, after = original.table(), corrected.table()
    assert after.reading_time.isna().to_numpy().nonzero()[0].tolist() == [0, 11]
    for column in ("reading_time", "sd", "n_readers"):
        for story in (1, 2):
            of_before, of_after = (x[x.story == story][column].to_numpy() for x in (before, after))
            np.testing.assert_array_equal(of_after[1:], of_before[:-1])
    assert after.n_readers[[0, 11]].tolist() == [0, 0]
    unmoved = [name for name in COORDINATES if name not in ("sd", "n_readers")]
    assert after[unmoved].equals(before[unmoved])


def test_sentences_that_the_corpus_keeps_together(release):
    text = " ".join(["word"] * 249 + ["fine.", "I", "love", "it."])
    release(files({7: text}), words=253, stories=1, sentences=1)
    assert set(natural_stories.load().table().sentence) == {1}
    release(files({7: text.replace("fine", "good")}), words=253, stories=1, sentences=2)
    assert natural_stories.load().table().sentence.tolist() == [1] * 250 + [2] * 3


@pytest.mark.parametrize("what", ["words", "stories", "sentences"])
def test_counts_are_those_of_the_catalog(release, what):
    release(files(STORIES), **{what: 3})
    with pytest.raises(ValueError, match=rf"all_stories.tok has \d+ {what}, expected 3.*datasets.yaml"):
        natural_stories.load()


@pytest.mark.parametrize(
    ("path", "lost", "message"),
    [
        (natural_stories.TIMES, "You\t5\t2", r"no reading time for story 2, position 5 \('You'\)"),
        (natural_stories.FREQUENCIES, "2.5.w", r"no count for story 2, position 5 \('You'\)"),
    ],
)
def test_word_without_a_row_is_named(release, path, lost, message):
    contents = files(STORIES)
    contents[path] = "".join(line for line in contents[path].splitlines(keepends=True) if not line.startswith(lost))
    release(contents)
    with pytest.raises(ValueError, match=message):
        natural_stories.load()


def test_times_of_another_text(release):
    contents = files(STORIES)
    contents[natural_stories.TIMES] = contents[natural_stories.TIMES].replace("isn't", "is not")
    release(contents)
    with pytest.raises(ValueError, match=r"processed_wordinfo.tsv has no reading time for story 2, position 2"):
        natural_stories.load()


def test_unknown_alignment():
    with pytest.raises(LookupError, match=r"'correct'\. Did you mean corrected"):
        natural_stories.load("correct")


def reading_times(**changes):
    coordinates = {
        "story": [1, 1, 1, 2, 2],
        "position": [1, 2, 3, 1, 2],
        "sentence": [1, 1, 2, 1, 1],
        "text": list("abcde"),
        "length": [1] * 5,
        "log_frequency": [0.0] * 5,
        "n_readers": [2] * 5,
        "sd": [1.0] * 5,
    }
    times = changes.pop("times", np.arange(100.0, 105.0))
    dims = ("word", "reader")[: np.ndim(times)]
    on_word = {name: ("word", values) for name, values in (coordinates | changes).items() if values is not None}
    return ReadingTimes("mine", xr.DataArray(times, dims=dims, coords=on_word), "", "", "original")


def test_valid_reading_times():
    times = reading_times()
    assert times.first_in_sentence.tolist() == [True, False, True, True, False]
    assert times.table().reading_time.tolist() == [100, 101, 102, 103, 104]
    assert reading_times(story=["b", "b", "b", "a", "a"]).table().story.tolist() == list("bbbaa")


def test_table_of_readers_has_their_mean():
    readers = np.array([[100, 200], [100, np.nan], [np.nan, np.nan], [1, 2], [3, 5]], float)
    expected = [150, 100, np.nan, 1.5, 4]
    np.testing.assert_array_equal(reading_times(times=readers).table().reading_time, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"position": [1, 2, 4, 1, 2]}, r"story 1, position 4 \('c', sentence 2\): positions must count"),
        ({"position": [1, 2, 2, 1, 2]}, r"story 1, position 2 \('c'.*positions must count"),
        ({"position": [1, 2, 3, 2, 3]}, r"story 2, position 2 \('d'.*positions must count"),
        ({"story": [1, 2, 1, 2, 2]}, r"story 1, position 3 \('c'.*stand together"),
        ({"story": [2, 2, 2, 1, 1]}, r"story 1, position 1 \('d'.*ascend"),
        ({"sentence": [1, 1, 3, 1, 1]}, r"story 1, position 3 \('c', sentence 3\): sentences must count"),
        ({"sentence": [1, 1, 2, 2, 2]}, r"story 2, position 1 \('d'.*sentences must count"),
        ({"text": ["a", "", "c", "d", "e"]}, "story 1, position 2.*must not be empty"),
        ({"length": [1, 1, 1, 1, 0]}, r"story 2, position 2 \('e'.*at least 1 character"),
        ({"times": np.array([1.0, 2, -3, 4, 5])}, r"story 1, position 3 \('c'.*positive number"),
        ({"times": np.array([1.0, 2, 3, 4, np.inf])}, r"story 2, position 2 \('e'.*positive number"),
        ({"sd": None, "length": None}, "lack length, sd"),
    ],
)
def test_impossible_reading_times_name_the_place(changes, message):
    with pytest.raises(ValueError, match=message):
        reading_times(**changes)


def test_dims():
    times = reading_times().times.rename(word="token")
    with pytest.raises(ValueError, match=r"dims \('token',\), expected \('word',\)"):
        ReadingTimes("mine", times, "", "", "original")


def test_the_release(mirror):
    times = natural_stories.load()
    words = times.table()
    assert len(words) == 10256
    assert words.groupby("story").size().tolist() == [1073, 990, 1040, 1085, 1013, 1099, 999, 980, 1038, 939]
    assert times.first_in_sentence.sum() == 485
    assert words.loc[0, ["text", "length", "n_readers"]].tolist() == ["If", 2, 84]
    assert words.reading_time[0] == pytest.approx(369.012, abs=1e-3)
    assert words.reading_time.notna().all()
    zero = words[words.log_frequency == np.log(natural_stories.UNCOUNTED)]
    names = "Bizarden Correthers, Couleren, hedge-king!' hedge-king, internally-inconsistent l'Ecluse"
    assert sorted(zero.text) == [*names.split(), "tulip-specific"]
    # Every sentence that is kept together is there, word for word.
    known = words.set_index(["story", "position"]).text
    places = {
        (story, place): text for story, words in natural_stories.CONTINUES.items() for place, text in words.items()
    }
    assert known[list(places)].to_dict() == places


def test_sentences_are_those_of_a_published_segmentation(mirror):
    from brainalign.human.download import fetch

    published = json.loads(fetch(catalog.dataset("kuribayashi2024").file("data/NS/tokens.json")).read_text())
    ours = natural_stories.load().table().groupby(["story", "sentence"]).text.agg(list)
    assert [words for story in published.values() for words in story] == ours.tolist()


def test_only_the_corrected_alignment_has_reading_follow_the_words(mirror):
    profiles = {}
    for name in ("original", "corrected"):
        words = natural_stories.load(name).table()
        shifted = {lag: words.groupby("story").reading_time.shift(-lag) for lag in (-2, -1, 0, 1)}
        profiles[name] = {lag: words.length.corr(time) for lag, time in shifted.items()}
    assert profiles["original"][-1] > 0.2
    assert profiles["original"][-2] < 0.06
    assert profiles["corrected"][-1] < 0.06
    assert profiles["corrected"][1] > profiles["corrected"][0] > 0.2


def test_values_at_the_ends_of_stories_are_no_words(mirror):
    words = natural_stories.load().table()
    last = words.groupby("story").reading_time.last()
    assert (last > words.reading_time.nlargest(13).min()).all()
