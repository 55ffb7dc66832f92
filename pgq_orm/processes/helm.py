"""Helm: steers a worker from any thread, politely or at once, and tells how it fares."""

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from pgq_orm.applications import PgQueuer
from pgq_orm.journal import tell
from pgq_orm.processes.health import Health, Pulse

logger = logging.getLogger(__name__)

ALONE, FIRST = "pgq", "pgq-1"
"""What a process is called on its own, and the first of several."""
DEAF_SECONDS = 5.0
"""How long the event loop may stand still once it is told to stop at once."""
LOOK_SECONDS = 0.1


class Helm:
    """Where those who steer a worker meet it: signals, a supervisor, a reloader.

    May be used before the worker exists, which then ends as soon as it starts.
    """

    def __init__(self, name: str = ALONE, on_started: Callable[[], None] | None = None) -> None:
        self.name = name
        self.finishing = threading.Event()
        """Set once the worker was asked to end."""
        self._on_started = on_started
        self._pulse = Pulse()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._ship: tuple[PgQueuer, asyncio.AbstractEventLoop] | None = None  # under the lock
        self._patience: timedelta | None = None

    def finish(self, patience: timedelta | None = None) -> None:
        """Lets what runs finish, and nothing more begin; once the patience is over, stops."""
        with self._lock:
            is_first = not self.finishing.is_set()
            self.finishing.set()
            self._tell(self._finish)
        patience = self._patience if patience is None else patience
        if is_first and patience is not None:
            # The worker sees to that itself, but only while its loop turns.
            _later(patience.total_seconds(), self.stop)

    def stop(self) -> None:
        """Interrupts what runs and gives it back. If a handler blocks the loop the process exits all the same."""
        with self._lock:
            if self._stopping.is_set():
                return
            self.finishing.set()
            self._stopping.set()
            self._tell(self._stop)
        threading.Thread(target=self._see_to_the_end, name="pgq-end", daemon=True).start()

    def end(self) -> None:
        """What a signal asks for: to finish at first, to stop when asked again."""
        if self.finishing.is_set():
            self.stop()
        else:
            self.finish()

    @contextmanager
    def steering(self, pgq: PgQueuer, patience: timedelta | None) -> Iterator[None]:
        """Steers this worker, on the running loop, while it runs in the block."""
        loop = asyncio.get_running_loop()
        started = asyncio.ensure_future(self._tell_of_start(pgq))
        self._patience = patience
        with self._lock:
            self._ship = pgq, loop
            if self._stopping.is_set():
                self._stop(pgq)
            elif self.finishing.is_set():
                self._finish(pgq)
        try:
            yield
        finally:
            started.cancel()
            with self._lock:
                self._ship = None
                self._ended.set()
                self._pulse.stop()

    def health(self) -> Health:
        """How the process fares."""
        with self._lock:
            vitals = None
            if self._ship is not None:
                pgq, loop = self._ship
                self._pulse.start(loop)
                vitals = pgq.vitals()
            return Health(
                name=self.name,
                pid=os.getpid(),
                vitals=vitals,
                blocked_seconds=self._pulse.blocked_seconds,
                is_ending=self.finishing.is_set(),
            )

    async def _tell_of_start(self, pgq: PgQueuer) -> None:
        await pgq.started.wait()
        if self._on_started is not None:
            self._on_started()

    def _tell(self, order: Callable[[PgQueuer], None]) -> None:
        if self._ship is not None:
            pgq, loop = self._ship
            loop.call_soon_threadsafe(order, pgq)

    def _finish(self, pgq: PgQueuer) -> None:
        if not pgq.shutdown.is_set():
            # A supervisor has said so for all of them.
            level = logging.INFO if self.name == ALONE else logging.DEBUG
            tell(logger, level, "Finishing what runs; the same signal again stops at once")
            pgq.shutdown.set()

    def _stop(self, pgq: PgQueuer) -> None:
        tell(logger, logging.WARNING, "Stopping now: what runs is interrupted and given back")
        pgq.stop_now()

    def _see_to_the_end(self) -> None:
        """Leaves if the loop does not turn: because a handler blocks it, or because there is none yet."""
        asked = time.monotonic()
        while not self._ended.wait(LOOK_SECONDS):
            with self._lock:
                if self._ship is not None:
                    self._pulse.start(self._ship[1])
                    asked = math.inf
            if max(self._pulse.blocked_seconds, time.monotonic() - asked) >= DEAF_SECONDS:
                leave("something blocks the event loop, and so its end; other workers rescue its jobs")


def leave(reason: str) -> None:
    """Ends the process without waiting for anything."""
    try:
        tell(logger, logging.ERROR, "Leaving: %s", reason)
        logging.shutdown()
    finally:
        os._exit(os.EX_TEMPFAIL)


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.name = "pgq-timer"
    timer.daemon = True
    timer.start()
