"""Finishing: a job whose lease stands leaves its trace once; one whose lease is lost leaves none."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import FailedAttempt, Outcome, Release
from pgq_orm.operations.workers import Lease
from tests.conformance.bindings import Binding
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables, ago
from tests.eventually import aeventually


@pytest.fixture
def worker_id(tables: Tables) -> UUID:
    return tables.add_worker()


async def test_a_job_that_succeeded_leaves_its_trace_in_the_log(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(
        worker_id,
        created=ago(hours=2),
        updated=ago(seconds=10),
        execute_after=ago(hours=1),
        priority=3,
        attempts=1,
        max_attempts=5,
        queue="slow",
        payload=b"large",
        arguments={"large": True},
        headers={"large": True},
        dedupe_key="order-5",
        schedule_id=9,
        workflow_id=UUID(int=1),
        concurrency_key="user-1",
    )
    job = tables.job(job_id)

    outcome = Outcome(
        job_id, 1, "successful", wait_seconds=0.25, duration_seconds=1.5, result='{"sent": "zoë"}'
    )
    assert await binding.run(operations.finish([outcome])) == {job_id}

    assert tables.count_jobs() == 0
    (log,) = tables.logs()
    assert (log.job_id, log.status, log.retried, log.attempt) == (job_id, "successful", False, 2)
    assert (log.enqueued, log.execute_after) == (job.created, job.execute_after)
    assert log.started == job.updated + timedelta(seconds=0.25)
    assert log.duration == timedelta(seconds=1.5)
    assert (log.result, log.error, log.traceback) == ({"sent": "zoë"}, None, None)
    assert (log.priority, log.queue, log.entrypoint, log.worker_id) == (3, "slow", "mail", worker_id)
    assert (log.dedupe_key, log.max_attempts, log.schedule_id) == ("order-5", 5, 9)
    assert (log.workflow_id, log.concurrency_key) == (UUID(int=1), "user-1")
    assert (log.payload, log.arguments, log.headers) == (None, None, None)


async def test_no_attempt_starts_after_it_has_ended(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    """A worker's clock may be ahead of the database's."""
    job_id = tables.add_picked_job(worker_id)
    await binding.run(operations.finish([Outcome(job_id, 1, "successful", 60.0, 0.0)]))
    (log,) = tables.logs()
    assert log.started <= log.created


@pytest.mark.parametrize("status", ["exception", "canceled"])
async def test_what_did_not_succeed_is_kept_whole_so_that_it_can_be_run_again(
    binding: Binding, tables: Tables, worker_id: UUID, status: str
) -> None:
    job_id = tables.add_picked_job(worker_id, payload=b"p", arguments={"a": 1}, headers={"h": 1})
    outcome = Outcome(job_id, 1, status, 0.0, 0.1, None, "ValueError: no such user", "Traceback …")
    assert await binding.run(operations.finish([outcome])) == {job_id}
    (log,) = tables.logs()
    assert (log.status, log.error, log.traceback) == (status, "ValueError: no such user", "Traceback …")
    assert (log.payload, log.arguments, log.headers) == (b"p", {"a": 1}, {"h": 1})


async def test_a_result_may_be_any_json(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    results = ["null", "5", '"text"', "[1, null]", "{}"]
    outcomes = [
        Outcome(tables.add_picked_job(worker_id), 1, "successful", 0.0, 0.1, result) for result in results
    ]
    await binding.run(operations.finish(outcomes))
    assert [log.result for log in sorted(tables.logs(), key=lambda log: log.job_id)] == [
        None,
        5,
        "text",
        [1, None],
        {},
    ]


async def test_a_retry_queues_the_job_again_and_logs_the_attempt(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(
        worker_id,
        attempts=1,
        payload=b"large",
        max_attempts=5,
        dedupe_key="order-5",
        concurrency_key="user-1",
    )
    failed = FailedAttempt(job_id, 1, delay_seconds=90.0, duration_seconds=1.5, error="E", traceback="T")
    assert await binding.run(operations.retry(worker_id, [failed])) == {job_id}

    job = tables.job(job_id)
    assert (job.status, job.attempts, job.lease, job.worker_id) == ("queued", 2, 2, None)
    assert job.execute_after == job.updated + timedelta(seconds=90)
    assert job.payload == b"large"
    (log,) = tables.logs()
    assert (log.job_id, log.status, log.retried, log.attempt) == (job_id, "exception", True, 2)
    assert (log.worker_id, log.error, log.traceback) == (worker_id, "E", "T")
    assert log.duration == timedelta(seconds=1.5)
    assert log.started == log.created - log.duration
    assert (log.payload, log.max_attempts, log.dedupe_key, log.concurrency_key) == (
        None,
        5,
        "order-5",
        "user-1",
    )


async def test_a_retry_without_delay_is_ready_at_once(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(worker_id)
    await binding.run(operations.retry(worker_id, [FailedAttempt(job_id, 1, 0.0, 0.1, "E", "T")]))
    (job,) = await binding.run(operations.pick(worker_id, "default", ["mail"], 10))
    assert (job.id, job.attempts, job.lease) == (job_id, 1, 3)


async def test_a_retry_with_a_delay_is_ready_after_it(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(worker_id)
    await binding.run(operations.retry(worker_id, [FailedAttempt(job_id, 1, 60.0, 0.1, "E", "T")]))
    assert await binding.run(operations.pick(worker_id, "default", ["mail"], 10)) == []
    seconds = await binding.run(operations.promote(10))
    assert seconds is not None
    assert 50 < seconds <= 60


async def test_a_released_job_is_as_if_it_had_never_been_picked(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_picked_job(worker_id, attempts=1)
    assert await binding.run(operations.release([Release(job_id, 1)])) == {job_id}
    job = tables.job(job_id)
    assert (job.status, job.attempts, job.lease, job.worker_id) == ("queued", 1, 2, None)
    assert tables.logs() == []
    (again,) = await binding.run(operations.pick(worker_id, "default", ["mail"], 10))
    assert again.id == job_id


async def test_a_snoozed_job_waits_uncounted(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    job_id = tables.add_picked_job(worker_id, attempts=1)
    assert await binding.run(operations.release([Release(job_id, 1, 60.0)])) == {job_id}
    job = tables.job(job_id)
    assert (job.status, job.attempts, job.lease, job.worker_id) == ("queued", 1, 2, None)
    assert timedelta(seconds=59) < job.execute_after - job.updated <= timedelta(seconds=60)
    assert tables.logs() == []


async def test_a_released_job_wakes_another_worker(
    binding: Binding, tables: Tables, worker_id: UUID, ears: Ears
) -> None:
    job_id = tables.add_picked_job(worker_id)
    ears.listen()
    await binding.run(operations.release([Release(job_id, 1)]))
    assert await aeventually(ears.heard) == [""]


# A lease that is lost

ENDINGS: dict[str, Callable[[UUID, list[Lease]], Operation[set[int]]]] = {
    "finish": lambda _, leases: operations.finish(
        [Outcome(*held, "successful", 0.0, 0.1) for held in leases]
    ),
    "retry": lambda worker_id, leases: operations.retry(
        worker_id, [FailedAttempt(*held, 1.0, 0.1, "E", "T") for held in leases]
    ),
    "release": lambda _, leases: operations.release([Release(*held) for held in leases]),
}
however_it_ends = pytest.mark.parametrize("end", ENDINGS.values(), ids=list(ENDINGS))


@however_it_ends
async def test_a_lost_lease_writes_nothing_and_answers_nothing(
    binding: Binding, tables: Tables, worker_id: UUID, end: Callable[..., Operation[Any]]
) -> None:
    tables.add_picked_job(worker_id, lease=2)  # picked again since
    tables.add_job(lease=1)  # queued again, which a bumped lease would tell as well
    before = tables.jobs()
    leases = [Lease(job.id, 1) for job in before] + [Lease(10**12, 1)]
    assert await binding.run(end(worker_id, leases)) == set()
    assert tables.jobs() == before
    assert tables.logs() == []


@however_it_ends
async def test_a_lost_lease_does_not_hold_up_the_others(
    binding: Binding, tables: Tables, worker_id: UUID, end: Callable[..., Operation[Any]]
) -> None:
    kept, lost, also_kept = (tables.add_picked_job(worker_id, lease=lease) for lease in (1, 2, 1))
    leases = [Lease(job_id, 1) for job_id in (kept, lost, also_kept)]
    assert await binding.run(end(worker_id, leases)) == {kept, also_kept}
    assert tables.job(lost).lease == 2
    assert {log.job_id for log in tables.logs()} <= {kept, also_kept}


@however_it_ends
async def test_a_lease_that_is_lost_at_this_very_moment_is_lost(
    binding: Binding,
    tables: Tables,
    worker_id: UUID,
    rival: psycopg.Connection,
    end: Callable[..., Operation[Any]],
) -> None:
    job_id = tables.add_picked_job(worker_id)
    rival.execute("UPDATE pgq_job SET lease = lease + 1")
    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(binding.run(end(worker_id, [Lease(job_id, 1)])))
        await aeventually(tables.is_somebody_waiting)
        rival.commit()
    assert ending.result() == set()
    assert (tables.job(job_id).status, tables.logs()) == ("picked", [])


@however_it_ends
async def test_ending_twice_is_ending_once(
    binding: Binding, tables: Tables, worker_id: UUID, end: Callable[..., Operation[Any]]
) -> None:
    leases = [Lease(tables.add_picked_job(worker_id), 1)]
    assert await binding.run(end(worker_id, leases)) == {leases[0].id}
    assert await binding.run(end(worker_id, leases)) == set()
    assert len(tables.logs()) <= 1
