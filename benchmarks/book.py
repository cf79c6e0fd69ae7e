"""Time what a reader of the book waits for. Usage: `.venv/bin/python benchmarks/book.py [STUDY ...] [--repeats 3]`.

Builds studies with `make book` in fresh clones of the current commit (what is not committed is left out), with the
environment of this checkout in place: first from nothing, training included, then again with nothing changed, then
after a change in one page. Writes all times, their medians, the most memory that a first build took and the machine to
`benchmarks/results/book.json`, and prints a table. Bars are those that the project set itself. Keep the machine idle.
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

import psutil

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "book.json"
BARS = {  # seconds, and GiB
    "printed": {"cold": 90, "memory": 4, "unchanged": 3, "one page changed": 15},
    "microworld": {"cold": 480, "memory": 4, "unchanged": 3, "one page changed": 20},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("studies", nargs="*", metavar="STUDY", default=list(BARS), help="all with a bar if left out")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    report = {"machine": machine(), "commit": git("rev-parse", "HEAD"), "repeats": options.repeats}
    for study in options.studies:
        runs = [measure(study) for _ in range(options.repeats)]
        report[study] = {name: {"all": [run[name] for run in runs], "bar": bar} for name, bar in BARS[study].items()}
        for name, row in report[study].items():
            row["median"] = statistics.median(row["all"])
            verdict = "met" if row["median"] <= row["bar"] else "missed"
            print(f"{study:12} {name:18} {row['median']:7.2f}   bar {row['bar']:3}   {verdict}", flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")


def measure(study: str) -> dict[str, float]:
    """Build one fresh clone three times; seconds, and GiB at the peak of the first build."""
    with tempfile.TemporaryDirectory(prefix="brainalign-benchmark-") as folder:
        clone = Path(folder)
        git("clone", "--quiet", str(ROOT), folder)
        lend_environment(clone)
        cold, memory = build(clone, study)
        unchanged, _ = build(clone, study)
        executed = execution_times(clone, study)
        with (clone / "book" / "rerun.md").open("a") as page:
            page.write("\nOne more sentence.\n")
        one_page, _ = build(clone, study)
        if not executed or execution_times(clone, study) != executed:
            raise RuntimeError("the clone has no book of its own, or a change in a page executed a notebook")
        return {"cold": cold, "memory": memory, "unchanged": unchanged, "one page changed": one_page}


def lend_environment(clone: Path) -> None:
    """Give a clone this checkout's environment, so fresh that make does not install it again."""
    (clone / ".venv").mkdir()
    (clone / ".venv" / "bin").symlink_to(ROOT / ".venv" / "bin")
    (clone / ".venv" / "installed").touch()


def build(clone: Path, study: str) -> tuple[float, float]:
    """Seconds that `make book` takes, and GiB that all its processes had at most; the clone's own package runs."""
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    start, most = time.perf_counter(), 0
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            ["make", "book", f"STUDY={study}"], cwd=clone, env=environment, stdout=log, stderr=log
        ) as make,
    ):
        while make.poll() is None:
            most = max(most, occupied(make.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - start
        if make.returncode:
            log.seek(0)
            raise RuntimeError(f"make book failed:\n{log.read()}")
    return round(seconds, 2), round(most / 2**30, 2)


def occupied(pid: int) -> int:
    """Bytes of a process and all that it started; memory that several share counts once (Linux)."""
    total = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:  # it ended while we looked
        pass
    return total


def execution_times(clone: Path, study: str) -> dict[str, int]:
    """When each notebook was executed."""
    executed = clone / "build" / study / "source" / "executed"
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
