"""Fixtures: an application with the shop's tasks on each kind of engine, and its queue seen from outside."""

from collections.abc import AsyncIterator, Iterator

import pytest

from pgq_orm import PgQueuer
from tests.tasks.shop import tasks
from tests.worker.conftest import KINDS, dispose, make_engine
from tests.worker.queues import Queue


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    """The queue on `dsn`, from outside."""
    queue = Queue(dsn)
    yield queue
    queue.close()


@pytest.fixture(params=KINDS)
async def each_pgq(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[PgQueuer]:
    """The shop's worker on each kind of engine in turn."""
    engine = make_engine(request.param, dsn)
    yield PgQueuer(engine, registry=tasks)
    await dispose(engine)


@pytest.fixture
async def pgq(dsn: str) -> AsyncIterator[PgQueuer]:
    """The shop's worker."""
    engine = make_engine("psycopg", dsn)
    yield PgQueuer(engine, registry=tasks)
    await dispose(engine)
