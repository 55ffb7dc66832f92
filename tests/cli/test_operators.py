"""What an operator asks `pgq`: enqueue, cancel, what failed, what is to be done, who works, what recurs."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from pgq_orm.cli.app import app
from pgq_orm.sheets import age, printable
from tests.eventually import eventually
from tests.queries.workshop import Workshop

Pgq = Callable[..., str]
LATE = timedelta(hours=2, minutes=30)
"""So late that the hours stay the same however long a test takes."""


@pytest.fixture
def workshop(dsn: str) -> Iterator[Workshop]:
    """A worker's hands on the database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        workshop = Workshop(connection)
        workshop.register(workshop.worker_id)
        yield workshop


@pytest.fixture(params=["psycopg", "asyncpg"])
def pgq(request: pytest.FixtureRequest, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Pgq:
    """Runs the command on the test's database; gives what it says."""
    monkeypatch.setenv("PGQ_DSN", dsn.replace("postgresql:", f"postgresql+{request.param}:"))
    monkeypatch.setenv("COLUMNS", "200")

    def pgq(*arguments: str, exit_code: int = 0, given: str | None = None) -> str:
        result = CliRunner().invoke(app, arguments, input=given)
        assert result.exit_code == exit_code, result.output
        return result.output

    return pgq


def test_queue_enqueues_a_job(pgq: Pgq, workshop: Workshop) -> None:
    assert pgq("queue", "mail", "hello", "--priority", "5") == "job 1 is enqueued\n"
    job = workshop.job(1)
    assert (job.entrypoint, job.payload, job.priority, job.queue) == ("mail", b"hello", 5, "default")


def test_queue_takes_what_enqueue_takes(pgq: Pgq, workshop: Workshop) -> None:
    pgq(
        "queue",
        "mail",
        "--arguments",
        '{"to": "ann"}',
        "--delay",
        "60",
        "--queue",
        "slow",
        "--dedupe-key",
        "a",
    )
    job = workshop.job(1)
    assert (job.arguments, job.queue, job.dedupe_key) == ({"to": "ann"}, "slow", "a")
    assert (job.execute_after - job.created).total_seconds() == 60


def test_queue_reads_the_payload_from_standard_input(pgq: Pgq, workshop: Workshop) -> None:
    pgq("queue", "mail", "-", given="from a pipe")
    assert workshop.job(1).payload == b"from a pipe"


def test_a_duplicate_is_told_in_the_commands_own_words(pgq: Pgq, workshop: Workshop) -> None:
    pgq("queue", "mail", "--dedupe-key", "a")
    said = pgq("queue", "mail", "--dedupe-key", "a", exit_code=1)
    assert said.startswith("pgq: a job with the key 'a' is still to be done: --on-conflict skip leaves")
    assert "left out: 'a' is still" in pgq("queue", "mail", "--dedupe-key", "a", "--on-conflict", "skip")
    assert "job 1 is enqueued" in pgq("queue", "mail", "new", "--dedupe-key", "a", "--on-conflict", "update")
    assert workshop.job(1).payload == b"new"


@pytest.mark.parametrize("arguments", ["[1]", "{", "7"])
def test_arguments_that_are_no_json_object_are_refused(pgq: Pgq, workshop: Workshop, arguments: str) -> None:
    assert "--arguments" in pgq("queue", "mail", "--arguments", arguments, exit_code=2)
    assert workshop.value("SELECT count(*) FROM pgq_job") == 0


def test_what_cannot_be_enqueued_ends_in_one_line(pgq: Pgq) -> None:
    assert pgq("queue", "", exit_code=1) == "pgq: entrypoint must have 1 to 500 characters, not 0: ''\n"


def test_cancel_says_what_became_of_each_job(pgq: Pgq, workshop: Workshop) -> None:
    waiting, running = workshop.add("mail"), workshop.add("letter")
    workshop.pick(running)
    assert pgq("cancel", str(waiting), str(running), "99").splitlines() == [
        f"job {waiting} is canceled",
        f"job {running} runs, and is asked to stop",
        "job 99 is not to be found",
    ]
    assert workshop.job(waiting) is None


def test_failed_lists_the_latest_first_and_says_how_to_go_on(pgq: Pgq, workshop: Workshop) -> None:
    ids = [workshop.fail(workshop.add(), f"ValueError: number {number}") for number in range(3)]
    said = pgq("failed", "--limit", "2")
    assert "ValueError: number 2" in said
    assert "ValueError: number 0" not in said
    assert f"pgq requeue {ids[2]}" in said
    after = said.partition("--after ")[2].split()[0]
    assert "ValueError: number 0" in pgq("failed", "--after", after)


def test_an_error_cannot_command_the_terminal(pgq: Pgq, workshop: Workshop) -> None:
    workshop.fail(workshop.add(), "ValueError: \x1b[31m[bold]red[/bold]\nsecond line " + "x" * 500)
    said = pgq("failed")
    assert "[31m[bold]red[/bold]" in said
    assert "\x1b" not in said
    assert "second line" not in said
    assert "\x1b" not in pgq("failed", "--traceback")


def test_failed_shows_tracebacks_if_asked(pgq: Pgq, workshop: Workshop) -> None:
    workshop.fail(workshop.add(), "ValueError: no")
    assert "trace of ValueError: no" not in pgq("failed")
    assert "trace of ValueError: no" in pgq("failed", "--traceback")


def test_requeue_runs_jobs_again(pgq: Pgq, workshop: Workshop) -> None:
    job_id = workshop.fail(workshop.add("mail", b"a"))
    assert pgq("requeue", str(job_id)) == f"job {job_id} is enqueued again as job {job_id + 1}\n"
    assert workshop.job(job_id + 1).payload == b"a"


def test_requeue_names_what_cannot_be(pgq: Pgq, workshop: Workshop) -> None:
    job_id = workshop.fail(workshop.add())
    said = pgq("requeue", str(job_id), "99", exit_code=1)
    assert said == (
        "pgq: nothing is requeued; --skip-refused leaves out what cannot be, --force runs again, too, what has been "
        "run again and has ended:\n  job 99 is not to be found\n"
    )
    requeued, left_out = pgq("requeue", str(job_id), "99", "--skip-refused").splitlines()
    assert requeued.startswith(f"job {job_id} is enqueued again as job ")
    assert left_out == "job 99 is left out"


def test_a_failure_that_was_dealt_with_is_not_listed_and_runs_again_only_by_force(
    pgq: Pgq, workshop: Workshop
) -> None:
    job_id = workshop.fail(workshop.add("mail"))
    pgq("requeue", str(job_id))
    workshop.finish(job_id + 1)
    assert pgq("failed") == "No job has failed.\n"
    said = pgq("requeue", str(job_id), exit_code=1)
    assert f"job {job_id} was enqueued again, as job {job_id + 1}, which succeeded" in said
    assert pgq("requeue", str(job_id), "--force").startswith(f"job {job_id} is enqueued again as job ")


def test_schedules_are_listed_paused_resumed_run_and_removed(pgq: Pgq, workshop: Workshop) -> None:
    schedule_id = workshop.add_schedule("sweep")
    workshop.add_schedule("rake")
    said = pgq("schedules")
    assert "sweep" in said
    assert "2100-01-01 00:00:00Z" in said
    said = pgq("schedules", "--pause", "sweep", "--run-now", "rake")
    assert "job 1 is enqueued" in said
    assert "left out, the job of a tick before is still to be done" in pgq("schedules", "--run-now", "rake")
    assert workshop.value("SELECT paused FROM pgq_schedule WHERE id = %s", schedule_id)
    assert workshop.value("SELECT entrypoint FROM pgq_job") == "rake"
    assert "sweep" in pgq("schedules", "--resume", str(schedule_id), "--remove", "rake")
    assert workshop.value("SELECT array_agg(entrypoint) FROM pgq_schedule WHERE NOT paused") == ["sweep"]


def test_a_schedule_that_is_not_there_changes_nothing(pgq: Pgq, workshop: Workshop) -> None:
    workshop.add_schedule("sweep")
    said = pgq("schedules", "--pause", "sweep", "--remove", "swep", exit_code=1)
    assert "no schedule 'swep' in the database: did you mean 'sweep'?" in said
    assert not workshop.value("SELECT paused FROM pgq_schedule")


def test_the_dashboard_shows_what_is_to_be_done_what_was_and_who_works(pgq: Pgq, workshop: Workshop) -> None:
    workshop.pick(workshop.add("mail"))
    workshop.add("mail", execute_after=-LATE)
    workshop.fail(workshop.add("letter"))
    workshop.finish(workshop.add("telegram"))
    lines = [" ".join(line.replace("│", " ").split()) for line in pgq("dashboard").splitlines()]
    assert "To be done" in lines
    assert "default mail 1 1 2 h" in lines
    assert "Done in the last 5 min" in lines
    assert "default letter 1 0.2" in lines
    assert "Workers" in lines
    assert any(line.startswith("here 1 default 1") for line in lines)


def test_the_dashboard_shows_what_holds_jobs_up(pgq: Pgq, workshop: Workshop) -> None:
    for entrypoint, queue in (("mail", "default"), ("mial", "default"), ("mail", "slow")):
        workshop.add(entrypoint, queue=queue, execute_after=-LATE)
    pgq("queues", "pause", "slow")
    pgq("queues", "pause", "idle", "--until", "2100-01-31T08:00+00:00")
    lines = [" ".join(line.replace("│", " ").split()) for line in pgq("dashboard").splitlines()]
    assert "default mail 1 2 h" in lines
    assert "default mial 1 2 h no worker" in lines
    assert "slow mail 1 2 h paused, no worker" in lines
    assert any(line.startswith("idle paused until 2100-01-31") for line in lines)


def test_an_empty_queue_says_so(pgq: Pgq) -> None:
    said = pgq("dashboard", "--last", "60")
    for sentence in ("Nothing is to be done.", "Nothing was done in the last 1 h.", "No worker is alive."):
        assert sentence in said
    assert "No job has failed." in pgq("failed")
    assert "There are no schedules" in pgq("schedules")
    assert "No worker is alive." in pgq("workers")


def test_lists_can_be_read_by_programs(pgq: Pgq, workshop: Workshop) -> None:
    def read(*arguments: str) -> Any:
        return json.loads(pgq(*arguments, "--json"))

    job_id = workshop.fail(workshop.add("mail", b"four"), "ValueError: no")
    workshop.add_schedule("sweep")
    [failed] = read("failed")
    assert (failed["id"], failed["error"], failed["payload"]) == (job_id, "ValueError: no", {"bytes": 4})
    [schedule] = read("schedules")
    assert (schedule["entrypoint"], schedule["paused"]) == ("sweep", False)
    [worker] = read("workers")
    assert (worker["hostname"], worker["queues"]) == ("here", ["default"])


def test_a_live_dashboard_ends_at_ctrl_c(dsn: str) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "pgq_orm", "dashboard", "--dsn", dsn, "--interval", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            # each look is a connection of its own, and cannot be missed while it has to wait
            seen: set[int] = set()
            while len(seen) < 3:
                with psycopg.connect(dsn) as holder:
                    holder.execute("LOCK TABLE pgq_job")
                    seen |= eventually(lambda: waiting_for_a_lock(connection))
        watching.send_signal(2)
        output, errors = watching.communicate(timeout=30)
    finally:
        watching.kill()
    assert (watching.returncode, errors) == (0, "")
    assert "Nothing is to be done." in output


def waiting_for_a_lock(connection: psycopg.Connection) -> set[int]:
    """Who waits until somebody lets go of the table."""
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'"
    )
    return {pid for (pid,) in found}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_lines_may_be_kept() -> None:
    assert printable("a\n\tb\x1b", but="\n\t") == "a\n\tb "


def test_cancel_tells_what_has_ended_from_what_is_not_known(pgq: Pgq, workshop: Workshop) -> None:
    job_id = workshop.fail(workshop.add())
    assert pgq("cancel", str(job_id), "99").splitlines() == [
        f"job {job_id} has ended already, as exception",
        "job 99 is not to be found",
    ]


def test_a_delay_is_written_as_durations_are_elsewhere(pgq: Pgq, workshop: Workshop) -> None:
    pgq("queue", "mail", "--delay", "8h")
    job = workshop.job(1)
    assert job.execute_after - job.created == timedelta(hours=8)
    assert "'soon' is no duration" in pgq("queue", "mail", "--delay", "soon", exit_code=2)


def test_an_entrypoint_that_no_worker_has_is_told_and_enqueued_all_the_same(
    pgq: Pgq, workshop: Workshop
) -> None:
    said = pgq("queue", "mial")
    assert "pgq: no living worker has an entrypoint 'mial'; did you mean 'mail'?" in said
    assert workshop.job(1).entrypoint == "mial"


def test_a_queue_is_removed_unless_it_holds_jobs(pgq: Pgq, workshop: Workshop) -> None:
    workshop.add(queue="reports")
    pgq("queues", "pause", "reports", "reprots")
    said = pgq("queues", "remove", "reports", "reprots", exit_code=1)
    assert "nothing is removed: jobs are to be done in the queue 'reports' (1): cancel them first" in said
    assert pgq("queues", "remove", "reprots") == "removed: reprots\n"


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_database_that_cannot_be_reached_is_named_without_its_password(pgq: Pgq, driver: str) -> None:
    said = pgq("workers", "--dsn", f"postgresql+{driver}://ann:secret@127.0.0.1:1/shop", exit_code=1)
    assert said.startswith(
        f"pgq: cannot connect to the database postgresql+{driver}://ann@127.0.0.1:1/shop (from --dsn or PGQ_DSN): "
    )
    assert "secret" not in said
