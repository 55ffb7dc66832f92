"""Bookkeeping: the connections on which a worker keeps the queue, apart from those that handlers may break."""

from collections import deque
from threading import Lock
from typing import TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from pgq_orm.operations import Operation
from pgq_orm.store import BOOKKEEPING_SETTINGS, STATEMENT_SECONDS
from pgq_orm_django.statements import run_on

T = TypeVar("T")

NETWORK_LIMITS = {"connect_timeout": 10, "tcp_user_timeout": (STATEMENT_SECONDS + 5) * 1000}
"""Seconds and milliseconds: a connection whose other end has vanished must not hold up its thread for long."""

PREPARING = {"server_side_binding": True, "prepare_threshold": 5}
"""A worker sends the same few statements again and again. Django has each of them planned anew unless it is told."""


class Bookkeeping:
    """A pool of Django connections to one database, each used by one thread at a time."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._lock = Lock()
        self._idle: list[BaseDatabaseWrapper] = []  # under the lock
        self._is_closed = False  # under the lock

    def run(self, operation: Operation[T]) -> T:
        """Executes an operation in a transaction of its own."""
        connection = self._borrow()
        try:
            if connection.connection is None:
                _open(connection)
            return run_on(connection, operation)
        except BaseException:
            connection.close()  # whatever it is: the next statement starts afresh
            raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Closes the connections, those that are in use as soon as they are given back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _borrow(self) -> BaseDatabaseWrapper:
        with self._lock:
            return self._idle.pop() if self._idle else bookkeeping_connection(self._using)

    def _give_back(self, connection: BaseDatabaseWrapper) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()


def bookkeeping_connection(using: str) -> BaseDatabaseWrapper:
    """A connection like the project's own (same backend, address and credentials), but plain and lasting."""
    connection = connections[using].copy()
    options = connection.settings_dict["OPTIONS"]
    for name in ("pool", "isolation_level"):
        options.pop(name, None)
    connection.settings_dict["OPTIONS"] = NETWORK_LIMITS | PREPARING | options
    connection.settings_dict |= {"AUTOCOMMIT": True, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    connection.queries_log = deque(maxlen=0)  # with DEBUG on it would keep thousands of long statements
    connection.inc_thread_sharing()
    return connection


def _open(connection: BaseDatabaseWrapper) -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in BOOKKEEPING_SETTINGS.items()))
