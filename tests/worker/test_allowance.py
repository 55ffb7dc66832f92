"""Allowance: a worker that may run so many jobs, or for so long, ends politely when that is used up."""

import asyncio
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.worker.allowance import Allowance, Ending
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import seconds

END_SECONDS = 20


async def run(pgq: PgQueuer, **options: object) -> Ending | None:
    await asyncio.wait_for(pgq.run(**options), END_SECONDS)  # type: ignore[arg-type]
    return pgq.ending


async def test_not_one_job_more_is_picked_than_allowed(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("sync")(lambda job: None)

    @each_pgq.entrypoint("async")
    async def work(job: Job) -> None:
        await asyncio.sleep(0)

    queue.enqueue(["async", "sync"] * 20)  # type: ignore[arg-type]
    assert await run(each_pgq, max_jobs=7, batch_size=5, max_concurrent_tasks=3) is Ending.max_jobs
    assert queue.statuses() == ["successful"] * 7
    assert {(job.status, job.attempts, job.lease) for job in queue.jobs()} == {("queued", 0, 0)}
    assert queue.worker_ids() == []


async def test_all_queues_share_the_allowance(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    for name in ("slow", "fast"):
        queue.enqueue("work", [None] * 5, queue=[name] * 5)
    await run(pgq, max_jobs=7, queues=("slow", "fast"))
    assert len(queue.log()) == 7
    assert {job.lease for job in queue.jobs()} == {0}


async def test_limited_entrypoints_share_it_too(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("free")(lambda job: None)
    pgq.entrypoint("serial", serialized_dispatch=True)(lambda job: None)
    pgq.entrypoint("parallel", concurrency_limit=3)(lambda job: None)
    queue.enqueue(["free", "serial", "parallel"] * 10)  # type: ignore[arg-type]
    await run(pgq, max_jobs=13, batch_size=4)
    assert queue.statuses() == ["successful"] * 13
    assert {job.status for job in queue.jobs()} == {"queued"}


async def test_an_attempt_that_is_tried_again_counts_like_any_other(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work", max_attempts=100)
    def work(job: Job) -> None:
        raise OSError

    queue.enqueue("work")
    assert await run(pgq, max_jobs=1) is Ending.max_jobs
    assert [entry.attempt for entry in queue.log()] == [1]


async def test_it_finishes_what_it_has_picked(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(0.3)

    queue.enqueue("work", [None] * 2)
    await run(pgq, max_jobs=2)
    assert queue.statuses() == ["successful"] * 2


async def test_its_time_is_up(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work")
    assert await run(each_pgq, max_time=seconds(2)) is Ending.max_time
    assert queue.statuses() == ["successful"]
    assert queue.worker_ids() == []


async def test_those_that_began_together_do_not_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    lifetimes: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def note(delay: float, *call: Any) -> asyncio.TimerHandle:
        lifetimes.append(delay)
        return call_later(0, *call)

    monkeypatch.setattr(loop, "call_later", note)
    for _ in range(50):
        allowance = Allowance(None, seconds(100))
        allowance.start()
        await allowance.used_up.wait()
    assert 90 <= min(lifetimes) <= max(lifetimes) - 1 <= 99


async def test_what_runs_when_its_time_is_up_is_finished(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await aeventually(lambda: not pgq.vitals().is_picking)

    queue.enqueue("work")
    assert await run(pgq, max_time=seconds(2)) is Ending.max_time
    assert queue.statuses() == ["successful"]


@pytest.mark.parametrize("jobs", [1, 5])
async def test_a_queue_that_is_drained_first_ends_it_as_ever(pgq: PgQueuer, queue: Queue, jobs: int) -> None:
    pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work", [None] * jobs)
    ending = await run(pgq, max_jobs=3, max_time=seconds(60), mode=QueueExecutionMode.drain)
    assert ending is (Ending.drained if jobs == 1 else Ending.max_jobs)


async def test_it_says_why_it_ended_when_asked_to(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    work = asyncio.create_task(pgq.run())
    await aeventually(queue.worker_ids)
    assert pgq.ending is None
    pgq.shutdown.set()
    await work
    assert pgq.ending is Ending.asked
