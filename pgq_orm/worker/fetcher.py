"""Fetcher: picks jobs when there is room for them, as soon as they are due."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from pgq_orm import operations
from pgq_orm.models import Job
from pgq_orm.store import Store
from pgq_orm.worker.drain import UNLIMITED, Drain
from pgq_orm.worker.floors import Floor
from pgq_orm.worker.rates import Rates
from pgq_orm.worker.replies import ECHO_SECONDS, UNTOLD_POLLS, require_timely
from pgq_orm.worker.service import AT_ONCE, NEVER, Service
from pgq_orm.worker.slots import Slots

LOOK_AGAIN_SECONDS = 0.02
"""How soon after finding work the fetcher looks again: wake-ups are thinned out to one in 20 ms."""
LOOK_AGAIN_FACTOR = 3
LINGER_SECONDS = 0.001
"""How long to let more slots get free when few are: picking one at a time costs the most."""
TURNS_TO_START = 2
"""Turns of the event loop until picked jobs have started: one for the anteroom, one for a task to begin."""
PROMOTE_BATCH = 1000
FEW_QUEUES = 8
"""Of more queues than these a worker asks first which ones have jobs, rather than each of them in vain."""
ANNOUNCE_SECONDS = 1.0
"""How often at the most a worker without room makes jobs ready for the others."""


class Fetcher(Service):
    """Asks for jobs while there is room; sleeps until woken, until a deferred job is due, or until it polls."""

    def __init__(
        self,
        *,
        store: Store,
        worker_id: UUID,
        queues: Sequence[str],
        entrypoints: Sequence[str],
        batch_size: int,
        poll_seconds: float,
        reply_seconds: float,
        slots: Slots,
        is_open: Callable[[str], bool],
        rates: Rates,
        drain: Drain,
        on_picked: Callable[[list[Job], float], None],
        on_promoted: Callable[[], None],
        on_answered: Callable[[], None],
    ) -> None:
        super().__init__()
        self._store = store
        self._worker_id = worker_id
        self._queues = list(queues) if entrypoints else []
        self._entrypoints = list(entrypoints)
        self._batch_size = batch_size
        self._poll_seconds = poll_seconds
        self._reply_seconds = reply_seconds
        self._slots = slots
        self._is_open = is_open
        self._rates = rates
        self._drain = drain
        self._on_picked = on_picked
        self._on_promoted = on_promoted
        self._on_answered = on_answered
        self._look_again_seconds = poll_seconds
        self._next_due = math.inf  # monotonic; when the next deferred job is due, as far as we know
        self._promotes_at = 0.0  # monotonic; when we ask again what is due, whatever we know
        self._announces_at = 0.0  # monotonic; when we may do so without room for it
        self._is_deferral_possible = True
        self._quiet_at = 0.0  # monotonic; when the last wake-up's echo is over
        self._is_starved = False
        self._floors = {queue: Floor() for queue in queues}
        self._looked_into: list[str] = []

    def expect_deferred(self) -> None:
        """Somebody enqueued: among the jobs may be a deferred one that is due earlier than we know."""
        self._is_deferral_possible = True
        self._quiet_at = time.monotonic() + ECHO_SECONDS
        self.wake()

    def expect_returned(self) -> None:
        """Jobs that were picked once are to be picked again."""
        self._sweep_soon()
        self.wake()

    def expect_due(self, delay_seconds: float) -> None:
        """A job was queued again, perhaps with a delay: look when it is due."""
        if delay_seconds <= 0:
            self._sweep_soon()  # it is ready already, so no promotion will tell of it, and its id may be old
        self._next_due = min(self._next_due, time.monotonic() + delay_seconds)
        self.wake()

    def slot_freed(self) -> None:
        """An attempt ended; worth a look only if the lack of slots is what we wait for."""
        if self._is_starved and self._slots.free_or_expected() > 0:
            self.wake()

    async def tick(self) -> float:
        self._is_starved = self._slots.free_or_expected() <= 0
        if self._is_starved:
            return await self._promote_for_others()
        if self._slots.free_or_expected() < self._batch_size // 2:
            await asyncio.sleep(LINGER_SECONDS)
        if time.monotonic() >= min(self._next_due, self._promotes_at):
            await self._promote()
        look = self._drain.begin_look()
        picked = 0
        is_more = is_throttled = False
        self._looked_into = []
        for queue in await self._queues_to_look_into():
            if self._is_stopping:
                return NEVER
            room = int(min(self._batch_size, self._slots.free_or_expected(), self._slots.room(queue)))
            if room <= 0:
                self._is_starved = True
                continue
            limit = await self._rates.take(queue, room)
            if limit <= 0:
                is_throttled = True
                continue
            found = await self._pick(queue, limit)
            await self._rates.give_back(queue, limit - found)
            picked += found
            is_more |= found == limit
            self._looked_into.append(queue)
        if picked:
            self._look_again_seconds = LOOK_AGAIN_SECONDS
        if is_more:
            return AT_ONCE
        for _ in range(TURNS_TO_START if picked else 0):
            await asyncio.sleep(0)  # what was picked comes before anything else that is asked
        if self._is_deferral_possible:
            await self._promote()
        is_swept_out = all(self._floors[queue].is_swept_out for queue in self._looked_into)
        if picked == 0 and is_swept_out and not is_throttled:
            look.end(empty={UNLIMITED})
        return self._delay()

    async def _pick(self, queue: str, limit: int) -> int:
        floor = self._floors[queue]
        if floor.asks_first(time.monotonic()) and not await self._has_ready(queue, floor):
            return 0
        asked = time.monotonic()
        stretches = floor.stretches(asked)
        with self._slots.asked_for(limit, queue, on_answered=self._on_answered):
            jobs = await self._store.run(
                operations.pick(self._worker_id, queue, self._entrypoints, limit, stretches)
            )
        answered = time.monotonic()
        require_timely(answered - asked, self._reply_seconds)
        floor.looked(stretches, jobs, seconds=answered - asked, now=answered, is_full=len(jobs) == limit)
        if jobs:
            self._on_picked(jobs, asked)
        return len(jobs)

    async def _has_ready(self, queue: str, floor: Floor) -> bool:
        asked = time.monotonic()
        has_ready = await self._store.run(operations.has_ready(queue, self._entrypoints))
        answered = time.monotonic()
        floor.asked(is_empty=not has_ready, seconds=answered - asked, now=answered)
        return has_ready

    def _sweep_soon(self) -> None:
        for floor in self._floors.values():
            floor.sweep_soon()

    async def _promote_for_others(self) -> float:
        """Only we may know when our retries are due, and have no room for them then."""
        now = time.monotonic()
        if now >= max(self._next_due, self._announces_at):
            self._announces_at = now + ANNOUNCE_SECONDS
            await self._promote(announce=True)
        return NEVER if self._next_due == math.inf else max(self._next_due, self._announces_at) - now

    async def _promote(self, *, announce: bool = False) -> None:
        # Lowered before asking, and only by a question that comes after the last wake-up's echo.
        self._is_deferral_possible = time.monotonic() < self._quiet_at
        self._next_due = math.inf  # a retry that is announced while we ask must survive the answer
        try:
            seconds = await self._store.run(operations.promote(PROMOTE_BATCH, announce=announce))
        except BaseException:
            self._next_due = 0.0
            raise
        if seconds == 0:
            self._sweep_soon()  # their ids may be old
            self._on_promoted()
        now = time.monotonic()
        if seconds is not None:
            self._next_due = min(self._next_due, now + max(seconds, 0.0))
        # an earlier one may be enqueued without our hearing of it
        self._promotes_at = now + UNTOLD_POLLS * self._poll_seconds

    async def _queues_to_look_into(self) -> list[str]:
        queues = list(filter(self._is_open, self._next_queues()))
        if len(queues) <= FEW_QUEUES:
            return queues
        return await self._store.run(operations.find_ready_queues(queues))

    def _next_queues(self) -> list[str]:
        """Every queue once; another one comes first each time, so that none starves the others."""
        self._queues = self._queues[1:] + self._queues[:1]
        return self._queues

    def _delay(self) -> float:
        now = time.monotonic()
        delay = min(self._look_again_seconds, min(self._next_due, self._promotes_at) - now)
        self._look_again_seconds = min(self._look_again_seconds * LOOK_AGAIN_FACTOR, self._poll_seconds)
        if self._is_deferral_possible:
            delay = min(delay, self._quiet_at - now)
        for floor in map(self._floors.__getitem__, self._looked_into):
            if not floor.is_swept_out:
                delay = min(delay, floor.sweeps_at - now)
        for queue in filter(self._rates.has_rate, self._queues):
            if self._is_open(queue) and (wait := self._rates.wait_seconds(queue)):
                delay = min(delay, wait)
        return max(0.0, delay)
