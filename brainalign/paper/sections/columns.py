"""Columns of the book's tables as `assets.save_table` takes them: names to labels, and to the form of numbers."""

LABELS = {"dataset": "Data set", "licence": "License", "vanilla": "Vanilla model"}


def named(*names: str) -> dict[str, str]:
    """Columns of words, under the names that they have."""
    return {name: LABELS.get(name, name.capitalize()) for name in names}


def numbers(form: str, *names: str, **labels: str) -> dict[str, tuple[str, str]]:
    """Columns of numbers in one form, under the names that they have, or under labels."""
    return {name: (label, form) for name, label in (named(*names) | labels).items()}


def interval(form: str, prefix: str = "", **label: str) -> dict[str, tuple[str, str]]:
    """A column of estimates under its label, and the ends of its interval."""
    return numbers(form, **label, **{f"{prefix}low": "low", f"{prefix}high": "high"})


IDENTITY = named("model", "family", "kind")
FILTERS = ("family", "kind")
