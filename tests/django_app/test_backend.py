"""The backend: tasks of Django's own framework are jobs."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.test import Client, override_settings

from pgq_orm.applications import PgQueuer
from pgq_orm.callees import NAMED_BY
from pgq_orm.errors import UnknownEntrypointError
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import cancel
from pgq_orm_django.models import Job, Log
from pgq_orm_django.registry import discover
from pgq_orm_django.store import DatabaseStore
from pgq_orm_django.testing import (
    aassert_enqueued,
    aassert_not_enqueued,
    assert_enqueued,
    assert_not_enqueued,
)
from tests.django_app.shop.models import Order

if django.VERSION < (6, 0):
    pytest.importorskip("django_tasks")

from pgq_orm_django.backend import ENTRYPOINT, ENTRYPOINTS, Options, QueueBackend
from pgq_orm_django.framework import (
    BaseTaskBackend,
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


def test_an_option_in_the_wrong_place_or_of_no_use_is_found_by_the_checks() -> None:
    params = {"MAX_ATTEMPTS": 3, "OPTIONS": {"MAX_ATTEMPTS": 0}}
    assert [message.msg for message in QueueBackend("default", params).check()] == [
        "settings.TASKS['default']['OPTIONS']: MAX_ATTEMPTS must be at least 1, found 0",
        "settings.TASKS['default']: 'MAX_ATTEMPTS' belongs into its 'OPTIONS'",
    ]


SETTINGS = """
from tests.django_app.settings import *
TASKS = {"mail": {"BACKEND": "pgq_orm_django.backend.QueueBackend", "OPTIONS": {"MAX_ATTEMPT": 3}}}
"""


def test_the_checks_of_a_project_that_imports_no_task_look_at_the_options(tmp_path: Path) -> None:
    (tmp_path / "misspelt.py").write_text(SETTINGS)
    checked = subprocess.run(
        [sys.executable, "-m", "django", "check", "--settings=misspelt"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = "(pgq_orm_django.E004) settings.TASKS['mail']['OPTIONS']: unknown key 'MAX_ATTEMPT': did you mean"
    assert checked.stderr.count(said) == 1
    assert checked.returncode == 1


def test_a_queue_needs_no_declaration() -> None:
    tasks.refuse.using(queue_name="mail").enqueue()
    assert Job.objects.get().queue == "mail"


def test_queues_that_are_named_are_the_only_ones() -> None:
    with pytest.raises(Exception, match="Queue 'mail' is not valid for backend") as refusal:
        tasks.succeed_at_last.using(queue_name="mail")
    assert type(refusal.value).__name__.startswith("InvalidTask")


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


def test_a_tests_expectations_know_tasks_and_their_paths() -> None:
    tasks.count_receipts.enqueue("one", plus=1)
    tasks.sell.enqueue("two", False)
    path = f"{tasks.__name__}.count_receipts"
    for target in (tasks.count_receipts, path):
        [job] = assert_enqueued(target, arguments={"args": ["one"], "kwargs": {"plus": 1}}, count=1)
        assert job.arguments["task"] == path
        with pytest.raises(AssertionError, match=r"arguments\['args'\] is \['one'\], expected \['two'\]"):
            assert_enqueued(target, arguments={"args": ["two"]})
    assert_enqueued(tasks.sell, count=1)
    assert_not_enqueued(tasks.refuse)
    assert_not_enqueued(f"{tasks.__name__}.refuse")
    async_to_sync(aassert_enqueued)(tasks.count_receipts)
    async_to_sync(aassert_not_enqueued)(tasks.refuse)
    for misspelt in (f"{tasks.__name__}.refsue", f"{tasks.__name__}.Refused"):
        with pytest.raises(UnknownEntrypointError):
            assert_not_enqueued(misspelt)


def test_a_task_that_another_backend_enqueues_is_not_looked_for_in_vain() -> None:
    immediate = f"{BaseTaskBackend.__module__.rpartition('.')[0]}.immediate.ImmediateBackend"
    refusal = pytest.raises(TypeError, match=r"settings.TASKS\['default'\] is ImmediateBackend here")
    with override_settings(TASKS={"default": {"BACKEND": immediate}}), refusal:
        assert_not_enqueued(tasks.refuse)


def test_operators_are_told_which_task_it_is(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{tasks.__name__}.refuse"
    result = tasks.refuse.enqueue()
    drain()
    assert f"Job {result.id} ({ENTRYPOINT} {path}) failed: Refused: out" in caplog.text
    call_command("pgq_jobs", "failed", "--traceback")
    told = capsys.readouterr().out
    assert f" {ENTRYPOINT} {path} " in told
    assert f"job {result.id} ({ENTRYPOINT} {path}):" in told
    call_command("pgq_jobs", "failed", "--json")
    [row] = json.loads(capsys.readouterr().out)
    assert (row["entrypoint"], row["title"]) == (ENTRYPOINT, f"{ENTRYPOINT} {path}")


def test_the_admin_tells_which_task_it_is_and_finds_it_by_that() -> None:
    staff = Client()
    staff.force_login(User.objects.create_superuser("staff"))

    def found(model: str, query: str = "") -> list[str]:
        page = staff.get(f"/admin/pgq_orm_django/{model}/?q={query}").content.decode()
        return re.findall(r'class="field-called">([^<]*)<', page)

    Order.objects.create(number="one")
    tasks.refuse.enqueue()
    tasks.count_receipts.enqueue("one")
    refuse, count = (f"{ENTRYPOINT} {tasks.__name__}.{name}" for name in ("refuse", "count_receipts"))
    assert found("job") == [count, refuse]
    assert found("job", "framework_tasks.refuse") == [refuse]
    assert found("job", refuse) == [refuse]
    assert found("job", "no.such.task") == []
    drain()
    assert sorted(found("log")) == [count, refuse]
    assert found("log", "tasks.refuse") == [refuse]
    assert found("log", "tasks.count_receipts") == [count]
    for model, row in (("log", Log.objects.first()), ("job", Job.objects.create(entrypoint=ENTRYPOINT))):
        assert row is not None
        page = staff.get(f"/admin/pgq_orm_django/{model}/{row.pk}/change/").content.decode()
        assert ENTRYPOINT in page


def test_the_entrypoints_of_tasks_are_known_to_those_who_tell_of_them() -> None:
    assert set(ENTRYPOINTS) < set(NAMED_BY)


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
