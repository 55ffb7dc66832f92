"""Workshop: brings jobs to where a test needs them, by the statements of a worker, on a connection of its own."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import namedtuple_row

from pgq_orm import operations
from pgq_orm.models import Job
from pgq_orm.operations import Operation
from pgq_orm.operations.additions import DEFAULT_QUEUE
from pgq_orm.operations.endings import FailedAttempt, Outcome
from pgq_orm.statuses import LogStatus

T = TypeVar("T")

TABLES = ("pgq_job", "pgq_log", "pgq_schedule", "pgq_worker", "pgq_queue", "pgq_bucket", "pgq_dependency")


class Workshop:
    """A worker's hands on an autocommitting connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.worker_id = uuid4()

    def empty(self) -> None:
        """Removes all rows, and lets the worker register anew."""
        self.connection.execute("; ".join(f"DELETE FROM {table}" for table in TABLES).encode())
        self.register(self.worker_id)

    def register(self, worker_id: UUID, lease_seconds: float = 30) -> None:
        self.run(
            operations.register_worker(
                worker_id,
                lease_seconds=lease_seconds,
                pid=1,
                hostname="here",
                queues=[DEFAULT_QUEUE],
                entrypoints=["mail"],
            )
        )

    def run(self, operation: Operation[T]) -> T:
        """Carries an operation out and commits it."""
        cursor = self.connection.execute(operation.statement.pyformat.encode(), operation.params)
        return operation.read(cursor.fetchall() if cursor.description else ())

    def add(self, entrypoint: str = "mail", payload: bytes | None = None, **options: Any) -> int:
        """Enqueues a job; answers its id."""
        (insert,) = operations.enqueue(entrypoint, payload, **options).inserts
        (added,) = self.run(insert)
        assert added.id is not None
        return added.id

    def pick(self, job_id: int) -> Job:
        """Picks the job, which is the next one of its entrypoint and queue."""
        queue, entrypoint = self.row("SELECT queue, entrypoint FROM pgq_job WHERE id = %s", job_id)
        (job,) = self.run(operations.pick(self.worker_id, queue, [entrypoint], batch_size=1))
        assert job.id == job_id
        return job

    def retry(self, job_id: int) -> None:
        """Picks the job and fails it, to be run again at once."""
        job = self.pick(job_id)
        assert self.run(
            operations.retry(
                self.worker_id, [FailedAttempt(job.id, job.lease, -1.0, 0.1, "Error: once", "trace")]
            )
        )

    def finish(
        self,
        job_id: int,
        status: LogStatus = LogStatus.SUCCESSFUL,
        result: str | None = None,
        error: str | None = None,
    ) -> int:
        """Picks the job and ends it; answers its id."""
        job = self.pick(job_id)
        self.end(job, status, result, error)
        return job_id

    def end(
        self,
        job: Job,
        status: LogStatus = LogStatus.SUCCESSFUL,
        result: str | None = None,
        error: str | None = None,
    ) -> None:
        """Ends a job that was picked."""
        outcome = Outcome(job.id, job.lease, status, 0.0, 0.1, result, error, error and f"trace of {error}")
        assert self.run(operations.finish([outcome])) == {job.id}

    def fail(self, job_id: int, error: str = "ValueError: no") -> int:
        """Picks the job and ends it as `exception`; answers its id."""
        return self.finish(job_id, LogStatus.EXCEPTION, error=error)

    def add_schedule(self, entrypoint: str = "balance", **columns: Any) -> int:
        """A daily schedule; answers its id."""
        given: Mapping[str, Any] = {"expression": "@daily", "next_run": "2100-01-01T00:00Z"} | columns
        names, marks = ", ".join(given), ", ".join(["%s"] * len(given))
        return self.value(
            f"INSERT INTO pgq_schedule (entrypoint, {names}) VALUES (%s, {marks}) RETURNING id",
            entrypoint,
            *given.values(),
        )

    def job(self, job_id: int | None) -> Any:
        """The row of a job, None if it is gone."""
        return self.row("SELECT * FROM pgq_job WHERE id = %s", job_id)

    def log(self, job_id: int) -> Any:
        """The row of a job's last attempt, None if there is none."""
        return self.row("SELECT * FROM pgq_log WHERE job_id = %s ORDER BY id DESC LIMIT 1", job_id)

    def row(self, query: str, *parameters: object) -> Any:
        """The first row that a query answers."""
        cursor = self.connection.cursor(row_factory=namedtuple_row)
        return cursor.execute(query.encode(), parameters).fetchone()

    def value(self, query: str, *parameters: object) -> Any:
        """The one value that a query answers."""
        row: Any = self.connection.execute(query.encode(), parameters).fetchone()
        return row[0]
