"""The disattenuated ceiling: held against plain loops, and against a truth that is known."""

import numpy as np
import pytest

from brainalign.alignment.ceilings.disattenuated import PENALTY, disattenuated
from brainalign.alignment.encoding.splits import contiguous, grouped

OWNERS = np.repeat(["a", "b", "c", "d"], 40)
STORIES = np.repeat(np.arange(12), 15)
SPLITS = grouped(STORIES, 6)


def people(signal=1.0, noise=1.0, seed=0, n=180, d=6):
    """Responses that weigh a few hidden dimensions, and noise of their own."""
    rng = np.random.default_rng(seed)
    meaning, weights = rng.normal(size=(n, d)), rng.normal(size=(d, len(OWNERS)))
    whole = meaning @ weights
    return signal * whole / whole.std(axis=0) + noise * rng.normal(size=whole.shape)


def by_loops(y, owners, splits, groups, n_draws, seed):
    """The same, stimulus by stimulus and in primal form; random halves are drawn in the documented order."""
    rng, names = np.random.default_rng(seed), np.unique(owners)
    y = y - y.mean(axis=0)
    ay = by = ab = yy = 0.0
    for _ in range(n_draws):
        for one in range(len(names)):
            own = y[:, owners == names[one]]
            halves = np.array_split(rng.permutation(np.delete(np.arange(len(names)), one)), 2)
            for train, test in splits:
                order = rng.permutation(np.unique(groups[train]))
                first = np.isin(groups[train], order[: len(order) // 2])
                predictions = []
                for half, some in zip(halves, (train[first], train[~first]), strict=True):
                    x = y[:, np.isin(owners, names[half])]
                    x = x - x[some].mean(axis=0)
                    gram = x[some] @ x[some].T
                    alpha = PENALTY * np.trace(gram) / len(some)
                    solved = np.linalg.solve(gram + alpha * np.eye(len(some)), own[some] - own[some].mean(axis=0))
                    predicted = x[test] @ x[some].T @ solved
                    predictions.append(predicted - predicted.mean(axis=0))
                a, b = predictions
                left = own[test] - own[test].mean(axis=0)
                ay, by, ab, yy = ay + (a * left).sum(), by + (b * left).sum(), ab + (a * b).sum(), yy + (left**2).sum()
    return np.sqrt(ay * by / ab / yy)


def test_it_is_what_plain_loops_give():
    y = people()
    found = disattenuated(y, OWNERS, SPLITS, STORIES, seed=3)
    assert found.ceiling == pytest.approx(by_loops(y, OWNERS, SPLITS, STORIES, 2, 3), rel=1e-6)


@pytest.mark.parametrize("noise", [0.3, 1.0, 2.0])
def test_it_comes_near_the_share_of_signal_and_its_interval_holds_it(noise):
    true = np.sqrt(1 / (1 + noise**2))
    found = [disattenuated(people(noise=noise, seed=seed), OWNERS, SPLITS, STORIES) for seed in range(6)]
    assert np.mean([one.ceiling for one in found]) == pytest.approx(true, abs=0.04)
    assert sum(one.low <= true <= one.high for one in found) >= 5


def test_units_scale_and_names_of_participants_change_nothing():
    y = people()
    scaled = 5 + 3 * y
    assert disattenuated(scaled, OWNERS, SPLITS, STORIES).ceiling == pytest.approx(
        disattenuated(y, np.char.add("m", OWNERS), SPLITS, STORIES).ceiling, rel=1e-6
    )


def test_units_that_are_nan_throughout_are_left_out():
    y = people()
    with_missing = np.hstack([y, np.full((len(y), 2), np.nan)])
    owners = np.append(OWNERS, ["a", "b"])
    assert disattenuated(with_missing, owners, SPLITS, STORIES) == disattenuated(y, OWNERS, SPLITS, STORIES)


def test_the_same_seed_gives_the_same():
    y = people()
    one, same = (disattenuated(y, OWNERS, SPLITS, STORIES, seed=1) for _ in range(2))
    assert one == same
    assert one != disattenuated(y, OWNERS, SPLITS, STORIES, seed=2)
    assert one.low < one.ceiling < one.high


def test_people_who_tell_nothing_of_each_other_have_a_low_ceiling_or_none():
    for seed in range(5):
        noise = people(signal=0.0, seed=seed)
        try:
            assert disattenuated(noise, OWNERS, SPLITS, STORIES).low < 0.1
        except ValueError as error:
            assert "Report that text tells nothing" in str(error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"participants": np.repeat(["a", "b"], 80)}, "three participants or more"),
        ({"splits": SPLITS[:1]}, "two or more, got 1"),
        ({"groups": np.zeros(180, int)}, "trains on one group"),
        ({"responses": np.where(np.arange(160) == 3, [[np.inf]], people())}, "unit 3 of participant a"),
        ({"splits": contiguous(400, 4)}, "of 0 to 179"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"responses": people(), "participants": OWNERS, "splits": SPLITS, "groups": STORIES}
    with pytest.raises(ValueError, match=message):
        disattenuated(**(given | change))
