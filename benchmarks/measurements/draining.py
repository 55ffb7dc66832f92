"""Draining: one worker on a backlog of no-op jobs, from the first handler's start to the last acknowledgement."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from benchmarks.bench import Bench, Stage
from benchmarks.lineup import Contestant

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain came to."""

    per_second: float
    """To the last acknowledgement."""
    started_per_second: float
    """To the last handler's start: all there is to see where a worker stops in the middle of a backlog."""
    wal_bytes: float
    worker_us: float
    server_us: float | None
    peak_bytes: float


def measure(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """A backlog and nothing else."""
    jobs = contestant.jobs(bench.sizes.drain)
    with bench.stage(contestant) as stage:
        stage.fill(jobs)
        drained = drain(bench, stage, "drain", jobs)
    return {
        "drained_per_second": drained.per_second,
        "drain_started_per_second": drained.started_per_second,
        "drain_wal_bytes": drained.wal_bytes,
        "drain_worker_us": drained.worker_us,
        "drain_server_us": drained.server_us,
        "drain_peak_mb": drained.peak_bytes / 1e6,
    }


def measure_with_deferred(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """Among jobs whose time has not come."""
    jobs = contestant.jobs(bench.sizes.drain)
    with bench.stage(contestant) as stage:
        stage.fill(contestant.jobs(bench.sizes.deferred), first=jobs, delay_seconds=DAY_SECONDS)
        stage.fill(jobs)
        drained = drain(bench, stage, "deferred", jobs)
    return {"deferred_per_second": drained.per_second}


def measure_with_backlog(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """The first jobs of a backlog many times as large, which is left for the next round."""
    jobs = contestant.jobs(bench.sizes.backlog)
    with bench.stocked_stage(contestant, jobs) as stage:
        drained = drain(bench, stage, "backlog", jobs, goal=contestant.jobs(bench.sizes.drain))
    return {"backlog_started_per_second": drained.started_per_second}


def measure_pinned(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """A long drain, and another one while somebody holds a snapshot from before it, as a backup would."""
    jobs = contestant.jobs(bench.sizes.pinned)
    figures = {}
    for is_pinned in (False, True):
        with bench.stage(contestant) as stage:
            stage.fill(jobs)
            with psycopg.connect(stage.process.dsn) as report:
                if is_pinned:
                    report.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    report.execute("SELECT count(*) FROM pg_class")
                drained = drain(bench, stage, "pinned", jobs)
        figures["pinned_per_second" if is_pinned else "unpinned_per_second"] = drained.per_second
    return figures


def drain(
    bench: Bench, stage: Stage, measurement: str, jobs: int, *, goal: int | None = None, **options: object
) -> Drained:
    """Has a worker run the jobs that are there, or the first `goal` of them; checks that none is lost or doubled."""
    process, server = stage.process, stage.server
    done_before, left_before = stage.done(), stage.left()
    wal, server_cpu = server.wal_bytes(), server.cpu_seconds()
    process.order("work", jobs=jobs, goal=goal or jobs, tells_each=False, options=options)
    first = process.hear("first")
    reached = process.hear("goal")
    acknowledged_at = reached["at"] if goal else stage.await_acknowledgement()
    worker_cpu = process.cpu_seconds()
    server_cpu_after, wal_after = server.cpu_seconds(), server.wal_bytes()
    process.order("stop")
    answer = process.hear("answer")
    ran = answer["runs"]
    done = stage.done() - done_before
    counted = {
        "jobs that ran twice": (answer["doubled"], 0),
        "jobs acknowledged": (done, ran),
        "jobs left": (stage.left(), left_before - ran),
    }
    if not goal:
        counted["jobs that ran"] = (ran, jobs)
    bench.check(process.contestant, measurement, counted)
    jobs_counted = goal or jobs
    return Drained(
        per_second=jobs_counted / (acknowledged_at - first["at"]),
        started_per_second=jobs_counted / (reached["at"] - first["at"]),
        wal_bytes=(wal_after - wal) / jobs_counted,
        worker_us=(worker_cpu - first["cpu_seconds"]) / jobs_counted * 1e6,
        server_us=(
            None
            if server_cpu is None or server_cpu_after is None
            else (server_cpu_after - server_cpu) / jobs_counted * 1e6
        ),
        peak_bytes=answer["peak_bytes"],
    )
