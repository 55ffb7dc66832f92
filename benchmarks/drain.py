"""Drain: how fast one worker process empties a backlog of no-op jobs, against the same statements from a bare loop.

    python -m benchmarks.drain [--jobs 20000] [--rounds 3]

Starts a PostgreSQL of its own with fsync on (or uses PGQ_DSN's database, which must be empty), and interleaves the
rounds. Every job is counted: in the handler, and in the log.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import django
import psycopg
from django.conf import settings
from sqlalchemy.ext.asyncio import create_async_engine

from pgq_orm import PgQueuer, operations, schema
from pgq_orm.embedded import EmbeddedServer
from pgq_orm.models import Job
from pgq_orm.operations import Outcome
from pgq_orm.store import BOOKKEEPING_SETTINGS
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import django_database, sqlalchemy_url

BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    given = os.environ.get("PGQ_DSN")
    with nullcontext(None) if given else EmbeddedServer(durable=True) as server:
        measure(given or server.dsn, arguments.jobs, arguments.rounds)


def measure(dsn: str, jobs: int, rounds: int) -> None:
    settings.configure(
        DATABASES={"default": django_database(dsn)}, INSTALLED_APPS=["pgq_orm_django"], USE_TZ=True
    )
    django.setup()
    subjects: dict[str, Callable[[str], int]] = {
        "the statements, bare loop": drain_bare,
        "SQLAlchemy, psycopg, async handler": lambda dsn: asyncio.run(drain_sqlalchemy(dsn, "psycopg")),
        "SQLAlchemy, asyncpg, async handler": lambda dsn: asyncio.run(drain_sqlalchemy(dsn, "asyncpg")),
        "Django, async handler": lambda dsn: asyncio.run(drain_django(is_async=True)),
        "Django, sync handler": lambda dsn: asyncio.run(drain_django(is_async=False)),
    }
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, drain in subjects.items():
            fill(dsn, jobs)
            started = time.perf_counter()
            ran = drain(dsn)
            rates[name].append(jobs / (time.perf_counter() - started))
            check(dsn, name, jobs, ran)
    bare = statistics.median(rates["the statements, bare loop"])
    print(f"{jobs} no-op jobs, one worker process, batches of {BATCH}; median of {rounds} interleaved rounds")
    for name, measured in rates.items():
        median = statistics.median(measured)
        print(
            f"{name:36}{median:8.0f} /s  {median / bare:5.2f}  ({min(measured):.0f} to {max(measured):.0f})"
        )


def fill(dsn: str, jobs: int) -> None:
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT to_regclass('pgq_job')").fetchone() != (None,):
            for statement in schema.down():
                connection.execute(statement.encode())
        for statement in schema.up():
            connection.execute(statement.encode())
        connection.execute(
            "INSERT INTO pgq_job (entrypoint, payload) SELECT 'noop', 'x' FROM generate_series(1, %s)", [jobs]
        )


def check(dsn: str, name: str, jobs: int, ran: int) -> None:
    with psycopg.connect(dsn) as connection:
        left, done = connection.execute(
            "SELECT (SELECT count(*) FROM pgq_job), (SELECT count(DISTINCT job_id) FROM pgq_log)"
        ).fetchone() or (None, None)
    if (left, done, ran) != (0, jobs, jobs):
        raise SystemExit(f"{name}: {jobs} jobs, of which {ran} ran, {done} are logged and {left} are left")


def drain_bare(dsn: str) -> int:
    worker_id = uuid4()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for setting, value in BOOKKEEPING_SETTINGS.items():
            connection.execute(f"SET {setting} = '{value}'".encode())

        def run(operation: operations.Operation[Any]) -> Any:
            cursor = connection.execute(operation.statement.pyformat.encode(), operation.params)
            return operation.read(cursor.fetchall() if cursor.description else ())

        run(
            operations.register_worker(
                worker_id, lease_seconds=60, pid=0, hostname="", queues=["default"], entrypoints=["noop"]
            )
        )
        ran = 0
        while picked := run(operations.pick(worker_id, "default", ["noop"], BATCH)):
            ran += len(
                run(operations.finish([Outcome(job.id, job.lease, "successful", 0, 0) for job in picked]))
            )
        run(operations.unregister_worker(worker_id))
    return ran


async def drain_sqlalchemy(dsn: str, driver: Any) -> int:
    engine = create_async_engine(sqlalchemy_url(dsn, driver))
    try:
        return await drain(PgQueuer(engine), is_async=True)
    finally:
        await engine.dispose()


async def drain_django(*, is_async: bool) -> int:
    from pgq_orm_django.store import DatabaseStore

    return await drain(PgQueuer(DatabaseStore("default")), is_async=is_async)


async def drain(pgq: PgQueuer, *, is_async: bool) -> int:
    ran = set[int]()

    async def noop(job: Job) -> None:
        ran.add(job.id)

    def noop_sync(job: Job) -> None:
        ran.add(job.id)

    pgq.entrypoint("noop")(noop if is_async else noop_sync)
    # as many threads as PostgreSQL has connections to spare; tasks cost nothing
    slots = 2 * BATCH if is_async else 20
    await pgq.run(mode=QueueExecutionMode.drain, batch_size=min(BATCH, slots), max_concurrent_tasks=slots)
    return len(ran)


if __name__ == "__main__":
    main()
