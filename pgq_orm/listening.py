"""Listening: the wake-ups of a psycopg connection, for every binding that has one."""

import asyncio
from collections.abc import Callable
from typing import Any

from pgq_orm.store import CHANNEL, LISTEN_CHECK_SECONDS


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
