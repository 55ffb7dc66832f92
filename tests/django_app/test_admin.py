"""Admin: pages to read, and one action that asks for a permission."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pgq_orm_django.admin import BoundedPaginator
from pgq_orm_django.models import Job, Log, Queue, Schedule
from tests.django_app.factories import NOON, a_log, a_schedule, a_worker

pytestmark = pytest.mark.usefixtures("db")

ADMIN = "/admin/pgq_orm_django"
MODELS = ("job", "log", "schedule", "worker")
CHOSEN = {"action": "cancel", "index": "0"}


@pytest.fixture
def log_in() -> Callable[..., Client]:
    def log_in(*permissions: str, **user: Any) -> Client:
        staff = User.objects.create_user("staff", is_staff=True, **user)
        staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(staff)
        return client

    return log_in


def page_of(client: Client, path: str) -> str:
    response = client.get(f"{ADMIN}/{path}")
    assert response.status_code == 200, path
    return response.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_every_table_has_pages(model: str, log_in: Callable[..., Client]) -> None:
    client = log_in(is_superuser=True)
    worker, schedule = a_worker(queues=["default"], entrypoints=["mail"]), a_schedule()
    job = Job.objects.create(entrypoint="mail", worker=worker, schedule=schedule)
    row = {"job": job, "log": a_log(), "schedule": schedule, "worker": worker}[model]
    assert f"/{row.pk}/change/" in page_of(client, f"{model}/")
    assert "mail" in page_of(client, f"{model}/?q=1") or model in ("schedule", "worker")
    page_of(client, f"{model}/?q=ma'il")
    assert 'name="_save"' not in page_of(client, f"{model}/{row.pk}/change/")


def test_payload_and_json_can_be_read(log_in: Callable[..., Client]) -> None:
    client = log_in(is_superuser=True)
    job = Job.objects.create(entrypoint="mail", payload="for Zoë".encode(), arguments={"to": ["<zoë>"]})
    page = page_of(client, f"job/{job.pk}/change/")
    assert "<pre>for Zoë</pre>" in page
    assert "&lt;zoë&gt;" in page
    job = Job.objects.create(entrypoint="mail", payload=b"\xff\x00\x01\x02\x03")
    assert "<pre>ff 00010203</pre>" in page_of(client, f"job/{job.pk}/change/")


def test_an_attempt_shows_its_traceback(log_in: Callable[..., Client]) -> None:
    log = a_log(status="exception", error="ValueError: odd", traceback="Traceback:\n  ValueError: odd")
    client = log_in(is_superuser=True)
    assert "<pre>Traceback:\n  ValueError: odd</pre>" in page_of(client, f"log/{log.pk}/change/")
    assert "ValueError: odd" in page_of(client, "log/")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("entrypoint=mail", 1),
        ("queue=slow", 1),
        ("status__exact=queued", 2),
        ("q=1", 1),
        ("q=mail", 1),
        ("q=key", 1),
    ],
)
def test_jobs_can_be_filtered_and_searched(query: str, expected: int, log_in: Callable[..., Client]) -> None:
    Job.objects.create(id=1, entrypoint="mail", dedupe_key="a key")
    Job.objects.create(id=20, entrypoint="sync", queue="slow")
    client = log_in(is_superuser=True)
    assert len(re.findall(r"/change/", page_of(client, f"job/?{query}"))) == expected


def test_filters_offer_what_workers_serve(log_in: Callable[..., Client]) -> None:
    a_worker(queues=["slow"], entrypoints=["sync"])
    page = page_of(log_in(is_superuser=True), "log/")
    assert "?queue=slow" in page
    assert "?entrypoint=sync" in page


def test_filters_offer_a_queue_that_nobody_serves(log_in: Callable[..., Client]) -> None:
    for queue in ("mail", "mial", "mial"):
        Job.objects.create(entrypoint="mail", queue=queue)
    Queue.objects.create(name="idle")
    page = page_of(log_in(is_superuser=True), "job/")
    assert [queue for queue in ("idle", "mail", "mial") if f"?queue={queue}" in page] == [
        "idle",
        "mail",
        "mial",
    ]


def test_no_list_counts_a_whole_table(log_in: Callable[..., Client]) -> None:
    client = log_in(is_superuser=True)
    for model in MODELS:
        with CaptureQueriesContext(connection) as captured:
            page_of(client, f"{model}/")
        counts = [query["sql"] for query in captured if "COUNT(" in query["sql"]]
        assert counts
        assert all(f"LIMIT {BoundedPaginator.MOST_ROWS}" in sql for sql in counts), counts
        assert not [query["sql"] for query in captured if "DISTINCT" in query["sql"]]


class TestStaffThatMayOnlyLook:
    @pytest.fixture
    def client(self, log_in: Callable[..., Client]) -> Client:
        return log_in("view_job", "view_log")

    def test_sees_the_pages(self, client: Client) -> None:
        job = Job.objects.create(entrypoint="mail")
        assert "mail" in page_of(client, "job/")
        assert "mail" in page_of(client, f"job/{job.pk}/change/")

    def test_is_not_offered_the_action(self, client: Client) -> None:
        Job.objects.create(entrypoint="mail")
        assert "Cancel selected" not in page_of(client, "job/")

    def test_cannot_run_it_either(self, client: Client) -> None:
        job = Job.objects.create(entrypoint="mail")
        client.post(f"{ADMIN}/job/", {**CHOSEN, "_selected_action": [job.pk]})
        assert Job.objects.exists()

    def test_sees_no_other_table(self, client: Client) -> None:
        assert client.get(f"{ADMIN}/schedule/").status_code == 403


@pytest.mark.parametrize("user", [{"is_superuser": True}, {}])
def test_nobody_adds_edits_or_deletes_rows(user: dict[str, bool], log_in: Callable[..., Client]) -> None:
    schedule = a_schedule()
    client = log_in("view_schedule", "add_schedule", "change_schedule", "delete_schedule", **user)
    assert client.get(f"{ADMIN}/schedule/add/").status_code == 403
    assert client.post(f"{ADMIN}/schedule/{schedule.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{ADMIN}/schedule/{schedule.pk}/change/", {"paused": "on"}).status_code == 403
    assert not Schedule.objects.get().paused


def test_staff_that_may_change_jobs_cancels_them(log_in: Callable[..., Client]) -> None:
    client = log_in("view_job", "change_job")
    waiting = Job.objects.create(entrypoint="mail")
    running = Job.objects.create(entrypoint="mail", status="picked", worker=a_worker())
    spared = Job.objects.create(entrypoint="mail")
    answer = client.post(
        f"{ADMIN}/job/", {**CHOSEN, "_selected_action": [waiting.pk, running.pk]}, follow=True
    )
    assert "1 canceled, 1 running and asked to stop." in answer.content.decode()
    assert set(Job.objects.all()) == {running, spared}
    assert Job.objects.get(pk=running.pk).cancel_requested
    assert Log.objects.canceled().get().job_id == waiting.pk
    answer = client.post(f"{ADMIN}/job/", {**CHOSEN, "_selected_action": [waiting.pk]}, follow=True)
    assert "None of them is still to be done." in answer.content.decode()


@pytest.fixture
def run(log_in: Callable[..., Client]) -> Callable[..., str]:
    """Runs an action on rows as staff with these permissions; gives the page that follows."""

    def run(action: str, *rows: Model, permissions: tuple[str, ...]) -> str:
        model = type(rows[0])._meta.model_name
        chosen = {"action": action, "index": "0", "_selected_action": [row.pk for row in rows]}
        answer = log_in(*permissions).post(f"{ADMIN}/{model}/", chosen, follow=True)
        return html.unescape(answer.content.decode())

    return run


def a_failure(job_id: int, **columns: Any) -> Log:
    return a_log(job_id=job_id, status="exception", payload=b"content", **columns)


def test_staff_that_may_change_the_log_runs_jobs_again(run: Callable[..., str]) -> None:
    page = run("requeue", a_failure(1), a_failure(2), permissions=("view_log", "change_log"))
    assert "2 jobs enqueued again." in page
    assert [bytes(job.payload or b"") for job in Job.objects.all()] == [b"content"] * 2


def test_what_cannot_run_again_is_told_apart(run: Callable[..., str]) -> None:
    retried = a_failure(Job.objects.create(id=2000, entrypoint="mail").pk, retried=True)
    page = run("requeue", retried, a_failure(3), permissions=("view_log", "change_log"))
    assert "1 job enqueued again." in page
    assert "Job 2000 is still to be done." in page


def test_a_second_run_again_says_that_there_was_a_first(run: Callable[..., str]) -> None:
    failed = a_failure(7)
    failed_jobs = [a_failure(job_id) for job_id in range(100, 112)]
    Log.objects.all().requeue()
    page = run("requeue", failed, *failed_jobs, permissions=("view_log", "change_log"))
    again = Log.objects.get(job_id=7).requeued_as
    assert f"Job 7 was enqueued again, as job {again}, which is still to be done." in page
    assert f"exception, run again as job {again}" in page
    assert "3 further jobs left out." in page
    assert "Job 111 " not in page
    assert Job.objects.count() == 13


def test_the_lists_say_at_a_glance_what_to_worry_about(log_in: Callable[..., Client]) -> None:
    client = log_in(is_superuser=True)
    a_failure(1, retried=True, duration=timedelta(milliseconds=12.3456))
    a_failure(1, attempt=2, duration=timedelta(hours=2, seconds=3.5))
    a_log(job_id=2)
    page = page_of(client, "log/")
    assert "exception, retried" in page
    assert ">0.0123 s<" in page
    assert ">2:00:04<" in page
    assert "icon-no" not in page  # a red cross is for what is wrong
    Job.objects.create(entrypoint="mail", status="picked", worker=a_worker(), cancel_requested=NOON)
    assert "picked, asked to stop" in page_of(client, "job/")
    a_schedule(paused=True)
    Queue.objects.create(name="mail", rate_limit=5, rate_limit_window=timedelta(minutes=2))
    assert "icon-no" in page_of(client, "schedule/")
    page = page_of(client, "queue/")
    assert "icon-yes" in page
    assert "5 in 0:02:00" in page


def test_staff_that_may_change_schedules_pauses_resumes_and_runs_them(
    log_in: Callable[..., Client], run: Callable[..., str]
) -> None:
    schedule = a_schedule()
    client = log_in("view_schedule", "change_schedule")

    def act(action: str) -> str:
        chosen = {"action": action, "index": "0", "_selected_action": [schedule.pk]}
        answer = client.post(f"{ADMIN}/schedule/", chosen, follow=True)
        schedule.refresh_from_db()
        return html.unescape(answer.content.decode())

    assert "1 schedule paused." in act("pause")
    for active, number in (("yes", 0), ("no", 1)):
        page = client.get(f"{ADMIN}/schedule/", {"active": active})
        assert len(page.context["cl"].result_list) == number
    assert schedule.paused
    assert "1 schedule resumed." in act("resume")
    assert not schedule.paused
    assert "1 job enqueued." in act("run_now")
    assert Job.objects.get().schedule_id == schedule.pk
    assert "1 left out: the job of a tick before is still to be done" in act("run_now")


@pytest.mark.parametrize("action", ["pause", "resume", "run_now"])
def test_staff_that_may_only_look_at_schedules_changes_none(run: Callable[..., str], action: str) -> None:
    schedule = a_schedule(paused=action == "resume")
    page = run(action, schedule, permissions=("view_schedule", "change_job", "change_log"))
    assert "selected schedules" not in page
    assert Schedule.objects.get().paused == schedule.paused
    assert not Job.objects.exists()


def test_staff_that_may_only_look_at_the_log_runs_nothing_again(run: Callable[..., str]) -> None:
    page = run("requeue", a_failure(1), permissions=("view_log", "change_job", "add_job"))
    assert "Run selected jobs again" not in page
    assert not Job.objects.exists()
