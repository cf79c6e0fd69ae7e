"""Training and instruction tuning, from samples to checkpoints."""

from brainalign.llm.tuning.instruction import Tuning, losses, tune, tuned

__all__ = ["Tuning", "losses", "tune", "tuned"]
