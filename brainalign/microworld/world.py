"""A closed world: people with lasting facts, a situation that changes, and events with consequences.

The situation is what a text has told so far. An event needs something of it and changes it, as in STRIPS (Fikes and
Nilsson 1971): who drops a bowl must have one, has a broken one then, and may mend it. Nothing is true of a situation
that no sentence has told, so that a reader who understood every sentence knows all that decides what can come next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

SHE = ("Anna", "Clara", "Elsa", "Greta", "Ida", "Karin", "Lena", "Mina", "Olga", "Rosa", "Tilda", "Wanda")
HE = ("Bruno", "David", "Emil", "Felix", "Hugo", "Jonas", "Leo", "Nils", "Oskar", "Paul", "Simon", "Victor")
PLACES = {
    "harbor": "at", "mill": "at", "forest": "in", "market": "at", "bridge": "by", "lake": "by", "hill": "on",
    "tower": "in",
}  # fmt: skip
TRADES = {  # and the tool of each
    "baker": "bowl", "fisher": "rod", "tailor": "needle", "carpenter": "hammer", "gardener": "spade",
    "painter": "brush", "guard": "lamp", "musician": "fiddle",
}  # fmt: skip
ANIMALS = ("cat", "dog", "goat", "horse", "hen", "duck", "pig", "owl")
FOODS = ("bread", "soup", "fish", "cheese", "honey", "cake", "rice", "pie")
THINGS = (*TRADES.values(), "basket", "kite", "umbrella", "cup")
DOMAINS = ("home", "trade", "animal", "food", "tool", "friend")  # of lasting facts
PROPERTIES = ("pronoun", "home", "trade", "animal", "food")
KINDS = (
    *DOMAINS, "go", "buy", "find", "break", "mend", "meet", "give", "thank", "run away", "catch", "hunger", "eat",
    "glad", "sad", "work", "rest", "scene",
)  # fmt: skip
MAX_PEOPLE = 3  # people in a text
WIDTH = 6  # of each part of a meaning
PARTS = ("kind", "what", "who", "whom", "situation")


@dataclass(frozen=True)
class Person:
    """Someone, and the lasting facts about them."""

    name: str
    pronoun: str
    home: str
    trade: str
    animal: str
    food: str
    friend: str

    @property
    def tool(self) -> str:
        """What their trade takes."""
        return TRADES[self.trade]


@dataclass(frozen=True)
class World:
    """People by name; the seed that made them, and that gives every symbol its vector."""

    seed: int
    people: dict[str, Person]

    def __hash__(self):
        return hash(self.seed)


class Event(NamedTuple):
    """What a sentence tells: a lasting fact (its kind is a domain), or something that happens."""

    kind: str
    who: str
    what: str = ""
    whom: str = ""


class Situation(NamedTuple):
    """What a text has told so far."""

    cast: tuple[str, ...]
    facts: tuple[tuple[str, str, str], ...] = ()  # such as ("at", "Anna", "mill"), in the order of their coming
    last: str = ""  # kind of the last sentence
    focus: str = ""  # whom it is about
    mentioned: tuple[str, ...] = ()  # everybody in it

    def values(self, relation: str, who: str) -> list[str]:
        """Values of a relation for someone."""
        return [value for name, subject, value in self.facts if name == relation and subject == who]


def make(seed: int = 0) -> World:
    """Deal facts to 24 people: every home, trade, animal and food to three of them, and friends both ways."""
    rng = np.random.default_rng([seed, 0])
    names = (*SHE, *HE)
    facts = {
        domain: [values[i % len(values)] for i in rng.permutation(len(names))]
        for domain, values in (("home", [*PLACES]), ("trade", [*TRADES]), ("animal", ANIMALS), ("food", FOODS))
    }
    order = [names[i] for i in rng.permutation(len(names))]
    friends = dict(zip(order, order[::-1], strict=True))
    people = {}
    for i, name in enumerate(names):
        own = {domain: values[i] for domain, values in facts.items()}
        people[name] = Person(name, "she" if name in SHE else "he", friend=friends[name], **own)
    return World(seed, people)


def events(world: World, situation: Situation) -> list[tuple[Event, float]]:
    """Everything that the next sentence can tell, and how likely: probabilities that sum to 1."""
    candidates = []
    for who in situation.cast:
        proximity = 3.0 if who == situation.focus else 1.0  # a text stays with whom it is about
        for event, weight in _events_of(world, situation, world.people[who]):
            repeated = who == situation.focus and event.kind == situation.last and event.kind not in DOMAINS
            candidates.append((event, proximity * weight * (0.1 if repeated else 1.0)))
    total = sum(weight for _, weight in candidates)
    return [(event, weight / total) for event, weight in candidates]


def _events_of(world: World, situation: Situation, person: Person) -> Iterator[tuple[Event, float]]:
    who = person.name
    domains = situation.values("told", who)
    for domain in DOMAINS:
        if domain not in domains:  # lasting facts come first, and now and then later
            yield lasting(person, domain), 0.5 if situation.last in ("", "meet", *DOMAINS) else 0.2
    yield from _moves(situation, person)
    yield from _things(world, situation, person)
    yield from _needs(situation, person)
    for mood in situation.values("feels", who):
        yield Event(mood, who), 4.0
    for whom in situation.values("owes thanks", who):
        yield Event("thank", who, whom=whom), 5.0


def lasting(person: Person, domain: str) -> Event:
    """The telling of a lasting fact."""
    value = getattr(person, domain)
    return Event(domain, person.name, *(("", value) if domain == "friend" else (value, "")))


def _moves(situation: Situation, person: Person) -> Iterator[tuple[Event, float]]:
    who = person.name
    location, lost = situation.values("at", who), situation.values("lost", who)
    for place in PLACES:
        if place in location:
            continue
        attraction = 6.0 * (place in lost) + 0.6 * (place == person.home) + 0.4 * (place == "market")
        yield Event("go", who, place), 0.1 + attraction
    if lost and lost == location:
        yield Event("catch", who, person.animal), 8.0
    if not lost:
        for place in PLACES:
            yield Event("run away", who, place), 0.06
    if location:
        yield Event("rest", who, location[0]), 0.3
    if location and who == situation.focus:
        yield Event("scene", who, location[0]), 2.0 if situation.last == "go" else 0.2


def _things(world: World, situation: Situation, person: Person) -> Iterator[tuple[Event, float]]:
    who = person.name
    location, possessions = situation.values("at", who), situation.values("has", who)
    # Nobody gives a present away.
    broken, keepsakes = situation.values("broken", who), [*situation.values("keeps", who), person.tool]
    if location and len(possessions) < 4:
        kind, weight = ("buy", 2.0) if location == ["market"] else ("find", 0.8)
        free = [thing for thing in THINGS if thing not in possessions]
        for thing in free:
            yield Event(kind, who, thing), weight / len(free)
    for thing in possessions:
        if thing in broken:
            yield Event("mend", who, thing), 3.0
            continue
        yield Event("break", who, thing), 0.6 / len(possessions)
        if thing == person.tool:
            yield Event("work", who, thing), 0.5
        if thing in keepsakes:
            continue
        for whom in situation.cast:
            near = whom != who and location and situation.values("at", whom) == location
            if near and thing not in situation.values("has", whom):
                yield Event("give", who, thing, whom), 1.5
    if location and len(situation.cast) < MAX_PEOPLE:
        strangers = [name for name in world.people if name not in situation.cast]
        for whom in strangers:
            yield Event("meet", who, location[0], whom), 1.5 * (0.4 * (whom == person.friend) + 0.6 / len(strangers))


def _needs(situation: Situation, person: Person) -> Iterator[tuple[Event, float]]:
    if not situation.values("hungry", person.name):
        yield Event("hunger", person.name), 0.5
        return
    for food in FOODS:
        yield Event("eat", person.name, food), 4.0 if food == person.food else 0.1


def update(situation: Situation, event: Event) -> Situation:
    """What an event makes of a situation."""
    kind, who, what, whom = event
    removed, added, cast = {("feels", who)}, [], situation.cast  # a mood is told at once, or not at all

    match kind:
        case _ if kind in DOMAINS:
            added = [("told", who, kind)] + [("has", who, what)] * (
                kind == "tool" and what not in situation.values("has", who)
            )
            removed = set()
        case "go":
            removed, added = removed | {("at", who)}, [("at", who, what)]
        case "buy" | "find":
            added = [("has", who, what)]
        case "break":
            added = [("broken", who, what), ("feels", who, "sad")]
        case "mend":
            removed, added = removed | {("broken", who, what)}, [("feels", who, "glad")]
        case "meet":
            added, cast = [("at", whom, what)], (*cast, whom)
        case "give":
            removed |= {("has", who, what), ("feels", whom)}
            added = [("has", whom, what), ("keeps", whom, what), ("owes thanks", whom, who), ("feels", whom, "glad")]
        case "thank":
            removed |= {("owes thanks", who, whom)}
        case "run away":
            added = [("told", who, "animal"), ("lost", who, what), ("feels", who, "sad")]
        case "catch":
            removed, added = removed | {("lost", who)}, [("feels", who, "glad")]
        case "hunger":
            added = [("hungry", who, "")]
        case "eat":
            removed |= {("hungry", who)}
    facts = tuple(fact for fact in situation.facts if fact not in removed and fact[:2] not in removed)
    mentioned = situation.mentioned if kind == "scene" else (who, whom) if whom else (who,)  # a scene names nobody
    return Situation(cast, (*facts, *added), kind, who, mentioned)


def meaning(world: World, event: Event, situation: Situation) -> np.ndarray:
    """Meaning of a sentence, whatever its wording: a part of `WIDTH` for each of `PARTS`, (len(PARTS) * WIDTH,).

    The kind of event and what it is about have a vector each; a person is the sum of the vectors of what is true of
    them, so that who knows more of the world knows more of the meaning; the situation, that after the event, is the sum
    of what the event leaves true of its person. Vectors are drawn once a world, standard normal.
    """

    def total(*symbols: str) -> np.ndarray:
        return sum((vector(world.seed, symbol) for symbol in symbols), np.zeros(WIDTH)) / max(1, len(symbols)) ** 0.5

    def properties(name: str) -> np.ndarray:
        return total(*(f"{key} {getattr(world.people[name], key)}" for key in PROPERTIES)) if name else total()

    # What was told of lasting facts is no state of things.
    lasting = [f"{name} {value}" for name, who, value in situation.facts if who == event.who and name != "told"]
    what = total(event.what) if event.what else total()
    return np.concatenate([total(event.kind), what, properties(event.who), properties(event.whom), total(*lasting)])


@cache
def vector(seed: int, symbol: str) -> np.ndarray:
    """Vector of a symbol, (WIDTH,): the same wherever it occurs in the world of that seed."""
    return np.random.default_rng([seed, *symbol.encode()]).normal(size=WIDTH)
