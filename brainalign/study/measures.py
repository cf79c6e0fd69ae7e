"""What is measured of one model: brains, reading times, what it knows, and what becomes of it while it is tuned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import llm
from brainalign.alignment import controls, protocols
from brainalign.alignment.behavior import behavioral_alignment, reading_time_correlation
from brainalign.alignment.brain import brain_alignment, to_stimuli
from brainalign.human.reading_times import ReadingTimes
from brainalign.human.recording import Recording
from brainalign.llm import series
from brainalign.llm.load import LanguageModel
from brainalign.study.capability import examined, story_loss
from brainalign.study.members import CONTROL, Member
from brainalign.study.settings import LoadedModel, SeriesFile, Study, Tuning
from brainalign.study.sources import (
    alignments,
    load_checkpoints,
    load_model,
    load_reading_times,
    load_recordings,
)

PEOPLE_FOR_A_CEILING = 3


def of(study: Study, member: Member) -> list[pd.DataFrame]:
    """All that a study measures of one of its members, a table for each text and analysis.

    Raises
    ------
    ValueError, LookupError, OSError
        As in `llm.load`, `llm.activations`, `llm.surprisal`, `brain_alignment` and `behavioral_alignment`.
    """
    if member.source == CONTROL:
        recordings = load_recordings(study).values()
        return [
            brain(study, {"features": controls.of(recording, seed=study.seed)[member.name]}, recording)
            for recording in recordings
        ]
    if isinstance(member.source, Tuning):
        return [followed(study, member.source)]
    if not isinstance(member.source, LoadedModel):
        return [behavior(study, _series(member, dataset), dataset) for dataset in study.reading_times]
    model = load_model(study, member.name)
    tables = []
    for dataset in study.reading_times:
        bits = llm.surprisal(model, load_reading_times(dataset).passages, text=dataset).to_numpy()
        tables += [behavior(study, bits, dataset), story_loss(study, bits, dataset)]
    recordings = load_recordings(study).values()
    tables += [brain(study, _layers(model, recording), recording, of_parts=True) for recording in recordings]
    tables += [examined(study, model)] if study.benchmarks else []
    return [table.assign(n_parameters=float(model.n_parameters)) for table in tables]


def _layers(model: LanguageModel, recording: Recording) -> dict[str, np.ndarray]:
    """States at the parts of a recording's text, by layer."""
    states = llm.activations(model, recording.passages, text=recording.name)
    return {str(layer): states.sel(layer=layer).to_numpy() for layer in states.layer.to_numpy()}


def followed(study: Study, tuning: Tuning) -> pd.DataFrame:
    """Scores of each checkpoint on brains, reading times and benchmarks, a row per step and measure.

    There are many: of the study's protocols, brain alignment is under the most lenient and the strictest, pooled over
    people; of the first reading times, there is next-word loss, and how it goes with them; of benchmarks, what is over
    all.
    """
    known = protocols.in_order(study.protocols)
    ends = study.model_copy(update={"protocols": list(dict.fromkeys([known[0], known[-1]]))})
    recordings = list(load_recordings(study).values())
    times = {one: [load_reading_times(one, how) for how in alignments(study, one)] for one in study.reading_times[:1]}
    tables = []
    for step, model in load_checkpoints(study, tuning):
        rows = [_brains(ends, model, recordings), *(_reading(model, *read) for read in times.items())]
        rows += [examined(study, model).query("level == 'overall'")] if study.benchmarks else []
        tables += [some.reindex(columns=["measure", "protocol", "value"]).assign(step=step) for some in rows]
    about = {"tuned": Path(tuning.model).name, "condition": tuning.condition, "tuning_seed": tuning.seed}
    return pd.concat(tables, ignore_index=True).assign(**about, method=tuning.method, analysis="tuning")


def _brains(study: Study, model: LanguageModel, recordings: Sequence[Recording]) -> pd.DataFrame:
    """Score on each recording under each protocol, with no intervals."""
    if not recordings:
        return pd.DataFrame()
    found = [brain(study, _layers(model, recording), recording, of_parts=True) for recording in recordings]
    scored = pd.concat(found, ignore_index=True)
    pooled = (scored[["participant", "region", "split"]] == ["pooled", "all", "all"]).all(axis=1)
    return scored[scored.chosen & pooled].rename(columns={"dataset": "measure", "r": "value"})


def _reading(model: LanguageModel, dataset: str, aligned: Sequence[ReadingTimes]) -> pd.DataFrame:
    """Next-word loss on a text, and how its surprisal goes with the times that people took, however aligned."""
    bits = llm.surprisal(model, aligned[0].passages, text=dataset).to_numpy()
    rows = [{"measure": f"loss on {dataset}", "value": bits[np.isfinite(bits)].mean()}]
    for times in aligned:
        r = reading_time_correlation(bits, times.table().reading_time.to_numpy(), ~times.first_in_sentence).r
        rows.append({"measure": f"reading times, {times.alignment}", "value": r})
    return pd.DataFrame(rows)


def _series(member: Member, dataset: str) -> np.ndarray:
    """Surprisal that somebody else computed: (n_words,) bits."""
    words = load_reading_times(dataset).table()
    if isinstance(member.source, SeriesFile):
        return series.load_one(member.source.file, Path(member.source.file).stem, words, member.source.unit)
    return series.load_one(member.source, member.name, words)


def behavior(study: Study, surprisal: np.ndarray, dataset: str) -> pd.DataFrame:
    """Rows of `behavioral_alignment` under each alignment of the reading times; ``surprisal`` is (n_words,) bits."""
    options = {"seed": study.seed, "n_resamples": study.resamples}
    tables = [
        behavioral_alignment(surprisal, load_reading_times(dataset, alignment), **options)
        for alignment in alignments(study, dataset)
    ]
    return pd.concat(tables, ignore_index=True).assign(analysis="behavior")


def brain(study: Study, layers: Mapping[str, np.ndarray], recording: Recording, of_parts: bool = False) -> pd.DataFrame:
    """Rows of `brain_alignment` under each protocol; a row of a layer is a stimulus, or a part of the text."""
    tables = []
    for name in study.protocols:
        protocol = protocols.of(name, recording)
        enough = len(recording.participants) >= PEOPLE_FOR_A_CEILING
        ceiling = protocols.ceiling_of(protocol, recording) if enough else None
        features = {k: to_stimuli(x, recording, protocol) if of_parts else x for k, x in layers.items()}
        tables.append(brain_alignment(features, recording, protocol, ceiling))
    return pd.concat(tables, ignore_index=True).assign(analysis="brain")
