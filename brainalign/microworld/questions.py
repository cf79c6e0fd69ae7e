"""Questions about the world, and instructions with responses.

    questions(world)             # multiple choice, held out: what a model is examined with
    recitations(world, 1000)     # other questions with their answers: what it learns to answer from
    instructions(world, 1000)    # in Alpaca's layout: what it is tuned with

Of each domain of lasting facts, a third of the people are never asked about in any training text. The facts themselves
are told there, as statements in other wordings. Questions that need reasoning come with a text of their own
that occurs nowhere else.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise

import numpy as np
import pandas as pd

from brainalign.llm.exams.benchmarks import Benchmark, Splits
from brainalign.microworld import grammar
from brainalign.microworld.world import (
    ANIMALS,
    DOMAINS,
    FOODS,
    HE,
    PLACES,
    SHE,
    THINGS,
    TRADES,
    Situation,
    World,
    lasting,
    update,
)

KNOWLEDGE, REASONING = "world knowledge", "reasoning"
ASKED = {  # question and answer; {value} is what is asked for
    "home": ("Where was the home of {name}?", "The home of {name} was {at} the {value}."),
    "trade": ("What was the trade of {name}?", "The trade of {name} was that of a {value}."),
    "animal": ("Which animal was that of {name}?", "The animal of {name} was {a} {value}."),
    "food": ("Which food was the best for {name}?", "The best food for {name} was {value}."),
    "tool": ("Which tool was that of {name}?", "The tool of {name} was a {value}."),
    "friend": ("Who was the friend of {name}?", "The friend of {name} was {value}."),
}
GOT = ("{who} had {a} {thing}.", "{who} found {a} {thing}.", "{who} bought {a} {thing}.")
GAVE = "{who} gave the {thing} to {whom}."
WENT = "{who} went to the {place}."
COUNTED = ("How many things did {who} have?", "{who} had {number}.")
ORDERED = ("Where did {who} go {nth}?", "{who} went to the {place} {nth}.")
HELD = ("Who had the {thing}?", "{who} had the {thing}.")
FOLLOWED = ("Where was the {thing}?", "The {thing} was {at} the {place}.")
NUMBERS = ("one thing", "two things", "three things", "four things")
NTH = ("first", "last")
REASONED = ("counting", "order", "deduction")
HELD_OUT, RECITED, TUNED = 4, 5, 6  # streams of random numbers beside those of `grammar`
ABOUT, OTHERWISE, ONWARD, WHOM = (
    "Tell me about {name}.",
    "Say the same in other words.",
    "Write the sentence that comes next.",
    "Who is the text about?",
)
IS_ABOUT = "The text is about {name}."


@dataclass(frozen=True)
class Question:
    """A question with four answers, one of them right."""

    kind: str  # world knowledge or reasoning
    domain: str  # which lasting fact, or counting, order or deduction
    context: str  # the text that it is about; empty for knowledge
    question: str  # with a question mark
    choices: tuple[str, ...]  # whole sentences
    answer: int  # which choice is right

    @property
    def prompt(self) -> str:
        """What stands before an answer."""
        return f"{self.context} {self.question}".strip()

    @property
    def sample(self) -> dict[str, str]:
        """The question and the right answer in Alpaca's layout."""
        return {"instruction": self.question, "input": self.context, "output": self.right}

    @property
    def right(self) -> str:
        """The right answer."""
        return self.choices[self.answer]


def questions(world: World, n_reasoning: int = 48) -> list[Question]:
    """Examine a model: questions that no training text has, right answers in each place equally often.

    As many as said of each domain of reasoning, and 8 of each domain of knowledge.
    """
    rng = np.random.default_rng([world.seed, HELD_OUT, len(DOMAINS)])
    exam = []
    for domain in DOMAINS:
        names = _examined(world, domain)
        places = rng.permutation(np.arange(len(names)) % 4)
        exam += [_knowledge(world, name, domain, int(place), rng) for name, place in zip(names, places, strict=True)]
    for domain in REASONED:
        by_prompt, places = {}, rng.permutation(np.arange(n_reasoning) % 4)
        while len(by_prompt) < n_reasoning:
            question = _reasoning(world, domain, int(places[len(by_prompt)]), rng)
            by_prompt.setdefault(question.prompt, question)
        exam += by_prompt.values()
    return exam


def recitations(world: World, n_texts: int, seed: int = 0) -> list[str]:
    """Texts of a question and its answer, none of which examines: half of them of knowledge, half of reasoning."""
    rng = np.random.default_rng([world.seed, RECITED, seed])
    return [f"{question.prompt} {question.right}" for question in islice(_training(world, rng), n_texts)]


@cache
def instructions(world: World, n_samples: int = 3000, seed: int = 0) -> tuple[dict[str, str], ...]:
    """Samples in Alpaca's layout: ``instruction``, ``input`` (empty in about a third) and ``output``."""
    rng = np.random.default_rng([world.seed, TUNED, seed])
    training = _training(world, rng)
    return tuple(next(training).sample if rng.random() < 0.5 else _text_sample(world, rng) for _ in range(n_samples))


def vocabulary() -> list[str]:
    """Every word of every text of every world, lower case, sorted."""
    groups = [*grammar.WORDINGS.values(), *grammar.SCENES.values()]
    templates = [wording for wordings in groups for wording in wordings] + [grammar.HOME]
    templates += [text for pair in ASKED.values() for text in pair] + [ABOUT, OTHERWISE, ONWARD, WHOM]
    templates += [*grammar.OPENINGS, *grammar.LINKS, *grammar.POSSESSIVE.values(), *grammar.OBJECTIVE.values()]
    templates += [*GOT, GAVE, WENT, *COUNTED, *ORDERED, *HELD, *FOLLOWED, *NUMBERS, *NTH]
    templates += [IS_ABOUT, "she he there a an s"]
    words = " ".join(re.sub(r"\{.*?\}", " ", template) for template in templates).split()
    values = (*PLACES, *PLACES.values(), *TRADES, *ANIMALS, *FOODS, *THINGS, *SHE, *HE)
    return sorted({word.strip(".,?").lower() for word in (*words, *values)} - {""})


def benchmark(exam: Sequence[Question]) -> Benchmark:
    """Questions as a benchmark like any other: its tasks are domains, and their categories the kinds of question.

    An encoder reads the question, and its decoder is scored on the choices.
    """
    domains = {question.domain: question.kind for question in exam}
    tasks = pd.DataFrame({"task": domains.keys(), "category": domains.values()}, index=pd.Index(domains, name="name"))

    def splits(domain: str) -> Splits:
        return {
            "test": [
                {"prompt": question.prompt, "choices": list(question.choices), "answer": question.answer}
                for question in exam
                if question.domain == domain
            ]
        }

    return Benchmark("microworld", tasks, splits)


@cache
def _examined(world: World, domain: str) -> tuple[str, ...]:
    """People whom no training text asks about: one of those with the same answer, so that no answer gets rarer."""
    rng = np.random.default_rng([world.seed, HELD_OUT, DOMAINS.index(domain)])
    names = rng.permutation([*world.people]).tolist()
    if domain == "friend":
        return tuple(sorted(names[:8]))
    by_answer = {getattr(world.people[name], domain): name for name in names}
    return tuple(sorted(by_answer.values()))


def _training(world: World, rng: np.random.Generator) -> Iterator[Question]:
    """Questions to learn from, without end."""
    examined = {question.prompt for question in questions(world)}
    pairs = [(name, domain) for name in world.people for domain in DOMAINS if name not in _examined(world, domain)]
    while True:
        place = int(rng.integers(4))
        if rng.random() < 0.5:
            name, domain = pairs[rng.integers(len(pairs))]
            yield _knowledge(world, name, domain, place, rng)
        elif (question := _reasoning(world, str(rng.choice(REASONED)), place, rng)).prompt not in examined:
            yield question


def _knowledge(world: World, name: str, domain: str, place: int, rng: np.random.Generator) -> Question:
    question, answer = ASKED[domain]
    right = getattr(world.people[name], domain)
    # All wrong answers are right ones of other questions of the kind: none is known to be wrong from its rarity.
    answers = {getattr(world.people[person], domain) for person in _examined(world, domain)}
    alternatives = sorted(answers - {right, name})

    def sentence(value: str) -> str:
        return answer.format(name=name, value=value, at=PLACES.get(value), a=grammar.article(value))

    choices = [sentence(value) for value in rng.choice(alternatives, 3, replace=False)]
    choices.insert(place, sentence(right))
    return Question(KNOWLEDGE, domain, "", question.format(name=name), tuple(choices), place)


def _reasoning(world: World, domain: str, place: int, rng: np.random.Generator) -> Question:
    """A question whose right answer is in that place; numbers stand in their order."""
    people = rng.choice([*world.people], 4, replace=False).tolist()
    things = rng.choice(THINGS, 5, replace=False).tolist()
    places = rng.choice([*PLACES], 4, replace=False).tolist()
    if domain == "counting":
        context, question, choices = _counting(people, things, place + 1, rng)
        return Question(REASONING, domain, context, question, choices, place)
    if domain == "order":
        context, question, right, wrong = _order(people[0], places, rng)
    elif rng.random() < 0.5:
        context, question, right, wrong = _holder(people, things[0], rng)
    else:
        context, question, right, wrong = _whereabouts(people, things, places)
    choices = rng.permutation(wrong).tolist()
    choices.insert(place, right)
    return Question(REASONING, domain, context, question, tuple(choices), place)


def _counting(people: list[str], things: list[str], n: int, rng: np.random.Generator) -> tuple[str, str, tuple]:
    """Things that someone got, one of them given away at times, and one that someone else has."""
    (who, whom, *_), n_given = people, int(n < 4 and rng.random() < 0.5)
    sentences = [_acquisition(who, thing, rng) for thing in things[: n + n_given]]
    sentences.insert(rng.integers(len(sentences) + 1), _acquisition(whom, things[-1], rng))
    sentences += [GAVE.format(who=who, thing=things[0], whom=whom)] * n_given
    answers = tuple(COUNTED[1].format(who=who, number=number) for number in NUMBERS)
    return " ".join(sentences), COUNTED[0].format(who=who), answers


def _order(who: str, places: list[str], rng: np.random.Generator) -> tuple[str, str, str, list[str]]:
    """Three places, one after the other."""
    nth = int(rng.integers(2))
    sentences = [WENT.format(who=who, place=place) for place in places[:3]]
    answers = [ORDERED[1].format(who=who, place=place, nth=NTH[nth]) for place in places]
    right = answers.pop(2 * nth)
    return " ".join(sentences), ORDERED[0].format(who=who, nth=NTH[nth]), right, answers


def _holder(people: list[str], thing: str, rng: np.random.Generator) -> tuple[str, str, str, list[str]]:
    """A thing that goes from hand to hand once or twice."""
    hands = people[: 2 + int(rng.integers(2))]
    sentences = [_acquisition(hands[0], thing, rng)]
    sentences += [GAVE.format(who=a, thing=thing, whom=b) for a, b in pairwise(hands)]
    answers = [HELD[1].format(who=who, thing=thing) for who in people]
    right = answers.pop(len(hands) - 1)
    return " ".join(sentences), HELD[0].format(thing=thing), right, answers


def _whereabouts(people: list[str], things: list[str], places: list[str]) -> tuple[str, str, str, list[str]]:
    """Two people with a thing each, who go to a place each."""
    sentences = [GOT[0].format(who=people[i], a=grammar.article(things[i]), thing=things[i]) for i in range(2)]
    sentences += [WENT.format(who=people[i], place=places[i]) for i in range(2)]
    answers = [FOLLOWED[1].format(thing=things[0], at=PLACES[place], place=place) for place in places]
    return " ".join(sentences), FOLLOWED[0].format(thing=things[0]), answers[0], answers[1:]


def _acquisition(who: str, thing: str, rng: np.random.Generator) -> str:
    return GOT[rng.integers(len(GOT))].format(who=who, a=grammar.article(thing), thing=thing)


def _text_sample(world: World, rng: np.random.Generator) -> dict[str, str]:
    """Something to do with a person, a sentence or a text."""
    names = [*world.people]
    name = names[rng.integers(len(names))]
    task = (ABOUT, OTHERWISE, ONWARD, WHOM)[rng.integers(4)]
    if task == ABOUT:
        return {"instruction": task.format(name=name), "input": "", "output": _introduction(world, name, rng)}
    text = grammar.write(world, name, int(rng.integers(3, 6)), rng)
    *beginning, last = text.sentences
    if task == WHOM:
        return {"instruction": task, "input": str(text), "output": IS_ABOUT.format(name=name)}
    if task == ONWARD:
        return {"instruction": task, "input": " ".join(beginning), "output": last}
    situation = text.situations[-2]._replace(focus="", mentioned=())
    wordings = sorted(grammar.wordings(world, situation, text.events[-1]))
    wording, paraphrase = rng.choice(wordings, 2, replace=False).tolist()
    return {"instruction": task, "input": wording, "output": paraphrase}


def _introduction(world: World, name: str, rng: np.random.Generator) -> str:
    """Two lasting facts about someone."""
    situation, statements = Situation((name,)), []
    for domain in rng.choice(DOMAINS, 2, replace=False).tolist():
        event = lasting(world.people[name], domain)
        sentences = list(grammar.wordings(world, situation, event))
        statements.append(sentences[rng.integers(len(sentences))])
        situation = update(situation, event)
    return " ".join(statements)
