"""Time what a reader of the book waits for. Usage: `.venv/bin/python benchmarks/book.py [--repeats 3]`.

Builds the printed study with `make book` in fresh clones of the current commit (what is not committed is left out),
with the environment of this checkout in place: first from nothing, then again with nothing changed, then after a
change in one page. Writes all times, their medians and the machine to `benchmarks/results/book.json`, and prints a
table. The bars are those of the project's issue on the book. Keep the machine otherwise idle.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "book.json"
BARS = {"cold": 90, "unchanged": 3, "one page changed": 15}  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    start = {"machine": machine(), "commit": git("rev-parse", "HEAD"), "repeats": repeats}
    runs = [measure() for _ in range(repeats)]
    seconds = {name: [round(run[name], 2) for run in runs] for name in BARS}
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    report = {**start, "bars": BARS, "seconds": seconds, "medians": medians}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    for name, bar in BARS.items():
        verdict = "met" if medians[name] <= bar else "missed"
        print(f"{name:18} {medians[name]:6.1f} s   bar {bar:2} s   {verdict}")


def measure() -> dict[str, float]:
    """Build one fresh clone three times."""
    with tempfile.TemporaryDirectory(prefix="brainalign-benchmark-") as folder:
        clone = Path(folder)
        git("clone", "--quiet", str(ROOT), folder)
        lend_environment(clone)
        times = {"cold": build(clone), "unchanged": build(clone)}
        executed = execution_times(clone)
        with (clone / "book" / "rerun.md").open("a") as page:
            page.write("\nOne more sentence.\n")
        times["one page changed"] = build(clone)
        if not executed or execution_times(clone) != executed:
            raise RuntimeError("the clone has no book of its own, or a change in a page executed a notebook")
        return times


def lend_environment(clone: Path) -> None:
    """Give a clone this checkout's environment, so fresh that make does not install it again."""
    (clone / ".venv").mkdir()
    (clone / ".venv" / "bin").symlink_to(ROOT / ".venv" / "bin")
    (clone / ".venv" / "installed").touch()


def build(clone: Path) -> float:
    """Seconds that `make book` takes; the clone's own package runs, not the checkout's."""
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    start = time.perf_counter()
    done = subprocess.run(["make", "book"], cwd=clone, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"make book failed:\n{done.stdout}{done.stderr}")
    return seconds


def execution_times(clone: Path) -> dict[str, int]:
    """When each notebook was executed."""
    executed = clone / "build" / "printed" / "source" / "executed"
    return {path.name: path.stat().st_mtime_ns for path in executed.glob("*.ipynb")}


def machine() -> dict:
    """On what this runs, and how busy it was before."""
    cpus = Path("/proc/cpuinfo")
    models = [line.split(": ")[1] for line in cpus.read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
