"""Database retry: the executor that has the queue try again, so that a retry survives the worker."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pgq_orm.executors.delays import GrowingDelays
from pgq_orm.executors.entrypoint import EntrypointExecutor
from pgq_orm.executors.options import Duration, require_count, seconds
from pgq_orm.executors.verdicts import is_verdict
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import RetryRequested


@dataclass(eq=False)
class DatabaseRetryEntrypointExecutor(EntrypointExecutor):
    """Turns an exception of the handler into RetryRequested: the job goes back to the queue until its delay is over.

    Each failure is counted and logged in the database; any worker makes the next attempt. The exception of the last
    one is raised as it is. What the handler itself asks for (RetryRequested, Snooze, Cancel) comes first.
    """

    max_attempts: int | None = 5
    """Attempts in all; a job's own `max_attempts` comes first. None for no limit."""
    initial_delay: Duration = timedelta(seconds=1)
    max_delay: Duration | None = timedelta(minutes=5)
    backoff_multiplier: float = 2.0
    jitter: Callable[[], float] = random.random
    """Gives a number from 0 to 1: how much of one half of a delay is taken off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("max_attempts", self.max_attempts)
        self._delays = GrowingDelays(
            seconds("initial_delay", self.initial_delay),
            seconds("max_delay", self.max_delay),
            self.backoff_multiplier,
            self.jitter,
        )

    async def execute(self, job: Job, context: Context) -> Any:
        try:
            return await super().execute(job, context)
        except Exception as error:
            if is_verdict(error) or context.cancellation.cancel_called or self._is_last(job):
                raise
            delay = timedelta(seconds=self._delays.seconds(job.attempts + 1))
            raise RetryRequested(delay, f"{type(error).__name__}: {error}") from error

    def _is_last(self, job: Job) -> bool:
        limit = job.max_attempts or self.max_attempts
        return limit is not None and job.attempts + 1 >= limit
