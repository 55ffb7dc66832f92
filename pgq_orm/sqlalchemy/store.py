"""Store: the worker's view of the database, on connections of its own that the application's engine has opened."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from pgq_orm.bookkeeping import CONNECTING_THREADS, Bookkeeping
from pgq_orm.errors import SessionError
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.bookkeeping import apart, connect, connect_in_thread
from pgq_orm.sqlalchemy.engines import SessionFactory, engine_of
from pgq_orm.sqlalchemy.remedies import REMEDIES
from pgq_orm.sqlalchemy.scopes import EngineScopes
from pgq_orm.sqlalchemy.session import carry_out, carry_out_async, missing_tables
from pgq_orm.steps import Steps
from pgq_orm.store import Store

T = TypeVar("T")

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


class _OnBookkeeping:
    """What both stores have in common."""

    remedies = REMEDIES
    url: URL
    """Where the database is."""
    _bookkeeping: Bookkeeping

    async def run(self, operation: Operation[T]) -> T:
        try:
            return await self._bookkeeping.run(operation)
        except Exception as error:
            if explained := missing_tables(error):
                raise explained from error
            raise


class AsyncEngineStore(_OnBookkeeping):
    """A store on an `AsyncEngine`, with psycopg or asyncpg."""

    def __init__(self, engine: AsyncEngine, factory: SessionFactory | None = None) -> None:
        self.url = engine.url
        self._application = engine
        self._factory = factory
        self._engine = AsyncEngine(apart(engine.sync_engine))
        self.scopes = EngineScopes(engine, factory)
        self._open()

    async def transact(self, steps: Steps[T]) -> T:
        async with AsyncSession(self._application) as session, session.begin():
            if _is_autocommit(self._application.sync_engine):
                await session.connection(execution_options=_IN_TRANSACTION)
            return await carry_out_async(session, steps)

    def sibling(self) -> "AsyncEngineStore":
        return AsyncEngineStore(self._application, self._factory)

    async def close(self) -> None:
        self._bookkeeping.close()
        self._open()

    def _open(self) -> None:
        self.listener = self._bookkeeping = Bookkeeping(lambda: connect(self._engine))


class EngineStore(_OnBookkeeping):
    """A store on an `Engine` with psycopg."""

    def __init__(self, engine: Engine, factory: SessionFactory | None = None) -> None:
        self.url = engine.url
        self._application = engine
        self._factory = factory
        self._engine = apart(engine)
        self.scopes = EngineScopes(engine, factory)
        self._open()

    async def transact(self, steps: Steps[T]) -> T:
        return await asyncio.to_thread(self._transact, steps)

    def sibling(self) -> "EngineStore":
        return EngineStore(self._application, self._factory)

    async def close(self) -> None:
        self._bookkeeping.close()
        self._threads.shutdown(wait=False)
        self._open()

    def _open(self) -> None:
        self._threads = threads = ThreadPoolExecutor(CONNECTING_THREADS, thread_name_prefix="pgq-store")
        self.listener = self._bookkeeping = Bookkeeping(lambda: connect_in_thread(self._engine, threads))

    def _transact(self, steps: Steps[T]) -> T:
        with Session(self._application) as session, session.begin():
            if _is_autocommit(self._application):
                session.connection(execution_options=_IN_TRANSACTION)
            return carry_out(session, steps)


def _is_autocommit(engine: Engine) -> bool:
    configured = getattr(engine.dialect, "_on_connect_isolation_level", None)
    return engine.get_execution_options().get("isolation_level", configured) == "AUTOCOMMIT"
