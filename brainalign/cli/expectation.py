"""How long a build still takes: what steps took before, or others of their kind by their weight, laid on the cores.

What steps took is kept beside the build, so that it is known from the first second on when it is built again. What has
never run takes as long as others of its kind, in proportion to its weight; as long as none of them has, as any other.
The end is that of a schedule in which steps wait for one another as they do in the Snakefile.
"""

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from time import monotonic

Job = tuple[str, ...]  # steps that one process runs one after the other


@dataclass
class Expectation:
    """How long the steps that are left will take; in a queue, which has no cores, nobody knows.

    Attributes
    ----------
    jobs : sequence of tuple of str
        Steps that are due, by the process that runs them.
    cores : int or None
        Jobs that run at once.
    kinds : mapping
        Kind of each step: those of a kind take as long as they weigh.
    weights : mapping
        How long steps take relative to one another, where nobody has timed them; 1 if left out.
    waits : mapping
        Steps that each has to wait for.
    before : mapping
        Seconds that steps took in earlier builds.
    """

    jobs: Sequence[Job]
    cores: int | None
    kinds: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    waits: Mapping[str, Collection[str]] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.job_of = {step: job for job in self.jobs for step in job}
        self.durations: dict[str, float] = {}
        self.starts: dict[Job, float] = {}  # when the step that a job is at has begun

    def begun(self, job: Job) -> None:
        """Note that a job has begun; one that was not due does not count."""
        if job in self.jobs:
            self.starts[job] = monotonic()

    def done(self, step: str, seconds: float) -> None:
        """Note that a step is done, and what it took; one that was not due does not count."""
        if step in self.job_of:
            self.durations[step] = seconds
            self.starts[self.job_of[step]] = monotonic()

    def expected(self, step: str) -> float:
        """Seconds that a step takes: as before, at the pace of today; else as its kind does."""
        if step in self.before:
            return self.before[step] * self._pace()
        seconds_by_step = {name: seconds * self._pace() for name, seconds in self.before.items()} | self.durations
        same_kind = [name for name in seconds_by_step if self.kinds.get(name) == self.kinds.get(step)]
        # Few of a kind say less than all that is known, of which the median: one long step is no sign of others.
        seconds_per_weight, weight = (
            median(seconds / self._weight(name) for name, seconds in seconds_by_step.items()),
            self._weight(step),
        )
        kind_seconds = sum(seconds_by_step[name] for name in same_kind) + seconds_per_weight * weight
        return weight * kind_seconds / (sum(map(self._weight, same_kind)) + weight)

    def _weight(self, step: str) -> float:
        return self.weights.get(step, 1.0)

    def _pace(self) -> float:
        """How much longer steps take today than before: a machine may be busy. One step alone does not say."""
        repeated = self.durations.keys() & self.before.keys()
        mean_seconds = sum(self.before.values()) / len(self.before) or 1.0
        return (sum(self.durations[step] for step in repeated) + mean_seconds) / (
            sum(self.before[step] for step in repeated) + mean_seconds
        )

    def seconds(self) -> float | None:
        """Seconds until the end; None where nothing has been measured yet, and where steps wait in a queue."""
        if self.cores is None or not (self.durations or self.before):
            return None
        remaining = {job: [step for step in job if step not in self.durations] for job in self.jobs}
        remaining = {job: steps for job, steps in remaining.items() if steps}
        step_seconds = {job: [self.expected(step) for step in steps] for job, steps in remaining.items()}
        waiting = self._longest_chain_first(remaining, {job: sum(seconds) for job, seconds in step_seconds.items()})
        running: list[tuple[float, Job]] = []
        for job in remaining.keys() & self.starts.keys():
            waiting.remove(job)
            first, *later_steps = step_seconds[job]
            # What takes longer than expected is expected to go on for as long again as it is late.
            heapq.heappush(running, (abs(first - (monotonic() - self.starts[job])) + sum(later_steps), job))
        end = 0.0
        while remaining:
            while len(running) < self.cores and (job := self._next(waiting, remaining)):
                waiting.remove(job)
                heapq.heappush(running, (end + sum(step_seconds[job]), job))
            end, job = heapq.heappop(running)
            del remaining[job]
        return end

    def _next(self, waiting: Sequence[Job], remaining: Collection[Job]) -> Job | None:
        """The first job that need not wait for a remaining one."""
        return next((job for job in waiting if not self._jobs_before(job) & remaining.keys()), None)

    def _jobs_before(self, job: Job) -> set[Job]:
        return {
            self.job_of[step] for own_step in job for step in self.waits.get(own_step, ()) if step in self.job_of
        } - {job}

    def _longest_chain_first(self, remaining: Collection[Job], job_seconds: Mapping[Job, float]) -> list[Job]:
        """Remaining jobs, those first whose followers take longest."""
        followers: dict[Job, list[Job]] = {job: [] for job in remaining}
        for job in remaining:
            for earlier in self._jobs_before(job) & remaining.keys():
                followers[earlier].append(job)

        @cache
        def chain(job: Job) -> float:
            return job_seconds[job] + max(map(chain, followers[job]), default=0.0)

        return sorted(remaining, key=chain, reverse=True)

    def __str__(self) -> str:
        seconds = self.seconds()
        if seconds is None:
            forecast = "time unknown" if self.cores is None else "time unknown yet"
        else:
            forecast = "less than a minute left" if seconds < 60 else f"about {seconds / 60:.0f} min left"
        return f"{len(self.durations)} of {len(self.job_of)} steps, {forecast}"
