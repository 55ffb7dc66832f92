"""Callers: an application in the middle of a transaction, sync or async, behind one face to be awaited.

To add one, write an adapter with Caller's methods, and name it in CALLERS.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import pgq_orm_django
from pgq_orm.sqlalchemy import Queries, SyncQueries
from tests.conformance.project import point
from tests.databases import Driver, sqlalchemy_url

Rows: TypeAlias = Sequence[Sequence[Any]]
Carrier: TypeAlias = Any
"""What carries a transaction in SQLAlchemy: sessions and connections of any kind all have the same verbs."""


class Caller(ABC):
    """One caller and its transaction, which begins with the first statement."""

    @abstractmethod
    async def enqueue(self, *arguments: Any, **options: Any) -> list[int | None]: ...

    @abstractmethod
    async def cancel(self, job_ids: list[int]) -> dict[int, bool]: ...

    @abstractmethod
    async def ask(self, method: str, *arguments: Any, **options: Any) -> Any: ...

    @abstractmethod
    async def execute(self, statement: str) -> Rows: ...

    @abstractmethod
    async def set_savepoint(self) -> None: ...

    @abstractmethod
    async def rollback_to_savepoint(self) -> None: ...

    @abstractmethod
    async def commit(self) -> None: ...

    @abstractmethod
    async def rollback(self) -> None: ...


class SqlAlchemyCaller(Caller):
    """A session or connection of SQLAlchemy, sync or async, scoped or not."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self._is_async = isinstance(carrier, AsyncSession | AsyncConnection | async_scoped_session)
        self._queries: Any = Queries(carrier) if self._is_async else SyncQueries(carrier)
        self._savepoint: Any = None

    async def enqueue(self, *arguments: Any, **options: Any) -> list[int | None]:
        return await self.call(self._queries.enqueue, *arguments, **options)

    async def cancel(self, job_ids: list[int]) -> dict[int, bool]:
        return await self.call(self._queries.mark_job_as_cancelled, job_ids)

    async def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await self.call(getattr(self._queries, method), *arguments, **options)

    async def execute(self, statement: str) -> Rows:
        result = await self.call(self.carrier.execute, text(statement))
        return result.all() if result.returns_rows else []

    async def set_savepoint(self) -> None:
        self._savepoint = await self.call(self.carrier.begin_nested)

    async def rollback_to_savepoint(self) -> None:
        await self.call(self._savepoint.rollback)

    async def commit(self) -> None:
        await self.call(self.carrier.commit)

    async def rollback(self) -> None:
        await self.call(self.carrier.rollback)

    async def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls a function of the carrier: awaits it, or has a thread wait for it."""
        if self._is_async:
            return await function(*arguments, **options)
        return await asyncio.to_thread(function, *arguments, **options)


class DjangoCaller(Caller):
    """Django's connection to a database, in the thread in which Django's own async methods use it."""

    def __init__(self, using: str) -> None:
        self._using = using

    async def enqueue(self, *arguments: Any, **options: Any) -> list[int | None]:
        answer = await pgq_orm_django.aenqueue(*arguments, using=self._using, **options)
        return answer if isinstance(answer, list) else [answer]

    async def cancel(self, job_ids: list[int]) -> dict[int, bool]:
        return await pgq_orm_django.acancel(job_ids, using=self._using)

    async def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await getattr(pgq_orm_django, f"a{method}")(*arguments, using=self._using, **options)

    @sync_to_async
    def execute(self, statement: str) -> Rows:
        with connections[self._using].cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @sync_to_async
    def begin(self) -> None:
        transaction.set_autocommit(False, self._using)

    async def set_savepoint(self) -> None:
        # as atomic() does, which cannot be left in another call than it was entered
        await self.execute("SAVEPOINT here")

    async def rollback_to_savepoint(self) -> None:
        await self.execute("ROLLBACK TO SAVEPOINT here")

    @sync_to_async
    def commit(self) -> None:
        transaction.commit(self._using)

    @sync_to_async
    def rollback(self) -> None:
        transaction.rollback(self._using)

    @sync_to_async
    def close(self) -> None:
        connections[self._using].close()


@asynccontextmanager
async def opened(dsn: str, open_carrier: Callable[[Any], Carrier]) -> AsyncIterator[Caller]:
    engine = create_engine(sqlalchemy_url(dsn))
    carrier = open_carrier(engine)
    yield SqlAlchemyCaller(carrier)
    carrier.close()
    engine.dispose()


@asynccontextmanager
async def opened_async(
    dsn: str, open_carrier: Callable[[AsyncEngine], Carrier], driver: Driver
) -> AsyncIterator[Caller]:
    engine = create_async_engine(sqlalchemy_url(dsn, driver))
    carrier = open_carrier(engine)
    if isinstance(carrier, AsyncConnection):
        await carrier.start()
    yield SqlAlchemyCaller(carrier)
    await carrier.close()
    await engine.dispose()


@asynccontextmanager
async def opened_django(dsn: str) -> AsyncIterator[Caller]:
    caller = DjangoCaller(point(dsn))
    await caller.begin()
    yield caller
    await caller.close()


def a_connection(engine: Any) -> Connection:
    return engine.connect()


def a_scoped_session(engine: Any) -> scoped_session[Session]:
    return scoped_session(sessionmaker(engine), scopefunc=lambda: "the one request")


def an_async_connection(engine: AsyncEngine) -> AsyncConnection:
    return engine.connect()


def an_async_scoped_session(engine: AsyncEngine) -> async_scoped_session[AsyncSession]:
    return async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: "the one request")


OpenCaller: TypeAlias = Callable[[str], AbstractAsyncContextManager[Caller]]

CALLERS: dict[str, OpenCaller] = {
    "session": partial(opened, open_carrier=Session),
    "connection": partial(opened, open_carrier=a_connection),
    "scoped session": partial(opened, open_carrier=a_scoped_session),
    "async session, psycopg": partial(opened_async, open_carrier=AsyncSession, driver="psycopg"),
    "async session, asyncpg": partial(opened_async, open_carrier=AsyncSession, driver="asyncpg"),
    "async connection, psycopg": partial(opened_async, open_carrier=an_async_connection, driver="psycopg"),
    "async connection, asyncpg": partial(opened_async, open_carrier=an_async_connection, driver="asyncpg"),
    "async scoped session, psycopg": partial(
        opened_async, open_carrier=an_async_scoped_session, driver="psycopg"
    ),
    "async scoped session, asyncpg": partial(
        opened_async, open_carrier=an_async_scoped_session, driver="asyncpg"
    ),
    "django": opened_django,
}
