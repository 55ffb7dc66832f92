"""Tasks: functions whose calls can be enqueued, with their own parameters and types."""

import copy
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import (
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from pgq_orm import enqueueing
from pgq_orm.arguments import Parameters
from pgq_orm.bindings import describe, find_binding
from pgq_orm.enqueueing import UNSAID, NewJob
from pgq_orm.errors import InvalidJobError, RegistrationError, SessionError
from pgq_orm.handlers import Handler, is_async
from pgq_orm.keywords import unexpected
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.operations.additions import OnConflict
from pgq_orm.statuses import OnFailure
from pgq_orm.steps import Awaiter, Caller, Steps, named
from pgq_orm.storable import ExecuteAfter, JsonObject

P = ParamSpec("P")
R = TypeVar("R")
IdT = TypeVar("IdT")


class CallOptions(TypedDict, total=False):
    """What may be said of a call that is to be enqueued, beside its arguments."""

    priority: int
    execute_after: ExecuteAfter
    dedupe_key: str | None
    headers: JsonObject | None
    queue: str
    max_attempts: int | None
    concurrency_key: str | None
    depends_on: int | Iterable[int]
    on_failure: OnFailure


_OF_ONE_CALL = ("depends_on", "on_failure")
"""What the jobs of one statement have in common, so that it is of no use among many calls."""


def said(options: CallOptions) -> CallOptions:
    """The options that are not as they would be anyway."""
    meant: Any = {name: value for name, value in options.items() if value != UNSAID.get(name)}
    return cast(CallOptions, meant)


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A call that can be enqueued: its arguments are checked, and nothing of it is in the database yet."""

    entrypoint: str
    arguments: Mapping[str, Any]
    """As JSON."""
    options: CallOptions
    on_conflict: OnConflict = "raise"

    def as_job(self) -> NewJob:
        """The call as `enqueue_each` takes it, which adds a million of them without holding them."""
        job: Any = {"entrypoint": self.entrypoint, "arguments": self.arguments, **self.options}
        return cast(NewJob, job)


class TaskFunction(Generic[P, R]):
    """A function with a name in the queue. Calling it calls the function, as if it were no task."""

    _OPTIONS = frozenset((*CallOptions.__annotations__, "on_conflict"))
    __name__: str

    def __init__(self, function: Callable[P, R], name: str | None, options: CallOptions) -> None:
        if not inspect.isfunction(inspect.unwrap(function)):
            raise RegistrationError(
                f"a task is made of a function, not of {function!r}: write @pgq.task or @pgq.task('name') above a def"
            )
        functools.update_wrapper(self, function)
        self.name = name or function.__name__
        """The entrypoint of its jobs."""
        self.parameters = Parameters(function)
        self.handler = _handler(function, self.parameters)
        """What a worker calls with the job."""
        self._function = function
        self._options = said(options)
        self._on_conflict: OnConflict = "raise"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"

    def call(self, *args: P.args, **kwargs: P.kwargs) -> TaskCall:
        """A call to be enqueued with others, by `enqueue_many`. Raises InvalidJobError like `enqueue`."""
        for name in self._OPTIONS.intersection(kwargs):
            if name not in self.parameters:
                raise InvalidJobError(
                    f"{name} is said of the job, and no argument of {self.__name__}(): "
                    f"{self.__name__}.options({name}=…).enqueue(…)"
                )
        arguments = self.parameters.to_json(args, kwargs)
        return TaskCall(self.name, arguments, self._options, self._on_conflict)

    def _with(self, options: CallOptions, on_conflict: OnConflict | None) -> Self:
        """The same task, whose calls are enqueued with these options."""
        if unknown := options.keys() - CallOptions.__annotations__.keys():
            raise unexpected("options", unknown, CallOptions.__annotations__)
        for name, value in options.items():
            if isinstance(value, list | tuple) and name not in _OF_ONE_CALL:
                raise InvalidJobError(
                    f"{name} is of one call and cannot be a list: enqueue_many() takes one call for each job"
                )
        if isinstance(parents := options.get("depends_on"), Iterable):
            options["depends_on"] = tuple(parents)  # a generator would have none left for the second call
        other = copy.copy(self)
        other._options = self._options | options
        other._on_conflict = on_conflict or self._on_conflict
        return other


class AsyncTransaction(Protocol):
    """An `AsyncSession` or an `AsyncConnection`."""

    def commit(self) -> Coroutine[Any, Any, None]: ...


class SyncTransaction(Protocol):
    """A `Session` or a `Connection`."""

    def commit(self) -> None: ...


AsyncTarget: TypeAlias = AsyncTransaction | Awaiter
"""An async session or connection, or `Queries` on whatever."""
SyncTarget: TypeAlias = SyncTransaction | Caller
"""A session or connection, or `SyncQueries` on one."""


class Task(TaskFunction[P, R], Generic[P, R, IdT]):
    """A task of SQLAlchemy applications: its calls are enqueued in a session's transaction."""

    @overload
    def enqueue(
        self, session: AsyncTarget, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, IdT]: ...

    @overload
    def enqueue(self, session: SyncTarget, /, *args: P.args, **kwargs: P.kwargs) -> IdT: ...

    def enqueue(
        self, session: AsyncTarget | SyncTarget | None = None, /, *args: P.args, **kwargs: P.kwargs
    ) -> object:
        """Adds a job that calls the function with these arguments; answers its id. Awaited on an async session.

        Part of the session's transaction, like `Queries.enqueue`, and raises what that raises; InvalidJobError for
        arguments that do not fit, before anything is sent. None where `on_conflict="skip"` has left the job out.
        In place of a session there may be `Queries` of any kind: `pgq.queries` where no transaction is at hand.
        """
        queries = _open_queries(session)
        return named(queries._carry_out(one_id(self.call(*args, **kwargs))), f"{self.__name__}.enqueue")

    @overload
    def options(
        self, *, on_conflict: Literal["skip"], **options: Unpack[CallOptions]
    ) -> "Task[P, R, int | None]": ...

    @overload
    def options(
        self, *, on_conflict: Literal["raise", "update"], **options: Unpack[CallOptions]
    ) -> "Task[P, R, int]": ...

    @overload
    def options(self, **options: Unpack[CallOptions]) -> Self: ...

    def options(self, *, on_conflict: OnConflict | None = None, **options: Unpack[CallOptions]) -> Any:
        """The same task, whose calls are enqueued with a priority, a queue, a time, … of their own.

        See `pgq_orm.operations.enqueue` for what there is.
        """
        return self._with(options, on_conflict)


@overload
def enqueue_many(
    session: AsyncTarget, calls: Iterable[TaskCall], *, on_conflict: Literal["raise", "update"] = "raise"
) -> Coroutine[Any, Any, list[int]]: ...


@overload
def enqueue_many(
    session: AsyncTarget, calls: Iterable[TaskCall], *, on_conflict: OnConflict
) -> Coroutine[Any, Any, list[int | None]]: ...


@overload
def enqueue_many(
    session: SyncTarget, calls: Iterable[TaskCall], *, on_conflict: Literal["raise", "update"] = "raise"
) -> list[int]: ...


@overload
def enqueue_many(
    session: SyncTarget, calls: Iterable[TaskCall], *, on_conflict: OnConflict
) -> list[int | None]: ...


def enqueue_many(
    session: AsyncTarget | SyncTarget,
    calls: Iterable[TaskCall],
    *,
    on_conflict: OnConflict = "raise",
) -> object:
    """Adds a job for each call, of one task or of several; answers their ids. Awaited on an async session.

    One statement for a thousand jobs; otherwise like `Task.enqueue`.
    """
    return named(_open_queries(session)._carry_out(all_ids(calls, on_conflict)), "enqueue_many")


def one_id(call: TaskCall) -> Steps[int | None]:
    """Adds the job of one call; answers its id."""
    steps = enqueueing.enqueue(
        call.entrypoint, arguments=call.arguments, on_conflict=call.on_conflict, **call.options
    )
    return _first(steps)


def all_ids(calls: Iterable[TaskCall], on_conflict: OnConflict) -> Steps[list[int | None]]:
    """Adds the jobs of several calls; answers their ids."""
    wanted = list(calls)
    for call in wanted:
        if not isinstance(call, TaskCall):
            raise InvalidJobError(
                f"enqueue_many() takes calls of tasks, such as send_receipt.call(order_id=7), not {call!r}"
            )
        if call.on_conflict not in ("raise", on_conflict):
            raise InvalidJobError(
                f"a call of {call.entrypoint!r} says on_conflict={call.on_conflict!r}, but the jobs of one "
                "enqueue_many() have it in common: say it there"
            )
    names = {name for call in wanted for name in call.options}
    if said_alone := names.intersection(_OF_ONE_CALL):
        raise InvalidJobError(
            f"{', '.join(sorted(said_alone))} cannot be said of one among many calls: enqueue it by itself, or put the "
            "calls together as a Workflow"
        )
    return enqueueing.enqueue_all([call.as_job() for call in wanted], on_conflict=on_conflict)


def _first(steps: Steps[list[int | None]]) -> Steps[int | None]:
    (job_id,) = yield from steps
    return job_id


def _open_queries(session: object) -> Any:
    """What carries steps out in the session's transaction, at once or when awaited."""
    binding = find_binding(session, "queries")
    queries: Any = session if binding is None else binding.open_queries(session)
    if not hasattr(queries, "_carry_out"):
        found = "and there is none" if session is None else f"not on a {describe(session)}"
        raise SessionError(
            f"tasks are enqueued on a session or connection of SQLAlchemy, {found}: pass one as "
            "the first argument, without a name; in a Django project declare tasks with @pgq_orm_django.task, which "
            "need none"
        )
    return queries


# What a worker calls


def _handler(function: Callable[..., Any], parameters: Parameters) -> Handler:
    """The handler that reads a job's arguments, and calls the function with them and with what the worker injects."""
    sources = {name: _source(annotation) for name, annotation in parameters.injected.items()}
    is_job_enough = not any(sources.values())

    def call(subject: object, context: Context | None, resources: Mapping[str, Any]) -> Any:
        # without a context the handler may be in another process, which has the job or the schedule alone
        arguments = getattr(subject, "arguments", {}) if context is None else context.job.arguments
        found = {name: source(context) for name, source in sources.items() if source and context}
        return function(**parameters.from_json(arguments), **found, **resources)

    async def handle_async(
        pgq_subject: object = None, pgq_context: Context | None = None, **resources: Any
    ) -> object:
        return _kept(await call(pgq_subject, pgq_context, resources))

    def handle(pgq_subject: object = None, pgq_context: Context | None = None, **resources: Any) -> object:
        return _kept(call(pgq_subject, pgq_context, resources))

    handler: Any = handle_async if is_async(function) else handle
    functools.update_wrapper(handler, function)
    handler.__signature__ = inspect.Signature(
        [
            _parameter("pgq_subject", inspect.Parameter.empty)
            if is_job_enough
            else _parameter("pgq_context", Context),
            *(
                _parameter(name, parameters.injected[name], inspect.Parameter.KEYWORD_ONLY)
                for name, source in sources.items()
                if source is None
            ),
        ]
    )
    checked: Handler = handler
    return checked


def _source(annotation: object) -> Callable[[Context], object] | None:
    """Where in the context the value of an injected parameter is; None for what the binding gives."""
    if annotation is Context:
        return lambda context: context
    if annotation is Job:
        return lambda context: context.job
    if annotation in (Schedule, Schedule | None):
        return lambda context: context.schedule
    return None


def _parameter(
    name: str, annotation: object, kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
) -> inspect.Parameter:
    return inspect.Parameter(name, kind, annotation=annotation)


def _kept(value: object) -> object:
    from pgq_orm.validation import jsonable  # not before there is a task: pydantic takes a while to import

    return jsonable(value)
