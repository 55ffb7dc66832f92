"""Workflows in workers: order, results of parents, jobs added on the way, and what a kill changes: nothing."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from pgq_orm import PgQueuer
from pgq_orm.completion import CompletionWatcher
from pgq_orm.errors import JobFailedError, RegistrationError, UnknownParentError
from pgq_orm.executors import AbstractEntrypointExecutor, ProcessExecutor
from pgq_orm.injection import INJECTED
from pgq_orm.models import Context, Job
from pgq_orm.orchestration import WorkflowHandle
from pgq_orm.outcomes import Cancel
from pgq_orm.parents import Parents
from pgq_orm.sqlalchemy import Queries, SyncQueries
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm.workflows import Workflow, call, chain, group
from tests.eventually import aeventually, eventually
from tests.worker.processes import worker_process
from tests.worker.queues import Queue
from tests.worker.workers import idling, running

drain = QueueExecutionMode.drain


def enqueued(queue: Queue, flow: Any) -> WorkflowHandle:
    with queue.engine.begin() as connection:
        return SyncQueries(connection).enqueue_workflow(flow)


def result(queue: Queue, job_id: int) -> Any:
    with queue.engine.begin() as connection:
        return SyncQueries(connection).result(job_id)


def state(queue: Queue, handle: WorkflowHandle) -> str:
    with queue.engine.begin() as connection:
        return SyncQueries(connection).workflow_status(handle.id).state


async def test_a_job_runs_after_its_parents_and_is_told_their_results(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    order: list[str] = []

    @each_pgq.entrypoint("extract")
    async def extract(job: Job) -> list[int]:
        order.append("extract")
        return [1, 2, 3]

    @each_pgq.entrypoint("transform")
    async def transform(job: Job, context: Context) -> int:
        order.append("transform")
        parents = await context.parents()
        return parents["extract"].result[job.arguments["part"]] * 10

    @each_pgq.entrypoint("load")
    def load(job: Job, parents: Parents) -> int:
        order.append("load")
        return sum(parents.results().values())

    parts = group(call("transform", arguments={"part": part}) for part in range(3))
    handle = enqueued(queue, chain("extract", parts, "load"))
    await each_pgq.run(mode=drain)
    assert order == ["extract", "transform", "transform", "transform", "load"]
    assert result(queue, handle["load"]) == 60
    assert state(queue, handle) == "successful"


async def test_a_job_without_parents_is_told_of_none(pgq: PgQueuer, queue: Queue) -> None:
    found: list[Parents] = []

    @pgq.entrypoint("alone")
    async def alone(job: Job, parents: Parents) -> None:
        found.append(parents)

    queue.enqueue("alone")
    await pgq.run(mode=drain)
    assert [dict(parents) for parents in found] == [{}]


async def test_a_failed_parent_shows_what_happened(pgq: PgQueuer, queue: Queue) -> None:
    found: list[Parents] = []

    @pgq.entrypoint("fail")
    async def fail(job: Job) -> None:
        raise ValueError("no")

    @pgq.entrypoint("look")
    async def look(job: Job, parents: Parents) -> None:
        found.append(parents)

    flow = Workflow()
    flow.add("look", depends_on=flow.add("fail"), on_failure="ignore")
    enqueued(queue, flow)
    await pgq.run(mode=drain)
    (parents,) = found
    assert (parents["fail"].status, parents["fail"].error) == ("exception", "ValueError: no")
    assert parents.results() == {}
    with pytest.raises(JobFailedError):
        parents["fail"].result  # noqa: B018
    with pytest.raises(UnknownParentError, match="did you mean 'fail'"):
        parents["fial"]


async def test_a_retry_is_no_end(pgq: PgQueuer, queue: Queue) -> None:
    attempts: list[int] = []

    @pgq.entrypoint("flaky", max_attempts=3)
    async def flaky(job: Job) -> None:
        attempts.append(job.attempts)
        if job.attempts < 2:
            raise ValueError("not yet")

    @pgq.entrypoint("after")
    async def after(job: Job) -> None:
        attempts.append(-1)

    handle = enqueued(queue, chain("flaky", "after"))
    queue.execute("UPDATE pgq_job SET max_attempts = 3")
    async with running(pgq):
        await aeventually(lambda: state(queue, handle) == "successful")
    assert attempts == [0, 1, 2, -1]


async def test_a_verdict_to_cancel_cancels_what_follows(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("decide")
    async def decide(job: Job) -> None:
        raise Cancel("nothing to do")

    handle = enqueued(queue, chain("decide", "decide", "decide"))
    await pgq.run(mode=drain)
    assert [entry.status for entry in queue.log()] == ["canceled"] * 3
    assert (
        queue.log(handle["decide-2"])[0].error
        == f"ParentFailed: job {handle['decide']} (decide) ended as canceled"
    )


async def test_a_handler_adds_jobs_to_its_own_workflow(pgq: PgQueuer, queue: Queue) -> None:
    seen: list[str] = []

    @pgq.entrypoint("split")
    async def split(job: Job, session: AsyncSession) -> str:
        more = Workflow(job.workflow_id)
        parts = [more.add("part", arguments={"n": n}, depends_on=job.id) for n in range(3)]
        more.add("join", name="joined", depends_on=parts)
        await Queries(session).enqueue_workflow(more)
        seen.append("split")
        return "whole"

    @pgq.entrypoint("part")
    async def part(job: Job, parents: Parents) -> str:
        seen.append("part")
        return f"{parents['split'].result} {job.arguments['n']}"

    @pgq.entrypoint("join")
    async def join(job: Job, parents: Parents) -> list[str]:
        seen.append("join")
        return sorted(parents.results().values())

    handle = enqueued(queue, chain("split"))
    await pgq.run(mode=drain)
    assert seen == ["split", "part", "part", "part", "join"]
    (joined,) = queue.execute("SELECT job_id FROM pgq_log WHERE name = 'joined'")
    assert result(queue, joined.job_id) == ["whole 0", "whole 1", "whole 2"]
    assert state(queue, handle) == "successful"


async def test_what_a_transactional_handler_adds_depends_on_it_and_runs(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("first", transactional=True)
    async def first(job: Job, session: AsyncSession) -> str:
        await Queries(session).enqueue("second", depends_on=job.id)
        return "done"

    @pgq.entrypoint("second")
    async def second(job: Job, parents: Parents) -> Any:
        return list(parents.results().values())

    queue.enqueue("first")
    await pgq.run(mode=drain)
    assert [entry.result for entry in queue.log()] == ["done", ["done"]]


async def test_typed_tasks_are_parts_of_workflows(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.task
    async def twice(number: int) -> int:
        return number * 2

    @pgq.task
    async def total(parents: Parents = INJECTED) -> int:
        return sum(parents.results().values())

    flow = Workflow()
    numbers = [flow.add(twice.call(number=number)) for number in (1, 2)]
    last = flow.add(total.call(), name="sum", depends_on=numbers)
    handle = enqueued(queue, flow)
    await pgq.run(mode=drain)
    assert handle[last] == handle["sum"]
    assert result(queue, handle["sum"]) == 6


async def test_an_executor_of_ones_own_finds_the_parents(pgq: PgQueuer, queue: Queue) -> None:
    class Adding(AbstractEntrypointExecutor):
        async def execute(self, job: Job, context: Context) -> int:
            return sum((await context.parents()).results().values(), 1)

    @pgq.entrypoint("add", executor_factory=Adding)
    async def add(job: Job) -> None: ...

    handle = enqueued(queue, chain("add", "add", "add"))
    await pgq.run(mode=drain)
    assert result(queue, handle["add-3"]) == 3


async def test_parents_stay_in_the_workers_process(pgq: PgQueuer) -> None:
    with pytest.raises(
        RegistrationError, match="Parents and the ORM's sessions stay in the worker's process"
    ):
        pgq.entrypoint("load", executor_factory=ProcessExecutor)(handler_with_parents)
        await pgq.run(mode=drain)


def handler_with_parents(job: Job, parents: Parents) -> None: ...


async def test_a_chain_does_not_wait_for_polls(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("step")
    async def step(job: Job) -> None: ...

    async with idling(pgq, queue, dequeue_timeout=timedelta(seconds=60)):
        handle = enqueued(queue, chain(["step"] * 30))
        await aeventually(lambda: state(queue, handle) == "successful")


async def test_another_worker_is_woken_for_what_is_released(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    @pgq.entrypoint("here")
    async def here(job: Job) -> None: ...

    @other_pgq.entrypoint("there")
    async def there(job: Job) -> None: ...

    patience = timedelta(seconds=60)
    async with idling(other_pgq, queue, dequeue_timeout=patience), running(pgq, dequeue_timeout=patience):
        for _ in range(3):
            handle = enqueued(queue, chain("here", "there", "here", "there"))
            await aeventually(lambda handle=handle: state(queue, handle) == "successful")  # type: ignore[misc]


async def test_a_workflow_is_awaited(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("step")
    async def step(job: Job) -> None:
        if job.payload:
            raise ValueError("no")

    async with running(pgq), CompletionWatcher(pgq.store) as watcher:
        fine = watcher.wait_for_workflow(enqueued(queue, chain("step", "step")).id)
        bad = watcher.wait_for_workflow(enqueued(queue, chain(call("step", b"x"), "step")).id)
        stuck = Workflow()
        stuck.add("step", depends_on=stuck.add("step", b"x"), on_failure="wait")
        stalled = watcher.wait_for_workflow(enqueued(queue, stuck).id)
        states = [progress.state for progress in await asyncio.gather(fine, bad, stalled)]
    assert states == ["successful", "failed", "stalled"]


def test_a_killed_worker_changes_nothing(queue: Queue) -> None:
    queue.execute("CREATE TABLE ran (job_id bigint, pid integer)")
    flow = Workflow()
    first = flow.add("record")
    killer = flow.add("kill", max_attempts=3, depends_on=first)
    parts = [flow.add("record", depends_on=killer, on_failure="ignore") for _ in range(5)]
    flow.add("record", name="last", depends_on=parts)
    handle = enqueued(queue, flow)
    lease = ("--heartbeat-timeout", "2")
    for kills in range(1, 4):
        with worker_process(queue, *lease) as process:
            process.await_end()
            assert len(queue.log(handle["kill"])) == kills - 1
    with worker_process(queue, *lease):
        eventually(lambda: state(queue, handle) == "failed", timeout=30)
    assert queue.statuses(handle["kill"]) == ["exception"] * 3
    ran = queue.scalars("SELECT job_id FROM ran ORDER BY job_id")
    assert sorted(set(ran)) == ran == sorted(set(handle.job_ids) - {handle["kill"]})
    assert queue.jobs() == []
