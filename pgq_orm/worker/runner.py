"""Runner: wires the parts into a worker, and ends it in good order."""

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import Collection, MutableMapping
from typing import Any
from uuid import UUID, uuid4

from pgq_orm import operations
from pgq_orm.errors import FailingListenerError, RegistrationError
from pgq_orm.executors.threads import HandlerThreads
from pgq_orm.journal import tell
from pgq_orm.models import Context, Job
from pgq_orm.operations.endings import Ended
from pgq_orm.operations.workers import Lease, Notice
from pgq_orm.queues import declare_queue
from pgq_orm.registry import Registry
from pgq_orm.steps import carry_out_async
from pgq_orm.store import Store, require_schema
from pgq_orm.worker.allowance import IN_WORDS, Allowance, Ending
from pgq_orm.worker.anteroom import Anteroom
from pgq_orm.worker.board import Board
from pgq_orm.worker.crew import Crew
from pgq_orm.worker.drain import Drain
from pgq_orm.worker.fetcher import Fetcher
from pgq_orm.worker.heartbeat import Heartbeat
from pgq_orm.worker.inquiries import Inquiries
from pgq_orm.worker.leases import Leases
from pgq_orm.worker.limited import LimitedFetcher
from pgq_orm.worker.listener import WakeUps
from pgq_orm.worker.pools import warn_of_shortage
from pgq_orm.worker.pruner import Pruner
from pgq_orm.worker.quotas import Quotas
from pgq_orm.worker.rates import Rates
from pgq_orm.worker.recorder import Recorder
from pgq_orm.worker.rescuer import Rescuer
from pgq_orm.worker.scheduler import Scheduler
from pgq_orm.worker.service import AFTER_FAILURE, Service
from pgq_orm.worker.settings import QueueExecutionMode, WorkerSettings
from pgq_orm.worker.slots import Slots
from pgq_orm.worker.vitals import Tally, Vitals

logger = logging.getLogger(__name__)

REPLY_SECONDS = 10.0
"""A pick's reply that takes longer is thrown away; the heartbeat gives its jobs back."""
UNHELD_SECONDS = 3 * REPLY_SECONDS
"""How old a pick must be before the heartbeat may say that nobody holds it."""
UNTOLD_LEASES = 2
"""How many leases pass between two looks at what notices and heartbeats tell of, in case that was lost."""
INTERRUPTION_SECONDS = 5.0
"""How long an interrupted handler may take to clean up when the worker must end now."""
LAST_WRITE_SECONDS = 1.0
"""How long the last try may take to write an outcome, when the worker is to end and the database does not answer."""
POOLED = (
    "This worker shares its database sessions with other clients, through a pooler in transaction mode: its wake-ups "
    "are lost, and its settings (statement_timeout, lock_timeout and others) are left to whoever is given the session "
    "next. Give it an address that goes past the pooler, or one in session mode (docs/running.md, Poolers)"
)
SIGN_OFF_SECONDS = 5.0
"""How long a worker tries to sign off: if it cannot, its heartbeat grows old."""


class Runner:
    """A worker process. It lives under a fresh identity, and under another one if it was declared dead."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        settings: WorkerSettings,
        resources: MutableMapping[Any, Any],
        shutdown: asyncio.Event,
        started: asyncio.Event,
    ) -> None:
        if not registry.entrypoints:
            raise RegistrationError(
                "no entrypoint is registered, so this worker would do nothing: decorate a function with "
                "@pgq.entrypoint('name') or @pgq.schedule('name', '@hourly') before run(), and import the module "
                "that does so"
            )
        self._store = store
        self._registry = registry
        self._settings = settings
        self._resources = resources
        self._shutdown = shutdown
        self._started = started
        self._stop_now = asyncio.Event()
        self.ending: Ending | None = None
        """Why `run()` has ended."""
        self._life: _Life | None = None

    def stop_now(self) -> None:
        """Interrupts what runs and gives everything back, instead of letting it finish."""
        self._stop_now.set()
        self._shutdown.set()

    def context_of(self, job_id: int) -> Context | None:
        """The context of a job that runs here. May be called from any thread."""
        return None if self._life is None else self._life.context_of(job_id)

    def vitals(self) -> Vitals:
        """How the worker fares. May be called from any thread."""
        return Vitals() if self._life is None else self._life.vitals()

    async def run(self) -> None:
        """Works until `shutdown` is set, or the queue is drained. Raises what makes it impossible to start."""
        threads = HandlerThreads(self._settings.max_concurrent_tasks, "pgq-handler")
        crew = Crew(self._registry, self._settings.queues, self._store.scopes, threads, self._shutdown)
        allowance = Allowance(self._settings.max_jobs, self._settings.max_time)
        tally = Tally()
        left_behind: set[asyncio.Task[None]] = set()
        allowance.start()
        try:
            is_first = True
            while self.ending is None:
                self._life = life = _Life(
                    self._store,
                    self._registry,
                    self._settings,
                    self._resources,
                    crew,
                    allowance,
                    tally,
                    left_behind,
                    is_first=is_first,
                )
                self.ending = await life.run(self._shutdown, self._stop_now, self._started)
                left_behind = {task for task in left_behind | life.unfinished if not task.done()}
                is_first = False
        finally:
            self._life = None
            allowance.stop()
            await crew.close()
            # not waited for: a thread that cannot be interrupted has lost its lease already
            threads.shutdown(wait=False, cancel_futures=True)


class _Life:
    """A worker under one identity, from its registration to its end."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: WorkerSettings,
        resources: MutableMapping[Any, Any],
        crew: Crew,
        allowance: Allowance,
        tally: Tally,
        left_behind: "set[asyncio.Task[None]]",
        *,
        is_first: bool,
    ) -> None:
        self._store = store
        self._registry = registry
        self._crew = crew
        self._allowance = allowance
        self._tally = tally
        self._is_first = is_first
        self._settings = settings
        self._entrypoints = sorted(registry.entrypoints)
        self._declared = [*registry.queues.values()]
        self._worker_id: UUID = uuid4()
        self._is_to_drain = settings.mode is QueueExecutionMode.drain
        self._is_picking = False
        self._is_cut_off = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_deaf = asyncio.Event()
        self._is_pooled = False
        self._deafened_by: Exception | None = None
        self._leases = Leases(on_dropped=self._jobs_ended)
        self._canceled_at = -math.inf  # monotonic; when we last heard that somebody canceled running jobs
        self._in_workflows: set[int] = set()  # loop thread only; jobs held for whose end others may wait
        lease_seconds = settings.heartbeat_timeout.total_seconds()
        inquiries = Inquiries(store)
        self._board = Board(
            # What an earlier life could not interrupt keeps its slot, and the thread that it may have.
            capacity=settings.max_concurrent_tasks - len(left_behind),
            registry=registry,
            executor_of=crew.executor_of,
            resources=resources,
            find_schedule=inquiries.find_schedule,
            find_parents=inquiries.find_parents,
            has_ended=inquiries.has_ended,
            record=self._record,
            tally=tally,
            on_free=self._slots_freed,
        )
        for task in left_behind:
            task.add_done_callback(self._slot_returned)
        self._quotas = Quotas(
            store=store,
            queues=settings.queues,
            interval_seconds=UNTOLD_LEASES * lease_seconds,
            running=self._started_of,
            on_changed=self._queues_changed,
        )
        self._anteroom = Anteroom(
            free=lambda: self._board.free, start=self._board.start, give_back=self._record
        )
        self._recorder = Recorder(
            store=store,
            worker_id=self._worker_id,
            leases=self._leases,
            on_delayed=self._expect_due,
            on_idle=self._recorded,
        )
        self._rates = rates = Rates(store=store, has_rate=self._quotas.has_rate)
        limits = registry.limits
        slots = Slots(
            free=self._free,
            ahead=self._ahead,
            room=self._quotas.room,
        )
        self._drain = Drain(limited=limits, is_idle=self._is_idle, on_drained=self._drained)
        self._fetcher = Fetcher(
            store=store,
            worker_id=self._worker_id,
            queues=settings.queues,
            entrypoints=sorted(registry.entrypoints.keys() - limits.keys()),
            batch_size=settings.batch_size,
            poll_seconds=settings.dequeue_timeout.total_seconds(),
            reply_seconds=REPLY_SECONDS,
            slots=slots,
            is_open=self._quotas.is_open,
            rates=rates,
            drain=self._drain,
            on_picked=self._picked,
            on_promoted=self._promoted,
            on_answered=lambda: self._limited_fetcher.slot_freed(),
        )
        self._limited_fetcher = LimitedFetcher(
            store=store,
            worker_id=self._worker_id,
            queues=settings.queues,
            limits=limits,
            batch_size=settings.batch_size,
            poll_seconds=settings.dequeue_timeout.total_seconds(),
            reply_seconds=REPLY_SECONDS,
            slots=slots,
            is_open=self._quotas.is_open,
            rates=rates,
            drain=self._drain,
            on_picked=self._picked,
            on_answered=self._fetcher.slot_freed,
        )
        self._fetchers: list[Service] = [self._fetcher, self._limited_fetcher]
        self._heartbeat = Heartbeat(
            store=store,
            worker_id=self._worker_id,
            leases=self._leases,
            lease_seconds=lease_seconds,
            unheld_seconds=UNHELD_SECONDS,
            on_notices=self._hear,
            on_cut_off=self._cut_off,
            running=self._board.running_jobs,
        )
        self._wake_ups = WakeUps(
            store=store,
            on_enqueued=self._enqueued,
            on_canceled=self._canceled,
            on_queues_changed=self._quotas.wake,
            on_lost=self._listener_lost,
        )
        self._scheduler = Scheduler(
            store=store, schedules=registry.schedules.values(), on_fired=self._expect_ready
        )
        self._rescuer = Rescuer(
            store=store,
            interval_seconds=UNTOLD_LEASES * lease_seconds,
            crash_limit=settings.crash_limit,
            on_rescued=self._returned,
        )
        self._upkeep: list[Service] = [
            self._quotas,
            self._scheduler,
            self._rescuer,
            Pruner(store=store, retention=settings.log_retention),
        ]

    def vitals(self) -> Vitals:
        """How the worker fares. Safe from any thread."""
        answered = self._heartbeat.answered
        return Vitals(
            worker_id=self._worker_id,
            running=self._board.running,
            slots=self._board.capacity,
            heartbeat_age=None if answered is None else time.monotonic() - answered,
            is_database_reachable=answered is not None and self._heartbeat.is_answered,
            picked=self._tally.picked,
            attempts=self._tally.snapshot(),
            is_picking=self._is_picking,
        )

    async def run(
        self, shutdown: asyncio.Event, stop_now: asyncio.Event, started: asyncio.Event
    ) -> Ending | None:
        """Works until there is a reason to end, and answers it; None if it was cut off and is to live again."""
        if not await self._register(shutdown):
            return self._reason_to_end(shutdown)
        self._heartbeat.start()
        for part in (self._recorder, *self._fetchers, self._wake_ups, *self._upkeep):
            part.start()
        tell(
            logger,
            logging.INFO,
            "Worker %s runs %s; queues: %s",
            self._worker_id,
            ", ".join(self._entrypoints),
            ", ".join(self._settings.queues),
            worker_id=self._worker_id,
        )
        if self._is_first:
            warn_of_shortage(self._store.scopes, self._registry, self._crew.executors, self._settings)
        started.set()
        try:
            self._is_picking = True
            await _first(shutdown, self._is_cut_off, self._is_drained, self._allowance.used_up, self._is_deaf)
        finally:
            self._is_picking = False
            try:
                await self._stop(shutdown, stop_now)
            finally:
                self._heartbeat.forsake()
        if self._is_deaf.is_set():
            raise FailingListenerError from self._deafened_by
        ending = self._reason_to_end(shutdown)
        if ending is not None:
            tell(logger, logging.INFO, "Worker %s has ended: %s", self._worker_id, IN_WORDS[ending])
        return ending

    def _reason_to_end(self, shutdown: asyncio.Event) -> Ending | None:
        if self._is_drained.is_set():
            return Ending.drained
        return Ending.asked if shutdown.is_set() else self._allowance.reason

    async def _register(self, shutdown: asyncio.Event) -> bool:
        """Tells that the worker lives; waits for a database that went away since the life before."""
        failures = 0
        while self._reason_to_end(shutdown) is None:
            try:
                await require_schema(self._store)
                if self._declared:
                    await carry_out_async(declare_queue(self._declared), self._store.run)
                # before the first pick: what is said of a queue holds from the beginning
                await self._quotas.tick()
                await self._store.run(
                    operations.register_worker(
                        self._worker_id,
                        lease_seconds=self._settings.heartbeat_timeout.total_seconds(),
                        pid=os.getpid(),
                        hostname=socket.gethostname(),
                        queues=self._settings.queues,
                        entrypoints=self._entrypoints,
                    )
                )
                return True
            except Exception as error:
                if self._is_first:
                    raise  # a wrong address is not worth waiting for
                failures += 1
                delay = AFTER_FAILURE.delay_seconds(failures)
                tell(logger, logging.WARNING, "Worker cannot register, next try in %.1f s: %r", delay, error)
                await _first(shutdown, self._allowance.used_up, timeout=delay)
        return False

    async def _stop(self, shutdown: asyncio.Event, stop_now: asyncio.Event) -> None:
        # In this order: nothing new, then what runs, then what it came to; alive in the database until then.
        finishing = asyncio.create_task(self._finish())
        patience = self._settings.shutdown_timeout
        patience_seconds = None if patience is None else patience.total_seconds()
        await _first(stop_now, self._is_cut_off, until=finishing, timeout=patience_seconds)
        if not finishing.done():
            if not (stop_now.is_set() or self._is_cut_off.is_set()):
                tell(
                    logger,
                    logging.WARNING,
                    "What runs has not ended within %s: it is interrupted and given back",
                    patience,
                )
            finishing.cancel()
            await self._interrupt()
        await self._wake_ups.abort()
        await self._write_outcomes(shutdown)
        await self._heartbeat.stop()
        await self._sign_off()

    async def _finish(self) -> None:
        self._anteroom.close()
        await self._stop_parts()
        await self._board.finish()

    async def _interrupt(self) -> None:
        # What runs comes first: if we are cut off the others may have its jobs soon, and our statements may hang.
        self._anteroom.close()
        await self._board.abandon(INTERRUPTION_SECONDS)
        await self._stop_parts(0 if self._is_cut_off.is_set() else INTERRUPTION_SECONDS)

    async def _stop_parts(self, patience_seconds: float | None = None) -> None:
        # All at once: while one was waited for, the others would go on.
        await asyncio.gather(*(part.stop(patience_seconds) for part in (*self._fetchers, *self._upkeep)))

    async def _write_outcomes(self, shutdown: asyncio.Event) -> None:
        """Waits until it is written what the attempts came to; not for ever, if the worker is to end."""
        self._recorder.start()  # again, if its loop was cancelled because the event loop is ending
        self._recorder.wake()
        while not self._recorder.idle.is_set() and not (shutdown.is_set() and self._is_cut_off.is_set()):
            awaited = [event for event in (shutdown, self._is_cut_off) if not event.is_set()]
            await _first(self._recorder.idle, *awaited)
        await self._recorder.stop(LAST_WRITE_SECONDS)
        if unwritten := self._recorder.unwritten:
            tell(
                logger,
                logging.ERROR,
                "What %d jobs came to could not be written; they will be rescued and run again: %s",
                len(unwritten),
                ", ".join(map(str, unwritten)),
            )

    async def _sign_off(self) -> None:
        try:
            async with asyncio.timeout(SIGN_OFF_SECONDS):
                # a last beat: gives back what was picked for us in a reply that never arrived
                await self._store.run(
                    operations.beat(self._worker_id, self._leases.snapshot(), unheld_seconds=0)
                )
                await self._store.run(operations.unregister_worker(self._worker_id))
        except Exception as error:
            tell(
                logger,
                logging.WARNING,
                "Worker could not sign off, its jobs are rescued when its heartbeat is too old: %r",
                error,
            )

    def context_of(self, job_id: int) -> Context | None:
        """The context of a job that runs in this life."""
        return self._board.context_of(job_id)

    @property
    def unfinished(self) -> "set[asyncio.Task[None]]":
        """What still runs of it."""
        return self._board.tasks

    # What the parts tell each other

    def _picked(self, jobs: list[Job], picked: float) -> None:
        self._drain.picked()
        self._leases.hold(jobs)
        self._allowance.take(len(jobs))
        self._in_workflows.update(job.id for job in jobs if job.workflow_id is not None)
        self._tally.picked += len(jobs)
        self._anteroom.add(jobs, picked)
        if self._canceled_at >= picked:
            self._heartbeat.beat_soon()  # the beat after that may have known nothing of these jobs

    def _record(self, ended: Ended) -> None:
        self._recorder.add(ended)

    def _slots_freed(self, number: int) -> None:
        self._anteroom.slots_freed(number)
        self._fetcher.slot_freed()
        self._limited_fetcher.slot_freed()

    def _slot_returned(self, _: "asyncio.Task[None]") -> None:
        self._board.capacity += 1
        self._slots_freed(1)

    def _free(self) -> float:
        return min(self._board.free - len(self._anteroom), self._allowance.left)

    def _ahead(self) -> int:
        if self._limited_fetcher.wants_room:
            return 0  # what is picked ahead would take every slot before it is free
        # who may run no more than so many jobs must not pick any that may have to be given back
        return self._anteroom.ahead if self._allowance.left == math.inf else 0

    def _started_of(self, queue: str) -> int:
        return self._board.running_in(queue) + self._anteroom.waiting_of(queue)

    def _jobs_ended(self, job_ids: Collection[int]) -> None:
        self._limited_fetcher.jobs_ended(job_ids)
        if not self._in_workflows.isdisjoint(job_ids):
            self._in_workflows.difference_update(job_ids)
            self._expect_ready()  # what waited for them: sooner than by a notice, of which there is one in 20 ms

    def _enqueued(self) -> None:
        self._fetcher.expect_deferred()
        self._limited_fetcher.expect_ready()

    def _canceled(self) -> None:
        self._canceled_at = time.monotonic()
        self._heartbeat.beat_soon()

    def _promoted(self) -> None:
        self._limited_fetcher.expect_ready()

    def _returned(self) -> None:
        self._fetcher.expect_returned()
        self._limited_fetcher.expect_ready()

    def _expect_ready(self) -> None:
        self._fetcher.wake()
        self._limited_fetcher.expect_ready()

    def _queues_changed(self) -> None:
        self._rates.forget()
        self._anteroom.give_back()  # a queue of theirs may be paused
        self._expect_ready()

    def _expect_due(self, delay_seconds: float) -> None:
        self._fetcher.expect_due(delay_seconds)
        if delay_seconds <= 0:
            self._limited_fetcher.expect_ready()

    def _recorded(self) -> None:
        self._scheduler.jobs_ended()
        if self._is_to_drain and self._board.is_idle and not self._anteroom:
            self._expect_ready()  # for the look that finds the queue empty

    def _is_idle(self) -> bool:
        return self._board.is_idle and not self._anteroom and self._recorder.idle.is_set()

    def _drained(self) -> None:
        if self._is_to_drain:
            self._is_drained.set()

    def _hear(self, notices: list[Notice]) -> None:
        for notice in notices:
            match notice:
                case Notice("canceling", int(job_id), int(lease)):
                    self._anteroom.drop(job_id, lease, give_back=True)
                    self._board.cancel(job_id, lease)
                # One that has just ended and been written is gone as well: no reason to worry.
                case Notice("lost", int(job_id), int(lease)) if self._holds(job_id, lease):
                    tell(logger, logging.WARNING, "Lease of job %d is lost", job_id, job_id=job_id)
                    self._leases.drop([Lease(job_id, lease)])
                    self._anteroom.drop(job_id, lease, give_back=False)
                    self._board.cancel(job_id, lease)
                case Notice("dead"):
                    self._rescuer.wake()
                case Notice("pooled") if not self._is_pooled:
                    self._is_pooled = True
                    tell(logger, logging.ERROR, POOLED)
                case Notice("returned", int(job_id), _):
                    tell(logger, logging.WARNING, "Gave job %d back: its pick's reply never arrived", job_id)
                    self._returned()
                case _:
                    pass

    def _holds(self, job_id: int, lease: int) -> bool:
        return self._board.runs(job_id, lease) or self._anteroom.holds(job_id, lease)

    def _cut_off(self, reason: str) -> None:
        if not self._is_cut_off.is_set():
            tell(logger, logging.ERROR, "Worker %s stops its jobs: %s", self._worker_id, reason)
            self._is_cut_off.set()

    def _listener_lost(self, error: Exception) -> None:
        if self._settings.shutdown_on_listener_failure and not self._is_to_drain:
            self._deafened_by = error
            self._is_deaf.set()


async def _first(
    *events: asyncio.Event, until: "asyncio.Task[Any] | None" = None, timeout: float | None = None
) -> None:
    """Waits for the first of these, or for the timeout in seconds."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(
            [*waiting, *([until] if until else [])], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in waiting:
            task.cancel()
