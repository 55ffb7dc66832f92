"""Cancellation: a job that waits ends at once, a running one is asked, and its slot is taken until it has ended."""

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pgq_orm import PgQueuer
from pgq_orm.executors import EntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.operations import Operation
from pgq_orm.retries import Backoff
from pgq_orm.sql import statement
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually, eventually
from tests.worker.queues import Queue
from tests.worker.workers import idling, is_quiet, listens, running, seconds

HOUR = seconds(3600)
"""A heartbeat_timeout with which no heartbeat tells of anything in a test's time."""


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
    started, interrupted = asyncio.Event(), asyncio.Event()

    @each_pgq.entrypoint("work", max_attempts=5)
    async def work(job: Job) -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            interrupted.set()

    async with idling(each_pgq, queue, heartbeat_timeout=HOUR):
        [job_id] = queue.enqueue("work", b"input")
        await aeventually(started.is_set)
        assert queue.cancel(job_id) == {job_id: True}
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])
    assert interrupted.is_set()
    [entry] = queue.log(job_id)
    assert (entry.retried, bytes(entry.payload)) == (False, b"input")


async def test_a_running_sync_job_sees_that_it_was_canceled(each_pgq: PgQueuer, queue: Queue) -> None:
    started, seen = threading.Event(), threading.Event()

    @each_pgq.entrypoint("work")
    def work(job: Job, context: Context) -> str:
        started.set()
        eventually(lambda: context.cancellation.cancel_called)
        seen.set()
        return "half a result"

    async with idling(each_pgq, queue, heartbeat_timeout=HOUR):
        [job_id] = queue.enqueue("work")
        await aeventually(started.is_set)
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])
    assert seen.is_set()


@pytest.mark.usefixtures("deaf")
async def test_without_a_notice_the_heartbeat_tells(pgq: PgQueuer, queue: Queue) -> None:
    started = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=seconds(3)):
        await aeventually(started.is_set)
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])


async def test_a_job_that_is_canceled_before_the_answer_to_its_pick_arrives_does_not_wait_for_a_heartbeat(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_arrive = asyncio.Event()
    store = pgq.store.sibling()
    run = store.run

    async def run_and_wait(operation: Operation[Any]) -> Any:
        answer = await run(operation)
        if operation.statement is statement("pick"):
            await may_arrive.wait()
        return answer

    monkeypatch.setattr(store, "run", run_and_wait)
    monkeypatch.setattr(pgq.store, "sibling", lambda: store)

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=HOUR):
        await aeventually(lambda: listens(queue) and queue.job(job_id).status == "picked")
        queue.cancel(job_id)
        canceled = "SELECT 1 FROM pgq_worker, pgq_job WHERE heartbeat > cancel_requested"
        await aeventually(lambda: queue.scalars(canceled) and is_quiet(queue))
        may_arrive.set()
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])


async def test_the_code_after_a_cancelable_block_runs(pgq: PgQueuer, queue: Queue) -> None:
    said: list[str] = []
    started = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        started.set()
        with context.cancellation:
            await asyncio.sleep(3600)
            said.append("not this")
        said.append(f"cancel_called: {context.cancellation.cancel_called}")
        await asyncio.sleep(0)
        said.append("cleaned up")

    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await aeventually(started.is_set)
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])
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
        await aeventually(written.is_set)
        queue.cancel(job_id)
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])
        assert queue.execute("SELECT * FROM note") == []


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_slot_stays_taken_until_the_handler_has_really_ended(
    pgq: PgQueuer, queue: Queue, kind: str
) -> None:
    running_now: list[int] = []
    most: list[int] = []
    asked_to_stop, may_end = threading.Event(), threading.Event()

    def begin(job: Job) -> None:
        running_now.append(job.id)
        most.append(len(running_now))

    if kind == "async":

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            begin(job)
            while not may_end.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    asked_to_stop.set()  # and cleans up for as long as it likes
            running_now.remove(job.id)

    else:

        @pgq.entrypoint("work")
        def work_in_a_thread(job: Job, context: Context) -> None:
            begin(job)
            if job.id == first:
                eventually(lambda: context.cancellation.cancel_called)
                asked_to_stop.set()
            may_end.wait(20)
            running_now.remove(job.id)

    first, second = queue.enqueue("work", [None, None])
    async with running(pgq, max_concurrent_tasks=1):
        await aeventually(lambda: running_now == [first])
        asked = queue.cancel(first)
        assert asked == {first: True}
        await aeventually(asked_to_stop.is_set)
        await asyncio.sleep(0.5)  # long enough for an empty slot to be filled
        assert running_now == [first]
        assert queue.job(second).status == "queued"
        may_end.set()
        await aeventually(lambda: not queue.jobs())
    assert max(most) == 1
    assert queue.statuses(first) == ["canceled"]
    assert queue.statuses(second) == ["successful"]


class Limited(EntrypointExecutor):
    """Has a time limit of its own."""

    limits: ClassVar[list[asyncio.Timeout]] = []

    async def execute(self, job: Job, context: Context) -> Any:
        async with asyncio.timeout(0.05) as limit:
            self.limits.append(limit)
            return await super().execute(job, context)


async def test_a_time_limit_and_a_cancellation_together_do_not_free_the_slot_of_a_thread(
    pgq: PgQueuer, queue: Queue
) -> None:
    contexts: list[Context] = []
    may_end = threading.Event()

    @pgq.entrypoint("work", executor_factory=Limited)
    def work(job: Job, context: Context) -> None:
        contexts.append(context)
        may_end.wait(10)

    first, _ = queue.enqueue("work", [None, None])
    async with running(pgq, max_concurrent_tasks=1):
        await aeventually(lambda: contexts and Limited.limits[-1].expired())
        queue.cancel(first)
        await aeventually(lambda: contexts[0].cancellation.is_called)
        for _ in range(10):
            await asyncio.sleep(0)
        assert pgq.get_context(first) is contexts[0]
        may_end.set()
        await aeventually(lambda: not queue.jobs())
    assert queue.statuses(first) == ["canceled"]


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
