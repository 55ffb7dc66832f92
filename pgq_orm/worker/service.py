"""Service: the one loop that every background part of a worker runs, and its way to start and stop."""

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from contextlib import suppress
from datetime import timedelta

from pgq_orm.journal import tell
from pgq_orm.retries import Backoff
from pgq_orm.worker.outages import in_short, is_outage

logger = logging.getLogger(__name__)

AFTER_FAILURE = Backoff(initial=timedelta(seconds=0.2), maximum=timedelta(seconds=15))
ABORT_SECONDS = 10.0
NEVER = math.inf
"""A tick's answer that means: not before somebody wakes me."""
AT_ONCE = -math.inf
"""A tick's answer that means: go on before anybody else has a turn. Only for one that has awaited something."""


class Service(ABC):
    """A part of a worker. `tick` does its work once and answers how many seconds may pass before the next."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._failures = 0

    @abstractmethod
    async def tick(self) -> float:
        """Works once; answers the delay in seconds before the next tick, unless woken earlier."""

    def wake(self) -> None:
        """Lets the next tick come at once. Call it from the loop's thread."""
        self._woken.set()

    def start(self) -> None:
        """Starts the loop; starting again changes nothing while it runs."""
        if self._task is None or self._task.done():
            self._is_stopping = False
            self._task = asyncio.create_task(self._loop(), name=f"pgq {type(self).__name__}")

    async def stop(self, patience_seconds: float | None = None) -> None:
        """Ends the loop after the tick that is under way, or in its middle if that takes longer than the patience.

        Stopping again changes nothing.
        """
        self._is_stopping = True
        self._woken.set()
        if self._task is not None:
            _, pending = await asyncio.wait([self._task], timeout=patience_seconds)
            if pending:
                await self.abort()

    async def abort(self) -> None:
        """Ends the loop in the middle of a tick."""
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            # Not for ever: a connection that went dumb may keep the tick from ending. It is left behind.
            await asyncio.wait([self._task], timeout=ABORT_SECONDS)

    async def _loop(self) -> None:
        while not self._is_stopping:
            # Cleared before the work: a wake-up that comes while we work must lead to another tick.
            self._woken.clear()
            delay = await self._guarded_tick()
            if delay > 0 and not self._is_stopping:
                await self._pause(delay)
            elif delay != AT_ONCE:
                await asyncio.sleep(0)

    async def _guarded_tick(self) -> float:
        try:
            delay = await self.tick()
        except Exception as error:
            self._failures += 1
            delay = AFTER_FAILURE.delay_seconds(self._failures)
            # The first failure with its traceback, or in one line if the database is away, which would fill the log.
            is_first, is_away = self._failures == 1, is_outage(error)
            tell(
                logger,
                logging.WARNING if is_first or not is_away else logging.DEBUG,
                "%s failed, next try in %.1f s: %s",
                type(self).__name__,
                delay,
                in_short(error) if is_away else repr(error),
                exc_info=is_first and (not is_away or logger.isEnabledFor(logging.DEBUG)),
            )
        else:
            if self._failures:
                tell(logger, logging.DEBUG, "%s works again", type(self).__name__)
            self._failures = 0
        return delay

    async def _pause(self, delay: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), None if delay == NEVER else delay)
