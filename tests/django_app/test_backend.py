"""The backend: tasks of Django's own framework are jobs."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import F

from pgq_orm.applications import PgQueuer
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import cancel
from pgq_orm_django.models import Job
from pgq_orm_django.registry import discover
from pgq_orm_django.store import DatabaseStore
from tests.django_app.shop.models import Order

if django.VERSION < (6, 0):
    pytest.importorskip("django_tasks")

from pgq_orm_django.backend import ENTRYPOINT, Options, QueueBackend
from pgq_orm_django.framework import (
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
    task_finished,
    task_started,
)
from tests.django_app.shop import framework_tasks as tasks

pytestmark = pytest.mark.usefixtures("db")


def drain(*queues: str, max_jobs: int | None = None) -> None:
    pgq = PgQueuer(DatabaseStore("default"), registry=discover())
    drain = QueueExecutionMode.drain
    asyncio.run(pgq.run(mode=drain, queues=queues or ("default",), max_jobs=max_jobs))


def test_a_task_is_part_of_the_callers_transaction() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.refuse.enqueue()
        async_to_sync(tasks.refuse.aenqueue)()
        assert Job.objects.count() == 2
        raise ZeroDivisionError
    assert not Job.objects.exists()


def test_a_task_is_a_job_with_its_priority_queue_and_time() -> None:
    noon = datetime(2100, 1, 1, 12, tzinfo=UTC)
    task = tasks.succeed_at_last.using(priority=7, run_after=noon)
    result = task.enqueue()
    job = Job.objects.get()
    assert (job.entrypoint, job.priority, job.queue, job.execute_after) == (ENTRYPOINT, 7, "slow", noon)
    assert (result.id, job.max_attempts) == (str(job.id), 2)


def test_a_result_is_ready_then_successful() -> None:
    Order.objects.create(number="one", receipts=3)
    result = tasks.count_receipts.enqueue("one", plus=1)
    assert (result.status, result.args, result.kwargs) == (TaskResultStatus.READY, ["one"], {"plus": 1})
    assert tasks.count_receipts.get_result(result.id).status == TaskResultStatus.READY
    drain()
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, {"one": 4})
    assert result.attempts == 1
    times: list[Any] = [result.enqueued_at, result.started_at, result.finished_at]
    assert times == sorted(times)
    found = tasks.count_receipts.get_result(result.id)
    assert (found.args, found.kwargs, found.return_value) == (["one"], {"plus": 1}, {"one": 4})


def test_a_result_tells_that_its_task_runs() -> None:
    result = tasks.refuse.enqueue()
    Job.objects.update(status="picked")
    result.refresh()
    assert result.status == TaskResultStatus.RUNNING
    assert result.started_at


def test_async_tasks_run_with_the_orm() -> None:
    result = tasks.place_order.enqueue("one")
    drain()
    assert Order.objects.get().number == "one"
    assert async_to_sync(tasks.place_order.aget_result)(result.id).return_value is None


def test_a_failed_task_tells_its_error() -> None:
    result = tasks.refuse.enqueue()
    drain()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is tasks.Refused
    assert "out\nof stock" in result.errors[0].traceback
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_an_answer_that_is_no_json_is_a_failure() -> None:
    result = tasks.answer_unspeakably.enqueue()
    drain()
    result.refresh()
    assert result.errors[0].exception_class is TypeError


def test_a_task_is_tried_again_as_often_as_its_backend_says() -> None:
    result = tasks.succeed_at_last.enqueue()
    drain("slow", max_jobs=1)  # whoever is slow to end would see it come due again
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.READY, 1)
    Job.objects.update(execute_after=datetime.now(UTC) - timedelta(seconds=1))
    drain("slow")
    result.refresh()
    assert (result.return_value, result.attempts, len(result.errors)) == (2, 2, 1)
    times: list[Any] = [result.started_at, result.last_attempted_at]
    assert times[0] < times[1]


@pytest.mark.parametrize("task", [tasks.sell, tasks.sell_later], ids=["def", "async def"])
def test_a_transactional_task_commits_with_its_end_or_not_at_all(task: Any) -> None:
    kept, lost = task.enqueue("kept", False), task.enqueue("lost", True)
    drain()
    for result in (kept, lost):
        result.refresh()
    assert kept.return_value is True
    assert (lost.status, lost.errors[0].exception_class) == (TaskResultStatus.FAILED, tasks.Refused)
    assert Order.objects.get().number == "kept"


def test_a_transactional_task_that_cannot_end_leaves_nothing() -> None:
    result = tasks.sell.enqueue("never", False)

    def lose_the_lease(**_: Any) -> None:
        Job.objects.filter(pk=int(result.id)).update(lease=F("lease") + 1)

    task_finished.connect(lose_the_lease)
    drain()
    task_finished.disconnect(lose_the_lease)
    assert not Order.objects.exists()


def test_an_option_that_does_not_exist_is_found_by_the_checks() -> None:
    options = {"TRANSACTIONALS": True, "MAX_ATTEMPTS": "2"}
    found = [message.msg for message in QueueBackend("default", {"OPTIONS": options}).check()]
    assert found == [
        "settings.TASKS['default']['OPTIONS']: unknown key 'TRANSACTIONALS': did you mean 'TRANSACTIONAL'?",
        "settings.TASKS['default']['OPTIONS']: MAX_ATTEMPTS must be of type int, found '2'",
    ]


def test_the_page_has_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| `([A-Z_]+)` \| `(.*?)` \| `(.*?)` \| \S", page, re.MULTILINE)
    assert said == [
        (field.name.upper(), field.type.__name__, repr(field.default)) for field in fields(Options)
    ]


def test_a_canceled_task_has_failed() -> None:
    result = tasks.refuse.enqueue()
    cancel(int(result.id))
    result.refresh()
    assert (result.status, result.errors) == (TaskResultStatus.FAILED, [])


@pytest.mark.parametrize("result_id", ["999", "no number", "²", "9" * 20, "9" * 5000])
def test_an_unknown_result_does_not_exist(result_id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        tasks.refuse.get_result(result_id)


def test_a_result_tells_where_its_job_was_moved() -> None:
    result = tasks.refuse.enqueue()
    Job.objects.update(priority=500, queue="elsewhere")
    found = tasks.refuse.get_result(result.id)
    assert (found.status, found.task.priority, found.task.queue_name) == (
        TaskResultStatus.READY,
        500,
        "elsewhere",
    )
    assert (tasks.refuse.priority, tasks.refuse.queue_name) == (0, "default")


@pytest.mark.parametrize("name", ["gone", "Refused"])
def test_the_result_of_a_task_that_is_none_any_more_says_so(name: str) -> None:
    result = tasks.refuse.enqueue()
    path = f"{tasks.__name__}.{name}"
    Job.objects.update(arguments={"task": path, "args": [], "kwargs": {}, "backend": "default"})
    with pytest.raises(ImportError, match=rf"result {result.id} is of '{path}', which is no task any more"):
        tasks.refuse.get_result(result.id)


def test_a_job_that_is_no_task_has_no_result() -> None:
    job = Job.objects.create(entrypoint="mail")
    with pytest.raises(TaskResultDoesNotExist):
        tasks.refuse.get_result(str(job.id))


@pytest.fixture
def signals() -> Iterator[list[str]]:
    sent: list[str] = []

    def hear(name: str) -> Any:
        return lambda task_result, **kwargs: sent.append(f"{name} {task_result.status}")

    receivers = {signal: hear(name) for name, signal in SIGNALS.items()}
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield sent
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


SIGNALS = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}


def test_the_frameworks_signals_are_sent(signals: list[str]) -> None:
    tasks.refuse.enqueue()
    drain()
    assert signals == ["enqueued READY", "started RUNNING", "finished FAILED"]
