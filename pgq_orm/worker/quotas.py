"""Quotas: how many jobs of each queue may start here, as the database says, and as it changes while the worker runs."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from pgq_orm import queues
from pgq_orm.reports import QueueState
from pgq_orm.store import Store
from pgq_orm.worker.service import Service


class Quotas(Service):
    """Reads what is said of the queues that this worker serves: now and then, when told so, and when a pause ends.

    What it knows of pauses spares looks that would be in vain. That nothing is picked from a paused queue is the
    pick's own doing.
    """

    def __init__(
        self,
        *,
        store: Store,
        queues: Sequence[str],
        interval_seconds: float,
        running: Callable[[str], int],
        on_changed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._store = store
        self._queues = queues
        self._interval_seconds = interval_seconds
        self._running = running
        self._on_changed = on_changed
        self._paused: frozenset[str] = frozenset()
        self._concurrency: dict[str, int] = {}
        self._rates: dict[str, tuple[int, timedelta]] = {}

    def is_open(self, queue: str) -> bool:
        """Whether jobs may be picked from the queue, as far as we know."""
        return queue not in self._paused

    def room(self, queue: str) -> float:
        """How many jobs of the queue may start now, if as many slots are free."""
        limit = self._concurrency.get(queue)
        return float("inf") if limit is None else limit - self._running(queue)

    def has_rate(self, queue: str) -> bool:
        """Whether the queue's jobs need tokens."""
        return queue in self._rates

    async def tick(self) -> float:
        states = await self._store.run(queues.read_queues(self._queues))
        paused = frozenset(state.name for state in states if state.paused)
        concurrency = {state.name: state.concurrency for state in states if state.concurrency is not None}
        rates = {
            state.name: (state.rate_limit, state.rate_limit_window)
            for state in states
            if state.rate_limit is not None
        }
        if (paused, concurrency, rates) != (self._paused, self._concurrency, self._rates):
            self._paused, self._concurrency, self._rates = paused, concurrency, rates
            self._on_changed()
        return min([self._interval_seconds, *map(_seconds_until_resumed, states)])


def _seconds_until_resumed(state: QueueState) -> float:
    if state.resume_at is None:
        return float("inf")
    return max(0.0, (state.resume_at - state.clock).total_seconds())
