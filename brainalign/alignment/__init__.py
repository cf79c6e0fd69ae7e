"""How close models and people are.

layers = {layer: to_stimuli(states, recording, "contiguous")}
brain_alignment(layers, recording, "contiguous", ceiling_of("contiguous", recording))
behavioral_alignment(surprisal, times)
"""

from brainalign.alignment.behavior import behavioral_alignment
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.alignment.protocols import ceiling_of

__all__ = ["behavioral_alignment", "brain_alignment", "ceiling_of", "to_stimuli"]
