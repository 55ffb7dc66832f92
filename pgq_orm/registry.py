"""Registry: which handler runs the jobs of which entrypoint, and which schedules enqueue them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack, overload

from pgq_orm import cron, functions
from pgq_orm.durations import ZERO, require_duration, require_positive_duration
from pgq_orm.errors import RegistrationError, UnknownEntrypointError
from pgq_orm.executors import EntrypointExecutor, ExecutorFactory
from pgq_orm.executors.abstract import check_factory
from pgq_orm.executors.functions import CallsFunctions, FunctionExecutor
from pgq_orm.executors.ticks import (
    ScheduleExecutorFactory,
    Ticking,
    factory_for_jobs,
    refuse_for_jobs,
    with_ticks,
)
from pgq_orm.functions import AllowedModules
from pgq_orm.handlers import Handler
from pgq_orm.keywords import unexpected
from pgq_orm.limits import Limit, LimitOptions, read_limit
from pgq_orm.operations.additions import DEFAULT_QUEUE
from pgq_orm.queues import Names, Queue, names_in
from pgq_orm.retries import Backoff, RetryPolicy
from pgq_orm.storable import NAME_LENGTH
from pgq_orm.tasks import CallOptions, Task, TaskFunction

P = ParamSpec("P")
R = TypeVar("R")
HandlerT = TypeVar("HandlerT", bound=Callable[..., object])
CatchUp: TypeAlias = Literal["latest", "all", "none"]
CATCH_UPS = ("latest", "all", "none")
OnFailure: TypeAlias = Literal["delete", "hold"]
ON_FAILURES = ("delete", "hold")
OUR_PACKAGES = ("pgq_orm", "pgq_orm_django")


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """A handler under its name, and what becomes of its failures."""

    name: str
    handler: Handler
    executor_factory: ExecutorFactory
    retries: RetryPolicy
    timeout: timedelta | None
    accepts_context: bool | None = None
    retry_timer: timedelta = timedelta(0)
    transactional: bool = False
    limit: Limit | None = None


class HandlerOptions(LimitOptions, total=False):
    """What may be said of a handler."""

    max_attempts: int
    """Attempts that may end badly, 1 by default; a job's own `max_attempts` comes first. Without it, a handler may
    still ask for another attempt by RetryRequested as often as it likes."""
    backoff: Backoff
    """The delays between attempts."""
    retry_on: tuple[type[BaseException], ...]
    """The exceptions after which another attempt may help; every Exception by default."""
    dont_retry_on: tuple[type[BaseException], ...]
    """The exceptions after which none does; comes before retry_on."""
    timeout: timedelta
    """How long an attempt may run; longer is a failure, TimeoutError. An async handler is interrupted where it
    awaits. A thread cannot be interrupted: `cancel_called` becomes true, and the slot stays taken until it ends."""
    accepts_context: bool | None
    """Whether the handler is given a Context: None looks for a parameter with that annotation, True gives it to the
    second parameter if none has it, False to none."""
    on_failure: OnFailure
    """PgQueuer's word for what becomes of a job that failed. Here either means the same: it leaves the queue, and its
    log row keeps all that `requeue_jobs` needs, for as long as the worker's `log_retention` says."""
    retry_timer: timedelta
    """PgQueuer's wish to have a job again this long after its worker died. Jobs are rescued by the death of their
    worker and never by age, `heartbeat_timeout` after its last heartbeat: a worker with a longer one says so."""
    transactional: bool
    """Whether what the handler writes, through its session (SQLAlchemy) or on the queue's database (Django), and the
    end of its job commit together, in one transaction: each exactly if the other. Off by default."""


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule as it was declared in code."""

    entrypoint: str
    expression: str
    timezone: str
    catch_up: CatchUp
    queue: str
    clean_old: bool = False


class Registry:
    """The handlers and schedules of an application, by name."""

    def __init__(self) -> None:
        self.entrypoints: dict[str, Entrypoint] = {}
        self.schedules: dict[tuple[str, str], ScheduleEntry] = {}
        self._scheduled_only: set[str] = set()  # entrypoints that exist for their schedules alone
        self.queues: dict[str, Queue] = {}
        self._queue_lines: dict[str, str] = {}  # where each is declared
        self.functions = AllowedModules()
        """Those whose functions jobs may name."""

    def entrypoint(
        self,
        name: str,
        *,
        executor_factory: ExecutorFactory = EntrypointExecutor,
        **options: Unpack[HandlerOptions],
    ) -> Callable[[HandlerT], HandlerT]:
        """Registers the decorated function as the handler of all jobs enqueued under `name`.

        The first parameter is given the job; others are found by annotation: `Context`, or a session of the ORM
        in use, which is committed when the handler returns. A handler that raises ends its job as `exception`,
        unless `max_attempts` allows for more (see HandlerOptions). Raises RegistrationError if the name is taken or
        unusable.
        """
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH or "\0" in name:
            raise RegistrationError(
                f"an entrypoint's name must be a string of 1 to {NAME_LENGTH} characters, not {name!r}"
                + ("; write @pgq.entrypoint('name') above the function" if callable(name) else "")
            )
        refuse_for_jobs(executor_factory)
        retries, timeout = _retry_policy(options), options.get("timeout")
        transactional = options.get("transactional", False)
        if not isinstance(transactional, bool):
            raise RegistrationError(f"transactional must be True or False, not {transactional!r}")
        if timeout is not None:
            require_positive_duration("timeout", timeout, refusal=RegistrationError)
        limit = read_limit(options)

        def register(given: HandlerT) -> HandlerT:
            handler = _handler_of(given)
            check_factory(executor_factory, handler, time_limit=timeout, transactional=transactional or None)
            self._add(
                Entrypoint(
                    name,
                    handler,
                    executor_factory,
                    retries,
                    timeout,
                    transactional=transactional,
                    limit=limit,
                    **_manners(options),
                )
            )
            self._scheduled_only.discard(name)
            return given

        return register

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, int]: ...

    @overload
    def task(
        self,
        name: str | None = None,
        *,
        aliases: Names = (),
        queue: str = DEFAULT_QUEUE,
        priority: int = 0,
        executor_factory: ExecutorFactory = EntrypointExecutor,
        **options: Unpack[HandlerOptions],
    ) -> Callable[[Callable[P, R]], Task[P, R, int]]: ...

    def task(
        self,
        name: Any = None,
        *,
        aliases: Names = (),
        queue: str = DEFAULT_QUEUE,
        priority: int = 0,
        executor_factory: ExecutorFactory = EntrypointExecutor,
        **options: Unpack[HandlerOptions],
    ) -> Any:
        """Makes the decorated function a task: `await function.enqueue(session, …)` takes the function's own arguments.

        They travel as JSON, and are checked against the annotations when they are enqueued and again when they run.
        A parameter whose default is INJECTED is filled by the worker, by its annotation: `Context`, `Job`, or a
        session. The job's entrypoint is `name`, or the function's own; `aliases` are further names that such jobs may
        have, for tasks that were renamed. `queue` and `priority` hold for calls that say nothing else. The rest is
        like `entrypoint`. Raises RegistrationError also for a parameter that no JSON could carry.
        """

        def register(function: Callable[P, R]) -> Task[P, R, int]:
            defaults = CallOptions(queue=queue, priority=priority)
            task: Task[P, R, int] = Task(function, name, defaults)
            self.declare(task, aliases, executor_factory, options)
            return task

        if callable(name):
            function, name = name, None
            return register(function)
        return register

    def declare(
        self,
        task: TaskFunction[P, R],
        aliases: Names,
        executor_factory: ExecutorFactory,
        options: HandlerOptions,
    ) -> None:
        """Lets a task's handler run the jobs of its name, and of its aliases."""
        if "accepts_context" in options:
            raise RegistrationError(
                f"task {task.name!r} says by itself what it is given: leave accepts_context out, and give it "
                "a parameter `context: Context = INJECTED` if it wants one"
            )
        for name in (task.name, *names_in(aliases)):
            self.entrypoint(name, executor_factory=executor_factory, **options)(task.handler)

    def schedule(
        self,
        entrypoint: str,
        expression: str,
        *,
        executor_factory: ExecutorFactory | ScheduleExecutorFactory = EntrypointExecutor,
        clean_old: bool = False,
        timezone: str = "UTC",
        catch_up: CatchUp = "latest",
        queue: str = DEFAULT_QUEUE,
        **options: Unpack[HandlerOptions],
    ) -> Callable[[HandlerT], HandlerT]:
        """Registers the decorated function to run at every tick of a cron expression.

        It has five fields, `30 6 * * 1` for Mondays at 6:30, or six, of which the last one is the seconds,
        `* * * * * */10` for every ten seconds, or is a word such as `@hourly`; it is read in `timezone`.
        Each tick enqueues one job, once among all workers; while that job is still to be done the next ticks add
        none. The handler's first parameter is given the `Schedule`. `catch_up` says what happens to ticks that
        passed while no worker ran: "latest" fires once for all of them, "all" one after the other, "none" waits
        for the next. `clean_old` lets a worker remove, when it starts, the schedules of this entrypoint in the database
        whose expressions its application no longer declares; without it they rest. `executor_factory` makes an
        AbstractScheduleExecutor, or an AbstractEntrypointExecutor. Raises RegistrationError for an expression or a zone
        that does not exist.
        """
        cron.check(expression, timezone)
        if catch_up not in CATCH_UPS:
            raise RegistrationError(f"catch_up must be one of {', '.join(CATCH_UPS)}, not {catch_up!r}")

        def register(given: HandlerT) -> HandlerT:
            handler = _handler_of(given, is_scheduled=True)
            known = self.entrypoints.get(entrypoint)
            if known is None or known.handler is not handler:
                self.entrypoint(entrypoint, executor_factory=factory_for_jobs(executor_factory), **options)(
                    handler
                )
                self._scheduled_only.add(entrypoint)
            elif options:
                self._require_same(known, options)
            self._run_ticks(entrypoint, Ticking(executor_factory, expression, timezone, clean_old))
            self.schedules[entrypoint, expression] = ScheduleEntry(
                entrypoint, expression, timezone, catch_up, queue, clean_old
            )
            return given

        return register

    def names_of(self, function: Callable[..., object]) -> list[str]:
        """The entrypoints that the decorated function is the handler of, in the order of their registration."""
        handler = _handler_of(function)
        return [name for name, entrypoint in self.entrypoints.items() if entrypoint.handler == handler]

    def include(self, *others: "Registry") -> None:
        """Takes over what other registries have by now: those of an application's modules, into its worker's.

        Raises RegistrationError for a name that several have.
        """
        for other in map(require_registry, others):
            for entrypoint in other.entrypoints.values():
                self._add(entrypoint)
            self.schedules |= other.schedules
            self._scheduled_only |= other._scheduled_only
            for queue in other.queues.values():
                self._declare_queue(queue, other._queue_lines[queue.name])
            self._allow(other.functions)

    def queue(self, queue: Queue) -> Queue:
        """Declares a queue, which workers then serve unless they are told which ones to serve.

        A worker that starts gives the queue a row in the database if it has none; once it has one, it is the row that
        says how many of its jobs may run. Raises RegistrationError if the queue is declared differently already.
        """
        if not isinstance(queue, Queue):
            raise RegistrationError(f"expected a Queue, not {queue!r}: from pgq_orm.queues import Queue")
        return self._declare_queue(queue, _calling_line())

    def allow_functions(
        self,
        *modules: str,
        executor_factory: ExecutorFactory = EntrypointExecutor,
        **options: Unpack[HandlerOptions],
    ) -> None:
        """Lets jobs name functions of these modules, `shop.jobs`, or of all modules below one, `shop.jobs.*`.

        Such a job is enqueued by `push`. Its function is called with the job's keyword arguments: an `async def` on the
        worker's loop, another in a thread, or by `executor_factory`, a ProcessExecutor for example. Only functions that
        are defined in the modules are called, and no other module is imported because a job says so. Calling this
        again adds modules; the executor and the options of the last call hold for all of them.
        Raises RegistrationError.
        """
        allowed = AllowedModules(modules)
        check_factory(executor_factory, functions.call, time_limit=options.get("timeout"))
        FunctionExecutor.check(functions.call, {"transactional": options.get("transactional") or None})
        factory = CallsFunctions(allowed, executor_factory)
        self.entrypoint(functions.ENTRYPOINT, executor_factory=factory, **options)(functions.call)
        self._allow(allowed)

    def queues_to_serve(self) -> tuple[str, ...]:
        """The queues of a worker that is not told which ones: the default queue, and those that are declared."""
        return tuple(dict.fromkeys([DEFAULT_QUEUE, *self.queues]))

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits of the entrypoints that have some."""
        return {name: entry.limit for name, entry in self.entrypoints.items() if entry.limit is not None}

    def require(self, entrypoint: str) -> Entrypoint:
        """The entrypoint of that name. Raises UnknownEntrypointError."""
        try:
            return self.entrypoints[entrypoint]
        except KeyError:
            raise UnknownEntrypointError(
                entrypoint, self.entrypoints, "import the module that registers it first"
            ) from None

    def without_schedules(self) -> "Registry":
        """The entrypoints for which somebody enqueues, and no schedules."""
        part = Registry()
        part.entrypoints = {
            name: entrypoint
            for name, entrypoint in self.entrypoints.items()
            if name not in self._scheduled_only
        }
        part.queues, part._queue_lines = self.queues, self._queue_lines
        part.functions = self.functions
        return part

    def only_schedules(self) -> "Registry":
        """The schedules, and the entrypoints that they enqueue for."""
        part = Registry()
        part.schedules = dict(self.schedules)
        part.entrypoints = {name: self.entrypoints[name] for name, _ in self.schedules}
        part.queues, part._queue_lines = self.queues, self._queue_lines
        return part

    def _declare_queue(self, queue: Queue, line: str) -> Queue:
        known = self.queues.setdefault(queue.name, queue)
        known_line = self._queue_lines.setdefault(queue.name, line)
        if not known.says_the_same_as(queue):
            raise RegistrationError(
                f"queue {queue.name!r} is declared twice: in {known_line} as {known}, and in {line} as {queue}"
            )
        return known

    def _run_ticks(self, name: str, ticking: Ticking) -> None:
        entrypoint = self.entrypoints[name]
        self.entrypoints[name] = replace(
            entrypoint, executor_factory=with_ticks(entrypoint.executor_factory, ticking)
        )

    def _require_same(self, known: Entrypoint, options: HandlerOptions) -> None:
        """Refuses options that differ from those a handler was registered with. Raises RegistrationError."""
        asked = Registry()
        asked.entrypoint(known.name, executor_factory=known.executor_factory, **options)(known.handler)
        if asked.entrypoints[known.name] != known:
            raise RegistrationError(
                f"{known.name!r} is registered already, with other options than {', '.join(sorted(options))} here: "
                "say them once, where the handler is registered first"
            )

    def _allow(self, modules: AllowedModules) -> None:
        self.functions |= modules
        known = self.entrypoints.get(functions.ENTRYPOINT)
        if known is not None and isinstance(known.executor_factory, CallsFunctions):
            factory = CallsFunctions(self.functions, known.executor_factory.inner)
            self.entrypoints[known.name] = replace(known, executor_factory=factory)

    def _add(self, entrypoint: Entrypoint) -> None:
        taken = self.entrypoints.get(entrypoint.name)
        # A module that is imported again declares the same function again: no conflict.
        if taken is not None and not _is_same(taken.handler, entrypoint.handler):
            raise RegistrationError(
                f"entrypoint {entrypoint.name!r} is taken by {'.'.join(_origin(taken.handler))}, line "
                f"{_place(taken.handler)[1]}: give this handler another name"
            )
        self.entrypoints[entrypoint.name] = entrypoint


def _calling_line() -> str:
    """The module and the line of the application's that declares something."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OUR_PACKAGES:
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_globals.get('__name__', '?')}, line {frame.f_lineno}"


def _handler_of(given: Callable[..., object], *, is_scheduled: bool = False) -> Handler:
    """What a worker calls: the function as it is given, or the handler of a task."""
    if not isinstance(given, TaskFunction):
        return given
    if is_scheduled and (required := given.parameters.required):
        raise RegistrationError(
            f"a schedule brings no arguments, and task {given.name!r} needs {', '.join(required)}: give them defaults"
        )
    return given.handler


def require_registry(given: object, expected: str = "a Registry") -> Registry:
    """The registry as it is. Raises TypeError for anything else."""
    if isinstance(given, Registry):
        return given
    names = [name for name, value in getattr(given, "__dict__", {}).items() if isinstance(value, Registry)]
    hint = f"; its {names[0]!r} is one" if names else ""
    raise TypeError(f"expected {expected}, where handlers are registered, not {given!r}{hint}")


def _is_same(one: Handler, other: Handler) -> bool:
    """Whether they are one function, in a module that was imported again, or typed again into a console."""
    (file, line), (other_file, other_line) = _place(one), _place(other)
    return _origin(one) == _origin(other) and (file != other_file or line == other_line)


def _place(handler: Handler) -> tuple[str, int]:
    code = getattr(inspect.unwrap(handler), "__code__", None)
    return ("?", 0) if code is None else (code.co_filename, code.co_firstlineno)


def _origin(handler: Handler) -> tuple[str, str]:
    return getattr(handler, "__module__", "?"), getattr(handler, "__qualname__", repr(handler))


class _Manners(TypedDict):
    accepts_context: bool | None
    retry_timer: timedelta


def _manners(options: HandlerOptions) -> _Manners:
    """What PgQueuer's options come to. Raises RegistrationError for what is none of their values."""
    accepts_context, retry_timer = options.get("accepts_context"), options.get("retry_timer", timedelta(0))
    if accepts_context not in (None, True, False):
        raise RegistrationError(f"accepts_context must be True, False or None, not {accepts_context!r}")
    if require_duration("retry_timer", retry_timer, refusal=RegistrationError) < ZERO:
        raise RegistrationError(f"retry_timer must be a timedelta that is not negative, not {retry_timer!r}")
    if (on_failure := options.get("on_failure", "delete")) not in ON_FAILURES:
        raise RegistrationError(f"on_failure must be one of {', '.join(ON_FAILURES)}, not {on_failure!r}")
    return {"accepts_context": accepts_context, "retry_timer": retry_timer}


def _retry_policy(options: HandlerOptions) -> RetryPolicy:
    if unknown := options.keys() - HandlerOptions.__annotations__.keys():
        raise unexpected("entrypoint", unknown, ["executor_factory", *HandlerOptions.__annotations__])
    max_attempts = options.get("max_attempts")
    if max_attempts is not None and (not isinstance(max_attempts, int) or max_attempts < 1):
        raise RegistrationError(f"max_attempts must be a positive integer, not {max_attempts!r}")
    defaults = RetryPolicy()
    backoff = options.get("backoff", defaults.backoff)
    if not callable(getattr(backoff, "delay_seconds", None)) or isinstance(backoff, type):
        raise RegistrationError(
            f"backoff must be a Backoff, such as Backoff(initial=timedelta(seconds=2)), not {backoff!r}"
        )
    return RetryPolicy(
        max_attempts=max_attempts,
        backoff=backoff,
        retry_on=_exceptions("retry_on", options.get("retry_on", defaults.retry_on)),
        dont_retry_on=_exceptions("dont_retry_on", options.get("dont_retry_on", defaults.dont_retry_on)),
    )


def _exceptions(name: str, given: object) -> tuple[type[BaseException], ...]:
    """The classes that are meant: one alone is one. Raises RegistrationError for what is none."""
    classes = tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        raise RegistrationError(
            f"{name} must be a tuple of exception classes, such as (OSError,), not {given!r}"
        )
    return classes
