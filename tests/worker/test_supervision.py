"""Supervision: several processes under one, which die alone, are replaced, and never outlive it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.executors.processes import is_alive
from tests.worker.processes import WorkerProcess
from tests.worker.queues import Queue

EX_TEMPFAIL = 75


def pids(queue: Queue) -> list[int]:
    """The processes whose workers say they live."""
    return sorted(queue.scalars("SELECT pid FROM pgq_worker"))


def picked(queue: Queue) -> list[int]:
    return queue.scalars("SELECT id FROM pgq_job WHERE status = 'picked' ORDER BY id")


@contextmanager
def supervised(queue: Queue, processes: int, *options: str) -> Iterator[WorkerProcess]:
    """So many processes, all at work; none is left at the end of the block."""
    supervisor = WorkerProcess(queue.dsn, "working", "--processes", str(processes), *options)
    try:
        eventually(lambda: len(pids(queue)) == processes, timeout=30)
        yield supervisor
    finally:
        supervisor.clear_away()


def all_gone(children: list[int]) -> bool:
    return not any(map(is_alive, children))


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_every_process_finish_what_it_runs(
    queue: Queue, number: signal.Signals
) -> None:
    with supervised(queue, 2, "--concurrency", "1") as supervisor:
        children = pids(queue)
        queue.enqueue("sleep", [b"2"] * 5)
        eventually(lambda: len(picked(queue)) == 2)
        supervisor.await_handler(*picked(queue))
        supervisor.send(number)
        assert supervisor.await_end() == 0, supervisor.output
    assert queue.statuses() == ["successful"] * 2
    assert {job.status for job in queue.jobs()} == {"queued"}
    assert pids(queue) == []
    assert all_gone(children)


def test_the_second_signal_gives_everything_back(queue: Queue) -> None:
    with supervised(queue, 2, "--concurrency", "1") as supervisor:
        queue.enqueue("sleep", [b"3600"] * 2)
        eventually(lambda: len(picked(queue)) == 2)
        supervisor.await_handler(*picked(queue))
        supervisor.send(signal.SIGTERM)
        supervisor.send(signal.SIGINT)
        assert supervisor.await_end() == 0, supervisor.output
    assert [(job.status, job.attempts) for job in queue.jobs()] == [("queued", 0)] * 2
    assert pids(queue) == []


def test_signals_that_a_service_manager_sends_to_every_process_still_mean_to_finish(queue: Queue) -> None:
    with supervised(queue, 2, "--concurrency", "1") as supervisor:
        queue.enqueue("sleep", [b"1"] * 2)
        eventually(lambda: len(picked(queue)) == 2)
        supervisor.await_handler(*picked(queue))
        for pid in (supervisor.pid, *pids(queue)):
            os.kill(pid, signal.SIGTERM)
        assert supervisor.await_end() == 0, supervisor.output
    assert queue.statuses() == ["successful"] * 2


def test_a_process_that_cannot_be_interrupted_does_not_hold_up_the_end(queue: Queue) -> None:
    with supervised(queue, 1) as supervisor:
        [job_id] = queue.enqueue("blocks the loop")
        supervisor.await_handler(job_id)
        children = pids(queue)
        supervisor.send(signal.SIGTERM)
        supervisor.send(signal.SIGINT)
        assert supervisor.await_end() == EX_TEMPFAIL, supervisor.output
    assert all_gone(children)


def test_no_process_outlives_a_supervisor_that_was_killed(queue: Queue) -> None:
    with supervised(queue, 2) as supervisor:
        queue.enqueue(["sleep", "blocks the loop", "stuck in a thread"], [b"3600"] * 3)  # type: ignore[arg-type]
        eventually(lambda: len(picked(queue)) == 3)
        children = pids(queue)
        os.kill(supervisor.pid, signal.SIGKILL)
        eventually(lambda: all_gone(children))


def test_when_all_have_drained_the_queue_they_end(queue: Queue) -> None:
    queue.execute("CREATE TABLE ran (job_id bigint, pid integer)")
    queue.enqueue("record", [None] * 50)
    supervisor = WorkerProcess(queue.dsn, "working", "--processes", "2", "--drain")
    assert supervisor.await_end() == 0, supervisor.output
    assert queue.statuses() == ["successful"] * 50
    assert pids(queue) == []


# Replacement


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_is_replaced_and_the_others_do_not_mind(
    queue: Queue, number: signal.Signals
) -> None:
    with supervised(queue, 2, "--heartbeat-timeout", "1") as supervisor:
        victim, other = pids(queue)
        os.kill(victim, number)
        eventually(lambda: victim not in pids(queue) and len(pids(queue)) == 2, timeout=30)
        assert other in pids(queue)
        supervisor.send(signal.SIGTERM)
        assert supervisor.await_end() == 0, supervisor.output
    assert ("killed by SIGKILL" in supervisor.output) is (number == signal.SIGKILL)


def test_one_that_leaves_a_process_behind_which_holds_its_pipe_is_replaced_too(queue: Queue) -> None:
    with supervised(queue, 1, "--heartbeat-timeout", "1") as supervisor:
        [victim] = pids(queue)
        queue.enqueue("fork", max_attempts=1)
        eventually(lambda: pids(queue) not in ([victim], []), timeout=30)
        supervisor.send(signal.SIGTERM)
        assert supervisor.await_end() == 0, supervisor.output


def test_a_process_that_has_run_as_many_jobs_as_it_may_is_replaced(queue: Queue) -> None:
    queue.execute("CREATE TABLE ran (job_id bigint, pid integer)")
    queue.enqueue("record", [None] * 6)
    supervisor = WorkerProcess(queue.dsn, "working", "--processes", "1", "--max-jobs", "2", "--drain")
    assert supervisor.await_end() == 0, supervisor.output
    runs = queue.scalars("SELECT count(*) FROM ran GROUP BY pid")
    assert runs == [2, 2, 2]


# What cannot work


def test_an_application_that_cannot_work_is_given_up_and_says_why_once(
    queue: Queue, empty_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import a_module_that_is_missing\n")
    (tmp_path / "fatal.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    complaints = {
        (empty_dsn, "working"): "pgq install",
        (queue.dsn, "idle"): "no entrypoint is registered",
        (queue.dsn, "broken:create"): "No module named 'a_module_that_is_missing'",
        (queue.dsn, "nowhere:create"): "no module named 'nowhere'",
        (queue.dsn, "fatal:create"): "pgq: killed by SIGSEGV",
    }
    supervisors = {
        (dsn, program): WorkerProcess(
            *(dsn, program, "--processes", "2" if program.startswith("broken") else "1"),
            directory=tmp_path if ":" in program else Path.cwd(),
        )
        for dsn, program in complaints
    }
    for case, supervisor in supervisors.items():
        assert supervisor.await_end() == 1, supervisor.output
        assert supervisor.output.count(complaints[case]) == 1, supervisor.output


def test_a_failure_of_the_replacement_is_no_reason_to_give_up(queue: Queue) -> None:
    """The schema may be on its way up, or the database on its way back."""
    with supervised(queue, 1, "--heartbeat-timeout", "1") as supervisor:
        queue.enqueue("sleep")
        eventually(queue.log)  # it has told its supervisor by now that it works
        [victim] = pids(queue)
        queue.execute("UPDATE pgq_version SET version = 99")
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: "version 99" in supervisor.output, timeout=30)
        queue.execute("UPDATE pgq_version SET version = 1")
        eventually(lambda: set(pids(queue)) - {victim}, timeout=30)
        supervisor.send(signal.SIGTERM)
        assert supervisor.await_end() == 0, supervisor.output
