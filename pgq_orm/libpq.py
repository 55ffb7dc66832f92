"""Libpq: connections that an ORM has opened with psycopg, and an event loop uses."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from psycopg import AsyncConnection, Connection

from pgq_orm.listening import LISTENS, require_listening
from pgq_orm.operations import Operation
from pgq_orm.store import CHANNEL, LISTEN_CHECK_SECONDS

T = TypeVar("T")


class LibpqConnection:
    """Takes over what lies below a connection of psycopg. The ORM must not use that any more."""

    def __init__(self, opened: "Connection | AsyncConnection") -> None:
        self._opened = opened  # it would complain if it were forgotten while it is open
        self._driver = AsyncConnection(opened.pgconn)
        self._driver.prepare_threshold = opened.prepare_threshold

    async def prepare(self) -> None:
        """Lets each statement commit by itself. Closes the connection if it cannot."""
        try:
            await self._driver.set_autocommit(True)
        except BaseException:
            self.close()
            raise

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation. Raises psycopg's errors."""
        # binary: shorter, so that the server seldom has to wait with a long answer until the loop is free to read it
        cursor = self._driver.cursor(binary=True)
        await cursor.execute(operation.statement.pyformat, operation.params)
        rows = await cursor.fetchall() if cursor.description else ()
        return operation.read(rows)

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        """Listens until the connection dies. Raises psycopg's errors."""
        await self._driver.execute(f"LISTEN {CHANNEL}")
        on_ready()
        while True:
            async for notice in self._driver.notifies(timeout=LISTEN_CHECK_SECONDS):
                on_notice(notice.payload)
            # A connection whose other end has vanished looks like a quiet one, until it is used.
            async with asyncio.timeout(LISTEN_CHECK_SECONDS):
                cursor = await self._driver.execute(LISTENS)
                require_listening(cursor.rowcount)

    def close(self) -> None:
        """Closes it, whatever is under way."""
        self._driver.pgconn.finish()
