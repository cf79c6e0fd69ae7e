"""How close models and people are."""
