"""Limits: what a limited backlog costs the other jobs of its queue, and how fast a small limit lets jobs through.

    python -m benchmarks.limits [--jobs 10000] [--waiting 100000] [--rounds 3]

Starts a PostgreSQL of its own with fsync on (or uses PGQ_DSN's database, which must be empty), and interleaves the
rounds. The limited jobs that wait are older and have a higher priority than the others.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pgq_orm import PgQueuer, schema
from pgq_orm.embedded import EmbeddedServer
from pgq_orm.models import Job
from tests.databases import sqlalchemy_url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    given = os.environ.get("PGQ_DSN")
    with nullcontext(given) if given else embedded_dsn() as dsn:
        asyncio.run(measure(dsn, arguments.jobs, arguments.waiting, arguments.rounds))


@contextmanager
def embedded_dsn() -> Iterator[str]:
    with EmbeddedServer(durable=True) as server:
        yield server.dsn


async def measure(dsn: str, jobs: int, waiting: int, rounds: int) -> None:
    subjects: dict[str, Callable[[], Awaitable[float]]] = {
        "unlimited jobs, nothing else waits": partial(unlimited, dsn, jobs, 0),
        f"unlimited jobs, {waiting} limited ones wait": partial(unlimited, dsn, jobs, waiting),
        "concurrency_limit=4, no-op jobs, two workers": partial(limited, dsn, jobs // 5, 0.0),
        "concurrency_limit=4, jobs of 10 ms, two workers": partial(limited, dsn, jobs // 20, 0.01),
    }
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, measure_once in subjects.items():
            rates[name].append(await measure_once())
    for name, measured in rates.items():
        print(f"{name:50}{statistics.median(measured):8.0f} /s  ({min(measured):.0f} to {max(measured):.0f})")


async def unlimited(dsn: str, jobs: int, waiting: int) -> float:
    """How many unlimited jobs one worker runs in a second, while the only place of a limit is taken."""
    fill(dsn, jobs)
    if waiting:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "INSERT INTO pgq_job (id, entrypoint, priority) "
                "SELECT -number, 'limited', number %% 2 FROM generate_series(1, %s) AS number",
                [waiting],
            )
    engine = create_async_engine(sqlalchemy_url(dsn))
    pgq = PgQueuer(engine)
    ran = 0
    done = asyncio.Event()

    @pgq.entrypoint("noop")
    async def noop(job: Job) -> None:
        nonlocal ran
        ran += 1
        if ran == jobs:
            done.set()

    @pgq.entrypoint("limited", concurrency_limit=1)
    async def hold(job: Job) -> None:
        await asyncio.sleep(3600)

    return await rate([pgq], [engine], done, jobs)


async def limited(dsn: str, jobs: int, seconds: float) -> float:
    """How many jobs two workers run in a second, of which four may run at a time."""
    fill(dsn, jobs)
    engines = [create_async_engine(sqlalchemy_url(dsn)) for _ in range(2)]
    applications = [PgQueuer(engine) for engine in engines]
    ran = running = most = 0
    done = asyncio.Event()

    async def work(job: Job) -> None:
        nonlocal ran, running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(seconds)
        running -= 1
        ran += 1
        if ran == jobs:
            done.set()

    for pgq in applications:
        pgq.entrypoint("noop", concurrency_limit=4)(work)
    measured = await rate(applications, engines, done, jobs)
    if most > 4:
        raise SystemExit(f"{most} ran at a time")
    return measured


def fill(dsn: str, jobs: int) -> None:
    """Tables made anew, with jobs in them."""
    with psycopg.connect(dsn) as connection:
        for statement in (*schema.down(), *schema.up()):
            connection.execute(statement.encode())
        connection.execute(
            "INSERT INTO pgq_job (entrypoint) SELECT 'noop' FROM generate_series(1, %s)", [jobs]
        )


async def rate(
    applications: list[PgQueuer], engines: list[AsyncEngine], done: asyncio.Event, jobs: int
) -> float:
    started = time.perf_counter()
    workers = [asyncio.create_task(pgq.run(batch_size=100, max_concurrent_tasks=200)) for pgq in applications]
    await asyncio.wait([asyncio.create_task(done.wait()), *workers], return_when=asyncio.FIRST_COMPLETED)
    seconds = time.perf_counter() - started
    for pgq in applications:
        pgq.stop_now()
    await asyncio.gather(*workers)
    for engine in engines:
        await engine.dispose()
    return jobs / seconds


if __name__ == "__main__":
    main()
