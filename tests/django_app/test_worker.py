"""`manage.py pgq_worker`: a real process, on real jobs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from pgq_orm_django import enqueue
from pgq_orm_django.models import Job, Log, Worker
from tests.databases import django_database, with_database
from tests.django_app.shop.models import Order
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """`manage.py pgq_worker`, and whatever it says."""

    def __init__(self, log: Path, dsns: dict[str, str], *options: str) -> None:
        databases = {alias: django_database(dsn) for alias, dsn in dsns.items()}
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.django_app.manage", "pgq_worker", *options],
                cwd=ROOT,
                env={**os.environ, "PGQ_TEST_DATABASES": json.dumps(databases), "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, str]:
        """Waits for the process; its exit code and all that it has said."""
        return self._process.wait(timeout=60), self.output

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start_worker(db: str, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start(*options: str, **other_dsns: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(WorkerProcess(log, {"default": db} | other_dsns, *options))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


def place(number: str) -> None:
    Order.objects.create(number=number)


def test_it_drains_the_queue_with_sync_and_async_handlers(start_worker: Callable[..., WorkerProcess]) -> None:
    for number in ("one", "two"):
        place(number)
        enqueue(["send_receipt", "send_receipt_later"], number.encode())
    code, output = start_worker("--drain").end()
    assert code == 0, output
    assert list(Order.objects.values_list("receipts", flat=True)) == [2, 2]
    assert (Job.objects.count(), Log.objects.successful().count(), Worker.objects.count()) == (0, 6, 0)


def test_it_says_what_it_runs(start_worker: Callable[..., WorkerProcess]) -> None:
    _, output = start_worker("--drain", "--queue", "slow", "--queue", "fast").end()
    assert "'default'" in output
    assert "queues: slow, fast" in output
    assert "send_receipt: tests.django_app.shop.tasks.send_receipt" in output


def test_it_says_nothing_if_told_so(start_worker: Callable[..., WorkerProcess]) -> None:
    assert start_worker("--drain", "--verbosity", "0").end() == (0, "")


def test_it_leaves_other_queues_alone(start_worker: Callable[..., WorkerProcess]) -> None:
    enqueue("mail", queue=["default", "slow"])
    start_worker("--drain", "--queue", "slow").end()
    assert Job.objects.get().queue == "default"


def test_it_works_on_another_database(start_worker: Callable[..., WorkerProcess], other_db: str) -> None:
    enqueue("mail")
    enqueue("mail", using="other")
    code, output = start_worker("--drain", "--database", "other", other=other_db).end()
    assert code == 0, output
    assert (Job.objects.count(), Job.objects.using("other").count()) == (1, 0)


def test_missing_tables_end_it_with_the_command_to_run(
    start_worker: Callable[..., WorkerProcess], bare_db: str
) -> None:
    code, output = start_worker("--database", "other", other=bare_db).end()
    assert code == 1
    assert "CommandError: the database has no pgq-orm tables" in output
    assert "python manage.py migrate pgq_orm_django --database=other" in output
    assert "Traceback" not in output


def test_a_database_out_of_reach_ends_it_with_one_line(
    start_worker: Callable[..., WorkerProcess], db: str
) -> None:
    code, output = start_worker("--database", "other", other=with_database(db, "no_such_database")).end()
    assert code == 1
    assert "no_such_database" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("door", ["enqueue", "create", "bulk_create"])
def test_an_idle_worker_is_woken(door: str, start_worker: Callable[..., WorkerProcess]) -> None:
    start_worker()
    eventually(Worker.objects.alive().exists)
    enqueue("mail")
    eventually(Log.objects.exists)
    {
        "enqueue": lambda: enqueue("mail"),
        "create": lambda: Job.objects.create(entrypoint="mail"),
        "bulk_create": lambda: Job.objects.bulk_create([Job(entrypoint="mail")]),
    }[door]()
    eventually(lambda: Log.objects.count() == 2, timeout=20)  # it looks by itself every 30 s


def test_it_survives_the_loss_of_all_its_connections(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    with connection.cursor() as cursor:
        # ours, of this thread and of those that other tests have left
        cursor.execute("SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database()")
        [others] = cursor.fetchone()
        worker = start_worker()
        # not as soon as its row is there: without an answer to its registration it would have ended
        eventually(
            lambda: f"Worker {Worker.objects.values_list('id', flat=True).first()} runs" in worker.output
        )
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> ALL (%s)",
            [others],
        )
        [killed] = cursor.fetchone()
    assert killed > 0
    enqueue("mail")
    eventually(Log.objects.successful().exists)


def test_told_to_end_it_finishes_what_runs_and_leaves_the_rest(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    running, waiting = enqueue("wait_for_order", priority=[1, 0])
    worker = start_worker("--concurrency", "1")
    eventually(Order.objects.exists)
    worker.terminate()
    eventually(lambda: "Finishing what runs" in worker.output)
    place("ended")
    code, output = worker.end()
    assert code == 0, output
    assert Log.objects.successful().get().job_id == running
    job = Job.objects.get()
    assert (job.id, job.status, job.attempts) == (waiting, "queued", 0)
    assert not Worker.objects.exists()


@pytest.mark.parametrize("entrypoint", ["wait_for_ever", "wait_for_order"])
def test_told_twice_it_gives_back_what_runs(
    entrypoint: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    enqueue(entrypoint)
    worker = start_worker()
    eventually(Order.objects.exists)
    worker.terminate()
    eventually(lambda: "Finishing what runs" in worker.output)
    worker.terminate()
    worker.end()
    job = Job.objects.get()
    assert (job.status, job.attempts, job.worker_id) == ("queued", 0, None)
    assert not Log.objects.exists()
