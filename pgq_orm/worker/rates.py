"""Rates: tokens for the jobs of queues that have a rate limit.

They are taken before a pick, and put back if it finds fewer jobs.
"""

import random
import time
from collections.abc import Callable

from pgq_orm import queues
from pgq_orm.store import Store

GATHER_SECONDS = 0.025
"""How long tokens gather: to look for each of a thousand a second would cost more than the jobs."""
PATIENCE_SECONDS = 1.0
"""How long to wait at the most for a token that is due sooner: of ten workers only one can have it."""
PATIENCE_FACTOR = 3


class Rates:
    """What this worker knows of the buckets of its queues. Instants are seconds on the monotonic clock."""

    def __init__(self, *, store: Store, has_rate: Callable[[str], bool]) -> None:
        self._store = store
        self._has_rate = has_rate
        self._opens_at: dict[str, float] = {}
        self._patience_seconds: dict[str, float] = {}

    def has_rate(self, queue: str) -> bool:
        """Whether the queue has a rate limit, as far as we know."""
        return self._has_rate(queue)

    def wait_seconds(self, queue: str) -> float:
        """How long to wait before a token may be there."""
        return max(0.0, self._opens_at.get(queue, 0.0) - time.monotonic())

    def forget(self) -> None:
        """The limits have changed: what we wait for may be there already."""
        self._opens_at.clear()

    async def take(self, queue: str, wanted: int) -> int:
        """How many jobs may be picked from the queue, at most as many as wanted. Their tokens are taken."""
        if not self._has_rate(queue):
            return wanted
        if self.wait_seconds(queue) > 0:
            return 0
        grant = await self._store.run(queues.take_tokens(queue, wanted))
        patience = GATHER_SECONDS
        if not grant.tokens:
            patience = min(
                self._patience_seconds.get(queue, GATHER_SECONDS) * PATIENCE_FACTOR, PATIENCE_SECONDS
            )
        self._patience_seconds[queue] = patience
        if grant.tokens < wanted:
            wait = max(grant.wait_seconds, patience * random.uniform(0.75, 1.25))
            self._opens_at[queue] = time.monotonic() + wait
        return grant.tokens

    async def give_back(self, queue: str, unused: int) -> None:
        """Puts back the tokens of jobs that were not there."""
        if unused > 0 and self._has_rate(queue):
            self._opens_at.pop(queue, None)
            await self._store.run(queues.take_tokens(queue, -unused))
