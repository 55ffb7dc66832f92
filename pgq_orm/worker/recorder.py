"""Recorder: writes how attempts ended, many in one statement, and keeps what could not be written."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from pgq_orm import operations
from pgq_orm.operations import FailedAttempt, Lease, Operation, Outcome
from pgq_orm.statuses import LogStatus
from pgq_orm.store import Store
from pgq_orm.worker.leases import Leases
from pgq_orm.worker.service import NEVER, Service

logger = logging.getLogger(__name__)

T = TypeVar("T")
BATCH = 1000


class Recorder(Service):
    """Collects outcomes and writes them as fast as the database takes them; while it writes, more collect."""

    def __init__(
        self, *, store: Store, worker_id: UUID, leases: Leases, on_delayed: Callable[[float], None]
    ) -> None:
        super().__init__()
        self._store = store
        self._worker_id = worker_id
        self._leases = leases
        self._on_delayed = on_delayed
        self._pending: list[Outcome | FailedAttempt | Lease] = []

    @property
    def is_idle(self) -> bool:
        """Whether everything is written."""
        return not self._pending

    def add(self, ended: Outcome | FailedAttempt | Lease) -> None:
        """Takes over how an attempt ended; it is written soon."""
        self._pending.append(ended)
        self.wake()

    async def tick(self) -> float:
        if not self._pending:
            return NEVER
        # Taken off only once written: whatever happens in between, the next tick tries again.
        batch = self._pending[:BATCH]
        try:
            await self._write(batch)
        except Exception:
            if self._failures == 0 or not await self._is_reachable():
                raise
            # The database answers, so it is the batch: one outcome must not hold up the others.
            for ended in batch:
                await self._write_alone(ended)
        del self._pending[: len(batch)]
        return 0 if self._pending else NEVER

    async def _write(self, batch: list[Outcome | FailedAttempt | Lease]) -> None:
        outcomes = [ended for ended in batch if isinstance(ended, Outcome)]
        again = [ended for ended in batch if isinstance(ended, FailedAttempt)]
        returned = [ended for ended in batch if isinstance(ended, Lease)]
        if outcomes:
            await self._settle(outcomes, operations.finish(outcomes))
        if again:
            await self._settle(again, operations.retry(self._worker_id, again))
            self._on_delayed(min(ended.delay_seconds for ended in again))
        if returned:
            await self._settle(returned, operations.release(returned))

    async def _settle(self, entries: list[Any], operation: Operation[set[int]]) -> None:
        unwritten = [ended for ended in entries if self._is_held(ended)]
        if not unwritten:
            return
        written = await self._store.run(operation)
        job_ids = {ended.id for ended in unwritten}
        for job_id in job_ids - written:
            logger.warning(
                "Lease of job %d is lost: another worker has it, this outcome is dropped",
                job_id,
                extra={"job_id": job_id},
            )
        self._leases.drop(job_ids)

    def _is_held(self, ended: Outcome | FailedAttempt | Lease) -> bool:
        return self._leases.holds(ended.id, ended.lease)

    async def _write_alone(self, ended: Outcome | FailedAttempt | Lease) -> None:
        try:
            await self._write([ended])
        except Exception as error:
            logger.exception(
                "Outcome of job %d cannot be written as it is", ended.id, extra={"job_id": ended.id}
            )
            reason = f"the outcome could not be written: {type(error).__name__}"
            await self._write([Outcome(ended.id, ended.lease, LogStatus.EXCEPTION, 0.0, 0.0, None, reason)])

    async def _is_reachable(self) -> bool:
        try:
            await self._store.run(operations.read_clock())
        except Exception:
            return False
        return True
