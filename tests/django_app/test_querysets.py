"""QuerySet verbs: the questions one asks of the queue."""

from datetime import timedelta

import pytest
from django.db.models import F

from pgq_orm_django import list_failed_jobs
from pgq_orm_django.models import Job, Log, Schedule, Worker
from tests.django_app.factories import NOON, a_log, a_schedule, a_worker

pytestmark = pytest.mark.usefixtures("db")

HOUR = timedelta(hours=1)


def test_jobs_by_status() -> None:
    jobs = {
        status: Job.objects.create(entrypoint="mail", status=status)
        for status in ("waiting", "queued", "picked")
    }
    assert Job.objects.waiting().get() == jobs["waiting"]
    assert Job.objects.queued().get() == jobs["queued"]
    assert Job.objects.picked().get() == jobs["picked"]


def test_jobs_by_time() -> None:
    due = Job.objects.create(entrypoint="mail")
    deferred = Job.objects.create(entrypoint="mail")
    Job.objects.filter(pk=deferred.pk).update(execute_after=F("created") + HOUR)
    assert Job.objects.queued().due().get() == due
    assert Job.objects.queued().deferred().get() == deferred


def test_jobs_by_name() -> None:
    Job.objects.create(entrypoint="mail")
    Job.objects.create(entrypoint="sync", queue="slow")
    Job.objects.create(entrypoint="fetch")
    assert Job.objects.for_entrypoint("mail").get().entrypoint == "mail"
    assert Job.objects.for_entrypoint("mail", "sync").count() == 2
    assert Job.objects.for_queue("slow").get().entrypoint == "sync"


def test_jobs_in_the_order_of_the_workers() -> None:
    for priority in (0, 5, 5, -1):
        Job.objects.create(entrypoint="mail", priority=priority)
    assert [(job.priority, job.id) for job in Job.objects.in_pick_order()] == [
        (5, 2),
        (5, 3),
        (0, 1),
        (-1, 4),
    ]


def test_log_rows_by_outcome() -> None:
    logs = {status: a_log(status=status) for status in ("successful", "exception", "canceled")}
    assert Log.objects.successful().get() == logs["successful"]
    assert Log.objects.failed().get() == logs["exception"]
    assert Log.objects.canceled().get() == logs["canceled"]


def test_a_failure_that_was_retried_is_an_attempt_that_failed_and_no_failed_job() -> None:
    first = a_log(status="exception", retried=True)
    last = a_log(status="exception", attempt=2)
    a_log(job_id=2, status="exception", retried=True)
    a_log(job_id=2, attempt=2)
    assert Log.objects.failed().get() == last
    assert [job.log_id for job in list_failed_jobs()] == [last.pk]
    assert Log.objects.failed_attempts().count() == 3
    assert Log.objects.failed_attempts().retried().get(job_id=1) == first
    assert Log.objects.final().count() == 2


def test_schedules_by_state() -> None:
    active = a_schedule()
    paused = a_schedule(expression="* * * * *", paused=True, next_run=NOON + timedelta(days=36500))
    assert Schedule.objects.active().get() == active
    assert Schedule.objects.paused().get() == paused
    assert Schedule.objects.due().get() == active


def test_workers_by_their_heartbeat() -> None:
    alive, dead = a_worker(lease_seconds=30), a_worker(lease_seconds=30)
    Worker.objects.filter(pk=dead.pk).update(heartbeat=F("heartbeat") - timedelta(seconds=31))
    assert Worker.objects.alive().get() == alive
    assert Worker.objects.dead().get() == dead
    is_alive = {worker.id: vars(worker)["is_alive"] for worker in Worker.objects.with_is_alive()}
    assert is_alive == {alive.id: True, dead.id: False}


def test_verbs_combine_and_start_from_a_relation() -> None:
    worker = a_worker()
    job = Job.objects.create(entrypoint="mail", status="picked", worker=worker)
    Job.objects.create(entrypoint="sync", status="picked", worker=worker)
    assert worker.jobs.picked().for_entrypoint("mail").get() == job
