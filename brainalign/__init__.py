"""An executable paper: do instruction-tuned language models align with the human brain?

Floors, from the ground up: `catalog` and `store`; `human`; `llm` and `alignment` side by side; `study`;
`paper`; `cli`. A module imports only from floors below its own.
"""

__version__ = "0.1.0"
