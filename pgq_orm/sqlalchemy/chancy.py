"""Chancy: its words for an application, a worker and jobs, so that what was written for Chancy runs on this queue.

Each is a thin coat over our own: `Chancy` over PgQueuer, `push` over `Queries.push`, `Worker` over `PgQueuer.run`.
"""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import SessionError
from pgq_orm.executors import Executor, JobInstance
from pgq_orm.functions import FunctionJob as Job
from pgq_orm.queues import Names, Queue, names_in
from pgq_orm.sqlalchemy import installation
from pgq_orm.sqlalchemy.urls import async_url

__all__ = ["Chancy", "Executor", "Job", "JobInstance", "Queue", "Worker"]


class Chancy:
    """An application on one database; close it, or use it as `async with Chancy(…) as chancy:`.

    `connection` is what PgQueuer takes; with `dsn` an engine is made and closed again. `modules` are those whose
    functions jobs may name, as `PgQueuer.allow_functions` takes them. `plugins` are its queues.
    """

    def __init__(
        self,
        connection: object = None,
        *,
        dsn: str | None = None,
        modules: Names = (),
        plugins: Iterable[Queue] = (),
    ) -> None:
        if (connection is None) == (dsn is None):
            raise SessionError("Chancy takes a connection, such as an AsyncEngine, or a dsn: one of them")
        self._own_engine = None if dsn is None else create_async_engine(async_url(dsn))
        self.pgq = PgQueuer(connection if self._own_engine is None else self._own_engine, queues=plugins)
        """The same application in PgQueuer's words."""
        self.pgq.allow_functions(*names_in(modules))

    async def migrate(self) -> bool:
        """Installs the queue's tables; False if they are there already.

        For applications without a migration tool: see docs/migrations.md for the others. Raises SchemaError for the
        tables of another version.
        """
        engine = self._own_engine or self.pgq.connection
        if isinstance(engine, AsyncEngine):
            async with engine.begin() as connection:
                return await connection.run_sync(installation.install)
        if isinstance(engine, Engine):
            return await asyncio.to_thread(_install, engine)
        raise SessionError(
            f"migrate() needs an AsyncEngine or an Engine, and this application has {engine!r}"
        )

    async def push(self, queue: str, job: Job | Iterable[Job]) -> list[int | None]:
        """Enqueues calls of functions, and commits; answers their jobs' ids, None where a `unique_key` is in use.

        In a transaction of yours it is `Queries(session).push(…)`. Raises FunctionNotAllowedError, and enqueues
        nothing, for a function that this application's own workers would refuse.
        """
        jobs = [job] if isinstance(job, Job) else list(job)
        for each in jobs:
            self.pgq.registry.functions.require(each.func)
        return await self.pgq.queries.push(queue, jobs)

    async def declare(self, queue: Queue, *, upsert: bool = False) -> None:
        """Gives a queue its row in the database; see `Queries.declare_queue`."""
        await self.pgq.queries.declare_queue(queue, upsert=upsert)

    async def pause_queue(self, name: str) -> None:
        """Pauses a queue; see `Queries.pause_queue`."""
        await self.pgq.queries.pause_queue(name)

    async def resume_queue(self, name: str) -> None:
        """Ends a queue's pause."""
        await self.pgq.queries.resume_queue(name)

    async def close(self) -> None:
        """Closes the connections that were opened for this application."""
        await self.pgq.store.close()
        if self._own_engine is not None:
            await self._own_engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Worker:
    """Runs an application's jobs."""

    def __init__(self, chancy: Chancy) -> None:
        self._pgq = chancy.pgq

    async def start(self, **options: Any) -> None:
        """Works until it is stopped; `options` are those of `PgQueuer.run`.

        Serves the queues of the application's `plugins`, and `default`.
        """
        await self._pgq.run(**options)

    async def stop(self) -> None:
        """Lets `start` return once what runs has ended."""
        self._pgq.shutdown.set()


def _install(engine: Engine) -> bool:
    with engine.begin() as connection:
        return installation.install(connection)
