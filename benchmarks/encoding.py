"""Time encoding models against scikit-learn, himalaya and a plain SVD, and against the machine's matrix product.

    python benchmarks/encoding.py                                  # everything: half an hour on two cores
    python benchmarks/encoding.py --cases brennan --repeats 1      # a minute
    python benchmarks/encoding.py --solvers ours "least squares"   # no peers

Responses are made up, in the shapes of the recordings: float32, signals of the features in noise, ten folds. Each
solver runs alone in a fresh process, which reports the median of repeated runs and the most memory it occupied.

- `least squares`, `ridge`: ours, through `predictivity.scores`. Ridge chooses one of seven penalties for all units in
  each training set by leaving out each stimulus, `ridge per unit` one for each unit.
- `LinearRegression`, `RidgeCV`: scikit-learn as Brain-Score calls it, a fold at a time, all units at once. In float32
  it keeps a direction that has no variance, and answers otherwise than in float64, where ours is held against it.
- `himalaya numpy`, `himalaya torch`: `KernelRidgeCV` with the same penalties, one for all units, chosen by five inner
  folds; `... per unit`, one for each unit, its default.
- `SVD`: one of each training set, shared by all penalties, with r at each of them and nothing chosen.

Peers are timed on one layer: they do the same for each, and many layers take them as many times as long. Agreement is
the largest difference of r in splits (and units) where the penalty chosen is the same, with their share.

Writes benchmarks/results/encoding.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.linalg
from machine import machine, peak_memory
from threadpoolctl import threadpool_info

from brainalign import store
from brainalign.alignment.encoding.held_out import Scores, pearson
from brainalign.alignment.encoding.predictivity import Penalties, scores
from brainalign.alignment.encoding.splits import Split, contiguous, shuffled

RESULTS = Path(__file__).parent / "results" / "encoding.json"
RATIOS = np.logspace(-3, 3, 7)  # seven penalties, in mean eigenvalues
Layers = list[np.ndarray]
Answer = tuple[np.ndarray, np.ndarray | None]


class Case(NamedTuple):
    """The shape of a recording and of features."""

    n_stimuli: int
    n_features: int
    n_units: int
    n_layers: int = 1
    blocks: bool = False  # splits are contiguous, not shuffled

    @property
    def splits(self) -> list[Split]:
        """Ten folds."""
        return contiguous(self.n_stimuli) if self.blocks else shuffled(self.n_stimuli)

    @property
    def alphas(self) -> np.ndarray:
        """Penalties, the same for all folds: the mean eigenvalue of features of unit variance is their number."""
        return RATIOS * self.n_features

    def layers(self) -> Layers:
        """Features of each layer."""
        rng, shape = np.random.default_rng(0), (self.n_stimuli, self.n_features)
        return [rng.standard_normal(shape, np.float32) for _ in range(self.n_layers)]

    def responses(self, layer: np.ndarray) -> np.ndarray:
        """Responses to fifty features of a layer."""
        rng = np.random.default_rng(1)
        responses = rng.standard_normal((self.n_stimuli, self.n_units), np.float32)
        responses += layer[:, :50] @ rng.standard_normal((50, self.n_units), np.float32) / 7
        return responses


CASES = {
    "pereira 384": Case(384, 4096, 12155),
    "blank, narrow": Case(1317, 768, 60),
    "blank, wide": Case(1317, 4096, 60),
    "brennan": Case(362, 256, 162, blocks=True),
    "pereira 384, 33 layers": Case(384, 4096, 12155, 33),
    "pereira 243, 33 layers": Case(243, 4096, 8121, 33),
    "blank, wide, 33 layers": Case(1317, 4096, 60, 33),
    "brennan, 33 layers": Case(362, 256, 162, 33, blocks=True),
}


# Solvers: r (n_splits, n_units) of the first layer, and the penalties chosen, as positions in `Case.alphas`


def ours(case: Case, layers: Layers, responses: np.ndarray, per: str | None = None) -> Answer:
    penalties = per and Penalties(case.alphas, per=per)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+% of choices")  # layers after the first say nothing of responses
        result: Scores = scores(layers, responses, case.splits, penalties)
    return result.r[0], None if per is None else result.chosen[0]


def linear_regression(case: Case, layers: Layers, responses: np.ndarray) -> Answer:
    from sklearn.linear_model import LinearRegression

    (x,), r = layers, []
    for train, test in case.splits:
        predicted = LinearRegression().fit(x[train], responses[train]).predict(x[test])
        r.append(pearson(predicted, responses[test]))
    return np.stack(r), None


def in_double(case: Case, layers: Layers, responses: np.ndarray) -> Answer:
    return linear_regression(case, [layer.astype(float) for layer in layers], responses.astype(float))


def ridge_cv(case: Case, layers: Layers, responses: np.ndarray) -> Answer:
    from sklearn.linear_model import RidgeCV

    (x,), r, chosen = layers, [], []
    for train, test in case.splits:
        model = RidgeCV(case.alphas).fit(x[train], responses[train])
        r.append(pearson(model.predict(x[test]), responses[test]))
        chosen.append([np.abs(case.alphas - model.alpha_).argmin()])
    return np.stack(r), np.array(chosen)


def himalaya(case: Case, layers: Layers, responses: np.ndarray, backend: str, per: str = "all") -> Answer:
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV

    set_backend(backend)
    (x,), r, chosen = layers, [], []
    options = {"fit_intercept": True, "warn": False, "solver_params": {"local_alpha": per == "unit"}}
    for train, test in case.splits:
        model = KernelRidgeCV(case.alphas, **options).fit(x[train], responses[train])
        r.append(pearson(np.asarray(model.predict(x[test])), responses[test]))
        best = np.abs(np.log(case.alphas)[:, None] - np.log(np.asarray(model.best_alphas_))).argmin(axis=0)
        chosen.append(best if per == "unit" else best[:1])
    return np.stack(r), np.array(chosen)


def svd(case: Case, layers: Layers, responses: np.ndarray) -> Answer:
    (x,), r = layers, []
    for train, test in case.splits:
        mean, y_mean = x[train].mean(axis=0), responses[train].mean(axis=0)
        u, s, vt = scipy.linalg.svd(x[train] - mean, full_matrices=False)
        along, cross = u.T @ (responses[train] - y_mean), (x[test] - mean) @ vt.T
        predicted = (cross * (s / (s**2 + alpha)).astype(np.float32) @ along for alpha in case.alphas)
        r.append([pearson(of_alpha + y_mean, responses[test]) for of_alpha in predicted])
    return np.stack(r), np.tile(np.arange(len(case.alphas)), (len(r), 1))


SOLVERS = {
    "least squares": ours,
    "ridge": lambda *args: ours(*args, "all"),
    "ridge per unit": lambda *args: ours(*args, "unit"),
    "LinearRegression": linear_regression,
    "LinearRegression in float64": in_double,
    "RidgeCV": ridge_cv,
    "himalaya numpy": lambda *args: himalaya(*args, "numpy"),
    "himalaya torch": lambda *args: himalaya(*args, "torch"),
    "himalaya numpy per unit": lambda *args: himalaya(*args, "numpy", "unit"),
    "himalaya torch per unit": lambda *args: himalaya(*args, "torch", "unit"),
    "SVD": svd,
}
OURS = ("least squares", "ridge", "ridge per unit")


def yardstick(solver: str) -> str:
    """Which of ours a peer is held against."""
    if solver.startswith("LinearRegression"):
        return "least squares"
    return "ridge per unit" if solver.endswith("unit") else "ridge"


# One process a solver


def run_alone(case: str, solver: str, repeats: int, saved: Path) -> None:
    """Time a solver, print what it took, and save what it answered."""
    small = Case(40, 60, 8)
    SOLVERS[solver](small, small.layers(), small.responses(small.layers()[0]))  # imports what it needs
    layers = CASES[case].layers()
    responses = CASES[case].responses(layers[0])
    before, seconds = peak_memory(), []
    for repeat in range(repeats):
        start = time.perf_counter()
        r, chosen = SOLVERS[solver](CASES[case], layers, responses)
        seconds.append(time.perf_counter() - start)
        if repeat == 0 and seconds[0] > 60:
            break
    np.savez(saved, r=r, chosen=np.empty(0) if chosen is None else chosen)
    print(
        json.dumps(
            {
                "seconds": statistics.median(seconds),
                "runs": seconds,
                "peak_gib": peak_memory(),
                "peak_gib_before": before,
                "load": os.getloadavg()[0],
            }
        )
    )


def fresh_process(case: str, solver: str, repeats: int, saved: Path) -> dict:
    command = [sys.executable, __file__, "--cases", case, "--solvers", solver, "--repeats", str(repeats)]
    done = subprocess.run([*command, "--alone", saved], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def agreement(ours: Path, theirs: Path) -> dict:
    """Largest difference of r where the same penalty was chosen, and how often it was."""
    with np.load(ours) as saved:
        r, chosen = saved["r"], saved["chosen"]
    with np.load(theirs) as saved:
        their_r, their_chosen = saved["r"], saved["chosen"]
    if their_r.ndim == 3:  # r at every penalty
        return {"largest_difference": float(abs(r - their_r[np.arange(len(r)), chosen[:, 0]]).max())}
    same = np.broadcast_to(chosen == their_chosen, r.shape) if chosen.size else np.ones(r.shape, bool)
    return {
        "largest_difference": float(abs(r - their_r)[same].max()) if same.any() else None,
        "share_compared": float(same.mean()),
    }


# The machine's matrix product


def product_rate(rows: int, inner: int, columns: int, dtype: type) -> float:
    """Floating-point operations a second of a product (rows, inner) by (inner, columns)."""
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=shape).astype(dtype) for shape in ((rows, inner), (inner, columns)))
    count, seconds = 2 * rows * inner * columns, []
    for _ in range(max(7, int(4e10 / count))):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds)


def operations(case: Case) -> tuple[float, float]:
    """Floating-point operations of least squares, in float32 and in float64; symmetric products count half.

    float32 is one product with all responses. float64 is X Xᵀ and its inverse, once, and a system the size of the test
    set for each fold; or, with fewer features than stimuli, Xᵀ X, its inverse and the weights for each fold.
    """
    n, p = case.n_stimuli, case.n_features
    single, double = 0.0, float(n**2 * p + n**3 if p >= n else 0)
    for train, test in case.splits:
        out = n - len(train)
        if p >= n:
            double += 2 / 3 * out**3 + 2 * out**2 * len(train)
        else:
            double += len(train) * p**2 + p**3 + 2 * len(test) * p * (p + len(train))
        single += 2 * (len(test) + 1) * n * case.n_units
    return case.n_layers * single, case.n_layers * double


def against_products(case: Case, seconds: float) -> dict:
    """What the same operations would take at the rate of the machine's matrix products, as a share of ``seconds``."""
    n, rows = case.n_stimuli, sum(len(test) + 1 for _, test in case.splits)
    single, double = operations(case)
    rate, double_rate = product_rate(rows, n, case.n_units, np.float32), product_rate(n, case.n_features, n, np.float64)
    return {
        "operations": {"float32": single, "float64": double},
        "product_rates": {"float32": rate, "float64": double_rate},
        "share_of_product_rate": (single + double) / rate / seconds,
        "share_of_product_rate_by_precision": (single / rate + double / double_rate) / seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--solvers", nargs="+", choices=[*SOLVERS, "ours"], default=list(SOLVERS))
    parser.add_argument("--repeats", type=int, default=5, help="runs of a solver; one where it takes over a minute")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.alone:
        run_alone(settings.cases[0], settings.solvers[0], settings.repeats, settings.alone)
        return
    chosen = [name for name in SOLVERS if name in settings.solvers or ("ours" in settings.solvers and name in OURS)]
    blas = [
        {key: entry.get(key) for key in ("internal_api", "architecture", "num_threads")} for entry in threadpool_info()
    ]
    result = {"machine": machine() | {"blas": blas}, "repeats": settings.repeats, "cases": {}}
    for name in settings.cases:
        result["cases"][name] = measured(name, CASES[name], chosen, settings.repeats)
    with store.writing(RESULTS) as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


def measured(name: str, case: Case, solvers: list[str], repeats: int) -> dict:
    """What each solver took in one case, and how it compares."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for solver in solvers:
            if case.n_layers > 1 and solver not in OURS:
                continue
            saved = Path(folder) / f"{solver}.npz"
            found[solver] = fresh_process(name, solver, repeats, saved)
            held = yardstick(solver)
            if solver not in OURS and held in found:
                found[solver] |= agreement(Path(folder) / f"{held}.npz", saved)
                found[solver]["times_slower"] = found[solver]["seconds"] / found[held]["seconds"]
            print(f"{name}, {solver}: {found[solver]}", file=sys.stderr)
    if "least squares" in found:
        found["least squares"] |= against_products(case, found["least squares"]["seconds"])
    return {"shape": case._asdict(), "solvers": found}


if __name__ == "__main__":
    main()
