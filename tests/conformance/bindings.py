"""Bindings: every way in which an operation reaches the database, behind one small interface.

To add one, write an adapter with `run` and `close`, and name it in BINDINGS.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import connections
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.session import run, run_async
from pgq_orm.sqlalchemy.store import AsyncEngineStore, EngineStore
from pgq_orm.store import Store
from pgq_orm_django.statements import run as run_on_django
from pgq_orm_django.store import DatabaseStore
from tests.conformance.project import point
from tests.databases import Driver, sqlalchemy_url

T = TypeVar("T")


class Binding(ABC):
    """Carries operations out, each in a transaction of its own."""

    @abstractmethod
    async def run(self, operation: Operation[T]) -> T:
        """Carries one out; what it did is committed afterwards."""

    @abstractmethod
    async def close(self) -> None:
        """Leaves no connection behind."""


class OnSession(Binding):
    def __init__(self, dsn: str) -> None:
        self._engine = create_engine(sqlalchemy_url(dsn))

    async def run(self, operation: Operation[T]) -> T:
        # in a thread, as everything that blocks: the test goes on meanwhile
        return await asyncio.to_thread(self._run, operation)

    def _run(self, operation: Operation[T]) -> T:
        with Session(self._engine) as session, session.begin():
            return run(session, operation)

    async def close(self) -> None:
        self._engine.dispose()


class OnConnection(OnSession):
    def _run(self, operation: Operation[T]) -> T:
        with self._engine.begin() as connection:
            return run(connection, operation)


class OnAsyncSession(Binding):
    def __init__(self, dsn: str, driver: Driver) -> None:
        self._engine = create_async_engine(sqlalchemy_url(dsn, driver))

    async def run(self, operation: Operation[T]) -> T:
        async with AsyncSession(self._engine) as session, session.begin():
            return await run_async(session, operation)

    async def close(self) -> None:
        await self._engine.dispose()


class OnAsyncConnection(OnAsyncSession):
    async def run(self, operation: Operation[T]) -> T:
        async with self._engine.begin() as connection:
            return await run_async(connection, operation)


class OnStore(Binding):
    """What a worker uses."""

    def __init__(self, dsn: str, open_store: Callable[[str], Store]) -> None:
        self._store = open_store(dsn)

    async def run(self, operation: Operation[T]) -> T:
        return await self._store.run(operation)

    async def close(self) -> None:
        await self._store.close()


class OnDjangoConnection(Binding):
    def __init__(self, dsn: str) -> None:
        self._using = point(dsn)

    async def run(self, operation: Operation[T]) -> T:
        return await sync_to_async(run_on_django)(operation, self._using)

    async def close(self) -> None:
        await sync_to_async(lambda: connections[self._using].close())()


def engine_store(dsn: str) -> Store:
    return EngineStore(create_engine(sqlalchemy_url(dsn)))


def async_engine_store(dsn: str, driver: Driver) -> Store:
    return AsyncEngineStore(create_async_engine(sqlalchemy_url(dsn, driver)))


def django_store(dsn: str) -> Store:
    return DatabaseStore(point(dsn))


STORES: dict[str, Callable[[str], Store]] = {
    "engine store": engine_store,
    "async engine store, psycopg": partial(async_engine_store, driver="psycopg"),
    "async engine store, asyncpg": partial(async_engine_store, driver="asyncpg"),
    "django store": django_store,
}

BINDINGS: dict[str, Callable[[str], Binding]] = {
    "session": OnSession,
    "connection": OnConnection,
    "async session, psycopg": partial(OnAsyncSession, driver="psycopg"),
    "async session, asyncpg": partial(OnAsyncSession, driver="asyncpg"),
    "async connection, psycopg": partial(OnAsyncConnection, driver="psycopg"),
    "async connection, asyncpg": partial(OnAsyncConnection, driver="asyncpg"),
    "django connection": OnDjangoConnection,
    **{name: partial(OnStore, open_store=open_store) for name, open_store in STORES.items()},
}
