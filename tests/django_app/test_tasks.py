"""Typed tasks in a Django project: enqueued in the open transaction, run with the function's own types."""

import asyncio
from datetime import date
from typing import Any, assert_type

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import DuplicateJobError, InvalidJobError, RegistrationError
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import aenqueue_many, enqueue, enqueue_many, entrypoint, task
from pgq_orm_django.models import Job, Log
from pgq_orm_django.registry import discover
from pgq_orm_django.store import DatabaseStore
from tests.django_app.shop.models import Order
from tests.django_app.shop.tasks import greet, greet_later

pytestmark = pytest.mark.usefixtures("db")

NEW_YEAR = date(2026, 1, 1)


def drain() -> None:
    pgq = PgQueuer(DatabaseStore("default"), registry=discover())
    asyncio.run(pgq.run(mode=QueueExecutionMode.drain, queues=("default", "slow")))


def test_a_call_is_a_job_of_the_open_transaction() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        greet.enqueue("KC-1", on=NEW_YEAR)
        raise ZeroDivisionError
    assert not Job.objects.exists()
    job_id = greet.enqueue("KC-1", on=NEW_YEAR)
    assert_type(job_id, int)
    job = Job.objects.get(id=job_id)
    assert (job.entrypoint, job.arguments) == ("greet", {"order": "KC-1", "on": "2026-01-01"})


def test_it_is_awaited_on_the_same_connection() -> None:
    async def place() -> int:
        return await greet.aenqueue("KC-1", on=NEW_YEAR)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        async_to_sync(place)()
        raise ZeroDivisionError
    assert not Job.objects.exists()


def test_a_refused_call_leaves_the_transaction_as_it_was() -> None:
    with transaction.atomic():
        greet.enqueue("KC-1", on=NEW_YEAR)
        with pytest.raises(InvalidJobError, match="on: Input should be a valid date"):
            greet.enqueue("KC-1", on="tomorrow")  # type: ignore[arg-type]
        with pytest.raises(InvalidJobError, match="given job, which the worker fills"):
            greet.enqueue("KC-1", NEW_YEAR, job=None)  # type: ignore[arg-type]
    assert Job.objects.count() == 1


def test_options_are_of_the_calls_that_ask_for_them() -> None:
    once = greet.options(priority=5, dedupe_key="once", queue="mail")
    first = once.enqueue("KC-1", on=NEW_YEAR)
    with pytest.raises(DuplicateJobError):
        once.enqueue("KC-1", on=NEW_YEAR)
    skipped = once.options(on_conflict="skip").enqueue("KC-1", on=NEW_YEAR)
    assert_type(skipped, int | None)
    assert skipped is None
    job = Job.objects.get(id=first)
    assert (job.priority, job.dedupe_key, job.queue) == (5, "once", "mail")


@pytest.mark.parametrize("name", ["enqueue", "aenqueue"])
def test_a_child_never_exists_without_its_edge(name: str) -> None:
    parent = greet.enqueue("KC-1", on=NEW_YEAR)

    def cut(execute: Any, sql: str, *rest: Any) -> Any:
        if "INSERT INTO pgq_dependency" in sql:
            raise ZeroDivisionError
        return execute(sql, *rest)

    child = greet.options(depends_on=parent)
    enqueue_it: Any = child.enqueue if name == "enqueue" else async_to_sync(child.aenqueue)
    with connection.execute_wrapper(cut), pytest.raises(ZeroDivisionError):
        enqueue_it("KC-2", on=NEW_YEAR)
    assert [job.id for job in Job.objects.all()] == [parent]
    enqueue_it("KC-2", on=NEW_YEAR)
    assert [job.status for job in Job.objects.order_by("id")] == ["queued", "waiting"]


def test_many_calls_are_one_wish() -> None:
    ids = enqueue_many([greet.call("KC-1", on=NEW_YEAR), greet_later.call("KC-2")])
    more = async_to_sync(aenqueue_many)([greet_later.call("KC-3")])
    assert list(Job.objects.order_by("id").values_list("id", "entrypoint", "queue")) == [
        (ids[0], "greet", "default"),
        (ids[1], "greet_later", "slow"),
        (more[0], "greet_later", "slow"),
    ]


def test_another_database_may_be_named(other_db: str) -> None:
    greet.options(using="other").options(priority=1).enqueue("KC-1", on=NEW_YEAR)
    enqueue_many([greet.call("KC-1", on=NEW_YEAR)], using="other")
    assert (Job.objects.count(), Job.objects.using("other").count()) == (0, 2)


def test_a_worker_runs_sync_and_async_tasks_and_old_names() -> None:
    Order.objects.create(number="KC-1")
    job_id = greet.enqueue("KC-1", on=NEW_YEAR, loud=True)
    greet_later.enqueue("KC-1")
    enqueue("welcome", arguments={"order": "KC-1", "on": "2026-01-01"})
    drain()
    assert Order.objects.get().receipts == 3
    assert Log.objects.get(job_id=job_id).result == {"order": "KC-1", "on": "2026-01-01", "job": job_id}


def test_bad_arguments_end_the_job_and_it_is_not_tried_again() -> None:
    Job.objects.create(entrypoint="greet", arguments={"order": 5}, max_attempts=5)
    drain()
    log = Log.objects.get()
    assert (log.status, log.retried) == ("exception", False)
    assert "greet() does not take this job's arguments: order: Input should be a valid string" in (
        log.error or ""
    )


def test_called_directly_it_is_the_function() -> None:
    assert greet("KC-1", on=NEW_YEAR, job=Job(id=5))["job"] == 5  # type: ignore[arg-type]


def test_the_models_job_is_not_what_a_handler_is_given() -> None:
    def mail(job: Job) -> None: ...

    with pytest.raises(RegistrationError, match=r"import Job from pgq_orm\.models$"):
        entrypoint("mail_again")(mail)


def test_a_name_belongs_to_one_task() -> None:
    with pytest.raises(RegistrationError, match="'mail' is taken by"):

        @task("mail")
        def other(order_id: int) -> None: ...
