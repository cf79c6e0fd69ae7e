"""What language models do with the text that people read.

model = llm.load("gpt2-small")
llm.activations(model, recording.passages)       # layer x part x feature
llm.surprisal(model, times.passages)             # bits a word
"""

from brainalign.llm.models.load import load
from brainalign.llm.reading.activations import activations
from brainalign.llm.reading.surprisal import surprisal

__all__ = ["activations", "load", "surprisal"]
