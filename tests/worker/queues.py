"""Queues: what a test does to a queue, and sees of it, from outside any worker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Row, create_engine, text

from pgq_orm.sqlalchemy import SyncQueries
from tests.databases import sqlalchemy_url


class Queue:
    """A database's queue. Every call is a transaction of its own, and survives the loss of its connection."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.engine: Engine = create_engine(sqlalchemy_url(dsn), pool_pre_ping=True)

    def enqueue(self, entrypoint: str, payload: Any = None, **options: Any) -> list[int]:
        with self.engine.begin() as connection:
            return SyncQueries(connection).enqueue(entrypoint, payload, **options)

    def cancel(self, *job_ids: int) -> dict[int, bool]:
        with self.engine.begin() as connection:
            return SyncQueries(connection).mark_job_as_cancelled(job_ids)

    def execute(self, statement: str, **parameters: Any) -> Sequence[Row[Any]]:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return result.all() if result.returns_rows else ()

    def scalars(self, statement: str, **parameters: Any) -> list[Any]:
        return [row[0] for row in self.execute(statement, **parameters)]

    def jobs(self) -> Sequence[Row[Any]]:
        """What is still to be done."""
        return self.execute("SELECT * FROM pgq_job ORDER BY id")

    def job(self, job_id: int) -> Row[Any]:
        [job] = self.execute("SELECT * FROM pgq_job WHERE id = :id", id=job_id)
        return job

    def log(self, job_id: int | None = None) -> Sequence[Row[Any]]:
        """What has been done, in order; of one job, or of all."""
        return self.execute(
            "SELECT * FROM pgq_log WHERE job_id = COALESCE(CAST(:id AS bigint), job_id) ORDER BY id",
            id=job_id,
        )

    def statuses(self, job_id: int | None = None) -> list[str]:
        return [entry.status for entry in self.log(job_id)]

    def worker_ids(self) -> list[Any]:
        """The workers that say they live."""
        return self.scalars("SELECT id FROM pgq_worker ORDER BY created")

    @contextmanager
    def hold(self, job_id: int) -> Iterator[None]:
        """What an application does that looks at a job for long, and locks it."""
        with self.engine.begin() as application:
            application.execute(text("SELECT FROM pgq_job WHERE id = :id FOR UPDATE"), {"id": job_id})
            yield

    def kill_connections(self, application: str = "%") -> int:
        """Ends every session on this database but the caller's own."""
        return sum(
            self.scalars(
                """
                SELECT CAST(pg_terminate_backend(pid) AS integer) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE :name
                """,
                name=application,
            )
        )

    def close(self) -> None:
        self.engine.dispose()
