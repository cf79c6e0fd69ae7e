"""What the states of a model look like on a text, whatever people did: how long they are, and how alike layers are."""

import numpy as np
import pandas as pd
import xarray as xr

from brainalign.alignment.similarity import cka_patterns

PARTS = 500  # that similarity is computed on; inner products of more take long and change little
STACK = r"^(?:(?P<stack>\w+)\.)?(?P<depth>\d+)$"  # as `activations.layer_names` has them


def layer_norms(states: xr.DataArray) -> pd.DataFrame:
    """Length of the states of each layer over the parts of a text.

    Parameters
    ----------
    states : DataArray
        Of `llm.activations`.

    Returns
    -------
    DataFrame
        A row per layer: ``layer``, ``stack`` (``encoder``, ``decoder`` or empty), ``depth``, and ``norm``, the median
        over parts of the Euclidean norm, with the quartiles ``low`` and ``high``.
    """
    norms = np.linalg.norm(states.to_numpy().astype(float), axis=2)
    low, middle, high = np.percentile(norms, [25, 50, 75], axis=1)
    layers = pd.Series(states.layer.to_numpy().astype(str), name="layer")
    places = layers.str.extract(STACK).fillna({"stack": ""}).astype({"depth": int})
    return pd.concat([layers, places], axis=1).assign(norm=middle, low=low, high=high)


def layer_similarity(states: xr.DataArray) -> pd.DataFrame:
    """Linear CKA of every two layers, over at most `PARTS` parts spread evenly over the text.

    Parameters
    ----------
    states : DataArray
        Of `llm.activations`.

    Returns
    -------
    DataFrame
        A row per ``layer`` and ``other`` layer, in order: ``cka``, 1 of a layer with itself. Layers whose state is the
        same for all parts resemble nothing and are left out: embeddings of a full stop, or of the token that starts a
        decoder.
    """
    n_parts = states.sizes["part"]
    subset = states[:, np.unique(np.linspace(0, n_parts - 1, min(PARTS, n_parts)).astype(int))].to_numpy()
    varies = (subset != subset[:, :1]).any(axis=(1, 2))
    names, subset = states.layer.to_numpy().astype(str)[varies], subset[varies]
    patterns = np.array([cka_patterns(layer, name)[0] for name, layer in zip(names, subset, strict=True)])
    values = patterns @ patterns.T if len(patterns) else np.eye(0)
    np.fill_diagonal(values, 1)  # but for rounding
    pairs = pd.MultiIndex.from_product([names, names], names=["layer", "other"])
    return pd.Series(values.ravel(), pairs, name="cka").reset_index()
