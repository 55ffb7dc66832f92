"""Raw: the least SQL that is a queue, from a bare loop; what a queue in Python can hope to come near to.

It has what no figure may do without: one pick a job, a lease that fences the outcome, a log row in the same statement.
It has no retries, no schedules, no deferred jobs, no heartbeat, and nothing wakes it but its own poll.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import asyncpg
import psycopg

from benchmarks.contestants.conversation import WARM_UP, Loop, Stop, Stopwatch, Tally, serve, two_lots

BATCH = 500
IDLE_SECONDS = 0.001

INSTALL = """
    CREATE TABLE raw_job (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        lease bigint NOT NULL DEFAULT 0,
        created timestamptz NOT NULL DEFAULT now(),
        priority integer NOT NULL DEFAULT 0,
        status text NOT NULL DEFAULT 'queued',
        entrypoint text NOT NULL,
        payload bytea
    );
    CREATE INDEX raw_job_ready ON raw_job (priority DESC, id) WHERE status = 'queued';
    CREATE TABLE raw_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job_id bigint NOT NULL,
        created timestamptz NOT NULL,
        ended timestamptz NOT NULL DEFAULT now(),
        status text NOT NULL,
        entrypoint text NOT NULL
    );
"""
INSERT = "INSERT INTO raw_job (entrypoint, payload) VALUES ('noop', {})"
PICK = """
    UPDATE raw_job SET status = 'picked', lease = lease + 1
    WHERE id = ANY (ARRAY (
        SELECT id FROM raw_job WHERE status = 'queued' ORDER BY priority DESC, id LIMIT {} FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, lease, payload
"""
FINISH = """
    WITH ended AS (
        DELETE FROM raw_job AS job USING unnest({}::bigint[], {}::bigint[]) AS outcome (id, lease)
        WHERE job.id = outcome.id AND job.lease = outcome.lease
        RETURNING job.id, created, entrypoint
    )
    INSERT INTO raw_log (job_id, created, status, entrypoint) SELECT id, created, 'successful', entrypoint FROM ended
"""
SETTINGS = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off"


class RawSql:
    """The statements above, sent by a driver without anything in between."""

    fill = (
        "INSERT INTO raw_job (entrypoint, payload, status)"
        " SELECT 'noop', convert_to(number::text, 'UTF8'),"
        " CASE WHEN %(delay)s::float8 > 0 THEN 'deferred' ELSE 'queued' END"
        " FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number"
    )
    left = "SELECT count(*) FROM raw_job WHERE status <> 'deferred'"
    done = "SELECT count(DISTINCT job_id) FROM raw_log"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def install(self) -> None:
        with psycopg.connect(self._dsn) as connection:
            connection.execute(INSTALL)


class Asyncpg(RawSql):
    libraries = ("asyncpg",)

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._loop = Loop()

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        self._loop.run(self._enqueue_singly(payloads, watch))

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        self._loop.run(self._enqueue_in_bulk(payloads, watch))

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        self._loop.run(self._work(tally, stop))

    async def _enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        connection = await asyncpg.connect(self._dsn)
        for payload in watch.over(payloads, WARM_UP):
            await connection.execute(INSERT.format("$1"), payload)
        await connection.close()

    async def _enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        connection = await asyncpg.connect(self._dsn)
        for lot in watch.over(two_lots(payloads), 1):
            await connection.copy_records_to_table(
                "raw_job", records=(("noop", payload) for payload in lot), columns=("entrypoint", "payload")
            )
        await connection.close()

    async def _work(self, tally: Tally, stop: Stop) -> None:
        async def noop(payload: bytes) -> None:
            tally(payload)

        connection = await asyncpg.connect(self._dsn)
        await connection.execute(SETTINGS)
        stopped = asyncio.Event()
        stop.then_in_loop(stopped.set)
        pick = await connection.prepare(PICK.format("$1"))
        finish = await connection.prepare(FINISH.format("$1", "$2"))
        while not stopped.is_set():
            jobs = await pick.fetch(BATCH)
            if not jobs:
                await asyncio.sleep(IDLE_SECONDS)
                continue
            for job in jobs:
                await noop(job[2])
            await finish.fetch([job[0] for job in jobs], [job[1] for job in jobs])
        await connection.close()


class Psycopg(RawSql):
    libraries = ("psycopg",)

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for payload in watch.over(payloads, WARM_UP):
                connection.execute(INSERT.format("%b"), [payload])

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection, connection.cursor() as cursor:
            for lot in watch.over(two_lots(payloads), 1):
                with cursor.copy("COPY raw_job (entrypoint, payload) FROM STDIN (FORMAT binary)") as copy:
                    copy.set_types(["text", "bytea"])
                    for payload in lot:
                        copy.write_row(("noop", payload))

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        stopped: list[bool] = []
        stop.then(lambda: stopped.append(True))
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(SETTINGS)
            with connection.cursor(binary=True) as cursor:
                while not stopped:
                    jobs = cursor.execute(PICK.format("%s"), [BATCH]).fetchall()
                    if not jobs:
                        time.sleep(IDLE_SECONDS)
                        continue
                    for job in jobs:
                        tally(job[2])
                    outcomes = [[job[0] for job in jobs], [job[1] for job in jobs]]
                    cursor.execute(FINISH.format("%s", "%s"), outcomes)


if __name__ == "__main__":
    serve(lambda dsn, driver: Asyncpg(dsn) if driver == "asyncpg" else Psycopg(dsn))
