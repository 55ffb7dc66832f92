"""Askers: an application in the middle of a transaction, sync or async, behind one face to be awaited.

To add one, name it in ASKERS.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm.sqlalchemy import Queries, SyncQueries
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


OpenAsker: TypeAlias = Callable[[str], AbstractAsyncContextManager[Asker]]

ASKERS: dict[str, OpenAsker] = {
    "session": partial(opened, open_carrier=Session),
    "connection": partial(opened, open_carrier=Engine.connect),
    "async session, psycopg": partial(opened_async, open_carrier=AsyncSession, driver="psycopg"),
    "async session, asyncpg": partial(opened_async, open_carrier=AsyncSession, driver="asyncpg"),
    "async connection, psycopg": partial(opened_async, open_carrier=AsyncEngine.connect, driver="psycopg"),
    "async connection, asyncpg": partial(opened_async, open_carrier=AsyncEngine.connect, driver="asyncpg"),
}
