"""Store: the worker's view of the database, through Django connections of its own."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from asgiref.sync import sync_to_async

from pgq_orm.operations import Operation
from pgq_orm.steps import Steps
from pgq_orm.store import STATEMENT_SECONDS
from pgq_orm_django.bookkeeping import Bookkeeping
from pgq_orm_django.listeners import ConnectionListener
from pgq_orm_django.scopes import ConnectionScopes
from pgq_orm_django.statements import carry_out_whole
from pgq_orm_django.versions import remedies

T = TypeVar("T")

THREADS = 3
"""Fetching, recording and upkeep at the same time."""
REPLY_SECONDS = STATEMENT_SECONDS + 5
"""The client's own limit: a connection that went dumb never delivers what the server says at its."""
CLOSE_SECONDS = 5.0


class DatabaseStore:
    """A store on one of `settings.DATABASES`: its statements run in threads that no handler enters."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.scopes = ConnectionScopes(using)
        self.listener = ConnectionListener(using)
        self.remedies = remedies(using)
        self._open()

    async def run(self, operation: Operation[T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await loop.run_in_executor(self._threads, self._bookkeeping.run, operation)
        except (TimeoutError, asyncio.CancelledError):
            # Nobody can interrupt the thread, and its connection may be dumb: both are left behind.
            self._start_afresh()
            raise

    async def transact(self, steps: Steps[T]) -> T:
        return await sync_to_async(carry_out_whole)(steps, self._using)

    def sibling(self) -> "DatabaseStore":
        return DatabaseStore(self._using)

    async def close(self) -> None:
        closing = (self._threads.submit(self.scopes.close), self._start_afresh())
        with suppress(TimeoutError):  # whatever does not even close is left behind
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*map(asyncio.wrap_future, closing))

    def _open(self) -> None:
        self._bookkeeping = Bookkeeping(self._using)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pgq-store")

    def _start_afresh(self) -> "Future[None]":
        """Goes on with new threads and connections; answers the end of the old ones."""
        closing = self._threads.submit(self._bookkeeping.close)
        self._threads.shutdown(wait=False)
        self._open()
        return closing
