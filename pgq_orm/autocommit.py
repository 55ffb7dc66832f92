"""Autocommit: the queue, asked by an application that has no transaction in hand."""

import asyncio
from datetime import timedelta
from typing import TypeVar

from pgq_orm.methods import Administration
from pgq_orm.reports import Completion
from pgq_orm.steps import Steps
from pgq_orm.store import Store
from pgq_orm.waiting import looks_at, wait_async

T = TypeVar("T")


class AutocommitQueries(Administration):
    """What `Queries` has, each call in a transaction of its own, which has committed when the call returns.

    A call that raises has changed nothing. Work that belongs to a transaction of yours, in a handler for one, is for
    `Queries` on its session.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_store(self) -> Store:
        """The database that is asked, for whoever takes queries in place of an engine."""
        return self._store

    async def wait_for(self, job_id: int, timeout: timedelta | None) -> Completion:
        """How a job ends: its status word, with `result` and `error`. A CompletionWatcher waits for many at a time.

        Waits until then, or for the timeout, and with None for as long as it takes. Raises CompletionTimeoutError, and
        JobNotFoundError for a job that is not to be seen for five seconds.
        """
        return await wait_async(looks_at(job_id, timeout), self._store.run, asyncio.sleep)

    async def _carry_out(self, steps: Steps[T]) -> T:
        return await self._store.transact(steps)
