"""Queries: what an application asks of the queue, inside its own session's transaction."""

from datetime import timedelta
from typing import TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

from pgq_orm.methods import Administration
from pgq_orm.reports import Completion
from pgq_orm.sqlalchemy import waiting
from pgq_orm.sqlalchemy.engines import engine_behind
from pgq_orm.sqlalchemy.session import (
    AsyncTarget,
    SyncTarget,
    carry_out,
    carry_out_async,
    require_async,
    require_sync,
)
from pgq_orm.sqlalchemy.store import open_store
from pgq_orm.steps import Steps
from pgq_orm.store import Store

T = TypeVar("T")


class Queries(Administration):
    """The queue, in the transaction of an `AsyncSession` or an `AsyncConnection`.

    Nothing is committed here: a job exists exactly when the caller's transaction commits.
    Raises SessionError for anything that cannot await or carries no transaction.
    """

    def __init__(self, session: AsyncTarget) -> None:
        self._target = require_async(session)

    def open_store(self) -> Store:
        """The database behind the session, for a worker: `PgQueuer(Queries(session))`."""
        return open_store(engine_behind(self._target))

    async def wait_for(self, job_id: int, timeout: timedelta | None) -> Completion:
        """How a job ends: its status word, with `result` and `error`.

        Waits until then, or for the timeout, and with None for as long as it takes. Each look has a connection of its
        own, which is given back. Raises CompletionTimeoutError, JobNotFoundError for a job that is not to be seen for
        five seconds, and SessionError inside a transaction unless the job has ended already: workers cannot see what
        that has enqueued, so commit first. A CompletionWatcher waits for many jobs at a time.
        """
        return await waiting.await_for(self._target, job_id, timeout)

    async def _carry_out(self, steps: Steps[T]) -> T:
        return await carry_out_async(self._target, steps)


class SyncQueries(Administration):
    """The queue, in the transaction of a `Session` or a `Connection`; otherwise like `Queries`."""

    def __init__(self, session: SyncTarget) -> None:
        self._target = require_sync(session)

    def open_store(self) -> Store:
        """The database behind the session, for a worker: `PgQueuer(SyncQueries(session))`."""
        return open_store(engine_behind(self._target))

    def wait_for(self, job_id: int, timeout: timedelta | None) -> Completion:
        """How a job ends; blocks until then. Otherwise like `Queries.wait_for`."""
        return waiting.wait_for(self._target, job_id, timeout)

    def _carry_out(self, steps: Steps[T]) -> T:
        return carry_out(self._target, steps)


def open_queries(session: object) -> Queries | SyncQueries:
    """The queue in the transaction of a session or connection, awaited or not. Raises SessionError."""
    if isinstance(session, AsyncSession | AsyncConnection | async_scoped_session | AsyncEngine):
        return Queries(cast(AsyncTarget, session))
    return SyncQueries(cast(SyncTarget, session))
