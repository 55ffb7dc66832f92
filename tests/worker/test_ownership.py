"""Ownership: a job belongs to one worker at a time, and to none that is dead."""

import asyncio
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.worker import runner
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.wire import Wire
from tests.worker.workers import listens, running, running_in_a_thread, seconds

LEASE = seconds(3)
"""Short, for a test; long enough for a worker on a busy machine to keep it."""


def take_away(queue: Queue, job_id: int) -> None:
    """What happens to a worker's job when others believe that it died."""
    queue.execute(
        """
        INSERT INTO pgq_worker (id, lease_seconds, pid, hostname, queues, entrypoints)
        VALUES ('00000000-0000-0000-0000-000000000001', 3600, 1, 'elsewhere', '{}', '{}')
        """
    )
    queue.execute(
        """
        UPDATE pgq_job SET lease = lease + 1, worker_id = '00000000-0000-0000-0000-000000000001' WHERE id = :id
        """,
        id=job_id,
    )


@pytest.mark.parametrize("ending", ["succeeds", "fails", "is to be retried"])
async def test_a_lost_lease_drops_the_outcome(
    each_pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    @each_pgq.entrypoint("work", max_attempts=2 if ending == "is to be retried" else 1)
    async def work(job: Job) -> None:
        started.set()
        await release.wait()
        if ending != "succeeds":
            raise ValueError("no")

    [job_id] = queue.enqueue("work")
    async with running(each_pgq):
        await aeventually(started.is_set)
        take_away(queue, job_id)
        before = queue.job(job_id)
        release.set()
        await aeventually(lambda: f"Lease of job {job_id} is lost" in caplog.text)
    assert queue.job(job_id) == before
    assert queue.log() == []


async def test_a_job_that_is_picked_again_while_its_lost_outcome_is_written_keeps_its_new_lease(
    each_pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[int] = []
    release = asyncio.Event()

    @each_pgq.entrypoint("work")
    async def work(job: Job) -> int:
        started.append(job.id)
        await release.wait()
        return job.lease

    lost, other = queue.enqueue("work", [None] * 2)
    async with running(each_pgq):
        await aeventually(lambda: len(started) == 2)
        # what both came to is written in one statement, which waits for the other one's row
        with queue.hold(other):
            queue.execute("UPDATE pgq_job SET status = 'queued', lease = lease + 1 WHERE id = :id", id=lost)
            release.set()
            await aeventually(lambda: queue.job(lost).lease == 3)
        await aeventually(lambda: not queue.jobs())
    assert f"Lease of job {lost} is lost" in caplog.text
    assert [(entry.status, entry.result) for entry in queue.log(lost)] == [("successful", 3)]


async def test_a_job_whose_lease_is_lost_is_stopped_at_the_next_heartbeat(
    pgq: PgQueuer, queue: Queue
) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=LEASE):
        await aeventually(started.is_set)
        take_away(queue, job_id)
        await aeventually(stopped.is_set)
    assert queue.job(job_id).status == "picked"
    assert queue.log() == []


async def test_a_pick_whose_reply_was_lost_is_given_back_while_its_worker_lives(
    wired_pgq: PgQueuer, queue: Queue, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "REPLY_SECONDS", 1.0)
    monkeypatch.setattr(runner, "UNHELD_SECONDS", 2.0)
    ran: Counter[int] = Counter()

    @wired_pgq.entrypoint("work")
    async def work(job: Job) -> None:
        ran[job.id] += 1

    async with running(wired_pgq, dequeue_timeout=seconds(0.2), heartbeat_timeout=seconds(9)):
        job_id = await picked_by_the_deaf(queue, wire)
        [worker_id] = queue.worker_ids()
        wire.drop()
        wire.mend()
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
        assert queue.worker_ids() == [worker_id]
    assert ran[job_id] == 1
    [entry] = queue.log(job_id)
    assert entry.attempt == 1


async def test_a_reply_that_comes_too_late_is_not_run(
    wired_pgq: PgQueuer,
    queue: Queue,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker may have given the job back by then, for its heartbeat did not know it."""
    monkeypatch.setattr(runner, "REPLY_SECONDS", 0.5)
    monkeypatch.setattr(runner, "UNHELD_SECONDS", 1.0)
    leases: dict[int, list[int]] = defaultdict(list)

    @wired_pgq.entrypoint("work")
    async def work(job: Job) -> None:
        leases[job.id].append(job.lease)

    async with running(wired_pgq, dequeue_timeout=seconds(0.2), heartbeat_timeout=seconds(9)):
        job_id = await picked_by_the_deaf(queue, wire)
        await asyncio.sleep(0.6)  # longer than the reply may take
        wire.mend()
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
    assert "was thrown away" in caplog.text
    [lease] = leases[job_id]
    assert lease in range(
        3, 100, 2
    )  # picked, given back, picked; again, if the machine is as slow as the wire


async def picked_by_the_deaf(queue: Queue, wire: Wire) -> int:
    """A job that the server has given to the worker behind the wire, while the reply is held up."""
    while True:
        await aeventually(lambda: listens(queue))
        wire.deafen()
        [job_id] = queue.enqueue("work")
        try:
            await aeventually(lambda: queue.job(job_id).status == "picked", timeout=1)  # noqa: B023
        except AssertionError:
            # The wire went deaf between the worker's question and the enqueueing: the pick found nothing.
            wire.mend()
            await aeventually(lambda: not queue.jobs())
        else:
            return job_id


async def test_a_job_is_not_taken_from_a_living_worker_however_long_it_takes(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "REPLY_SECONDS", 1.0)
    monkeypatch.setattr(runner, "UNHELD_SECONDS", 2.0)
    ran: list[int] = []

    async def work(job: Job) -> None:
        ran.append(job.id)
        await asyncio.sleep(1.5 * LEASE.total_seconds())

    pgq.entrypoint("work")(work)
    other_pgq.entrypoint("work")(work)
    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=LEASE), running(other_pgq, heartbeat_timeout=LEASE):
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
    assert ran == [job_id]


async def test_a_job_that_is_requeued_by_hand_under_its_handler_ends_once(
    pgq: PgQueuer, queue: Queue
) -> None:
    leases: list[int] = []
    release = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> int:
        leases.append(job.lease)
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return job.lease

    [job_id] = queue.enqueue("work")
    async with running(pgq, max_concurrent_tasks=3):
        await aeventually(lambda: leases == [1])
        queue.execute(
            "UPDATE pgq_job SET status = 'queued', lease = lease + 1, worker_id = NULL, updated = now()"
        )
        queue.execute("SELECT pg_notify('pgq', '')")
        await aeventually(lambda: leases == [1, 3])
        release.set()
        await aeventually(lambda: queue.log())
        others = queue.enqueue("work", [None] * 6)
        await aeventually(lambda: all(queue.statuses(other) == ["successful"] for other in others))
    [entry] = queue.log(job_id)
    assert (entry.status, entry.result) == ("successful", 3)


async def test_a_handler_that_blocks_the_event_loop_is_not_taken_for_dead(
    each_pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    ran: list[int] = []

    @each_pgq.entrypoint("work")
    async def work(job: Job) -> None:
        ran.append(job.id)
        time.sleep(3)  # noqa: ASYNC251 - the very mistake

    other_pgq.entrypoint("work")(lambda job: None)
    rescuing = running_in_a_thread(other_pgq, heartbeat_timeout=seconds(2), queues=("other",))
    async with running(each_pgq, heartbeat_timeout=seconds(2)):
        with rescuing:
            await aeventually(lambda: len(queue.worker_ids()) == 2)
            [job_id] = queue.enqueue("work")
            await aeventually(lambda: queue.statuses(job_id) == ["successful"])
            assert len(queue.worker_ids()) == 2
    assert ran == [job_id]


# Being cut off


class Overlap:
    """How many run the same job at a time, whoever they are."""

    def __init__(self) -> None:
        self.running: Counter[int] = Counter()
        self.most = 0
        self.started: list[str] = []
        self.interrupted: list[str] = []

    def handler(self, name: str, seconds: float) -> Any:
        async def work(job: Job) -> None:
            self.started.append(name)
            self.running[job.id] += 1
            self.most = max(self.most, *self.running.values())
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.interrupted.append(name)
                raise
            finally:
                self.running[job.id] -= 1

        return work


@pytest.mark.parametrize("how", ["cut", "freeze"])
async def test_a_worker_that_is_cut_off_stops_its_jobs_before_others_take_them(
    wired_pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue, wire: Wire, how: str
) -> None:
    overlap = Overlap()
    wired_pgq.entrypoint("work")(overlap.handler("cut off", 3600))
    wired_pgq.entrypoint("later")(lambda job: None)
    other_pgq.entrypoint("work")(overlap.handler("other", 0.1))

    [job_id] = queue.enqueue("work")
    async with running(wired_pgq, heartbeat_timeout=LEASE):
        await aeventually(lambda: overlap.started == ["cut off"])
        [cut_off] = queue.worker_ids()
        async with running(other_pgq, heartbeat_timeout=LEASE):
            getattr(wire, how)()
            await aeventually(lambda: queue.statuses(job_id) == ["exception", "successful"])
        assert overlap.started == ["cut off", "other"]
        assert overlap.interrupted == ["cut off"]
        assert overlap.most == 1

        # and comes back as somebody else
        wire.mend()
        wire.drop()
        [later] = queue.enqueue("later")
        await aeventually(lambda: queue.statuses(later) == ["successful"])
        [back] = queue.worker_ids()
        assert back != cut_off
    [died, successful] = queue.log(job_id)
    assert (died.retried, died.worker_id, died.error.partition(":")[0]) == (True, cut_off, "WorkerDied")
    assert successful.attempt == 2


async def test_what_a_worker_that_was_cut_off_could_not_interrupt_keeps_its_slot(
    wired_pgq: PgQueuer, queue: Queue, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INTERRUPTION_SECONDS", 0.1)
    may_end = threading.Event()
    begun: list[int] = []

    @wired_pgq.entrypoint("stuck")
    def stuck(job: Job) -> None:
        begun.append(job.id)
        if len(begun) == 1:
            may_end.wait(30)

    @wired_pgq.entrypoint("later")
    async def later(job: Job) -> None:
        begun.append(job.id)
        await asyncio.to_thread(may_end.wait, 30)

    [job_id] = queue.enqueue("stuck")
    try:
        async with running(wired_pgq, heartbeat_timeout=LEASE, max_concurrent_tasks=2):
            await aeventually(lambda: begun == [job_id])
            wire.cut()
            await aeventually(lambda: not wired_pgq.vitals().is_picking)
            wire.mend()
            # in its next life; its thread of before goes on without a lease
            await aeventually(lambda: queue.statuses(job_id) == ["successful"], timeout=20)
            assert wired_pgq.vitals().slots == 1
            first, second = queue.enqueue("later", [None] * 2)
            await aeventually(lambda: first in begun)
            assert queue.job(second).status == "queued"

            may_end.set()
            await aeventually(lambda: not queue.jobs())
            assert wired_pgq.vitals().slots == 2
    finally:
        may_end.set()


async def test_a_heartbeat_that_hears_of_a_dead_worker_has_its_jobs_rescued(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "UNTOLD_LEASES", 1000)
    pgq.entrypoint("work")(lambda job: None)
    async with running(pgq, heartbeat_timeout=LEASE):
        await aeventually(lambda: queue.worker_ids())
        await asyncio.sleep(0.5)  # it has looked for the dead once
        [job_id] = queue.enqueue("elsewhere")
        queue.execute(
            "WITH dead AS ("
            "INSERT INTO pgq_worker (id, heartbeat, lease_seconds, pid, hostname, queues, entrypoints)"
            " VALUES (gen_random_uuid(), now() - interval '1 hour', 30, 1, 'here', '{}', '{}') RETURNING id)"
            " UPDATE pgq_job SET status = 'picked', lease = 1, worker_id = dead.id FROM dead"
        )
        await aeventually(lambda: queue.job(job_id).status == "queued")
    assert queue.log(job_id)[0].error.startswith("WorkerDied")


async def test_a_worker_that_is_locked_out_of_the_database_stops_its_jobs_and_comes_back(
    pgq: PgQueuer, queue: Queue
) -> None:
    overlap = Overlap()
    pgq.entrypoint("work")(overlap.handler("locked out", 3600))
    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=LEASE):
        await aeventually(lambda: overlap.started)
        [before] = queue.worker_ids()
        name = queue.scalars("SELECT current_database()")[0]
        admin = Queue(queue.dsn.replace(name, "postgres"))
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name", name=name
        )
        await aeventually(lambda: overlap.interrupted)
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        admin.close()
        await aeventually(lambda: len(overlap.started) == 2)
        assert queue.worker_ids() != [before]
        assert overlap.most == 1
        pgq.stop_now()
    assert queue.job(job_id).status == "queued"


async def test_a_worker_that_was_declared_dead_picks_nothing_and_comes_back_as_another(
    pgq: PgQueuer, queue: Queue
) -> None:
    overlap = Overlap()
    pgq.entrypoint("work")(overlap.handler("declared dead", 3600))
    pgq.entrypoint("later")(lambda job: None)
    queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=LEASE):
        await aeventually(lambda: overlap.started)
        [before] = queue.worker_ids()
        queue.execute("DELETE FROM pgq_worker")
        [job_id] = queue.enqueue("later")
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
        assert overlap.interrupted
        [entry] = queue.log(job_id)
        assert entry.worker_id != before
        pgq.stop_now()
