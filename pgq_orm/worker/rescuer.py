"""Rescuer: takes the jobs of dead workers back. Needs none of their handlers, so any worker can do it."""

import logging
import random
from collections.abc import Callable

from pgq_orm import operations
from pgq_orm.journal import tell
from pgq_orm.store import Store
from pgq_orm.worker.service import Service

logger = logging.getLogger(__name__)

BATCH = 1000


class Rescuer(Service):
    """Looks for dead workers when a heartbeat tells of one, and now and then for jobs of one that has no row."""

    def __init__(
        self, *, store: Store, interval_seconds: float, crash_limit: int, on_rescued: Callable[[], None]
    ) -> None:
        super().__init__()
        self._store = store
        self._interval_seconds = interval_seconds
        self._crash_limit = crash_limit
        self._on_rescued = on_rescued

    async def tick(self) -> float:
        rescued = await self._store.run(operations.rescue(crash_limit=self._crash_limit, batch_size=BATCH))
        for job in rescued:
            tell(
                logger,
                logging.WARNING,
                "Rescued job %d from a dead worker: %s",
                job.id,
                "queued again" if job.is_queued else "ended as exception, it has been tried often enough",
                job_id=job.id,
            )
        if rescued:
            self._on_rescued()
        if len(rescued) == BATCH:
            return 0
        return self._interval_seconds * random.uniform(0.8, 1.2)  # workers started together must not stay so
