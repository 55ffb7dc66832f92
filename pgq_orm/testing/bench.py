"""Bench: runs the jobs that are due, one after the other, on a test's own connection, with the worker's own parts."""

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

from pgq_orm import administration, operations, orchestration
from pgq_orm.durations import require_duration
from pgq_orm.errors import DrainLimitError, JobFailedError, UnknownEntrypointError
from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import Ended, FailedAttempt, Outcome, Release, Settled
from pgq_orm.operations.workers import Lease
from pgq_orm.parents import Parents
from pgq_orm.registry import Registry
from pgq_orm.reports import Completion, QueueStatistics
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm.steps import carry_out_async
from pgq_orm.store import Scopes
from pgq_orm.worker.board import Board
from pgq_orm.worker.crew import Crew
from pgq_orm.worker.inquiries import schedule_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT = 1000
"""How many attempts one drain makes: a job that comes back for ever must not hang a test."""
LEASE_SECONDS = 3600.0
CALLERS = ("pgq_orm", "pgq_orm_django", "asgiref", "asyncio", "concurrent", "contextlib", "sqlalchemy")
"""The packages that stand between a test and a handler."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was made."""

    job: Job
    """As it was picked: `job.attempts` is how many had failed before."""
    status: LogStatus | JobStatus
    """How the job ended, or `queued` if it is to be run again."""
    result: Any = None
    """What the handler returned, as JSON has it."""
    error: BaseException | None = None
    """What the handler raised."""

    def __repr__(self) -> str:
        error = "" if self.error is None else f", {self.error!r}"
        return f"<{self.status} {self.job.entrypoint!r}, job {self.job.id}{error}>"


@dataclass(frozen=True, slots=True)
class Drained:
    """The attempts that were made, and the failure of the last one if it is to be raised."""

    attempts: list[Attempt]
    failure: BaseException | None = None

    def give(self) -> list[Attempt]:
        """The attempts. Raises the failure, with a traceback that leads from the test to the handler."""
        __tracebackhide__ = True
        if self.failure is not None:
            raise self.failure.with_traceback(_from_the_handler_on(self.failure.__traceback__))
        return self.attempts


class Table(Protocol):
    """What a bench stands on: a test's connection, and what handlers are given of it."""

    @property
    def scopes(self) -> Scopes:
        """The sessions of handlers, on the same connection, each attempt in a savepoint."""
        ...

    @property
    def threads(self) -> Executor:
        """Where sync handlers run."""
        ...

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation in the test's transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be drained, and how."""

    registry: Registry
    resources: MutableMapping[Any, Any] = field(default_factory=dict)
    queues: tuple[str, ...] | None = None
    retries: bool = True
    ahead: timedelta = timedelta(0)
    raises: bool = True
    limit: int = LIMIT

    def __post_init__(self) -> None:
        require_duration("ahead", self.ahead)


class Bench:
    """A worker for as long as a test asks for it."""

    def __init__(self, table: Table, wish: Wish) -> None:
        self._table = table
        self._wish = wish
        self._worker_id: UUID = uuid4()
        self._entrypoints = sorted(wish.registry.entrypoints)
        self._crew = Crew(wish.registry, wish.registry.queues, table.scopes, table.threads, asyncio.Event())
        self._witness: _Witness | None = None  # of the last attempt
        self._ended: list[Ended] = []
        self._board = Board(
            capacity=1,
            registry=wish.registry,
            executor_of=self._executor_of,
            resources=wish.resources,
            find_schedule=self._find_schedule,
            find_parents=self._find_parents,
            has_ended=self._has_ended,
            record=self._ended.append,
            on_free=lambda _: None,
        )

    async def drain(self) -> Drained:
        """Runs what is due until nothing is, or something fails."""
        attempts: list[Attempt] = []
        await self._register()
        try:
            while job := await self._next_job():
                if len(attempts) >= self._wish.limit:
                    await self._table.run(operations.release([Release(job.id, job.lease)]))
                    raise DrainLimitError(self._wish.limit, job.entrypoint)
                attempts.append(await self._attempt(job))
                if self._wish.raises and (failure := _failure(attempts[-1])):
                    return Drained(attempts, failure)
            await self._tell_of_strangers()
            return Drained(attempts)
        finally:
            await self._crew.close()
            await self._sign_off()

    async def _register(self) -> None:
        await self._table.run(
            operations.register_worker(
                self._worker_id,
                lease_seconds=LEASE_SECONDS,
                pid=os.getpid(),
                hostname=socket.gethostname(),
                queues=self._wish.queues or (),
                entrypoints=self._entrypoints,
            )
        )

    async def _sign_off(self) -> None:
        is_failing = sys.exc_info()[0] is not None
        try:
            await self._table.run(operations.unregister_worker(self._worker_id))
        except Exception:
            if not is_failing:  # otherwise the connection is gone, and what is under way says why
                raise

    async def _next_job(self) -> Job | None:
        queues = await self._queues()
        while True:
            for queue in queues:
                if jobs := await self._table.run(
                    operations.pick(self._worker_id, queue, self._entrypoints, batch_size=1)
                ):
                    return jobs[0]
            # in the order of their times, as they would come due
            if not await self._table.run(
                operations.hasten(ahead=self._wish.ahead, entrypoints=self._entrypoints, queues=queues)
            ):
                return None

    async def _queues(self) -> list[str]:
        if self._wish.queues is not None:
            return list(self._wish.queues)
        sizes = await self._sizes()
        return sorted({size.queue for size in sizes if size.status == JobStatus.QUEUED})

    async def _sizes(self) -> list[QueueStatistics]:
        return await carry_out_async(administration.queue_size(), self._table.run)

    async def _tell_of_strangers(self) -> None:
        """Warns of jobs that are left for want of a handler: by a log entry, which shows when the test fails."""
        left: Counter[str] = Counter()
        queues = self._wish.queues
        for size in await self._sizes():
            if size.entrypoint not in self._entrypoints and (queues is None or size.queue in queues):
                left[size.entrypoint] += size.count
        for name, count in left.items():
            jobs = "1 job is" if count == 1 else f"{count} jobs are"
            logger.warning("%s", UnknownEntrypointError(name, self._entrypoints, f"{jobs} left"))

    async def _attempt(self, job: Job) -> Attempt:
        self._witness = None
        self._board.start([job], time.monotonic())
        await self._board.finish()
        await asyncio.sleep(0)  # for the callback that records
        ended = self._ended.pop()
        error = None if self._witness is None else self._witness.error
        if isinstance(ended, Settled):
            return await self._read_attempt(job, error)
        try:
            written = await self._table.run(self._writing(ended))
        except Exception as unwritten:
            raise unwritten from error  # a handler that has broken the connection, for one
        assert job.id in written, (
            f"job {job.id} was taken from under the test: does a worker run on its database?"
        )
        return _as_seen(job, ended, error)

    def _writing(self, ended: Outcome | FailedAttempt | Release) -> Operation[set[int]]:
        match ended:
            case Outcome():
                return operations.finish([ended])
            case FailedAttempt():
                again = ended._replace(delay_seconds=0.0) if self._wish.retries else ended
                return operations.retry(self._worker_id, [again])
            case Release():
                return operations.release([ended])

    async def _read_attempt(self, job: Job, error: BaseException | None) -> Attempt:
        """What is in the database of an attempt that was ended with its handler's writes."""
        outcomes = await carry_out_async(administration.read_outcomes(job.id), self._table.run)
        match outcomes.get(job.id):
            case Completion(status=status, result=result):
                return Attempt(job, LogStatus(status), result, error)
            case _:
                return Attempt(job, JobStatus.QUEUED, error=error)

    # What the board asks for

    def _executor_of(self, job: Job) -> AbstractEntrypointExecutor:
        self._witness = _Witness(self._crew.executor_of(job))
        return self._witness

    async def _find_schedule(self, job: Job) -> Schedule:
        rows = await self._table.run(operations.read_schedules([job.entrypoint]))
        return schedule_of(job, rows)

    async def _find_parents(self, job: Job) -> Parents:
        if job.workflow_id is None:
            return Parents()
        return await self._table.run(orchestration.read_parents(job.id))

    async def _has_ended(self, lease: Lease) -> bool:
        has_ended = await self._table.run(operations.read_ending(lease))
        return has_ended is True


class _Witness(AbstractEntrypointExecutor):
    """Has another executor do the work, and keeps what it raised: an outcome has nothing but its text."""

    def __init__(self, executor: AbstractEntrypointExecutor) -> None:
        super().__init__(executor.parameters)
        self._executor = executor
        self.error: BaseException | None = None

    async def execute(self, job: Job, context: Context) -> Any:
        try:
            return await self._executor.execute(job, context)
        except BaseException as error:
            self.error = error
            raise


def _as_seen(job: Job, ended: Outcome | FailedAttempt | Release, error: BaseException | None) -> Attempt:
    if not isinstance(ended, Outcome):
        return Attempt(job, JobStatus.QUEUED, error=error)
    if ended.status == LogStatus.EXCEPTION and (error is None or isinstance(error, asyncio.CancelledError)):
        error = JobFailedError(job.id, ended.status, ended.error)  # by its time limit, for one
    result = None if ended.result is None else json.loads(ended.result)
    return Attempt(job, LogStatus(ended.status), result, error)


def _failure(attempt: Attempt) -> BaseException | None:
    """What the test is to be told of an attempt by raising it."""
    if attempt.status != LogStatus.EXCEPTION or attempt.error is None:
        return None
    job, error = attempt.job, attempt.error
    if not isinstance(error, Exception):  # SystemExit would end all tests
        failure = JobFailedError(job.id, attempt.status, repr(error))
        failure.__cause__ = error
        return failure
    error.add_note(f"raised by job {job.id} of {job.entrypoint!r}, at attempt {job.attempts + 1}")
    return error


def _from_the_handler_on(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that have called the handler; all of it if there are no others."""
    step = traceback
    while step is not None:
        module = str(step.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in CALLERS:
            return step
        step = step.tb_next
    return traceback
