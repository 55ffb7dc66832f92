"""Logging: what an application's handlers and filters raise keeps no part of a worker from its work."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.processes.helm import ALONE, Helm
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.wire import Wire
from tests.worker.workers import END_SECONDS, running, seconds


class Refusing(logging.Handler):
    """Raises whatever is logged, as a shipper of logs does that lost its connection."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("the logs' server went away")


@pytest.fixture(autouse=True)
def _refusing_log() -> Iterator[None]:
    logger, refusing = logging.getLogger("pgq_orm"), Refusing()
    level = logger.level
    logger.addHandler(refusing)
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(level)
    logger.removeHandler(refusing)


async def test_a_worker_that_lost_its_database_lives_again(
    wired_pgq: PgQueuer, queue: Queue, wire: Wire
) -> None:
    ran: list[int] = []

    @wired_pgq.entrypoint("work")
    async def work(job: Job) -> None:
        ran.append(job.id)

    async with running(wired_pgq, heartbeat_timeout=seconds(1.5)):
        await aeventually(lambda: wired_pgq.vitals().is_picking)
        [first] = queue.worker_ids()
        wire.cut()
        await aeventually(lambda: not wired_pgq.vitals().is_picking)
        wire.mend()
        await aeventually(lambda: wired_pgq.vitals().worker_id != first and wired_pgq.vitals().is_picking)
        [job_id] = queue.enqueue("work")
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
    assert ran == [job_id]


async def test_a_worker_ends_when_a_signal_asks_for_it(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    steering = Helm(ALONE)
    with steering.steering(pgq, None):
        work = asyncio.create_task(pgq.run())
        await pgq.started.wait()
        steering.end()
        await asyncio.wait_for(work, END_SECONDS)
    assert queue.worker_ids() == []


async def test_a_worker_stops_what_does_not_end_in_time(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("work")
    async with running(pgq, shutdown_timeout=seconds(0.1)):
        await aeventually(lambda: queue.job(job_id).status == "picked")
    assert queue.job(job_id).status == "queued"
    assert queue.worker_ids() == []


def test_a_process_that_must_leave_leaves() -> None:
    program = (
        "import logging\n"
        "class Refusing(logging.Handler):\n"
        "    def emit(self, record): raise ConnectionError\n"
        "    def flush(self): raise ConnectionError\n"
        "logging.getLogger('pgq_orm').addHandler(Refusing())\n"
        "from pgq_orm.processes.helm import leave\n"
        "leave('something blocks the event loop')\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=END_SECONDS).returncode == os.EX_TEMPFAIL
