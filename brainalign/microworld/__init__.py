"""A small world in which the true answer is known: texts, people who read them, models that are trained on them.

world = make(seed=0)
world.people["Anna"]                       # home, trade, animal, food, friend
grammar.passages(world)                    # sentences, and the meaning of each
"""

from brainalign.microworld.world import World, make

__all__ = ["World", "make"]
