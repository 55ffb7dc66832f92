"""Store: the worker's view of the database, through sessions on connections of its own.

Its connections come from the application's engine (same driver, credentials and event hooks) but from another
pool, so that handlers that exhaust theirs do not keep the worker from writing what they came to.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Engine, Pool, QueuePool, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool

from pgq_orm.errors import SessionError
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.engines import SessionFactory, engine_of
from pgq_orm.sqlalchemy.listeners import EngineListener
from pgq_orm.sqlalchemy.remedies import REMEDIES
from pgq_orm.sqlalchemy.scopes import EngineScopes
from pgq_orm.sqlalchemy.session import carry_out, carry_out_async, run
from pgq_orm.steps import Steps
from pgq_orm.store import BOOKKEEPING_SETTINGS, STATEMENT_SECONDS, Store

T = TypeVar("T")

POOL_SIZE = 3
"""Fetching, recording and upkeep at the same time."""
REPLY_SECONDS = STATEMENT_SECONDS + 5
"""The client's own limit: a connection that went dumb never delivers what the server says at its."""
CLOSE_SECONDS = 5.0
_IN_TRANSACTION = {"isolation_level": "READ COMMITTED"}
"""For a connection in autocommit mode, in which it is again when it goes back to its pool; nothing is sent for it."""


def open_store(connection: object) -> Store:
    """The store for an application's `AsyncEngine` or `Engine`, or for a factory of sessions on one.

    Raises SessionError for anything else.
    """
    factory = connection if isinstance(connection, async_sessionmaker | sessionmaker) else None
    engine = connection if factory is None else engine_of(factory)
    if not isinstance(engine, AsyncEngine | Engine):
        raise SessionError(
            "PgQueuer works on an AsyncEngine or an Engine, or on a factory of their sessions, not on a "
            f"{type(engine).__name__}: a worker needs several connections, and for longer than one transaction"
        )
    if engine.dialect.name != "postgresql":
        raise SessionError(f"the engine is for {engine.dialect.name}; the queue needs PostgreSQL")
    return (
        AsyncEngineStore(engine, factory) if isinstance(engine, AsyncEngine) else EngineStore(engine, factory)
    )


class AsyncEngineStore:
    """A store on an `AsyncEngine`, with psycopg or asyncpg."""

    remedies = REMEDIES

    def __init__(self, engine: AsyncEngine, factory: SessionFactory | None = None) -> None:
        self._application = engine
        self._factory = factory
        self._engine = AsyncEngine(_bookkeeping(engine.sync_engine, AsyncAdaptedQueuePool))
        self.scopes = EngineScopes(engine, factory)
        self.listener = EngineListener(self._engine)

    async def run(self, operation: Operation[T]) -> T:
        async with asyncio.timeout(REPLY_SECONDS):
            # closed in there, too: an `async with` would take a task of its own for that
            return await AsyncSession(self._engine).run_sync(_run_and_close, operation)

    async def transact(self, steps: Steps[T]) -> T:
        async with AsyncSession(self._application) as session, session.begin():
            if _is_autocommit(self._application.sync_engine):
                await session.connection(execution_options=_IN_TRANSACTION)
            return await carry_out_async(session, steps)

    def sibling(self) -> "AsyncEngineStore":
        return AsyncEngineStore(self._application, self._factory)

    async def close(self) -> None:
        with suppress(TimeoutError):  # whatever does not even close is left behind
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._engine.dispose()


class EngineStore:
    """A store on an `Engine` with psycopg: its statements run in threads."""

    remedies = REMEDIES

    def __init__(self, engine: Engine, factory: SessionFactory | None = None) -> None:
        self._application = engine
        self._factory = factory
        self.scopes = EngineScopes(engine, factory)
        self._open()

    async def run(self, operation: Operation[T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await loop.run_in_executor(self._threads, self._run, self._engine, operation)
        except (TimeoutError, asyncio.CancelledError):
            # Nobody can interrupt the thread, and its connection may be dumb: both are left behind.
            self._start_afresh()
            raise

    async def transact(self, steps: Steps[T]) -> T:
        return await asyncio.to_thread(self._transact, steps)

    def sibling(self) -> "EngineStore":
        return EngineStore(self._application, self._factory)

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.wrap_future(self._start_afresh())

    def _open(self) -> None:
        self._engine = _bookkeeping(self._application, QueuePool)
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="pgq-store")
        self.listener = EngineListener(self._engine)

    def _start_afresh(self) -> "Future[None]":
        """Goes on with new threads and connections; answers the end of the old ones."""
        threads, engine = self._threads, self._engine
        self._open()
        closing = threads.submit(engine.pool.dispose)
        threads.shutdown(wait=False)
        return closing

    def _transact(self, steps: Steps[T]) -> T:
        with Session(self._application) as session, session.begin():
            if _is_autocommit(self._application):
                session.connection(execution_options=_IN_TRANSACTION)
            return carry_out(session, steps)

    def _run(self, engine: Engine, operation: Operation[T]) -> T:
        try:
            return _run_and_close(Session(engine), operation)
        finally:
            if engine is not self._engine:
                engine.pool.dispose()  # left behind meanwhile


def _run_and_close(session: Session, operation: Operation[T]) -> T:
    with session:
        return run(session, operation)


def _is_autocommit(engine: Engine) -> bool:
    configured = getattr(engine.dialect, "_on_connect_isolation_level", None)
    return engine.get_execution_options().get("isolation_level", configured) == "AUTOCOMMIT"


def _bookkeeping(engine: Engine, pool_class: Callable[..., Pool]) -> Engine:
    """An engine like the application's, with a small pool of its own whose statements commit one by one."""
    pool = pool_class(
        engine.pool._creator,
        pool_size=POOL_SIZE,
        max_overflow=2,
        dialect=engine.dialect,
        # the dialect's own set-up of a connection, and whatever hooks the application has added
        _dispatch=engine.pool.dispatch,
    )

    def prepare(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        for name, value in BOOKKEEPING_SETTINGS.items():
            cursor.execute(f"SET {name} = '{value}'")
        cursor.close()
        connection.commit()
        # once, and not as an option of the engine, which is set and reset for every statement
        engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")

    event.listen(pool, "connect", prepare)
    options = {
        name: value for name, value in engine.get_execution_options().items() if name != "isolation_level"
    }
    return Engine(
        pool, engine.dialect, engine.url, hide_parameters=engine.hide_parameters, execution_options=options
    )
