"""A real language model through the real texts, and GPT-3's own surprisal beside it."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from plain import beginning, bits_after, states_of

from brainalign.alignment.behavior import reading_time_correlation
from brainalign.human import brennan2016, natural_stories
from brainalign.human.recording import Passage
from brainalign.llm import activations, surprisal
from brainalign.llm.models.load import load
from brainalign.llm.reading import series

pytestmark = pytest.mark.usefixtures("one_store")
POSITIONS, LAYERS, WIDTH = 512, 6, 64


def passages_of(text: str) -> tuple[Passage, ...]:
    if text == "Natural Stories":
        return natural_stories.load().passages
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*s33 is left out")
        return brennan2016.load().passages


def sampled(model, passages, fits: bool, n: int = 12) -> list[tuple[int, int, int]]:
    """Some parts that fit into the positions with all that is before them: passage, part, and part of all passages."""
    first = np.cumsum([0, *(len(passage.parts) for passage in passages)])
    places = [(p, part) for p, passage in enumerate(passages) for part in range(len(passage.parts))]
    chosen = []
    for number in np.random.default_rng(0).permutation(len(places)):
        p, part = places[number]
        n_tokens = len(model.tokenizer(beginning(passages[p], part))["input_ids"])
        if (n_tokens <= POSITIONS) == fits:
            chosen.append((p, part, first[p] + part))
        if len(chosen) == n:
            return chosen
    raise AssertionError(f"only {len(chosen)} such parts")


def compared(model, passages, fits: bool, long: str, monkeypatch) -> None:
    """Hold states and bits of a sample against the plain loop."""
    states, bits = (read(model, passages, long=long).to_numpy() for read in (activations, surprisal))
    chosen = sampled(model, passages, fits)
    for p, part, number in chosen:
        text = beginning(passages[p], part)
        n_before = len(beginning(passages[p], part - 1)) if part else 0
        assert bits[number] == pytest.approx(bits_after(model, text, n_before, POSITIONS), rel=1e-5, abs=1e-4)
    # Without the final norm, which transformers applies to the last of its states.
    monkeypatch.setitem(model.network.base_model._modules, "norm", torch.nn.Identity())
    expected = [states_of(model, beginning(passages[p], part), POSITIONS)[:, -1] for p, part, _ in chosen]
    found = states[:, [number for *_, number in chosen]].swapaxes(0, 1)
    scale = np.abs(expected).max(axis=(0, 2), keepdims=True)
    assert (np.abs(found - expected) <= 1e-4 * scale).all()


@pytest.mark.parametrize(("text", "n_parts"), [("Natural Stories", 10256), ("Alice", 2127)])
def test_a_text_is_read_as_the_plain_loop_reads_it(mirror, monkeypatch, text, n_parts):
    model, passages = load("stories260k"), passages_of(text)
    states, bits = activations(model, passages), surprisal(model, passages)
    assert states.shape == (LAYERS, n_parts, WIDTH) and bits.shape == (n_parts,)
    assert np.isfinite(states).all() and np.isfinite(bits).all()
    assert (bits >= 0).all() and (np.ptp(states.to_numpy(), axis=1) > 0).all()
    assert bits.text.to_numpy().tolist() == [part for passage in passages for part in passage.parts]
    # Every word ends where a token ends, in the whole text as in its beginning.
    assert states.attrs["parts_encoded_anew"] == bits.attrs["parts_encoded_anew"] == 0
    compared(model, passages, fits=True, long="strided", monkeypatch=monkeypatch)


def test_beyond_the_positions_too(mirror, monkeypatch):
    start = [Passage(p.id, p.parts[:200]) for p in passages_of("Natural Stories")[:3]]
    compared(load("stories260k"), start, fits=False, long="exact", monkeypatch=monkeypatch)


def test_training_shows_in_surprisal(mirror):
    passages = passages_of("Natural Stories")
    model, twin = load("stories260k"), load("stories260k", untrained=0)
    trained, untrained = (surprisal(one, passages).to_numpy() for one in (model, twin))
    words = natural_stories.load().table()
    gpt3 = series.gpt3(words)
    known = ~np.isnan(gpt3)
    assert 0.2 < np.corrcoef(trained[known], gpt3[known])[0, 1] < 0.3
    # All that an untrained model has is the number of tokens, each as good as any other of the vocabulary.
    n_tokens = [len(model.tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words.text]
    assert np.corrcoef(untrained, n_tokens)[0, 1] > 0.99
    assert untrained.mean() == pytest.approx(np.log2(model.n_vocabulary) * np.mean(n_tokens), rel=0.05)
    assert trained.mean() < 0.6 * untrained.mean()
    for alignment, low, high in (("original", 0.34, 0.41), ("corrected", 0.29, 0.36)):
        times = natural_stories.load(alignment)
        time, keep = times.table().reading_time.to_numpy(), ~times.first_in_sentence
        shuffled = np.random.default_rng(0).permutation(trained)
        ours, twins, chance = (reading_time_correlation(x, time, keep) for x in (trained, untrained, shuffled))
        assert low < ours < high
        assert ours > twins + 0.02
        assert abs(chance) < 0.05


# GPT-3's surprisal, as the corpus was released with it


def told(stories: dict[int, list[tuple[str, str]]]) -> pd.DataFrame:
    """Tokens in the release's layout; stories counted from 0."""
    rows = []
    for story, tokens in stories.items():
        offset = 0
        for token, logprob in tokens:
            rows.append((token, logprob, offset, story))
            offset += len(token)
    return pd.DataFrame(rows, columns=["token", "logprob", "offset", "story"])


WORDS = pd.DataFrame({"story": [1, 1, 1, 2, 2], "text": ["She", "peaked,", '"NA".', "He", "too."]})
TOKENS = told(
    {
        0: [("She", ""), (" pe", "-1.5"), ("eked", "-0.5"), (",", "-1"), (' "', "-2"), ("NA", "-3"), ('".', "-0.25")],
        1: [("He", ""), (" too", "-5"), (".", "-0.5")],
    }
)


@pytest.fixture
def release(tmp_path, monkeypatch):
    def save(tokens):
        path = tmp_path / "all_stories_gpt3.csv"
        tokens.to_csv(path, index=False)
        monkeypatch.setattr(series, "fetch", lambda file: path)

    return save


def test_a_words_bits_are_those_of_its_tokens(release):
    release(TOKENS)
    expected = np.array([np.nan, 3, 5.25, np.nan, 5.5]) / np.log(2)
    np.testing.assert_allclose(series.gpt3(WORDS), expected)
    np.testing.assert_allclose(series.gpt3(WORDS.set_axis(range(50, 55))), expected)


def test_a_space_by_itself_belongs_to_the_word_after_it(release):
    release(told({0: [("He", ""), (" did", "-2"), (" ", "-4"), ("too", "-1")]}))
    found = series.gpt3(pd.DataFrame({"story": 1, "text": ["He", "did", "too"]}))
    np.testing.assert_allclose(found, np.array([np.nan, 2, 5]) / np.log(2))


@pytest.mark.parametrize(
    ("spoil", "story"),
    [
        (lambda tokens: tokens.drop(index=[1, 2, 3]), 1),  # a word is missing
        (lambda tokens: tokens[tokens.story == 0], 2),  # a story is missing
        (lambda tokens: tokens.replace({"token": {"NA": "no", " pe": " pi"}}), 1),  # two words are others
        (lambda tokens: pd.concat([tokens, told({1: [(" more", "-1")]})]), 2),  # a word too many
    ],
)
def test_tokens_of_another_text_are_refused(release, spoil, story):
    release(spoil(TOKENS))
    with pytest.raises(ValueError, match=rf"all_stories_gpt3.csv: the tokens of story {story} are not its words"):
        series.gpt3(WORDS)


def test_the_release_of_gpt3_word_by_word(mirror):
    words = natural_stories.load().table()
    tokens = pd.read_csv(
        series.fetch(series.catalog.dataset("natural_stories").file(series.GPT3)), keep_default_na=False
    )
    expected, rows = [], iter(tokens.itertuples())
    for text in words.text:
        seen, nats = "", 0.0
        while len(seen) < len(text):
            token = next(rows)
            seen += token.token.lstrip(" ")
            nats -= float(token.logprob or "nan")
        assert seen == text or text == "peaked"
        expected.append(nats / np.log(2))
    assert next(rows, None) is None
    found = series.gpt3(words)
    np.testing.assert_allclose(found, expected)
    assert np.isnan(found).tolist() == (words.position == 1).tolist()
