"""Curves: what a job costs as one thing around it grows; each function measures one point."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.bench import Bench, Stage
from benchmarks.lineup import BY_KEY
from benchmarks.measurements.draining import Drained, drain
from benchmarks.process import ContestantFailed

SUBJECT = BY_KEY["sqlalchemy-asyncpg"]
JOBS = 20_000
SMALL_BATCHES = {"batch_size": 100, "slots": 200}
"""A worker's defaults, or nearly: with batches of a thousand, a backlog of a thousand is a single one."""

RARELY_SECONDS = 0.05
"""How often to look whether all is done where looking takes as long as there are jobs left."""

Costs: TypeAlias = Mapping[str, float | None]
"""Microseconds a job, by what they were spent on."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A question: how the cost of a job depends on something."""

    name: str
    grows: str
    """What does, as the axis says it."""
    measure: Callable[[Bench, int], Costs]
    points: tuple[int, ...]
    further_points: tuple[int, ...] = ()
    """For who has the time."""


def with_backlog(bench: Bench, size: int) -> Costs:
    """The first jobs of a backlog."""
    with bench.stage(SUBJECT) as stage:
        stage.fill(size)
        return _costs(drain(bench, stage, "backlog", size, goal=min(JOBS, size), **SMALL_BATCHES))


def with_history(bench: Bench, size: int) -> Costs:
    """A backlog, after so many jobs have been done."""
    with bench.stage(SUBJECT) as stage:
        stage.connection.execute(
            "INSERT INTO pgq_log (job_id, enqueued, execute_after, started, priority, attempt, status, queue,"
            " entrypoint, duration) SELECT -number, now(), now(), now(), 0, 1, 'successful', 'default', 'noop',"
            " interval '1 ms' FROM generate_series(1, %s::bigint) AS number",
            [size],
        )
        stage.fill(JOBS)
        return _costs(drain(bench, stage, "history", JOBS))


def with_queues(bench: Bench, size: int) -> Costs:
    """A backlog spread over queues that one worker serves."""
    with bench.stage(SUBJECT) as stage:
        _fill_queues(stage, JOBS, size)
        queues = [f"queue-{number}" for number in range(size)]
        return _costs(drain(bench, stage, "queues", JOBS, queues=queues))


def beside_queues(bench: Bench, size: int) -> Costs:
    """A backlog, beside other queues with a hundred jobs each that this worker does not serve."""
    with bench.stage(SUBJECT) as stage:
        _fill_queues(stage, 100 * size, size)
        stage.fill(JOBS)
        # not to the last acknowledgement: the others' jobs are left
        return _costs(drain(bench, stage, "other queues", JOBS, goal=JOBS))


def with_payload(bench: Bench, size: int) -> Costs:
    """Jobs with a payload of random bytes, which PostgreSQL cannot compress."""
    jobs = max(300, min(JOBS, 50_000_000 // size))
    with bench.stage(SUBJECT) as stage, stage.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO pgq_job (entrypoint, payload) VALUES ('noop', %b)",
            ((b"%08d" % number + os.urandom(max(0, size - 8)),) for number in range(jobs)),
        )
        return _costs(drain(bench, stage, "payload", jobs, batch_size=10, slots=20))


def with_workers(bench: Bench, size: int) -> Costs:
    """A backlog and several worker processes."""
    jobs = 5 * JOBS
    with bench.stage(SUBJECT) as stage, ExitStack() as stack:
        stage.fill(jobs)
        workers = [stage.process, *(stack.enter_context(stage.another()) for _ in range(size - 1))]
        server = bench.server.cpu_seconds()
        for worker in workers:
            worker.order("work", jobs=jobs, goal=jobs, tells_each=False, options=SMALL_BATCHES)
        ended_at = stage.await_acknowledgement(RARELY_SECONDS)
        server_after = bench.server.cpu_seconds()
        used = runs = 0.0
        began_at = ended_at
        for worker in workers:
            try:
                first = worker.hear("first", 1.0)
            except ContestantFailed:
                continue  # it came too late to get a job
            began_at = min(began_at, first["at"])
            used += worker.cpu_seconds() - first["cpu_seconds"]
            worker.order("stop")
            runs += worker.hear("answer")["runs"]
        bench.check(SUBJECT, f"{size} workers", {"runs": (runs, jobs), "acknowledged": (stage.done(), jobs)})
    return {
        "time": (ended_at - began_at) / jobs * 1e6,
        "worker": used / jobs * 1e6,
        "server": None if server is None or server_after is None else (server_after - server) / jobs * 1e6,
    }


def worker_memory(bench: Bench, jobs: int) -> list[tuple[float, float]]:
    """How many jobs a worker has run, and the megabytes it holds then, again and again until it has run all."""
    with bench.stage(SUBJECT) as stage:
        stage.fill(jobs)
        stage.process.order("work", jobs=jobs, goal=jobs, tells_each=False, options=SMALL_BATCHES)
        stage.process.hear("first")
        samples = []
        while left := stage.left():
            samples.append((float(jobs - left), stage.process.resident_bytes() / 1e6))
            time.sleep(0.5)
        samples.append((float(jobs), stage.process.resident_bytes() / 1e6))
        return samples


def enqueuer_memory(bench: Bench, jobs: int) -> Mapping[str, float]:
    """The peak of a process that enqueues jobs in one transaction: as one list, and from a generator."""
    peaks = {}
    for how in ("in_bulk", "each"):
        with bench.stage(SUBJECT) as stage:
            peaks[how] = stage.process.ask("enqueue", jobs=jobs, how=how)["peak_bytes"] / 1e6
            bench.check(SUBJECT, "enqueuer's memory", {f"enqueued {how}": (stage.left(), jobs)})
    return peaks


def _fill_queues(stage: Stage, jobs: int, queues: int) -> None:
    stage.connection.execute(
        "INSERT INTO pgq_job (queue, entrypoint, payload) SELECT 'queue-' || number %% %s::bigint, 'noop',"
        " convert_to(number::text, 'UTF8') FROM generate_series(0, %s::bigint - 1) AS number",
        [queues, jobs],
    )
    stage.connection.execute("VACUUM ANALYZE")


def _costs(drained: Drained) -> Costs:
    return {
        "time": 1e6 / drained.started_per_second,
        "worker": drained.worker_us,
        "server": drained.server_us,
    }


CURVES = (
    Curve("backlog", "jobs waiting", with_backlog, (1_000, 10_000, 100_000, 1_000_000), (10_000_000,)),
    Curve("history", "log rows", with_history, (1, 10_000, 100_000, 1_000_000), (10_000_000,)),
    Curve("workers", "worker processes", with_workers, (1, 2, 4, 8, 16)),
    Curve("queues", "queues served by one worker", with_queues, (1, 10, 100, 1_000)),
    Curve("other-queues", "other queues with 100 jobs each", beside_queues, (1, 10, 100, 1_000)),
    Curve("payload", "bytes of payload", with_payload, (1, 100, 1_000, 10_000, 100_000, 1_000_000)),
)
