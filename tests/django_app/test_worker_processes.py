"""`manage.py pgq_worker --processes`, `--probe-port` and `--reload`: as `pgq run` does, the way Django does it."""

import json
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from pgq_orm_django import enqueue
from pgq_orm_django.management.commands.pgq_worker import Command
from pgq_orm_django.models import Job, Log, Worker
from tests.databases import django_database
from tests.django_app.shop.models import Order
from tests.eventually import eventually
from tests.executors.processes import is_alive
from tests.worker.options import ALONE, pgq_options
from tests.worker.probes import Probe, free_port

ROOT = Path(__file__).parents[2]


class Manage:
    """`manage.py pgq_worker`, and whatever it says."""

    def __init__(self, log: Path, environment: dict[str, str], *options: str) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.django_app.manage", "pgq_worker", *options],
                cwd=log.parent,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> tuple[int, str]:
        """Waits for the process; its exit code and all that it has said."""
        return self._process.wait(timeout=60), self.output


Start = Callable[..., Manage]


@pytest.fixture
def start(db: str, tmp_path: Path) -> Iterator[Start]:
    """Starts `manage.py pgq_worker`; it is gone after the test."""
    started: list[Manage] = []

    def start(*options: str, **environment: str) -> Manage:
        environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            "PGQ_TEST_DATABASES": json.dumps({"default": django_database(db)}),
        } | environment
        started.append(Manage(tmp_path / f"worker-{len(started)}.log", environment, *options))
        return started[-1]

    yield start
    for manage in started:
        manage.kill()


def pids() -> list[int]:
    return sorted(Worker.objects.alive().values_list("pid", flat=True))


def two_pids(*, without: int | None = None) -> list[int]:
    """Those of two processes that live, as soon as there are two."""

    def found() -> list[int]:
        living = pids()
        return living if len(living) == 2 and without not in living else []

    return eventually(found)


# Several processes


def test_several_processes_drain_the_queue(start: Start) -> None:
    for number in map(str, range(10)):
        Order.objects.create(number=number)
        enqueue(["send_receipt", "send_receipt_later"], number.encode())
    code, output = start("--processes", "2", "--drain").end()
    assert code == 0, output
    assert set(Order.objects.values_list("receipts", flat=True)) == {2}
    assert (Job.objects.count(), Worker.objects.count()) == (0, 0)
    assert output.count("Database 'default'") == 1


def test_a_killed_process_is_replaced_and_none_outlives_its_supervisor(start: Start) -> None:
    supervisor = start("--processes", "2", "--heartbeat-timeout", "1")
    victim, other = two_pids()
    os.kill(victim, signal.SIGKILL)
    children = two_pids(without=victim)
    assert other in children
    supervisor.kill()
    eventually(lambda: not any(map(is_alive, children)))


def test_told_to_end_all_of_them_end(start: Start) -> None:
    supervisor = start("--processes", "2")
    two_pids()
    supervisor.send(signal.SIGTERM)
    assert supervisor.end()[0] == 0, supervisor.output
    assert pids() == []


def test_missing_tables_end_them_all_with_the_command_to_run(start: Start, bare_db: str) -> None:
    databases = json.dumps({"other": django_database(bare_db)})
    supervisor = start("--processes", "2", "--database", "other", PGQ_TEST_DATABASES=databases)
    code, output = supervisor.end()
    assert code == 1
    assert output.count("CommandError: the database has no pgq-orm tables") == 1, output
    assert "Traceback" not in output


def test_it_ends_after_so_many_jobs(start: Start) -> None:
    enqueue("mail", [None] * 5)
    code, output = start("--max-jobs", "3").end()
    assert code == 0, output
    assert (Log.objects.count(), Job.objects.count()) == (3, 2)


# The probe


@pytest.mark.parametrize("options", [(), ("--processes", "1")])
def test_it_tells_how_it_fares(start: Start, options: tuple[str, ...]) -> None:
    probe = Probe(free_port())
    start("--probe-host", "127.0.0.1", "--probe-port", str(probe.port), *options)
    probe.await_ready()
    assert probe.processes()[0]["worker_id"] == str(Worker.objects.get().id)


# What cannot be


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--processes", "0"], "argument --processes: 0 is out of bounds, expected at least 1"),
        (["--processes", "two"], "argument --processes: invalid int value: 'two'"),
        (["--probe-port", "65536"], "argument --probe-port: 65536 is out of bounds, expected 0 to 65535"),
        (["--max-time", "5y"], "argument --max-time: '5y' is no duration"),
        (["--reload", "--processes", "2"], "leave --processes out"),
        (["--reload", "--drain"], "--drain ends by itself"),
    ],
)
def test_flags_that_cannot_be_obeyed_are_refused(options: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("pgq_worker", *options)


def test_it_has_the_options_of_pgq_run_with_the_same_defaults_and_words() -> None:
    parser = ArgumentParser(add_help=False)
    Command().add_arguments(parser)
    djangos = {action.option_strings[0]: action for action in parser._actions}
    ours = pgq_options()
    assert set(ours) - ALONE == set(djangos) - {"--database"}
    for name in set(ours) - ALONE:
        assert (ours[name].default or None) == (djangos[name].default or None), name
        assert (djangos[name].help or "").startswith(ours[name].help), name


# Reloading

SETTINGS = """
from tests.django_app.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "notes"]
"""

TASKS = """
from pgq_orm_django import entrypoint
from notes.words import WORD

@entrypoint("say")
def say(job):
    return WORD
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """An app of another project."""
    directory = tmp_path / "notes"
    directory.mkdir()
    (tmp_path / "notes_settings.py").write_text(SETTINGS)
    (directory / "__init__.py").write_text("")
    (directory / "tasks.py").write_text(TASKS)
    (directory / "words.py").write_text("WORD = 'one'")
    return directory


def says() -> object:
    job = Job.objects.create(entrypoint="say")
    eventually(lambda: Log.objects.filter(job_id=job.id).exists(), timeout=30)
    return Log.objects.get(job_id=job.id).result


def test_it_starts_afresh_when_the_code_changes_and_waits_for_the_correction_of_a_mistake(
    start: Start, notes: Path
) -> None:
    worker = start("--reload", DJANGO_SETTINGS_MODULE="notes_settings")
    assert says() == "one"
    [first] = pids()
    words = notes / "words.py"

    def change(text: str) -> None:
        (notes / "new").write_text(text)
        (notes / "new").rename(words)

    def takes_up(text: str, is_taken_up: Callable[[], bool]) -> None:
        """Changes it again and again: Django's reloader takes what it sees first for unchanged."""

        def check() -> bool:
            change(text)
            time.sleep(0.2)
            return is_taken_up()

        eventually(check, timeout=30)

    takes_up("WORD =", lambda: "Waiting for a change" in worker.output)
    takes_up("WORD = 'two'", lambda: bool(pids()))
    assert says() == "two"
    assert first not in pids()
    worker.send(signal.SIGINT)
    code, output = worker.end()
    assert code == 0, output
    assert "SyntaxError" in output
    assert "words.py has changed" in output
    assert pids() == []
