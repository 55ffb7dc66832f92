"""Waiting: looks at one job until it has ended, less and less often, as steps with pauses between them."""

import time
from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from typing import Any, TypeAlias

from pgq_orm import administration
from pgq_orm.durations import seconds_in
from pgq_orm.errors import CompletionTimeoutError, JobNotFoundError
from pgq_orm.operations import Operation
from pgq_orm.reports import Completion
from pgq_orm.statuses import JobStatus

SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
SHARE_OF_AGE = 0.1
"""The pause after a look, as a share of how long the job has been waited for: no answer is late by more than that."""
UNSEEN_SECONDS = 5.0
"""How long a job may not be to be seen: whoever enqueued it may be about to commit."""

Looks: TypeAlias = Generator[Operation[Any] | float, Any, Completion]
"""Yields operations, and seconds to let pass; returns how the job ended."""


def looks_at(job_id: int, timeout: timedelta | None) -> Looks:
    """Looks until the job has ended.

    Raises CompletionTimeoutError after the timeout, and JobNotFoundError for a job that is not to be seen.
    """
    timeout_seconds = seconds_in("timeout", timeout)
    started = seen = time.monotonic()
    while True:
        outcomes = yield from administration.read_outcomes(job_id)
        outcome: JobStatus | Completion | None = outcomes.get(job_id)
        if isinstance(outcome, Completion):
            return outcome
        now = time.monotonic()
        if outcome is not None:
            seen = now
        elif now - seen >= UNSEEN_SECONDS:
            raise JobNotFoundError(job_id)
        pause = min(max((now - started) * SHARE_OF_AGE, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        if timeout_seconds is not None:
            left = started + timeout_seconds - now
            if left <= 0:
                raise CompletionTimeoutError(job_id, outcome, timeout_seconds)
            pause = min(pause, left)
        yield pause


def wait(looks: Looks, run: Callable[[Operation[Any]], Any], pause: Callable[[float], object]) -> Completion:
    """Runs the operations, and lets the pauses pass; answers how the job ended."""
    answer: Any = None
    try:
        while True:
            match looks.send(answer):
                case float(seconds):
                    pause(seconds)
                    answer = None
                case operation:
                    answer = run(operation)
    except StopIteration as end:
        completion: Completion = end.value
        return completion


async def wait_async(
    looks: Looks, run: Callable[[Operation[Any]], Awaitable[Any]], pause: Callable[[float], Awaitable[object]]
) -> Completion:
    """Awaits the operations and the pauses; answers how the job ended."""
    answer: Any = None
    try:
        while True:
            match looks.send(answer):
                case float(seconds):
                    await pause(seconds)
                    answer = None
                case operation:
                    answer = await run(operation)
    except StopIteration as end:
        completion: Completion = end.value
        return completion
