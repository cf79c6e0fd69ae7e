import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign import catalog
from brainalign.alignment import behavior
from brainalign.llm.reading import series

WORDS = pd.DataFrame(
    {
        "story": [1] * 5 + [2] * 3,
        "position": [1, 2, 3, 4, 5, 1, 2, 3],
        "text": ["He", "said:", '"NA",', "and", "left.", "She", "did,", "too."],
    }
)
BITS = np.array([4.5, 1.0, 0.0, 2.25, 8.0, 3.0, 16.0, 0.5])


def frame(**columns):
    base = {"story": WORDS.story, "position": WORDS.position, "surprisal": BITS, "word": WORDS.text}
    return pd.DataFrame(base | columns)


@pytest.fixture
def saved(tmp_path):
    def save(content):
        if isinstance(content, pd.DataFrame):
            path = tmp_path / "mine.csv"
            content.to_csv(path, index=False)
        else:
            path = tmp_path / "mine.json"
            path.write_text(json.dumps(content))
        return path

    return save


@pytest.mark.parametrize(
    "content",
    [
        frame(),
        frame().drop(columns="word"),
        frame()[["surprisal"]],
        frame()[["word", "surprisal"]],
        frame().sample(frac=1, random_state=0),
        frame(position=WORDS.position.astype(float)),
        BITS.tolist(),
        {"1": BITS[:5].tolist(), "2": BITS[5:].tolist()},
        {"2": [BITS[5:].tolist()], "1": [BITS[:2].tolist(), BITS[2:5].tolist()]},
    ],
)
@pytest.mark.parametrize(("unit", "factor"), [("bits", 1), ("nats", np.log(2))])
def test_every_layout_gives_bits_in_the_order_of_the_words(saved, content, unit, factor):
    path = saved(content)
    assert series.models(path) == ["mine"]
    np.testing.assert_allclose(series.load_one(path, "mine", WORDS, unit) * factor, BITS)


def test_stories_may_have_names(saved):
    words = WORDS.assign(story=WORDS.story.map({1: "Boar", 2: "Aqua"}))
    path = saved({"Aqua": BITS[5:].tolist(), "Boar": BITS[:5].tolist()})
    np.testing.assert_array_equal(series.load_one(path, "mine", words), BITS)


def test_words_may_have_any_index(saved):
    words = WORDS.set_axis(range(100, 108))
    np.testing.assert_array_equal(series.load_one(saved(frame()), "mine", words), BITS)
    with pytest.raises(ValueError, match=r"story 2, position 3 \('too.'\) is -1"):
        series.load_one(saved([*BITS[:7].tolist(), -1]), "mine", words)


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (
            frame().drop(index=2),
            [
                r"no value for story 1, position 3 \('\"NA\",'\)",
                "expected 8 values, got 7",
                "expected 5, got 4",
            ],
        ),
        (
            frame().drop(index=2).drop(columns="word"),
            [r"no value for story 1, position 3", "A column 'word' would show"],
        ),
        (BITS[:-1].tolist(), [r"no value for story 2, position 3 \('too.'\)", "expected 8 values, got 7"]),
        (
            frame().drop(index=2)[["word", "surprisal"]],
            [r"has the word 'and' at story 1, position 3 \('\"NA\",'\)", "expected 8 values, got 7"],
        ),
        (
            {"1": BITS[:4].tolist(), "2": BITS[5:].tolist()},
            [r"no value for story 1, position 5", "in story 1 expected 5, got 4"],
        ),
        ({"1": BITS[:5].tolist()}, ["no value for story 2, position 1", "in story 2 expected 3, got 0"]),
        (
            {"1": [1.0] * 6, "2": [1.0] * 3},
            ["more values than words, the first at story 1, position 6", "expected 5, got 6"],
        ),
        ({"1": [1.0] * 5, "2": [1.0] * 3, "3": [1.0]}, ["first at story 3, position 1", "expected 0, got 1"]),
        (
            [*BITS, 1.0, 1.0],
            ["more values than words, the first at the end of the text", "expected 8 values, got 10"],
        ),
        (
            pd.concat([frame(), frame(word="more")[-1:].assign(position=4)]),
            [r"first at story 2, position 4 \('more'\)"],
        ),
        (pd.concat([frame(), frame()[1:2]]), ["two values for story 1, position 2", "got 9"]),
        (frame(word=WORDS.text.replace("did,", "did")), [r"has the word 'did' at story 2, position 2"]),
        (frame(position=["one", *WORDS.position[1:]]), ["no value for story 1, position 1"]),
        (frame(surprisal=["x", *BITS[1:]]), [r"story 1, position 1 \('He'\) is 'x'.* Of 8 values, 1 are"]),
        (frame(surprisal=[1, "nan", *BITS[2:]]), [r"story 1, position 2 \('said:'\) is 'nan'", "leave their cells"]),
        (frame(surprisal=[""] * 8), ["mine.csv: surprisal: every value is missing"]),
        (frame(surprisal=-BITS), [r"position 1 \('He'\) is '-4.5'.* Of 8 values, 7 are", "change the sign"]),
        ([*BITS[:7], float("nan")], [r"story 2, position 3 \('too.'\) is nan"]),
        ([*BITS[:7], float("inf")], [r"story 2, position 3 \('too.'\) is inf"]),
        ({"1": 3}, ["mine.json is not laid out"]),
        (3, ["mine.json is not laid out"]),
    ],
)
def test_what_does_not_fit_is_named(saved, content, messages):
    path = saved(content)
    for message in messages:
        with pytest.raises(ValueError, match=message) as error:
            series.load_one(path, "mine", WORDS)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [frame(surprisal=["", *BITS[1:7], " "]), [None, *BITS[1:7], None]])
def test_an_empty_cell_is_missing(saved, content):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bits = series.load_one(saved(content), "mine", WORDS)
    np.testing.assert_array_equal(bits, [np.nan, *BITS[1:7], np.nan])


def test_first_words_that_are_missing_change_no_predictive_power_of_the_others(saved):
    rng = np.random.default_rng(0)
    rows = [(story, place, 1 + (place - 1) // 8) for story in (1, 2, 3) for place in range(1, 81)]
    words = pd.DataFrame(rows, columns=["story", "position", "sentence"]).assign(text="word")
    words = words.assign(length=rng.integers(1, 9, 240), log_frequency=rng.normal(size=240))
    bits = rng.gamma(3, 2, 240)
    words["reading_time"] = 300 + 8 * bits + 10 * rng.normal(size=240)
    first = words.position == 1
    missing = series.load_one(saved(words.assign(surprisal=np.where(first, "", bits.astype(str)))), "mine", words)
    gain = behavior.predictive_power(missing, words)
    without = words.assign(reading_time=words.reading_time.mask(words.position <= 3))  # the slow way: leave them out
    pd.testing.assert_frame_equal(gain, behavior.predictive_power(bits, without))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [0, *BITS[1:5], 0, *BITS[6:]],
            r"mine.csv: surprisal: it is exactly 0 3 times, .* Leave the cells",
        ),
        ([*BITS[:2], 0, 0, 0, *BITS[5:]], r"it is exactly 0 3 times, at the first word of every story or at 3 words"),
        (2.0**-BITS, r"all values lie between 0 and 1, as probabilities are"),
    ],
)
def test_values_that_look_like_something_else_are_suspected(saved, values, message):
    with pytest.warns(UserWarning, match=message):
        series.load_one(saved(frame(surprisal=values)), "mine", WORDS)


def test_nats_that_are_called_bits_are_suspected():
    with pytest.warns(UserWarning, match=r"mine.csv: surprisal is 0.69 of what .* say unit: nats"):
        series.check_unit(NATS, BITS, "mine.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        series.check_unit(BITS, BITS, "mine.csv")
        series.check_unit(np.full(8, np.nan), BITS, "mine.csv")


def test_broken_files_are_named(tmp_path):
    for name, content, message in (
        ("a.json", "[1, 2", "a.json is not laid out"),
        ("b.csv", "", "b.csv: unknown column 'surprisal'"),
        ("c.csv", 'a,b\n1,2,3,4\n"', "c.csv: row 2: 4 cells, the header has 2"),
        # pandas would take the first column for labels, and the second for surprisal.
        ("d.csv", "surprisal,word\n" + "1.5,2.5,a\n" * 8, "d.csv: row 2: 3 cells, the header has 2"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises((ValueError, LookupError), match=message):
            series.load_one(tmp_path / name, Path(name).stem, WORDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            frame().rename(columns={"surprisal": "suprisal"}),
            r"unknown column 'surprisal'. Did you mean suprisal",
        ),
        (frame().drop(columns="position"), r"unknown column 'position'"),
        (frame().rename(columns={"story": "Story"}), r"unknown column 'story'. Did you mean Story"),
    ],
)
def test_missing_column(saved, content, message):
    with pytest.raises(LookupError, match=message):
        series.load_one(saved(content), "mine", WORDS)


def test_unknown_names(saved, tmp_path):
    with pytest.raises(LookupError, match=r"unknown unit of surprisal 'nat'\. Did you mean nats"):
        series.load_one(saved(frame()), "mine", WORDS, unit="nat")
    with pytest.raises(LookupError, match=r"Did you mean kuribayashi2024\?.*\.csv or \.json"):
        series.models("kuribayashi")
    with pytest.raises(LookupError, match=r"path of a \.csv or \.json file"):
        series.models(tmp_path / "absent.csv")
    with pytest.raises(LookupError, match=r"unknown series in kuribayashi2024 'gpt-2'\. Did you mean gpt2"):
        series.load_one("kuribayashi2024", "gpt-2", WORDS)
    with pytest.raises(LookupError, match="unknown series"):
        series.load_one(saved(frame()), "other", WORDS)


def test_models_of_a_collection_need_no_file(monkeypatch):
    monkeypatch.setattr(series, "fetch", None)
    names = series.models("kuribayashi2024")
    assert len(names) == 26
    assert names[0] == "gpt2"
    assert {"Llama-2-7b-hf", "text-davinci-003"} < set(names)


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """Function that puts a published collection of one model into a mirror, in its true layout."""

    def put(tokens, nats):
        contents = {"data/NS/tokens.json": tokens, "results/NS/gpt2/surprisal.json": nats}
        manifest = {}
        for path, content in contents.items():
            place = tmp_path / "mirror" / "example.org" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(content))
            digest = "sha256:" + hashlib.sha256(json.dumps(content).encode()).hexdigest()
            manifest[path] = catalog.DataFile(path, f"https://example.org/{path}", digest, None)
        data = catalog.Dataset("kuribayashi2024", "", "", "", "MIT", "", "", {}, {}, manifest)
        monkeypatch.setattr(catalog, "dataset", lambda name: data)
        monkeypatch.setenv("BRAINALIGN_MIRROR", str(tmp_path / "mirror"))
        monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "store"))

    return put


TOKENS = {"1": [WORDS.text[:2].tolist(), WORDS.text[2:5].tolist()], "2": [WORDS.text[5:].tolist()]}
NATS = BITS * np.log(2)
NESTED = {"1": [NATS[:2].tolist(), NATS[2:5].tolist()], "2": [NATS[5:].tolist()]}


def test_collection_in_nats_gives_bits(collection):
    collection(TOKENS, NESTED)
    np.testing.assert_allclose(series.load_one("kuribayashi2024", "gpt2", WORDS), BITS)


def test_collection_of_another_text(collection):
    collection(TOKENS | {"2": [["She", "did", "too."]]}, NESTED)
    with pytest.raises(ValueError, match=r"tokens.json has the word 'did' at story 2, position 2 \('did,'\)"):
        series.load_one("kuribayashi2024", "gpt2", WORDS)


def test_collection_one_value_short(collection):
    collection(TOKENS, NESTED | {"1": [NATS[:2].tolist(), NATS[2:4].tolist()]})
    with pytest.raises(ValueError, match=r"surprisal.json has no value for story 1, position 5.*expected 5, got 4"):
        series.load_one("kuribayashi2024", "gpt2", WORDS)


def test_published_series(mirror):
    from brainalign.human import natural_stories

    times = natural_stories.load()
    words = times.table()
    opening = times.first_in_sentence & (words.text == "The").to_numpy()
    for name in series.models("kuribayashi2024"):
        surprisal = series.load_one("kuribayashi2024", name, words)
        assert surprisal.shape == (10256,), name
        assert 5 < surprisal.mean() < 8, name
        # The record says that a model saw nothing before the sentence.
        assert np.ptp(surprisal[opening]) < 0.75 < 2 < surprisal[times.first_in_sentence].std(), name
