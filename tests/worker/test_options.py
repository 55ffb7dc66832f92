"""Options: what PgQueuer's users may say of handlers and workers means something here, or says that it does not."""

from datetime import timedelta
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import FailingListenerError, RegistrationError
from pgq_orm.models import Context, Job
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import listens, running, seconds

drain = QueueExecutionMode.drain


async def test_a_handler_that_accepts_the_context_is_given_it(each_pgq: PgQueuer, queue: Queue) -> None:
    given: list[Any] = []

    @each_pgq.entrypoint("sync", accepts_context=True)
    def in_thread(job: Job, surroundings: Any) -> None:
        given.append(surroundings)

    @each_pgq.entrypoint("async", accepts_context=True)
    async def in_loop(job: Job, surroundings: Any) -> None:
        given.append(surroundings)

    @each_pgq.entrypoint("none", accepts_context=False)
    async def refusing(job: Job, context: Context | None = None) -> None:
        given.append(context)

    queue.enqueue(["sync", "async"])  # type: ignore[arg-type]
    await each_pgq.run(mode=drain)
    assert {context.job.entrypoint for context in given} == {"sync", "async"}
    queue.enqueue("none")
    await each_pgq.run(mode=drain)
    assert given[-1] is None


@pytest.mark.parametrize("on_failure", ["delete", "hold"])
async def test_a_failed_job_can_be_requeued_whatever_on_failure_says(
    pgq: PgQueuer, queue: Queue, on_failure: Any
) -> None:
    @pgq.entrypoint("fail", on_failure=on_failure)
    async def fail(job: Job) -> None:
        raise ValueError(job.payload)

    [job_id] = queue.enqueue("fail", b"content")
    await pgq.run(mode=drain)
    assert queue.jobs() == []
    [failed] = await pgq.queries.list_failed_jobs()
    assert (failed.id, failed.payload) == (job_id, b"content")
    again = await pgq.queries.requeue_jobs(job_id)
    assert [job.id for job in queue.jobs()] == list(again.values())


async def test_a_retry_timer_that_no_worker_keeps_is_told_of(
    pgq: PgQueuer, caplog: pytest.LogCaptureFixture
) -> None:
    pgq.entrypoint("patient", retry_timer=timedelta(seconds=60))(lambda job: None)
    pgq.entrypoint("impatient", retry_timer=timedelta(seconds=5))(lambda job: None)
    await pgq.run(mode=drain)
    warnings = [record.getMessage() for record in caplog.records if "retry_timer" in record.getMessage()]
    assert len(warnings) == 1
    assert "impatient has retry_timer=0:00:05" in warnings[0]
    caplog.clear()
    await pgq.run(mode=drain, heartbeat_timeout=seconds(5))
    assert "retry_timer" not in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry_timer": 30}, "retry_timer must be a timedelta"),
        ({"retry_timer": timedelta(seconds=-1)}, "not negative"),
        ({"on_failure": "keep"}, "on_failure must be one of delete, hold, not 'keep'"),
        ({"accepts_context": "yes"}, "accepts_context must be True, False or None"),
    ],
)
def test_what_is_none_of_their_values_is_refused(
    pgq: PgQueuer, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RegistrationError, match=message):
        pgq.entrypoint("fetch", **options)(lambda job: None)


def test_a_handler_of_several_schedules_has_one_set_of_options(pgq: PgQueuer) -> None:
    def sweep() -> None: ...

    pgq.schedule("sweep", "@hourly", max_attempts=3)(sweep)
    pgq.schedule("sweep", "@daily", max_attempts=3)(sweep)
    pgq.schedule("sweep", "@weekly")(sweep)
    with pytest.raises(
        RegistrationError, match="'sweep' is registered already, with other options than max_att"
    ):
        pgq.schedule("sweep", "@monthly", max_attempts=4)(sweep)


# Listening


async def test_a_worker_that_must_hear_ends_when_it_cannot(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("fetch")(lambda job: None)
    work = running(each_pgq, shutdown_on_listener_failure=True)
    with pytest.raises(FailingListenerError) as raised:
        async with work as task:
            await aeventually(lambda: listens(queue))
            queue.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
            )
            await task
    assert raised.value.__cause__ is not None
    assert queue.worker_ids() == []


@pytest.mark.usefixtures("deaf")
async def test_a_worker_that_need_not_hear_goes_on(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("fetch")(lambda job: None)
    async with running(pgq, dequeue_timeout=seconds(0.1)):
        queue.enqueue("fetch")
        await aeventually(lambda: queue.statuses() == ["successful"])


@pytest.mark.usefixtures("deaf")
async def test_draining_needs_no_ears(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("fetch")(lambda job: None)
    queue.enqueue("fetch")
    await pgq.run(mode=drain, shutdown_on_listener_failure=True)
    assert queue.statuses() == ["successful"]
