"""Board: the slots in which attempts run, and what each attempt came to."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.models import Cancellation, Context, Job, Schedule
from pgq_orm.operations import FailedAttempt, Lease, Outcome, dump_json
from pgq_orm.registry import Registry
from pgq_orm.statuses import LogStatus

logger = logging.getLogger(__name__)

Ended: TypeAlias = Outcome | FailedAttempt | Lease
"""How an attempt ended: for good, to be made again, or given back as if it had never begun."""

TRACEBACK_CHARACTERS = 20_000


@dataclass(slots=True)
class _Attempt:
    job: Job
    cancellation: Cancellation
    task: "asyncio.Task[Ended] | None" = None

    @property
    def lease(self) -> Lease:
        """What it runs under. A job may run here twice, when its first lease is lost and its handler goes on."""
        return Lease(self.job.id, self.job.lease)


class Board:
    """Runs attempts, at most `capacity` at a time; each ends in `record`, then `on_free`."""

    def __init__(
        self,
        *,
        capacity: int,
        registry: Registry,
        executors: Mapping[str, AbstractEntrypointExecutor],
        resources: MutableMapping[Any, Any],
        find_schedule: Callable[[Job], Awaitable[Schedule | None]],
        record: Callable[[Ended], None],
        on_free: Callable[[], None],
    ) -> None:
        self.capacity = capacity
        self._registry = registry
        self._executors = executors
        self._resources = resources
        self._find_schedule = find_schedule
        self._record = record
        self._on_free = on_free
        self._running: dict[Lease, _Attempt] = {}  # loop thread only
        self._is_abandoned = False

    @property
    def free(self) -> int:
        """How many attempts may start now."""
        return self.capacity - len(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    def start(self, jobs: list[Job]) -> None:
        """Starts an attempt for each job, in order; gives them back once abandoned."""
        for job in jobs:
            attempt = _Attempt(job, Cancellation())
            if self._is_abandoned:
                self._record(attempt.lease)
                continue
            self._running[attempt.lease] = attempt
            attempt.task = asyncio.create_task(self._attempt(attempt), name=f"pgq-handler of job {job.id}")
            attempt.task.add_done_callback(partial(self._end, attempt))
            attempt.cancellation.attach(attempt.task)

    def cancel(self, job_id: int, lease: int) -> None:
        """Asks a running attempt to stop. Its slot stays taken until the handler has really ended."""
        attempt = self._running.get(Lease(job_id, lease))
        if attempt is not None:
            logger.info("Canceling job %d", job_id, extra={"job_id": job_id})
            attempt.cancellation.cancel()

    async def finish(self) -> None:
        """Waits until every attempt has ended."""
        while tasks := [attempt.task for attempt in self._running.values() if attempt.task]:
            await asyncio.wait(tasks)

    async def abandon(self, grace_seconds: float) -> list[Lease]:
        """Interrupts every attempt, and answers the leases to give back: all of those that run.

        An async handler is cancelled where it awaits. A thread cannot be stopped: whatever still runs after
        the grace goes on without a lease, so that nothing it returns is kept.
        """
        self._is_abandoned = True
        interrupted = list(self._running.values())
        for attempt in interrupted:
            attempt.cancellation.cancel()
        tasks = [attempt.task for attempt in interrupted if attempt.task]
        if tasks:
            _, unstoppable = await asyncio.wait(tasks, timeout=grace_seconds)
            if unstoppable:
                logger.warning("Leaving %d handlers behind that cannot be interrupted", len(unstoppable))
        return [attempt.lease for attempt in interrupted]

    def _end(self, attempt: _Attempt, task: "asyncio.Task[Ended]") -> None:
        # A callback, because a task that is cancelled before its first step never runs a line of its own.
        del self._running[attempt.lease]
        if not self._is_abandoned:
            self._record(attempt.lease if task.cancelled() else task.result())
        self._on_free()

    async def _attempt(self, attempt: _Attempt) -> Ended:
        job = attempt.job
        started = time.monotonic()
        wait_seconds = 0.0
        try:
            schedule = await self._find_schedule(job) if job.schedule_id is not None else None
            context = Context(job, attempt.cancellation, self._resources, schedule)
            result = await self._executors[job.entrypoint].execute(job, context)
        except BaseException as error:
            # of any kind: SystemExit in a handler is its outcome, not the end of the worker
            if _is_loop_ending(error, attempt):
                raise
            return self._failed(attempt, error, wait_seconds, time.monotonic() - started)
        duration = time.monotonic() - started
        if attempt.cancellation.cancel_called:
            return Outcome(job.id, job.lease, LogStatus.CANCELED, wait_seconds, duration)
        return Outcome(job.id, job.lease, LogStatus.SUCCESSFUL, wait_seconds, duration, _result(job, result))

    def _failed(self, attempt: _Attempt, error: BaseException, wait: float, duration: float) -> Ended:
        job = attempt.job
        if attempt.cancellation.cancel_called:
            return Outcome(job.id, job.lease, LogStatus.CANCELED, wait, duration, None, _one_line(error))
        entrypoint = self._registry.entrypoints[job.entrypoint]
        failures = job.attempts + 1
        logger.info(
            "Job %d (%s) failed: %s",
            job.id,
            job.entrypoint,
            _one_line(error),
            extra={"job_id": job.id, "entrypoint": job.entrypoint, "attempt": failures},
        )
        trace = _clean("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:]
        if failures < (job.max_attempts or entrypoint.max_attempts):
            delay = entrypoint.backoff.delay_seconds(failures)
            return FailedAttempt(job.id, job.lease, delay, duration, _one_line(error), trace)
        return Outcome(job.id, job.lease, LogStatus.EXCEPTION, wait, duration, None, _one_line(error), trace)


def _is_loop_ending(error: BaseException, attempt: _Attempt) -> bool:
    """Whether somebody else than us cancelled the attempt's task, and not the handler something of its own."""
    return (
        isinstance(error, asyncio.CancelledError)
        and not attempt.cancellation.cancel_called
        and attempt.task is not None
        and attempt.task.cancelling() > 0
    )


def _result(job: Job, value: object) -> str | None:
    if value is None:
        return None
    try:
        return dump_json(value)
    except Exception as error:  # ValueError, or whatever a class of the handler's own raises
        logger.debug("Job %d (%s): its result is not kept, it is no JSON: %s", job.id, job.entrypoint, error)
        return None


def _one_line(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:  # an exception whose own __str__ fails
        text = type(error).__name__
    return _clean(text)[:1000]


def _clean(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
