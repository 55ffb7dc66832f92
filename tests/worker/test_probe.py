"""Probe: HTTP answers about a worker's process, from a thread that no handler can block."""

import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.eventually import eventually
from tests.worker.probes import Probe, free_port
from tests.worker.processes import WorkerProcess
from tests.worker.queues import Queue
from tests.worker.wire import Wire

Start = Callable[..., tuple[WorkerProcess, Probe]]


@pytest.fixture
def start(dsn: str) -> Iterator[Start]:
    """Starts a probed process; it is gone after the test."""
    started: list[WorkerProcess] = []

    def start(*options: str, on: str = dsn) -> tuple[WorkerProcess, Probe]:
        probe = Probe(free_port())
        options = ("--probe-host", "127.0.0.1", "--probe-port", str(probe.port), *options)
        started.append(WorkerProcess(on, "working", *options))
        return started[-1], probe

    yield start
    for process in started:
        process.clear_away()


def test_a_worker_that_works_is_alive_and_ready(start: Start, queue: Queue) -> None:
    process, probe = start("--concurrency", "7")
    probe.await_ready()
    queue.enqueue("sleep", b"3600")
    [worker_id] = queue.worker_ids()
    eventually(lambda: probe.processes()[0]["running"] == 1)
    [told] = probe.processes()
    assert told["heartbeat_age"] < 60
    assert told["blocked_seconds"] < 60  # more than nothing if the machine is busy
    assert told | {"heartbeat_age": 0, "blocked_seconds": 0} == {
        "name": "pgq",
        "pid": process.pid,
        "worker_id": str(worker_id),
        "alive": True,
        "ready": True,
        "ending": False,
        "running": 1,
        "slots": 7,
        "heartbeat_age": 0,
        "database": True,
        "blocked_seconds": 0,
    }
    assert probe.get("/livez?verbose", method="HEAD") == (200, None)
    status, body = probe.get("/health")
    assert (status, body) == (404, {"error": "nothing at /health: ask for /livez, /readyz or /metrics"})


def test_one_that_finishes_what_runs_is_alive_but_takes_nothing_more(start: Start, queue: Queue) -> None:
    process, probe = start()
    probe.await_ready()
    queue.enqueue("sleep", b"3600")
    eventually(lambda: probe.processes()[0]["running"] == 1)
    process.send(signal.SIGTERM)
    eventually(lambda: probe.get("/readyz")[0] == 503)
    eventually(lambda: probe.get("/livez")[0] == 200)
    assert probe.processes()[0]["ending"]


def test_one_whose_event_loop_is_blocked_is_not_alive(start: Start, queue: Queue) -> None:
    """After 15 seconds; after one in the program of this test."""
    _, probe = start()
    probe.await_ready()
    queue.enqueue("blocks the loop")
    eventually(lambda: probe.get("/livez")[0] == 503)
    status, body = probe.get("/readyz")
    assert (status, body["ready"]) == (503, False)
    assert body["processes"][0]["blocked_seconds"] >= 1
    assert body["processes"][0]["database"]


def test_one_whose_database_is_away_lives_but_is_not_ready(start: Start, wire: Wire) -> None:
    """Restarting it would not bring the database back."""
    _, probe = start("--heartbeat-timeout", "1", on=wire.dsn)
    probe.await_ready()
    wire.cut()
    eventually(lambda: probe.get("/readyz")[0] == 503)
    eventually(lambda: probe.get("/livez")[0] == 200)
    wire.mend()
    probe.await_ready()


@pytest.mark.parametrize("options", [(), ("--processes", "1")])
def test_it_counts_and_times_what_attempts_came_to(
    start: Start, queue: Queue, options: tuple[str, ...]
) -> None:
    name = "pgq-1" if options else "pgq"
    _, probe = start(*options)
    probe.await_ready()
    queue.enqueue(["sleep", "sleep", 'fail "\\\n'], [b"0", b"1.1", None])  # type: ignore[arg-type]
    eventually(lambda: len(queue.log()) == 3)
    queue.enqueue("sleep", b"3600")
    eventually(lambda: probe.processes()[0]["running"] == 1)
    told = probe.text("/metrics").splitlines()
    slept = f'process="{name}",entrypoint="sleep",outcome="successful"'
    for line in (
        f'pgq_alive{{process="{name}"}} 1',
        f'pgq_ready{{process="{name}"}} 1',
        f'pgq_running{{process="{name}"}} 1',
        f'pgq_slots{{process="{name}"}} 100',
        f'pgq_picked_total{{process="{name}"}} 4',
        f'pgq_attempt_seconds_bucket{{{slept},le="1"}} 1',
        f'pgq_attempt_seconds_bucket{{{slept},le="+Inf"}} 2',
        f"pgq_attempt_seconds_count{{{slept}}} 2",
        f'pgq_attempt_seconds_count{{process="{name}",entrypoint="fail \\"\\\\\\n",outcome="exception"}} 1',
        "# TYPE pgq_attempt_seconds histogram",
    ):
        assert line in told, "\n".join(told)


def test_a_port_that_is_taken_is_said_at_the_start(dsn: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options in ((), ("--processes", "2")):
            process = WorkerProcess(
                dsn, "working", "--probe-host", "127.0.0.1", "--probe-port", str(port), *options
            )
            assert process.await_end() == 1
            assert process.output == (
                f"pgq: the probe cannot listen on 127.0.0.1:{port}: Address already in use; "
                "give another --probe-port or --probe-host\n"
            )


def test_whoever_connects_and_says_nothing_holds_up_nobody(start: Start) -> None:
    _, probe = start()
    probe.await_ready()
    with socket.create_connection(("127.0.0.1", probe.port)):
        assert probe.get("/livez")[0] == 200


def test_a_supervisor_answers_for_all_its_processes(start: Start, queue: Queue) -> None:
    _, probe = start("--processes", "2")
    eventually(lambda: len(queue.worker_ids()) == 2, timeout=30)
    eventually(lambda: all(told["ready"] for told in probe.processes()))
    first, second = probe.processes()
    assert (first["name"], second["name"]) == ("pgq-1", "pgq-2")
    assert {first["worker_id"], second["worker_id"]} == set(map(str, queue.worker_ids()))
    queue.enqueue("blocks the loop")
    eventually(lambda: any(told["blocked_seconds"] > 1 for told in probe.processes()))
    assert probe.get("/readyz")[0] == 200  # the other one takes jobs


def test_a_supervisor_tells_of_a_process_that_does_not_answer(start: Start, queue: Queue) -> None:
    _, probe = start("--processes", "1")
    probe.await_ready()
    [pid] = queue.scalars("SELECT pid FROM pgq_worker")
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: probe.get("/livez")[0] == 503)
    _, body = probe.get("/livez")
    assert (body["processes"][0]["alive"], body["processes"][0]["pid"]) == (False, pid)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: probe.get("/readyz")[0] == 200, timeout=30)


def test_a_process_that_cannot_start_again_leaves_its_supervisor_alive_and_not_ready(
    start: Start, queue: Queue
) -> None:
    _, probe = start("--processes", "1")
    probe.await_ready()
    queue.execute("UPDATE pgq_version SET version = 99")
    os.kill(queue.scalars("SELECT pid FROM pgq_worker")[0], signal.SIGKILL)
    eventually(lambda: probe.get("/readyz")[0] == 503, timeout=30)
    assert probe.get("/livez")[0] == 200
