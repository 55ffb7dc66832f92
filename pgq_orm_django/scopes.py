"""Scopes: one thread, and so one connection to each database, for every job that runs; clean before and after it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from itertools import chain
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

import django
from asgiref.sync import ThreadSensitiveContext
from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

from pgq_orm.canary import is_loop_ending
from pgq_orm.worker.pools import Pool
from pgq_orm_django.transactions import AsyncAtomicTransaction, AtomicTransaction, check_transactional

P = ParamSpec("P")
T = TypeVar("T")
POOL_MIN_SIZE, POOL_TIMEOUT_SECONDS = 4, 30.0
"""psycopg_pool's defaults."""


class ConnectionScopes:
    """Surrounds handlers. They take nothing from here by annotation: the ORM finds its connection by the thread."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._idle: list[Slot] = []  # loop thread only
        # What each thread kept open after its last job; every thread writes its own key
        self._kept: dict[int, Sequence[BaseDatabaseWrapper]] = {}

    def claims(self, annotation: object, *, is_async: bool) -> bool:
        return False

    def in_loop(self, wanted: Mapping[str, object]) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        return _InSlot(self._idle)

    def in_thread(self, wanted: Mapping[str, object]) -> AbstractContextManager[Mapping[str, Any]]:
        return _Cleanliness(self._kept)

    def pool(self) -> Pool | None:
        options = connections.settings[self._using].get("OPTIONS", {}).get("pool")
        if not options:
            return None
        said: Mapping[str, Any] = options if isinstance(options, dict) else {}
        smallest = said.get("min_size", POOL_MIN_SIZE)
        return Pool(
            name=f"the pool of DATABASES[{self._using!r}]",
            connections=said.get("max_size") or smallest,
            reckoning="max_size" if said.get("max_size") else "min_size, because max_size is not set",
            patience_seconds=said.get("timeout", POOL_TIMEOUT_SECONDS),
            remedy="max_size in OPTIONS['pool']",
        )

    def connections_of(self, wanted: Mapping[str, object]) -> int:
        return 1  # of its thread, as soon as it uses the ORM

    def check_transactional(self, wanted: Mapping[str, object]) -> None:
        check_transactional(self._using)

    @asynccontextmanager
    async def transaction_in_loop(
        self, wanted: Mapping[str, object]
    ) -> AsyncIterator[AsyncAtomicTransaction]:
        async with self.in_loop(wanted):
            transaction = AsyncAtomicTransaction(self._using)
            try:
                await transaction.begin()
                yield transaction
            finally:
                await transaction.leave()

    @contextmanager
    def transaction_in_thread(self, wanted: Mapping[str, object]) -> Iterator[AtomicTransaction]:
        with self.in_thread(wanted):
            transaction = AtomicTransaction(self._using)
            try:
                yield transaction
            finally:
                transaction.leave()

    @property
    def elsewhere(self) -> Callable[[], AbstractContextManager[None]]:
        return surrounded_elsewhere

    def close(self) -> None:
        """Ends the threads that wait for async jobs, and all connections that were kept for further jobs.

        To be called once no job runs any more, and from a thread without a loop, where Django lets connections close.
        """
        while self._idle:
            self._idle.pop().shutdown()
        for connection in chain.from_iterable(self._kept.values()):
            connection.inc_thread_sharing()
            connection.close()


class Slot(Executor):
    """The thread in which one async job at a time does its synchronous work: the ORM's, above all.

    Cleaned before a job's first call and after its last. A job that makes none costs neither thread nor connection.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pgq-handler-slot")
        self.is_used = False  # loop thread only
        """Whether the job that has it has done anything here."""
        self._calls: set[Future[Any]] = set()  # added in the loop's thread, taken out in any
        """What has not ended."""

    @property
    def is_busy(self) -> bool:
        """Whether something of the job's runs here, though nobody may await it any more."""
        return bool(self._calls)

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if not self.is_used:
            self.is_used = True
            self._thread.submit(clean_connections)
        future = self._thread.submit(call, *args, **kwargs)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    async def leave(self) -> None:
        """Cleans up behind the job, and waits for what it has left running: asgiref does not, once it is cancelled.

        Whoever is cancelled meanwhile is told only then, unless the loop itself is ending: then it stays busy.
        """
        self.is_used = False
        cleaning = self._thread.submit(clean_connections)
        if not self.is_busy:
            return
        cleaned = asyncio.wrap_future(cleaning)
        was_cancelled: asyncio.CancelledError | None = None
        while not cleaned.done() and not is_loop_ending():
            try:
                await asyncio.wait([cleaned])
            except asyncio.CancelledError as error:
                was_cancelled = error
        if was_cancelled is not None:
            raise was_cancelled

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._thread.submit(connections.close_all)
        self._thread.shutdown(wait, cancel_futures=cancel_futures)


class _Cleanliness(AbstractContextManager[Mapping[str, Any]]):
    """Clean connections for a job in this thread, and after it.

    A class, and each time one look at what connections there are: most of what a job that needs none costs here.
    """

    def __init__(self, kept: dict[int, Sequence[BaseDatabaseWrapper]]) -> None:
        self._kept = kept

    def __enter__(self) -> Mapping[str, Any]:
        clean_connections()
        return {}

    def __exit__(self, *_: object) -> None:
        self._kept[get_ident()] = clean_connections()


class _InSlot(AbstractAsyncContextManager[Mapping[str, Any]]):
    """All synchronous work of an async job is done in a slot of its own. A class, for the same reason."""

    def __init__(self, idle: list[Slot]) -> None:
        self._idle = idle

    async def __aenter__(self) -> Mapping[str, Any]:
        self._slot = self._idle.pop() if self._idle else Slot()
        self._context = ThreadSensitiveContext(executor=self._slot)
        await self._context.__aenter__()  # type: ignore[no-untyped-call]
        return {}

    async def __aexit__(self, *raised: object) -> None:
        await self._context.__aexit__(*raised)  # type: ignore[no-untyped-call]
        try:
            if self._slot.is_used:
                await self._slot.leave()
        finally:
            if self._slot.is_busy:
                self._slot.shutdown(wait=False)  # left behind: the next job's calls would wait for this one's
            else:
                self._idle.append(self._slot)


@contextmanager
def surrounded_elsewhere() -> Iterator[None]:
    """Surrounds a handler's import and its calls in another process, where nobody has set up Django."""
    if not apps.ready:
        django.setup()
    clean_connections()
    try:
        yield
    finally:
        clean_connections()


def clean_connections() -> Sequence[BaseDatabaseWrapper]:
    """Closes this thread's connections that are broken, too old or left in the middle of a transaction.

    Answers those that go on to be used, open or not.
    """
    fit = []
    for connection in connections.all(initialized_only=True):
        connection.queries_log.clear()
        if _is_unfit(connection):
            connection.close()
            del connections[connection.alias]  # with all that it believes: a block that never ended, for one
        else:
            connection.close_if_unusable_or_obsolete()
            fit.append(connection)
    return fit


def _is_unfit(connection: BaseDatabaseWrapper) -> bool:
    """Whether a handler has closed it, or left a transaction open, behind Django's back or in front of it."""
    driver = connection.connection
    if driver is None or connection.vendor != "postgresql":
        return False
    return bool(driver.closed) or driver.info.transaction_status != TransactionStatus.IDLE
