"""Server: the PostgreSQL on which everything is measured, and what can be read off it from outside."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psutil
import psycopg
from psycopg import sql

from pgq_orm.embedded import EmbeddedServer

SETTINGS = {
    # No checkpoint in the middle of a measurement: its full-page images would fall on whoever runs just then.
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}
REPORTED = (
    "server_version",
    "shared_buffers",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_compression",
    "max_connections",
    "autovacuum",
)


class Server:
    """Databases for contestants, and the server's own counters. One connection, used by one thread."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._admin = psycopg.connect(dsn, autocommit=True)
        self._processes = self._postmaster()

    def close(self) -> None:
        """Closes the connection."""
        self._admin.close()

    def create(self, name: str, template: str = "template1") -> str:
        """A new database in the place of whatever has its name; answers its DSN."""
        self.drop(name)
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        # Put together by hand: urlunsplit drops the empty authority of postgresql:///name?host=…
        scheme, address, _, query, _ = urlsplit(self.dsn)
        return f"{scheme}://{address}/{name}" + (f"?{query}" if query else "")

    def drop(self, name: str) -> None:
        """Removes a database, whoever still uses it."""
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def wal_bytes(self) -> int:
        """How much has been written to the write-ahead log since the server was made."""
        return int(self._value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def transactions(self, database: str) -> int:
        """How many transactions ended in a database, as far as its sessions have told."""
        return int(
            self._value(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", [database]
            )
        )

    def cpu_seconds(self) -> float | None:
        """CPU time of all the server's processes, those that have ended included; None if it runs elsewhere."""
        if self._processes is None:
            return None
        while True:
            before = self._processes.cpu_times()
            seconds = before.user + before.system + before.children_user + before.children_system
            for process in self._processes.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    seconds += times.user + times.system
            after = self._processes.cpu_times()
            # a session that ended meanwhile would be counted twice, or not at all
            if (after.children_user, after.children_system) == (before.children_user, before.children_system):
                return float(seconds)

    def settings(self) -> dict[str, str]:
        """What it is, and how it is set."""
        rows = self._admin.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)", [list(REPORTED)]
        )
        return dict(sorted(rows.fetchall()))

    def _value(self, query: LiteralString, parameters: list[Any] | None = None) -> Any:
        row = self._admin.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]

    def _postmaster(self) -> psutil.Process | None:
        pid = self._value("SELECT CASE WHEN inet_server_addr() IS NULL THEN pg_backend_pid() END")
        if pid is None:
            return None
        try:
            process = psutil.Process(pid).parent()
            if process is None or "postgres" not in process.name():
                return None
            process.cpu_times()
        except psutil.Error:
            return None
        return process


@contextmanager
def running_server() -> Iterator[Server]:
    """The server of PGQ_DSN, where databases may be created; or one that lasts as long as the block, with fsync."""
    given = os.environ.get("PGQ_DSN")
    with (
        nullcontext() if given else EmbeddedServer(durable=True, settings=SETTINGS) as embedded,
        closing(Server(given or embedded.dsn)) as server,  # type: ignore[union-attr]
    ):
        yield server
