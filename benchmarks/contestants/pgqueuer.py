"""PgQueuer, with asyncpg and uvloop, and the large batches that its documents advise for throughput."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg
import pgqueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.contestants.conversation import WARM_UP, Loop, Stop, Stopwatch, Tally, serve, two_lots

BATCH = 1000


class PgQueuer:
    libraries = ("pgqueuer", "asyncpg", "uvloop")
    fill = (
        "WITH job AS ("
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status, execute_after)"
        " SELECT 0, 'noop', convert_to(number::text, 'UTF8'), 'queued',"
        " now() + make_interval(secs => %(delay)s::float8)"
        " FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number RETURNING id)"
        " INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) SELECT id, 'queued', 'noop', 0 FROM job"
    )
    left = "SELECT count(*) FROM pgqueuer WHERE execute_after <= now()"
    done = "SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful'"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._loop = Loop(uses_uvloop=True)

    def install(self) -> None:
        async def install() -> None:
            connection = await asyncpg.connect(self._dsn)
            await Queries(AsyncpgDriver(connection)).install()
            await connection.close()

        self._loop.run(install())

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        async def enqueue() -> None:
            connection = await asyncpg.connect(self._dsn)
            queries = Queries(AsyncpgDriver(connection))
            for payload in watch.over(payloads, WARM_UP):
                await queries.enqueue("noop", payload)
            await connection.close()

        self._loop.run(enqueue())

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        async def enqueue() -> None:
            connection = await asyncpg.connect(self._dsn)
            queries = Queries(AsyncpgDriver(connection))
            for lot in watch.over(two_lots(payloads), 1):
                await queries.enqueue(["noop"] * len(lot), list(lot), [0] * len(lot))
            await connection.close()

        self._loop.run(enqueue())

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        hold_seconds = options.get("hold_seconds", 0)

        async def work() -> None:
            connection = await asyncpg.connect(self._dsn)
            pgq = pgqueuer.PgQueuer(AsyncpgDriver(connection))

            @pgq.entrypoint("noop")  # type: ignore[untyped-decorator,unused-ignore]
            async def noop(job: Job) -> None:
                tally(job.payload or b"0")
                if hold_seconds:
                    await asyncio.sleep(hold_seconds)

            stop.then_in_loop(pgq.shutdown.set)
            slots = options.get("slots")
            await pgq.run(
                dequeue_timeout=timedelta(seconds=30),
                batch_size=options.get("batch_size", BATCH),
                max_concurrent_tasks=slots,
            )
            await connection.close()

        self._loop.run(work())


if __name__ == "__main__":
    serve(PgQueuer)
