"""Overview: what there is, as sheets: what is to be done, what was done, who works, what failed, what recurs."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from pgq_orm import administration, queues
from pgq_orm.callees import title
from pgq_orm.queue_words import describe_pause, describe_rate
from pgq_orm.reports import (
    ActiveWorker,
    FailedJob,
    LogStatistics,
    QueueAgeStats,
    QueueState,
    QueueStatistics,
    ScheduleState,
)
from pgq_orm.sheets import Column, Sheet, age, printable, since
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm.steps import Steps

SUMMARY_CHARACTERS = 120

TO_BE_DONE = (
    Column("queue", "queue"),
    Column("entrypoint", "entrypoint"),
    *(Column(status.value, status.value, is_number=True) for status in JobStatus),
    Column("late by", "late", is_number=True),
    Column("held up", "held"),
)
DONE = (
    Column("queue", "queue"),
    Column("entrypoint", "entrypoint"),
    *(Column(status.value, status.value, is_number=True) for status in LogStatus),
    Column("retried", "retried", is_number=True),
    Column("per minute", "rate", is_number=True),
)
WORKERS = (
    Column("host", "hostname"),
    Column("pid", "pid", is_number=True),
    Column("queues", "queues"),
    Column("jobs", "active_jobs", is_number=True),
    Column("up", "up", is_number=True),
    Column("heartbeat", "beaten", is_number=True),
    Column("entrypoints", "entrypoints"),
)
FAILED = (
    Column("job", "id", is_number=True),
    Column("failed", "failed"),
    Column("entrypoint", "title"),
    Column("queue", "queue"),
    Column("attempts", "attempts", is_number=True),
    Column("error", "summary"),
)
SCHEDULES = (
    Column("id", "id", is_number=True),
    Column("entrypoint", "entrypoint"),
    Column("expression", "expression"),
    Column("time zone", "timezone"),
    Column("queue", "queue"),
    Column("paused", "paused"),
    Column("next run", "next_run"),
    Column("last run", "last_run"),
)
QUEUES = (
    Column("queue", "name"),
    Column("in each worker", "concurrency", is_number=True),
    Column("in all workers", "rate"),
    Column("paused", "pause"),
)


def overview(period: timedelta) -> Steps[tuple[Sheet, Sheet, Sheet]]:
    """What is to be done, what was done in that time, and who works. Reads the whole backlog."""
    sizes = yield from administration.queue_size()
    ages = yield from administration.queue_age()
    done = yield from administration.log_statistics(last=period)
    workers = yield from administration.active_workers()
    states = yield from queues.fetch_queues()
    return to_be_done(sizes, ages, states, workers), was_done(done, period), who_works(workers)


def to_be_done(
    sizes: Sequence[QueueStatistics],
    ages: Sequence[QueueAgeStats],
    states: Sequence[QueueState],
    workers: Sequence[ActiveWorker],
) -> Sheet:
    """The backlog by entrypoint, how late the oldest job is that could run, and why none of them will: its queue is
    paused, or no worker that lives serves that queue and has a handler. Paused queues without jobs are shown as well.
    """
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for size in sizes:
        counts[size.queue, size.entrypoint][size.status.value] += size.count
    late = {(found.queue, found.entrypoint): age(found.oldest_age_seconds) for found in ages}
    pauses = {state.name: describe_pause(state) for state in states if state.paused}
    for queue in pauses.keys() - {queue for queue, _ in counts}:
        counts[queue, ""] = Counter()
    rows = [
        _row(key, count, JobStatus)
        | {"late": late.get(key, ""), "held": ", ".join(_hindrances(*key, pauses, workers))}
        for key, count in sorted(counts.items())
    ]
    return Sheet("To be done", TO_BE_DONE, rows, "Nothing is to be done.")


def _hindrances(
    queue: str, entrypoint: str, pauses: Mapping[str, str], workers: Sequence[ActiveWorker]
) -> Iterator[str]:
    if queue in pauses:
        yield pauses[queue]
    if entrypoint and not any(
        queue in worker.queues and entrypoint in worker.entrypoints for worker in workers
    ):
        yield "no worker"


def was_done(done: Sequence[LogStatistics], period: timedelta) -> Sheet:
    """The attempts that ended in that time, by entrypoint."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in done:
        counts[row.queue, row.entrypoint]["retried" if row.retried else row.status.value] += row.count
    rows = [
        _row(key, count, LogStatus)
        | {
            "retried": count["retried"] or "",
            "rate": f"{count.total() / (period / timedelta(minutes=1)):.1f}",
        }
        for key, count in sorted(counts.items())
    ]
    last = f"in the last {age(period.total_seconds())}"
    return Sheet(f"Done {last}", DONE, rows, f"Nothing was done {last}.")


def who_works(workers: Sequence[ActiveWorker]) -> Sheet:
    """The workers that live."""
    rows = [
        asdict(worker) | {"up": age(since(worker.started)), "beaten": f"{age(since(worker.heartbeat))} ago"}
        for worker in workers
    ]
    return Sheet("Workers", WORKERS, rows, "No worker is alive.")


def what_failed(jobs: Sequence[FailedJob]) -> Sheet:
    """Jobs that failed, each with the first line of its error."""
    rows = [
        asdict(job) | {"title": title(job.entrypoint, job.arguments), "summary": _summary(job.error)}
        for job in jobs
    ]
    return Sheet("Failed jobs", FAILED, rows, "No job has failed.")


def what_recurs(schedules: Sequence[ScheduleState]) -> Sheet:
    """The schedules in the database."""
    rows = [asdict(schedule) for schedule in schedules]
    return Sheet(
        "Schedules",
        SCHEDULES,
        rows,
        "There are no schedules: a worker adds those of its application when it starts.",
    )


def what_is_said(states: Sequence[QueueState]) -> Sheet:
    """The queues of which something is said."""
    rows = [
        {
            "name": state.name,
            "concurrency": state.concurrency,
            "rate_limit": state.rate_limit,
            "rate_limit_window_seconds": state.rate_limit_window.total_seconds(),
            "paused": state.paused,
            "resume_at": state.resume_at,
            "rate": describe_rate(state),
            "pause": describe_pause(state),
        }
        for state in states
    ]
    return Sheet("Queues", QUEUES, rows, "Nothing is said of any queue: none is paused, or has limits.")


def tracebacks(jobs: Sequence[FailedJob]) -> str:
    """The traceback of each of these jobs, under its id."""
    return "\n".join(
        f"job {job.id} ({printable(title(job.entrypoint, job.arguments))}):\n"
        f"{printable(job.traceback or job.error or '', but=_LINES)}"
        for job in jobs
    )


_LINES = "\n\t"


def _row(
    key: tuple[str, str], count: Counter[str], statuses: type[JobStatus] | type[LogStatus]
) -> dict[str, Any]:
    queue, entrypoint = key
    return {
        "queue": queue,
        "entrypoint": entrypoint,
        **{status.value: count[status.value] or "" for status in statuses},
    }


def _summary(error: str | None) -> str:
    line = (error or "").partition("\n")[0]
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"
