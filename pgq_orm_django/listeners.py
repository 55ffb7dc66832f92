"""Listeners: hear NOTIFY on a bare psycopg connection, made from Django's own parameters."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import connections
from psycopg import AsyncConnection

from pgq_orm.listening import listen_on_psycopg
from pgq_orm_django.bookkeeping import NETWORK_LIMITS


class ConnectionListener:
    """Listens on one of `settings.DATABASES`."""

    def __init__(self, using: str) -> None:
        self._using = using

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        async with await _connect(self._parameters()) as connection:
            await listen_on_psycopg(connection, on_notice, on_ready)

    def _parameters(self) -> dict[str, Any]:
        parameters = NETWORK_LIMITS | connections[self._using].get_connection_params()
        # made for Django's own, synchronous cursors
        for name in ("cursor_factory", "context"):
            parameters.pop(name, None)
        return parameters


async def _connect(parameters: dict[str, Any]) -> AsyncConnection:
    connecting = asyncio.create_task(AsyncConnection.connect(**parameters, autocommit=True))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # Seen through to its end: half made, it would stay open until the garbage collector finds it
        with suppress(Exception):
            await (await asyncio.wait_for(connecting, timeout=1)).close()
        raise
