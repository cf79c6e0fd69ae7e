"""Is the noise ceiling what it says? Ceilings estimated from simulated people, against the true one.

``extrapolated`` is the field's estimate, `ceilings.extrapolated`, and ``disattenuated`` ours.
The ``attainable`` score is that of a model with all that text tells, under the protocol: below the true ceiling,
since its weights have to be fitted to a finite number of responses.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.alignment import controls, protocols, volumes
from brainalign.alignment.ceilings.disattenuated import disattenuated
from brainalign.alignment.encoding import predictivity
from brainalign.alignment.protocols import Protocol
from brainalign.human.recording import Recording
from brainalign.microworld.participants import People
from brainalign.microworld.validation import PROTOCOLS, cached_table
from brainalign.microworld.world import make

SIZES = ((4, 24), (6, 24), (4, 48))  # participants and passages
SLOW, STRIDE = (6, 24), 4  # where the slow extrapolation is done, and for which of crowds
N_UNITS = 60  # of each participant: pools need more units than meaning has dimensions


def ceilings(repetitions: int, seed: int = 0, sizes: Sequence[tuple[int, int]] = SIZES) -> pd.DataFrame:
    """Estimate ceilings of people whose true one is known; each repetition, a crowd, reads other texts.

    The slow extrapolation is done at `SLOW` and for every fourth crowd. A row per ``protocol``, ``n_participants``,
    ``n_passages``, ``repetition`` and ``estimator`` (``attainable`` has no interval): ``estimate``, ``low``, ``high``
    and ``true``, Pearson r; ``bias`` and ``covered``.
    """

    def compute() -> pd.DataFrame:
        rows = []
        for n_participants, n_passages in sizes:
            for number in range(repetitions):
                slow = (n_participants, n_passages) == SLOW and number % STRIDE == 0
                people = People(
                    make(0), n_participants, N_UNITS, n_passages=n_passages, text_seed=number, seed=1000 * seed + number
                )
                condition = {"n_participants": n_participants, "n_passages": n_passages, "repetition": number}
                rows += [condition | row for protocol in PROTOCOLS for row in _estimates(people, protocol, slow)]
        table = pd.DataFrame(rows)
        covered = (table.low <= table.true) & (table.true <= table.high)
        return table.assign(bias=table.estimate - table.true, covered=covered)

    return cached_table("ceilings", compute, repetitions=repetitions, seed=seed, sizes=[list(size) for size in sizes])


def _estimates(people: People, name: str, slow: bool) -> list[dict]:
    recording = people.recording()
    protocol = protocols.resolve(name, recording)
    splits = protocols.splits_of(protocol, recording)
    responses, participants = recording.responses.to_numpy(), recording.units.participant.to_numpy()
    # Halves of a training set keep together what the protocol does.
    groups = protocols.groups_of(recording) if protocol.partition else None
    true = people.true_ceiling(splits)
    estimate = disattenuated(responses, participants, splits, groups)
    attainable = _attainable(people, recording, protocol), np.nan, np.nan
    rows = [
        ("disattenuated", estimate.ceiling, estimate.low, estimate.high, np.sqrt((true**2).mean())),
        ("attainable", *attainable, np.median(true)),
    ]
    if slow:
        v0 = protocols.ceiling_of(protocol, recording)
        rows.append(("extrapolated", v0.ceiling, v0.low, v0.high, np.median(true)))
    columns = ("estimator", "estimate", "low", "high", "true")
    return [{"protocol": name, **dict(zip(columns, row, strict=True))} for row in rows]


def _attainable(people: People, recording: Recording, protocol: Protocol) -> float:
    """Median over units, mean over splits, of features that hold all that text tells."""
    features = np.hstack([people.meaning, controls.position(recording), controls.length(recording)[:, :1]])
    responses = volumes.responses_of(recording, protocol.splits)
    splits, penalties = protocols.splits_of(protocol, recording), protocols.penalties_of(protocol, recording)
    return float(np.median(predictivity.scores([features], responses, splits, penalties).r[0], axis=1).mean())
