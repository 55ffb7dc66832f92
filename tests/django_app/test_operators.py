"""`manage.py pgq_dashboard`, `pgq_jobs` and `pgq_schedules`: an operator looks, and mends."""

import json
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from pgq_orm_django import enqueue
from pgq_orm_django.models import Job, Schedule
from tests.django_app.factories import a_log, a_schedule, a_worker

pytestmark = pytest.mark.usefixtures("db")


def manage(*arguments: str) -> str:
    """What the command says."""
    said = StringIO()
    call_command(*arguments, stdout=said)
    return said.getvalue()


def lines(said: str) -> list[str]:
    """Its lines, with one space between the columns."""
    return [re.sub(r"\s+", " ", line).strip() for line in said.splitlines()]


def a_failure(job_id: int, **columns: object) -> None:
    a_log(job_id=job_id, status="exception", **columns)


def test_the_dashboard_shows_what_is_to_be_done_what_was_and_who_works() -> None:
    enqueue(["mail", "mail"])
    a_failure(7)
    a_worker(queues=["default"], entrypoints=["mail"])
    said = lines(manage("pgq_dashboard"))
    assert "queue entrypoint waiting queued picked late by" in said
    assert "default mail 2 0 s" in said
    assert "Done in the last 5 min" in said
    assert "default mail 1 0.2" in said
    assert any(line.startswith("here 1 default 0") for line in said)


def test_an_empty_queue_says_so() -> None:
    assert "Nothing is to be done." in manage("pgq_dashboard")
    assert "No job has failed." in manage("pgq_jobs", "failed")
    assert "There are no schedules" in manage("pgq_schedules", "list")


def test_failures_are_listed_a_page_at_a_time() -> None:
    for job_id in range(1, 4):
        a_failure(job_id, error=f"ValueError: number {job_id}", traceback=f"trace of {job_id}")
    said = manage("pgq_jobs", "failed", "--limit", "2", "--traceback")
    assert "number 3" in said
    assert "trace of 2" in said
    assert "number 1" not in said
    after = said.partition("--after ")[2].split()[0]
    [last] = json.loads(manage("pgq_jobs", "failed", "--after", after, "--json"))
    assert last["id"] == 1


def test_jobs_are_run_again() -> None:
    a_failure(7, payload=b"content")
    assert lines(manage("pgq_jobs", "requeue", "7", "99", "--skip-refused")) == [
        f"job 7 is enqueued again as job {Job.objects.get().pk}",
        "job 99 is left out",
    ]


def test_what_cannot_be_is_told_in_one_go() -> None:
    with pytest.raises(CommandError, match=r"--skip-refused leaves out.*\n  job 99 is not to be found"):
        manage("pgq_jobs", "requeue", "99")


def test_jobs_are_canceled() -> None:
    job_id = enqueue("mail")
    assert lines(manage("pgq_jobs", "cancel", str(job_id), "99")) == [
        f"job {job_id} is canceled",
        "job 99 is not to be done",
    ]


def test_schedules_are_told_what_to_do() -> None:
    schedule = a_schedule()
    assert "balance 0 * * * * UTC default yes" in " ".join(lines(manage("pgq_schedules", "pause", "balance")))
    assert Schedule.objects.get().paused
    manage("pgq_schedules", "resume", str(schedule.pk))
    assert f"schedule {schedule.pk}: job " in manage("pgq_schedules", "run", "balance")
    assert "the job of a tick before" in manage("pgq_schedules", "run", "balance")
    assert "There are no schedules" in manage("pgq_schedules", "remove", "balance")


def test_a_schedule_that_is_not_there_is_told_with_a_guess() -> None:
    a_schedule()
    with pytest.raises(CommandError, match="did you mean 'balance'"):
        manage("pgq_schedules", "pause", "balace")


def test_another_database_can_be_meant(other_db: str) -> None:
    enqueue("mail", using="other")
    assert "Nothing is to be done." in manage("pgq_dashboard")
    assert "Nothing is to be done." not in manage("pgq_dashboard", "--database", "other")
