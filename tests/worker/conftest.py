"""Fixtures: an application on each kind of engine that a worker can have, and the queue seen from outside."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pgq_orm import PgQueuer
from tests.databases import sqlalchemy_url
from tests.worker.queues import Queue
from tests.worker.wire import Wire, wire_to
from tests.worker.workers import Deaf

KINDS = ("psycopg", "asyncpg", "sync")


def make_engine(kind: str, dsn: str, **options: Any) -> AsyncEngine | Engine:
    if kind == "sync":
        return create_engine(sqlalchemy_url(dsn), **options)
    return create_async_engine(sqlalchemy_url(dsn, "asyncpg" if kind == "asyncpg" else "psycopg"), **options)


async def dispose(engine: AsyncEngine | Engine) -> None:
    if isinstance(engine, AsyncEngine):
        await engine.dispose()
    else:
        engine.dispose()


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    """The queue on `dsn`, from outside."""
    queue = Queue(dsn)
    yield queue
    queue.close()


@pytest.fixture
def wire(dsn: str) -> Iterator[Wire]:
    """A way to `dsn` that can be cut."""
    with wire_to(dsn) as wire:
        yield wire


@pytest.fixture(params=KINDS)
async def each_pgq(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[PgQueuer]:
    """An application on each kind of engine in turn."""
    engine = make_engine(request.param, dsn)
    yield PgQueuer(engine)
    await dispose(engine)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers never hear a wake-up."""
    monkeypatch.setattr("pgq_orm.bookkeeping.Bookkeeping.listen", Deaf.listen)


@pytest.fixture
async def pgq(dsn: str) -> AsyncIterator[PgQueuer]:
    """An application for tests that do not depend on the kind of engine."""
    engine = make_engine("psycopg", dsn)
    yield PgQueuer(engine)
    await dispose(engine)


@pytest.fixture
async def other_pgq(dsn: str) -> AsyncIterator[PgQueuer]:
    """Another application on the same queue."""
    engine = make_engine("psycopg", dsn)
    yield PgQueuer(engine)
    await dispose(engine)


@pytest.fixture(params=KINDS)
async def wired_pgq(request: pytest.FixtureRequest, wire: Wire) -> AsyncIterator[PgQueuer]:
    """An application on each kind of engine in turn, connected by the wire."""
    engine = make_engine(request.param, wire.dsn)
    yield PgQueuer(engine)
    await dispose(engine)
