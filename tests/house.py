"""Draws the house: which packages import which, as a diagram in CONTRIBUTING.md.

    python tests/house.py

draws it anew. An import that follows from others is left out, so that arrows lead from floor to floor.
"""

import re
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "CONTRIBUTING.md"
DIAGRAM = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
SHARED = {"messages", "store", "warm"}  # imported from everywhere


def imports() -> dict[str, set[str]]:
    """Packages of the library, and which others each imports."""
    graph = grimp.build_graph("brainalign")
    packages = sorted(graph.find_children("brainalign"))
    for package in packages:
        graph.squash_module(package)
    imported = {package: graph.find_modules_directly_imported_by(package) & {*packages} for package in packages}
    return {_name(package): set(map(_name, others - {package})) for package, others in imported.items()}


def reached(imports: dict[str, set[str]], package: str) -> set[str]:
    """All that a package imports, also by way of others."""
    return set().union(*({other} | reached(imports, other) for other in imports[package]))


def diagram() -> str:
    """The house as a flowchart."""
    floors = {name: others - SHARED for name, others in imports().items() if name not in SHARED}
    arrows = [
        f"    {name} --> {other}\n"
        for name, others in floors.items()
        for other in sorted(others)
        if not any(other in reached(floors, between) for between in others - {other})
    ]
    return "flowchart TD\n" + "".join(arrows)


def drawn() -> str:
    """The diagram that the guide has."""
    return DIAGRAM.search(GUIDE.read_text(encoding="utf-8"))[0]


def _name(module: str) -> str:
    return module.removeprefix("brainalign.")


if __name__ == "__main__":
    text = GUIDE.read_text(encoding="utf-8")
    GUIDE.write_text(DIAGRAM.sub(lambda _: diagram(), text), encoding="utf-8")
