"""English of the world: texts with the meaning of every sentence, and the exact probability of every word.

    passages(world)               # as in Pereira2018: 96 of four to six sentences, 24 topics
    stories(world)                # as in Natural Stories
    surprisal(world, story)       # bits, a value a word

A text is drawn sentence by sentence: an event, as likely as the situation makes it; then one of its wordings. The
probability of a text sums over all ways to draw it (the forward algorithm); that of a word follows from the sums over
sentences that begin alike.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from brainalign.human.recording import Passage
from brainalign.microworld.world import DOMAINS, PLACES, Event, Situation, World, events, meaning, update

CORPUS, PASSAGES, STORIES = 1, 2, 3  # streams of random numbers, so that no text depends on how many others there are
OBJECTIVE = {"she": "her", "he": "him"}
POSSESSIVE = {"she": "her", "he": "his"}
OPENINGS = ("One morning,", "One evening,", "One day,")
LINKS = {"": 0.7, "then": 0.1, "later,": 0.1, "soon": 0.1}
UNLINKED = (*DOMAINS, "hunger", "glad", "sad", "work")
PRONOUN = 0.7  # how often someone who can be a pronoun is one
# {who} {whose} {him}: the person by name or pronoun; {her}: their pronoun; {there}: the place that is told of;
# {here}: where they are; {a} {what}: the thing with and without article.
WORDINGS = {
    "home": ("{who} lived {there}.", "{whose} house stood {there}.", "people knew that {who} lived {there}."),
    "trade": ("{who} was {a}.", "{who} worked as {a}.", "{who} earned {her} money as {a}."),
    "animal": ("{who} had {a}.", "{who} kept {a}.", "{a} lived with {him}."),
    "food": (
        "{who} liked {what} best.", "{whose} favorite food was {what}.", "nothing was better than {what} to {him}.",
    ),
    "tool": ("{who} worked with {a}.", "{who} used {a} every day.", "{who} could not work without {a}."),
    "friend": (
        "{whose} best friend was {whom}.", "{who} was a good friend of {whom}.", "{who} and {whom} were friends.",
    ),
    "go": ("{who} went to the {what}.", "{who} walked to the {what}.", "{who} took the road to the {what}."),
    "buy": ("{who} bought {a}.", "at the market, {who} bought {a}.", "{who} paid for {a}."),
    "find": ("{who} found {a}.", "{here}, {who} found {a}.", "{who} picked up {a} that lay {here}."),
    "break": (
        "{who} dropped the {what}, and it broke.", "the {what} broke in {whose} hands.", "{who} broke the {what}.",
    ),
    "mend": (
        "{who} mended the {what}.", "{who} made the {what} whole again.", "glue in hand, {who} mended the {what}.",
    ),
    "meet": ("{who} met {whom}.", "{here}, {who} met {whom}.", "{who} saw {whom} {here}."),
    "give": ("{who} gave the {what} to {whom}.", "{who} gave {whom} the {what}.", "{who} let {whom} have the {what}."),
    "thank": ("{who} thanked {whom}.", "{who} thanked {whom} with a smile.", "{who} gave {whom} warm thanks."),
    "run away": ("{whose} {animal} ran away to the {what}.", "{whose} {animal} got lost {there}."),
    "catch": ("{who} found the {what} {here}.", "{here}, {who} saw {her} {what} again.", "{who} caught the {what}."),
    "hunger": ("{who} was hungry.", "{who} grew hungry.", "{who} had eaten nothing yet."),
    "eat": ("{who} ate some {what}.", "{who} had some {what} for supper.", "{what} was all {who} ate."),
    "glad": ("{who} was glad.", "this made {him} happy.", "joy filled {whose} heart."),
    "sad": ("{who} was sad.", "this made {him} unhappy.", "tears ran down {whose} face."),
    "work": ("{who} worked with the {what} all day.", "{who} was busy with {her} {what}.", "{who} used the {what}."),
    "rest": ("{who} sat down and rested.", "{here}, {who} rested for a while.", "{who} slept {there}."),
}  # fmt: skip
HOME = "{who} went home."  # for those who know where that is
SCENES = {  # what there is to see or hear
    "harbor": ("ships came and went.", "ships lay side by side."),
    "mill": ("wheels turned all day.", "wheels made a loud noise."),
    "forest": ("trees stood all around.", "trees gave shade to all."),
    "market": ("sellers called out loud.", "sellers showed what they had."),
    "bridge": ("boats passed below.", "boats came down the river."),
    "lake": ("waves came and went.", "waves broke on the stones."),
    "hill": ("wind blew all day.", "wind made the grass sing."),
    "tower": ("bells rang all around.", "bells rang for a long time."),
}

Words = tuple[str, ...]
# What can come next in a state: words of a sentence, their probability, and the state that they lead to.
Continuations = Callable[[Situation], Iterable[tuple[Words, float, Situation]]]


@dataclass(frozen=True, eq=False)
class Text:
    """A text and what it tells."""

    topic: str  # the person it is about
    sentences: tuple[str, ...]
    events: tuple[Event, ...]  # what each sentence tells
    situations: tuple[Situation, ...]  # after each sentence

    def __str__(self) -> str:
        return " ".join(self.sentences)


@cache
def passages(world: World, n_passages: int = 96, seed: int = 0) -> tuple[Text, ...]:
    """Passages of four to six sentences, by topic: each person is the topic of as many, in a row."""
    rng = np.random.default_rng([world.seed, PASSAGES, seed])
    names = list(world.people)
    topics = sorted(names[i % len(names)] for i in range(n_passages))
    return tuple(write(world, topic, rng.integers(4, 7), rng) for topic in topics)


@cache
def stories(world: World, n_stories: int = 6, n_sentences: int = 50, seed: int = 0) -> tuple[Text, ...]:
    """Stories of some hundred words each, about people drawn at random."""
    rng = np.random.default_rng([world.seed, STORIES, seed])
    return tuple(write(world, str(rng.choice(list(world.people))), n_sentences, rng) for _ in range(n_stories))


def corpus(world: World, n_words: int = 300_000, seed: int = 0) -> Iterator[Text]:
    """Texts to learn the language and the world from: short ones and long ones, to at least so many words."""
    rng = np.random.default_rng([world.seed, CORPUS, seed])
    names, total = list(world.people), 0
    while total < n_words:
        n_sentences = rng.integers(4, 7) if rng.random() < 0.7 else rng.integers(15, 40)
        text = write(world, names[rng.integers(len(names))], n_sentences, rng)
        total += sum(len(sentence.split()) for sentence in text.sentences)
        yield text


def write(world: World, topic: str, n_sentences: int, rng: np.random.Generator) -> Text:
    """Draw a text about a person."""
    situation, steps = Situation((topic,)), []
    for _ in range(n_sentences):
        candidates = events(world, situation)
        event = candidates[_draw([p for _, p in candidates], rng)][0]
        words, p = zip(*wordings(world, situation, event).items(), strict=True)
        situation, sentence = update(situation, event), words[_draw(p, rng)]
        steps.append((sentence, event, situation))
    return Text(topic, *zip(*steps, strict=True))


@cache
def meanings(world: World, texts: tuple[Text, ...]) -> np.ndarray:
    """Meaning of every sentence of some texts, one below the other: (n_sentences, n_dimensions) as `world.meaning`."""
    steps = [step for text in texts for step in zip(text.events, text.situations, strict=True)]
    return np.array([meaning(world, *step) for step in steps])


def _draw(probabilities: Sequence[float], rng: np.random.Generator) -> int:
    return min(int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right")), len(probabilities) - 1)


def wordings(world: World, situation: Situation, event: Event) -> dict[str, float]:
    """Sentences that tell an event, and how likely each is chosen: probabilities that sum to 1."""
    templates = SCENES[event.what] if event.kind == "scene" else WORDINGS[event.kind]
    if event.kind == "go" and event.what == world.people[event.who].home:
        templates = (*templates, HOME)
    probabilities: dict[str, float] = {}
    for template in templates:
        for slots, p_slots in _references(world, situation, event):
            for link, p_link in _links(situation, event, template).items():
                sentence = f"{link} {template.format_map(slots)}".lstrip()
                sentence = sentence[0].upper() + sentence[1:]
                probabilities[sentence] = probabilities.get(sentence, 0.0) + p_slots * p_link / len(templates)
    return probabilities


def _links(situation: Situation, event: Event, template: str) -> Mapping[str, float]:
    """What may stand before a sentence that does not begin with an adverb itself."""
    if not template.startswith("{who"):
        return {"": 1.0}
    if not situation.last and event.kind not in DOMAINS:
        return dict.fromkeys(OPENINGS, 1 / len(OPENINGS))
    return {"": 1.0} if event.kind in UNLINKED or situation.last in ("", *DOMAINS) else LINKS


def _references(world: World, situation: Situation, event: Event) -> list[tuple[dict[str, str], float]]:
    """What fills the slots of a wording. A pronoun is for whom the last sentence was about, if it can be no other."""
    who, whom, places = world.people[event.who], world.people.get(event.whom), situation.values("at", event.who)
    pronoun = who.pronoun
    slots = {"what": event.what, "a": f"{article(event.what)} {event.what}", "animal": who.animal}
    slots |= {"her": POSSESSIVE[pronoun], "there": _place_phrase(event.what)}
    slots["here"] = _place_phrase(places[0]) if places else ""
    if situation.last == "go" and situation.focus == who.name:
        slots["here"] = "there"
    name = {"who": who.name, "whose": f"{who.name}'s", "him": who.name}
    short = {"who": pronoun, "whose": POSSESSIVE[pronoun], "him": OBJECTIVE[pronoun]}
    matches = [person for person in situation.mentioned if world.people[person].pronoun == pronoun]
    subjects = [(name, 1 - PRONOUN), (short, PRONOUN)] if matches == [situation.focus] == [who.name] else [(name, 1.0)]
    objects = [(event.whom, 1.0)]
    if whom and whom.name == situation.focus and whom.pronoun != pronoun:
        objects = [(event.whom, 1 - PRONOUN), (OBJECTIVE[whom.pronoun], PRONOUN)]
    return [(slots | subject | {"whom": form}, p * q) for subject, p in subjects for form, q in objects]


def article(noun: str) -> str:
    """The indefinite article."""
    return "an" if noun.startswith(tuple("aeiou")) else "a"


def _place_phrase(place: str) -> str:
    return f"{PLACES[place]} the {place}" if place in PLACES else ""


def surprisal(world: World, text: Text) -> np.ndarray:
    """Exact surprisal of each word, -log2 p(word | words before), for a reader who knows all but whom it is about.

    (n_words,) bits. Words are what white space separates; their number of sentences is known. Raises as `forward`.
    """

    def continuations(situation: Situation) -> Iterator[tuple[Words, float, Situation]]:
        for event, p in events(world, situation):
            successor = update(situation, event)
            for sentence, q in wordings(world, situation, event).items():
                yield tuple(sentence.split()), p * q, successor

    openings = {Situation((name,)): 1 / len(world.people) for name in world.people}
    return forward(openings, continuations, [tuple(sentence.split()) for sentence in text.sentences])


def forward(start: Mapping[Situation, float], continuations: Continuations, sentences: Sequence[Words]) -> np.ndarray:
    """Surprisal of each word of sentences that a process with states draws: (n_words,) bits.

    Sums over all that it may have done, from the probability of each state before the first sentence. No sentence
    begins another. A `ValueError` says which sentence no state can lead to.
    """
    belief, bits = dict(start), []
    for number, sentence in enumerate(sentences, start=1):
        # Probability of what was told before, and of the first 0, 1, ... words of this sentence.
        beginning, successors = np.zeros(len(sentence) + 1), {}
        for state, p_state in belief.items():
            for words, p, successor in continuations(state):
                beginning[: _n_shared(words, sentence) + 1] += p_state * p
                if words == sentence:
                    successors[successor] = successors.get(successor, 0.0) + p_state * p
        if not successors:
            raise ValueError(f"sentence {number}, {' '.join(sentence)!r}, cannot follow. Take a text of this world.")
        bits.append(-np.diff(np.log2(beginning)))
        total = sum(successors.values())
        belief = {state: p / total for state, p in successors.items()}
    return np.concatenate(bits)


def _n_shared(first: Words, second: Words) -> int:
    """How many words two sentences begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def as_passages(texts: Sequence[Text], prefix: str) -> tuple[Passage, ...]:
    """Texts as a language model reads them: a part a sentence."""
    named = [(f"{prefix}{number}", text.sentences) for number, text in enumerate(texts, start=1)]
    return tuple(Passage(name, parts, tuple(f"{name}.{i}" for i in range(1, len(parts) + 1))) for name, parts in named)
