"""Floors: where in a queue's order a pick may begin, so that it does not walk again what was picked before.

A picked job leaves an entry in the index that every later pick steps over, until vacuum may remove it; an old snapshot
that somebody else holds keeps vacuum from that. The same goes for jobs that this worker has no handler for, or may not
run yet. A floor is a hint only: a sweep, which begins at the start, finds whatever turned up below it.
"""

from collections.abc import Sequence

from pgq_orm.models import Job
from pgq_orm.operations import BEFORE_ALL_IDS, PRIORITIES, WHOLE_QUEUE, Stretch

SWEEP_SHARE = 1 / 20
"""How much of its time a worker with a backlog sweeps at the most: after a sweep of 5 ms not before 100 ms."""
CHEAP_SECONDS = 0.01
"""What a sweep may take for an idle worker to begin every look at the start."""
SETTLE_SECONDS = 0.1
"""How long a picked id takes at least to raise the floor: meanwhile smaller ids of other transactions are committed."""
MOST_PRIORITIES = 100
"""A queue with more of them than this is walked from the start."""


class Floor:
    """What one worker knows of one queue. Instants are seconds on the monotonic clock."""

    def __init__(self) -> None:
        # The highest id picked, by priority: all in all, until the last turn of the clock, and since.
        self._settled: dict[int, int] = {}
        self._settling: dict[int, int] = {}
        self._fresh: dict[int, int] = {}
        self._turns_at = 0.0
        self._is_sweep_cheap = True
        self.is_swept_out = False
        """Whether the last look began at the start and left nothing behind."""
        self.sweeps_at = 0.0
        """When the next look begins at the start."""

    def sweep_soon(self) -> None:
        """Something turned up below the floor."""
        self.sweeps_at = 0.0

    def stretches(self, now: float) -> Sequence[Stretch]:
        """What to look at: the whole queue if a sweep is due, otherwise what lies past the floor."""
        if now >= self._turns_at:
            self._settled |= self._settling
            self._settling, self._fresh = self._fresh, {}
            self._turns_at = now + SETTLE_SECONDS
        if now >= self.sweeps_at or len(self._settled) > MOST_PRIORITIES:
            return WHOLE_QUEUE
        return _past(self._settled)

    def looked(
        self, stretches: Sequence[Stretch], jobs: Sequence[Job], *, seconds: float, now: float, is_full: bool
    ) -> None:
        """Learns from a look: what was picked, in the queue's order, how long it took, whether more may be there."""
        is_sweep = stretches is WHOLE_QUEUE
        self.is_swept_out = is_sweep and not is_full
        if is_sweep:
            self._is_sweep_cheap = seconds < CHEAP_SECONDS
            self.sweeps_at = now + seconds / SWEEP_SHARE
        if not is_full and self._is_sweep_cheap:
            self.sweeps_at = now
        for job in jobs:
            if job.id > self._settled.get(job.priority, BEFORE_ALL_IDS):
                self._fresh[job.priority] = job.id


def _past(floors: dict[int, int]) -> list[Stretch]:
    stretches = []
    highest = PRIORITIES[-1]
    for priority in sorted(floors, reverse=True):
        if highest > priority:
            stretches.append(Stretch(highest, priority + 1, BEFORE_ALL_IDS))
        stretches.append(Stretch(priority, priority, floors[priority]))
        highest = priority - 1
    if highest >= PRIORITIES[0]:
        stretches.append(Stretch(highest, PRIORITIES[0], BEFORE_ALL_IDS))
    return stretches
