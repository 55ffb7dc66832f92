"""Store: the worker's view of the database, through Django connections of its own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from asgiref.sync import sync_to_async

from pgq_orm.bookkeeping import CONNECTING_THREADS, Bookkeeping
from pgq_orm.operations import Operation
from pgq_orm.steps import Steps
from pgq_orm_django.bookkeeping import connect
from pgq_orm_django.scopes import ConnectionScopes
from pgq_orm_django.statements import carry_out_whole
from pgq_orm_django.versions import remedies

T = TypeVar("T")

CLOSE_SECONDS = 5.0


class DatabaseStore:
    """A store on one of `settings.DATABASES`."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.scopes = ConnectionScopes(using)
        self.remedies = remedies(using)
        self._open()

    async def run(self, operation: Operation[T]) -> T:
        return await self._bookkeeping.run(operation)

    async def transact(self, steps: Steps[T]) -> T:
        return await sync_to_async(carry_out_whole)(steps, self._using)

    def sibling(self) -> "DatabaseStore":
        return DatabaseStore(self._using)

    async def close(self) -> None:
        self._bookkeeping.close()
        closing = self._threads.submit(self.scopes.close)
        with suppress(TimeoutError):  # whatever does not even close is left behind
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.wrap_future(closing)
        self._threads.shutdown(wait=False)
        self._open()

    def _open(self) -> None:
        self._threads = threads = ThreadPoolExecutor(CONNECTING_THREADS, thread_name_prefix="pgq-store")
        self.listener = self._bookkeeping = Bookkeeping(lambda: connect(self._using, threads))
