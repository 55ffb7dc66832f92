"""Listening: the wake-ups of a psycopg connection, for every binding that has one."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from pgq_orm.store import CHANNEL, LISTEN_CHECK_SECONDS


class Closable(Protocol):
    """A connection."""

    async def close(self) -> None:
        """Closes it."""
        ...


ClosableT = TypeVar("ClosableT", bound=Closable)


async def seen_through(connecting: Coroutine[Any, Any, ClosableT]) -> ClosableT:
    """Connects; when cancelled meanwhile, to the end all the same, and closes again.

    Half made, a connection would stay open on the server until the garbage collector finds it.
    """
    task = asyncio.create_task(connecting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await (await asyncio.wait_for(task, timeout=1)).close()
        raise


async def listen_on_psycopg(
    connection: Any, on_notice: Callable[[str], None], on_ready: Callable[[], None]
) -> None:
    """Listens on an autocommitting `psycopg.AsyncConnection` until it dies. See `Listener.listen`."""
    await connection.execute(f"LISTEN {CHANNEL}")
    on_ready()
    while True:
        async for notice in connection.notifies(timeout=LISTEN_CHECK_SECONDS):
            on_notice(notice.payload)
        # A connection whose other end has vanished looks like a quiet one, until it is used.
        async with asyncio.timeout(LISTEN_CHECK_SECONDS):
            await connection.execute("SELECT 1")
