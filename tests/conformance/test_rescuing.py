"""Rescuing: the jobs of dead workers run again, but not for ever; those of living ones are left alone."""

from uuid import UUID, uuid4

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.operations.endings import Outcome
from pgq_orm.operations.workers import Lease, Rescued
from tests.conformance.bindings import Binding
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables, ago
from tests.eventually import aeventually


@pytest.fixture
def dead_id(tables: Tables) -> UUID:
    return tables.add_dead_worker()


async def rescue(binding: Binding, crash_limit: int = 5, batch_size: int = 100) -> list[Rescued]:
    return await binding.run(operations.rescue(crash_limit=crash_limit, batch_size=batch_size))


async def test_a_dead_workers_job_is_queued_again_and_the_crash_counts(
    binding: Binding, tables: Tables, dead_id: UUID
) -> None:
    job_id = tables.add_picked_job(dead_id, attempts=1, payload=b"p", cancel_requested=ago(seconds=1))
    assert await rescue(binding) == [Rescued(job_id, is_queued=True)]

    job = tables.job(job_id)
    assert (job.status, job.attempts, job.lease, job.worker_id) == ("queued", 2, 2, None)
    assert job.payload == b"p"
    assert job.cancel_requested is not None  # so that it is not run again
    (log,) = tables.logs()
    assert (log.job_id, log.status, log.retried, log.attempt) == (job_id, "exception", True, 2)
    assert (log.worker_id, log.payload) == (dead_id, None)
    assert log.error == "WorkerDied: the worker that ran this attempt stopped sending heartbeats"
    assert tables.workers() == []


async def test_a_rescued_job_is_ready_at_once_and_wakes_somebody(
    binding: Binding, tables: Tables, dead_id: UUID, ears: Ears
) -> None:
    job_id = tables.add_picked_job(dead_id)
    ears.listen()
    await rescue(binding)
    assert await aeventually(ears.heard) == [""]
    (job,) = await binding.run(operations.pick(tables.add_worker(), "default", ["mail"], 10))
    assert (job.id, job.attempts) == (job_id, 1)


async def test_a_dead_workers_burial_wakes_somebody_who_learns_of_its_retries(
    binding: Binding, tables: Tables, dead_id: UUID, ears: Ears
) -> None:
    ears.listen()
    assert await rescue(binding) == []
    assert await aeventually(ears.heard) == [""]
    assert tables.workers() == []


async def test_a_job_that_keeps_killing_its_worker_ends_at_the_crash_limit(
    binding: Binding, tables: Tables, dead_id: UUID
) -> None:
    job_id = tables.add_picked_job(dead_id, attempts=4, payload=b"p", arguments={"a": 1}, headers={"h": 1})
    assert await rescue(binding, crash_limit=5) == [Rescued(job_id, is_queued=False)]
    assert tables.count_jobs() == 0
    (log,) = tables.logs()
    assert (log.job_id, log.status, log.retried, log.attempt) == (job_id, "exception", False, 5)
    assert (log.payload, log.arguments, log.headers) == (b"p", {"a": 1}, {"h": 1})
    assert log.worker_id == dead_id


@pytest.mark.parametrize(
    ("attempts", "max_attempts", "is_queued"), [(0, 1, False), (6, 8, True), (7, 8, False)]
)
async def test_a_jobs_own_limit_comes_first(
    binding: Binding, tables: Tables, dead_id: UUID, attempts: int, max_attempts: int, is_queued: bool
) -> None:
    job_id = tables.add_picked_job(dead_id, attempts=attempts, max_attempts=max_attempts)
    assert await rescue(binding, crash_limit=5) == [Rescued(job_id, is_queued)]


async def test_a_living_workers_job_is_left_alone_however_long_it_runs(
    binding: Binding, tables: Tables
) -> None:
    tables.add_picked_job(tables.add_worker(heartbeat=ago(seconds=20)), updated=ago(days=3))
    before = tables.jobs(), tables.workers()
    assert await rescue(binding) == []
    assert (tables.jobs(), tables.workers()) == before


async def test_each_worker_has_its_own_lease(binding: Binding, tables: Tables) -> None:
    patient = tables.add_worker(heartbeat=ago(seconds=20), lease_seconds=60)
    hasty = tables.add_worker(heartbeat=ago(seconds=20), lease_seconds=10)
    tables.add_picked_job(patient)
    orphan = tables.add_picked_job(hasty)
    assert await rescue(binding) == [Rescued(orphan, is_queued=True)]
    assert [worker.id for worker in tables.workers()] == [patient]


@pytest.mark.parametrize("worker_id", [None, uuid4()], ids=["of no worker", "of a worker without a row"])
async def test_a_job_that_nobody_can_be_running_is_rescued(
    binding: Binding, tables: Tables, worker_id: UUID | None
) -> None:
    tables.add_worker()
    job_id = tables.add_picked_job(worker_id)
    assert await rescue(binding) == [Rescued(job_id, is_queued=True)]
    assert [log.worker_id for log in tables.logs()] == [worker_id]


async def test_what_no_worker_holds_needs_no_rescue(binding: Binding, tables: Tables, dead_id: UUID) -> None:
    tables.add_job()
    tables.add_job(status="waiting")
    tables.add_job(execute_after=ago(hours=-1))
    before = tables.jobs()
    assert await rescue(binding) == []
    assert tables.jobs() == before
    assert tables.workers() == []


async def test_a_dead_worker_is_forgotten_with_the_last_batch_of_its_jobs(
    binding: Binding, tables: Tables, dead_id: UUID
) -> None:
    for _ in range(3):
        tables.add_picked_job(dead_id)
    assert len(await rescue(binding, batch_size=2)) == 2
    assert [worker.id for worker in tables.workers()] == [dead_id]
    assert len(await rescue(binding, batch_size=2)) == 1
    assert tables.workers() == []
    assert {job.status for job in tables.jobs()} == {"queued"}


async def test_a_job_that_a_living_worker_has_picked_meanwhile_is_left_alone(
    binding: Binding, tables: Tables, dead_id: UUID, rival: psycopg.Connection
) -> None:
    living_id = tables.add_worker()
    job_id, other = tables.add_picked_job(dead_id), tables.add_picked_job(dead_id)
    # another rescuer gave it back, and it was picked, in one step
    rival.execute("UPDATE pgq_job SET lease = lease + 2, worker_id = %s WHERE id = %s", [living_id, job_id])
    assert await rescue(binding) == [Rescued(other, is_queued=True)]
    rival.commit()
    assert await rescue(binding) == []
    assert (tables.job(job_id).status, tables.job(job_id).worker_id) == ("picked", living_id)
    assert [log.job_id for log in tables.logs()] == [other]


async def test_a_job_that_a_dead_workers_transaction_still_holds_keeps_no_other_from_being_rescued(
    binding: Binding, tables: Tables, dead_id: UUID, rival: psycopg.Connection
) -> None:
    job_id, other = tables.add_picked_job(dead_id), tables.add_picked_job(dead_id)
    finish = operations.finish([Outcome(job_id, 1, "successful", 0.0, 0.1)])
    rival.execute(finish.statement.pyformat.encode(), finish.params)
    assert await rescue(binding) == [Rescued(other, is_queued=True)]
    rival.rollback()
    assert await rescue(binding) == [Rescued(job_id, is_queued=True)]


async def test_a_worker_that_is_just_beating_is_not_dead(
    binding: Binding, tables: Tables, dead_id: UUID, rival: psycopg.Connection
) -> None:
    job_id = tables.add_picked_job(dead_id)
    beat = operations.beat(dead_id, [Lease(job_id, 1)], unheld_seconds=30.0)
    rival.execute(beat.statement.pyformat.encode(), beat.params)
    assert await rescue(binding) == []
    rival.commit()
    assert await rescue(binding) == []
    assert tables.job(job_id).status == "picked"


async def test_two_rescuers_take_a_job_once(
    binding: Binding, tables: Tables, dead_id: UUID, rival: psycopg.Connection
) -> None:
    job_id = tables.add_picked_job(dead_id)
    again = operations.rescue(crash_limit=5, batch_size=100)
    rival.execute(again.statement.pyformat.encode(), again.params)
    assert await rescue(binding) == []
    rival.commit()
    assert await rescue(binding) == []
    assert (tables.job(job_id).attempts, len(tables.logs())) == (1, 1)
