"""Transactional handlers in a Django project: the ORM's own verbs, in one `atomic` block with the end of the job."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, IntegrityError, connection, transaction

from pgq_orm.applications import PgQueuer
from pgq_orm.models import Job
from pgq_orm.registry import Registry
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import aenqueue, enqueue, models
from pgq_orm_django.store import DatabaseStore
from tests.django_app.shop.models import Order

pytestmark = pytest.mark.usefixtures("db")


def drain(handler: Callable[..., Any], jobs: int = 1, **options: Any) -> None:
    """Runs so many jobs with the handler, in a worker of this process."""
    registry = Registry()
    registry.entrypoint("mail", transactional=True, **options)(handler)
    enqueue(["mail"] * jobs)
    pgq = PgQueuer(DatabaseStore("default"), registry=registry)
    asyncio.run(pgq.run(mode=QueueExecutionMode.drain, max_concurrent_tasks=2))


def outcome() -> tuple[str, str]:
    log = models.Log.objects.get()
    return log.status, (log.error or "").partition(":")[0]


def orders() -> list[str]:
    return list(Order.objects.order_by("number").values_list("number", flat=True))


def test_a_handler_is_in_an_atomic_block() -> None:
    seen: list[bool] = []

    def handler(job: Job) -> None:
        seen.append(connection.in_atomic_block)
        Order.objects.create(number="kept")

    drain(handler)
    assert seen == [True]
    assert (orders(), outcome()) == (["kept"], ("successful", ""))


def test_the_orms_async_methods_are_in_the_block_too() -> None:
    async def handler(job: Job) -> None:
        await asyncio.gather(*(Order.objects.acreate(number=str(number)) for number in range(3)))
        await aenqueue("mail", queue="next")
        assert await sync_to_async(lambda: connection.in_atomic_block)()

    drain(handler)
    assert (orders(), outcome()) == (["0", "1", "2"], ("successful", ""))
    assert models.Job.objects.get().queue == "next"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_that_raises_leaves_nothing(is_async: bool) -> None:
    def work() -> None:
        Order.objects.create(number="lost")
        enqueue("mail", queue="next")
        raise ZeroDivisionError

    def handler(job: Job) -> None:
        work()

    async def async_handler(job: Job) -> None:
        await sync_to_async(work)()

    drain(async_handler if is_async else handler)
    assert (orders(), outcome()) == ([], ("exception", "ZeroDivisionError"))
    assert not models.Job.objects.exists()


def test_an_inner_block_that_fails_is_rolled_back_alone() -> None:
    def handler(job: Job) -> None:
        Order.objects.create(number="kept")
        with pytest.raises(IntegrityError), transaction.atomic():
            Order.objects.create(number="kept")

    drain(handler)
    assert (orders(), outcome()) == (["kept"], ("successful", ""))


def test_an_error_that_was_swallowed_without_an_inner_block_fails_the_attempt() -> None:
    def handler(job: Job) -> None:
        Order.objects.create(number="lost")
        with pytest.raises(DatabaseError):
            Order.objects.create(number="lost")

    drain(handler)
    status, error = outcome()
    assert (orders(), status) == ([], "exception")
    assert error in ("TransactionManagementError", "InternalError")


def test_hooks_run_once_the_job_is_done() -> None:
    seen: list[tuple[str, bool]] = []

    def handler(job: Job) -> None:
        Order.objects.create(number="kept")
        transaction.on_commit(lambda: seen.append((outcome()[0], connection.in_atomic_block)))

    drain(handler)
    assert seen == [("successful", False)]


def test_a_connection_that_the_handler_closed_fails_the_attempt_and_not_the_next() -> None:
    def handler(job: Job) -> None:
        Order.objects.create(number=f"job {job.id}")
        if job.id == first:
            connection.close()

    first = 1 + max([0, *models.Log.objects.values_list("job_id", flat=True)])
    drain(handler, jobs=2)
    closed, sound = models.Log.objects.order_by("job_id")
    assert (closed.status, sound.status) == ("exception", "successful")
    assert orders() == [f"job {sound.job_id}"]


def test_code_in_a_thread_of_its_own_is_not_in_the_block() -> None:
    """As everywhere in Django: a thread has its own connection. What it writes is there whatever comes of the job."""

    async def handler(job: Job) -> None:
        def create() -> None:
            Order.objects.create(number="apart")
            connection.close()

        await sync_to_async(create, thread_sensitive=False)()
        raise ZeroDivisionError

    drain(handler)
    assert (orders(), outcome()) == (["apart"], ("exception", "ZeroDivisionError"))


def test_a_handler_that_opens_a_durable_block_is_told_that_it_is_in_one() -> None:
    def handler(job: Job) -> None:
        with transaction.atomic(durable=True):
            Order.objects.create(number="lost")

    drain(handler)
    assert (orders(), outcome()) == ([], ("exception", "RuntimeError"))
