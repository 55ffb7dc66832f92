"""Completion: waits for jobs and workflows to end, by looking at all of them with one statement, less and less often.

Nothing is notified when a job ends, so that jobs nobody waits for cost nothing.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from pgq_orm import administration, orchestration, storable
from pgq_orm.durations import require_duration, seconds_in
from pgq_orm.errors import (
    CompletionTimeoutError,
    JobNotFoundError,
    PgqError,
    WorkflowNotFoundError,
    WorkflowTimeoutError,
)
from pgq_orm.reports import Completion, WorkflowProgress, WorkflowState
from pgq_orm.statuses import JobStatus
from pgq_orm.steps import carry_out_async
from pgq_orm.store import Store, open_store, require_schema
from pgq_orm.worker.service import NEVER, Service

LONGEST_PAUSE = timedelta(seconds=1)
"""Between two looks at a job that takes long."""
SHARE_OF_AGE = 0.1
"""The pause after a look, as a share of how long the job has been waited for: no answer is late by more than that."""
STOP_SECONDS = 5.0
"""How long leaving the block waits for a look that is under way: cut off, it might leave a connection open."""


class CompletionWatcher:
    """Waits for jobs to end, for as many waiters as like, on one connection of its own.

    `connection` is a SQLAlchemy `AsyncEngine` or `Engine` (whose statements then run in threads), or a Store. Keep one
    watcher for an application, not one for a request. Entering it raises SchemaError if the tables are missing.

    `debounce` is the shortest time between two looks, `refresh_interval` the longest between two looks at the same job.
    """

    def __init__(
        self,
        connection: object,
        *,
        refresh_interval: timedelta | None = LONGEST_PAUSE,
        debounce: timedelta = timedelta(milliseconds=50),
        unseen_timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self._store: Store = open_store(connection)
        self._lookout = Lookout(
            self._store,
            shortest_pause=require_duration("debounce", debounce).total_seconds(),
            longest_pause=require_duration(
                "refresh_interval", refresh_interval or LONGEST_PAUSE
            ).total_seconds(),
            unseen_seconds=require_duration("unseen_timeout", unseen_timeout).total_seconds(),
        )
        self._is_open = False

    async def __aenter__(self) -> Self:
        try:
            await require_schema(self._store)
        except BaseException:
            await self._store.close()
            raise
        self._lookout.start()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Waits until everything that is waited for has ended; leaving by an exception, gives it up."""
        self._is_open = False
        try:
            if kind is None:
                await self._lookout.settle()
        finally:
            self._lookout.give_up()
            await self._lookout.stop(STOP_SECONDS)
            await self._store.close()

    def wait_for(self, job_id: int, timeout: timedelta | None = None) -> "asyncio.Future[Completion]":
        """A future of how the job ends: its status word, with `result` and `error`. A retry is not an end.

        Without `timeout` it waits for as long as the job is to be done. The future raises CompletionTimeoutError
        after it, and JobNotFoundError for a job that was not to be seen for `unseen_timeout`: one that was enqueued in
        a transaction which has not committed is one of those, so commit first. The database may go away and come back
        meanwhile. Cancelling the future ends the waiting, not the job.
        """
        storable.check_id(job_id)
        return self._wait_for(job_id, timeout)

    def wait_for_workflow(
        self, workflow_id: UUID, timeout: timedelta | None = None
    ) -> "asyncio.Future[WorkflowProgress]":
        """A future of how a workflow ends, as soon as nothing of it can run any more: its `state`, and its `counts`.

        That state is `successful`, `failed`, or `stalled`: what is left waits for jobs that failed. The future raises
        WorkflowTimeoutError and WorkflowNotFoundError; otherwise as `wait_for`. Each look reads the workflow's jobs, by
        index: wait for the last job instead if it has a hundred thousand.
        """
        orchestration.check_workflow_id(workflow_id)
        return self._wait_for(workflow_id, timeout)

    def _wait_for(self, subject: int | UUID, timeout: timedelta | None) -> "asyncio.Future[Any]":
        if not self._is_open:
            raise PgqError(
                "this watcher is not open: call wait_for inside `async with CompletionWatcher(…) as watcher`"
            )
        return self._lookout.add(subject, seconds_in("timeout", timeout))


@dataclass(slots=True, eq=False)
class _Wait:
    """Somebody who waits for a job, or for a workflow. Instants are the monotonic clock's."""

    subject: int | UUID
    future: "asyncio.Future[Any]"
    since: float
    look_at: float
    status: str | None = None
    """At the last look; None if it was not to be seen."""
    unseen_since: float | None = None

    def expire(self, seconds: float) -> None:
        if not self.future.done():
            self.future.set_exception(
                WorkflowTimeoutError(self.subject, self.status, seconds)
                if isinstance(self.subject, UUID)
                else CompletionTimeoutError(self.subject, self.status, seconds)
            )

    def give_up(self) -> None:
        self.future.set_exception(
            WorkflowNotFoundError(self.subject)
            if isinstance(self.subject, UUID)
            else JobNotFoundError(self.subject)
        )


class Lookout(Service):
    """The loop that looks at what is waited for."""

    def __init__(
        self, store: Store, *, shortest_pause: float, longest_pause: float, unseen_seconds: float
    ) -> None:
        super().__init__()
        self._store = store
        self._shortest_pause = shortest_pause
        self._longest_pause = max(longest_pause, shortest_pause)
        self._unseen_seconds = unseen_seconds
        self._waits: set[_Wait] = set()  # loop thread only
        self._looked_at = float("-inf")

    def add(self, subject: int | UUID, timeout_seconds: float | None) -> "asyncio.Future[Any]":
        """Looks at the job or workflow soon, and then on until it has ended."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        wait = _Wait(subject, loop.create_future(), since=now, look_at=now)
        self._waits.add(wait)
        wait.future.add_done_callback(lambda _: self._waits.discard(wait))
        if timeout_seconds is not None:
            # Not left to the looks: they may hang on a database that does not answer.
            alarm = loop.call_later(timeout_seconds, wait.expire, timeout_seconds)
            wait.future.add_done_callback(lambda _: alarm.cancel())
        self.wake()
        return wait.future

    async def settle(self) -> None:
        """Waits until nobody waits any more, whatever became of it."""
        while self._waits:
            await asyncio.wait([wait.future for wait in self._waits])

    def give_up(self) -> None:
        """Cancels whoever waits."""
        for wait in list(self._waits):
            wait.future.cancel()

    async def tick(self) -> float:
        now = time.monotonic()
        earliest = self._looked_at + self._shortest_pause
        if now < earliest:
            return earliest - now
        if due := [wait for wait in self._waits if wait.look_at <= now]:
            await self._look(due)
        return max(0.0, min((wait.look_at for wait in self._waits), default=NEVER) - time.monotonic())

    async def _look(self, waits: list[_Wait]) -> None:
        subjects = {wait.subject for wait in waits}
        found: dict[Any, JobStatus | Completion | WorkflowProgress] = {}
        if job_ids := [subject for subject in subjects if isinstance(subject, int)]:
            found.update(await carry_out_async(administration.read_outcomes(job_ids), self._store.run))
        if workflow_ids := [subject for subject in subjects if isinstance(subject, UUID)]:
            found.update(await carry_out_async(orchestration.read_progress(workflow_ids), self._store.run))
        self._looked_at = time.monotonic()
        for wait in waits:
            if not wait.future.done():
                self._tell(wait, found.get(wait.subject))

    def _tell(self, wait: _Wait, found: JobStatus | Completion | WorkflowProgress | None) -> None:
        match found:
            case Completion():
                wait.future.set_result(found)
                return
            case WorkflowProgress(state=state):
                if state is not WorkflowState.RUNNING:
                    wait.future.set_result(found)
                    return
                wait.status, wait.unseen_since = state, None
            case JobStatus():
                wait.status, wait.unseen_since = found, None
            case None:
                wait.status, wait.unseen_since = None, wait.unseen_since or self._looked_at
                if self._looked_at >= wait.unseen_since + self._unseen_seconds:
                    wait.give_up()
                    return
        age = self._looked_at - wait.since
        wait.look_at = self._looked_at + min(age * SHARE_OF_AGE, self._longest_pause)
