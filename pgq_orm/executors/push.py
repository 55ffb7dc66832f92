"""Push: the executor that says itself what came of a job, as Chancy's do, and how its word becomes the outcome."""

import functools
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn, TypeGuard

from pgq_orm import functions
from pgq_orm.errors import UpdateRefusedError, in_one_line
from pgq_orm.executors.abstract import AbstractEntrypointExecutor
from pgq_orm.executors.instances import JobInstance, JobState, instance_of
from pgq_orm.executors.lookup import look_up, require
from pgq_orm.functions import AllowedModules
from pgq_orm.journal import tell
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Cancel, Fail, RetryRequested, Snooze

logger = logging.getLogger(__name__)

NO_MODULES = AllowedModules()


@dataclass(eq=False)
class _Update:
    """What was said of a job while it ran, and the exception that was being handled then."""

    state: JobState | None = None
    scheduled_at: datetime | None = None
    error: BaseException | None = None

    @property
    def delay(self) -> timedelta | None:
        """How long until the job is to be run again; None if that was not said."""
        delay = timedelta(0) if self.scheduled_at is None else self.scheduled_at - datetime.now(UTC)
        return delay if delay > timedelta(0) else None


class PushQueue:
    """A queue, as its executor sees it: where it says what came of a job."""

    def __init__(self, name: str, concurrency: int | None) -> None:
        self.name = name
        self.concurrency = concurrency
        """As declared in code; the database may have another by now."""
        self._open: dict[tuple[int, int], _Update] = {}  # loop thread only; by id and lease

    async def push_job_update(self, job: JobInstance) -> None:
        """Says what came of a job that `push` was given: `dataclasses.replace(job, state=…)`.

        It is written when `push` returns, and only while this worker holds the job. An exception that is being
        handled is kept in the log row. Raises UpdateRefusedError for a second update, for a job that is not being
        pushed, and for what is no update.
        """
        update = self._find(job)
        state = _checked_state(job)
        if state is JobState.RUNNING:
            return
        if update.state is not None:
            raise UpdateRefusedError(
                f"job {job.id} cannot be {state} now: it was said to be {update.state} already"
            )
        update.state, update.scheduled_at, update.error = state, job.scheduled_at, sys.exception()

    @contextmanager
    def opened(self, job: Job) -> Iterator[_Update]:
        """Takes updates for the job while the block lasts."""
        key = (job.id, job.lease)
        self._open[key] = update = _Update()
        try:
            yield update
        finally:
            del self._open[key]

    def _find(self, job: object) -> _Update:
        if not isinstance(job, JobInstance):
            raise UpdateRefusedError(
                f"expected a JobInstance, made by dataclasses.replace(job, …), not {job!r}"
            )
        update = self._open.get((job.id, job.lease))
        if update is None:
            raise UpdateRefusedError(
                f"job {job.id} is not being pushed under lease {job.lease}: an update is for the job that push() was "
                "given, before push() returns"
            )
        return update


class Executor(ABC):
    """Processes the jobs of a queue: `Queue("default", executor=MyExecutor)`. Chancy's, word for word.

    One instance serves all jobs of its queue in a worker.
    """

    calls_functions: ClassVar[bool] = True
    """Whether `job.func` is a Python function to be called here. It is looked up first then, so that nothing but a
    function that is defined in an allowed module ever reaches `push`; its module must be allowed in any case."""

    def __init__(self, queue: PushQueue) -> None:
        self.queue = queue

    @abstractmethod
    async def push(self, job: JobInstance) -> None:
        """Processes a job, and says what came of it by `self.queue.push_job_update(replace(job, state=…))`.

        The attempt lasts until it returns, and fails if it raises or returns without having said so. Runs on the
        worker's event loop: do not block.
        """

    async def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Releases what the executor holds, once its worker has ended."""


def is_push_executor(factory: object) -> TypeGuard[Callable[[PushQueue], Executor]]:
    """Whether it makes an `Executor` with a `push`, as far as a class, or a `functools.partial` of one, can tell."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return isinstance(factory, type) and issubclass(factory, Executor)


@dataclass(eq=False)
class PushExecutor(AbstractEntrypointExecutor):
    """Lets an `Executor` process the jobs of one entrypoint in its queue."""

    executor: Executor
    queue: PushQueue
    modules: AllowedModules = NO_MODULES
    max_attempts: int | None = None

    async def execute(self, job: Job, context: Context) -> Any:
        instance = await self._instance(job)
        with self.queue.opened(job) as update:
            try:
                await self.executor.push(instance)
            except Exception:
                if update.state is None:
                    raise
                tell(
                    logger,
                    logging.ERROR,
                    "%s.push() raised after it had said that job %d is %s, which stands",
                    type(self.executor).__name__,
                    job.id,
                    update.state,
                    exc_info=True,
                    job_id=job.id,
                )
        if update.state is None:
            raise UpdateRefusedError(
                f"{type(self.executor).__name__}.push() returned and said nothing of the job: await "
                "self.queue.push_job_update(dataclasses.replace(job, state=…)) before it returns"
            )
        if update.state is not JobState.SUCCEEDED:
            _raise_verdict(update)

    async def _instance(self, job: Job) -> JobInstance:
        if job.entrypoint != functions.ENTRYPOINT:
            handler = self.parameters.func
            func = f"{handler.__module__}.{getattr(handler, '__qualname__', type(handler).__qualname__)}"
            return instance_of(job, func, job.arguments, self.max_attempts)
        func, kwargs = functions.called_by(job)
        if self.executor.calls_functions:
            await look_up(func, self.modules, self.parameters.threads)
        else:
            require(func, self.modules)
        return instance_of(job, func, kwargs, self.max_attempts)


def _checked_state(job: JobInstance) -> JobState:
    if job.scheduled_at is not None and (
        not isinstance(job.scheduled_at, datetime) or job.scheduled_at.utcoffset() is None
    ):
        raise UpdateRefusedError(f"scheduled_at must be an aware datetime or None, not {job.scheduled_at!r}")
    try:
        return JobState(job.state)
    except ValueError:
        raise UpdateRefusedError(
            f"state must be one of {', '.join(JobState.__members__)} of JobInstance.State, not {job.state!r}"
        ) from None


def _raise_verdict(update: _Update) -> NoReturn:
    error = update.error
    reason = f"the executor said that it {update.state}" if error is None else in_one_line(error)
    match update.state:
        case JobState.FAILED:
            raise Fail(reason if error is None else error) from error
        case JobState.RETRYING:
            raise RetryRequested(update.delay, reason) from error
        case JobState.EXPIRED:
            raise Cancel("expired") from error
        case _:
            raise Snooze(update.delay or timedelta(0))
