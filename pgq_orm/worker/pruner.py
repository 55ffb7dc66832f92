"""Pruner: removes log rows that are older than the retention."""

import logging
import random
from datetime import timedelta

from pgq_orm import operations
from pgq_orm.journal import tell
from pgq_orm.store import Store
from pgq_orm.worker.service import NEVER, Service

logger = logging.getLogger(__name__)

BATCH = 1000
INTERVAL_SECONDS = 600.0


class Pruner(Service):
    """Removes the oldest rows, a batch at a time, until the rest is young enough. Without a retention, none."""

    def __init__(self, *, store: Store, retention: timedelta | None) -> None:
        super().__init__()
        self._store = store
        self._retention = retention

    async def tick(self) -> float:
        if self._retention is None:
            return NEVER
        pruned = await self._store.run(operations.prune(retention=self._retention, batch_size=BATCH))
        if pruned:
            tell(logger, logging.DEBUG, "Pruned %d log rows", pruned)
        return 0 if pruned == BATCH else INTERVAL_SECONDS * random.uniform(0.8, 1.2)
