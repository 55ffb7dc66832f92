"""Ledgers: a table into which handlers write, and the doors in the database at which a test can stop them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.eventually import aeventually, eventually
from tests.worker.queues import Queue

LAY_OUT = """
CREATE TABLE ledger (job_id bigint, side text);
CREATE TABLE receipt (job_id bigint);

CREATE FUNCTION pass_door() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(CAST(TG_ARGV[0] AS integer));
    RETURN NULL;
END
$$;

CREATE TRIGGER finishing AFTER DELETE ON pgq_job FOR EACH ROW EXECUTE FUNCTION pass_door(4);

CREATE CONSTRAINT TRIGGER committing AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pass_door(5);
"""
BEFORE, BETWEEN, AFTER, FINISHING, COMMITTING = range(1, 6)
"""The doors: at the handler's own statements, in the statement that ends the job, and in the COMMIT."""


def pass_door(door: int) -> str:
    """The statement by which a handler goes through a door."""
    return f"SELECT pg_advisory_xact_lock_shared({door})"


class Door:
    """A door that is shut."""

    def __init__(self, connection: psycopg.Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        connection.execute("SELECT pg_advisory_lock(%s)", [number])

    @property
    def waiting(self) -> int:
        """How many transactions wait before it."""
        ((count,),) = self._connection.execute(
            """
            SELECT count(*) FROM pg_locks
            WHERE locktype = 'advisory' AND objid = %s AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """,
            [self._number],
        ).fetchall()
        return int(count)

    def await_one(self) -> None:
        eventually(lambda: self.waiting)

    async def aawait_one(self) -> None:
        await aeventually(lambda: self.waiting)

    def open(self) -> None:
        self._connection.execute("SELECT pg_advisory_unlock(%s)", [self._number])


class Ledger(Queue):
    """The queue, and what handlers have written beside it."""

    def lay_out(self) -> None:
        self.execute(LAY_OUT)

    @contextmanager
    def shut(self, number: int) -> Iterator[Door]:
        """A door through which nobody comes until it is opened."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            yield Door(connection, number)

    def entries(self) -> Counter[tuple[int, str]]:
        """How often each job has written each side."""
        return Counter((row.job_id, row.side) for row in self.execute("SELECT job_id, side FROM ledger"))

    def sides(self, job_id: int) -> list[str]:
        return self.scalars("SELECT side FROM ledger WHERE job_id = :id ORDER BY side", id=job_id)

    def locked_jobs(self) -> int:
        """How many jobs are held by open transactions."""
        return len(self.jobs()) - len(self.execute("SELECT 1 FROM pgq_job FOR KEY SHARE SKIP LOCKED"))

    def other_connections(self) -> int:
        """How many connections the server serves beside the caller's."""
        [count] = self.scalars(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            """
        )
        return int(count)
