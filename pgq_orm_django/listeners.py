"""Listeners: hear NOTIFY on a bare psycopg connection, made from Django's own parameters."""

from collections.abc import Callable
from typing import Any

from django.db import connections
from psycopg import AsyncConnection

from pgq_orm.listening import listen_on_psycopg, seen_through
from pgq_orm_django.bookkeeping import NETWORK_LIMITS


class ConnectionListener:
    """Listens on one of `settings.DATABASES`."""

    def __init__(self, using: str) -> None:
        self._using = using

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        connecting = AsyncConnection.connect(**self._parameters(), autocommit=True)
        async with await seen_through(connecting) as connection:
            await listen_on_psycopg(connection, on_notice, on_ready)

    def _parameters(self) -> dict[str, Any]:
        parameters = NETWORK_LIMITS | connections[self._using].get_connection_params()
        # made for Django's own, synchronous cursors
        for name in ("cursor_factory", "context"):
            parameters.pop(name, None)
        return parameters
