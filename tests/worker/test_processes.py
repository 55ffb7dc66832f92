"""Processes: signals and exit codes, sudden death and rescue, and several at work on one queue."""

import signal
import time
from collections import Counter

import pytest

from pgq_orm import PgQueuer
from tests.databases import Driver, with_database
from tests.eventually import aeventually, eventually
from tests.worker.processes import WorkerProcess, worker_process
from tests.worker.queues import Queue
from tests.worker.workers import running, seconds

EX_TEMPFAIL = 75


def picked(queue: Queue) -> list[int]:
    return queue.scalars("SELECT id FROM pgq_job WHERE status = 'picked' ORDER BY id")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_what_runs_finish(queue: Queue, number: signal.Signals) -> None:
    runs, waits = queue.enqueue("sleep", [b"2", b"0"])
    with worker_process(queue, "--concurrency", "1") as process:
        process.await_handler(runs)
        process.send(number)
        assert process.await_end() == 0, process.output
    assert queue.statuses(runs) == ["successful"]
    assert queue.job(waits).status == "queued"
    assert queue.worker_ids() == []


def test_the_second_signal_gives_everything_back(queue: Queue) -> None:
    job_ids = queue.enqueue("sleep", [b"3600"] * 3)
    with worker_process(queue) as process:
        process.await_handler(*job_ids)
        process.send(signal.SIGTERM)
        process.send(signal.SIGINT)
        assert process.await_end() == 0, process.output
    assert [(job.status, job.attempts) for job in queue.jobs()] == [("queued", 0)] * 3
    assert queue.log() == []
    assert queue.worker_ids() == []


@pytest.mark.parametrize(
    "entrypoint", ["stuck in a thread", "stuck in a thread of its own", "deaf to cancellation"]
)
def test_no_handler_keeps_a_process_alive_after_the_second_signal(queue: Queue, entrypoint: str) -> None:
    job_ids = queue.enqueue(entrypoint, [None] * 40)
    with worker_process(queue) as process:
        eventually(lambda: picked(queue) == job_ids)
        process.await_handler(job_ids[0])
        process.send(signal.SIGTERM)
        process.send(signal.SIGINT)  # two of the same kind may be delivered as one
        assert process.await_end() == EX_TEMPFAIL, process.output
    assert {(job.status, job.attempts) for job in queue.jobs()} == {("queued", 0)}
    assert queue.log() == []


def test_a_handler_that_blocks_the_event_loop_does_not_keep_the_process_alive_either(queue: Queue) -> None:
    """Nothing can give its job back: that is left to the others."""
    [job_id] = queue.enqueue("blocks the loop")
    with worker_process(queue) as process:
        process.await_handler(job_id)
        process.send(signal.SIGTERM)
        time.sleep(0.2)  # two of the same kind may be delivered as one
        process.send(signal.SIGTERM)
        assert process.await_end() == EX_TEMPFAIL, process.output
    assert "blocks the event loop" in process.output
    assert picked(queue) == [job_id]


def test_a_polite_end_that_lasts_too_long_is_one_at_once(queue: Queue) -> None:
    [job_id] = queue.enqueue("sleep", b"3600")
    with worker_process(queue, "--shutdown-timeout", "0.3s") as process:
        process.await_handler(job_id)
        process.send(signal.SIGTERM)
        assert process.await_end() == 0, process.output
    assert (queue.job(job_id).status, queue.job(job_id).attempts) == ("queued", 0)


def test_it_ends_after_so_many_jobs(queue: Queue) -> None:
    queue.enqueue("sleep", [None] * 5)
    with worker_process(queue, "--max-jobs", "3") as process:
        assert process.await_end() == 0, process.output
    assert (len(queue.log()), len(queue.jobs())) == (3, 2)


def test_draining_ends_the_process(queue: Queue) -> None:
    queue.execute("CREATE TABLE ran (job_id bigint, pid integer)")
    queue.enqueue("record", [None] * 5)
    with worker_process(queue, "--drain") as process:
        assert process.await_end() == 0, process.output
    assert queue.statuses() == ["successful"] * 5


def test_a_worker_that_cannot_start_says_why_in_one_line(dsn: str, empty_dsn: str, queue: Queue) -> None:
    queue.execute("UPDATE pgq_version SET version = 99")
    complaints: dict[tuple[str, str, Driver], str] = {
        (empty_dsn, "working", "psycopg"): "pgq install",
        (empty_dsn, "working", "asyncpg"): "pgq install",
        (dsn, "working", "psycopg"): "99",
        (dsn, "idle", "psycopg"): "no entrypoint is registered",
        ("postgresql://somebody@localhost:1/x", "working", "psycopg"): "refused",
        ("postgresql://somebody@localhost:1/x", "working", "asyncpg"): "Connect",
        (with_database(dsn, "nowhere"), "working", "psycopg"): "does not exist",
        (with_database(dsn, "nowhere"), "working", "asyncpg"): "does not exist",
    }
    processes = {case: WorkerProcess(case[0], case[1], driver=case[2]) for case in complaints}
    for case, process in processes.items():
        assert process.await_end() == 1, process.output
        assert process.output.startswith("pgq: "), process.output
        assert complaints[case] in process.output
        assert "Traceback" not in process.output


@pytest.mark.parametrize(
    ("kind", "module"), [("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")]
)
def test_the_event_loop_is_the_fastest_that_is_installed_or_the_one_asked_for(
    queue: Queue, kind: str, module: str
) -> None:
    queue.enqueue("loop")
    with worker_process(queue, "--drain", "--loop", kind) as process:
        assert process.await_end() == 0, process.output
    assert [entry.result for entry in queue.log()] == [module]


# Sudden death


async def test_the_jobs_of_a_killed_process_are_rescued_and_the_attempt_counts(
    pgq: PgQueuer, queue: Queue
) -> None:
    attempts: list[int] = []
    pgq.entrypoint("sleep")(lambda job: attempts.append(job.attempts))
    [job_id] = queue.enqueue("sleep", b"3600")
    with worker_process(queue, "--heartbeat-timeout", "1") as process:
        eventually(lambda: picked(queue) == [job_id])
        [killed] = queue.worker_ids()
        process.kill()
    async with running(pgq, heartbeat_timeout=seconds(0.5)):
        await aeventually(lambda: not queue.jobs())
        assert killed not in queue.worker_ids()
    died, successful = queue.log(job_id)
    assert (died.status, died.retried, died.attempt, died.worker_id) == ("exception", True, 1, killed)
    assert died.error.startswith("WorkerDied")
    assert (successful.status, successful.attempt) == ("successful", 2)
    assert attempts == [1]


@pytest.mark.parametrize("own", [None, 2], ids=["crash_limit", "max_attempts"])
async def test_a_job_that_kills_its_process_ends_after_some_attempts(
    pgq: PgQueuer, queue: Queue, own: int | None
) -> None:
    """The one that rescues it knows no handler for it, and needs none."""
    pgq.entrypoint("something else")(lambda job: None)
    [job_id] = queue.enqueue("kill", b"input", max_attempts=own)
    options = {"heartbeat_timeout": seconds(0.5), "crash_limit": 2 if own is None else 100}
    async with running(pgq, **options):
        for deaths in (1, 2):
            process = WorkerProcess(queue.dsn, "working", "--heartbeat-timeout", "1")
            assert process.await_end() == -signal.SIGKILL
            await aeventually(lambda: len(queue.log(job_id)) == deaths)  # noqa: B023
    assert queue.jobs() == []
    first, last = queue.log(job_id)
    assert (first.retried, first.attempt, first.payload) == (True, 1, None)
    assert (last.retried, last.attempt, bytes(last.payload)) == (False, 2, b"input")
    assert last.error.startswith("WorkerDied")


# Together


def test_several_processes_run_each_job_once(queue: Queue) -> None:
    queue.execute("CREATE TABLE ran (job_id bigint, pid integer)")
    job_ids = queue.enqueue("record", [None] * 2000)
    processes = [
        WorkerProcess(queue.dsn, "working", "--batch-size", "20", "--concurrency", "20") for _ in range(3)
    ]
    try:
        eventually(lambda: queue.scalars("SELECT 1 FROM ran HAVING count(*) = 2000"), timeout=40)
    finally:
        for process in processes:
            process.send(signal.SIGTERM)
    assert [process.await_end() for process in processes] == [0, 0, 0]
    ran = queue.execute("SELECT job_id, pid FROM ran")
    assert Counter(run.job_id for run in ran) == Counter(job_ids)
    assert len({run.pid for run in ran}) > 1
    assert Counter(queue.statuses()) == {"successful": 2000}
    assert queue.jobs() == []
