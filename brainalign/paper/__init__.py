"""What the book says: statistics, claims, figures, live numbers, provenance."""

from brainalign.paper.notebook import Notebook, begin

__all__ = ["Notebook", "begin"]
