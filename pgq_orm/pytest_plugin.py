"""Pytest plugin: a database with the queue's tables, and the functions of `pgq_orm.testing` as fixtures.

Loaded by pytest wherever pgq-orm is installed; imports nothing before a fixture is asked for.
"""

import os
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pgq_orm.applications import Application
    from pgq_orm.registry import Registry


@pytest.fixture(scope="session")
def pgq_server_dsn() -> Iterator[str]:
    """The address of a PostgreSQL server: the one that PGQ_TEST_DSN names, or one that lasts for the session.

    The latter needs the extra `embedded`. With pytest-xdist each worker process has a server to itself.
    """
    if given := os.environ.get("PGQ_TEST_DSN"):
        yield given
        return
    from pgq_orm.embedded import EmbeddedServer

    with EmbeddedServer(durable=False) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def pgq_dsn(pgq_server_dsn: str) -> str:
    """The address of a database that has the queue's tables, for tests that roll back what they do."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy import pool
    from sqlalchemy.ext.asyncio import create_async_engine

    from pgq_orm.sqlalchemy.installation import install
    from pgq_orm.sqlalchemy.urls import async_url

    async def make_tables() -> None:
        engine = create_async_engine(async_url(pgq_server_dsn), poolclass=pool.NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(install)

    with ThreadPoolExecutor(1) as thread:  # whose loop is nobody else's
        thread.submit(asyncio.run, make_tables()).result()
    return pgq_server_dsn


@pytest.fixture
def pgq_handlers() -> "Registry | Application":
    """What `drain` runs the jobs with: to be overridden by a fixture that returns your Registry or PgQueuer."""
    raise pytest.UsageError(
        "the fixture `drain` does not know your handlers: define a fixture `pgq_handlers` in conftest.py that returns "
        "your Registry or PgQueuer, or call pgq_orm.testing.drain(session, handlers); in a Django project import drain "
        "from pgq_orm_django.testing, which knows them"
    )


@pytest.fixture
def drain(pgq_handlers: "Registry | Application") -> Callable[..., Any]:
    """`pgq_orm.testing.drain` with your handlers: `drain(session)`, awaited on an async session."""
    from pgq_orm import testing

    def drain(session: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        return testing.drain(session, pgq_handlers, **options)

    return drain


@pytest.fixture
def assert_enqueued(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`pgq_orm.testing.assert_enqueued`, with your handlers if there is a fixture `pgq_handlers`."""
    from pgq_orm import testing

    return _with_known_handlers(testing.assert_enqueued, request)


@pytest.fixture
def assert_not_enqueued(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`pgq_orm.testing.assert_not_enqueued`, with your handlers if there is a fixture `pgq_handlers`."""
    from pgq_orm import testing

    return _with_known_handlers(testing.assert_not_enqueued, request)


def _with_known_handlers(assertion: Callable[..., Any], request: pytest.FixtureRequest) -> Callable[..., Any]:
    known: Registry | Application | None
    try:
        known = request.getfixturevalue("pgq_handlers")
    except pytest.UsageError:
        known = None

    # no partial(), which pytest would show with all its handlers when the assertion fails
    @wraps(assertion)
    def assert_with_handlers(session: Any, *target: Any, handlers: Any = known, **expected: Any) -> Any:
        __tracebackhide__ = True
        return assertion(session, *target, handlers=handlers, **expected)

    return assert_with_handlers
