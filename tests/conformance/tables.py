"""Tables: rows put in as a test needs them, and read back, past every binding."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

NAMES = ("pgq_job", "pgq_log", "pgq_schedule", "pgq_worker", "pgq_queue", "pgq_bucket", "pgq_dependency")


def ago(**parts: float) -> datetime:
    """The instant that lies so far back: `ago(seconds=5)`."""
    return datetime.now(UTC) - timedelta(**parts)


class Tables:
    """The queue's tables, on an autocommitting connection of their own."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def empty(self) -> None:
        """Removes all rows."""
        self._connection.execute("; ".join(f"DELETE FROM {name}" for name in NAMES).encode())

    def add_job(self, **columns: Any) -> int:
        """A job as an application would enqueue it, but for the columns given; answers its id."""
        return self._add("pgq_job", {"entrypoint": "mail"} | columns)

    def add_picked_job(self, worker_id: UUID | None, **columns: Any) -> int:
        """A job that a worker holds under lease 1; answers its id."""
        return self.add_job(**{"status": "picked", "lease": 1, "worker_id": worker_id} | columns)

    def add_worker(self, **columns: Any) -> UUID:
        """A worker that has just beaten, with a lease of 30 seconds; answers its id."""
        given = {
            "id": uuid4(),
            "lease_seconds": 30,
            "pid": 1,
            "hostname": "here",
            "queues": [],
            "entrypoints": [],
        }
        return self._add("pgq_worker", given | columns)

    def add_dead_worker(self) -> UUID:
        """A worker whose last heartbeat is older than its lease; answers its id."""
        return self.add_worker(heartbeat=ago(seconds=31))

    def add_schedule(self, **columns: Any) -> int:
        """A daily schedule in UTC; answers its id."""
        given = {"entrypoint": "balance", "expression": "@daily", "next_run": ago(seconds=1)}
        return self._add("pgq_schedule", given | columns)

    def add_log(self, **columns: Any) -> int:
        """The trace of a job that succeeded; answers its id."""
        given = {
            "job_id": 1,
            "enqueued": ago(seconds=1),
            "execute_after": ago(seconds=1),
            "priority": 0,
            "attempt": 1,
            "status": "successful",
            "queue": "default",
            "entrypoint": "mail",
        }
        return self._add("pgq_log", given | columns)

    def job(self, job_id: int | None) -> Any:
        """The row of a job, None if it is gone."""
        return next((row for row in self.jobs() if row.id == job_id), None)

    def jobs(self) -> list[Any]:
        """All jobs, in the order of their ids."""
        return self._rows("pgq_job")

    def statuses(self) -> dict[int, str]:
        """Where each job is in its life, or how it ended."""
        return {row.id: row.status for row in self.jobs()} | {
            row.job_id: row.status for row in self.logs() if not row.retried
        }

    def logs(self) -> list[Any]:
        """All log rows, in the order of their ids."""
        return self._rows("pgq_log")

    def schedule(self) -> Any:
        """The one schedule."""
        (row,) = self._rows("pgq_schedule")
        return row

    def workers(self) -> list[Any]:
        """All workers."""
        return self._rows("pgq_worker")

    def count_jobs(self) -> int:
        """How many jobs somebody sees who stands outside every transaction."""
        return self.ask("SELECT count(*) FROM pgq_job")

    def now(self) -> datetime:
        """The database's clock."""
        return self.ask("SELECT clock_timestamp()")

    def ask(self, query: str, *parameters: object) -> Any:
        """The one value that a query answers."""
        return _one(self._connection.execute(query.encode(), parameters))

    def is_somebody_waiting(self) -> bool:
        """Whether a statement waits for a lock."""
        return self.ask(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )

    def execute(self, statement: str, *parameters: object) -> None:
        """Carries a statement out and commits it."""
        self._connection.execute(statement.encode(), parameters)

    def _rows(self, table: str) -> list[Any]:
        cursor = self._connection.cursor(row_factory=namedtuple_row)
        query = sql.SQL("SELECT * FROM {} ORDER BY id").format(sql.Identifier(table))
        return cursor.execute(query).fetchall()

    def _add(self, table: str, columns: Mapping[str, Any]) -> Any:
        values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        )
        return _one(self._connection.execute(insert, values))


def _one(cursor: psycopg.Cursor) -> Any:
    ((value,),) = cursor.fetchall()
    return value
