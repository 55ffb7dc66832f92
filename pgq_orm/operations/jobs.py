"""Jobs: rows as the jobs that they hold."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pgq_orm.models import Job, Unreadable, job_of
from pgq_orm.operations.operation import Operation, Row
from pgq_orm.sql import statement
from pgq_orm.statuses import JobStatus

_STATUS, _ARGUMENTS, _HEADERS = 7, 11, 12  # where pick.sql answers them


def list_jobs(entrypoint: str | None, limit: int) -> Operation[list[Job]]:
    """The jobs that are still to be done, of one entrypoint or of all, in the order in which they were enqueued."""
    return Operation(statement("list_jobs"), {"entrypoint": entrypoint, "limit": limit}, _listed)


def read_jobs(rows: Sequence[Row]) -> list[Job]:
    """The jobs that were picked, in the order in which they should start."""
    # sorted here: an UPDATE answers in whatever order it found the rows
    return sorted((_picked_job(list(row)) for row in rows), key=lambda job: (-job.priority, job.id))


def read_json(text: str | None) -> Any:
    """The value of a column of JSON; Unreadable for what PostgreSQL stores and Python cannot read."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, arrays nested a thousand deep: it is for this job's handler to fail.
        return Unreadable(error)


def _listed(rows: Sequence[Row]) -> list[Job]:
    return [replace(_picked_job(list(row)), status=JobStatus(row[_STATUS])) for row in rows]


def _picked_job(values: list[Any]) -> Job:
    values[_STATUS] = JobStatus.PICKED
    values[_ARGUMENTS] = read_json(values[_ARGUMENTS]) or {}
    values[_HEADERS] = read_json(values[_HEADERS])
    return job_of(values)
