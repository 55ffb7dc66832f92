"""Askers: an application in the middle of a transaction, sync or async, behind one face to be awaited.

To add one, name it in ASKERS.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.db.transaction import Atomic
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import pgq_orm_django
from pgq_orm.sqlalchemy import Queries, SyncQueries
from tests.conformance.project import point
from tests.databases import Driver, sqlalchemy_url


class Asker:
    """Queries on a session or connection, whose transaction begins with the first statement."""

    def __init__(self, carrier: Any) -> None:
        is_async = isinstance(carrier, AsyncSession | AsyncConnection)
        self._carrier = carrier
        self._queries: Any = Queries(carrier) if is_async else SyncQueries(carrier)

    async def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Calls a method of the queries, and awaits what has to be awaited."""
        return await _answered(getattr(self._queries, method)(*arguments, **options))

    async def commit(self) -> None:
        await _answered(self._carrier.commit())

    async def rollback(self) -> None:
        await _answered(self._carrier.rollback())

    async def close(self) -> None:
        await _answered(self._carrier.close())


class DjangoAsker(Asker):
    """The functions of `pgq_orm_django`, or their twins, inside an atomic block that begins with the first of them."""

    SPELLED = {"mark_job_as_cancelled": "cancel"}  # and wait_for is its own twin: await_for

    def __init__(self, dsn: str, prefix: str) -> None:
        self._using = point(dsn)
        self._prefix = prefix
        self._block: Atomic | None = None

    async def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        if self._block is None:
            self._block = transaction.atomic(self._using)
            await sync_to_async(self._block.__enter__)()
        function = getattr(pgq_orm_django, self._prefix + self.SPELLED.get(method, method))
        answer = await (function if self._prefix else sync_to_async(function))(*arguments, **options)
        return [answer] if method == "enqueue" and isinstance(answer, int) else answer

    async def commit(self) -> None:
        await sync_to_async(self._leave)()

    async def rollback(self) -> None:
        await sync_to_async(self._leave)(is_to_commit=False)

    async def close(self) -> None:
        await self.rollback()
        await sync_to_async(lambda: connections[self._using].close())()

    def _leave(self, is_to_commit: bool = True) -> None:
        if self._block is not None:
            transaction.set_rollback(not is_to_commit, self._using)
            self._block.__exit__(None, None, None)
            self._block = None


async def _answered(answer: Any) -> Any:
    return await answer if isawaitable(answer) else answer


@asynccontextmanager
async def opened(dsn: str, open_carrier: Callable[[Engine], Any]) -> AsyncIterator[Asker]:
    engine = create_engine(sqlalchemy_url(dsn))
    asker = Asker(open_carrier(engine))
    yield asker
    await asker.close()
    engine.dispose()


@asynccontextmanager
async def opened_async(
    dsn: str, open_carrier: Callable[[AsyncEngine], Any], driver: Driver
) -> AsyncIterator[Asker]:
    engine = create_async_engine(sqlalchemy_url(dsn, driver))
    carrier = open_carrier(engine)
    if isinstance(carrier, AsyncConnection):
        await carrier.start()
    asker = Asker(carrier)
    yield asker
    await asker.close()
    await engine.dispose()


@asynccontextmanager
async def opened_django(dsn: str, prefix: str) -> AsyncIterator[Asker]:
    asker = DjangoAsker(dsn, prefix)
    await asker.close()  # whatever another test has left in this thread is connected to its own database
    yield asker
    await asker.close()


OpenAsker: TypeAlias = Callable[[str], AbstractAsyncContextManager[Asker]]

ASKERS: dict[str, OpenAsker] = {
    "session": partial(opened, open_carrier=Session),
    "connection": partial(opened, open_carrier=Engine.connect),
    "async session, psycopg": partial(opened_async, open_carrier=AsyncSession, driver="psycopg"),
    "async session, asyncpg": partial(opened_async, open_carrier=AsyncSession, driver="asyncpg"),
    "async connection, psycopg": partial(opened_async, open_carrier=AsyncEngine.connect, driver="psycopg"),
    "async connection, asyncpg": partial(opened_async, open_carrier=AsyncEngine.connect, driver="asyncpg"),
    "django": partial(opened_django, prefix=""),
    "django, awaited": partial(opened_django, prefix="a"),
}
