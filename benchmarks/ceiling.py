"""Time the extrapolated noise ceiling against the plain way to compute it.

    python benchmarks/ceiling.py                                  # a made-up recording of Pereira2018-384's shape
    python benchmarks/ceiling.py --participants 5 --units 60 --stimuli 1317      # Blank2014's
    python benchmarks/ceiling.py --combinations 10                # at most ten of a size, as Brain-Score's Pereira2018

Ours runs whole. The plain way, as Brain-Score has it, fits scikit-learn's LinearRegression for each combination,
held-out participant and split, and `curve_fit` for each unit and bootstrap. That takes hours, so one regression per
size of pool and some units' fits are timed, and the rest is extrapolated: a size's regressions all cost the same.
Agreement is measured where both are complete: the scores of three participants, and those units' ceilings.

Writes benchmarks/results/ceiling.json: seconds, memory, agreement, and the machine.
"""

import argparse
import itertools
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.optimize
from machine import machine, peak_memory
from sklearn.linear_model import LinearRegression

from brainalign import store
from brainalign.alignment.ceilings import extrapolated
from brainalign.alignment.encoding.held_out import pearson
from brainalign.alignment.encoding.splits import shuffled

RESULTS = Path(__file__).parent / "results" / "ceiling.json"
N_BOOTSTRAPS = 100
AGREEMENT_UNITS = 5  # of each of three participants, in the plain scores
FITTED_UNITS = 8  # 100 fits each


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stimuli", type=int, default=384)
    parser.add_argument("--units", type=int, default=12155)
    parser.add_argument("--participants", type=int, default=9)
    parser.add_argument("--combinations", type=int, default=extrapolated.COMBINATIONS, help="at most so many of a size")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    responses, participants = made_up(settings)
    splits = shuffled(settings.stimuli)
    around = machine()  # before it is loaded

    ours, seconds = timed(
        lambda: extrapolated.extrapolated(responses, participants, splits, n_combinations=settings.combinations)
    )
    print(f"ours: {seconds['wall']:.0f} s, ceiling {ours.ceiling:.4f}")
    peak = peak_memory()
    regressions = plain_regressions(responses, participants, splits, settings.combinations)
    fits = plain_fits(ours.sizes)
    plain = regressions["seconds"] + fits["seconds_a_unit"] * settings.units
    result = {
        "settings": vars(settings),
        "machine": around,
        "ours": {
            "seconds": seconds,
            "peak_gib": peak,
            "ceiling": ours.ceiling,
            "interval": [ours.low, ours.high],
        },
        "plain": {"seconds": plain, "extrapolated": True, "regressions": regressions, "fits": fits},
        "times_faster": plain / seconds["wall"],
        "agreement": agreement(responses, participants, splits),
    }
    with store.writing(RESULTS) as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


def made_up(settings) -> tuple[np.ndarray, np.ndarray]:
    """Responses to 60 shared signals in noise, float32 as in Brain-Score's files, and whose unit each is."""
    rng = np.random.default_rng(settings.seed)
    signals = rng.normal(size=(settings.stimuli, 60)).astype(np.float32)
    mixing = rng.normal(size=(60, settings.units)).astype(np.float32) / 8
    noise = 1.5 * rng.normal(size=(settings.stimuli, settings.units)).astype(np.float32)
    names = np.array([f"{number:03d}" for number in range(settings.participants)])
    return signals @ mixing + noise, np.sort(names[np.arange(settings.units) % settings.participants])


def timed(function):
    """Its result, and seconds: by the clock, and of all cores together."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def plain_score(responses, pool, held_out, split) -> np.ndarray:
    train, test = split
    model = LinearRegression().fit(responses[np.ix_(train, pool)], responses[np.ix_(train, held_out)])
    return pearson(model.predict(responses[np.ix_(test, pool)]), responses[np.ix_(test, held_out)])


def plain_regressions(responses, participants, splits, most) -> dict:
    """Seconds that all regressions would take, from one of each size of pool."""
    names, each = np.unique(participants), {}
    plain_score(responses, np.arange(10), np.arange(10), splits[0])  # what only the first call takes
    for size in range(2, len(names) + 1):
        pool, held_out = (np.flatnonzero(np.isin(participants, some)) for some in (names[: size - 1], names[-1:]))
        _, seconds = timed(lambda pool=pool, held_out=held_out: plain_score(responses, pool, held_out, splits[0]))
        each[size] = seconds["wall"]
    counts = {size: size * min(most, math.comb(len(names), size)) * len(splits) for size in each}
    return {"seconds": sum(each[size] * counts[size] for size in each), "seconds_each": each, "counts": counts}


def plain_fits(sizes) -> dict:
    """Seconds that the fits of a unit take, and how far `curve_fit`'s ceilings are from ours, on made-up scores."""
    rng = np.random.default_rng(0)
    truth, tau = rng.uniform(0.1, 0.6, FITTED_UNITS), rng.uniform(1, 6, FITTED_UNITS)
    shape = (FITTED_UNITS, N_BOOTSTRAPS, len(sizes))
    scores = (truth[:, None] * -np.expm1(-sizes / tau[:, None]))[:, None] + 0.005 * rng.normal(size=shape)

    def growth(k, v0, tau):
        return v0 * (1 - np.exp(-k / tau))

    def by_curve_fit():
        bounds = ([0, -np.inf], [1, np.inf])
        return np.array(
            [[scipy.optimize.curve_fit(growth, sizes, row, bounds=bounds)[0][0] for row in unit] for unit in scores]
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows on its way
        theirs, seconds = timed(by_curve_fit)
    ours, our_seconds = timed(
        lambda: extrapolated.saturation(sizes, scores.reshape(-1, len(sizes)))[0].reshape(shape[:2])
    )
    return {
        "seconds_a_unit": seconds["wall"] / FITTED_UNITS,
        "our_seconds_a_unit": our_seconds["wall"] / FITTED_UNITS,
        "units": FITTED_UNITS,
        "largest_difference_of_a_ceiling": float(np.abs(np.median(ours, axis=1) - np.median(theirs, axis=1)).max()),
    }


def agreement(responses, participants, splits) -> dict:
    """Largest difference of mean scores between ours and the plain loop in float64, for three participants."""
    three = np.unique(participants)[:3]
    units = {name: np.flatnonzero(participants == name) for name in three}
    chosen = np.concatenate(list(units.values()))
    ours = extrapolated.extrapolated(responses[:, chosen], participants[chosen], splits, n_bootstraps=1).curve
    exact, worst = responses.astype(float), 0.0
    for name in three:
        some = units[name][:AGREEMENT_UNITS]
        pools = [[other] for other in three if other != name], [[other for other in three if other != name]]
        for row, of_size in enumerate(pools):
            plain = [
                plain_score(exact, np.concatenate([units[other] for other in pool]), some, split)
                for pool, split in itertools.product(of_size, splits)
            ]
            worst = max(worst, np.abs(ours[row, np.isin(chosen, some)] - np.mean(plain, axis=0)).max())
    return {"participants": 3, "units_each": AGREEMENT_UNITS, "largest_difference_of_a_mean_score": float(worst)}


if __name__ == "__main__":
    main()
