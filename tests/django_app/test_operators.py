"""`manage.py pgq_dashboard`, `pgq_jobs`, `pgq_schedules` and the others: an operator looks, and mends."""

import json
import re
from argparse import ArgumentParser, _SubParsersAction
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import BaseCommand, CommandError, call_command, load_command_class
from django.test import override_settings
from typer.main import get_command

from pgq_orm.cli.app import app
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
    enqueue(["mail", "mail"], execute_after=-timedelta(hours=2, minutes=30))
    a_failure(7)
    a_worker(queues=["default"], entrypoints=["mail"])
    said = lines(manage("pgq_dashboard"))
    assert "queue entrypoint waiting queued picked late by held up" in said
    assert "default mail 2 2 h" in said
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


def test_a_job_is_enqueued() -> None:
    given = ["--arguments", '{"to": "ann"}', "--priority", "5", "--delay", "60", "--dedupe-key", "a"]
    assert manage("pgq_jobs", "enqueue", "mail", *given) == f"job {Job.objects.get().pk} is enqueued\n"
    job = Job.objects.get()
    assert (job.entrypoint, job.arguments, job.priority, job.dedupe_key) == ("mail", {"to": "ann"}, 5, "a")
    assert job.execute_after - job.created == timedelta(minutes=1)
    with pytest.raises(CommandError, match="--on-conflict skip leaves this one out"):
        manage("pgq_jobs", "enqueue", "mail", "--dedupe-key", "a")
    assert "left out" in manage("pgq_jobs", "enqueue", "mail", "--dedupe-key", "a", "--on-conflict", "skip")


def test_what_cannot_be_enqueued_is_told_in_one_line() -> None:
    with pytest.raises(CommandError, match="did you mean 'mail'"):
        manage("pgq_jobs", "enqueue", "mial")
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        assert "is enqueued" in manage("pgq_jobs", "enqueue", "mial", "to ann")
    assert bytes(Job.objects.get().payload or b"") == b"to ann"
    with pytest.raises(CommandError, match="--arguments is not JSON"):
        manage("pgq_jobs", "enqueue", "mail", "--arguments", "{")


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
    a_log(job_id=98)
    assert lines(manage("pgq_jobs", "cancel", str(job_id), "98", "99")) == [
        f"job {job_id} is canceled",
        "job 98 has ended already, as successful",
        "job 99 is not to be found",
    ]


def test_a_delay_is_written_as_durations_are_elsewhere() -> None:
    manage("pgq_jobs", "enqueue", "mail", "--delay", "8h")
    job = Job.objects.get()
    assert job.execute_after - job.created == timedelta(hours=8)
    with pytest.raises(CommandError, match="'soon' is no duration"):
        manage("pgq_jobs", "enqueue", "mail", "--delay", "soon")


def test_an_entrypoint_that_no_worker_has_is_told_and_enqueued_all_the_same() -> None:
    a_worker(queues=["default"], entrypoints=["mail"])
    errors = StringIO()
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        call_command("pgq_jobs", "enqueue", "mial", stdout=StringIO(), stderr=errors)
    assert errors.getvalue() == "no living worker has an entrypoint 'mial'; did you mean 'mail'?\n"
    assert Job.objects.get().entrypoint == "mial"


def test_a_queue_is_removed_unless_it_holds_jobs() -> None:
    enqueue("mail", queue="reports")
    manage("pgq_queues", "pause", "reports", "reprots")
    with pytest.raises(CommandError, match=r"nothing is removed: .* 'reports' \(1\): cancel them first"):
        manage("pgq_queues", "remove", "reports", "reprots")
    assert lines(manage("pgq_queues", "remove", "reprots", "letters")) == [
        "removed: reprots",
        "letters: nothing was said of it",
    ]
    assert "reprots" not in manage("pgq_queues", "list")


def test_schedules_are_told_what_to_do() -> None:
    schedule = a_schedule()
    assert "balance 0 * * * * UTC default yes" in " ".join(lines(manage("pgq_schedules", "pause", "balance")))
    assert Schedule.objects.get().paused
    manage("pgq_schedules", "resume", str(schedule.pk))
    assert f"schedule {schedule.pk}: job " in manage("pgq_schedules", "run", "balance")
    assert "the job of a tick before" in manage("pgq_schedules", "run", "balance")
    assert "There are no schedules" in manage("pgq_schedules", "remove", "balance")


def test_queues_are_limited() -> None:
    enqueue("mail", queue="mail")
    assert manage("pgq_queues", "limit", "mail", "--concurrency", "4") == "mail: 4 at a time in each worker\n"
    assert manage("pgq_queues", "limit", "mail", "--rate", "100", "--window", "60").endswith(
        "100 start in 60 s\n"
    )
    assert manage("pgq_queues", "limit", "mail", "--concurrency", "0") == "mail: 100 start in 60 s\n"
    with pytest.raises(CommandError, match="-1 is out of bounds"):
        manage("pgq_queues", "limit", "mail", "--rate=-1")


def test_a_queue_that_nobody_knew_is_told() -> None:
    enqueue("mail", queue="reports")
    said = manage("pgq_queues", "pause", "reprots").splitlines()
    assert said == [
        "paused: reprots",
        "reprots: no such queue was known, it is created; did you mean 'reports'?",
    ]


def test_programs_are_given_json() -> None:
    a_schedule()
    a_worker(pid=4711)
    assert json.loads(manage("pgq_schedules", "list", "--json"))[0]["entrypoint"] == "balance"
    assert json.loads(manage("pgq_workers", "--json"))[0]["pid"] == 4711
    assert "4711" in manage("pgq_workers")


TWINS = {
    "queue": ("pgq_jobs", "enqueue"),
    "cancel": ("pgq_jobs", "cancel"),
    "failed": ("pgq_jobs", "failed"),
    "requeue": ("pgq_jobs", "requeue"),
    "dashboard": ("pgq_dashboard",),
    "workers": ("pgq_workers",),
    "schedules": ("pgq_schedules", "list"),
    "queues list": ("pgq_queues", "list"),
    "queues pause": ("pgq_queues", "pause"),
    "queues resume": ("pgq_queues", "resume"),
    "queues limit": ("pgq_queues", "limit"),
    "queues remove": ("pgq_queues", "remove"),
}
ELSEWHERE = {"run", "install", "upgrade", "uninstall", "sql"}
"""`pgq_worker`, which has a test like this one, and `migrate`."""
AS_VERBS = {"--pause", "--resume", "--run-now", "--remove", "-r"}
"""Options of `pgq schedules` that are verbs of `pgq_schedules`."""


def commands_of_pgq() -> dict[str, Any]:
    root: Any = get_command(app)
    commands = dict(root.commands)
    for name, command in commands.pop("queues").commands.items():
        commands[f"queues {name}"] = command
    return commands


def djangos_options(name: str, verb: str | None = None) -> set[str]:
    """The options of a command, or of one of its verbs, that Django has not given it."""
    parser: Any = load_command_class("pgq_orm_django", name).create_parser("manage.py", name)
    if verb is None:
        return (
            options_of(parser) - options_of(BaseCommand().create_parser("manage.py", name)) - {"--database"}
        )
    [verbs] = (action for action in parser._actions if isinstance(action, _SubParsersAction))
    return options_of(verbs.choices[verb]) - {"-h", "--help"}


def options_of(parser: ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("name", TWINS)
def test_a_command_has_the_options_of_its_twin(name: str) -> None:
    options = {option for param in commands_of_pgq()[name].params for option in param.opts}
    ours = {option for option in options if option.startswith("-")} - {"--dsn"} - AS_VERBS
    assert djangos_options(*TWINS[name]) == ours


def test_every_command_has_a_twin() -> None:
    assert set(commands_of_pgq()) - ELSEWHERE == set(TWINS)


def test_a_schedule_that_is_not_there_is_told_with_a_guess() -> None:
    a_schedule()
    with pytest.raises(CommandError, match="did you mean 'balance'"):
        manage("pgq_schedules", "pause", "balace")


def test_another_database_can_be_meant(other_db: str) -> None:
    enqueue("mail", using="other")
    assert "Nothing is to be done." in manage("pgq_dashboard")
    assert "Nothing is to be done." not in manage("pgq_dashboard", "--database", "other")
