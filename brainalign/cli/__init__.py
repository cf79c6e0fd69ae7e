"""The `brainalign` command, and the engine behind it."""

from brainalign.cli.commands import main

__all__ = ["main"]
