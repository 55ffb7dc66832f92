"""Typed tasks: functions whose calls are enqueued in the caller's transaction, with their own parameters and types."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from asgiref.sync import sync_to_async

from pgq_orm.executors import EntrypointExecutor, ExecutorFactory
from pgq_orm.operations.additions import DEFAULT_QUEUE, OnConflict
from pgq_orm.queues import Names
from pgq_orm.registry import HandlerOptions
from pgq_orm.tasks import CallOptions, TaskCall, TaskFunction, all_ids, one_id
from pgq_orm_django.databases import default_alias
from pgq_orm_django.registry import registry
from pgq_orm_django.statements import carry_out, carry_out_whole

P = ParamSpec("P")
R = TypeVar("R")
IdT = TypeVar("IdT")


class Task(TaskFunction[P, R], Generic[P, R, IdT]):
    """A task of a Django project: its calls are enqueued in the transaction that is open."""

    _OPTIONS = TaskFunction._OPTIONS | {"using"}
    _using: str | None = None

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> IdT:
        """Adds a job that calls the function with these arguments; answers its id.

        Part of the open transaction, like `pgq_orm_django.enqueue`, and raises what that raises; InvalidJobError for
        arguments that do not fit, before anything is sent. None where `on_conflict="skip"` has left the job out.
        """
        call = self.call(*args, **kwargs)
        # Between two commits a worker could pick the job before the edges to its parents are there.
        carry = carry_out_whole if "depends_on" in call.options else carry_out
        job_id: Any = carry(one_id(call), self._using or default_alias())
        answer: IdT = job_id
        return answer

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> IdT:
        """`enqueue`, to be awaited."""
        return await sync_to_async(self.enqueue, thread_sensitive=True)(*args, **kwargs)

    @overload
    def options(
        self, *, on_conflict: Literal["skip"], using: str | None = None, **options: Unpack[CallOptions]
    ) -> "Task[P, R, int | None]": ...

    @overload
    def options(
        self,
        *,
        on_conflict: Literal["raise", "update"],
        using: str | None = None,
        **options: Unpack[CallOptions],
    ) -> "Task[P, R, int]": ...

    @overload
    def options(self, *, using: str | None = None, **options: Unpack[CallOptions]) -> "Task[P, R, IdT]": ...

    def options(
        self,
        *,
        on_conflict: OnConflict | None = None,
        using: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """The same task, whose calls are enqueued with a priority, a queue, a time, … of their own.

        See `pgq_orm.operations.enqueue` for what there is. `using` is the alias of another database than the one that
        the routers choose.
        """
        other = self._with(options, on_conflict)
        other._using = using or self._using
        return other


@overload
def task(function: Callable[P, R], /) -> Task[P, R, int]: ...


@overload
def task(
    name: str | None = None,
    *,
    aliases: Names = (),
    queue: str = DEFAULT_QUEUE,
    priority: int = 0,
    executor_factory: ExecutorFactory = EntrypointExecutor,
    **options: Unpack[HandlerOptions],
) -> Callable[[Callable[P, R]], Task[P, R, int]]: ...


def task(
    name: Any = None,
    *,
    aliases: Names = (),
    queue: str = DEFAULT_QUEUE,
    priority: int = 0,
    executor_factory: ExecutorFactory = EntrypointExecutor,
    **options: Unpack[HandlerOptions],
) -> Any:
    """Makes the decorated function a task: `function.enqueue(…)` takes the function's own arguments.

    They travel as JSON, and are checked against the annotations when they are enqueued and again when they run. A
    parameter whose default is INJECTED is filled by the worker, by its annotation: `Context` or `Job`. The job's
    entrypoint is `name`, or the function's own; `aliases` are further names that such jobs may have, for tasks that
    were renamed. `queue` and `priority` hold for calls that say nothing else. The rest is like `entrypoint`.
    Raises RegistrationError also for a parameter that no JSON could carry.
    """

    def register(function: Callable[P, R]) -> Task[P, R, int]:
        task: Task[P, R, int] = Task(function, name, CallOptions(queue=queue, priority=priority))
        registry.declare(task, aliases, executor_factory, options)
        return task

    if callable(name):
        function, name = name, None
        return register(function)
    return register


@overload
def enqueue_many(
    calls: Iterable[TaskCall], *, on_conflict: Literal["raise", "update"] = "raise", using: str | None = None
) -> list[int]: ...


@overload
def enqueue_many(
    calls: Iterable[TaskCall], *, on_conflict: OnConflict, using: str | None = None
) -> list[int | None]: ...


def enqueue_many(
    calls: Iterable[TaskCall], *, on_conflict: OnConflict = "raise", using: str | None = None
) -> Any:
    """Adds a job for each call, of one task or of several, all or none; answers their ids.

    One statement for a thousand jobs; otherwise like `Task.enqueue`.
    """
    return carry_out_whole(all_ids(calls, on_conflict), using or default_alias())


@overload
def aenqueue_many(
    calls: Iterable[TaskCall], *, on_conflict: Literal["raise", "update"] = "raise", using: str | None = None
) -> Coroutine[Any, Any, list[int]]: ...


@overload
def aenqueue_many(
    calls: Iterable[TaskCall], *, on_conflict: OnConflict, using: str | None = None
) -> Coroutine[Any, Any, list[int | None]]: ...


async def aenqueue_many(
    calls: Iterable[TaskCall], *, on_conflict: OnConflict = "raise", using: str | None = None
) -> Any:
    """`enqueue_many`, to be awaited."""
    steps = all_ids(calls, on_conflict)
    return await sync_to_async(carry_out_whole, thread_sensitive=True)(steps, using or default_alias())
