"""Reloading: a worker that starts afresh when its code changes, and waits for the change that mends it."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.worker.processes import WorkerProcess
from tests.worker.queues import Queue

APPLICATION = """
import asyncio, os
from pgq_orm import PgQueuer
from sqlalchemy.ext.asyncio import create_async_engine
from words import WORD

pgq = PgQueuer(create_async_engine(os.environ["QUEUE_URL"]))

@pgq.entrypoint("say")
async def say(job):
    return WORD

@pgq.entrypoint("sleep")
async def sleep(job):
    print(f"begins job {job.id}.", flush=True)
    await asyncio.sleep(float(job.payload))
"""


@pytest.fixture
def reloading(dsn: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    write(tmp_path, "application.py", APPLICATION)
    write(tmp_path, "words.py", "WORD = 'one'")
    process = WorkerProcess(dsn, "application:pgq", "--reload", directory=tmp_path)
    yield process
    process.clear_away()


def write(directory: Path, name: str, text: str) -> None:
    # at once, so that nobody reads half of it
    (directory / f"{name}.new").write_text(text)
    (directory / f"{name}.new").rename(directory / name)


def says(queue: Queue) -> str:
    [job_id] = queue.enqueue("say")
    [entry] = eventually(lambda: queue.log(job_id), timeout=30)
    result: str = entry.result
    return result


def until(queue: Queue, word: str) -> Callable[[], bool]:
    return lambda: says(queue) == word


def test_a_change_of_any_module_of_the_application_is_taken_up(
    reloading: WorkerProcess, queue: Queue, tmp_path: Path
) -> None:
    assert says(queue) == "one"
    write(tmp_path, "words.py", "WORD = 'two'")
    eventually(until(queue, "two"), timeout=30)
    reloading.send(signal.SIGINT)
    assert reloading.await_end() == 0, reloading.output
    assert "words.py has changed" in reloading.output
    assert queue.worker_ids() == []


@pytest.mark.parametrize("mistake", ["WORD =", "import a_module_that_is_missing", "raise SystemExit(3)"])
def test_a_mistake_is_shown_and_waits_for_its_correction(
    reloading: WorkerProcess, queue: Queue, tmp_path: Path, mistake: str
) -> None:
    assert says(queue) == "one"
    write(tmp_path, "words.py", mistake)
    eventually(lambda: queue.worker_ids() == [], timeout=30)
    if "missing" in mistake:
        write(tmp_path, "a_module_that_is_missing.py", "")
        write(tmp_path, "words.py", "import a_module_that_is_missing; WORD = 'two'")
    else:
        write(tmp_path, "words.py", "WORD = 'two'")
    eventually(until(queue, "two"), timeout=30)
    reloading.send(signal.SIGINT)
    assert reloading.await_end() == 0, reloading.output


def test_what_runs_when_the_code_changes_is_finished_or_given_back(
    reloading: WorkerProcess, queue: Queue, tmp_path: Path
) -> None:
    assert says(queue) == "one"
    short, long = queue.enqueue(["sleep"] * 2, [b"1", b"30"])  # type: ignore[arg-type]
    reloading.await_handler(short, long)
    write(tmp_path, "words.py", "WORD = 'two'")
    eventually(until(queue, "two"), timeout=30)
    assert queue.statuses(short) == ["successful"]
    assert queue.statuses(long) == []
    assert queue.job(long).attempts == 0
