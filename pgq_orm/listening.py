"""Listening: the wake-ups of a psycopg connection, for every binding that has one."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from pgq_orm.store import CHANNEL, LISTEN_CHECK_SECONDS

LISTENS = "SELECT 1 FROM pg_listening_channels()"
"""A sign of life, and a row if the session still is the one that was told to listen."""


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
            cursor = await connection.execute(LISTENS)
            require_listening(cursor.rowcount)


def require_listening(channels: int) -> None:
    """Raises ConnectionError for the answer of a session that has not been told to listen."""
    if channels == 0:
        raise ConnectionError(
            "the session that listens is not the one that answers: between them is a pooler in transaction mode, in "
            "which wake-ups are lost; give the worker an address that goes past it (docs/running.md, Poolers)"
        )
