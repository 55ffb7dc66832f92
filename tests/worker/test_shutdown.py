"""Shutdown: what runs is finished or given back, and nothing is lost by it."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from pgq_orm import PgQueuer, queues
from pgq_orm.bookkeeping import Bookkeeping
from pgq_orm.errors import RegistrationError, SchemaError
from pgq_orm.models import Context, Job
from pgq_orm.operations import Operation
from pgq_orm.worker import runner
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually, eventually
from tests.worker.conftest import dispose, make_engine
from tests.worker.queues import Queue
from tests.worker.workers import running, seconds

drain = QueueExecutionMode.drain


def picked(queue: Queue) -> list[int]:
    return queue.scalars("SELECT id FROM pgq_job WHERE status = 'picked' ORDER BY id")


async def test_a_shutdown_finishes_what_runs_and_picks_nothing_more(each_pgq: PgQueuer, queue: Queue) -> None:
    release = threading.Event()
    started: list[int] = []

    @each_pgq.entrypoint("sync")
    def work_in_a_thread(job: Job) -> None:
        started.append(job.id)
        release.wait(10)

    @each_pgq.entrypoint("async")
    async def work(job: Job) -> None:
        started.append(job.id)
        await aeventually(release.is_set)

    job_ids = queue.enqueue(["sync", "async", "sync", "async"])  # type: ignore[arg-type]
    async with running(each_pgq, max_concurrent_tasks=2) as work_to_end:
        await aeventually(lambda: sorted(started) == job_ids[:2])
        each_pgq.shutdown.set()
        await asyncio.sleep(0.1)
        assert not work_to_end.done()
        release.set()
        await work_to_end
    assert sorted(entry.job_id for entry in queue.log()) == job_ids[:2]
    assert queue.statuses() == ["successful"] * 2
    assert [(job.status, job.attempts) for job in queue.jobs()] == [("queued", 0)] * 2
    assert queue.worker_ids() == []


async def test_a_pick_that_is_under_way_when_the_worker_is_asked_to_end_is_the_last_one(
    each_pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its other queues nor entrypoints with limits are picked from while it takes its time."""
    under_way: list[str] = []
    run = Bookkeeping.run

    async def run_slowly(self: Bookkeeping, operation: Operation[Any]) -> Any:
        name = operation.statement.name
        if name not in ("pick", "pick_limited"):
            return await run(self, operation)
        under_way.append(name)
        answer = await run(self, operation)
        if name == "pick" and answer:
            each_pgq.shutdown.set()
            await asyncio.sleep(0.05)
            await aeventually(lambda: "pick_limited" not in under_way)
            for queue_name in ("a", "b"):
                queue.enqueue("limited", queue=queue_name)
            await asyncio.sleep(0.3)
        under_way.remove(name)
        return answer

    monkeypatch.setattr(Bookkeeping, "run", run_slowly)
    ran: list[int] = []
    each_pgq.entrypoint("free")(lambda job: ran.append(job.id))
    each_pgq.entrypoint("limited", concurrency_limit=5)(lambda job: ran.append(job.id))
    for name in ("a", "b"):
        queue.enqueue("free", queue=name)
    await asyncio.wait_for(each_pgq.run(queues=["a", "b"]), 30)
    assert len(ran) == 1
    assert queue.statuses() == ["successful"]
    assert [(job.status, job.attempts) for job in queue.jobs()] == [("queued", 0)] * 3


async def test_stopping_now_gives_everything_back_without_counting_an_attempt(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    started: list[str] = []
    interrupted: list[str] = []

    @each_pgq.entrypoint("async")
    async def work(job: Job) -> None:
        started.append("async")
        try:
            await asyncio.sleep(3600)
        finally:
            interrupted.append("async")

    @each_pgq.entrypoint("sync")
    def work_in_a_thread(job: Job, context: Context) -> None:
        started.append("sync")
        eventually(lambda: context.cancellation.cancel_called)
        interrupted.append("sync")

    queue.enqueue(["sync", "async", "sync", "async"])  # type: ignore[arg-type]
    async with running(each_pgq, max_concurrent_tasks=2):
        await aeventually(lambda: len(started) == 2)
        each_pgq.stop_now()
    assert sorted(interrupted) == ["async", "sync"]
    assert queue.log() == []
    assert [(job.status, job.attempts, job.worker_id) for job in queue.jobs()] == [("queued", 0, None)] * 4
    assert queue.worker_ids() == []


async def test_stopping_in_the_middle_of_a_pick_gives_back_what_it_picked(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    @each_pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(3600)

    for _ in range(5):
        each_pgq.shutdown.clear()
        queue.enqueue("work", [None] * 5)
        async with running(each_pgq):
            while not picked(queue):  # noqa: ASYNC110 - at the earliest moment, between two steps of the worker
                await asyncio.sleep(0)
            each_pgq.stop_now()
        assert {(job.status, job.attempts, job.worker_id) for job in queue.jobs()} == {("queued", 0, None)}
        assert queue.worker_ids() == []


async def test_stopping_now_does_not_wait_for_a_thread_that_cannot_be_interrupted(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INTERRUPTION_SECONDS", 0.2)
    begun, release = threading.Event(), threading.Event()

    @pgq.entrypoint("work")
    def work(job: Job) -> None:
        begun.set()
        assert release.wait(60)

    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await aeventually(begun.is_set)
        pgq.stop_now()
    assert (queue.job(job_id).status, queue.job(job_id).attempts) == ("queued", 0)
    release.set()


async def test_stopping_now_is_possible_while_a_shutdown_waits(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("work")
    async with running(pgq) as work_to_end:
        await aeventually(lambda: picked(queue) == [job_id])
        pgq.shutdown.set()
        await asyncio.sleep(0.1)
        assert not work_to_end.done()
        pgq.stop_now()
    assert queue.job(job_id).status == "queued"


async def test_who_cancels_the_worker_waits_for_what_runs(pgq: PgQueuer, queue: Queue) -> None:
    began = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        began.set()
        await asyncio.sleep(0.3)

    [job_id] = queue.enqueue("work")
    work_to_end = asyncio.create_task(pgq.run())
    await began.wait()
    work_to_end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work_to_end
    assert queue.statuses(job_id) == ["successful"]
    assert queue.worker_ids() == []


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg", "sync"])
def test_jobs_go_back_when_the_event_loop_ends_under_them(dsn: str, queue: Queue, kind: str) -> None:
    """An application that forgets its worker: `asyncio.run` cancels all that is left, the handlers too."""

    async def forget() -> None:
        engine = make_engine(kind, dsn)
        pgq = PgQueuer(engine)

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            await asyncio.sleep(3600)

        worker = asyncio.create_task(pgq.run())
        worker.add_done_callback(lambda _: None)
        await aeventually(lambda: len(picked(queue)) == 2)

    queue.enqueue("work", [None, None])
    asyncio.run(forget())
    assert [(job.status, job.attempts) for job in queue.jobs()] == [("queued", 0)] * 2
    assert queue.log() == []
    assert queue.worker_ids() == []


async def test_what_a_thread_has_finished_is_written_although_the_worker_stops_now(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    """It never looked whether it should stop, so its return is no answer to that."""
    started: list[str] = []
    release = threading.Event()

    @each_pgq.entrypoint("unaware")
    def unaware(job: Job) -> str:
        started.append("unaware")
        release.wait(10)
        return "done"

    @each_pgq.entrypoint("aware")
    def aware(job: Job, context: Context) -> str:
        started.append("aware")
        eventually(lambda: context.cancellation.cancel_called)
        release.set()
        return "half done"

    [unaware_id, aware_id] = queue.enqueue(["unaware", "aware"])  # type: ignore[arg-type]
    async with running(each_pgq):
        await aeventually(lambda: len(started) == 2)
        each_pgq.stop_now()
    [entry] = queue.log()
    assert (entry.job_id, entry.status, entry.result) == (unaware_id, "successful", "done")
    [job] = queue.jobs()
    assert (job.id, job.status, job.attempts) == (aware_id, "queued", 0)


async def test_a_canceled_job_that_ends_while_the_worker_stops_now_is_canceled(
    pgq: PgQueuer, queue: Queue
) -> None:
    began, heard, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            heard.set()
            await release.wait()

    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await began.wait()
        queue.cancel(job_id)
        await heard.wait()
        pgq.stop_now()
        release.set()
    assert queue.statuses(job_id) == ["canceled"]


# Not for ever


async def test_a_polite_end_that_takes_too_long_gives_back_what_runs(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    @each_pgq.entrypoint("long")
    async def long(job: Job) -> None:
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("long")
    async with running(each_pgq, shutdown_timeout=seconds(0.2)):
        await aeventually(lambda: picked(queue) == [job_id])
        each_pgq.shutdown.set()
    assert (queue.job(job_id).status, queue.job(job_id).attempts) == ("queued", 0)
    assert queue.worker_ids() == []


async def test_what_ends_in_time_is_not_interrupted(pgq: PgQueuer, queue: Queue) -> None:
    began = asyncio.Event()

    @pgq.entrypoint("short")
    async def short(job: Job) -> None:
        began.set()
        await asyncio.sleep(0.2)

    queue.enqueue("short")
    async with running(pgq, shutdown_timeout=seconds(20)):
        await began.wait()
        pgq.shutdown.set()
    assert queue.statuses() == ["successful"]


# Draining


async def test_draining_ends_when_no_job_is_ready(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work", [None] * 250)
    [deferred] = queue.enqueue("work", execute_after=timedelta(hours=1))
    await each_pgq.run(mode=drain)
    assert queue.statuses() == ["successful"] * 250
    assert [job.id for job in queue.jobs()] == [deferred]
    assert queue.worker_ids() == []


async def test_draining_ends_as_soon_as_the_last_job_has(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await asyncio.sleep(1)

    queue.enqueue("work")
    await asyncio.wait_for(pgq.run(mode=drain, dequeue_timeout=seconds(3600)), 30)
    assert queue.statuses() == ["successful"]


async def test_draining_runs_what_its_jobs_enqueue(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    def work(job: Job) -> None:
        if job.priority < 3:
            queue.enqueue("work", priority=job.priority + 1)

    queue.enqueue("work")
    await pgq.run(mode=drain)
    assert queue.statuses() == ["successful"] * 4


async def test_an_application_can_be_drained_again(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    for count in range(1, 4):
        queue.enqueue("work")
        await each_pgq.run(mode=drain)
        assert len(queue.log()) == count


# Starting


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg", "sync"])
async def test_a_worker_without_tables_says_what_to_run(empty_dsn: str, kind: str) -> None:
    engine = make_engine(kind, empty_dsn)
    pgq = PgQueuer(engine)
    pgq.entrypoint("work")(lambda job: None)
    with pytest.raises(SchemaError, match="pgq install"):
        await pgq.run()
    await dispose(engine)


async def test_a_worker_without_handlers_refuses_to_start(pgq: PgQueuer) -> None:
    with pytest.raises(RegistrationError, match="no entrypoint is registered"):
        await pgq.run()


async def test_a_queue_that_an_application_with_queues_does_not_declare_is_told(
    pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    pgq.queue(queues.Queue("slow"))
    await pgq.run(mode=drain, queues=("slow", "slwo", "default"))
    told = [record.getMessage() for record in caplog.records if "not declared" in record.getMessage()]
    assert told == [
        "Queue 'slwo' is not declared by the application; did you mean 'slow'? (declared: 'default', 'slow')"
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"max_concurrent_tasks": 0}, "max_concurrent_tasks must be at least 1"),
        ({"dequeue_timeout": timedelta(0)}, "dequeue_timeout must be a positive timedelta"),
        ({"heartbeat_timeout": seconds(-1)}, "heartbeat_timeout must be a positive timedelta"),
        ({"queues": ()}, "at least one queue"),
        ({"queues": ("slow", "")}, "a queue's name must be a string that is not empty: 'slow', ''"),
        ({"max_jobs": 0}, "max_jobs must be at least 1"),
        ({"max_time": timedelta(0)}, "max_time must be a positive timedelta"),
        ({"shutdown_timeout": seconds(-1)}, "shutdown_timeout must not be negative"),
    ],
)
async def test_settings_that_cannot_work_are_refused(
    pgq: PgQueuer, options: dict[str, object], complaint: str
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    with pytest.raises(RegistrationError, match=complaint):
        await pgq.run(**options)  # type: ignore[arg-type]
