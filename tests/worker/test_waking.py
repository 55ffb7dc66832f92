"""Waking: however a job arrives, an idle worker has it within a moment, told or not."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.outcomes import Retry
from pgq_orm.sqlalchemy import Job as JobRow
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import idling, running, seconds

NEVER = timedelta(minutes=10)  # a dequeue_timeout that no test waits for
MOMENT = 15.0  # on a busy machine


def enqueue(queue: Queue) -> None:
    queue.enqueue("work")


def add_to_a_session(queue: Queue) -> None:
    with Session(queue.engine) as session, session.begin():
        session.add(JobRow(entrypoint="work"))


def insert_many(queue: Queue) -> None:
    with Session(queue.engine) as session, session.begin():
        session.execute(insert(JobRow), [{"entrypoint": "work"}, {"entrypoint": "work"}])


def plain_insert(queue: Queue) -> None:
    queue.execute("INSERT INTO pgq_job (entrypoint) VALUES ('work')")


def plain_insert_of_a_deferred_job(queue: Queue) -> None:
    queue.execute("INSERT INTO pgq_job (entrypoint, execute_after) VALUES ('work', now() + interval '0.5 s')")


def enqueue_with_a_delay(queue: Queue) -> None:
    queue.enqueue("work", execute_after=timedelta(seconds=0.5))


@pytest.mark.parametrize(
    "arrive",
    [
        enqueue,
        add_to_a_session,
        insert_many,
        plain_insert,
        plain_insert_of_a_deferred_job,
        enqueue_with_a_delay,
    ],
)
async def test_however_a_job_arrives_it_wakes_an_idle_worker(
    pgq: PgQueuer, queue: Queue, arrive: Callable[[Queue], None]
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    async with idling(pgq, queue, dequeue_timeout=NEVER):
        arrive(queue)
        await aeventually(lambda: queue.log() and not queue.jobs(), timeout=MOMENT)


async def test_an_idle_worker_on_each_kind_of_engine_is_woken(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    async with idling(each_pgq, queue, dequeue_timeout=NEVER):
        for count in range(1, 4):
            queue.enqueue("work")
            await aeventually(lambda: len(queue.log()) == count, timeout=MOMENT)  # noqa: B023


async def test_a_deferred_job_starts_when_it_is_due(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    async with idling(pgq, queue, dequeue_timeout=NEVER):
        [job_id] = queue.enqueue("work", execute_after=seconds(1))
        await aeventually(lambda: queue.log(), timeout=1 + MOMENT)
    [entry] = queue.log(job_id)
    assert timedelta(0) <= entry.started - entry.execute_after < seconds(MOMENT)


async def test_an_earlier_job_is_not_kept_waiting_by_a_later_one(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work", execute_after=timedelta(hours=1))
    async with idling(pgq, queue, dequeue_timeout=NEVER):
        [job_id] = queue.enqueue("work", execute_after=seconds(0.5))
        await aeventually(lambda: queue.statuses(job_id), timeout=0.5 + MOMENT)


def insert_in_the_shadow(queue: Queue, *delays: str) -> None:
    """Jobs that come 10 ms after one another, so that only the first one's wake-up is sent: one in 20 ms is."""
    with queue.engine.connect() as connection:
        execute = connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql
        for delay in delays:
            execute(
                f"INSERT INTO pgq_job (entrypoint, execute_after) VALUES ('work', now() + interval '{delay}')"
            )
            time.sleep(0.01)


async def test_a_deferred_job_in_the_shadow_of_another_ones_wake_up_starts_when_it_is_due(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    async with idling(pgq, queue, dequeue_timeout=NEVER):
        for _ in range(3):
            await asyncio.to_thread(insert_in_the_shadow, queue, "0 s", "0.2 s")
            await aeventually(lambda: not queue.jobs(), timeout=MOMENT)


async def test_a_job_in_the_shadow_is_found_by_a_worker_that_came_too_late_for_the_first(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    """One of two workers gets the first job and is full; the other must not have gone back to sleep for long."""
    started: list[int] = []
    release = asyncio.Event()

    async def work(job: Job) -> None:
        started.append(job.id)
        await release.wait()

    pgq.entrypoint("work")(work)
    other_pgq.entrypoint("work")(work)
    options: dict[str, Any] = {"dequeue_timeout": NEVER, "max_concurrent_tasks": 1}
    async with idling(pgq, queue, **options), idling(other_pgq, queue, **options):
        for _ in range(3):
            await asyncio.to_thread(insert_in_the_shadow, queue, "0 s", "0 s")
            await aeventually(lambda: len(started) == 2, timeout=MOMENT)
            release.set()
            await aeventually(lambda: not queue.jobs())
            release.clear()
            started.clear()


async def test_a_retry_that_is_due_while_its_worker_is_full_goes_to_another(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    release = asyncio.Event()

    async def fail_once(job: Job) -> str:
        if job.attempts == 0:
            raise Retry(seconds(1.5))
        return "again"

    @pgq.entrypoint("hold")
    async def hold(job: Job) -> None:
        await release.wait()

    pgq.entrypoint("work", max_attempts=2)(fail_once)
    other_pgq.entrypoint("work", max_attempts=2)(fail_once)
    async with idling(pgq, queue, dequeue_timeout=NEVER, max_concurrent_tasks=1):
        [job_id] = queue.enqueue("work")
        await aeventually(lambda: queue.statuses(job_id) == ["exception"])
        queue.enqueue("hold")
        await aeventually(lambda: [job for job in queue.jobs() if job.status == "picked"])
        async with idling(other_pgq, queue, dequeue_timeout=NEVER):
            await aeventually(
                lambda: queue.statuses(job_id) == ["exception", "successful"], timeout=1.5 + MOMENT
            )
        release.set()


async def test_a_job_that_is_committed_late_is_found_behind_those_picked_already(
    pgq: PgQueuer, queue: Queue
) -> None:
    ran: list[int] = []
    pgq.entrypoint("work")(lambda job: ran.append(job.id))
    with Session(queue.engine) as slow:
        late = JobRow(entrypoint="work")
        slow.add(late)
        slow.flush()
        queue.enqueue("work", [None] * 2000)
        async with running(pgq, batch_size=10, max_concurrent_tasks=10, dequeue_timeout=NEVER):
            await aeventually(lambda: len(ran) >= 1000)
            slow.commit()
            await aeventually(lambda: late.id in ran, timeout=MOMENT)
            assert ran.index(late.id) >= 1000
            await aeventually(lambda: not queue.jobs())


async def test_released_jobs_are_taken_over_at_once(pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue) -> None:
    interrupted = asyncio.Event()

    @pgq.entrypoint("work")
    async def held(job: Job) -> None:
        interrupted.set()
        await asyncio.sleep(3600)

    other_pgq.entrypoint("work")(lambda job: None)
    [job_id] = queue.enqueue("work")
    async with running(pgq) as work:
        await interrupted.wait()
        async with idling(other_pgq, queue, dequeue_timeout=NEVER):
            pgq.stop_now()
            await work
            await aeventually(lambda: queue.statuses(job_id) == ["successful"], timeout=MOMENT)


# By polling alone


@pytest.mark.usefixtures("deaf")
async def test_everything_works_by_polling_alone(each_pgq: PgQueuer, queue: Queue) -> None:
    stopped = asyncio.Event()

    @each_pgq.entrypoint("work", max_attempts=2)
    def work(job: Job) -> None:
        if job.payload == b"fails" and job.attempts == 0:
            raise ValueError("no")

    @each_pgq.entrypoint("endless")
    async def endless(job: Job) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    # Hides whatever is due earlier from a worker that trusts the first answer.
    queue.enqueue("work", execute_after=timedelta(hours=1), dedupe_key="far")
    async with running(each_pgq, dequeue_timeout=seconds(0.2), heartbeat_timeout=seconds(2)):
        await aeventually(lambda: is_polling(queue))
        job_ids = [
            *queue.enqueue("work"),
            *queue.enqueue("work", b"fails"),
            *queue.enqueue("work", execute_after=seconds(0.5)),
        ]
        [endless_id] = queue.enqueue("endless")
        await aeventually(lambda: all(queue.statuses(job_id)[-1:] == ["successful"] for job_id in job_ids))
        queue.cancel(endless_id)
        await aeventually(lambda: queue.statuses(endless_id) == ["canceled"])
    assert stopped.is_set()
    assert [job.dedupe_key for job in queue.jobs()] == ["far"]


def is_polling(queue: Queue) -> bool:
    return bool(queue.scalars("SELECT 1 FROM pgq_worker WHERE heartbeat > created"))


@pytest.mark.usefixtures("deaf")
async def test_schedules_tick_by_polling_alone(pgq: PgQueuer, queue: Queue) -> None:
    ticks: list[float] = []
    pgq.schedule("tick", "* * * * * *")(lambda schedule: ticks.append(time.monotonic()))
    async with running(pgq, dequeue_timeout=NEVER):
        await aeventually(lambda: len(ticks) == 3)
    assert ticks[2] - ticks[0] < MOMENT
