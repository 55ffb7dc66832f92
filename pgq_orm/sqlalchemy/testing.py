"""Testing: lets jobs run on a test's own session or connection, sync or async, inside its transaction."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.util.concurrency import greenlet_spawn

from pgq_orm.models import Job as PickedJob
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.queries import Queries, open_queries
from pgq_orm.sqlalchemy.scopes import EngineScopes, is_session
from pgq_orm.sqlalchemy.session import ON_JOBS, AsyncTarget, SyncTarget, run, run_async
from pgq_orm.steps import Steps
from pgq_orm.testing.bench import Attempt, Bench, Drained, Wish
from pgq_orm.testing.expectations import Finding
from pgq_orm.testing.threads import AwaitedCalls, LentThread

T = TypeVar("T")


def drain(session: Any, wish: Wish) -> Any:
    """The attempts that are made, or a coroutine of them, as the session asks for. Raises SessionError."""
    __tracebackhide__ = True
    if isinstance(open_queries(session), Queries):
        return _drain_async(session, wish)
    return _drain(session, wish).give()


def look(session: Any, steps: Steps[Finding]) -> Any:
    """The jobs that are found, or a coroutine of them; what the session has not sent yet is sent before."""
    __tracebackhide__ = True
    queries = open_queries(session)
    if isinstance(queries, Queries):
        return _look_async(session, queries, steps)
    if isinstance(session, Session | scoped_session):
        session.flush()
    return queries._carry_out(steps).give()


async def _look_async(session: Any, queries: Queries, steps: Steps[Finding]) -> list[PickedJob]:
    __tracebackhide__ = True
    if isinstance(session, AsyncSession | async_scoped_session):
        await session.flush()
    found = await queries._carry_out(steps)
    return found.give()


def _drain(target: SyncTarget, wish: Wish) -> Drained:
    session = target() if isinstance(target, scoped_session) else target
    if isinstance(session, Connection):
        return _drain_connection(session, wish)
    session.flush()
    try:
        return _drain_connection(session.connection(bind_arguments=ON_JOBS), wish)
    finally:
        session.expire_all()


def _drain_connection(connection: Connection, wish: Wish) -> Drained:
    thread = LentThread()

    async def work() -> Drained:
        return await Bench(_SyncTable(connection, thread), wish).drain()

    with _cursors_for_async_sessions(connection):
        return thread.wait_for(work)


@contextmanager
def _cursors_for_async_sessions(connection: Connection) -> Iterator[None]:
    """Lets an AsyncSession work on a connection that blocks: it closes each cursor by a method of async drivers."""
    driver: Any = connection.connection.driver_connection
    factory = driver.cursor_factory
    driver.cursor_factory = type(factory.__name__, (factory,), {"_async_soft_close": _close_nothing})
    try:
        yield
    finally:
        driver.cursor_factory = factory


async def _close_nothing(cursor: object) -> None:
    """A blocking cursor has its rows already, and is closed by whoever reads them."""


async def _drain_async(target: AsyncTarget, wish: Wish) -> list[Attempt]:
    __tracebackhide__ = True
    session = target() if isinstance(target, async_scoped_session) else target
    if isinstance(session, AsyncConnection):
        return (await Bench(_AsyncTable(session), wish).drain()).give()
    await session.flush()
    try:
        connection = await session.connection(bind_arguments=ON_JOBS)
        drained = await Bench(_AsyncTable(connection), wish).drain()
    finally:
        await session.run_sync(_reload)
    return drained.give()


def _reload(session: Session) -> None:
    """Loads every object anew: an AsyncSession could not do so by itself when an attribute is looked at."""
    session.expire_all()
    for loaded in list(session):
        try:
            session.refresh(loaded)
        except InvalidRequestError:
            continue  # a handler has deleted it; looking at it says so


class _SyncTable:
    """A blocking connection; its statements are sent by the thread that it belongs to."""

    def __init__(self, connection: Connection, thread: LentThread) -> None:
        self._connection = connection
        self.threads: Executor = thread
        self.scopes = _Scopes(connection)

    async def run(self, operation: Operation[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self.threads, run, self._connection, operation
        )


class _AsyncTable:
    """A connection to be awaited; sync handlers run where their statements can be."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.threads: Executor = AwaitedCalls(greenlet_spawn)
        self.scopes = _Scopes(cast(Connection, connection.sync_connection))

    async def run(self, operation: Operation[T]) -> T:
        return await run_async(self._connection, operation)


class _Scopes(EngineScopes):
    """Sessions on a test's connection: what they commit is a savepoint that is released."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.engine)
        self._connection = connection

    def claims(self, annotation: object, *, is_async: bool) -> bool:
        return is_session(annotation, is_async=is_async)

    def _open(self, kind: Any, **options: Any) -> Any:
        session = kind(join_transaction_mode="create_savepoint", **options)
        # Bound below the surface, which would refuse a connection that blocks: that does no harm to a test.
        (session.sync_session if isinstance(session, AsyncSession) else session).bind = self._connection
        return session
