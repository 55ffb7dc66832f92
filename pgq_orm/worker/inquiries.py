"""Inquiries: what an attempt must learn from the database, however long it takes."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import TypeVar

from pgq_orm import operations, orchestration
from pgq_orm.journal import tell
from pgq_orm.models import Job, Schedule
from pgq_orm.operations import Operation
from pgq_orm.operations.schedules import ScheduleRow
from pgq_orm.operations.workers import Lease
from pgq_orm.parents import Parents
from pgq_orm.store import Store
from pgq_orm.worker.service import AFTER_FAILURE

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Inquiries:
    """Asks on behalf of attempts: a database that is away must not fail the job."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find_schedule(self, job: Job) -> Schedule:
        """The schedule that enqueued the job."""
        rows = await self._insist(
            operations.read_schedules([job.entrypoint]), f"read the schedule of job {job.id}"
        )
        return schedule_of(job, rows)

    async def find_parents(self, job: Job) -> Parents:
        """The jobs that the job depends on, with what came of them."""
        if job.workflow_id is None:
            return Parents()
        return await self._insist(orchestration.read_parents(job.id), f"read the parents of job {job.id}")

    async def has_ended(self, lease: Lease) -> bool:
        """Whether an attempt has ended, as soon as that is decided: its transaction may still be open at the server."""
        for looks in itertools.count(1):
            has_ended = await self._insist(operations.read_ending(lease), f"learn how job {lease.id} ended")
            if has_ended is not None:
                return has_ended
            delay = AFTER_FAILURE.delay_seconds(looks)
            tell(
                logger,
                logging.INFO,
                "Job %d is held by an open transaction, which may end it; next look in %.1f s",
                lease.id,
                delay,
            )
            await asyncio.sleep(delay)
        raise AssertionError("unreachable")

    async def _insist(self, operation: Operation[T], purpose: str) -> T:
        for failures in itertools.count(1):
            try:
                return await self._store.run(operation)
            except Exception as error:
                delay = AFTER_FAILURE.delay_seconds(failures)
                tell(logger, logging.WARNING, "Cannot %s, next try in %.1f s: %r", purpose, delay, error)
                await asyncio.sleep(delay)
        raise AssertionError("unreachable")


def schedule_of(job: Job, rows: Sequence[ScheduleRow]) -> Schedule:
    """The schedule that enqueued the job, among those of its entrypoint."""
    for row in rows:
        if row.id == job.schedule_id:
            return Schedule(row.id, row.entrypoint, row.expression, row.timezone, row.next_run, row.last_run)
    # deleted since it fired: its handler expects a schedule all the same
    return Schedule(job.schedule_id or 0, job.entrypoint, "", "UTC", job.execute_after, job.execute_after)
