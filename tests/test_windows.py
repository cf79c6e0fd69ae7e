"""Texts joined, cut and told apart in tokens: against plain joins and whole beginnings."""

import itertools
import re

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.human.recording import Passage
from brainalign.llm.reading import windows
from brainalign.llm.reading.tokens import join, special_tokens
from brainalign.llm.reading.windows import beginning_windows, continuation_windows, whole_text_windows

ODD = (
    "Once upon a time,",
    'there  was a "girl" named Lily ',
    ".",
    "",
    "She liked naïve 日本 cafés",
    " ,  and",
    "a",
    "   ",
    "ball !  ",
    "? Yes; no",
)
LONG = tuple((tiny.TEXT * 2).split())


@pytest.fixture(scope="module", params=["gpt2", "llama", "t5"])
def tokenizer(request, tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param)))


def joined(parts) -> str:
    """Join as the protocol says, in two lines."""
    return re.sub(r"\s+([.,!?;:])", r"\1", " ".join(part for part in parts if part.strip()))


def beginnings(tokenizer, parts) -> list[list[int]]:
    return [tokenizer(joined(parts[: n + 1]), add_special_tokens=False)["input_ids"] for n in range(len(parts))]


def up_to_each(found: list[windows.Window]) -> list[list[int]]:
    """What each part's window holds up to the part."""
    rows = [(p, w.tokens[:stop]) for w in found for p, (_, stop) in zip(w.parts, w.spans, strict=True)]
    return [tokens for _, tokens in sorted(rows)]


# Text


@given(st.lists(st.text(alphabet="ab .,!  ", max_size=6), min_size=1, max_size=8))
def test_joining_part_by_part_is_joining_at_once(parts):
    text, ends, closed = join(parts)
    assert text == joined(parts).lstrip() if not joined(parts).strip() else text == joined(parts)
    for part in range(len(parts)):
        if part not in closed:
            assert text[: ends[part]] == joined(parts[: part + 1])


def test_a_part_that_loses_its_last_space_is_said_to():
    assert join(["one ", "two"]) == ("one  two", [4, 8], set())
    assert join(["one ", "", ". two"]) == ("one. two", [3, 3, 8], {0, 1})


# Windows that parts share


@pytest.mark.parametrize("parts", [ODD, LONG, ("one",)])
def test_every_part_ends_where_its_beginning_ends(tokenizer, parts):
    found, n_anew = beginning_windows(tokenizer, [Passage("p", parts)])
    expected = beginnings(tokenizer, parts)
    assert up_to_each(found) == expected
    assert len(found) <= 1 + n_anew


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.text(alphabet="abé .,!日\n", max_size=7), min_size=1, max_size=60))
def test_the_check_of_the_last_parts_finds_what_whole_beginnings_find(byte_level, parts):
    if not any(part.strip() for part in parts):
        return
    found, _ = beginning_windows(byte_level, [Passage("p", tuple(parts))])
    assert up_to_each(found) == beginnings(byte_level, parts)


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.text(alphabet="abé .,!日\n", max_size=7), min_size=1, max_size=60))
def test_a_window_of_its_own_holds_the_beginning_of_each_part(byte_level, parts):
    """As an encoder needs it, which reads what follows too; cut on the left where it is too long."""
    if not any(part.strip() for part in parts):
        return
    expected = beginnings(byte_level, parts)
    for limit in (None, 40):
        found, n_anew = beginning_windows(byte_level, [Passage("p", tuple(parts))], limit, shared=False)
        assert [window.parts for window in found] == [[part] for part in range(len(parts))] and n_anew == 0
        assert [window.tokens for window in found] == [ids[-limit:] if limit else ids for ids in expected]
        assert all(window.spans[0][1] == len(window.tokens) for window in found)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.gpt2(tmp_path_factory.mktemp("gpt2")))


def test_a_tokenizer_that_merges_words_makes_parts_be_read_anew():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: number for number, piece in enumerate(["a", "b", " ", " b", "a b", "?"])}
    merging = Tokenizer(models.BPE(vocabulary, [(" ", "b"), ("a", " b")], unk_token="?"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=merging, unk_token="?")
    passage = Passage("p", ("a", "b", "a"))
    found, n_anew = beginning_windows(tokenizer, [passage])
    assert n_anew == 1  # "a", whose token is another once "b" follows
    assert sorted((window.parts, window.tokens) for window in found) == [([0], [0]), ([1, 2], [4, 2, 0])]
    with pytest.raises(ValueError, match=r"passage 'p', part 2 \('b'\): the tokenizer gives it no tokens of its own"):
        beginning_windows(tokenizer, [passage], words=True)
    with pytest.raises(ValueError, match="part 1"):
        whole_text_windows(tokenizer, [passage])


def test_words_that_the_tokenizer_drops_are_named():
    from tokenizers import Tokenizer, models, normalizers
    from transformers import PreTrainedTokenizerFast

    dropping = Tokenizer(models.BPE({"a": 0, " ": 1}, []))
    dropping.normalizer = normalizers.Replace("x", "")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=dropping)
    for read in (whole_text_windows, continuation_windows, lambda *given: beginning_windows(*given, words=True)):
        with pytest.raises(ValueError, match=r"part 2 \('x'\)"):
            read(tokenizer, [Passage("p", ("a", "x"))])


def test_words_have_their_own_tokens_and_all_of_them(tokenizer):
    (window,) = whole_text_windows(tokenizer, [Passage("p", LONG)])
    assert window.spans[0][0] == 0 and window.spans[-1][1] == len(window.tokens)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(window.spans))
    for word, (start, stop) in zip(LONG, window.spans, strict=True):
        assert tokenizer.decode(window.tokens[start:stop]).strip() == word


# What is longer than a window


@pytest.mark.parametrize("limit", [20, 33, 64])
def test_exact_windows_are_cut_on_the_left(tokenizer, limit):
    found, _ = beginning_windows(tokenizer, [Passage("p", LONG)], limit, "exact")
    expected = beginnings(tokenizer, LONG)
    for window in found:
        for part, (_, stop) in zip(window.parts, window.spans, strict=True):
            assert window.tokens[:stop] == expected[part][-limit:]


@pytest.mark.parametrize("limit", [20, 33, 64])
def test_strided_windows_keep_at_least_half_of_what_they_hold(tokenizer, limit):
    whole = tokenizer(joined(LONG), add_special_tokens=False)["input_ids"]
    found, _ = beginning_windows(tokenizer, [Passage("p", LONG)], limit, "strided")
    stops = {}
    for window in found:
        assert len(window) <= limit
        for part, (_, stop) in zip(window.parts, window.spans, strict=True):
            stops[part] = stop
    lengths = [len(tokens) for tokens in beginnings(tokenizer, LONG)]
    assert all(stops[part] >= min(length, limit // 2) for part, length in enumerate(lengths))
    assert len(found) <= 2 + 2 * len(whole) / limit


def test_what_fits_is_read_in_one_window_either_way(tokenizer):
    passage = [Passage("p", LONG[:30])]
    windows_of = [
        beginning_windows(tokenizer, passage, limit, long)[0] for limit in (None, 500) for long in windows.LONG
    ]
    assert all(found == windows_of[0] and len(found) == 1 for found in windows_of)


def test_a_part_longer_than_a_window_is_named(tokenizer):
    passage = Passage("p", ("one", "Once upon a time, there was a little girl named Lily who would not read.", "two"))
    for long in windows.LONG:
        with pytest.raises(ValueError, match=r"passage 'p', part 2 .* tokens, the model reads 6 at a time"):
            beginning_windows(tokenizer, [passage], 6, long)


# Context


def test_context_counts_parts(tokenizer):
    found, n_anew = beginning_windows(tokenizer, [Passage("p", LONG[:10]), Passage("q", LONG[10:13])], context=3)
    expected = [LONG[max(0, n - 2) : n + 1] for n in range(10)] + [LONG[10 : 11 + n] for n in range(3)]
    assert n_anew == 0 and [window.parts for window in found] == [[n] for n in range(13)]
    for window, parts in zip(found, expected, strict=True):
        assert window.tokens == tokenizer(" ".join(parts), add_special_tokens=False)["input_ids"]
        assert window.spans[0][1] == len(window.tokens)


def test_continuations_have_what_comes_before_as_context(tokenizer):
    found = continuation_windows(tokenizer, [Passage("p", LONG[:5])], limit=6)
    for n, window in enumerate(found):
        before = tokenizer(" ".join(LONG[:n]), add_special_tokens=False)["input_ids"]
        assert window.context == before[-6:]
        assert window.tokens == tokenizer(LONG[n], add_special_tokens=False)["input_ids"]


def test_special_tokens_are_told_from_the_text(tmp_path):
    from transformers import AutoTokenizer

    found = {}
    for name in ("gpt2", "llama", "t5"):
        tokenizer = AutoTokenizer.from_pretrained(getattr(tiny, name)(tmp_path / name))
        found[name] = [tokenizer.convert_ids_to_tokens(ids) for ids in special_tokens(tokenizer)]
    assert found == {"gpt2": [[], []], "llama": [["<s>"], []], "t5": [[], ["</s>"]]}


# Bad input


def test_nothing_to_read_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="there are no passages"):
        beginning_windows(tokenizer, [])
    with pytest.raises(ValueError, match="passage 'p' has no text: all its 2 parts are blank"):
        beginning_windows(tokenizer, [Passage("p", ("", "  "))])


def test_a_context_of_less_than_one_part_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="1 or more parts, not 0"):
        beginning_windows(tokenizer, [Passage("p", ("a",))], context=0)


def test_an_unknown_way_to_read_suggests_a_known_one(tokenizer):
    with pytest.raises(LookupError, match="strided"):
        beginning_windows(tokenizer, [Passage("p", ("a",))], long="stride")
