"""The microworld's texts: probabilities against enumeration, events against their conditions, questions held out."""

import itertools
import math
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from brainalign.alignment.encoding import Penalties, predictivity
from brainalign.alignment.encoding.splits import grouped
from brainalign.microworld import grammar, make, questions
from brainalign.microworld.world import DOMAINS, KINDS, PLACES, Event, Situation, events, meaning, update

WORLD = make(0)
PASSAGES = grammar.passages(WORLD)
STORY = grammar.stories(WORLD, 1, 40)[0]


@pytest.fixture(scope="module")
def corpus():
    return list(grammar.corpus(WORLD, 40_000))


@pytest.fixture(scope="module")
def training_texts(corpus):
    told = [str(text) for text in corpus] + questions.recitations(WORLD, 2000)
    return told + [" ".join(sample.values()) for sample in questions.instructions(WORLD, 2000)]


def situations(texts):
    return [now for text in texts for now in (Situation((text.topic,)), *text.situations)]


def words_of(text):
    return re.findall(r"\w+", text.lower())


# Probabilities


def two_moods(state):
    """A process that a reader cannot see through: two states, which say the same with other probabilities."""
    often = {"calm": 0.8, "cross": 0.3}[state]
    yield ("It", "rains."), 0.5 * often, "calm"
    yield ("It", "rains."), 0.5 * (1 - often), "cross"
    yield ("It", "pours."), 0.1, "cross"
    yield ("We", "sleep", "on."), 0.4, state


def probability_of_beginning(words, state="calm", p=1.0, n_sentences=3):
    """Sum over whole texts of as many sentences that begin so, one by one."""
    if n_sentences == 0:
        return p if not words else 0.0
    total = 0.0
    for sentence, q, then in two_moods(state):
        shared = min(len(sentence), len(words))
        if sentence[:shared] == words[:shared]:
            total += probability_of_beginning(words[shared:], then, p * q, n_sentences - 1)
    return total


@pytest.mark.parametrize("text", ["It rains. It pours. We sleep on.", "We sleep on. It rains. It rains."])
def test_surprisal_is_that_of_all_texts_enumerated(text):
    words = tuple(text.split())
    found = grammar.forward({"calm": 1.0}, two_moods, [tuple(s.split()) for s in re.findall(r"[^.]+\.", text)])
    beginning = [probability_of_beginning(words[:n]) for n in range(len(words) + 1)]
    np.testing.assert_allclose(found, -np.diff(np.log2(beginning)), atol=1e-12)


def test_a_text_that_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"sentence 2, 'Pigs fly.', cannot follow"):
        grammar.forward({"calm": 1.0}, two_moods, [("It", "rains."), ("Pigs", "fly.")])


def test_probabilities_of_events_and_of_wordings_sum_to_one():
    for now in situations([STORY, *PASSAGES[::12]]):
        possible = events(WORLD, now)
        assert sum(p for _, p in possible) == pytest.approx(1)
        assert len({event for event, _ in possible}) == len(possible)
        for event, _ in possible[::9]:
            assert sum(grammar.wordings(WORLD, now, event).values()) == pytest.approx(1)


def continuations(now):
    for event, p in events(WORLD, now):
        for sentence, q in grammar.wordings(WORLD, now, event).items():
            yield tuple(sentence.split()), p * q, update(now, event)


def test_no_sentence_begins_another():
    for now in situations([STORY])[::8]:
        told = sorted({words for words, _, _ in continuations(now)})
        assert not any(b[: len(a)] == a for a, b in itertools.pairwise(told))


def probability_of(sentences, now):
    """Probability of sentences from a situation on, by recursion over everything that tells them."""
    if not sentences:
        return 1.0
    total = 0.0
    for event, p in events(WORLD, now):
        q = grammar.wordings(WORLD, now, event).get(sentences[0], 0.0)
        if q:
            total += p * q * probability_of(sentences[1:], update(now, event))
    return total


def test_surprisal_sums_to_that_of_the_text():
    for text in PASSAGES[::24]:
        total = sum(probability_of(text.sentences, Situation((name,))) for name in WORLD.people) / len(WORLD.people)
        assert grammar.surprisal(WORLD, text).sum() == pytest.approx(-math.log2(total))


def test_probabilities_of_the_next_word_sum_to_one():
    now = STORY.situations[9]
    for begun in {words[:2] for words, _, _ in continuations(now)}:
        following = {words[2]: words for words, _, _ in continuations(now) if words[:2] == begun}
        bits = [grammar.forward({now: 1.0}, continuations, [words])[2] for words in following.values()]
        assert np.exp2(-np.array(bits)).sum() == pytest.approx(1)


def test_texts_are_drawn_as_their_probabilities_say():
    now, n = Situation(("Anna",)), 4000
    rng = np.random.default_rng(0)
    drawn = Counter(grammar.write(WORLD, "Anna", 1, rng).events[0] for _ in range(n))
    for event, p in events(WORLD, now):
        assert drawn[event] / n == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / n))


# Events and meaning


def test_events_have_their_conditions_and_consequences():
    for text in grammar.stories(WORLD, 8, 60, seed=5):
        place, has, broken, lost, hungry = {}, set(), set(), {}, set()
        for event in text.events:
            kind, who, what, whom = event
            match kind:
                case "tool":
                    has.add((who, what))
                case "go":
                    assert place.get(who) != what
                    place[who] = what
                case "meet":
                    assert place[who] == what
                    place[whom] = what
                case "buy" | "find":
                    assert (place[who] == "market") == (kind == "buy")
                    has.add((who, what))
                case "break":
                    assert (who, what) in has - broken
                    broken.add((who, what))
                case "mend":
                    broken.remove((who, what))
                case "give":
                    assert place[who] == place[whom]
                    assert (who, what) not in broken
                    has.remove((who, what))
                    has.add((whom, what))
                case "run away":
                    assert who not in lost
                    lost[who] = what
                case "catch":
                    assert lost.pop(who) == place[who]
                case "hunger":
                    assert who not in hungry
                    hungry.add(who)
                case "eat":
                    hungry.remove(who)
                case _ if kind in DOMAINS:
                    assert getattr(WORLD.people[who], kind) == (what or whom)


def test_every_kind_of_event_happens_in_passages_or_stories():
    told = {event.kind for text in [*PASSAGES, *grammar.stories(WORLD)] for event in text.events}
    assert told == {*grammar.WORDINGS, "scene"} == set(KINDS)


def test_wordings_of_a_fact_share_its_meaning_and_other_facts_have_another():
    now, home = Situation(("Anna",)), Event("home", "Anna", WORLD.people["Anna"].home)
    assert len(grammar.wordings(WORLD, now, home)) > 2
    same = meaning(WORLD, home, update(now, home))
    np.testing.assert_array_equal(same, meaning(make(0), home, update(now, home)))
    walk = Event("go", "Anna", "mill")
    assert not np.allclose(same, meaning(WORLD, walk, update(now, walk)))


def test_meaning_is_not_in_position_and_length():
    latent = grammar.meanings(WORLD, PASSAGES)
    topics = np.repeat([text.topic for text in PASSAGES], [len(text.sentences) for text in PASSAGES])
    place = np.concatenate([np.eye(6)[: len(text.sentences)] for text in PASSAGES])
    length = np.array([[len(s.split()), len(s)] for text in PASSAGES for s in text.sentences], float)
    (r,) = predictivity.scores_of_each(np.hstack([place, length]), [latent], grouped(topics, 8), Penalties())
    assert np.median(r) < 0.25


# English


def test_texts_read_as_english():
    for text in [*PASSAGES, STORY]:
        for sentence in text.sentences:
            assert re.fullmatch(r"[A-Z][A-Za-z,' ]+\.", sentence), sentence
            assert "  " not in sentence
            assert " ," not in sentence
            for article, noun in re.findall(r"\b([Aa]n?) (\w+)", sentence):
                assert (article.lower() == "an") == (noun[0] in "aeiou"), sentence
            for word in sentence.split()[1:]:
                assert word[0].islower() or re.match(r"\w+", word)[0] in WORLD.people, sentence


def test_a_subject_is_a_pronoun_only_where_it_can_be_nobody_else():
    for text in grammar.stories(WORLD, 6, 50, seed=3):
        before = Situation((text.topic,))
        for sentence, event, now in zip(text.sentences, text.events, text.situations, strict=True):
            if event.kind == "scene":
                assert (now.focus, now.mentioned) == (before.focus, before.mentioned)
            elif event.who not in sentence:
                pronoun = WORLD.people[event.who].pronoun
                assert before.focus == event.who
                assert [WORLD.people[name].pronoun for name in before.mentioned].count(pronoun) == 1
            before = now


def test_passages_are_96_of_four_to_six_sentences_on_24_topics():
    assert Counter(text.topic for text in PASSAGES) == dict.fromkeys(WORLD.people, 4)
    assert {len(text.sentences) for text in PASSAGES} == {4, 5, 6}
    made = grammar.as_passages(PASSAGES, "p")
    assert [passage.parts for passage in made] == [text.sentences for text in PASSAGES]
    assert len({stimulus for passage in made for stimulus in passage.stimuli}) == sum(len(p.parts) for p in made)


def test_every_word_of_a_story_has_a_surprisal():
    assert len(grammar.surprisal(WORLD, STORY)) == len(str(STORY).split())


def test_stimuli_and_stories_are_not_in_the_corpus(corpus):
    told = "\n".join(map(str, corpus))
    assert not any(str(text) in told for text in [*PASSAGES, STORY])


def test_the_vocabulary_is_closed(training_texts):
    known = set(questions.vocabulary())
    assert 100 <= len(known) <= 250
    examined = [f"{q.prompt} {' '.join(q.choices)}" for q in questions.questions(WORLD)]
    assert set().union(*map(words_of, [*training_texts, *examined, *map(str, PASSAGES)])) == known


# Questions


def test_questions_are_in_no_training_text(training_texts):
    told = "\n".join(training_texts)
    for question in questions.questions(WORLD):
        assert question.prompt not in told
        if question.kind == questions.KNOWLEDGE:
            assert question.question not in told
            assert question.right not in told


def test_the_facts_that_are_asked_for_are_told_in_the_corpus(corpus):
    told = {(event.kind, event.who) for text in corpus for event in text.events}
    facts = [q for q in questions.questions(WORLD) if q.kind == questions.KNOWLEDGE]
    assert {(q.domain, who) for q in facts for who in WORLD.people if who in q.question} <= told


def test_right_answers_are_right_and_stand_in_each_place_equally_often():
    asked = questions.questions(WORLD)
    assert {q.domain for q in asked} == {*DOMAINS, *questions.REASONED}
    for domain in {q.domain for q in asked}:
        assert set(Counter(q.answer for q in asked if q.domain == domain).values()) <= {2, 12}
    for q in asked:
        assert len(set(q.choices)) == 4
        if q.kind == questions.KNOWLEDGE:
            (person,) = [p for p in WORLD.people.values() if p.name in q.question]
            assert getattr(person, q.domain) in q.right


def solved(question):
    """Answer a question that needs reasoning by reading its text event by event."""
    has, place, trips = {}, {}, []
    for sentence in question.context.split(". "):
        who, verb, *rest = sentence.strip(".").split()
        if verb == "went":
            place[who] = rest[-1]
            trips.append(rest[-1])
        elif verb == "gave":
            has[rest[1]] = rest[-1]
        else:
            has[rest[-1]] = who
    last = question.question.rstrip("?").split()
    if question.domain == "counting":
        return ["one", "two", "three", "four"][list(has.values()).count(last[-2]) - 1]
    if question.domain == "order":
        return trips[0 if last[-1] == "first" else -1]
    return has[last[-1]] if last[0] == "Who" else place[has[last[-1]]]


def test_reasoning_follows_from_the_text():
    for q in questions.questions(WORLD):
        if q.kind == questions.REASONING:
            assert [solved(q) in words_of_choice(choice) for choice in q.choices] == [i == q.answer for i in range(4)]


def words_of_choice(choice):
    return re.findall(r"\w+", choice)


def test_instructions_are_in_alpacas_layout_with_and_without_input():
    samples = questions.instructions(WORLD, 400)
    assert all(set(sample) == {"instruction", "input", "output"} for sample in samples)
    assert all(sample["instruction"] and sample["output"] for sample in samples)
    assert 0.2 < np.mean([sample["input"] == "" for sample in samples]) < 0.5


# The same again


def test_the_same_seeds_give_the_same_bytes_in_another_process():
    program = (
        "from brainalign.microworld import grammar, make, questions as q; w = make(3);"
        "print(*grammar.passages(w, 24, 1), *grammar.stories(w, 1, 20), *grammar.corpus(w, 500), q.recitations(w, 20),"
        "q.questions(w), q.instructions(w, 40), grammar.meanings(w, grammar.passages(w, 24, 1)).tolist())"
    )
    hashes = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2")]
    one, two = (subprocess.check_output([sys.executable, "-c", program], env=env) for env in hashes)
    assert one == two
    assert len(one) > 10_000


def test_other_seeds_give_other_texts():
    assert str(grammar.passages(WORLD, 24, 1)[0]) != str(grammar.passages(WORLD, 24, 2)[0])
    assert make(1).people != WORLD.people
    assert not {*map(str, grammar.corpus(WORLD, 2000, 1))} & {*map(str, grammar.corpus(WORLD, 2000, 2))}


def test_every_fact_is_dealt_equally_often_and_friends_are_mutual():
    for domain, n in (("home", 3), ("trade", 3), ("animal", 3), ("food", 3), ("friend", 1)):
        assert set(Counter(getattr(p, domain) for p in WORLD.people.values()).values()) == {n}
    assert all(WORLD.people[p.friend].friend == p.name != p.friend for p in WORLD.people.values())
    assert {p.home for p in WORLD.people.values()} == set(PLACES)
