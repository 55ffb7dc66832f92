"""Anteroom: jobs between their pick and their start.

Some are picked before a slot is free, so that short ones need not wait for the database in between: only as many as are
likely to start within a moment. What has to wait longer is given back, for others may have room.
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

    def count(self, ended: int, now: float) -> None:
        """So many attempts have ended."""
        self._turn(now)
        current, last, last_but_one = self._counts
        self._counts = (current + ended, last, last_but_one)

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
class _Lot:
    """What is left of a pick."""

    jobs: deque[Job]
    picked: float  # monotonic; when the pick was sent
    since: float  # monotonic

    def take(self, number: int) -> list[Job]:
        """The next jobs, as many as there are at the most."""
        return [self.jobs.popleft() for _ in range(min(number, len(self.jobs)))]


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
        self._lots: deque[_Lot] = deque()  # none of them empty
        self._pace = Pace()
        self._timer: asyncio.TimerHandle | None = None
        self._letting_in: asyncio.Task[None] | None = None  # held, because the loop would not
        self._is_starting = False
        self._is_closed = False

    def __len__(self) -> int:
        return sum(len(lot.jobs) for lot in self._lots)

    @property
    def ahead(self) -> int:
        """How many jobs more may be picked than there are free slots: those that are likely to start in a moment."""
        expected = self._pace.expected(time.monotonic())
        waiting = max(0, len(self) - self._free())
        # not one by one: half of them at a time
        return expected - waiting if waiting <= expected // 2 else 0

    def waiting_of(self, queue: str) -> int:
        """How many jobs of the queue are here."""
        return sum(job.queue == queue for lot in self._lots for job in lot.jobs)

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether the job is here under this lease."""
        return self._find(job_id, lease) is not None

    def add(self, jobs: list[Job], picked: float) -> None:
        """Takes jobs over. As many as there are free slots start in the event loop's next turn.

        The next pick is on its way by then, so that the server is not idle while they run.
        """
        self._lots.append(_Lot(deque(jobs), picked, time.monotonic()))
        if self._is_closed:
            self._let_in()
            self.give_back()
            return
        loop = asyncio.get_running_loop()
        # A task, and no callback: if the loop is ending it is cancelled with all others, and nothing starts.
        self._letting_in = loop.create_task(self._let_in_next_turn())
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE_SECONDS, self._lose_patience)

    def slots_freed(self, number: int) -> None:
        """So many attempts have ended: the next ones start."""
        self._pace.count(number, time.monotonic())
        self._let_in()

    def drop(self, job_id: int, lease: int, *, give_back: bool) -> None:
        """Forgets a job whose lease is lost, or gives back one that somebody asked to stop."""
        found = self._find(job_id, lease)
        if found is None:
            return
        lot, job = found
        lot.jobs.remove(job)
        if not lot.jobs:
            self._lots.remove(lot)
        if give_back:
            self._give_back(Release(job_id, lease))

    def give_back(self) -> None:
        """Gives back everything that waits."""
        while self._lots:
            for job in self._lots.popleft().jobs:
                self._give_back(Release(job.id, job.lease))

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._is_closed = True
        self.give_back()

    async def _let_in_next_turn(self) -> None:
        self._let_in()

    def _let_in(self) -> None:
        # not while others are being started, some of which end at once: they come first, and their slots are theirs
        while self._lots and not self._is_starting and (free := self._free()) > 0:
            lot = self._lots[0]
            jobs = lot.take(free)
            if not lot.jobs:
                self._lots.popleft()
            self._is_starting = True
            try:
                self._start(jobs, lot.picked)
            finally:
                self._is_starting = False

    def _find(self, job_id: int, lease: int) -> tuple[_Lot, Job] | None:
        return next(
            ((lot, job) for lot in self._lots for job in lot.jobs if (job.id, job.lease) == (job_id, lease)),
            None,
        )

    def _lose_patience(self) -> None:
        self._timer = None
        if not self._lots:
            return
        passed = time.monotonic() - self._lots[0].since
        if passed >= PATIENCE_SECONDS:
            self.give_back()
        else:
            self._timer = asyncio.get_running_loop().call_later(
                PATIENCE_SECONDS - passed, self._lose_patience
            )
