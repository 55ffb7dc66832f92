"""Administration: what tests/queries finds true of every asker, as a Django project meets it."""

import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.template import Context, Template

import pgq_orm_django
from pgq_orm import administration
from pgq_orm.errors import (
    CompletionTimeoutError,
    JobFailedError,
    JobNotFoundError,
    RequeueRefusedError,
    SchemaError,
    SessionError,
)
from pgq_orm.methods import Administration
from pgq_orm_django import (
    CompletionWatcher,
    await_for,
    enqueue,
    job_status,
    queue_size,
    requeue_jobs,
    wait_for,
)
from pgq_orm_django.models import Job, Log, Schedule
from tests.django_app.factories import a_log, a_schedule

pytestmark = pytest.mark.usefixtures("db")

SPELLED = {"mark_job_as_cancelled": "cancel"}
NAMES = sorted(
    SPELLED.get(name, name)
    for name in vars(Administration)
    if hasattr(administration, name) and name[0] != "_"
)
SOON = timedelta(seconds=0.3)
TIMEOUT = timedelta(seconds=10)


def a_failed_job(**columns: Any) -> int:
    """The id of a job that failed."""
    return a_log(status="exception", error="ValueError: no", **columns).job_id


@pytest.fixture
def stranger(db: str) -> Iterator[psycopg.Connection]:
    """A connection that has nothing to do with Django's."""
    with psycopg.connect(db, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_function_and_its_twin_for_every_method_of_queries(name: str) -> None:
    function, twin = getattr(pgq_orm_django, name), getattr(pgq_orm_django, f"a{name}")
    assert twin.__name__ == f"a{name}"
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(function)
    assert "using" in inspect.signature(function).parameters


def test_several_rows_change_together_without_a_block_of_the_callers() -> None:
    failed = a_failed_job(job_id=1)
    with pytest.raises(RequeueRefusedError):
        requeue_jobs([failed, 999])
    assert not Job.objects.exists()
    assert set(requeue_jobs([failed, 999], on_refused="skip")) == {failed}
    assert Job.objects.count() == 1


def test_a_refusal_leaves_the_callers_block_as_good_as_it_was() -> None:
    with transaction.atomic():
        kept = enqueue("mail")
        with pytest.raises(RequeueRefusedError):
            requeue_jobs([999])
        assert job_status([kept]) == [(kept, "queued")]
    assert Job.objects.get().pk == kept


def test_using_names_the_database(other_db: str) -> None:
    enqueue("mail", using="other")
    assert queue_size() == []
    assert [size.count for size in queue_size(using="other")] == [1]


def test_a_database_without_tables_says_what_to_run(bare_db: str) -> None:
    with pytest.raises(SchemaError, match=r"manage\.py migrate pgq_orm_django --database=other"):
        queue_size(using="other")


# QuerySets


def test_jobs_are_canceled_as_a_queryset() -> None:
    mail, sync = enqueue("mail"), Job.objects.create(entrypoint="sync").pk
    assert Job.objects.for_entrypoint("mail").cancel() == {mail: False}
    assert async_to_sync(Job.objects.filter(pk=sync)[:1].acancel)() == {sync: False}
    assert Log.objects.canceled().count() == 2


def test_failures_are_requeued_as_a_queryset() -> None:
    a_failed_job(job_id=1, payload=b"one")
    a_failed_job(job_id=2, entrypoint="sync")
    assert set(Log.objects.failed().for_entrypoint("mail").requeue()) == {1}
    assert bytes(Job.objects.get().payload or b"") == b"one"
    assert [log.job_id for log in Log.objects.failed()] == [2]
    with pytest.raises(RequeueRefusedError, match=f"job 1 was enqueued again, as job {Job.objects.get().pk}"):
        async_to_sync(Log.objects.failed_attempts().arequeue)()
    assert set(Log.objects.failed_attempts().requeue(on_refused="skip")) == {2}
    assert not Log.objects.failed().exists()
    Job.objects.all().cancel()
    assert set(Log.objects.filter(job_id=1).requeue(force=True)) == {1}


def test_schedules_are_paused_resumed_and_run_as_a_queryset() -> None:
    schedule = a_schedule()
    a_schedule(entrypoint="rest")
    balance = Schedule.objects.for_entrypoint("balance")
    assert balance.pause() == [schedule.pk]
    assert Schedule.objects.paused().get() == schedule
    assert async_to_sync(balance.aresume)() == [schedule.pk]
    assert not Schedule.objects.paused().exists()
    [job_id] = balance.run_now().values()
    assert Job.objects.get().pk == job_id
    assert balance.run_now() == {schedule.pk: None}


@pytest.mark.parametrize(
    ("model", "verbs"), [(Job, ["cancel"]), (Log, ["requeue"]), (Schedule, ["pause", "resume", "run_now"])]
)
def test_verbs_are_not_for_managers_nor_for_templates(model: Any, verbs: list[str]) -> None:
    enqueue("mail")
    for verb in verbs:
        assert not hasattr(model.objects, verb)
        assert not hasattr(model.objects, f"a{verb}")
        rendered = Template(f"{{{{ rows.{verb} }}}}").render(Context({"rows": model.objects.all()}))
        assert rendered == ""
    assert Job.objects.count() == 1


def test_verbs_on_an_empty_queryset_do_nothing() -> None:
    enqueue("mail")
    assert Job.objects.none().cancel() == {}
    assert Log.objects.none().requeue() == {}
    assert Schedule.objects.none().pause() == []


# Waiting


@pytest.fixture(params=["called", "awaited"])
def wait(request: pytest.FixtureRequest) -> Any:
    return wait_for if request.param == "called" else async_to_sync(await_for)


def test_a_job_that_has_ended_is_heard_of(wait: Any) -> None:
    a_log(job_id=7, result={"sum": 7})
    completion = wait(7, TIMEOUT)
    assert (completion, completion.result) == ("successful", {"sum": 7})


def test_a_failure_is_an_end(wait: Any) -> None:
    completion = wait(a_failed_job(), TIMEOUT)
    assert completion == "exception"
    with pytest.raises(JobFailedError, match="ValueError: no"):
        _ = completion.result


def test_a_job_that_ends_meanwhile_is_heard_of(wait: Any, stranger: psycopg.Connection) -> None:
    job_id = enqueue("mail")
    looks = 0

    def end_it(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 3:
            stranger.execute("DELETE FROM pgq_job")
            stranger.execute(
                """
                INSERT INTO pgq_log
                    (job_id, enqueued, execute_after, priority, attempt, status, queue, entrypoint)
                VALUES (%s, now(), now(), 0, 1, 'canceled', 'default', 'mail')
                """,
                [job_id],
            )
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end_it):
        assert wait(job_id, TIMEOUT) == "canceled"
    assert looks == 3


def test_who_has_no_more_time_hears_where_the_job_stands(wait: Any) -> None:
    job_id = enqueue("mail")
    with pytest.raises(
        CompletionTimeoutError, match=f"job {job_id} has not ended within 0.3 s: it is queued"
    ):
        wait(job_id, SOON)


def test_a_job_that_nobody_sees_is_not_waited_for(wait: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgq_orm.waiting.UNSEEN_SECONDS", 0.1)
    with pytest.raises(JobNotFoundError):
        wait(12345, None)


def test_nobody_waits_for_what_the_own_transaction_hides() -> None:
    with transaction.atomic():
        job_id = enqueue("mail")
        with pytest.raises(SessionError, match=r"inside transaction.atomic\(\).*leave the block first"):
            wait_for(job_id, TIMEOUT)
        a_log(job_id=7)
        assert wait_for(7, TIMEOUT) == "successful"


def test_nobody_waits_with_autocommit_off(wait: Any) -> None:
    transaction.set_autocommit(False)
    try:
        job_id = enqueue("mail")
        with pytest.raises(
            SessionError, match=r"with autocommit off.*transaction.set_autocommit\(True\) first"
        ):
            wait(job_id, TIMEOUT)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


async def test_a_watcher_waits_for_many(db: str) -> None:
    await Log.objects.acreate(
        job_id=7,
        enqueued="2026-01-01T12:00Z",
        execute_after="2026-01-01T12:00Z",
        priority=0,
        attempt=1,
        status="successful",
        queue="default",
        entrypoint="mail",
    )
    async with CompletionWatcher() as watcher:
        assert await watcher.wait_for(7, TIMEOUT) == "successful"
