"""Push: what an executor says of its jobs is what becomes of them, once, and only while it may say so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from pgq_orm import PgQueuer
from pgq_orm.errors import UpdateRefusedError
from pgq_orm.executors import Executor, JobInstance
from pgq_orm.executors.push import PushQueue
from pgq_orm.functions import FunctionJob
from pgq_orm.models import Job
from pgq_orm.queues import Queue as NamedQueue
from tests.eventually import aeventually
from tests.executors.jobs import DRAIN, Queue

State = JobInstance.State
Pushing = Callable[[Executor, JobInstance], Awaitable[None]]


class Says(Executor):
    """Does what a test says."""

    def __init__(self, queue: PushQueue, pushing: Pushing) -> None:
        super().__init__(queue)
        self.pushing = pushing

    async def push(self, job: JobInstance) -> None:
        await self.pushing(self, job)


@pytest.fixture
def saying(pgq: PgQueuer) -> Callable[..., PgQueuer]:
    """An application whose queue has an executor that does what it is told."""

    def saying(pushing: Pushing, **options: Any) -> PgQueuer:
        pgq.entrypoint("work", **options)(handler)
        pgq.queue(NamedQueue("default", concurrency=10, executor=partial(Says, pushing=pushing)))
        return pgq

    return saying


def handler(job: Job) -> None:
    raise AssertionError("the queue's executor takes the handler's place")


async def drain(pgq: PgQueuer) -> None:
    await asyncio.wait_for(pgq.run(mode=DRAIN), 30)


async def test_a_job_arrives_with_all_that_is_known_of_it(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    seen: list[JobInstance] = []

    async def look(executor: Executor, job: JobInstance) -> None:
        seen.append(job)
        assert (executor.queue.name, executor.queue.concurrency) == ("default", 10)
        await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))

    job_id = queue.enqueue(
        "work", arguments={"order": 7}, priority=3, dedupe_key="order 7", headers={"trace": "1"}
    )
    await drain(saying(look, max_attempts=4))
    [job] = seen
    assert (job.id, job.entrypoint, job.queue, job.kwargs) == (job_id, "work", "default", {"order": 7})
    assert (job.priority, job.unique_key, job.headers, job.payload) == (3, "order 7", {"trace": "1"}, None)
    assert (job.state, job.attempts, job.max_attempts, job.completed_at) == (State.RUNNING, 0, 4, None)
    assert job.func == f"{__name__}.handler"
    assert [row.status for row in queue.log()] == ["successful"]


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [
        (State.SUCCEEDED, "successful", None),
        (State.FAILED, "exception", "Fail: the executor said that it failed"),
        (State.EXPIRED, "canceled", "expired"),
        ("succeeded", "successful", None),
    ],
)
async def test_a_job_ends_as_its_executor_says(
    saying: Callable[..., PgQueuer], queue: Queue, state: Any, status: str, error: str | None
) -> None:
    async def say(executor: Executor, job: JobInstance) -> None:
        await executor.queue.push_job_update(replace(job, state=State.RUNNING))  # says nothing new
        await executor.queue.push_job_update(replace(job, state=state, attempts=99))

    queue.enqueue("work")
    await drain(saying(say, max_attempts=5))
    [row] = queue.log()
    assert (row.status, row.error, row.attempt, row.retried) == (status, error, 1, False)


async def test_a_retry_is_made_when_the_executor_says_and_counted_by_the_database(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    attempts: list[int] = []

    async def retry(executor: Executor, job: JobInstance) -> None:
        attempts.append(job.attempts)
        later = datetime.now(UTC) + timedelta(hours=1)
        await executor.queue.push_job_update(
            replace(job, state=State.RETRYING, scheduled_at=later, attempts=job.attempts + 1)
        )

    job_id = queue.enqueue("work")
    await drain(saying(retry))
    [job], [row] = queue.jobs(), queue.log()
    assert (job.id, job.status, job.attempts, row.retried) == (job_id, "queued", 1, True)
    assert job.execute_after > datetime.now(UTC) + timedelta(minutes=59)
    assert attempts == [0]


async def test_a_retry_is_not_granted_when_no_attempts_are_left(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    async def retry(executor: Executor, job: JobInstance) -> None:
        await executor.queue.push_job_update(replace(job, state=State.RETRYING))

    queue.enqueue("work", max_attempts=1)
    await drain(saying(retry))
    assert [(row.status, row.retried) for row in queue.log()] == [("exception", False)]


async def test_a_pending_job_is_given_back_uncounted(saying: Callable[..., PgQueuer], queue: Queue) -> None:
    async def give_back(executor: Executor, job: JobInstance) -> None:
        later = datetime.now(UTC) + timedelta(hours=1)
        await executor.queue.push_job_update(replace(job, state=State.PENDING, scheduled_at=later))

    queue.enqueue("work")
    await drain(saying(give_back))
    assert [(job.status, job.attempts) for job in queue.jobs()] == [("queued", 0)]
    assert not queue.log()


async def test_the_exception_that_is_being_handled_is_kept(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    async def fail(executor: Executor, job: JobInstance) -> None:
        try:
            raise LookupError("no such order")
        except LookupError:
            state = State.FAILED if job.attempts else State.RETRYING
            await executor.queue.push_job_update(replace(job, state=state, scheduled_at=None))

    queue.enqueue("work")
    pgq = saying(fail)
    await drain(pgq)
    await aeventually(lambda: queue.jobs()[0].execute_after < datetime.now(UTC))
    await drain(pgq)
    again, failed = queue.log()
    assert again.error == "RetryRequested: LookupError: no such order"
    assert failed.error == "LookupError: no such order"
    assert all("raise LookupError" in str(row.traceback) for row in (again, failed))


async def test_to_say_nothing_is_to_fail(saying: Callable[..., PgQueuer], queue: Queue) -> None:
    async def say_nothing(executor: Executor, job: JobInstance) -> None: ...

    queue.enqueue("work")
    await drain(saying(say_nothing))
    [row] = queue.log()
    assert row.status == "exception"
    assert "Says.push() returned and said nothing of the job" in str(row.error)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), StopIteration()])
async def test_an_executor_that_raises_fails_its_job_and_not_the_worker(
    saying: Callable[..., PgQueuer], queue: Queue, error: BaseException
) -> None:
    async def fail(executor: Executor, job: JobInstance) -> None:
        raise error

    queue.enqueue("work")
    await drain(saying(fail))
    assert [row.status for row in queue.log()] == ["exception"]


async def test_what_was_said_stands_although_the_executor_raises_afterwards(
    saying: Callable[..., PgQueuer], queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    async def say_and_fail(executor: Executor, job: JobInstance) -> None:
        await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))
        raise ValueError("too late")

    queue.enqueue("work")
    await drain(saying(say_and_fail))
    assert [row.status for row in queue.log()] == ["successful"]
    assert "which stands" in caplog.text


async def test_a_second_update_is_refused_and_the_first_one_stands(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    refusals: list[str] = []

    async def say_twice(executor: Executor, job: JobInstance) -> None:
        await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))
        with pytest.raises(UpdateRefusedError) as refused:
            await executor.queue.push_job_update(replace(job, state=State.FAILED))
        refusals.append(str(refused.value))

    queue.enqueue("work")
    await drain(saying(say_twice))
    assert refusals == ["job 1 cannot be failed now: it was said to be succeeded already"]
    assert [row.status for row in queue.log()] == ["successful"]


async def test_an_update_after_the_push_or_for_another_job_is_refused(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    seen: list[tuple[Executor, JobInstance]] = []

    async def say(executor: Executor, job: JobInstance) -> None:
        for other in (replace(job, id=job.id + 1000), replace(job, lease=job.lease - 1)):
            with pytest.raises(UpdateRefusedError, match="is not being pushed under lease"):
                await executor.queue.push_job_update(replace(other, state=State.SUCCEEDED))
        await executor.queue.push_job_update(replace(job, state=State.FAILED))
        seen.append((executor, job))

    queue.enqueue("work")
    await drain(saying(say))
    [(executor, job)] = seen
    with pytest.raises(UpdateRefusedError, match="before push"):
        await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))
    assert [row.status for row in queue.log()] == ["exception"]


@pytest.mark.parametrize(
    ("update", "complaint"),
    [
        (lambda job: None, "expected a JobInstance"),
        (lambda job: FunctionJob(func="a.b"), "expected a JobInstance"),
        (lambda job: replace(job, state="done"), "state must be one of PENDING, RUNNING, .* not 'done'"),
        (lambda job: replace(job, state=None), "state must be one of"),
        (lambda job: replace(job, state=State.RETRYING, scheduled_at=5), "scheduled_at must be an aware"),
        (
            lambda job: replace(job, state=State.RETRYING, scheduled_at=datetime(2100, 1, 1)),  # noqa: DTZ001
            "scheduled_at must be an aware",
        ),
    ],
)
async def test_garbage_is_no_update(
    saying: Callable[..., PgQueuer], queue: Queue, update: Callable[[JobInstance], Any], complaint: str
) -> None:
    async def say(executor: Executor, job: JobInstance) -> None:
        with pytest.raises(UpdateRefusedError, match=complaint):
            await executor.queue.push_job_update(update(job))
        await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))

    queue.enqueue("work")
    await drain(saying(say))
    assert [row.status for row in queue.log()] == ["successful"], queue.log()[0].error


async def test_what_is_said_without_the_lease_is_never_written(
    saying: Callable[..., PgQueuer], queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    async def lose_the_lease(executor: Executor, job: JobInstance) -> None:
        if job.lease == 1:
            with queue.engine.begin() as connection:  # as a rescuer does it
                connection.execute(
                    text("UPDATE pgq_job SET status = 'queued', worker_id = NULL, lease = lease + 1")
                )
            await executor.queue.push_job_update(replace(job, state=State.FAILED))
        else:
            await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))

    job_id = queue.enqueue("work")
    with caplog.at_level(logging.WARNING):
        await drain(saying(lose_the_lease))
    assert [row.status for row in queue.log(job_id)] == ["successful"]
    assert "Lease of job 1 is lost" in caplog.text


async def test_a_canceled_job_is_canceled_whatever_its_executor_says(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    pushed = asyncio.Event()

    async def wait_for_ever(executor: Executor, job: JobInstance) -> None:
        pushed.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))

    job_id = queue.enqueue("work")
    pgq = saying(wait_for_ever)
    working = asyncio.create_task(pgq.run())
    await pushed.wait()
    queue.cancel(job_id)
    await aeventually(queue.log)
    pgq.shutdown.set()
    await asyncio.wait_for(working, 20)
    assert [row.status for row in queue.log()] == ["canceled"]


async def test_jobs_are_pushed_side_by_side_and_each_is_told_apart(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    together = asyncio.Barrier(10)

    async def say(executor: Executor, job: JobInstance) -> None:
        await together.wait()
        state = State.SUCCEEDED if job.id % 2 else State.FAILED
        await executor.queue.push_job_update(replace(job, state=state))

    for _ in range(10):
        queue.enqueue("work")
    await drain(saying(say))
    assert {row.job_id: row.status for row in queue.log()} == {
        number: "successful" if number % 2 else "exception" for number in range(1, 11)
    }


class Printer(Executor):
    """Hands what it is given to a machine that knows what to make of it."""

    calls_functions = False
    is_closed = False

    async def push(self, job: JobInstance) -> None:
        await self.queue.push_job_update(
            replace(job, state=State.SUCCEEDED if job.func == "gcode.cube" else State.FAILED)
        )

    async def close(self) -> None:
        type(self).is_closed = True


async def test_an_executor_that_calls_no_function_needs_none(pgq: PgQueuer, queue: Queue) -> None:
    pgq.allow_functions("gcode")
    pgq.queue(NamedQueue("printer", executor=Printer))
    job_ids = await pgq.queries.push(
        "printer", [FunctionJob(func="gcode.cube"), FunctionJob(func="os.getcwd")]
    )
    await drain(pgq)
    done, refused = (queue.log(job_id)[0] for job_id in job_ids)
    assert (done.status, refused.status) == ("successful", "exception")
    assert "function 'os.getcwd' is not allowed: module 'os' is not among those" in str(refused.error)
    assert Printer.is_closed


async def test_the_other_queues_keep_the_executors_of_their_entrypoints(
    saying: Callable[..., PgQueuer], queue: Queue
) -> None:
    async def say(executor: Executor, job: JobInstance) -> None:
        await executor.queue.push_job_update(replace(job, state=State.SUCCEEDED))

    pgq = saying(say)
    pgq.queue(NamedQueue("plain"))
    queue.enqueue("work", queue="plain")
    queue.enqueue("work")
    await drain(pgq)
    assert {row.queue: row.status for row in queue.log()} == {"default": "successful", "plain": "exception"}
