"""Settlement: how an attempt ends in its handler's transaction, so that its writes and its end commit together."""

import time
from collections.abc import Awaitable, Callable

from pgq_orm import operations
from pgq_orm.models import Job
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import Outcome
from pgq_orm.operations.workers import Lease
from pgq_orm.registry import Entrypoint
from pgq_orm.statuses import LogStatus
from pgq_orm.worker.judgement import Returned, Timing, judge


class Settlement:
    """Says how the attempt is to be ended when its handler has returned, and remembers whether it was."""

    def __init__(
        self,
        job: Job,
        entrypoint: Entrypoint,
        *,
        wait_seconds: float,
        may_succeed: Callable[[], bool],
        has_ended: Callable[[Lease], Awaitable[bool]],
    ) -> None:
        self._job = job
        self._entrypoint = entrypoint
        self._wait_seconds = wait_seconds
        self._may_succeed = may_succeed
        self._started = time.monotonic()
        self._has_ended = has_ended
        # Both are set in the handler's thread and read in the loop's.
        self.is_begun = False
        """Whether a transaction is under way that ends the attempt: too late to interrupt it."""
        self.is_settled = False
        """Whether the attempt has ended in the database, or is another worker's."""

    def begin(self, value: object) -> Operation[set[int]] | None:
        timing = Timing(self._wait_seconds, time.monotonic() - self._started)
        is_canceled = not self._may_succeed()
        ended = judge(self._job, self._entrypoint, Returned(value), timing, is_canceled=is_canceled)
        if not isinstance(ended, Outcome) or ended.status != LogStatus.SUCCESSFUL:
            return None
        self.is_begun = True
        return operations.finish([ended])

    def settle(self) -> None:
        self.is_settled = True

    async def resolve(self) -> None:
        if self.is_begun and not self.is_settled:
            self.is_settled = await self._has_ended(Lease(self._job.id, self._job.lease))
            self.is_begun = self.is_settled
