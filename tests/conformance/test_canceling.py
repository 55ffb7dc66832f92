"""Canceling: what waits ends at once and is logged, what runs is asked to stop."""

import asyncio
from uuid import UUID

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.operations.endings import Outcome, Release
from pgq_orm.store import CANCEL
from tests.conformance.bindings import Binding
from tests.conformance.callers import Caller
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables, ago
from tests.eventually import aeventually


@pytest.fixture
def worker_id(tables: Tables) -> UUID:
    return tables.add_worker()


async def test_a_job_that_waits_ends_at_once_and_is_kept_in_the_log(binding: Binding, tables: Tables) -> None:
    job_id = tables.add_job(
        attempts=1,
        priority=3,
        payload=b"p",
        arguments={"a": 1},
        headers={"h": 1},
        dedupe_key="order-5",
        max_attempts=4,
        schedule_id=9,
        workflow_id=UUID(int=1),
        concurrency_key="user-1",
    )
    job = tables.job(job_id)

    assert await binding.run(operations.cancel([job_id])) == {job_id: False}

    assert tables.count_jobs() == 0
    (log,) = tables.logs()
    assert (log.job_id, log.status, log.attempt, log.retried) == (job_id, "canceled", 2, False)
    assert (log.enqueued, log.execute_after, log.started, log.duration) == (
        job.created,
        job.execute_after,
        None,
        None,
    )
    assert (log.payload, log.arguments, log.headers) == (b"p", {"a": 1}, {"h": 1})
    assert (log.priority, log.dedupe_key, log.max_attempts, log.schedule_id) == (3, "order-5", 4, 9)
    assert (log.workflow_id, log.concurrency_key, log.worker_id) == (UUID(int=1), "user-1", None)


async def test_deferred_jobs_and_those_of_workflows_wait_too(binding: Binding, tables: Tables) -> None:
    job_ids = [tables.add_job(execute_after=ago(hours=-1)), tables.add_job(status="waiting")]
    assert await binding.run(operations.cancel(job_ids)) == dict.fromkeys(job_ids, False)
    assert [log.job_id for log in tables.logs()] == job_ids


async def test_a_job_that_runs_is_asked_to_stop(
    binding: Binding, tables: Tables, worker_id: UUID, ears: Ears
) -> None:
    job_id = tables.add_picked_job(worker_id)
    ears.listen()
    assert await binding.run(operations.cancel([job_id])) == {job_id: True}
    job = tables.job(job_id)
    assert job.cancel_requested is not None
    assert (job.status, job.lease, job.worker_id) == ("picked", 1, worker_id)
    assert tables.logs() == []
    assert await aeventually(ears.heard) == [CANCEL]


async def test_canceling_many_wakes_their_workers_once(
    binding: Binding, tables: Tables, worker_id: UUID, ears: Ears
) -> None:
    running = [tables.add_picked_job(worker_id) for _ in range(3)]
    waiting = tables.add_job()
    ears.listen()
    answer = await binding.run(operations.cancel([*running, waiting]))
    assert answer == {**dict.fromkeys(running, True), waiting: False}
    tables.execute("NOTIFY pgq, 'last'")
    assert await aeventually(lambda: (heard := ears.heard())[-1:] == ["last"] and heard) == [CANCEL, "last"]


async def test_what_is_done_already_cannot_be_canceled(binding: Binding, tables: Tables) -> None:
    assert await binding.run(operations.cancel([10**12])) == {}
    assert await binding.run(operations.cancel([])) == {}
    assert tables.logs() == []


async def test_a_job_that_is_picked_at_this_very_moment_is_asked_to_stop(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    job_id = tables.add_job()
    pick = operations.pick(worker_id, "default", ["mail"], 1)
    rival.execute(pick.statement.pyformat.encode(), pick.params)
    assert await _canceled_while(rival, binding, tables, job_id) == {job_id: True}
    assert tables.job(job_id).cancel_requested is not None


async def test_a_job_that_is_given_back_at_this_very_moment_ends(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    job_id = tables.add_picked_job(worker_id)
    release = operations.release([Release(job_id, 1)])
    rival.execute(release.statement.pyformat.encode(), release.params)
    assert await _canceled_while(rival, binding, tables, job_id) == {job_id: False}
    assert [log.status for log in tables.logs()] == ["canceled"]


async def test_a_job_that_finishes_at_this_very_moment_is_done(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    job_id = tables.add_picked_job(worker_id)
    finish = operations.finish([Outcome(job_id, 1, "successful", 0.0, 0.1)])
    rival.execute(finish.statement.pyformat.encode(), finish.params)
    assert await _canceled_while(rival, binding, tables, job_id) == {}
    assert [log.status for log in tables.logs()] == ["successful"]


async def _canceled_while(
    rival: psycopg.Connection, binding: Binding, tables: Tables, job_id: int
) -> dict[int, bool]:
    """What canceling answers that has to wait until the rival commits."""
    async with asyncio.TaskGroup() as tasks:
        canceling = tasks.create_task(binding.run(operations.cancel([job_id])))
        await aeventually(tables.is_somebody_waiting)
        rival.commit()
    return canceling.result()


async def test_an_application_cancels_within_its_transaction(
    caller: Caller, tables: Tables, worker_id: UUID
) -> None:
    waiting, running = tables.add_job(), tables.add_picked_job(worker_id)
    assert await caller.cancel([waiting, running]) == {waiting: False, running: True}
    await caller.rollback()
    assert tables.job(waiting).status == "queued"
    assert tables.job(running).cancel_requested is None

    await caller.cancel([waiting, running])
    await caller.commit()
    assert tables.job(waiting) is None
    assert tables.job(running).cancel_requested is not None
