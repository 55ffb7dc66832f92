"""Picking ahead: short jobs are picked before a slot is free, and wait for nobody's sake."""

import asyncio

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.worker import anteroom
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.test_idling import statements
from tests.worker.workers import idling, running


class LongOne:
    """2,999 short jobs, and one among them whose handler holds its slot."""

    def __init__(self, queue: Queue) -> None:
        self.ran: list[int] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        payloads: list[bytes | None] = [None] * 3000
        payloads[2000] = b"long"
        self.job_ids = queue.enqueue("work", payloads)
        self.id = self.job_ids[2000]

    async def work(self, job: Job) -> None:
        self.ran.append(job.id)
        if job.id == self.id:
            self.started.set()
            await self.release.wait()


async def test_few_slots_need_few_picks_for_many_short_jobs(each_pgq: PgQueuer, queue: Queue) -> None:
    ran: list[int] = []
    each_pgq.entrypoint("work")(lambda job: ran.append(job.id))
    job_ids = queue.enqueue("work", [None] * 2000)
    with statements() as sent:
        async with running(each_pgq, max_concurrent_tasks=1):
            await aeventually(lambda: not queue.jobs(), timeout=30)
    assert sorted(ran) == job_ids
    assert sent["WITH ready AS ("] < 1000, sent  # without it, a pick for each job


async def test_what_waits_behind_a_long_job_goes_to_others_within_a_moment(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    long_one = LongOne(queue)
    pgq.entrypoint("work")(long_one.work)
    other_pgq.entrypoint("work")(lambda job: None)
    async with running(pgq, max_concurrent_tasks=1):
        await long_one.started.wait()
        async with idling(other_pgq, queue):
            await aeventually(lambda: [job.id for job in queue.jobs()] == [long_one.id])
        assert queue.job(long_one.id).attempts == 0
        long_one.release.set()
        await aeventually(lambda: not queue.jobs())
    assert sorted(entry.job_id for entry in queue.log()) == long_one.job_ids


async def test_ending_politely_gives_back_what_waits_for_a_slot(pgq: PgQueuer, queue: Queue) -> None:
    long_one = LongOne(queue)
    pgq.entrypoint("work")(long_one.work)
    async with running(pgq, max_concurrent_tasks=1):
        await long_one.started.wait()
        pgq.shutdown.set()
        await aeventually(lambda: [job.id for job in queue.jobs() if job.status == "picked"] == [long_one.id])
        long_one.release.set()
    assert all((job.status, job.attempts) == ("queued", 0) for job in queue.jobs())
    assert len(queue.jobs()) + len(queue.log()) == len(long_one.job_ids)


async def test_a_job_that_is_canceled_while_it_waits_for_a_slot_does_not_run(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anteroom, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(anteroom.Pace, "expected", lambda *_: 50)  # whatever this machine does
    long_one = LongOne(queue)
    pgq.entrypoint("work")(long_one.work)

    def waiting() -> list[int]:
        return [job.id for job in queue.jobs() if job.status == "picked" and job.id > long_one.id]

    async with running(pgq, max_concurrent_tasks=1):
        await long_one.started.wait()
        await aeventually(lambda: len(waiting()) > 25)  # half of what is expected: no more are asked for
        await asyncio.sleep(0.2)  # a pick may be under way
        # no more, or the one that is given back may be picked again at once
        monkeypatch.setattr(anteroom.Pace, "expected", lambda *_: 0)
        *_, last = waiting()
        queue.cancel(last)
        await aeventually(lambda: queue.job(last).status == "queued")
        monkeypatch.setattr(anteroom.Pace, "expected", lambda *_: 50)
        long_one.release.set()
        await aeventually(lambda: not queue.jobs())
    assert queue.statuses(last) == ["canceled"]
    assert last not in long_one.ran
