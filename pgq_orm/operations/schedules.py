"""Schedules: what is to be enqueued again and again, and the ticks that fire."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pgq_orm.operations.operation import Operation, Row, columns, read_nothing
from pgq_orm.sql import statement


class ScheduleRow(NamedTuple):
    """A schedule, and the database's clock at the time of reading."""

    id: int
    entrypoint: str
    expression: str
    timezone: str
    catch_up: str
    next_run: datetime
    last_run: datetime | None
    paused: bool
    clock: datetime


class Tick(NamedTuple):
    """A tick of a schedule: fires if the schedule still stands at `due`; one that is not kept only passes."""

    id: int
    due: datetime
    next_run: datetime
    is_kept: bool


def register_schedules(rows: Sequence[tuple[str, str, str, str, str, datetime]]) -> Operation[None]:
    """Makes sure that schedules exist: (entrypoint, expression, timezone, catch_up, queue, next_run) each."""
    entrypoints, expressions, timezones, catch_ups, queues, next_runs = columns(rows)
    params = {
        "entrypoints": entrypoints,
        "expressions": expressions,
        "timezones": timezones,
        "catch_ups": catch_ups,
        "queues": queues,
        "next_runs": next_runs,
    }
    return Operation(statement("register_schedules"), params, read_nothing)


def clean_schedules(declared: Sequence[tuple[str, str]]) -> Operation[list[tuple[str, str]]]:
    """Removes the other schedules of these entrypoints; (entrypoint, expression) each, as it answers the removed."""
    entrypoints, expressions = columns(declared)
    params = {"entrypoints": entrypoints, "expressions": expressions}
    return Operation(statement("clean_schedules"), params, _pairs)


def read_schedules(entrypoints: Sequence[str]) -> Operation[list[ScheduleRow]]:
    """The schedules with these names."""
    return Operation(statement("read_schedules"), {"entrypoints": list(entrypoints)}, _schedule_rows)


def fire(ticks: Sequence[Tick]) -> Operation[dict[int, int | None]]:
    """Fires schedules; answers the job's id for each that fired, None if the job before is still to be done."""
    ids, dues, next_runs, are_kept = columns(ticks)
    params = {"ids": ids, "dues": dues, "next_runs": next_runs, "are_kept": are_kept}
    return Operation(statement("fire"), params, _job_ids_by_schedule)


def _pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in rows]


def _schedule_rows(rows: Sequence[Row]) -> list[ScheduleRow]:
    return [ScheduleRow(*row) for row in rows]


def _job_ids_by_schedule(rows: Sequence[Row]) -> dict[int, int | None]:
    return {row[0]: row[1] for row in rows}
