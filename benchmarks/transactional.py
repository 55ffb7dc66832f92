"""Transactional: what it costs that a handler's writes and the end of its job commit together.

    python -m benchmarks.transactional [--jobs 2000] [--rounds 3]

The same handler drains the same backlog with a plain session and with `transactional=True`, once doing nothing and once
writing a row, on each binding. Starts a PostgreSQL of its own with fsync on, or uses PGQ_DSN's server; rounds are
interleaved, and every job and every row is counted.
"""

import argparse
import asyncio
import statistics
import time
from itertools import product

import psycopg

from benchmarks.server import running_server
from pgq_orm import schema
from pgq_orm.models import Job
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import fresh_database
from tests.transactional.desks import DESKS, Hand

WORKS = ("nothing", "a row")
SLOTS = 10
"""Attempts at a time: within the default size of SQLAlchemy's pools."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rates: dict[tuple[str, str, bool], list[float]] = {}
    with running_server() as server:
        for _ in range(arguments.rounds):
            for name, work, is_on in product(DESKS, WORKS, (False, True)):
                with fresh_database(server.dsn) as dsn:
                    rate = asyncio.run(drain(dsn, name, work, is_on, arguments.jobs))
                rates.setdefault((name, work, is_on), []).append(rate)
    print(
        f"{arguments.jobs} jobs, {SLOTS} at a time, one worker; jobs per second, median of {arguments.rounds}"
    )
    for name, work in product(DESKS, WORKS):
        plain, together = (statistics.median(rates[name, work, is_on]) for is_on in (False, True))
        print(
            f"{name:24} writes {work:8} plain {plain:6.0f}  transactional {together:6.0f}  {together / plain:5.2f}"
        )


async def drain(dsn: str, name: str, work: str, is_transactional: bool, jobs: int) -> float:
    with psycopg.connect(dsn) as connection:
        for statement in schema.up():
            connection.execute(statement.encode())
        connection.execute("CREATE TABLE ledger (job_id bigint, side text)")
        connection.execute(
            "INSERT INTO pgq_job (entrypoint) SELECT 'post' FROM generate_series(1, %s)", [jobs]
        )

    async def post(job: Job, hand: Hand) -> None:
        if work == "a row":
            await hand.write(job, "credit")

    desk = DESKS[name](dsn)
    desk.handle("post", post, transactional=is_transactional)
    started = time.perf_counter()
    await desk.pgq.run(mode=QueueExecutionMode.drain, max_concurrent_tasks=SLOTS)
    seconds = time.perf_counter() - started
    await desk.close()
    with psycopg.connect(dsn) as connection:
        counted = connection.execute(
            """
            SELECT
                (SELECT count(*) FROM pgq_job),
                (SELECT count(DISTINCT job_id) FROM pgq_log WHERE status = 'successful'),
                (SELECT count(DISTINCT job_id) FROM ledger)
            """
        ).fetchone()
    if counted != (0, jobs, jobs if work == "a row" else 0):
        raise SystemExit(f"{name}: {jobs} jobs, and (left, done, written) are {counted}")
    return jobs / seconds


if __name__ == "__main__":
    main()
