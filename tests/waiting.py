"""Waiting for what other processes do."""

import time


def wait_for(condition, seconds: float) -> None:
    """Wait until something is true; fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.1)
