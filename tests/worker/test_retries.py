"""Retries: how often an attempt is made again, and when."""

import asyncio
import time
from datetime import timedelta

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.retries import Backoff
from pgq_orm.worker import floors
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import idling, running

SOON = Backoff(initial=timedelta(milliseconds=50), jitter=0)


@pytest.mark.parametrize(("entrypoints", "own", "made"), [(1, None, 1), (3, None, 3), (5, 2, 2), (1, 3, 3)])
async def test_a_job_is_attempted_as_often_as_it_may(
    pgq: PgQueuer, queue: Queue, entrypoints: int, own: int | None, made: int
) -> None:
    attempts: list[int] = []

    @pgq.entrypoint("bad", max_attempts=entrypoints, backoff=SOON)
    async def bad(job: Job) -> None:
        attempts.append(job.attempts)
        raise ValueError(f"attempt {job.attempts}")

    [job_id] = queue.enqueue("bad", max_attempts=own)
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    assert attempts == list(range(made))
    log = queue.log(job_id)
    assert [entry.attempt for entry in log] == list(range(1, made + 1))
    assert [entry.retried for entry in log] == [True] * (made - 1) + [False]
    assert [entry.error for entry in log] == [f"ValueError: attempt {attempt}" for attempt in range(made)]


async def test_a_retry_comes_after_its_backoff_and_not_at_the_next_poll(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    started: list[float] = []

    @each_pgq.entrypoint("bad", max_attempts=3, backoff=Backoff(initial=timedelta(seconds=0.3), jitter=0))
    def bad(job: Job) -> None:
        started.append(time.monotonic())
        raise ValueError("no")

    queue.enqueue("bad")
    async with running(each_pgq, dequeue_timeout=timedelta(minutes=10)):
        await aeventually(lambda: not queue.jobs())

    first, second, third = started
    assert 0.3 <= second - first < 15
    assert 0.6 <= third - second < 15


async def test_a_retry_is_left_to_others_by_a_worker_that_drains(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("bad", max_attempts=2, backoff=Backoff(initial=timedelta(hours=1)))
    def bad(job: Job) -> None:
        raise ValueError("no")

    [job_id] = queue.enqueue("bad")
    await pgq.run(mode=QueueExecutionMode.drain)
    left = queue.job(job_id)
    assert (left.status, left.attempts, left.worker_id) == ("queued", 1, None)


async def test_a_retry_is_taken_over_when_the_worker_that_waited_for_it_ends(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    """Only the worker that failed knows when the retry is due; the others learn it as soon as it signs off."""
    release = asyncio.Event()

    @pgq.entrypoint("bad")
    async def hold(job: Job) -> None:
        await release.wait()

    other_pgq.entrypoint("bad")(lambda job: None)
    [job_id] = queue.enqueue("bad")
    async with running(pgq) as work:
        await aeventually(lambda: queue.job(job_id).status == "picked")
        async with idling(other_pgq, queue, dequeue_timeout=timedelta(minutes=10)):
            # as retry.sql does it: with the first worker's knowledge, but not the other one's
            queue.execute(
                """
                UPDATE pgq_job SET status = 'queued', worker_id = NULL, lease = lease + 1,
                    execute_after = now() + interval '1 s', updated = now()
                """
            )
            release.set()
            pgq.shutdown.set()
            await work
            await aeventually(lambda: queue.statuses(job_id) == ["successful"])


async def test_a_retry_without_a_delay_does_not_wait_for_the_next_sweep(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine makes looks slow, and so sweeps rare; meanwhile the job's id lies below the floor."""
    monkeypatch.setattr(floors, "CHEAP_SECONDS", 0.0)
    monkeypatch.setattr(floors, "SWEEP_SHARE", 1e-6)
    monkeypatch.setattr(floors, "MOST_SECONDS", 3600.0)
    may_fail = asyncio.Event()

    @pgq.entrypoint("flaky", max_attempts=2, backoff=Backoff(timedelta(0), timedelta(0)))
    async def flaky(job: Job) -> None:
        if job.attempts == 0:
            await may_fail.wait()
            raise ValueError("not yet")

    pgq.entrypoint("plain")(lambda job: None)
    [job_id] = queue.enqueue("flaky")
    async with running(pgq):
        for _ in range(4):  # looks, some time apart, for the floor to rise
            [other] = queue.enqueue("plain")
            await aeventually(lambda: queue.log(other))  # noqa: B023
            await asyncio.sleep(floors.SETTLE_SECONDS)
        may_fail.set()
        await aeventually(lambda: queue.statuses(job_id) == ["exception", "successful"])
