"""Drawing, and nothing else: tables in, matplotlib figures out."""

from brainalign.paper.figures.basic import (
    ALIASES,
    FAMILIES,
    GRAY,
    LINES,
    NAMES,
    PRINTED_AXES,
    changes,
    color,
    forest,
    name_rows,
    profile,
    row_panels,
    scatter,
    strip,
    tuning,
    use_style,
)

__all__ = [
    "ALIASES",
    "FAMILIES",
    "GRAY",
    "LINES",
    "NAMES",
    "PRINTED_AXES",
    "changes",
    "color",
    "forest",
    "name_rows",
    "profile",
    "row_panels",
    "scatter",
    "strip",
    "tuning",
    "use_style",
]
