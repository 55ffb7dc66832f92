"""Applications: PgQueuer, where handlers are registered and from which a worker is run."""

import asyncio
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

from pgq_orm.operations import DEFAULT_QUEUE
from pgq_orm.registry import Registry
from pgq_orm.store import Store, open_store
from pgq_orm.worker.allowance import Ending
from pgq_orm.worker.runner import Runner
from pgq_orm.worker.settings import QueueExecutionMode, WorkerSettings

DEFAULTS = WorkerSettings()


class PgQueuer:
    """Handlers and schedules by name, on one database.

    `connection` is a SQLAlchemy `AsyncEngine` or `Engine`; no connection is opened before `run()`.
    """

    def __init__(
        self,
        connection: object,
        *,
        registry: Registry | None = None,
        resources: MutableMapping[Any, Any] | None = None,
    ) -> None:
        self.store: Store = open_store(connection)
        self.registry = Registry() if registry is None else registry
        self.resources: MutableMapping[Any, Any] = {} if resources is None else resources
        self.shutdown = asyncio.Event()
        """Set it to end `run()`: what runs is finished, nothing more is picked."""
        self.entrypoint = self.registry.entrypoint
        self.schedule = self.registry.schedule
        self._runner: Runner | None = None

    async def run(
        self,
        dequeue_timeout: timedelta = DEFAULTS.dequeue_timeout,
        batch_size: int = DEFAULTS.batch_size,
        mode: QueueExecutionMode = DEFAULTS.mode,
        max_concurrent_tasks: int = DEFAULTS.max_concurrent_tasks,
        heartbeat_timeout: timedelta = DEFAULTS.heartbeat_timeout,
        *,
        queues: tuple[str, ...] = (DEFAULT_QUEUE,),
        crash_limit: int = DEFAULTS.crash_limit,
        log_retention: timedelta | None = DEFAULTS.log_retention,
        max_jobs: int | None = DEFAULTS.max_jobs,
        max_time: timedelta | None = DEFAULTS.max_time,
        shutdown_timeout: timedelta | None = DEFAULTS.shutdown_timeout,
    ) -> None:
        """Works until `shutdown` is set, until no job is ready in drain mode, or until its allowance of jobs or of
        time is used up; see WorkerSettings. `ending` says which it was.

        Survives the loss of the database by itself. Raises SchemaError if its tables are missing or of another
        version, and RegistrationError for handlers and settings that cannot work.
        """
        settings = WorkerSettings(
            queues=tuple(queues),
            batch_size=batch_size,
            max_concurrent_tasks=max_concurrent_tasks,
            dequeue_timeout=dequeue_timeout,
            heartbeat_timeout=heartbeat_timeout,
            crash_limit=crash_limit,
            log_retention=log_retention,
            mode=QueueExecutionMode(mode),
            max_jobs=max_jobs,
            max_time=max_time,
            shutdown_timeout=shutdown_timeout,
        )
        store = self.store.sibling()  # so that an application may be run again, in another loop too
        self._runner = Runner(
            store=store,
            registry=self.registry,
            settings=settings,
            resources=self.resources,
            shutdown=self.shutdown,
        )
        try:
            await self._runner.run()
        finally:
            await store.close()

    @property
    def ending(self) -> Ending | None:
        """Why `run()` has ended; None before it did."""
        return None if self._runner is None else self._runner.ending

    def stop_now(self) -> None:
        """Ends `run()` without waiting: handlers are interrupted, all their jobs go back to the queue."""
        if self._runner is not None:
            self._runner.stop_now()
        self.shutdown.set()
