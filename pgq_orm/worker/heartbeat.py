"""Heartbeat: keeps this worker alive in the database, and hears which of its jobs should stop.

Runs in a thread with a loop and connections of its own, so that neither a handler that blocks the worker's loop
nor one that exhausts its pool makes others believe that the worker died.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from pgq_orm import operations
from pgq_orm.journal import tell
from pgq_orm.models import Job
from pgq_orm.operations.workers import Notice
from pgq_orm.retries import Backoff
from pgq_orm.store import Store
from pgq_orm.worker.leases import Leases
from pgq_orm.worker.outages import in_short, is_outage
from pgq_orm.worker.standstill import Standstill

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
CUT_OFF_SHARE = 2 / 3
"""Without an answer for this share of lease_seconds the worker gives up, before the others may take its jobs."""
STOP_SECONDS = 5.0
"""How long to wait for the thread at the end; a connection that went dumb may hold it for longer."""


class Heartbeat:
    """Beats until stopped; calls `on_notices` and `on_cut_off` on the loop that started it."""

    def __init__(
        self,
        *,
        store: Store,
        worker_id: UUID,
        leases: Leases,
        lease_seconds: float,
        unheld_seconds: float,
        on_notices: Callable[[list[Notice]], None],
        on_cut_off: Callable[[str], None],
        running: Callable[[], list[Job]],
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._unheld_seconds = unheld_seconds
        self._on_notices = on_notices
        self._on_cut_off = on_cut_off
        self._running = running
        self._standstill: Standstill | None = None
        self._home: asyncio.AbstractEventLoop | None = None  # the loop that started us
        self._loop: asyncio.AbstractEventLoop | None = None  # our thread's own
        self._woken: asyncio.Event | None = None
        self._is_stopping = False
        self._ended = asyncio.Event()  # the home loop's
        self._alarm: asyncio.TimerHandle | None = None  # our thread only
        self.answered: float | None = None
        """When the database last answered, on the monotonic clock. Written by our thread, read by any."""
        self.is_answered = True
        """Whether it answered the last beat. Written by our thread, read by any."""

    def start(self) -> None:
        """Starts the thread. The worker has just been registered, which counts as the first beat."""
        self._home = asyncio.get_running_loop()
        self._standstill = Standstill(self._running)
        self.answered = time.monotonic()
        threading.Thread(target=self._live, name="pgq-heartbeat", daemon=True).start()

    def beat_soon(self) -> None:
        """Beats at once: somebody asked a running job to stop."""
        loop, woken = self._loop, self._woken
        if loop is not None and woken is not None and not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    async def stop(self) -> None:
        """Ends the thread after the beat that is under way."""
        self.forsake()
        # Not by joining it in a thread of the loop's pool: handlers may have taken all of those for ever.
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._ended.wait()

    def forsake(self) -> None:
        """Beats no more, without waiting for the thread's end: whoever cannot stop in order must not seem alive."""
        self._is_stopping = True
        self.beat_soon()

    def _live(self) -> None:
        try:
            asyncio.run(self._beat_until_stopped())
        except Exception as error:
            tell(logger, logging.ERROR, "Heartbeat ended", exc_info=True)
            self._cut_off(f"its heartbeat ended: {error!r}")
        finally:
            self._call(self._ended.set)

    async def _beat_until_stopped(self) -> None:
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        interval = self._lease_seconds / BEATS_PER_LEASE
        # What a beat says of the leases must not be older than a pick that it takes for lost.
        longest = min(interval, self._unheld_seconds / 2)
        backoff = Backoff()
        store = self._store.sibling()
        watching = None if self._standstill is None else asyncio.create_task(self._standstill.watch())
        failures = 0
        delay = interval
        self._expect_answer(self._loop.time())
        try:
            while not self._is_stopping:
                await _wait(self._woken, delay)
                if self._is_stopping:
                    return
                self._woken.clear()
                asked = self._loop.time()
                try:
                    async with asyncio.timeout(longest):
                        await self._beat(store)
                except Exception as error:
                    self.is_answered = False
                    failures += 1
                    delay = min(backoff.delay_seconds(failures), interval)
                    said = in_short(error) if is_outage(error) else repr(error)
                    tell(logger, logging.WARNING, "Heartbeat failed, next try in %.1f s: %s", delay, said)
                else:
                    if failures:
                        tell(logger, logging.INFO, "Heartbeat gets through again")
                    failures, delay = 0, interval
                    self.answered, self.is_answered = time.monotonic(), True
                    # from when it was asked: the database's clock may have stamped the beat at that moment
                    self._expect_answer(asked)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            if watching is not None:
                watching.cancel()
            await store.close()

    async def _beat(self, store: Store) -> None:
        beat = operations.beat(self._worker_id, self._leases.snapshot(), unheld_seconds=self._unheld_seconds)
        notices = await store.run(beat)
        if not any(notice.notice == "beaten" for notice in notices):
            self._cut_off("the other workers declared this one dead")
        elif len(notices) > 1:
            self._call(self._on_notices, notices)

    def _expect_answer(self, since: float) -> None:
        """Sets the alarm anew. It rings on time even while a beat hangs, or takes long to give up."""
        loop = asyncio.get_running_loop()
        if self._alarm is not None:
            self._alarm.cancel()
        patience = self._lease_seconds * CUT_OFF_SHARE
        self._alarm = loop.call_at(
            since + patience, self._cut_off, f"no heartbeat got through for {patience:.0f} s"
        )

    def _cut_off(self, reason: str) -> None:
        self.forsake()
        self._call(self._on_cut_off, reason)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        if self._home is not None and not self._home.is_closed():
            self._home.call_soon_threadsafe(callback, *arguments)


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        return
