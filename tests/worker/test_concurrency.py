"""Concurrency: as many at a time as allowed, in the right order, and each once."""

import asyncio
import threading
import time
from collections import Counter

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually, eventually
from tests.worker.queues import Queue
from tests.worker.workers import running

drain = QueueExecutionMode.drain


class Gauge:
    """How many are inside, and the most there ever were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize(("batch_size", "concurrency"), [(100, 7), (3, 7), (1, 1)])
async def test_tasks_and_threads_together_are_never_more_than_allowed(
    each_pgq: PgQueuer, queue: Queue, batch_size: int, concurrency: int
) -> None:
    gauge = Gauge()

    @each_pgq.entrypoint("async")
    async def work(job: Job) -> None:
        with gauge:
            await aeventually(lambda: gauge.most >= concurrency)
            await asyncio.sleep(0.005)

    @each_pgq.entrypoint("sync")
    def work_in_a_thread(job: Job) -> None:
        with gauge:
            eventually(lambda: gauge.most >= concurrency)
            time.sleep(0.005)

    queue.enqueue(["async", "sync"] * 30)  # type: ignore[arg-type]
    await each_pgq.run(mode=drain, batch_size=batch_size, max_concurrent_tasks=concurrency)
    assert gauge.most == concurrency
    assert queue.statuses() == ["successful"] * 60


async def test_no_more_is_picked_than_there_is_room_for(pgq: PgQueuer, queue: Queue) -> None:
    """What one worker cannot start yet is left to the others."""
    release = asyncio.Event()
    pgq.entrypoint("work")(lambda job: None)

    @pgq.entrypoint("hold")
    async def hold(job: Job) -> None:
        await release.wait()

    queue.enqueue("hold", [None] * 10)
    async with running(pgq, max_concurrent_tasks=4):
        await aeventually(lambda: [job.status for job in queue.jobs()].count("picked") == 4)
        await asyncio.sleep(0.2)
        assert [job.status for job in queue.jobs()].count("picked") == 4
        release.set()
        await aeventually(lambda: not queue.jobs())


async def test_jobs_start_by_priority_and_then_in_the_order_they_came(pgq: PgQueuer, queue: Queue) -> None:
    started: list[int] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.append(job.priority)

    queue.enqueue("work", [None] * 6, priority=[0, 5, -3, 5, 0, 9])
    await pgq.run(mode=drain, batch_size=10)
    assert started == [9, 5, 5, 0, 0, -3]


async def test_one_queue_does_not_starve_another(pgq: PgQueuer, queue: Queue) -> None:
    started: list[str] = []

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.append(job.queue)

    queue.enqueue("work", [None] * 200, queue="busy", priority=100)
    queue.enqueue("work", [None] * 3, queue="quiet")
    await pgq.run(mode=drain, queues=("busy", "quiet"), batch_size=10, max_concurrent_tasks=10)
    assert max(index for index, name in enumerate(started) if name == "quiet") < 60


async def test_several_workers_run_each_job_once(
    each_pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    ran: Counter[int] = Counter()
    by: Counter[str] = Counter()

    def register(pgq: PgQueuer, name: str) -> None:
        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            ran[job.id] += 1
            by[name] += 1
            await aeventually(lambda: len(by) == 2)  # neither has done all before the other has begun
            await asyncio.sleep(0.001)

    register(each_pgq, "one")
    register(other_pgq, "other")
    job_ids = queue.enqueue("work", [None] * 1000)
    await asyncio.gather(
        each_pgq.run(mode=drain, batch_size=20, max_concurrent_tasks=20),
        other_pgq.run(mode=drain, batch_size=20, max_concurrent_tasks=20),
    )
    assert ran == Counter(job_ids)
    assert set(by) == {"one", "other"}
    assert Counter(queue.statuses()) == {"successful": 1000}
    assert queue.jobs() == []
