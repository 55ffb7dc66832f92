"""Backoff: the executor that tries again within the process, while the job stays picked."""

import asyncio
import itertools
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pgq_orm.errors import MaxRetriesExceeded, MaxTimeExceeded
from pgq_orm.executors.delays import GrowingDelays
from pgq_orm.executors.entrypoint import EntrypointExecutor
from pgq_orm.executors.options import Duration, require_count, seconds
from pgq_orm.executors.verdicts import is_verdict
from pgq_orm.journal import tell
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Snooze

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class RetryWithBackoffEntrypointExecutor(EntrypointExecutor):
    """Calls the handler again when it raises, until it returns or a limit is reached; for the database, one attempt.

    For what is over in seconds: the job keeps its slot, and a worker that dies forgets how often it has tried. A
    worker that is asked to end does not try again but gives the job back, uncounted. What is raised in the end is
    MaxRetriesExceeded or MaxTimeExceeded, caused by the handler's last exception.
    """

    max_attempts: int | None = 5
    """Calls in all; None for no limit."""
    max_delay: Duration | None = timedelta(seconds=10)
    max_time: Duration | None = timedelta(minutes=5)
    """For all calls and delays together. An async handler is interrupted when it is over; a sync one that has begun
    may end, and counts if it succeeds."""
    initial_delay: Duration = 0.1
    backoff_multiplier: float = 2.0
    jitter: Callable[[], float] = random.random
    """Gives a number from 0 to 1: how much of one half of a delay is taken off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("max_attempts", self.max_attempts)
        self._max_seconds = seconds("max_time", self.max_time)
        self._delays = GrowingDelays(
            seconds("initial_delay", self.initial_delay),
            seconds("max_delay", self.max_delay),
            self.backoff_multiplier,
            self.jitter,
        )

    async def execute(self, job: Job, context: Context) -> Any:
        now = asyncio.get_running_loop().time()
        deadline = None if self._max_seconds is None else now + self._max_seconds
        for calls in itertools.count(1):
            try:
                return await self._call_until(deadline, job, context)
            except Exception as error:
                if (
                    is_verdict(error)
                    or isinstance(error, MaxTimeExceeded)
                    or context.cancellation.cancel_called
                ):
                    raise
                await self._wait(job, calls, deadline, error)
        raise AssertionError("unreachable")

    async def _call_until(self, deadline: float | None, job: Job, context: Context) -> Any:
        try:
            async with asyncio.timeout_at(deadline if self._is_async else None) as limit:
                return await super().execute(job, context)
        except TimeoutError as error:
            if limit.expired():
                raise MaxTimeExceeded(
                    f"the handler ran when {self.max_time} for all its attempts were over"
                ) from error
            raise

    async def _wait(self, job: Job, calls: int, deadline: float | None, error: Exception) -> None:
        """Waits as long as it is wise before another call. Raises if there is to be none."""
        if self.max_attempts is not None and calls >= self.max_attempts:
            raise MaxRetriesExceeded(
                f"{calls} attempts failed, the last with {type(error).__name__}"
            ) from error
        delay = self._delays.seconds(calls)
        if deadline is not None and asyncio.get_running_loop().time() + delay >= deadline:
            raise MaxTimeExceeded(
                f"{calls} attempts failed, the last with {type(error).__name__}; "
                f"another would not begin within {self.max_time}"
            ) from error
        tell(
            logger,
            logging.INFO,
            "Job %d (%s) failed %d times, is tried again in %.2f s: %s",
            job.id,
            job.entrypoint,
            calls,
            delay,
            type(error).__name__,
            job_id=job.id,
            entrypoint=job.entrypoint,
        )
        if await self._is_ending_within(delay):
            raise Snooze(timedelta(0)) from error  # given back: another worker may try at once

    async def _is_ending_within(self, delay: float) -> bool:
        """Waits for the delay, or until the worker is asked to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self.parameters.shutdown.wait()
        return self.parameters.shutdown.is_set()
