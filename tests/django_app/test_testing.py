"""drain and assert_enqueued in the tests of a Django project: under TestCase, TransactionTestCase and async tests."""

from collections.abc import Iterator
from datetime import date, timedelta

import django.test
import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, transaction

from pgq_orm import Registry
from pgq_orm.errors import UnknownEntrypointError
from pgq_orm.models import Job as Picked
from pgq_orm.outcomes import Snooze
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm_django import aenqueue, enqueue
from pgq_orm_django.models import Job, Log, Worker
from pgq_orm_django.testing import (
    aassert_enqueued,
    aassert_not_enqueued,
    adrain,
    assert_enqueued,
    assert_not_enqueued,
    drain,
)
from tests.databases import database_name, fresh_database
from tests.django_app.conftest import point
from tests.django_app.shop.models import Order
from tests.django_app.shop.tasks import greet, greet_later, send_receipt

SUCCESSFUL = LogStatus.SUCCESSFUL
handlers = Registry()
done: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _database(server_dsn: str, migrated_dsn: str) -> Iterator[None]:
    """One for all: TestCase rolls back, TransactionTestCase empties it."""
    with fresh_database(server_dsn, template=database_name(migrated_dsn)) as dsn:
        point("default", dsn)
        yield
        connection.close()


class Refused(Exception):
    pass


@handlers.entrypoint("mail")
def refuse(job: Picked) -> None:
    Order.objects.create(number="written before")
    raise Refused("no such card")


@handlers.entrypoint("send_receipt", max_attempts=2)
async def break_the_transaction(job: Picked) -> None:
    if job.attempts == 0:
        await Order.objects.acreate(number="twice")
        await Order.objects.acreate(number="twice")


@handlers.entrypoint("greet")
def break_a_block_of_its_own(job: Picked) -> None:
    Order.objects.create(number="written before")
    with transaction.atomic():
        Order.objects.create(number="rolled back")
        transaction.on_commit(lambda: done.append("rolled back"))
        Order.objects.create(number="written before")


@handlers.entrypoint("greet_later")
def do_on_commit(job: Picked) -> None:
    with transaction.atomic():
        Order.objects.create(number="on commit")
        transaction.on_commit(lambda: done.append("on commit"))


@handlers.entrypoint("wait_for_order", transactional=True, max_attempts=2)
def end_with_what_it_wrote(job: Picked) -> None:
    Order.objects.create(number=f"attempt {job.attempts}")
    if job.attempts == 0:
        raise Refused


@handlers.entrypoint("welcome", transactional=True, max_attempts=2)
async def end_with_what_it_awaited(job: Picked) -> None:
    await Order.objects.acreate(number=f"async attempt {job.attempts}")
    if job.attempts == 0:
        raise Refused


@handlers.entrypoint("wait_for_ever")
def snooze(job: Picked) -> Snooze:
    return Snooze(timedelta(minutes=10))


class Draining:
    """What holds under every kind of test."""

    def test_sync_and_async_tasks_run_with_what_they_enqueue(self) -> None:
        Order.objects.create(number="KC-1")
        greet_later.enqueue("KC-1")
        assert_enqueued(greet_later.call("KC-1"), queue="slow", count=1)
        assert [(attempt.job.entrypoint, attempt.status) for attempt in drain()] == [
            ("greet_later", SUCCESSFUL),
            ("greet", SUCCESSFUL),
        ]
        assert Order.objects.get().receipts == 1
        assert_not_enqueued()
        assert not Worker.objects.exists()
        assert Log.objects.successful().count() == 2

    def test_a_failure_raises_what_the_handler_raised_and_its_writes_stay_as_in_a_worker(self) -> None:
        enqueue("mail")
        with pytest.raises(Refused, match="no such card"):
            drain(handlers)
        assert Order.objects.get().number == "written before"
        assert Log.objects.get().error == "Refused: no such card"

    def test_a_failure_is_reported_if_that_is_preferred(self) -> None:
        enqueue("mail")
        [attempt] = drain(handlers, raises=False)
        assert (attempt.status, repr(attempt.error)) == (LogStatus.EXCEPTION, "Refused('no such card')")

    def test_a_statement_that_fails_does_not_doom_the_test(self) -> None:
        enqueue("send_receipt")
        again, last = drain(handlers)
        assert isinstance(again.error, DatabaseError)
        assert (again.status, last.status) == (JobStatus.QUEUED, SUCCESSFUL)
        assert Job.objects.count() == 0

    def test_a_block_of_the_handlers_own_is_rolled_back_alone(self) -> None:
        done.clear()
        enqueue("greet")
        with pytest.raises(DatabaseError):
            drain(handlers)
        assert list(Order.objects.values_list("number", flat=True)) == ["written before"]
        assert done == []

    def test_a_transactional_handler_ends_with_what_it_wrote(self) -> None:
        enqueue(["wait_for_order", "welcome"])
        assert [attempt.status for attempt in drain(handlers)] == [JobStatus.QUEUED, SUCCESSFUL] * 2
        assert set(Order.objects.values_list("number", flat=True)) == {"attempt 1", "async attempt 1"}

    def test_what_is_to_be_done_on_commit_is_done(self) -> None:
        done.clear()
        enqueue("greet_later")
        drain(handlers)
        assert done == ["on commit"]

    def test_a_job_that_is_not_due_is_run_if_asked_for(self) -> None:
        greet.options(execute_after=timedelta(hours=1)).enqueue("KC-1", on=date(2026, 1, 1))
        assert drain() == []
        assert [attempt.job.entrypoint for attempt in drain(ahead=timedelta(hours=2))] == ["greet"]

    def test_a_snoozed_job_is_left(self) -> None:
        enqueue("wait_for_ever")
        [attempt] = drain(handlers)
        assert (attempt.status, Job.objects.get().status) == (JobStatus.QUEUED, "queued")

    def test_the_nearest_job_is_shown(self) -> None:
        greet.enqueue("KC-1", on=date(2026, 1, 1))
        with pytest.raises(AssertionError, match=r"arguments\['order'\] is 'KC-1', expected 'KC-2'"):
            assert_enqueued(greet.call("KC-2", on=date(2026, 1, 1)))
        with pytest.raises(AssertionError, match="1 job of 'greet' is enqueued, expected none"):
            assert_not_enqueued("greet")

    def test_an_entrypoint_can_be_said_by_its_function(self) -> None:
        assert_not_enqueued(send_receipt)
        enqueue("send_receipt", arguments={"order": "KC-1"})
        assert_enqueued(send_receipt, arguments={"order": "KC-1"}, count=1)

    def test_a_name_that_nothing_is_registered_under_is_refused(self) -> None:
        for look in (assert_not_enqueued, assert_enqueued):
            with pytest.raises(UnknownEntrypointError, match="did you mean 'greet'"):
                look("gret")
        with django.test.override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
            assert_not_enqueued("gret")

    async def test_an_async_test_awaits_it(self) -> None:
        await Order.objects.acreate(number="KC-1")
        await aenqueue("greet_later", arguments={"order": "KC-1"})
        await aassert_enqueued("greet_later")
        assert len(await adrain()) == 2
        await aassert_not_enqueued()
        assert (await Order.objects.aget()).receipts == 1
        assert await sync_to_async(lambda: connection.in_atomic_block)() == isinstance(
            self, django.test.TestCase
        )


class TestUnderTestCase(Draining, django.test.TestCase):
    def test_a_hook_that_waits_for_the_commit_is_told(self) -> None:
        transaction.on_commit(lambda: enqueue("mail"))
        with pytest.raises(AssertionError) as caught:
            assert_enqueued("mail")
        assert any("captureOnCommitCallbacks" in note for note in caught.value.__notes__)
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: enqueue("mail"))
        assert_enqueued("mail", count=1)

    async def test_an_async_test_is_told_what_to_await(self) -> None:
        with pytest.raises(SynchronousOnlyOperation, match=r"await adrain\(…\)"):
            drain()
        with pytest.raises(SynchronousOnlyOperation, match="twin"):
            assert_enqueued("mail")


class TestUnderTransactionTestCase(Draining, django.test.TransactionTestCase):
    pass
