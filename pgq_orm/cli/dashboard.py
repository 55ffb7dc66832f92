"""The commands that show how the queue fares: dashboard and workers."""

import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.live import Live
from sqlalchemy import URL

from pgq_orm import administration
from pgq_orm.cli.databases import Dsn, ask
from pgq_orm.cli.sheets import AsJson, Column, Sheet, age, console, group, since
from pgq_orm.reports import ActiveWorker, LogStatistics, QueueAgeStats, QueueStatistics
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm.steps import Steps

TO_BE_DONE = (
    Column("queue", "queue"),
    Column("entrypoint", "entrypoint"),
    *(Column(status.value, status.value, is_number=True) for status in JobStatus),
    Column("late by", "late", is_number=True),
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


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found at one moment."""

    sizes: list[QueueStatistics]
    ages: list[QueueAgeStats]
    done: list[LogStatistics]
    workers: list[ActiveWorker]


def dashboard(
    dsn: Dsn,
    interval: Annotated[
        float | None,
        typer.Option("--interval", "-i", min=1, help="Look again every so many seconds, until Ctrl-C."),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="How many minutes of what was done.")] = 5,
) -> None:
    """Show what is to be done, what was done, and who works. Reads the whole backlog."""
    period = timedelta(minutes=last)
    if interval is None:
        console().print(group(*_sheets(dsn, period)))
        return
    with Live(group(*_sheets(dsn, period)), console=console(), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(group(*_sheets(dsn, period)), refresh=True)
        except KeyboardInterrupt:
            return


def workers(dsn: Dsn, as_json: AsJson = False) -> None:
    """List the worker processes that live."""
    _workers(ask(dsn, administration.active_workers())).show(as_json)


def _sheets(dsn: URL, period: timedelta) -> tuple[Sheet, Sheet, Sheet]:
    figures = ask(dsn, _figures(period))
    return _to_be_done(figures), _done(figures, period), _workers(figures.workers)


def _figures(period: timedelta) -> Steps[Figures]:
    sizes = yield from administration.queue_size()
    ages = yield from administration.queue_age()
    done = yield from administration.log_statistics(last=period)
    return Figures(sizes, ages, done, (yield from administration.active_workers()))


def _to_be_done(figures: Figures) -> Sheet:
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for size in figures.sizes:
        counts[size.queue, size.entrypoint][size.status.value] += size.count
    late = {(found.queue, found.entrypoint): age(found.oldest_age_seconds) for found in figures.ages}
    rows = [
        _row(key, count, JobStatus) | {"late": late.get(key, "")} for key, count in sorted(counts.items())
    ]
    return Sheet("To be done", TO_BE_DONE, rows, "Nothing is to be done.")


def _done(figures: Figures, period: timedelta) -> Sheet:
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in figures.done:
        counts[row.queue, row.entrypoint]["retried" if row.retried else row.status.value] += row.count
    minutes = age(period.total_seconds())
    rows = [
        _row(key, count, LogStatus)
        | {
            "retried": count["retried"] or "",
            "rate": f"{count.total() / (period / timedelta(minutes=1)):.1f}",
        }
        for key, count in sorted(counts.items())
    ]
    return Sheet(f"Done in the last {minutes}", DONE, rows, f"Nothing was done in the last {minutes}.")


def _row(
    key: tuple[str, str], count: Counter[str], statuses: type[JobStatus] | type[LogStatus]
) -> dict[str, Any]:
    queue, entrypoint = key
    return {
        "queue": queue,
        "entrypoint": entrypoint,
        **{status.value: count[status.value] or "" for status in statuses},
    }


def _workers(found: list[ActiveWorker]) -> Sheet:
    rows = [
        asdict(worker) | {"up": age(since(worker.started)), "beaten": f"{age(since(worker.heartbeat))} ago"}
        for worker in found
    ]
    return Sheet("Workers", WORKERS, rows, "No worker is alive.")
