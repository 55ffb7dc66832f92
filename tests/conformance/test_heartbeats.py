"""Heartbeats: a worker stays alive by beating, and hears what it must know about the jobs it holds."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.operations.workers import Lease, Notice
from tests.conformance.bindings import Binding
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables, ago
from tests.eventually import aeventually

BEATEN = Notice("beaten", None, None)


@pytest.fixture
def worker_id(tables: Tables) -> UUID:
    return tables.add_worker(heartbeat=ago(seconds=20))


async def beat(binding: Binding, worker_id: UUID, *leases: Lease) -> set[Notice]:
    notices = await binding.run(operations.beat(worker_id, leases, unheld_seconds=30.0))
    return set(notices)


async def test_a_registered_worker_is_described_by_its_row(binding: Binding, tables: Tables) -> None:
    worker_id = uuid4()
    await binding.run(
        operations.register_worker(
            worker_id,
            lease_seconds=12.5,
            pid=4711,
            hostname="here",
            queues=["default", "slow"],
            entrypoints=["letter", "mail"],
        )
    )
    (worker,) = tables.workers()
    assert (worker.id, worker.lease_seconds, worker.pid, worker.hostname) == (worker_id, 12.5, 4711, "here")
    assert (worker.queues, worker.entrypoints) == (["default", "slow"], ["letter", "mail"])
    assert tables.now() - worker.heartbeat < timedelta(seconds=10)


async def test_registering_again_is_another_heartbeat(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    await binding.run(
        operations.register_worker(
            worker_id, lease_seconds=30, pid=1, hostname="here", queues=[], entrypoints=[]
        )
    )
    (worker,) = tables.workers()
    assert tables.now() - worker.heartbeat < timedelta(seconds=10)


async def test_a_worker_that_has_ended_is_gone_and_wakes_the_others(
    binding: Binding, tables: Tables, worker_id: UUID, ears: Ears
) -> None:
    other = tables.add_worker()
    ears.listen()
    await binding.run(operations.unregister_worker(worker_id))
    assert [worker.id for worker in tables.workers()] == [other]
    assert await aeventually(ears.heard) == [""]


async def test_a_beat_keeps_the_worker_alive(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    assert await beat(binding, worker_id) == {BEATEN}
    (worker,) = tables.workers()
    assert tables.now() - worker.heartbeat < timedelta(seconds=10)


async def test_a_worker_that_was_declared_dead_is_not_beaten(binding: Binding, tables: Tables) -> None:
    assert await beat(binding, uuid4()) == set()
    assert tables.workers() == []


async def test_with_all_jobs_in_order_there_is_nothing_more_to_hear(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    leases = [Lease(tables.add_picked_job(worker_id, updated=ago(hours=1)), 1) for _ in range(3)]
    assert await beat(binding, worker_id, *leases) == {BEATEN}
    assert {job.status for job in tables.jobs()} == {"picked"}


async def test_it_hears_of_another_worker_that_is_dead(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_worker()
    assert await beat(binding, worker_id) == {BEATEN}
    tables.add_dead_worker()
    assert await beat(binding, worker_id) == {BEATEN, Notice("dead", None, None)}


async def test_it_hears_that_its_session_is_shared_with_one_that_listens(
    worker_id: UUID, rival: psycopg.Connection
) -> None:
    operation = operations.beat(worker_id, [], unheld_seconds=30.0)

    def beat() -> set[Notice]:
        return set(
            operation.read(rival.execute(operation.statement.pyformat.encode(), operation.params).fetchall())
        )

    assert beat() == {BEATEN}
    rival.execute("LISTEN pgq")
    rival.commit()
    assert beat() == {BEATEN, Notice("pooled", None, None)}


@pytest.mark.parametrize("lease_seconds", [float("inf"), float("nan"), 1e15, 0.0, -1.0])
async def test_a_lease_that_no_worker_could_reckon_with_is_not_stored(
    tables: Tables, lease_seconds: float
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="pgq_worker_lease_seconds_check"):
        tables.add_worker(lease_seconds=lease_seconds)


async def test_a_beat_that_comes_late_does_not_hear_of_itself(binding: Binding, tables: Tables) -> None:
    assert await beat(binding, tables.add_dead_worker()) == {BEATEN}


async def test_it_hears_which_jobs_should_stop(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    canceled = tables.add_picked_job(worker_id, cancel_requested=ago(seconds=1))
    running = tables.add_picked_job(worker_id)
    assert await beat(binding, worker_id, Lease(canceled, 1), Lease(running, 1)) == {
        BEATEN,
        Notice("canceling", canceled, 1),
    }


async def test_it_hears_which_leases_are_lost(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    picked_again = tables.add_picked_job(tables.add_worker(), lease=2, cancel_requested=ago(seconds=1))
    gone = 10**12
    assert await beat(binding, worker_id, Lease(picked_again, 1), Lease(gone, 1)) == {
        BEATEN,
        Notice("lost", picked_again, 1),
        Notice("lost", gone, 1),
    }


async def test_a_pick_whose_reply_never_arrived_is_given_back_and_wakes_somebody(
    binding: Binding, tables: Tables, worker_id: UUID, ears: Ears
) -> None:
    unheld = tables.add_picked_job(worker_id, attempts=1, updated=ago(seconds=31))
    held = tables.add_picked_job(worker_id, updated=ago(seconds=31))
    ears.listen()
    assert await beat(binding, worker_id, Lease(held, 1)) == {BEATEN, Notice("returned", unheld, 2)}
    job = tables.job(unheld)
    assert (job.status, job.lease, job.attempts, job.worker_id) == ("queued", 2, 1, None)
    assert tables.job(held).status == "picked"
    assert tables.logs() == []
    assert await aeventually(ears.heard) == [""]
    assert await beat(binding, worker_id, Lease(held, 1)) == {BEATEN}
    assert ears.heard() == [""]


async def test_a_beat_does_not_wait_for_an_application_that_holds_such_a_pick(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    held, unheld = (tables.add_picked_job(worker_id, updated=ago(seconds=31)) for _ in range(2))
    rival.execute("SELECT FROM pgq_job WHERE id = %s FOR UPDATE", [held])
    assert await asyncio.wait_for(beat(binding, worker_id), 10) == {BEATEN, Notice("returned", unheld, 2)}
    rival.rollback()
    assert await beat(binding, worker_id) == {BEATEN, Notice("returned", held, 2)}


async def test_a_job_held_under_an_older_lease_is_not_held(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(worker_id, lease=2, updated=ago(seconds=31))
    assert await beat(binding, worker_id, Lease(job_id, 1)) == {
        BEATEN,
        Notice("lost", job_id, 1),
        Notice("returned", job_id, 3),
    }


async def test_a_pick_whose_reply_may_still_be_on_its_way_is_left_alone(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(worker_id, updated=ago(seconds=20))
    assert await beat(binding, worker_id) == {BEATEN}
    assert tables.job(job_id).status == "picked"


async def test_other_workers_jobs_are_left_alone(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    for other in (tables.add_worker(), None):
        tables.add_picked_job(other, updated=ago(hours=1), cancel_requested=ago(seconds=1))
    before = tables.jobs()
    assert await beat(binding, worker_id) == {BEATEN}
    assert tables.jobs() == before
