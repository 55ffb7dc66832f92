"""Floors: where in a queue's order a pick may begin, so that it does not walk again what was picked before.

A picked job leaves an entry in the index that every later pick steps over, until vacuum may remove it; an old snapshot
that somebody else holds keeps vacuum from that. The same goes for jobs that this worker has no handler for, or may not
run yet. A floor is a hint only: a sweep, which begins at the start, finds whatever turned up below it.
"""

from collections.abc import Sequence

from pgq_orm.models import Job
from pgq_orm.operations.picks import BEFORE_ALL_IDS, PRIORITIES, WHOLE_QUEUE, Stretch

SWEEP_SHARE = 1 / 20
"""How much of its time a worker with a backlog sweeps at the most: after a sweep of 5 ms not before 100 ms."""
MOST_SECONDS = 5.0
"""The longest time between sweeps: what turned up below a floor must not wait because one sweep was held up."""
CHEAP_SECONDS = 0.01
"""What a sweep may take for an idle worker to begin every look at the start."""
SETTLE_SECONDS = 0.1
"""How long a picked id takes at least to raise the floor: meanwhile smaller ids of other transactions are committed."""
TRUST_SECONDS = 60.0
"""How long to look without asking first, after it turned out that asking takes as long as looking."""
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
        # The last sweep has passed all priorities above this one: what is there up to that id is not for this worker.
        self._passed_above = PRIORITIES[-1]
        self._passed_id = BEFORE_ALL_IDS
        self._swept_id = BEFORE_ALL_IDS
        self._is_walk_vain = False
        self._asks_at = 0.0
        self.is_swept_out = False
        """Whether the last look began at the start and left nothing behind."""
        self.sweeps_at = 0.0
        """When the next look begins at the start."""

    def sweep_soon(self) -> None:
        """Something turned up below the floor."""
        self.sweeps_at = 0.0

    def asks_first(self, now: float) -> bool:
        """Whether to ask if anything is there at all: the last look took long and found nothing."""
        return self._is_walk_vain and now >= self._asks_at

    def asked(self, *, is_empty: bool, seconds: float, now: float) -> None:
        """Learns from having asked."""
        self.is_swept_out = is_empty
        if seconds >= CHEAP_SECONDS:
            self._asks_at = now + TRUST_SECONDS

    def stretches(self, now: float) -> Sequence[Stretch]:
        """What to look at: the whole queue if a sweep is due, otherwise what lies past the floor."""
        if now >= self._turns_at:
            self._settled |= self._settling
            self._settling, self._fresh = self._fresh, {}
            self._turns_at = now + SETTLE_SECONDS
        if now >= self.sweeps_at or len(self._settled) > MOST_PRIORITIES:
            self._swept_id = max(self._settled.values(), default=BEFORE_ALL_IDS)
            return WHOLE_QUEUE
        return self._past_floors()

    def looked(
        self, stretches: Sequence[Stretch], jobs: Sequence[Job], *, seconds: float, now: float, is_full: bool
    ) -> None:
        """Learns from a look: what was picked, in the queue's order, how long it took, whether more may be there."""
        is_sweep = stretches is WHOLE_QUEUE
        self._is_walk_vain = not jobs and seconds >= CHEAP_SECONDS
        self.is_swept_out = is_sweep and not is_full
        if is_sweep:
            self._is_sweep_cheap = seconds < CHEAP_SECONDS
            self.sweeps_at = now + min(seconds / SWEEP_SHARE, MOST_SECONDS)
            if self._swept_id > BEFORE_ALL_IDS:
                lowest = min((job.priority for job in jobs), default=PRIORITIES[-1])
                self._passed_above = lowest if is_full else PRIORITIES[0] - 1
                self._passed_id = self._swept_id
        if not is_full and self._is_sweep_cheap:
            self.sweeps_at = now
        for job in jobs:
            if job.id > self._settled.get(job.priority, BEFORE_ALL_IDS):
                self._fresh[job.priority] = job.id

    def _past_floors(self) -> list[Stretch]:
        stretches: list[Stretch] = []
        highest = PRIORITIES[-1]
        for priority in sorted(self._settled, reverse=True):
            stretches += self._between(highest, priority + 1)
            passed = self._passed_id if priority > self._passed_above else BEFORE_ALL_IDS
            stretches.append(Stretch(priority, priority, max(self._settled[priority], passed)))
            highest = priority - 1
        return stretches + self._between(highest, PRIORITIES[0])

    def _between(self, highest: int, lowest: int) -> list[Stretch]:
        """The priorities between floors: as far as the last sweep has passed them, and the rest."""
        passed = Stretch(highest, max(lowest, self._passed_above + 1), self._passed_id)
        others = Stretch(min(highest, self._passed_above), lowest, BEFORE_ALL_IDS)
        return [part for part in (passed, others) if part.highest_priority >= part.lowest_priority]
