"""Verdicts: what a handler says about its own job, and what becomes of one that takes too long."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Cancel, Fail, Retry, Snooze
from tests.eventually import aeventually, eventually
from tests.worker.queues import Queue
from tests.worker.workers import running

LONG_POLL = timedelta(minutes=10)


async def test_a_snoozed_job_comes_again_at_its_time_and_uncounted(each_pgq: PgQueuer, queue: Queue) -> None:
    attempts: list[int] = []

    @each_pgq.entrypoint("early")
    def early(job: Job) -> Any:
        attempts.append(job.attempts)
        return Snooze(timedelta(seconds=0.2)) if len(attempts) < 3 else "late enough"

    [job_id] = queue.enqueue("early")
    async with running(each_pgq, dequeue_timeout=LONG_POLL):
        await aeventually(lambda: not queue.jobs())

    assert attempts == [0, 0, 0]
    assert [(entry.status, entry.attempt, entry.result) for entry in queue.log(job_id)] == [
        ("successful", 1, "late enough")
    ]


async def test_a_job_cancels_itself_for_a_reason(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("pointless", max_attempts=5)
    async def pointless(job: Job) -> None:
        raise Cancel("the order is gone")

    [job_id] = queue.enqueue("pointless")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    assert [(entry.status, entry.error) for entry in queue.log(job_id)] == [("canceled", "the order is gone")]


@pytest.mark.parametrize(
    ("reason", "error"), [("no such order", "Fail: no such order"), (KeyError(7), "KeyError: 7")]
)
async def test_a_job_fails_for_good_although_attempts_are_left(
    pgq: PgQueuer, queue: Queue, reason: Any, error: str
) -> None:
    @pgq.entrypoint("hopeless", max_attempts=5)
    async def hopeless(job: Job) -> None:
        raise Fail(reason)

    [job_id] = queue.enqueue("hopeless")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    assert [(entry.status, entry.error) for entry in queue.log(job_id)] == [("exception", error)]


async def test_a_job_asks_for_another_attempt_after_a_delay_of_its_own(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("busy")
    async def busy(job: Job) -> None:
        if job.attempts < 2:
            raise Retry(timedelta(milliseconds=50), "the printer is busy")

    [job_id] = queue.enqueue("busy")
    async with running(pgq, dequeue_timeout=LONG_POLL):
        await aeventually(lambda: not queue.jobs())

    assert [(entry.status, entry.retried, entry.error) for entry in queue.log(job_id)] == [
        ("exception", True, "RetryRequested: the printer is busy"),
        ("exception", True, "RetryRequested: the printer is busy"),
        ("successful", False, None),
    ]


async def test_an_exception_that_no_retry_can_mend_ends_the_job(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("missing", max_attempts=5, dont_retry_on=(FileNotFoundError,))
    async def missing(job: Job) -> None:
        raise FileNotFoundError("invoice.pdf")

    [job_id] = queue.enqueue("missing")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    assert queue.statuses(job_id) == ["exception"]


async def test_an_async_handler_that_takes_too_long_is_interrupted_and_has_failed(
    pgq: PgQueuer, queue: Queue
) -> None:
    @pgq.entrypoint("slow", timeout=timedelta(seconds=0.2))
    async def slow(job: Job) -> None:
        await asyncio.Event().wait()

    [job_id] = queue.enqueue("slow")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    [entry] = queue.log(job_id)
    assert (entry.status, entry.error) == ("exception", "TimeoutError: ran for more than 0:00:00.200000")


async def test_a_sync_handler_is_told_that_it_takes_too_long_and_keeps_its_slot(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    is_told: list[bool] = []

    @each_pgq.entrypoint("slow", timeout=timedelta(seconds=0.2), max_attempts=2)
    def slow(job: Job, context: Context) -> None:
        is_told.append(eventually(lambda: context.cancellation.cancel_called))

    [job_id] = queue.enqueue("slow")
    async with running(each_pgq, max_concurrent_tasks=1):
        await aeventually(lambda: not queue.jobs())

    assert is_told == [True, True]
    assert queue.statuses(job_id) == ["exception", "exception"]


@pytest.mark.parametrize("ending", ["returns", "raises"])
async def test_a_job_that_ends_in_time_is_not_touched_by_its_timeout(
    pgq: PgQueuer, queue: Queue, ending: str
) -> None:
    @pgq.entrypoint("quick", timeout=timedelta(seconds=30))
    async def quick(job: Job) -> None:
        if ending == "raises":
            raise TimeoutError("of its own")

    [job_id] = queue.enqueue("quick")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())

    expected = "successful" if ending == "returns" else "exception"
    assert queue.statuses(job_id) == [expected]


async def test_the_log_tells_when_the_handler_really_started(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("noted")
    async def noted(job: Job) -> None:
        await asyncio.sleep(0.05)

    queue.enqueue(["noted"] * 5)  # type: ignore[arg-type]
    async with running(pgq, max_concurrent_tasks=1):
        await aeventually(lambda: not queue.jobs())

    entries = queue.log()
    assert all(entry.enqueued <= entry.started <= entry.created for entry in entries)
    starts = sorted(entry.started for entry in entries)
    assert all(earlier < later for earlier, later in pairwise(starts))
