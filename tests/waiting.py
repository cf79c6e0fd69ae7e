"""Waiting for what other processes do."""

import time


def wait_for(condition, seconds: float, every: float = 0.1) -> None:
    """Wait until something is true, which is asked every so often; fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(every)
