"""Bookkeeping: how a worker's connections for keeping the queue are opened, and what they say of errors."""

from concurrent.futures import Executor
from typing import TypeVar

from django.db import ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from pgq_orm.bookkeeping import open_in_thread
from pgq_orm.libpq import LibpqConnection
from pgq_orm.operations import Operation
from pgq_orm.store import BOOKKEEPING_SETTINGS, STATEMENT_SECONDS
from pgq_orm_django.statements import in_our_words

T = TypeVar("T")

NETWORK_LIMITS = {"connect_timeout": 10, "tcp_user_timeout": (STATEMENT_SECONDS + 5) * 1000}
"""Seconds and milliseconds: a connection whose other end has vanished must not be waited for long."""

PREPARING = {"prepare_threshold": 5}
"""A worker sends the same few statements again and again. Django has each of them planned anew unless it is told."""


async def connect(using: str, threads: Executor) -> "DjangoConnection":
    """A connection to the database that Django has opened in one of these threads, with all that the project has made
    of its backend, its parameters and `connection_created`.
    """
    opened = await open_in_thread(threads, lambda: _opened(using), lambda opened: opened.connection.close())
    connection = DjangoConnection(opened)
    await connection.prepare()
    return connection


class DjangoConnection(LibpqConnection):
    """A connection that Django has opened, and an event loop uses."""

    def __init__(self, opened: BaseDatabaseWrapper) -> None:
        super().__init__(opened.connection)
        self._wrapper = opened

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation. Raises Django's errors, and SchemaError if a table is missing."""
        try:
            with self._wrapper.wrap_database_errors:
                return await super().run(operation)
        except ProgrammingError as error:
            raise in_our_words(error, self._wrapper.alias) from error.__cause__


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
