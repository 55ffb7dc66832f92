"""Applications: PgQueuer, where handlers and schedules are registered and from which a worker is run; its halves."""

import asyncio
import logging
from collections.abc import Iterable, MutableMapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from pgq_orm import contexts
from pgq_orm.autocommit import AutocommitQueries
from pgq_orm.errors import JobNotRunningError
from pgq_orm.models import Context
from pgq_orm.queues import Names, Queue, names_in
from pgq_orm.registry import Registry, require_registry
from pgq_orm.store import Store, open_store
from pgq_orm.worker.allowance import Ending
from pgq_orm.worker.runner import Runner
from pgq_orm.worker.settings import QueueExecutionMode, WorkerSettings
from pgq_orm.worker.vitals import Vitals

logger = logging.getLogger(__name__)

DEFAULTS = WorkerSettings()


class Application:
    """What PgQueuer and its halves have in common: a database, a registry, resources, and the worker on them.

    `connection` is a SQLAlchemy `AsyncEngine` or `Engine`, a factory of their sessions (`async_sessionmaker` or
    `sessionmaker`, which then makes the sessions that handlers ask for), `Queries` on one of them, or another
    application, whose everything is shared. No connection is opened before `run()`.
    """

    def __init__(
        self,
        connection: object,
        *,
        registry: Registry | None = None,
        resources: MutableMapping[Any, Any] | None = None,
        queues: Queue | Iterable[Queue] = (),
    ) -> None:
        shared = connection if isinstance(connection, Application) else None
        self.connection: object = connection if shared is None else shared.connection
        self.store: Store = open_store(connection) if shared is None else shared.store
        self.queries = AutocommitQueries(self.store)
        """The queue for code that has no transaction in hand: each call is one of its own."""
        if registry is None:
            registry = Registry() if shared is None else shared.registry
        self.registry: Registry = require_registry(registry)
        if resources is None:
            resources = {} if shared is None else shared.resources
        self.resources: MutableMapping[Any, Any] = resources
        """The application's own, in every handler's context."""
        self.shutdown: asyncio.Event = asyncio.Event() if shared is None else shared.shutdown
        """Set it to end `run()`: what runs is finished, nothing more is picked."""
        self.started = asyncio.Event()
        """Set once `run()` has registered its worker, which picks jobs from then on."""
        self._runners: list[Runner] = [] if shared is None else shared._runners  # those at work
        self._last_runner: Runner | None = None
        for queue in [queues] if isinstance(queues, Queue | str) else queues:
            self.registry.queue(queue)
        self._set_up()

    async def run(
        self,
        dequeue_timeout: timedelta = DEFAULTS.dequeue_timeout,
        batch_size: int = DEFAULTS.batch_size,
        mode: QueueExecutionMode = DEFAULTS.mode,
        max_concurrent_tasks: int | None = None,
        shutdown_on_listener_failure: bool = DEFAULTS.shutdown_on_listener_failure,
        heartbeat_timeout: timedelta = DEFAULTS.heartbeat_timeout,
        *,
        queues: Names | None = None,
        crash_limit: int = DEFAULTS.crash_limit,
        log_retention: timedelta | None = DEFAULTS.log_retention,
        max_jobs: int | None = DEFAULTS.max_jobs,
        max_time: timedelta | None = DEFAULTS.max_time,
        shutdown_timeout: timedelta | None = DEFAULTS.shutdown_timeout,
    ) -> None:
        """Works until `shutdown` is set, until no job is ready in drain mode, or until its allowance of jobs or of
        time is used up; see WorkerSettings. `ending` says which it was. Serves the default queue and those that are
        declared, or `queues`.

        Survives the loss of the database by itself. Raises SchemaError if its tables are missing or of another
        version, RegistrationError for handlers and settings that cannot work, and FailingListenerError if
        `shutdown_on_listener_failure` asks for it.
        """
        settings = WorkerSettings(
            queues=self._queues() if queues is None else names_in(queues),
            batch_size=batch_size,
            max_concurrent_tasks=(
                DEFAULTS.max_concurrent_tasks if max_concurrent_tasks is None else max_concurrent_tasks
            ),
            dequeue_timeout=dequeue_timeout,
            heartbeat_timeout=heartbeat_timeout,
            shutdown_on_listener_failure=shutdown_on_listener_failure,
            crash_limit=crash_limit,
            log_retention=log_retention,
            mode=QueueExecutionMode(mode),
            max_jobs=max_jobs,
            max_time=max_time,
            shutdown_timeout=shutdown_timeout,
        )
        registry = self._served()
        _tell_of_impatience(registry, heartbeat_timeout)
        _tell_of_strangers(registry, settings.queues)
        self.started.clear()
        store = self.store.sibling()  # so that an application may be run again, in another loop too
        runner = Runner(
            store=store,
            registry=registry,
            settings=settings,
            resources=self.resources,
            shutdown=self.shutdown,
            started=self.started,
        )
        self._runners.append(runner)
        self._last_runner = runner
        try:
            await runner.run()
        finally:
            self._runners.remove(runner)
            await store.close()

    @property
    def ending(self) -> Ending | None:
        """Why `run()` has ended; None before it did."""
        return None if self._last_runner is None else self._last_runner.ending

    def vitals(self) -> Vitals:
        """How the worker fares: whether it takes jobs, how many run, when the database last answered.

        Asks nobody, and may be called from any thread.
        """
        return Vitals() if self._last_runner is None else self._last_runner.vitals()

    def stop_now(self) -> None:
        """Ends `run()` without waiting: handlers are interrupted, all their jobs go back to the queue."""
        for runner in list(self._runners):
            runner.stop_now()
        self.shutdown.set()

    def get_context(self, job_id: int) -> Context:
        """The context of a job that runs in this application: its cancellation, its resources.

        Meant for the job's own handler, sync or async; given to anybody else in this process as well.
        Raises JobNotRunningError.
        """
        context = contexts.current()
        if context is not None and context.job.id == job_id:
            return context  # the caller's own: the same job may run here twice, if its first lease was lost
        found = (runner.context_of(job_id) for runner in list(self._runners))
        if context := next(filter(None, found), None):
            return context
        raise JobNotRunningError(job_id)

    def _set_up(self) -> None:
        """Adds what the application has of its own."""

    def _served(self) -> Registry:
        """What its worker runs."""
        return self.registry

    def _queues(self) -> tuple[str, ...]:
        """The queues that its worker serves if it is not told which."""
        return self.registry.queues_to_serve()


class QueueManager(Application):
    """Handlers by name; its `run()` leaves schedules, and the jobs of their handlers, to others."""

    def _set_up(self) -> None:
        self.entrypoint = self.registry.entrypoint
        self.task = self.registry.task
        self.queue = self.registry.queue
        self.allow_functions = self.registry.allow_functions

    def _served(self) -> Registry:
        return self.registry.without_schedules()


class SchedulerManager(Application):
    """Schedules; its `run()` fires them and runs their handlers, on the queues that they name, and nothing else."""

    def _set_up(self) -> None:
        self.schedule = self.registry.schedule

    def _served(self) -> Registry:
        return self.registry.only_schedules()

    def _queues(self) -> tuple[str, ...]:
        return tuple(sorted({schedule.queue for schedule in self.registry.schedules.values()}))


class PgQueuer(Application):
    """Handlers and schedules by name, on one database, and one worker for all of them."""

    def _set_up(self) -> None:
        self.entrypoint = self.registry.entrypoint
        self.task = self.registry.task
        self.schedule = self.registry.schedule
        self.queue = self.registry.queue
        self.allow_functions = self.registry.allow_functions
        self.qm = QueueManager(self)
        """The half without schedules, which shares everything with this one."""
        self.sm = SchedulerManager(self)
        """The half with nothing but schedules."""


def _tell_of_strangers(registry: Registry, queues: Iterable[str]) -> None:
    """Warns of each queue that is not declared, by an application that declares some: perhaps a slip of the pen."""
    declared = registry.queues_to_serve()
    for queue in queues:
        if registry.queues and queue not in declared:
            close = get_close_matches(queue, declared, n=1)
            logger.warning(
                "Queue %r is not declared by the application%s (declared: %s)",
                queue,
                f"; did you mean {close[0]!r}?" if close else "",
                ", ".join(map(repr, declared)),
            )


def _tell_of_impatience(registry: Registry, heartbeat_timeout: timedelta) -> None:
    """Warns of each entrypoint whose jobs are to be run again sooner than this worker's death is noticed."""
    for entrypoint in registry.entrypoints.values():
        if timedelta(0) < entrypoint.retry_timer < heartbeat_timeout:
            logger.warning(
                "Entrypoint %s has retry_timer=%s, but jobs of a dead worker are run again %s after its last "
                "heartbeat: lower heartbeat_timeout to have them sooner",
                entrypoint.name,
                entrypoint.retry_timer,
                heartbeat_timeout,
            )
