"""Recorder: writes how attempts ended, many in one statement, and keeps what could not be written."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from pgq_orm import operations
from pgq_orm.journal import tell
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import Ended, FailedAttempt, Outcome, Release, Settled
from pgq_orm.store import Store
from pgq_orm.worker.leases import Leases
from pgq_orm.worker.service import NEVER, Service

logger = logging.getLogger(__name__)

T = TypeVar("T")
BATCH = 4000
REFUSED_SECONDS = 60.0
"""How soon an outcome that the database refuses is tried again."""
HELD_SECONDS = 1.0
"""How soon it is asked again whether somebody's transaction still holds a job."""
HELD_PATIENCE_SECONDS = 60.0
"""How long a worker that is to end waits for such a transaction."""


class Recorder(Service):
    """Collects outcomes and writes them as fast as the database takes them; while it writes, more collect."""

    def __init__(
        self,
        *,
        store: Store,
        worker_id: UUID,
        leases: Leases,
        on_delayed: Callable[[float], None],
        on_idle: Callable[[], None],
    ) -> None:
        super().__init__()
        self._store = store
        self._worker_id = worker_id
        self._leases = leases
        self._on_delayed = on_delayed
        self._on_idle = on_idle
        self._pending: list[Ended] = []
        self._refused: dict[int, Ended] = {}
        self._refused_at = 0.0  # monotonic
        self._held: dict[int, Ended] = {}
        self._held_since = self._held_at = 0.0  # monotonic: when the first was set aside, and the last look
        self.idle = asyncio.Event()
        """Set while everything is written that can be."""
        self.idle.set()

    @property
    def unwritten(self) -> list[int]:
        """The jobs whose outcomes are not written."""
        return [*(ended.id for ended in self._pending), *self._refused, *self._held]

    def add(self, ended: Ended) -> None:
        """Takes over how an attempt ended; it is written soon."""
        self._pending.append(ended)
        self.idle.clear()
        self.wake()

    async def tick(self) -> float:
        if self._refused and time.monotonic() >= self._refused_at + REFUSED_SECONDS:
            self._pending.extend(self._refused.values())
            self._refused.clear()
        if self._held and time.monotonic() >= self._held_at + HELD_SECONDS:
            await self._resume_held()
        # Taken off only once written: whatever happens in between, the next tick tries again.
        batch = self._pending[:BATCH]
        try:
            await self._write(batch)
        except Exception:
            if await self._set_held_aside(batch):
                return 0
            if self._failures == 0 or not await self._is_reachable():
                raise
            # The database answers, so it is the batch: one outcome must not hold up the others.
            await self._write_one_by_one(batch)
        del self._pending[: len(batch)]
        if self._pending:
            return 0
        if not self._held or time.monotonic() >= self._held_since + HELD_PATIENCE_SECONDS:
            self.idle.set()
        self._on_idle()
        if self._held:
            return HELD_SECONDS
        return REFUSED_SECONDS if self._refused else NEVER

    async def _write(self, batch: list[Ended]) -> None:
        outcomes = [ended for ended in batch if isinstance(ended, Outcome)]
        again = [ended for ended in batch if isinstance(ended, FailedAttempt)]
        returned = [ended for ended in batch if isinstance(ended, Release)]
        settled = [ended for ended in batch if isinstance(ended, Settled)]
        self._leases.drop(settled)
        if outcomes:
            await self._settle(outcomes, operations.finish(outcomes))
        if again:
            await self._settle(again, operations.retry(self._worker_id, again))
            self._on_delayed(min(ended.delay_seconds for ended in again))
        if returned:
            await self._settle(returned, operations.release(returned))
            self._on_delayed(min(ended.delay_seconds for ended in returned))

    async def _settle(self, entries: list[Any], operation: Operation[set[int]]) -> None:
        leased = list(filter(self._is_leased, entries))
        if not leased:
            return
        written = await self._store.run(operation)
        for job_id in {ended.id for ended in leased} - written:
            tell(
                logger,
                logging.WARNING,
                "Lease of job %d is lost: another worker has it, this outcome is dropped",
                job_id,
                job_id=job_id,
            )
        self._leases.drop(leased)

    def _is_leased(self, ended: Ended) -> bool:
        return self._leases.holds(ended.id, ended.lease)

    async def _write_one_by_one(self, batch: list[Ended]) -> None:
        for ended in batch:
            try:
                await self._write_alone(ended)
            except Exception:
                if not await self._is_reachable():
                    raise
                tell(
                    logger,
                    logging.ERROR,
                    "Outcome of job %d is refused by the database, next try in %.0f s",
                    ended.id,
                    REFUSED_SECONDS,
                    exc_info=True,
                    job_id=ended.id,
                )
                if self._is_leased(ended):
                    self._refused[ended.id] = ended
                self._refused_at = time.monotonic()

    async def _write_alone(self, ended: Ended) -> None:
        try:
            await self._write([ended])
        except Exception as error:
            tell(
                logger,
                logging.WARNING,
                "Outcome of job %d cannot be written as it is: %r",
                ended.id,
                error,
                job_id=ended.id,
            )
            await self._write([_without_details(ended, error)])

    async def _set_held_aside(self, batch: list[Ended]) -> bool:
        """Whether some of these jobs are held by others' transactions; the rest is written without them."""
        try:
            held = await self._store.run(operations.read_held([ended.id for ended in batch]))
        except Exception as error:
            tell(logger, logging.DEBUG, "Cannot learn which jobs are held: %r", error)
            return False
        if not held:
            return False
        for job_id in held:
            tell(
                logger,
                logging.WARNING,
                "Job %d is held by a transaction of somebody else: its outcome is written when that has ended",
                job_id,
                job_id=job_id,
            )
        if not self._held:
            self._held_since = time.monotonic()
        self._held_at = time.monotonic()
        self._held |= {ended.id: ended for ended in batch if ended.id in held and self._is_leased(ended)}
        self._pending[: len(batch)] = [ended for ended in batch if ended.id not in held]
        return True

    async def _resume_held(self) -> None:
        self._held_at = time.monotonic()
        try:
            held = await self._store.run(operations.read_held(list(self._held)))
        except Exception as error:
            # not raised: what nobody holds is to be written, and whoever waits for us to be idle to lose patience
            message = "Cannot learn which jobs are still held, next look in %.0f s: %r"
            tell(logger, logging.WARNING, message, HELD_SECONDS, error)
            return
        for job_id in self._held.keys() - held:
            self._pending.append(self._held.pop(job_id))

    async def _is_reachable(self) -> bool:
        try:
            await self._store.run(operations.read_clock())
        except Exception:
            return False
        return True


def _without_details(ended: Ended, refusal: Exception) -> Ended:
    """How the attempt ended, without anything of the handler's making."""
    reason = f"the details could not be written: {type(refusal).__name__}"
    match ended:
        case Outcome():
            return ended._replace(result=None, error=reason, traceback=None)
        case FailedAttempt():
            return ended._replace(error=reason, traceback="")
        case _:
            return ended
