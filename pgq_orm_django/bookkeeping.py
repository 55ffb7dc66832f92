"""Bookkeeping: the connections on which a worker keeps the queue, apart from those that handlers may break."""

import asyncio
from concurrent.futures import Executor
from typing import TypeVar

from django.db import ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import AsyncConnection

from pgq_orm.operations import Operation
from pgq_orm.store import BOOKKEEPING_SETTINGS, STATEMENT_SECONDS
from pgq_orm_django.statements import in_our_words

T = TypeVar("T")

CONNECTIONS = 3
"""Fetching, recording and upkeep at the same time."""

NETWORK_LIMITS = {"connect_timeout": 10, "tcp_user_timeout": (STATEMENT_SECONDS + 5) * 1000}
"""Seconds and milliseconds: a connection whose other end has vanished must not be waited for long."""

PREPARING = {"prepare_threshold": 5}
"""A worker sends the same few statements again and again. Django has each of them planned anew unless it is told."""


class Bookkeeping:
    """A pool of connections to one database.

    Django opens them in `threads`, with all that the project has made of its backend, its parameters and
    `connection_created`. The statements are the event loop's own: in threads they would wait for its interpreter lock.
    """

    def __init__(self, using: str, threads: Executor) -> None:
        self._using = using
        self._threads = threads
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[LoopConnection] = []
        self._is_closed = False

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation in a transaction of its own."""
        async with self._room:
            connection = self._idle.pop() if self._idle else await self._open()
            try:
                answer = await connection.run(operation)
            except BaseException:
                connection.close()  # whatever it is: the next statement starts afresh
                raise
            if self._is_closed:
                connection.close()
            else:
                self._idle.append(connection)
            return answer

    def close(self) -> None:
        """Closes the connections, those that are in use as soon as they have answered."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _open(self) -> "LoopConnection":
        opening = asyncio.get_running_loop().run_in_executor(self._threads, _opened, self._using)
        try:
            connection = LoopConnection(await asyncio.shield(opening))
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            raise
        await connection.prepare()
        return connection


class LoopConnection:
    """A connection that Django has opened, and an event loop uses."""

    def __init__(self, opened: BaseDatabaseWrapper) -> None:
        self._opened = opened
        self._driver = AsyncConnection(opened.connection.pgconn)
        self._driver.prepare_threshold = opened.connection.prepare_threshold

    async def prepare(self) -> None:
        """Lets each statement commit by itself."""
        await self._driver.set_autocommit(True)

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation. Raises Django's errors, and SchemaError if a table is missing."""
        # binary: shorter, so that the server seldom has to wait with a long answer until the loop is free to read it
        cursor = self._driver.cursor(binary=True)
        try:
            with self._opened.wrap_database_errors:
                await cursor.execute(operation.statement.pyformat, operation.params)
                rows = await cursor.fetchall() if cursor.description else ()
        except ProgrammingError as error:
            raise in_our_words(error, self._opened.alias) from error.__cause__
        return operation.read(rows)

    def close(self) -> None:
        """Closes it for Django, too."""
        self._driver.pgconn.finish()


def _opened(using: str) -> BaseDatabaseWrapper:
    """An open connection like the project's own (same backend, address and credentials), but plain and lasting."""
    connection = connections[using].copy()
    options = connection.settings_dict["OPTIONS"]
    for name in ("pool", "isolation_level"):
        options.pop(name, None)
    connection.settings_dict["OPTIONS"] = NETWORK_LIMITS | PREPARING | options
    connection.settings_dict |= {"AUTOCOMMIT": True, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute(
                "; ".join(f"SET {name} = '{value}'" for name, value in BOOKKEEPING_SETTINGS.items())
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _close_unused(opening: "asyncio.Future[BaseDatabaseWrapper]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().connection.close()
