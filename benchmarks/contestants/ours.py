"""Ours: what is the same for pgq-orm whichever ORM carries it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import psycopg

from benchmarks.contestants.conversation import Stop, Tally
from pgq_orm import PgQueuer, schema
from pgq_orm.models import Job
from pgq_orm.processes import garbage

BATCH = 1000
"""Jobs picked by one statement."""
SLOTS = 2000
"""Async jobs at a time: they are tasks, and cost nothing."""
THREADS = 100
"""Sync jobs at a time, the default of a worker."""


class PgqOrm:
    """The queue's own tables."""

    fill = (
        "INSERT INTO pgq_job (queue, entrypoint, payload, execute_after)"
        " SELECT 'default', 'noop', convert_to(number::text, 'UTF8'), now() + make_interval(secs => %(delay)s::float8)"
        " FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number"
    )
    left = "SELECT count(*) FROM pgq_job WHERE execute_after <= updated"
    done = "SELECT count(DISTINCT job_id) FROM pgq_log WHERE status = 'successful'"

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def install(self) -> None:
        with psycopg.connect(self.dsn) as connection:
            for statement in schema.up():
                connection.execute(statement.encode())


async def work(
    pgq: PgQueuer, tally: Tally, stop: Stop, options: Mapping[str, Any], *, is_async: bool
) -> None:
    """Runs a worker whose no-op handler tells the tally, until told to stop.

    Options: `hold_seconds` is how long each job takes, `queues` which ones are served, `batch_size` and `slots`.
    """
    hold_seconds = options.get("hold_seconds", 0)
    # The number comes first in a payload, whatever else there is.

    async def noop(job: Job) -> None:
        tally((job.payload or b"")[:8])
        if hold_seconds:
            await asyncio.sleep(hold_seconds)

    def noop_in_thread(job: Job) -> None:
        tally((job.payload or b"")[:8])
        if hold_seconds:
            time.sleep(hold_seconds)

    pgq.entrypoint("noop")(noop if is_async else noop_in_thread)
    stop.then_in_loop(pgq.shutdown.set)
    garbage.settle()  # as `pgq run` and `manage.py pgq_worker` do
    slots = options.get("slots", SLOTS if is_async else THREADS)
    await pgq.run(
        batch_size=options.get("batch_size", min(BATCH, slots)),
        max_concurrent_tasks=slots,
        queues=tuple(options.get("queues", ("default",))),
    )
