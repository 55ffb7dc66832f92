"""Bookkeeping: how a worker's connections for keeping the queue are opened by an engine.

They come about as the application's do (same driver, credentials and event hooks), but outside of its pool, so that
handlers that exhaust it do not keep the worker from writing what they came to.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Engine, NullPool, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from pgq_orm.bookkeeping import BookkeepingConnection, open_in_thread
from pgq_orm.errors import SessionError
from pgq_orm.listening import LISTENS, require_listening
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.clauses import clause
from pgq_orm.store import BOOKKEEPING_SETTINGS, CHANNEL, LISTEN_CHECK_SECONDS

T = TypeVar("T")


def apart(engine: Engine) -> Engine:
    """An engine that connects as this one does, keeps no connections, and sets them up for the queue's statements."""
    pool = NullPool(
        engine.pool._creator,
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
        engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")

    event.listen(pool, "connect", prepare)
    return Engine(pool, engine.dialect, engine.url, hide_parameters=engine.hide_parameters)


async def connect(engine: AsyncEngine) -> BookkeepingConnection:
    """A connection of an engine that is `apart`."""
    opened = await _seen_through(engine)
    return await _taken_over(await opened.get_raw_connection(), engine.sync_engine)


async def connect_in_thread(engine: Engine, threads: Executor) -> BookkeepingConnection:
    """The same of an engine that blocks: it connects in a thread, and the event loop uses what it has opened."""
    if engine.driver != "psycopg":
        raise SessionError(f"a worker cannot keep the queue with {engine.driver}: use postgresql+psycopg")
    opened = await open_in_thread(threads, engine.raw_connection, lambda opened: opened.invalidate())
    return await _taken_over(opened, engine)


class AsyncpgConnection:
    """A connection of asyncpg that an engine has opened."""

    def __init__(self, driver: Any, engine: Engine) -> None:
        self._driver = driver
        self._dialect = engine.dialect

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation. Raises asyncpg's errors."""
        text, names = clause(operation.statement).spelling(self._dialect)
        params = [operation.params[name] for name in names or ()]
        return operation.read(await self._driver.fetch(text, *params))

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        """Listens until the connection has died. Raises asyncpg's errors."""
        terminated = asyncio.Event()
        self._driver.add_termination_listener(lambda _: terminated.set())
        await self._driver.add_listener(CHANNEL, lambda connection, pid, channel, payload: on_notice(payload))
        on_ready()
        while not terminated.is_set():
            try:
                await asyncio.wait_for(terminated.wait(), LISTEN_CHECK_SECONDS)
            except TimeoutError:
                async with asyncio.timeout(LISTEN_CHECK_SECONDS):
                    require_listening(len(await self._driver.fetch(LISTENS)))

    def close(self) -> None:
        """Closes it, whatever is under way."""
        self._driver.terminate()


async def _seen_through(engine: AsyncEngine) -> AsyncConnection:
    """Connects; when cancelled meanwhile, to the end all the same, and closes again.

    Half made, a connection would stay open on the server until the garbage collector finds it.
    """
    connecting = asyncio.ensure_future(engine.connect())
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(Exception):
            await (await asyncio.wait_for(connecting, timeout=1)).close()
        raise


async def _taken_over(opened: PoolProxiedConnection, engine: Engine) -> BookkeepingConnection:
    driver: Any = opened.driver_connection
    opened.detach()  # who forgets it now does not close it
    if engine.driver == "asyncpg":
        return AsyncpgConnection(driver, engine)
    from pgq_orm.libpq import LibpqConnection

    connection = LibpqConnection(driver)
    await connection.prepare()
    return connection
