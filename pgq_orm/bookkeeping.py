"""Bookkeeping: the connections on which a worker keeps the queue, apart from those that handlers may break."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import Any, Protocol, TypeVar

from pgq_orm.operations import Operation
from pgq_orm.store import STATEMENT_SECONDS

T = TypeVar("T")

CONNECTIONS = 3
"""Fetching, recording and upkeep at the same time."""
CONNECTING_THREADS = CONNECTIONS + 1
"""And one that listens."""
REPLY_SECONDS = STATEMENT_SECONDS + 5
"""The client's own limit: a connection that went dumb never delivers what the server says at its."""


class BookkeepingConnection(Protocol):
    """A connection that an ORM has opened, and this event loop uses without it. Each statement commits by itself.

    Whatever a call raises, the connection is closed then.
    """

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation."""
        ...

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        """Calls `on_ready` when it listens, then `on_notice` with each payload, for as long as it lives."""
        ...

    def close(self) -> None:
        """Closes it at once, whatever is under way."""
        ...


class Bookkeeping:
    """A pool of connections to one database, which `connect` opens, and another one that listens."""

    def __init__(self, connect: Callable[[], Awaitable[BookkeepingConnection]]) -> None:
        self._connect = connect
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[BookkeepingConnection] = []
        self._is_closed = False

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation in a transaction of its own. Raises TimeoutError if no answer comes."""
        async with asyncio.timeout(REPLY_SECONDS), self._room:
            connection = self._idle.pop() if self._idle else await self._connect()
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

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        """Listens on a connection that nobody else gets. See `Listener.listen`."""
        connection = await self._connect()
        try:
            await connection.listen(on_notice, on_ready)
        finally:
            connection.close()

    def close(self) -> None:
        """Closes the connections, those that are in use as soon as they have answered."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()


async def open_in_thread(threads: Executor, open_one: Callable[[], T], discard: Callable[[T], Any]) -> T:
    """What `open_one` opens in a thread.

    Discarded if nobody waits for it any more when it is there: in that thread, for the event loop may have ended.
    """
    opening = threads.submit(open_one)
    try:
        return await asyncio.shield(asyncio.wrap_future(opening))
    except asyncio.CancelledError:
        opening.cancel()
        opening.add_done_callback(lambda _: _discard(opening, discard))
        raise


def _discard(opening: "Future[T]", discard: Callable[[T], Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        discard(opening.result())
