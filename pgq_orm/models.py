"""Models: the frozen values that handlers are given. The ORM-mapped classes live in the bindings."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from pgq_orm.errors import InvalidJobError
from pgq_orm.parents import Parents
from pgq_orm.statuses import JobStatus


class Unreadable(Mapping[str, Any]):
    """Arguments or headers that PostgreSQL stores and Python cannot read; raises InvalidJobError when looked at."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def __getitem__(self, key: str) -> Any:
        raise self._error()

    def __iter__(self) -> Iterator[str]:
        raise self._error()

    def __len__(self) -> int:
        raise self._error()

    def __bool__(self) -> bool:
        return True

    def _error(self) -> InvalidJobError:
        return InvalidJobError(f"the job holds JSON that Python cannot read: {self._reason}")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was when it was picked; the fields are in the order in which `pick.sql` answers them."""

    id: int
    lease: int
    created: datetime
    updated: datetime
    execute_after: datetime
    priority: int
    attempts: int
    """How many attempts ended badly before this one."""
    status: JobStatus
    queue: str
    entrypoint: str
    payload: bytes | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The JSON arguments; empty for a job with a payload of bytes."""
    headers: Mapping[str, Any] | None = None
    dedupe_key: str | None = None
    max_attempts: int | None = None
    worker_id: UUID | None = None
    schedule_id: int | None = None
    is_cancel_requested: bool = False
    """Whether somebody asked an earlier attempt to stop; such a job is not run again."""
    workflow_id: UUID | None = None
    """The workflow that the job is part of, if it depends on others or others on it."""
    concurrency_key: str | None = None

    @property
    def data(self) -> bytes | None:
        """The payload, under the name that PgQueuer's early documents use."""
        return self.payload


_ThawedJob = make_dataclass(
    "_ThawedJob",
    [
        (each.name, Any, field(default=each.default, default_factory=each.default_factory))
        for each in fields(Job)
    ],
    slots=True,
)


def job_of(values: Iterable[Any]) -> Job:
    """A Job of its fields' values, in their order: what `Job(*values)` is, in a third of the time.

    The `__init__` of a frozen dataclass goes through `object.__setattr__` for every field: 1.7 µs of the 20 that a
    worker spends on a job. So it is made as the same without the frost, and becomes a Job then.
    """
    job = _ThawedJob(*values)
    job.__class__ = Job
    return cast(Job, job)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it was when it fired; what a handler registered by `schedule()` is given."""

    id: int
    entrypoint: str
    expression: str
    """Empty if somebody has deleted the schedule since it fired."""
    timezone: str
    next_run: datetime
    """The next tick."""
    last_run: datetime | None
    """The tick that fired, as planned; its job may have started later."""


class Cancellation:
    """Whether somebody asked a running job to stop.

    In async code, `with cancellation:` marks the block to be interrupted: the request cancels whatever the
    block awaits, the block ends there and the code after it runs. Sync code looks at `cancel_called`.
    """

    __slots__ = ("_interrupted", "_task", "is_called", "is_heard")

    def __init__(self) -> None:
        self.is_called = False
        """The same as `cancel_called`, for those who look on behalf of nobody: the worker."""
        self.is_heard = False
        """Whether the handler has taken note of the request, so that its return may be an answer to it."""
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False

    @property
    def cancel_called(self) -> bool:
        """Whether the job was asked to stop."""
        if self.is_called:
            self.is_heard = True
        return self.is_called

    def attach(self, task: "asyncio.Task[Any]") -> None:
        """Names the task that a request interrupts. Call it from the loop's thread."""
        self._task = task

    def detach(self) -> None:
        """Lets go of the task, which has ended: it holds its context, and that holds us."""
        self._task = None

    def cancel(self) -> None:
        """Asks the job to stop. Call it from the loop's thread; asking again changes nothing."""
        if not self.is_called:
            self.is_called = True
            self._interrupt()

    def __enter__(self) -> "Cancellation":
        # a block before this one may have ended by the request already
        if self.is_called and not self._interrupted:
            self._interrupt()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._task is not None and self._interrupted and isinstance(error, asyncio.CancelledError):
            self._interrupted = False
            self.is_heard = True
            self._task.uncancel()
            return True
        return False

    def _interrupt(self) -> None:
        if self._task is not None:
            self._interrupted = self._task.cancel("the job was asked to stop")


async def _no_parents(job: Job) -> Parents:
    return Parents()


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds one attempt: its cancellation, and the resources of the worker it runs in."""

    job: Job
    cancellation: Cancellation = field(default_factory=Cancellation)
    resources: MutableMapping[Any, Any] = field(default_factory=dict)
    """The application's own, shared by all jobs of a worker: clients, pools, settings."""
    schedule: Schedule | None = None
    """The schedule that enqueued the job, if one did."""
    find_parents: Callable[[Job], Awaitable[Parents]] = field(default=_no_parents, repr=False)

    async def parents(self) -> Parents:
        """The jobs that this one depends on, with what came of them; a statement on the worker's own connection.

        A handler, async or not, is given the same by a parameter that is annotated with `Parents`.
        """
        return await self.find_parents(self.job)


ScheduleContext = Context
"""PgQueuer's word for the context of a schedule's tick: a job like any other, whose `schedule` is set."""
