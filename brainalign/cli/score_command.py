"""`brainalign score`: from a model and a recording to a table and a curve over layers, without a study."""

import argparse
from collections.abc import Iterator

import pandas as pd

from brainalign import llm
from brainalign.alignment import controls, protocols
from brainalign.alignment.brain import brain_alignment
from brainalign.alignment.summary import ALL, NESTED, POOLED
from brainalign.cli import data_command
from brainalign.human.recording import Recording
from brainalign.study.measurement.brains import Features, ceiling_of
from brainalign.study.measurement.readings import features_of

BAR = 40  # characters of the longest bar


def score(options: argparse.Namespace) -> None:
    """Print the brain alignment of a model beside that of controls, and how it goes over layers."""
    recording = data_command.load(options.recording, options)
    if not isinstance(recording, Recording):
        raise ValueError(f"{recording.name} has reading times, and no brains. Give a recording: brainalign data list.")
    model = llm.load(options.model)
    states = llm.activations(model, recording.passages, text=recording.name)
    features = {model.name: features_of(states)}
    features |= {name: Features({name: x}, False) for name, x in controls.features(recording, model.width).items()}
    names = options.protocol or [protocols.AW2024.name, protocols.CONTIGUOUS.name]
    for name in protocols.applicable(names, recording) or names:  # the first says why it does not apply
        tables = {source: _pooled(layers, recording, name) for source, layers in features.items()}
        print(*_lines(tables, model.name, name), sep="\n")


def _pooled(features: Features, recording: Recording, name: str) -> pd.DataFrame:
    """Scores over all participants and regions: a row a layer, and the one that is chosen."""
    protocol = protocols.resolve(name, recording)
    layers, ceiling = features.at_stimuli(recording, name), ceiling_of(protocol, recording)
    rows = brain_alignment(layers, recording, protocol, ceiling, features.device)
    return rows[(rows.participant == POOLED) & (rows.region == ALL) & (rows.split == ALL)]


def _lines(tables: dict[str, pd.DataFrame], model: str, protocol: str) -> Iterator[str]:
    chosen = {name: table[table.chosen].iloc[0] for name, table in tables.items()}
    width = max(map(len, chosen))
    ceiling = chosen[model].ceiling
    yield f"\n{chosen[model].dataset}, {protocol}: ceiling {'unknown' if pd.isna(ceiling) else f'{ceiling:.3f}'}"
    for name, row in chosen.items():
        share = "" if pd.isna(ceiling) else f"  {row.r_normalized:7.1%} of the ceiling"
        layer = "a layer for each split" if row.layer == NESTED else f"layer {row.layer}"
        yield f"{name:{width}}  r = {row.r:6.3f}{share}" + (f"  {layer}" if name == model else "")
    curve = tables[model][tables[model].layer != NESTED]
    longest, label = max(curve.r.max(), 0.0) or 1.0, max(map(len, curve.layer))
    yield f"layers of {model}:"
    for row in curve.itertuples():
        yield f"{row.layer:>{label}}  {row.r:6.3f}  {'█' * round(BAR * max(row.r, 0.0) / longest)}"
