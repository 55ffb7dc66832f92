"""Anteroom: jobs that are picked before a slot is free, so that short ones need not wait for the database in between.

Only as many as are likely to start within a moment. What has to wait longer is given back, for others may have room.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pgq_orm.models import Job
from pgq_orm.operations.endings import Release

SPAN_SECONDS = 0.025
"""Attempts that ended are counted over two spans of this length; as many more are picked ahead."""
PATIENCE_SECONDS = 0.5
"""How long a job may wait here."""


class Pace:
    """How many attempts end within two spans, if they go on like that. A single crowd is no pace."""

    def __init__(self) -> None:
        self._span = 0  # the number of the span on the monotonic clock
        self._counts = (0, 0, 0)  # in this span so far, in the one before, and in the one before that

    def count(self, now: float) -> None:
        """An attempt has ended."""
        self._turn(now)
        current, last, last_but_one = self._counts
        self._counts = (current + 1, last, last_but_one)

    def expected(self, now: float) -> int:
        """How many will end in the next two spans."""
        self._turn(now)
        return 2 * min(self._counts[1:])

    def _turn(self, now: float) -> None:
        passed = int(now / SPAN_SECONDS) - self._span
        if passed:
            self._span += passed
            self._counts = ((0,) * passed + self._counts)[:3] if passed < 3 else (0, 0, 0)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    picked: float  # monotonic; when the pick was sent
    since: float  # monotonic

    @property
    def release(self) -> Release:
        """What gives it back."""
        return Release(self.job.id, self.job.lease)


class Anteroom:
    """Lets picked jobs start as slots get free, in order. Loop thread only."""

    def __init__(
        self,
        *,
        free: Callable[[], int],
        start: Callable[[list[Job], float], None],
        give_back: Callable[[Release], None],
    ) -> None:
        self._free = free
        self._start = start
        self._give_back = give_back
        self._waiting: deque[_Waiting] = deque()
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._is_starting = False
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def ahead(self) -> int:
        """How many jobs more may be picked than there are free slots: those that are likely to start in a moment."""
        expected = self._pace.expected(time.monotonic())
        # not one by one: half of them at a time
        return expected - len(self._waiting) if len(self._waiting) <= expected // 2 else 0

    def waiting_of(self, queue: str) -> int:
        """How many jobs of the queue wait here."""
        return sum(waiting.job.queue == queue for waiting in self._waiting)

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether the job waits here under this lease."""
        return self._find(job_id, lease) is not None

    def add(self, jobs: list[Job], picked: float) -> None:
        """Starts as many jobs as there are free slots; the others wait, or are given back once it is closed."""
        starting = 0 if self._waiting else min(len(jobs), self._free())
        now = time.monotonic()
        self._waiting.extend(_Waiting(job, picked, now) for job in jobs[starting:])
        if starting:
            self._start_all(jobs[:starting], picked)
        self._let_in()
        if self._is_closed:
            self.give_back()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._lose_patience)

    def slot_freed(self) -> None:
        """An attempt has ended: the next one starts."""
        self._pace.count(time.monotonic())
        self._let_in()

    def drop(self, job_id: int, lease: int, *, give_back: bool) -> None:
        """Forgets a job whose lease is lost, or gives back one that somebody asked to stop."""
        waiting = self._find(job_id, lease)
        if waiting is not None:
            self._waiting.remove(waiting)
            if give_back:
                self._give_back(waiting.release)

    def give_back(self) -> None:
        """Gives back everything that waits."""
        while self._waiting:
            self._give_back(self._waiting.popleft().release)

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._is_closed = True
        self.give_back()

    def _let_in(self) -> None:
        # not while others are being started, some of which end at once: they come first, and their slots are theirs
        while self._waiting and not self._is_starting and self._free() > 0:
            waiting = self._waiting.popleft()
            self._start_all([waiting.job], waiting.picked)

    def _start_all(self, jobs: list[Job], picked: float) -> None:
        self._is_starting = True
        try:
            self._start(jobs, picked)
        finally:
            self._is_starting = False

    def _find(self, job_id: int, lease: int) -> _Waiting | None:
        return next(
            (waiting for waiting in self._waiting if (waiting.job.id, waiting.job.lease) == (job_id, lease)),
            None,
        )

    def _lose_patience(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        passed = time.monotonic() - self._waiting[0].since
        if passed >= PATIENCE_SECONDS:
            self.give_back()
        else:
            self._timer = asyncio.get_running_loop().call_later(
                PATIENCE_SECONDS - passed, self._lose_patience
            )
