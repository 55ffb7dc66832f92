"""Cancellation: a job that waits ends at once, a running one is asked, and its slot is taken until it has ended."""

import asyncio
import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job
from pgq_orm.retries import Backoff
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually, eventually
from tests.worker.queues import Queue
from tests.worker.workers import Deaf, idling, running, seconds

MOMENT = 2.0


def is_picked(queue: Queue, job_id: int) -> bool:
    return queue.job(job_id).status == "picked"


async def test_a_job_that_waits_is_canceled_at_once(pgq: PgQueuer, queue: Queue) -> None:
    ran: list[int] = []
    pgq.entrypoint("work")(lambda job: ran.append(job.id))
    ready, deferred, other = queue.enqueue("work", execute_after=[None, timedelta(hours=1), None])
    assert queue.cancel(ready, deferred, 4711) == {ready: False, deferred: False}
    assert queue.statuses() == ["canceled"] * 2
    await pgq.run(mode=QueueExecutionMode.drain)
    assert ran == [other]
    assert queue.cancel(ready) == {}


async def test_a_running_async_job_is_interrupted_within_a_moment(each_pgq: PgQueuer, queue: Queue) -> None:
    interrupted = asyncio.Event()

    @each_pgq.entrypoint("work", max_attempts=5)
    async def work(job: Job) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            interrupted.set()

    async with idling(each_pgq, queue):
        [job_id] = queue.enqueue("work", b"input")
        await aeventually(lambda: is_picked(queue, job_id))
        assert queue.cancel(job_id) == {job_id: True}
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"], timeout=MOMENT)
    assert interrupted.is_set()
    [entry] = queue.log(job_id)
    assert (entry.retried, bytes(entry.payload)) == (False, b"input")


async def test_a_running_sync_job_sees_that_it_was_canceled(each_pgq: PgQueuer, queue: Queue) -> None:
    seen = threading.Event()

    @each_pgq.entrypoint("work")
    def work(job: Job, context: Context) -> str:
        eventually(lambda: context.cancellation.cancel_called)
        seen.set()
        return "half a result"

    async with idling(each_pgq, queue):
        [job_id] = queue.enqueue("work")
        await aeventually(lambda: is_picked(queue, job_id))
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"], timeout=MOMENT)
    assert seen.is_set()


async def test_without_a_notice_the_heartbeat_tells(pgq: PgQueuer, queue: Queue) -> None:
    pgq.store.listener = Deaf()  # type: ignore[misc]

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=seconds(1.5)):
        await aeventually(lambda: is_picked(queue, job_id))
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"], timeout=MOMENT)


async def test_the_code_after_a_cancelable_block_runs(pgq: PgQueuer, queue: Queue) -> None:
    said: list[str] = []

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        with context.cancellation:
            await asyncio.sleep(3600)
            said.append("not this")
        said.append(f"cancel_called: {context.cancellation.cancel_called}")
        await asyncio.sleep(0)
        said.append("cleaned up")

    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await aeventually(lambda: is_picked(queue, job_id))
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"], timeout=MOMENT)
    assert said == ["cancel_called: True", "cleaned up"]


async def test_what_an_interrupted_handler_wrote_is_rolled_back(pgq: PgQueuer, queue: Queue) -> None:
    queue.execute("CREATE TABLE note (text text)")
    written = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job, session: AsyncSession) -> None:
        await session.execute(text("INSERT INTO note VALUES ('half')"))
        written.set()
        await session.execute(text("SELECT pg_sleep(3600)"))

    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await asyncio.wait_for(written.wait(), 5)
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"], timeout=8)
        assert queue.execute("SELECT * FROM note") == []


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_slot_stays_taken_until_the_handler_has_really_ended(
    pgq: PgQueuer, queue: Queue, kind: str
) -> None:
    running_now: list[int] = []
    most: list[int] = []
    stubborn = threading.Event()

    def begin(job: Job) -> None:
        running_now.append(job.id)
        most.append(len(running_now))

    if kind == "async":

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            begin(job)
            while not stubborn.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue  # cleans up for as long as it likes
            running_now.remove(job.id)

    else:

        @pgq.entrypoint("work")
        def work_in_a_thread(job: Job) -> None:
            begin(job)
            stubborn.wait(10)
            running_now.remove(job.id)

    first, second = queue.enqueue("work", [None, None])
    async with running(pgq, max_concurrent_tasks=1):
        await aeventually(lambda: running_now == [first])
        asked = queue.cancel(first)
        assert asked == {first: True}
        # Long enough for the request to arrive, and for an empty slot to be filled.
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_job WHERE cancel_requested IS NOT NULL"))
        await asyncio.sleep(0.5)
        assert running_now == [first]
        assert queue.job(second).status == "queued"
        stubborn.set()
        await aeventually(lambda: not queue.jobs())
    assert max(most) == 1
    assert queue.statuses(first) == ["canceled"]
    assert queue.statuses(second) == ["successful"]


async def test_many_are_canceled_together(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(3600)

    job_ids = queue.enqueue("work", [None] * 60)
    async with running(pgq, max_concurrent_tasks=50):
        await aeventually(lambda: len(queue.scalars("SELECT 1 FROM pgq_job WHERE status = 'picked'")) == 50)
        asked = queue.cancel(*job_ids)
        assert Counter(asked.values()) == {True: 50, False: 10}
        await aeventually(lambda: queue.statuses() == ["canceled"] * 60)


async def test_a_job_whose_attempt_failed_before_it_heard_of_its_cancellation_is_not_run_again(
    pgq: PgQueuer, queue: Queue
) -> None:
    runs: list[int] = []

    @pgq.entrypoint("work", max_attempts=5, backoff=Backoff(initial=timedelta(milliseconds=10)))
    async def work(job: Job) -> None:
        runs.append(job.id)
        queue.execute("UPDATE pgq_job SET cancel_requested = now()")  # as canceling does, without its NOTIFY
        raise ValueError("no")

    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    assert runs == [job_id]
    assert queue.statuses(job_id) == ["exception", "canceled"]
