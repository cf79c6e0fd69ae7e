"""What the book says: statistics, claims, figures, live numbers, provenance."""

from brainalign.paper.publish.notebook import Notebook, begin

__all__ = ["Notebook", "begin"]
