"""What is read off a model while its weights are loaded: states, surprisal, and how it read; rows of each."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from brainalign import llm
from brainalign.alignment import protocols
from brainalign.alignment.behavior import behavioral_alignment, reading_time_correlation
from brainalign.human.reading_times import ReadingTimes
from brainalign.human.recording import Passage, Recording
from brainalign.llm.models.load import LanguageModel
from brainalign.llm.reading import series
from brainalign.llm.reading.activations import layer_names
from brainalign.llm.reading.tokens import ids_of_parts
from brainalign.study.description.loading import alignments, load_checkpoints, load_reading_times, load_recordings
from brainalign.study.description.members import Member
from brainalign.study.description.settings import LoadedModel, OwnReadingTimes, SeriesFile, Study, Tuning, name_of
from brainalign.study.measurement import brains
from brainalign.study.measurement.brains import Features
from brainalign.study.measurement.capability import examined

NATURAL_STORIES = "natural_stories"  # was released with GPT-3's surprisal
# Of how a text was read.
RECORD = ("tokens", "parts", "parts_encoded_anew", "special_tokens", "read_as", "first_word")


def states_of(study: Study, model: LanguageModel, source: Recording | str | OwnReadingTimes) -> xr.DataArray:
    """States at the parts of a text, of the layers that the study takes.

    Raises
    ------
    ValueError
        The model has none of those.
    """
    name, text = name_of(source), source if isinstance(source, Recording) else load_reading_times(source)
    first, end = (int(place) if place else None for place in (study.layers or ":").split(":"))
    names = layer_names(model)
    if not (layers := names[first:end]):
        raise ValueError(
            f"{model.name} has states of {len(names)} layers, {names[0]} to {names[-1]}, embeddings among them, and "
            f"none in {study.layers}. Give another range."
        )
    return llm.activations(model, text.passages, text=name).sel(layer=layers)


def features_of(states: xr.DataArray, device: str | None = None) -> Features:
    """Layers by name, at the parts of a text."""
    layers = {str(layer): states.sel(layer=layer).to_numpy() for layer in states.layer.to_numpy()}
    return Features(layers, at_parts=True, device=device)


def encoding_device(entry: LoadedModel) -> str | None:
    """Where a model's encoding models are fitted: on the GPU that its entry names, else by numpy."""
    return entry.device if (entry.device or "").startswith("cuda") else None


def description(model: LanguageModel) -> pd.DataFrame:
    """What a language model is: a row."""
    is_trained = "untrained" not in model.identity
    quantization = model.identity.get("gguf", {}).get("quantization") if is_trained else None
    return pd.DataFrame(
        {
            "n_parameters": [model.n_parameters],
            "n_layers": model.n_layers,
            "width": model.width,
            "n_vocabulary": model.n_vocabulary,
            "n_positions": pd.array([model.n_positions], "Int64"),
            "encoder_decoder": model.encoder_decoder,
            "quantization": quantization,
            "identity": json.dumps(model.identity),
        }
    )


def record(reading: xr.DataArray, text: str) -> pd.DataFrame:
    """How a text was read: a row, with ``what`` was read off it, states or surprisal."""
    notes = {key: reading.attrs[key] for key in RECORD if key in reading.attrs}
    notes |= {"special_tokens": " ".join(notes["special_tokens"])}
    row = {"text": text, "what": "states" if "layer" in reading.dims else "surprisal", **notes}
    return pd.DataFrame([row], columns=["text", "what", *RECORD])


def token_ids(model: LanguageModel, passages: Sequence[Passage], text: str) -> pd.DataFrame:
    """Token ids of each part of a text, in one string: a row a part, counted in its passage from 1."""
    where = [(passage.id, number, part) for passage in passages for number, part in enumerate(passage.parts, 1)]
    ids = [" ".join(map(str, part)) for part in ids_of_parts(model.tokenizer, passages)]
    return pd.DataFrame(where, columns=["passage", "part", "word"]).assign(text=text, ids=ids)


def words(surprisal: np.ndarray, dataset: str | OwnReadingTimes) -> pd.DataFrame:
    """Surprisal of each word: (n_words,) bits."""
    table = load_reading_times(dataset).table()[["story", "position", "sentence", "text"]]
    return table.assign(dataset=name_of(dataset), surprisal=surprisal)


def with_yardstick(table: pd.DataFrame, dataset: str | OwnReadingTimes) -> pd.DataFrame:
    """`words` with the ``yardstick`` of a language model's where there is one: the true surprisal, or GPT-3's."""
    yardstick = _yardstick(table, dataset)
    if yardstick is None:
        return table
    whose = "GPT-3's" if dataset == NATURAL_STORIES else "the true surprisal"
    return table.assign(yardstick=yardstick, whose=whose)


def _yardstick(words: pd.DataFrame, dataset: str) -> np.ndarray | None:
    """The true surprisal of each word, or GPT-3's, (n_words,) bits; None where there is neither."""
    times = load_reading_times(dataset).times
    if "true_surprisal" in times.coords:
        return times.true_surprisal.to_numpy()
    return series.gpt3(words) if dataset == NATURAL_STORIES else None


def series_of(member: Member, dataset: str | OwnReadingTimes) -> np.ndarray:
    """Surprisal that somebody else computed: (n_words,) bits."""
    words = load_reading_times(dataset).table()
    if isinstance(member.source, SeriesFile):
        file = member.source.file
        bits = series.load_one(file, Path(file).stem, words, member.source.unit)
        if member.source.unit == "bits" and (dataset != NATURAL_STORIES or series.has_gpt3()):
            yardstick = _yardstick(words, dataset)
            if yardstick is not None:
                series.check_unit(bits, yardstick, file)
        return bits
    return series.load_one(member.source, member.name, words)


def behavior(study: Study, surprisal: np.ndarray, dataset: str | OwnReadingTimes) -> pd.DataFrame:
    """Rows of `behavioral_alignment` under each alignment of the reading times; ``surprisal`` is (n_words,) bits."""
    options = {"seed": study.seed, "n_resamples": study.resamples}
    tables = [
        behavioral_alignment(surprisal, load_reading_times(dataset, alignment), **options)
        for alignment in alignments(study, dataset)
    ]
    return pd.concat(tables, ignore_index=True)


def followed(study: Study, tuning: Tuning) -> pd.DataFrame:
    """Scores of each checkpoint on brains, reading times and benchmarks, a row per step and measure.

    There are many: of the study's protocols, brain alignment is under the most lenient and the strictest, pooled over
    people; of the first reading times, there is next-word loss, and how it goes with them; of benchmarks, what is over
    all.
    """
    protocol_names = protocols.by_strictness(study.protocols)
    ends = study.model_copy(update={"protocols": list(dict.fromkeys([protocol_names[0], protocol_names[-1]]))})
    recordings = list(load_recordings(study).values())
    times = {
        name_of(dataset): [load_reading_times(dataset, alignment) for alignment in alignments(study, dataset)]
        for dataset in study.reading_times[:1]
    }
    tables = []
    for step, model in load_checkpoints(study, tuning):
        rows = [_brains(ends, model, recordings), *(_reading(model, *item) for item in times.items())]
        rows += [examined(study, model).query("level == 'overall'")] if study.benchmarks else []
        tables += [table.reindex(columns=["measure", "protocol", "value"]).assign(step=step) for table in rows]
    about = {"tuned": Path(tuning.model).name, "condition": tuning.condition, "tuning_seed": tuning.seed}
    return pd.concat(tables, ignore_index=True).assign(**about, method=tuning.method)


def _brains(study: Study, model: LanguageModel, recordings: Sequence[Recording]) -> pd.DataFrame:
    """Score on each recording under each protocol, with no intervals."""
    if not recordings:
        return pd.DataFrame()
    tables = [
        brains.scores(study, features_of(states_of(study, model, recording)), recording) for recording in recordings
    ]
    scored = pd.concat(tables, ignore_index=True)
    pooled = (scored[["participant", "region", "split"]] == ["pooled", "all", "all"]).all(axis=1)
    return scored[scored.chosen & pooled].rename(columns={"dataset": "measure", "r": "value"})


def _reading(model: LanguageModel, dataset: str, aligned: Sequence[ReadingTimes]) -> pd.DataFrame:
    """Next-word loss on a text, and how its surprisal goes with the times that people took, however aligned."""
    bits = llm.surprisal(model, aligned[0].passages, text=dataset).to_numpy()
    rows = [{"measure": f"loss on {dataset}", "value": bits[np.isfinite(bits)].mean()}]
    for times in aligned:
        r = reading_time_correlation(bits, times.table().reading_time.to_numpy(), ~times.first_in_sentence)
        rows.append({"measure": f"reading times, {times.alignment}", "value": r})
    return pd.DataFrame(rows)
