"""Drawing, and nothing else: tables in, matplotlib figures out."""

from brainalign.paper.figures.basic import bars, bases, changes, counts, forest, profile, scatter, strip, tuning
from brainalign.paper.figures.parts import FAMILIES, GRAY, LINES, NAMES, PRINTED_AXES, color, use_style

__all__ = ["FAMILIES", "GRAY", "LINES", "NAMES", "PRINTED_AXES", "color", "use_style"]
__all__ += ["bars", "bases", "changes", "counts", "forest", "profile", "scatter", "strip", "tuning"]
