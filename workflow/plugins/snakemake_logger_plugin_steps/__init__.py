"""What Snakemake says of steps: in a dry run which are due, and what is wrong, on standard error.

Else when one begins here, where it says the rest itself; of others all. That is a line a step, as steps here say it,
and why one failed: what a job elsewhere prints stays in its own log. A line has the seconds since the job was handed
in, waiting included.
"""

import sys
import time
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

DONE = {"running": "ran", "executing": "executed"}  # messages of the Snakefile, when they have come true
N_LINES = 15  # of the log of a job that failed


class LogHandler(LogHandlerBase):
    """Prints what happens to steps."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.steps: dict[int, tuple[str, float]] = {}  # that run elsewhere

    def emit(self, record) -> None:
        """Print what there is to say of an event, if anything."""
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO and (record.local or self.common_settings.dryrun):
            print(record.rule_msg, flush=True)
        elif self.common_settings.dryrun:
            if record.levelname == "ERROR":
                print(record.getMessage(), file=sys.stderr, flush=True)
        elif event == LogEvent.JOB_INFO:
            self.steps[record.jobid] = (record.rule_msg, time.monotonic())
        elif event == LogEvent.JOB_FINISHED and record.job_id in self.steps:
            message, since = self.steps[record.job_id]
            doing, _, what = message.partition(" ")
            print(f"{DONE.get(doing, doing)} {what} ({time.monotonic() - since:.1f} s)", flush=True)
        elif not self.steps:
            return
        elif event == LogEvent.JOB_ERROR:
            self._failed(record)
        elif event is None and (record.levelname == "ERROR" or record.getMessage().startswith("Trying to restart")):
            print(record.getMessage(), flush=True)

    def _failed(self, record) -> None:
        message, _ = self.steps.get(record.jobid, (record.rule_name, 0.0))
        print(f"{message} failed: {(record.rule_msg or '').partition('For further error details')[0]}")
        for log in map(Path, record.log):
            if log.is_file():
                print("\n".join([f"The end of {log}:", *(f"    {line}" for line in last_words(log))]))
        print(end="", flush=True)


def last_words(log: Path) -> list[str]:
    """Last lines that the step itself has printed, in a job whose log Snakemake begins and ends."""
    text = log.read_text(encoding="utf-8", errors="replace")
    own = text.partition("\nJob 0: ")[2].partition("\nError in rule")[0]
    return (own or text).splitlines()[-N_LINES:]
