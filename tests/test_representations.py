"""Norms and similarity of layers, against plain formulas."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from brainalign.study.measurement import representations
from brainalign.study.measurement.representations import layer_norms, layer_similarity


@pytest.fixture
def states():
    """Layers of an encoder-decoder, of which the second is the first turned, and the third has nothing of either."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    values = np.stack([first, 2 * first @ turn, rng.normal(size=(60, 8))])
    return xr.DataArray(
        values.astype(np.float32),
        dims=("layer", "part", "feature"),
        coords={"layer": ["encoder.0", "encoder.1", "decoder.10"]},
    )


def test_norms_are_medians_of_lengths(states):
    table = layer_norms(states)
    lengths = np.sqrt((states.to_numpy().astype(float) ** 2).sum(axis=2))
    np.testing.assert_allclose(table.norm, np.median(lengths, axis=1))
    np.testing.assert_allclose(table.high, np.percentile(lengths, 75, axis=1))
    assert table["stack"].tolist() == ["encoder", "encoder", "decoder"] and table.depth.tolist() == [0, 1, 10]


def test_causal_layers_have_no_stack(states):
    table = layer_norms(states.assign_coords(layer=["0", "1", "2"]))
    assert table["stack"].tolist() == [""] * 3 and table.depth.tolist() == [0, 1, 2]


def test_layers_that_differ_by_a_rotation_are_the_same(states):
    long = layer_similarity(states)
    assert long.layer.unique().tolist() == states.layer.to_numpy().tolist()
    table = long.pivot(index="layer", columns="other", values="cka").loc[long.layer.unique(), long.layer.unique()]
    np.testing.assert_allclose(np.diag(table), 1)
    assert table.iloc[0, 1] == pytest.approx(1, abs=1e-5)
    assert table.iloc[0, 2] < 0.5 and np.allclose(table, table.T)


def test_a_layer_that_is_the_same_everywhere_is_left_out(states):
    same = xr.full_like(states[:1], 0.5).assign_coords(layer=["decoder.0"])
    pd.testing.assert_frame_equal(layer_similarity(xr.concat([same, states], "layer")), layer_similarity(states))


def test_similarity_of_a_long_text_takes_parts_from_all_of_it(states, monkeypatch):
    monkeypatch.setattr(representations, "PARTS", 30)
    some = states[:, np.unique(np.linspace(0, 59, 30).astype(int))]
    pd.testing.assert_frame_equal(layer_similarity(states), layer_similarity(some))
