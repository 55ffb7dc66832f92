"""Running tasks: a worker gives the function what its annotations say, whoever enqueued the job."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pgq_orm import INJECTED, PgQueuer, Registry
from pgq_orm.completion import CompletionWatcher
from pgq_orm.errors import RegistrationError
from pgq_orm.models import Context
from pgq_orm.outcomes import Snooze
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.tasks import shop
from tests.tasks.shop import Address, Colour, Line
from tests.worker.queues import Queue

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def drained(pgq: PgQueuer) -> None:
    await pgq.run(mode=QueueExecutionMode.drain, queues=("default", "slow"))


def enqueue(queue: Queue, task: Any, *args: Any, **kwargs: Any) -> int:
    with Session(queue.engine) as session, session.begin():
        job_id: int = task.enqueue(session, *args, **kwargs)
        return job_id


def outcome(queue: Queue, job_id: int) -> tuple[str, Any]:
    *_, last = queue.log(job_id)
    return last.status, last.result if last.status == "successful" else last.error


async def test_the_function_is_given_what_its_annotations_say(each_pgq: PgQueuer, queue: Queue) -> None:
    job_id = enqueue(
        queue,
        shop.ship,
        7,
        placed=NOON,
        lines=[Line("cup", Decimal("5.10"), [Colour.BLUE]), Line("pot", Decimal(20))],
        to=Address(Street="Ring 1"),
        tracking=UUID(int=1),
        weights={"cup": Decimal("0.2")},
    )
    await drained(each_pgq)
    kinds = ["datetime", "Line", "Address", "UUID", "NoneType", "Colour", "list"]
    assert outcome(queue, job_id) == (
        "successful",
        {"total": "25.10", "kinds": kinds, "weights": {"cup": "0.2"}},
    )


async def test_sync_and_async_tasks_run_with_results_for_whoever_asks(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    words, receipt = enqueue(queue, shop.count_words, "to be or not"), enqueue(queue, shop.send_receipt, 7)
    await drained(each_pgq)
    with Session(queue.engine) as session:
        assert SyncQueries(session).result(words) == 4
    async with CompletionWatcher(queue.engine) as watcher:
        completion = await watcher.wait_for(receipt, timeout=timedelta(seconds=30))
    assert completion.result == "1 × receipt 7"


async def test_what_the_worker_injects_is_given(each_pgq: PgQueuer, queue: Queue) -> None:
    job_id = enqueue(queue, shop.describe, "careful", loud=True)
    await drained(each_pgq)
    assert outcome(queue, job_id) == ("successful", ["CAREFUL", True, "describe", True])


@pytest.mark.parametrize("arguments", [[7], [7, 8]])
async def test_a_task_enqueues_tasks_on_its_own_session(
    pgq: PgQueuer, queue: Queue, arguments: list[int]
) -> None:
    pgq.registry = Registry()
    pgq.registry.include(shop.tasks, shop.async_tasks)
    job_id = enqueue(queue, shop.enqueue_receipts, arguments)
    await drained(pgq)
    assert queue.statuses() == ["successful"] * (1 + len(arguments))
    assert outcome(queue, job_id)[1] == [
        row.job_id for row in queue.log() if row.entrypoint == "send_receipt"
    ]


async def test_jobs_of_an_old_name_still_run(pgq: PgQueuer, queue: Queue) -> None:
    [job_id] = queue.enqueue("mail_receipt", arguments={"order_id": 7})
    await drained(pgq)
    assert outcome(queue, job_id) == ("successful", "1 × receipt 7")


@pytest.mark.parametrize("entrypoint", ["send_receipt", "square", "cube"])
@pytest.mark.parametrize(
    "arguments", ["NULL", "'{}'", "'[7]'", "'\"seven\"'", """'{"order_id": "seven", "number": "seven"}'"""]
)
async def test_bad_arguments_end_the_job_and_it_is_not_tried_again(
    pgq: PgQueuer, queue: Queue, entrypoint: str, arguments: str
) -> None:
    [job_id] = queue.scalars(
        "INSERT INTO pgq_job (entrypoint, arguments, max_attempts)"
        f" VALUES ('{entrypoint}', CAST({arguments} AS jsonb), 5) RETURNING id"
    )
    await drained(pgq)
    [row] = queue.log(job_id)
    assert (row.status, row.retried, row.attempt) == ("exception", False, 1)
    assert row.error.startswith("InvalidArgumentsError: ")
    assert f"{entrypoint}() does not take this job's arguments" in row.error


async def test_a_payload_of_bytes_is_no_arguments(pgq: PgQueuer, queue: Queue) -> None:
    [job_id] = queue.enqueue("send_receipt", b"7")
    await drained(pgq)
    status, error = outcome(queue, job_id)
    assert status == "exception"
    assert "order_id: Field required" in error


async def test_a_task_runs_in_a_process_of_its_own(pgq: PgQueuer, queue: Queue) -> None:
    job_id = enqueue(queue, shop.cube, 3)
    await drained(pgq)
    assert outcome(queue, job_id) == ("successful", "27")


async def test_a_verdict_is_obeyed(pgq: PgQueuer, queue: Queue) -> None:
    registry = Registry()

    @registry.task
    def come_back(day: int) -> Snooze:
        return Snooze(timedelta(days=day))

    job_id = enqueue(queue, come_back, 5)
    await PgQueuer(queue.engine, registry=registry).run(mode=QueueExecutionMode.drain)
    assert queue.log() == []
    row = queue.job(job_id)
    assert (row.status, row.attempts, row.execute_after > row.updated) == ("queued", 0, True)


async def test_a_schedule_fires_a_task(each_pgq: PgQueuer, queue: Queue) -> None:
    await drained(each_pgq)
    with queue.engine.begin() as connection:
        shop.close_books.enqueue(connection, NOON.date())
        SyncQueries(connection).run_schedule_now("close_books")
    await drained(each_pgq)
    results = {row.result for row in queue.log() if row.entrypoint == "close_books"}
    assert "closed 2026-01-01" in results
    assert len(results) == 2  # the other one is closed today


def test_a_scheduled_task_needs_no_arguments() -> None:
    with pytest.raises(RegistrationError, match="brings no arguments, and task 'count_words' needs text"):
        shop.tasks.schedule("count_words", "@daily")(shop.count_words)


async def test_a_task_may_handle_another_entrypoint(queue: Queue) -> None:
    registry = Registry()
    registry.entrypoint("words")(shop.count_words)
    [job_id] = queue.enqueue("words", arguments={"text": "to be"})
    await PgQueuer(queue.engine, registry=registry).run(mode=QueueExecutionMode.drain)
    assert outcome(queue, job_id) == ("successful", 2)


async def test_what_nobody_injects_is_refused_before_the_worker_starts(queue: Queue) -> None:
    registry = Registry()

    @registry.task
    def ask(engine: str = INJECTED, context: Context = INJECTED) -> None: ...

    with pytest.raises(RegistrationError, match=r"ask\(\) has a parameter that nothing fills: .*engine: str"):
        await PgQueuer(queue.engine, registry=registry).run(mode=QueueExecutionMode.drain)


async def test_a_transactional_task_ends_with_what_it_wrote(pgq: PgQueuer, queue: Queue) -> None:
    pgq.registry = Registry()

    @pgq.registry.task(transactional=True)
    async def enqueue_and_answer(order_id: int, session: AsyncSession = INJECTED) -> Decimal:
        await shop.send_receipt.enqueue(session, order_id)
        return Decimal("1.5")

    @pgq.registry.task(transactional=True)
    async def enqueue_and_fail(order_id: int, session: AsyncSession = INJECTED) -> None:
        await shop.send_receipt.enqueue(session, order_id)
        raise ValueError("no")

    ended, failed = enqueue(queue, enqueue_and_answer, 7), enqueue(queue, enqueue_and_fail, 8)
    await pgq.run(mode=QueueExecutionMode.drain)
    assert outcome(queue, ended) == ("successful", "1.5")
    assert outcome(queue, failed) == ("exception", "ValueError: no")
    assert [job.arguments for job in queue.jobs()] == [{"order_id": 7}]


def test_a_task_says_by_itself_whether_it_takes_a_context() -> None:
    with pytest.raises(RegistrationError, match="leave accepts_context out"):

        @Registry().task(accepts_context=True)
        def describe(note: str) -> None: ...


def test_a_name_belongs_to_one_task() -> None:
    with pytest.raises(
        RegistrationError, match=r"'send_receipt' is taken by tests\.tasks\.shop\.send_receipt"
    ):

        @shop.tasks.task("send_receipt")
        def other(order_id: int) -> None: ...


def test_registries_that_are_put_together_share_one_namespace() -> None:
    other = Registry()

    @other.task("send_receipt")
    def send(order_id: int) -> None: ...

    with pytest.raises(RegistrationError, match=r"'send_receipt' is taken by"):
        other.include(shop.tasks)
