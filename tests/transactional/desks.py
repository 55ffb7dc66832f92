"""Desks: an application whose handlers write, on each binding, behind one face.

A handler's body is written once, as a coroutine function of the job and a Hand. On bindings whose handlers are plain
functions, the hand never suspends, so the body runs through like any function.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import pgq_orm_django
from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job
from pgq_orm.sqlalchemy import Queries, SyncQueries
from pgq_orm_django.store import DatabaseStore
from tests.conformance.project import point
from tests.databases import Driver, sqlalchemy_url
from tests.eventually import aeventually

Rows: TypeAlias = Sequence[Sequence[Any]]
PATIENCE_SECONDS = 20.0


class Hand(ABC):
    """What a body writes with."""

    context: Context

    @abstractmethod
    async def execute(self, statement: str) -> Rows:
        """Sends a statement, in the handler's transaction."""

    @abstractmethod
    async def enqueue(self, entrypoint: str) -> None:
        """Enqueues a job, in the handler's transaction."""

    @abstractmethod
    async def commit(self) -> None:
        """What a handler must not do."""

    @abstractmethod
    async def after_commit(self, callback: Callable[[], object]) -> None:
        """Has the ORM call something once the transaction is committed."""

    @abstractmethod
    async def wait(self, happening: threading.Event) -> None:
        """Waits for the test."""

    async def write(self, job: Job, side: str) -> None:
        await self.execute(f"INSERT INTO ledger VALUES ({job.id}, '{side}')")


Body: TypeAlias = Callable[[Job, Hand], Coroutine[Any, Any, Any]]


def run_through(body: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that never suspends."""
    try:
        body.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the hand of a plain function has waited for a loop")


async def wait_in_loop(happening: threading.Event) -> None:
    await aeventually(happening.is_set, PATIENCE_SECONDS)


async def wait_in_thread(happening: threading.Event) -> None:
    assert happening.wait(PATIENCE_SECONDS)


class OnAsyncSession(Hand):
    def __init__(self, context: Context, session: AsyncSession) -> None:
        self.context = context
        self.session = session

    async def execute(self, statement: str) -> Rows:
        result: Any = await self.session.execute(text(statement))
        return result.all() if result.returns_rows else []

    async def enqueue(self, entrypoint: str) -> None:
        await Queries(self.session).enqueue(entrypoint)

    async def commit(self) -> None:
        await self.session.commit()

    async def after_commit(self, callback: Callable[[], object]) -> None:
        event.listen(self.session.sync_session, "after_commit", lambda session: callback())

    async def wait(self, happening: threading.Event) -> None:
        await wait_in_loop(happening)


class OnSession(Hand):
    def __init__(self, context: Context, session: Session) -> None:
        self.context = context
        self.session = session

    async def execute(self, statement: str) -> Rows:
        result: Any = self.session.execute(text(statement))
        return result.all() if result.returns_rows else []

    async def enqueue(self, entrypoint: str) -> None:
        SyncQueries(self.session).enqueue(entrypoint)

    async def commit(self) -> None:
        self.session.commit()

    async def after_commit(self, callback: Callable[[], object]) -> None:
        event.listen(self.session, "after_commit", lambda session: callback())

    async def wait(self, happening: threading.Event) -> None:
        await wait_in_thread(happening)


class OnDjango(Hand):
    def __init__(self, context: Context, using: str) -> None:
        self.context = context
        self.using = using

    async def execute(self, statement: str) -> Rows:
        return self.execute_now(statement)

    def execute_now(self, statement: str) -> Rows:
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    async def enqueue(self, entrypoint: str) -> None:
        pgq_orm_django.enqueue(entrypoint, using=self.using)

    async def commit(self) -> None:
        transaction.commit(self.using)

    async def after_commit(self, callback: Callable[[], object]) -> None:
        transaction.on_commit(callback, self.using)

    async def wait(self, happening: threading.Event) -> None:
        await wait_in_thread(happening)


class OnAsyncDjango(OnDjango):
    async def execute(self, statement: str) -> Rows:
        return await sync_to_async(self.execute_now)(statement)

    async def enqueue(self, entrypoint: str) -> None:
        await pgq_orm_django.aenqueue(entrypoint, using=self.using)

    async def commit(self) -> None:
        await sync_to_async(transaction.commit)(self.using)

    async def after_commit(self, callback: Callable[[], object]) -> None:
        await sync_to_async(transaction.on_commit)(callback, self.using)

    async def wait(self, happening: threading.Event) -> None:
        await wait_in_loop(happening)


class Desk(ABC):
    """An application on one binding, with a worker's worth of handlers."""

    pgq: PgQueuer

    def handle(self, entrypoint: str, body: Body, *, transactional: bool = True, **options: Any) -> None:
        """Registers a handler that runs the body."""
        handler = self.handler(body)
        self.pgq.entrypoint(entrypoint, transactional=transactional, **options)(handler)

    @abstractmethod
    def handler(self, body: Body) -> Callable[..., Any]: ...

    @abstractmethod
    async def close(self) -> None: ...


class AsyncSessionDesk(Desk):
    def __init__(self, dsn: str, driver: Driver, **options: Any) -> None:
        self.engine = create_async_engine(sqlalchemy_url(dsn, driver), **options)
        self.pgq = PgQueuer(self.engine)

    def handler(self, body: Body) -> Callable[..., Any]:
        async def handler(job: Job, session: AsyncSession, context: Context) -> Any:
            return await body(job, OnAsyncSession(context, session))

        return handler

    async def close(self) -> None:
        await self.engine.dispose()


class SessionDesk(Desk):
    def __init__(self, dsn: str, **options: Any) -> None:
        self.engine = create_engine(sqlalchemy_url(dsn), **options)
        self.pgq = PgQueuer(self.engine)

    def handler(self, body: Body) -> Callable[..., Any]:
        def handler(job: Job, session: Session, context: Context) -> Any:
            return run_through(body(job, OnSession(context, session)))

        return handler

    async def close(self) -> None:
        self.engine.dispose()


class DjangoDesk(Desk):
    def __init__(self, dsn: str, *, is_async: bool) -> None:
        self.using = point(dsn)
        self.is_async = is_async
        self.pgq = PgQueuer(DatabaseStore(self.using))

    def handler(self, body: Body) -> Callable[..., Any]:
        def handler(job: Job, context: Context) -> Any:
            return run_through(body(job, OnDjango(context, self.using)))

        async def async_handler(job: Job, context: Context) -> Any:
            return await body(job, OnAsyncDjango(context, self.using))

        return async_handler if self.is_async else handler

    async def close(self) -> None:
        await sync_to_async(lambda: connections[self.using].close())()


DESKS: dict[str, Callable[..., Desk]] = {
    "async session, psycopg": partial(AsyncSessionDesk, driver="psycopg"),
    "async session, asyncpg": partial(AsyncSessionDesk, driver="asyncpg"),
    "session": SessionDesk,
    "django": partial(DjangoDesk, is_async=False),
    "async django": partial(DjangoDesk, is_async=True),
}
ON_SQLALCHEMY = [name for name in DESKS if "session" in name]
