"""Queues: what is said of a queue in code, and what is said of it in the database, where it may change at run time."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from pgq_orm import storable
from pgq_orm.errors import InvalidJobError, InvalidQueueError, UnknownQueueError
from pgq_orm.executors import Executor, ExecutorFactory
from pgq_orm.executors.push import PushQueue
from pgq_orm.operations import Operation, Row
from pgq_orm.reports import QueueState
from pgq_orm.sql import statement
from pgq_orm.steps import Steps, ask

T = TypeVar("T")
Names: TypeAlias = str | Iterable[str]
"""A queue's name, or several."""
ResumeAt: TypeAlias = timedelta | datetime | None
Window: TypeAlias = timedelta | float
"""A timedelta, or seconds."""

QueueExecutor: TypeAlias = ExecutorFactory | Callable[[PushQueue], Executor]
"""What makes the executor of a queue: an executor factory as entrypoints have one, or a subclass of `Executor`."""

MOST_NAMES = 10_000
"""How many queues one call may be about."""
SECOND = timedelta(seconds=1)
_INTEGER = range(1, 2**31)


class _Unchanged(Enum):
    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged.UNCHANGED
"""Leaves a setting as it is; None takes the limit away."""
Unchanged: TypeAlias = Literal[_Unchanged.UNCHANGED]


@dataclass(frozen=True, slots=True)
class Queue:
    """A named queue, as an application declares it.

    Its limits are what a row of `pgq_queue` begins with. Once the row is there, it is the row that counts.
    Raises InvalidQueueError.
    """

    name: str
    concurrency: int | None = None
    """How many of its jobs run at a time in each worker process; None for as many as the worker has slots."""
    executor: QueueExecutor | None = field(default=None, compare=False)
    """What processes all of its jobs, in place of the executors of their entrypoints: an `Executor` with a `push`, or
    an executor factory. Belongs to the code: it is not stored."""
    rate_limit: int | None = None
    """How many of its jobs may start within the window, in all worker processes together."""
    rate_limit_window: Window = SECOND

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_count("concurrency", self.concurrency)
        _check_count("rate_limit", self.rate_limit)
        object.__setattr__(self, "rate_limit_window", _window(self.rate_limit_window))
        if self.executor is not None and not callable(self.executor):
            raise InvalidQueueError(
                f"executor of queue {self.name!r} must be an executor class or a function that makes an executor, "
                f"not {self.executor!r}"
            )

    def says_the_same_as(self, other: "Queue") -> bool:
        """Whether both may stand for one declaration, in a module that was imported twice."""
        return self == other and _name_of(self.executor) == _name_of(other.executor)


def names_in(given: Names) -> tuple[str, ...]:
    """The names that are meant: one alone is a name, and no list of letters."""
    return (given,) if isinstance(given, str) else tuple(given)


# Steps


def declare_queue(queue: Queue | Iterable[Queue], *, upsert: bool = False) -> Steps[list[str]]:
    """Makes sure that queues have a row; answers the names that were written.

    A queue that has one keeps what was said of it at run time. `upsert=True` replaces its limits by those given; a
    pause outlasts even that.
    """
    queues = [queue] if isinstance(queue, Queue | str) else list(queue)
    for each in queues:
        if not isinstance(each, Queue):
            raise InvalidQueueError(f"expected a Queue, not {each!r}")
    by_name = {each.name: each for each in queues}
    names = _names(by_name)
    params = {
        "names": names,
        "concurrencies": [by_name[name].concurrency for name in names],
        "rate_limits": [by_name[name].rate_limit for name in names],
        "windows_seconds": [_window(by_name[name].rate_limit_window).total_seconds() for name in names],
        "upsert": bool(upsert),
    }
    return (yield from ask(Operation(statement("declare_queues"), params, _written)))


def update_queue(
    queue: Names,
    *,
    concurrency: int | None | Unchanged = UNCHANGED,
    rate_limit: int | None | Unchanged = UNCHANGED,
    rate_limit_window: Window | Unchanged = UNCHANGED,
) -> Steps[list[str]]:
    """Changes the limits of queues that have a row; running workers hear of it. None takes a limit away.

    Answers their names. Raises UnknownQueueError if one has no row; none is changed then.
    """
    if concurrency is not UNCHANGED:
        _check_count("concurrency", concurrency)
    if rate_limit is not UNCHANGED:
        _check_count("rate_limit", rate_limit)
    names = yield from _known(_names(queue))
    params = {
        "names": names,
        "sets_concurrency": concurrency is not UNCHANGED,
        "concurrency": None if concurrency is UNCHANGED else concurrency,
        "sets_rate_limit": rate_limit is not UNCHANGED,
        "rate_limit": None if rate_limit is UNCHANGED else rate_limit,
        "window_seconds": (
            None if rate_limit_window is UNCHANGED else _window(rate_limit_window).total_seconds()
        ),
    }
    return (yield from ask(Operation(statement("change_queues"), params, _written)))


def pause_queue(queue: Names, *, resume_at: ResumeAt = None) -> Steps[list[str]]:
    """Pauses queues until they are resumed, or until `resume_at`: an aware datetime, or a timedelta from the
    database's now. Answers their names.

    Exactly: a worker that looks for jobs after the caller's transaction has committed is given none; what runs goes
    on. The pause lasts whether or not any process does, and any name can be paused, known or not.
    """
    _check_instant(resume_at)
    params = {
        "names": _names(queue),
        "resume_at": resume_at if isinstance(resume_at, datetime) else None,
        "delay_seconds": resume_at.total_seconds() if isinstance(resume_at, timedelta) else None,
    }
    return (yield from ask(Operation(statement("pause_queues"), params, _written)))


def resume_queue(queue: Names) -> Steps[list[str]]:
    """Ends the pause of queues; answers the names of those that were paused."""
    return (yield from ask(Operation(statement("resume_queues"), {"names": _names(queue)}, _written)))


def fetch_queues(queue: Names | None = None) -> Steps[list[QueueState]]:
    """The queues that have a row, by name: all of them, or those asked for."""
    return (yield from ask(read_queues(None if queue is None else _names(queue))))


def delete_queue(queue: Names) -> Steps[list[str]]:
    """Forgets what was said of queues, pauses too; answers the names of those that had a row.

    Their jobs stay. A worker whose application declares such a queue declares it again when it starts.
    """
    return (yield from ask(Operation(statement("delete_queues"), {"names": _names(queue)}, _written)))


def read_queues(names: Sequence[str] | None) -> Operation[list[QueueState]]:
    """The rows of these queues, or of all."""
    return Operation(statement("read_queues"), {"names": None if names is None else list(names)}, _states)


class Grant(NamedTuple):
    """How many tokens were taken from a queue's rate limit, and how long it is until there is another one."""

    tokens: int
    wait_seconds: float


def take_tokens(queue: str, wanted: int) -> Operation[Grant]:
    """Takes tokens, at most as many as wanted, or puts some back (`wanted` below 0)."""
    return Operation(statement("take_tokens"), {"queue": queue, "wanted": wanted}, _grant)


# Parameters


def _name_of(executor: QueueExecutor | None) -> str:
    while isinstance(executor, functools.partial):
        executor = executor.func
    return getattr(executor, "__qualname__", repr(executor))


def _names(given: Names) -> list[str]:
    """Each name once, sorted: whoever locks several rows locks them in this order."""
    names = sorted(set(names_in(given)), key=str)
    if len(names) > MOST_NAMES:
        raise InvalidQueueError(f"at most {MOST_NAMES} queues in one call, not {len(names)}")
    for name in names:
        _check_name(name)
    return names


def _known(names: list[str]) -> Steps[list[str]]:
    known = yield from ask(read_queues(None))
    for name in names:
        if name not in (state.name for state in known):
            raise UnknownQueueError(name, (state.name for state in known))
    return names


def _check_name(name: object) -> None:
    try:
        storable.check("queue", name)
    except InvalidJobError as error:
        raise InvalidQueueError(f"a {error}") from None


def _check_count(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value not in _INTEGER):
        raise InvalidQueueError(f"{name} must be a positive integer of 32 bits, or None, not {value!r}")


def _window(value: object) -> timedelta:
    try:
        window = value if isinstance(value, timedelta) else timedelta(seconds=float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        window = timedelta(0)
    if not timedelta(0) < window <= storable.LONGEST_DELAY:
        raise InvalidQueueError(f"rate_limit_window must be a positive timedelta, or seconds, not {value!r}")
    return window


def _check_instant(resume_at: object) -> None:
    try:
        storable.check("resume_at", resume_at)
    except InvalidJobError as error:
        raise InvalidQueueError(str(error)) from None


# Reading


def _written(rows: Sequence[Row]) -> list[str]:
    return sorted(row[0] for row in rows)


def _grant(rows: Sequence[Row]) -> Grant:
    return Grant(*rows[0])


def _states(rows: Sequence[Row]) -> list[QueueState]:
    return [QueueState(*row) for row in rows]
