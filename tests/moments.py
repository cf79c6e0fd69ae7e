"""Moments in another process at which a test kills it: it says where it is, and stays there until it may go on.

Nothing is polled and nobody sleeps, so that each run is killed at the same place.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

SECONDS = 300  # that a process may take to where it is met

# To be put before a program that `begin` starts.
PREAMBLE = """
import sys

def moment(name):
    print(name, flush=True)
    sys.stdin.readline()  # until the other end lets it go on, or kills it
"""

# To be put where a process cannot be asked over its input: it writes its number into a named pipe, and waits.
STOP = """
def stop_at(pipe):
    import os, signal
    with open(pipe, "w") as file:
        file.write(f"{os.getpid()}\\n")
    signal.pause()
"""


def begin(program: str, store: Path, *arguments: str, **options) -> subprocess.Popen:
    """Start a program that may use `moment`, with a store of its own; pytest shows its errors."""
    environment = os.environ | {"BRAINALIGN_STORE": str(store), "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", PREAMBLE + program, *arguments]
    return subprocess.Popen(command, env=environment, text=True, **pipes | options)


def finish(process: subprocess.Popen) -> list[str]:
    """Let a program run to its end, which must be a good one; gives the moments that it passed."""
    passed = []
    for line in process.stdout:
        passed.append(line.strip())
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.wait() == 0
    return passed


def kill_at(process: subprocess.Popen, name: str, occasion: int = 1) -> list[str]:
    """Kill a program and all that it has started at one of its moments; gives the moments that it reached."""
    reached = []
    for line in process.stdout:
        reached.append(line.strip())
        if reached.count(name) == occasion:
            kill(process)
            return reached
        process.stdin.write("\n")
        process.stdin.flush()
    raise AssertionError(f"{name} was not reached {occasion} times but {reached}")


def kill(process: subprocess.Popen) -> None:
    """Kill a process and all that it has started, in whatever group or session that is."""
    root = psutil.Process(process.pid)
    family = [root, *root.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    psutil.wait_procs(family[1:])


def number_from(pipe: Path) -> int:
    """Wait until a process has reached a `stop_at`; gives its number."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # else it would wait without end for one that failed
    try:
        ready, _, _ = select.select([reading], [], [], SECONDS)
        assert ready, f"nobody came to {pipe} in {SECONDS} s"
        return int(os.read(reading, 100))
    finally:
        os.close(reading)
