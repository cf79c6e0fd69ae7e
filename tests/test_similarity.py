"""Linear CKA and RSA: against Brain-Score's answers and obvious code."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from brainalign.alignment import similarity
from brainalign.human import blank2014, pereira2018

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "reference"
REFERENCE = Path(os.environ.get("BRAINALIGN_REFERENCE") or BESIDE) / "brainscore"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no {REFERENCE}; set BRAINALIGN_REFERENCE")


def pair(n_stimuli=30, n_features=8, n_units=12, seed=0):
    rng = np.random.default_rng(seed)
    x = 3 + rng.normal(size=(n_stimuli, n_features))
    return x, 7 + x[:, :2] @ rng.normal(size=(2, n_units)) + rng.normal(size=(n_stimuli, n_units))


@needs_reference
@pytest.mark.parametrize("kind", ["wide", "narrow"])
@pytest.mark.parametrize("name", ["blank", "pereira_243sentences", "pereira_384sentences"])
def test_scores_are_brainscores(name, kind):
    if name == "blank":
        recording = blank2014.load(REFERENCE / "assy_Blank2014_fROI.nc")
    else:
        experiment = name.removeprefix("pereira_").removesuffix("sentences")
        recording = pereira2018.load(experiment, path=REFERENCE / "assy_Pereira2018_language.nc")
    y = recording.responses.to_numpy()[np.argsort(recording.stimuli.row)]
    with np.load(REFERENCE / "features.npz") as features:
        x = features[f"{name}_{kind}"]
    theirs = json.loads((REFERENCE / "expected.json").read_text())["expected"][f"{name}_{kind}"]
    for key, metric in (("cka", similarity.linear_cka), ("rdm", similarity.rsa)):
        ours = metric(x, y, similarity.brainscore_subsets(len(y)))
        assert ours == pytest.approx(theirs[key]["score"], abs=1e-6)


@pytest.mark.parametrize("n_features", [4, 60])
def test_cka_is_its_formula(n_features):
    x, y = pair(n_features=n_features)
    h = np.eye(30) - 1 / 30
    k, other = h @ x @ x.T @ h, h @ y @ y.T @ h
    expected = (k * other).sum() / np.sqrt((k * k).sum() * (other * other).sum())
    assert similarity.linear_cka(x, y) == pytest.approx(expected, abs=1e-12)
    # Equivalent without Gram matrices: Kornblith et al. 2019, equation 5
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    primal = np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert similarity.linear_cka(x, y) == pytest.approx(primal, abs=1e-12)


def test_rsa_is_scipys():
    x, y = pair()
    triangles = pdist(x, "correlation"), pdist(y, "correlation")
    assert similarity.rsa(x, y) == pytest.approx(scipy.stats.spearmanr(*triangles)[0], abs=1e-12)
    np.testing.assert_allclose(similarity.rdm(x), squareform(triangles[0]), atol=1e-12)


@pytest.mark.parametrize("metric", [similarity.linear_cka, similarity.rsa])
def test_a_subset_is_compared_as_if_it_were_all(metric):
    x, y = pair()
    subsets = [np.arange(10), np.array([29, 3, 7, 12, 5])]
    ours = metric(x, y, subsets)
    alone = [metric(x[subset], y[subset]) for subset in subsets]
    assert ours == pytest.approx(np.mean(alone), abs=1e-12)


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_cka_does_not_see_rotation_scale_and_shift(seed, scale):
    x, y = pair(12, 4, 5, seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))
    score = similarity.linear_cka(x, y)
    assert similarity.linear_cka(scale * (x @ rotation) + 5, y) == pytest.approx(score, abs=1e-9)
    assert 0 <= score <= 1
    order = np.random.default_rng(seed).permutation(12)
    for metric in (similarity.linear_cka, similarity.rsa):
        assert metric(x[order], y[order]) == pytest.approx(metric(x, y), abs=1e-12)
        assert metric(y, y) == pytest.approx(1)


def test_unrelated_representations_are_dissimilar():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 5)), rng.normal(size=(400, 5))
    assert similarity.linear_cka(x, y) < 0.03
    assert abs(similarity.rsa(x, y)) < 0.03


@pytest.mark.parametrize("metric", [similarity.linear_cka, similarity.rsa])
@pytest.mark.parametrize(
    ("x", "y", "subsets", "message"),
    [
        (np.eye(4), np.eye(5), None, "responses have 5 stimuli, not 4"),
        (np.ones(4), np.eye(4), None, r"features: expected stimulus x dimension, got shape \(4,\)"),
        (np.eye(4), np.where(np.eye(4), np.nan, 1), None, "responses: dimension 0 is nan at stimulus 0"),
        (np.eye(4), np.eye(4), [np.arange(4), np.arange(2)], "subset 1 has 2 stimuli"),
        (np.tile([1.0, 2, 3], (4, 1)), np.eye(4), None, "all stimuli are alike"),
    ],
)
def test_bad_input_is_named(metric, x, y, subsets, message):
    with pytest.raises(ValueError, match=message):
        metric(x, y, subsets)


def test_a_stimulus_without_pattern_has_no_correlation_distance():
    x, y = pair()
    x[4] = 2.0
    with pytest.raises(ValueError, match="features: stimulus 4 has the same value in all 8 dimensions"):
        similarity.rsa(x, y)
