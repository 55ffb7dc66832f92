"""Testing: runs what a test has enqueued, on the test's own connection, and says what is enqueued.

For `TestCase`, whose transaction is rolled back, for `TransactionTestCase`, and for pytest-django; no worker is needed.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import Executor
from contextlib import (
    asynccontextmanager,
    contextmanager,
)
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.asyncio import async_unsafe
from psycopg.pq import TransactionStatus

from pgq_orm.models import Job
from pgq_orm.operations import Operation
from pgq_orm.queues import Names, names_in
from pgq_orm.registry import Registry, require_registry
from pgq_orm.testing.bench import LIMIT, Attempt, Bench, Drained, Wish
from pgq_orm.testing.expectations import Expectation, Expected, Target, enqueued, expect, not_enqueued
from pgq_orm.testing.threads import AwaitedCalls
from pgq_orm_django import conf
from pgq_orm_django.databases import default_alias
from pgq_orm_django.framework_calls import framework_call
from pgq_orm_django.registry import discover, require
from pgq_orm_django.scopes import ConnectionScopes
from pgq_orm_django.statements import carry_out, run

if TYPE_CHECKING:
    from pgq_orm_django.framework import AnyTask

__all__ = [
    "Attempt",
    "aassert_enqueued",
    "aassert_not_enqueued",
    "adrain",
    "assert_enqueued",
    "assert_not_enqueued",
    "drain",
]

T = TypeVar("T")

__unittest = True
"""By which unittest leaves our frames out of a failed assertion's traceback."""


@async_unsafe("drain() blocks, and was called in an async test: `await adrain(…)` instead")
def drain(
    handlers: Registry | None = None,
    *,
    queues: Names | None = None,
    retries: bool = True,
    ahead: timedelta = timedelta(0),
    raises: bool = True,
    limit: int = LIMIT,
    resources: MutableMapping[Any, Any] | None = None,
    using: str | None = None,
) -> list[Attempt]:
    """Runs the jobs that are due, and those that they enqueue, on this thread's connection; answers every attempt.

    One job after the other, of all queues or of those named; jobs without a handler in any `tasks` module are left, and
    the log says so. Inside a transaction, as in a `TestCase`, each attempt has a savepoint, to which it goes back if a
    statement of it has failed, and what a handler wants done on commit is done when it ends.

    An attempt that is to be made again is made at once, unless `retries` is off; a job that ends as `exception` raises
    what its handler raised, unless `raises` is off. Jobs whose time has not come are left, unless they come due within
    `ahead`. Raises DrainLimitError after `limit` attempts.
    """
    __tracebackhide__ = True
    wish = _wish(handlers, queues, retries, ahead, raises, limit, resources)
    return async_to_sync(_drain)(wish, using).give()


async def adrain(
    handlers: Registry | None = None,
    *,
    queues: Names | None = None,
    retries: bool = True,
    ahead: timedelta = timedelta(0),
    raises: bool = True,
    limit: int = LIMIT,
    resources: MutableMapping[Any, Any] | None = None,
    using: str | None = None,
) -> list[Attempt]:
    """`drain`, to be awaited in an async test."""
    __tracebackhide__ = True
    wish = await sync_to_async(_wish)(handlers, queues, retries, ahead, raises, limit, resources)
    return (await _drain(wish, using)).give()


def _wish(
    handlers: Registry | None,
    queues: Names | None,
    retries: bool,
    ahead: timedelta,
    raises: bool,
    limit: int,
    resources: MutableMapping[Any, Any] | None,
) -> Wish:
    return Wish(
        registry=discover() if handlers is None else require_registry(handlers),
        resources={} if resources is None else resources,
        queues=None if queues is None else names_in(queues),
        retries=retries,
        ahead=ahead,
        raises=raises,
        limit=limit,
    )


async def _drain(wish: Wish, using: str | None) -> Drained:
    return await Bench(_Table(using or default_alias()), wish).drain()


def assert_enqueued(
    target: "Target | AnyTask",
    *,
    count: int | None = None,
    using: str | None = None,
    **expected: Unpack[Expected],
) -> list[Job]:
    """Asserts that a job is still to be done, or `count` of them; answers them.

    `target` is a task, a call of one such as `send_receipt.call(order_id=7)`, an entrypoint's function, its name, or a
    task of Django's own framework, whose job has `arguments={"args": […], "kwargs": {…}}`, or that one's module path;
    see Expected for what else may be said. The AssertionError shows the job that comes nearest, and where it differs.
    Raises UnknownEntrypointError for a name that no `tasks` module registers, as long as STRICT_ENTRYPOINTS is on.
    """
    __tracebackhide__ = True
    alias = using or default_alias()
    try:
        return carry_out(enqueued(_expect(target, expected), count), alias).give()
    except AssertionError as error:
        if callbacks := connections[alias].run_on_commit:
            error.add_note(
                f"{len(callbacks)} on_commit callback(s) wait for a commit that does not come in this test: to call "
                "them, put the code into `with self.captureOnCommitCallbacks(execute=True):`"
            )
        raise


def assert_not_enqueued(
    target: "Target | AnyTask | None" = None, *, using: str | None = None, **expected: Unpack[Expected]
) -> None:
    """Asserts that no such job is still to be done; without a target, none at all.

    Raises UnknownEntrypointError for a name that no `tasks` module registers, as long as STRICT_ENTRYPOINTS is on.
    """
    __tracebackhide__ = True
    carry_out(not_enqueued(_expect(target, expected)), using or default_alias()).give()


async def aassert_enqueued(
    target: "Target | AnyTask",
    *,
    count: int | None = None,
    using: str | None = None,
    **expected: Unpack[Expected],
) -> list[Job]:
    """`assert_enqueued`, to be awaited in an async test."""
    __tracebackhide__ = True
    return await sync_to_async(assert_enqueued)(target, count=count, using=using, **expected)


async def aassert_not_enqueued(
    target: "Target | AnyTask | None" = None, *, using: str | None = None, **expected: Unpack[Expected]
) -> None:
    """`assert_not_enqueued`, to be awaited in an async test."""
    __tracebackhide__ = True
    await sync_to_async(assert_not_enqueued)(target, using=using, **expected)


def _expect(target: "Target | AnyTask | None", expected: Expected) -> Expectation:
    if (call := framework_call(target)) is not None:
        arguments = {"task": call.task, **expected.get("arguments", {})}
        return Expectation(call.entrypoint, {**expected, "arguments": arguments})
    if not isinstance(target, str):
        return expect(cast("Target | None", target), expected, discover())
    if conf.current().strict_entrypoints:
        require(target)  # or nothing that is misspelt would ever be enqueued
    return expect(target, expected, None)


class _Table:
    """The connection of the test's thread, in which everything but async handlers runs."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.scopes = _Scopes(using)
        self.threads: Executor = AwaitedCalls(_in_the_tests_thread)

    async def run(self, operation: Operation[T]) -> T:
        return await _in_the_tests_thread(partial(run, operation, self._using))


async def _in_the_tests_thread(call: Callable[[], T]) -> T:
    # The thread that async_to_sync or Django's async tests lend: the one whose connection the test has.
    return await sync_to_async(call, thread_sensitive=True)()


class _Scopes(ConnectionScopes):
    """Each attempt in a savepoint, if the test is in a transaction."""

    @asynccontextmanager
    async def in_loop(self, wanted: Mapping[str, object]) -> AsyncIterator[Mapping[str, Any]]:
        surroundings = _savepoints()
        await _in_the_tests_thread(surroundings.__enter__)
        try:
            yield {}
        except BaseException as error:
            await _in_the_tests_thread(
                partial(surroundings.__exit__, type(error), error, error.__traceback__)
            )
            raise
        await _in_the_tests_thread(partial(surroundings.__exit__, None, None, None))

    @contextmanager
    def in_thread(self, wanted: Mapping[str, object]) -> Iterator[Mapping[str, Any]]:
        with _savepoints():
            yield {}


@contextmanager
def _savepoints() -> Iterator[None]:
    attempts = [
        _Savepoint(connection)
        for connection in connections.all(initialized_only=True)
        if connection.vendor == "postgresql" and connection.in_atomic_block
    ]
    try:
        yield
    finally:
        for attempt in attempts:
            attempt.end()


class _Savepoint:
    """An attempt's savepoint on a connection in a transaction.

    A worker's handlers are in no transaction that they did not begin: what one of them wrote before it failed stays
    written. Only a statement that failed outside of the handler's own blocks, which would doom the test, takes all of
    the attempt along.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._callbacks = len(connection.run_on_commit)
        self._id = cast(str, connection.savepoint())  # None only outside of a transaction

    def end(self) -> None:
        """Keeps what was written, or takes it back, and does what was to be done on commit."""
        if self._is_broken():
            self._connection.needs_rollback = False  # or Django would refuse to roll back
            self._connection.savepoint_rollback(self._id)
            del self._connection.run_on_commit[self._callbacks :]
            return
        self._connection.savepoint_commit(self._id)
        callbacks = self._connection.run_on_commit[self._callbacks :]
        del self._connection.run_on_commit[self._callbacks :]
        for _, callback, *_ in callbacks:
            callback()

    def _is_broken(self) -> bool:
        driver: Any = self._connection.connection
        return self._connection.needs_rollback or driver.info.transaction_status == TransactionStatus.INERROR
