"""Listener: hears NOTIFY, which only makes things sooner; without it the worker polls."""

import logging
import time
from collections.abc import Callable

from pgq_orm.journal import tell
from pgq_orm.store import CANCEL, QUEUES, Store
from pgq_orm.worker.service import Service

logger = logging.getLogger(__name__)


class WakeUps(Service):
    """Keeps a LISTEN connection, and makes a new one when it dies."""

    def __init__(
        self,
        *,
        store: Store,
        on_enqueued: Callable[[], None],
        on_canceled: Callable[[], None],
        on_queues_changed: Callable[[], None],
        on_lost: Callable[[Exception], None],
    ) -> None:
        super().__init__()
        self._store = store
        self._on_enqueued = on_enqueued
        self._on_canceled = on_canceled
        self._on_queues_changed = on_queues_changed
        self._on_lost = on_lost
        self._lost_at: float | None = None  # monotonic; None while it listens

    async def tick(self) -> float:
        try:
            await self._store.listener.listen(on_notice=self._hear, on_ready=self._ready)
            raise ConnectionError("the LISTEN connection ended")
        except Exception as error:
            if self._lost_at is None:
                self._lost_at = time.monotonic()
            self._on_lost(error)
            raise

    def _ready(self) -> None:
        if self._lost_at is not None:
            # The one part that has a connection at all times, and hears of each outage: it tells for the others, too.
            tell(
                logger,
                logging.INFO,
                "Connected to the database again, after %.1f s",
                time.monotonic() - self._lost_at,
            )
            self._lost_at = None
        self._failures = 0  # a connection that lived for hours is no failure in a row with the one before
        # What was sent before we listened, or while we did not, is found by looking.
        self._on_enqueued()
        self._on_canceled()
        self._on_queues_changed()

    def _hear(self, payload: str) -> None:
        if payload == CANCEL:
            self._on_canceled()
        elif payload == QUEUES:
            self._on_queues_changed()
        else:
            self._on_enqueued()
