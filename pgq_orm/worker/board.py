"""Board: the slots in which attempts run, and what each attempt came to."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pgq_orm import contexts
from pgq_orm.callees import title
from pgq_orm.canary import Canary
from pgq_orm.errors import LeaseLost
from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.executors.transactional import TransactionalContext
from pgq_orm.journal import tell
from pgq_orm.models import Cancellation, Context, Job, Schedule
from pgq_orm.operations.endings import Ended, Outcome, Release, Settled
from pgq_orm.operations.workers import Lease
from pgq_orm.parents import Parents
from pgq_orm.registry import Entrypoint, Registry
from pgq_orm.statuses import LogStatus
from pgq_orm.worker.judgement import Raised, Returned, Timing, failed, in_words, judge
from pgq_orm.worker.settlement import Settlement
from pgq_orm.worker.starting import task_starter
from pgq_orm.worker.vitals import Tally

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Attempt:
    job: Job
    lease: Lease
    """What it runs under. A job may run here twice, when its first lease is lost and its handler goes on."""
    picked: float  # monotonic; when the pick was sent
    began: float  # monotonic
    cancellation: Cancellation = field(default_factory=Cancellation)
    task: "asyncio.Task[None] | None" = None
    context: Context | None = None
    is_timed_out: bool = False
    is_interrupted: bool = False
    """Whether it was asked to stop for the worker's sake, not its own."""
    settlement: Settlement | None = None  # of a transactional attempt
    ended: Ended | None = None
    """What it came to. Not its task's result: a task that was cancelled last of all has none, whatever it returned."""

    @property
    def release(self) -> Release:
        """What gives it back."""
        return Release(self.job.id, self.job.lease)

    def interrupt(self) -> None:
        """Asks it to stop because the worker must end."""
        self.is_interrupted = (
            not self.cancellation.is_called and self.task is not None and not self.task.done()
        )
        self.cancellation.cancel()

    def has_finished(self, ending: Returned | Raised) -> bool:
        """Whether it came to its own end, although it was interrupted: nothing in it took note of that."""
        return (
            isinstance(ending, Returned)
            and not self.cancellation.is_heard
            and self.task is not None
            and not self.task.cancelling()
        )

    @property
    def may_succeed(self) -> bool:
        """Whether it succeeds by returning: it was not asked to stop, or for the worker's sake, and took no note."""
        return not self.cancellation.is_called or (self.is_interrupted and not self.cancellation.is_heard)

    @property
    def settled(self) -> Settled | None:
        """What tells that it has ended in its handler's transaction; None if it has not."""
        is_settled = self.settlement is not None and self.settlement.is_settled
        return Settled(self.job.id, self.job.lease) if is_settled else None

    @property
    def is_ending(self) -> bool:
        """Whether it is being ended in its handler's transaction, or has been: too late to interrupt it."""
        return self.settlement is not None and self.settlement.is_begun


class Board:
    """Runs attempts, at most `capacity` at a time; each ends in `record`, then `on_free`, which is told how many."""

    def __init__(
        self,
        *,
        capacity: int,
        registry: Registry,
        executor_of: Callable[[Job], AbstractEntrypointExecutor],
        resources: MutableMapping[Any, Any],
        find_schedule: Callable[[Job], Awaitable[Schedule | None]],
        find_parents: Callable[[Job], Awaitable[Parents]],
        has_ended: Callable[[Lease], Awaitable[bool]],
        record: Callable[[Ended], None],
        on_free: Callable[[int], None],
        tally: Tally | None = None,
    ) -> None:
        self.capacity = capacity
        self._registry = registry
        self._executor_of = executor_of
        self._resources = resources
        self._find_schedule = find_schedule
        self._find_parents = find_parents
        self._has_ended = has_ended
        self._record = record
        self._tally = Tally() if tally is None else tally
        self._on_free = on_free
        self._running: dict[Lease, _Attempt] = {}  # loop thread only
        self._ended_lately = 0
        self._canary = Canary()
        self._is_abandoned = False
        self._is_over = False

    @property
    def free(self) -> int:
        """How many attempts may start now."""
        return self.capacity - len(self._running)

    @property
    def running(self) -> int:
        """How many attempts run."""
        return len(self._running)

    @property
    def tasks(self) -> "set[asyncio.Task[None]]":
        """Those of the attempts that run."""
        return {attempt.task for attempt in self._running.values() if attempt.task is not None}

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    def running_jobs(self) -> list[Job]:
        """The jobs that run. May be called from any thread."""
        return [attempt.job for attempt in list(self._running.values())]

    def running_in(self, queue: str) -> int:
        """How many attempts run of a queue's jobs."""
        return sum(attempt.job.queue == queue for attempt in self._running.values())

    def start(self, jobs: list[Job], picked: float) -> None:
        """Starts an attempt for each job, in order; gives them back once abandoned.

        `picked` is when their pick was sent, on the monotonic clock.
        """
        now = time.monotonic()
        start_task = task_starter()
        if not self._is_abandoned:
            self._canary.put_up()
        ended_at_once = 0
        for job in jobs:
            attempt = _Attempt(job, Lease(job.id, job.lease), picked, now)
            if self._is_abandoned:
                self._record(attempt.release)
                continue
            self._running[attempt.lease] = attempt
            task = attempt.task = start_task(self._attempt(attempt), f"pgq-handler of job {job.id}")
            if task.done():
                self._end(attempt, task)
                ended_at_once += 1
            else:
                attempt.cancellation.attach(task)
                task.add_done_callback(partial(self._end_later, attempt))
        if ended_at_once:
            self._on_free(ended_at_once)

    def context_of(self, job_id: int) -> Context | None:
        """The context of the job if it runs; of its latest attempt. May be called from any thread."""
        attempts = reversed(list(self._running.values()))
        return next((attempt.context for attempt in attempts if attempt.job.id == job_id), None)

    def runs(self, job_id: int, lease: int) -> bool:
        """Whether an attempt under this lease runs, and is not already being ended."""
        attempt = self._running.get(Lease(job_id, lease))
        return attempt is not None and not attempt.is_ending

    def cancel(self, job_id: int, lease: int) -> None:
        """Asks a running attempt to stop. Its slot stays taken until the handler has really ended."""
        attempt = self._running.get(Lease(job_id, lease))
        if attempt is not None and not attempt.is_ending:
            tell(logger, logging.INFO, "Canceling job %d", job_id, job_id=job_id)
            attempt.cancellation.cancel()

    async def finish(self) -> None:
        """Waits until every attempt has ended."""
        while tasks := [attempt.task for attempt in self._running.values() if attempt.task]:
            await asyncio.wait(tasks)
        self._canary.take_down()

    async def abandon(self, grace_seconds: float) -> None:
        """Interrupts every attempt; each is given back, unless it came to its own end nevertheless.

        An async handler is cancelled where it awaits. A thread cannot be stopped: whatever still runs after
        the grace goes on without a lease, so that nothing it returns is kept. An attempt whose transaction is being
        committed is left out, because to give it back would mean to wait for that; if it fails, it is rescued.
        """
        self._is_abandoned = True
        for attempt in self._running.values():
            attempt.interrupt()
        tasks = [attempt.task for attempt in self._running.values() if attempt.task]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
            await asyncio.sleep(0)  # for the callbacks of those that have ended
        self._is_over = True
        if not self._running:
            self._canary.take_down()
        else:
            message = "Leaving %d handlers behind that cannot be interrupted"
            tell(logger, logging.WARNING, message, len(self._running))
        for attempt in self._running.values():
            if not attempt.is_ending:
                self._record(attempt.release)

    def _end_later(self, attempt: _Attempt, task: "asyncio.Task[None]") -> None:
        # A callback, because a task that is cancelled before its first step never runs a line of its own.
        self._end(attempt, task)
        if not self._ended_lately:
            asyncio.get_running_loop().call_soon(self._tell_free)  # once of all that end in this turn
        self._ended_lately += 1

    def _tell_free(self) -> None:
        ended, self._ended_lately = self._ended_lately, 0
        self._on_free(ended)

    def _end(self, attempt: _Attempt, task: "asyncio.Task[None]") -> None:
        del self._running[attempt.lease]
        attempt.cancellation.detach()
        if self._is_over and not self._running:
            self._canary.take_down()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_badly(attempt, error)
        if not self._is_over:
            ended = attempt.settled or attempt.ended or attempt.release
            self._tally.count(attempt.job.entrypoint, ended, time.monotonic() - attempt.began)
            self._record(ended)

    def _end_badly(self, attempt: _Attempt, error: BaseException) -> None:
        # An error of ours, not the handler's: the job ends all the same, or it would be leased for as long as we live.
        job_id, entrypoint = attempt.job.id, attempt.job.entrypoint
        message = "Job %d (%s) failed in its worker, not in its handler"
        tell(logger, logging.ERROR, message, job_id, entrypoint, exc_info=error, job_id=job_id)
        if attempt.ended is None:
            timing = Timing(attempt.began - attempt.picked, time.monotonic() - attempt.began)
            attempt.ended = failed(attempt.job, error, timing)

    async def _attempt(self, attempt: _Attempt) -> None:
        job = attempt.job
        entrypoint = self._registry.entrypoints[job.entrypoint]
        started = time.monotonic()
        attempt.task = asyncio.current_task()  # where it begins before whoever starts it has the task
        if job.is_cancel_requested:
            # of an attempt that failed, or whose worker died, before it could hear of it
            attempt.ended = judge(job, entrypoint, Returned(None), Timing(0.0, 0.0), is_canceled=True)
            return
        timer = _time_out_later(attempt, entrypoint)
        ending: Returned | Raised
        try:
            schedule = await self._find_schedule(job) if job.schedule_id is not None else None
            attempt.context = self._context(attempt, entrypoint, schedule, started - attempt.picked)
            contexts.enter(attempt.context)
            ending = Returned(await self._executor_of(job).execute(job, attempt.context))
        except BaseException as error:
            # of any kind: SystemExit in a handler is its outcome, not the end of the worker
            if self._is_loop_ending(error, attempt):
                raise
            ending = Raised(error)
        finally:
            if timer is not None:
                timer.cancel()
        attempt.ended = self._conclude(attempt, entrypoint, ending, started)
        del ending  # of which the error's traceback would make a cycle

    def _is_loop_ending(self, error: BaseException, attempt: _Attempt) -> bool:
        """Whether its task was cancelled with all others, not by us, and not by its handler."""
        return (
            isinstance(error, asyncio.CancelledError)
            and self._canary.is_struck
            and not attempt.cancellation.is_called
            and attempt.task is not None
            and attempt.task.cancelling() > 0
        )

    def _conclude(
        self, attempt: _Attempt, entrypoint: Entrypoint, ending: Returned | Raised, started: float
    ) -> Ended:
        """What it came to, told in the log unless it is what everybody hopes for."""
        job = attempt.job
        if settled := attempt.settled:
            if isinstance(ending, Raised) and isinstance(ending.error, LeaseLost):
                message = "Lease of job %d is lost: %s"
                tell(logger, logging.WARNING, message, job.id, ending.error, job_id=job.id)
            return settled
        if attempt.is_interrupted and not attempt.has_finished(ending):
            message = "Job %d (%s) was interrupted and is given back"
            tell(logger, logging.INFO, message, job.id, job.entrypoint, job_id=job.id)
            return attempt.release
        if attempt.is_timed_out:
            ending = Raised(TimeoutError(f"ran for more than {entrypoint.timeout}"))
        timing = Timing(started - attempt.picked, time.monotonic() - started)
        is_canceled = attempt.cancellation.is_called and not (attempt.is_timed_out or attempt.is_interrupted)
        ended = judge(job, entrypoint, ending, timing, is_canceled=is_canceled)
        if not (isinstance(ended, Outcome) and ended.status is LogStatus.SUCCESSFUL):
            _tell(job, ended)
        return ended

    def _context(
        self, attempt: _Attempt, entrypoint: Entrypoint, schedule: Schedule | None, wait_seconds: float
    ) -> Context:
        job, cancellation = attempt.job, attempt.cancellation
        if not entrypoint.transactional:
            return Context(job, cancellation, self._resources, schedule, self._find_parents)
        attempt.settlement = Settlement(
            job,
            entrypoint,
            wait_seconds=wait_seconds,
            may_succeed=lambda: attempt.may_succeed,
            has_ended=self._has_ended,
        )
        return TransactionalContext(
            job,
            cancellation,
            self._resources,
            schedule,
            self._find_parents,
            settlement=attempt.settlement,
        )


def _tell(job: Job, ended: Ended) -> None:
    has_failed = isinstance(ended, Outcome) and ended.status is LogStatus.EXCEPTION
    tell(
        logger,
        logging.WARNING if has_failed else logging.INFO,
        "Job %d (%s) %s",
        job.id,
        title(job.entrypoint, job.arguments),
        in_words(ended),
        job_id=job.id,
        entrypoint=job.entrypoint,
        attempt=job.attempts + 1,
    )


def _time_out_later(attempt: _Attempt, entrypoint: Entrypoint) -> asyncio.TimerHandle | None:
    if entrypoint.timeout is None:
        return None

    def time_out() -> None:
        attempt.is_timed_out = not attempt.cancellation.is_called
        attempt.cancellation.cancel()

    return asyncio.get_running_loop().call_later(entrypoint.timeout.total_seconds(), time_out)
