"""Fixtures: an executor that is called as a worker calls it, and a queue to be drained."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import create_async_engine

from pgq_orm import PgQueuer
from pgq_orm.executors import EntrypointExecutorParameters, ExecutorFactory
from pgq_orm.handlers import Handler
from pgq_orm.sqlalchemy.scopes import EngineScopes
from tests.databases import sqlalchemy_url
from tests.executors.jobs import Queue, Runs


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
async def shutdown() -> asyncio.Event:
    """The worker's; set it and it is asked to end."""
    return asyncio.Event()


@pytest.fixture
def parameters(threads: ThreadPoolExecutor, shutdown: asyncio.Event) -> Callable[[Handler], Any]:
    """The parameters of an executor for a handler."""

    def make(handler: Handler) -> EntrypointExecutorParameters:
        scopes = EngineScopes(create_async_engine("postgresql+psycopg://"))
        return EntrypointExecutorParameters("entrypoint", handler, scopes, threads, shutdown)

    return make


@pytest.fixture
async def executing(parameters: Callable[[Handler], Any]) -> AsyncIterator[Callable[..., Runs]]:
    """Makes an executor for a handler; gives what runs it on jobs. It is closed after the test."""
    async with AsyncExitStack() as stack:

        def make(factory: ExecutorFactory, handler: Handler) -> Runs:
            executor = factory(parameters(handler))
            stack.push_async_callback(executor.close)
            return Runs(executor)

        yield make


@pytest.fixture
async def pgq(dsn: str) -> AsyncIterator[PgQueuer]:
    """An application on an empty queue."""
    engine = create_async_engine(sqlalchemy_url(dsn))
    yield PgQueuer(engine)
    await engine.dispose()


@pytest.fixture
def queue(engine: Engine) -> Queue:
    """The same queue, to enqueue to and to look at."""
    return Queue(engine)
