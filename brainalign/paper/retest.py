"""What the current study's own results say of a claim."""
from dataclasses import dataclass

@dataclass(frozen=True)
class Retested:
    verdict: str
    value: str = ""
    why: str = ""

def run(name, results):
    return Retested("not run", "", "This study has no measurement of it.")
