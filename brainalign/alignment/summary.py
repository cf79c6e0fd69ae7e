"""The table of a brain alignment: a layer chosen, units summarized, a row for each part of a recording."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign.alignment.ceilings.extrapolated import Extrapolation
from brainalign.alignment.encoding.held_out import Scores
from brainalign.alignment.protocols import BEST_ON_TEST, Protocol
from brainalign.human.recording import Recording

POOLED, ALL = "pooled", "all"  # participants, and regions or splits
NESTED = "nested"  # the layer of scores for which each split has a layer of its own
KEYS = ["dataset", "protocol", "participant", "region", "layer", "split"]
COLUMNS = [*KEYS, "r", "ceiling", "r_normalized", "r2", "mad", "alpha", "n_units", "share", "chosen"]
COLUMNS += ["layer_choice", "alpha_choice"]


def table(
    result: Scores, names: Sequence[str], recording: Recording, protocol: Protocol, ceiling: Extrapolation | None
) -> pd.DataFrame:
    """Choose a layer as a protocol does, and summarize units by participant and region: `brain.brain_alignment`."""
    units = recording.units
    layers = _with_choice(result, list(names), protocol, units.participant.to_numpy())
    # A unit whose region is "all" has none of its own.
    participants, regions = [POOLED, *recording.participants], dict.fromkeys([ALL, *units.region])
    blocks = []
    for participant, region in itertools.product(participants, regions):
        mask = ((units.participant == participant) | (participant == POOLED)) & (
            (units.region == region) | (region == ALL)
        )
        if mask.any():
            blocks += _rows(layers, mask.to_numpy(), participant, region, ceiling)
    # Arrays are laid one below the other: hundreds of small tables would take longer than the scores.
    n_layers = len(layers.names)
    columns = {name: [np.broadcast_to(block[name], n_layers) for block in blocks] for name in blocks[0]}
    rows = pd.DataFrame({name: np.concatenate(values) for name, values in columns.items()})
    rows = rows.assign(dataset=recording.name, protocol=protocol.name, r_normalized=rows.r / rows.ceiling)
    return _with_deviation(rows.assign(layer_choice=protocol.layer, alpha_choice=protocol.penalty))[COLUMNS]


def mean_over_experiments(tables: Sequence[pd.DataFrame], dataset: str) -> pd.DataFrame:
    """Average the tables of a model under one protocol over experiments, as Pereira2018 is over its two.

    A layer that is best on the test sets is the one whose mean is best. A participant who missed an experiment has
    the mean of the others. The ceiling is the mean of the ceilings, ``n_units`` the sum. A `ValueError` says where
    tables are of several protocols.
    """
    scores = pd.concat(tables, ignore_index=True).query("split == 'all'")
    if len(names := scores.protocol.unique()) != 1:
        raise ValueError(f"tables are of the protocols {', '.join(names)}. Average one at a time.")
    keys = ["protocol", "participant", "region", "layer", "split", "layer_choice", "alpha_choice"]
    aggregation = dict.fromkeys(("r", "ceiling", "r2", "alpha", "share"), "mean") | {"n_units": "sum", "chosen": "all"}
    rows = scores.groupby(keys, sort=False).agg(aggregation).reset_index()
    if (rows.layer_choice == BEST_ON_TEST).all():
        pooled = rows[(rows.participant == POOLED) & (rows.region == ALL)]
        rows["chosen"] = rows.layer == pooled.layer[pooled.r.idxmax()]
        rows["share"] = rows.chosen.astype(float)
    return _with_deviation(rows.assign(dataset=dataset, r_normalized=rows.r / rows.ceiling))[COLUMNS]


class _Layers(NamedTuple):
    """What becomes rows, the nested choice last; (n_layers, ...), units not yet summarized."""

    names: list[str]
    r: np.ndarray  # x split x unit
    r2: np.ndarray  # x unit
    alpha: np.ndarray  # x split x unit
    share: np.ndarray
    chosen: np.ndarray


def _with_choice(result: Scores, names: list[str], protocol: Protocol, owners: np.ndarray) -> _Layers:
    layer = _layers_of_splits(result, protocol)
    splits, alpha = np.arange(len(layer)), np.full(result.products.shape, np.nan)
    if result.chosen is not None:
        label_columns = slice(None) if result.labels is None else np.searchsorted(result.labels, owners)
        alpha[:] = result.alphas[result.chosen[..., label_columns]]
    r2 = result.concatenated()[1] if protocol.partition else np.full_like(result.products[:, 0], np.nan)
    share = np.bincount(layer, minlength=len(names)) / len(layer)
    if protocol.layer == BEST_ON_TEST:
        return _Layers(names, result.r, r2, alpha, share, share == 1)
    nested = result.select_layers(layer)
    return _Layers(
        [*names, NESTED],
        np.concatenate([result.r, nested.r]),
        np.concatenate([r2, nested.concatenated()[1]]),
        np.concatenate([alpha, alpha[layer, splits][None]]),
        np.append(share, 1.0),
        np.arange(len(names) + 1) == len(names),
    )


def _layers_of_splits(result: Scores, protocol: Protocol) -> np.ndarray:
    """Which layer each split has chosen: (n_splits,) int."""
    if protocol.layer == BEST_ON_TEST:
        best = np.median(result.r, axis=2).mean(axis=1).argmax()
        return np.full(len(result.n_test), best)
    # Left-out errors with the best penalty, layer x split x participant, on a scale that participants share.
    errors = result.errors.min(axis=2)
    return (errors / np.maximum(errors.min(axis=0), np.finfo(float).tiny)).mean(axis=2).argmin(axis=0)


def _rows(
    layers: _Layers, mask: np.ndarray, participant: str, region: str, ceiling: Extrapolation | None
) -> list[dict]:
    """Columns of some units, a row a layer: for all splits together, and for everybody's units of each split."""
    r, alpha = (np.median(values[:, :, mask], axis=2) for values in (layers.r, layers.alpha))  # layer x split
    limit = np.nan if ceiling is None else np.nanmedian(ceiling.unit_ceiling[mask])
    shared = {"participant": participant, "region": region, "layer": layers.names, "n_units": mask.sum()}
    shared |= {"ceiling": limit, "share": layers.share, "chosen": layers.chosen}
    r2 = np.median(layers.r2[:, mask], axis=1)
    rows = [{"split": ALL, "r": r.mean(axis=1), "r2": r2, "alpha": np.median(alpha, axis=1)}]
    if (participant, region) == (POOLED, ALL):
        rows += [
            {"split": str(split), "r": r[:, split], "r2": np.nan, "alpha": alpha[:, split]}
            for split in range(r.shape[1])
        ]
    return [shared | row for row in rows]


def _with_deviation(table: pd.DataFrame) -> pd.DataFrame:
    """Median absolute deviation over participants, in the pooled rows; a single one has none."""
    people = table[table.participant != POOLED]
    deviation = people.groupby(["region", "layer"]).r.agg(_deviation).rename("mad")
    table = table.merge(deviation, on=["region", "layer"], how="left")
    table.loc[(table.participant != POOLED) | (table.split != ALL), "mad"] = np.nan
    return table


def _deviation(r: pd.Series) -> float:
    return (r - r.median()).abs().median() if len(r) > 1 else np.nan
