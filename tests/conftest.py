"""Fixtures: a real PostgreSQL for the session, and a database of its own for each test."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pgq_orm import schema
from pgq_orm.embedded import EmbeddedServer, EmbeddedServerError, embedded_binaries
from tests.databases import database_name, fresh_database, roomy_memory, sqlalchemy_url


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are processors: much of what is tested is waiting."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A server to make databases on: PGQ_DSN's, or one that lasts for the session.

    PGQ_POSTGRES_BIN names the binaries of another PostgreSQL than the embedded one. With pytest-xdist each worker
    process has a server to itself.
    """
    if given := os.environ.get("PGQ_DSN"):
        yield given
        return
    binaries = os.environ.get("PGQ_POSTGRES_BIN")
    with EmbeddedServer(
        durable=False,
        settings={"max_prepared_transactions": "20", "max_wal_size": "128MB"},
        binaries=Path(binaries) if binaries else None,
        parent=roomy_memory(),
    ) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def pg_dump() -> str:
    """A pg_dump that is at least as new as the server, so that it can read it."""
    try:
        return str(embedded_binaries() / "pg_dump")
    except EmbeddedServerError:
        return shutil.which("pg_dump") or pytest.skip("no pg_dump here")


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """A database with nothing in it."""
    with fresh_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template_dsn(server_dsn: str) -> Iterator[str]:
    """A database with the current schema, to be copied and never to be written to."""
    with fresh_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            for statement in schema.up():
                connection.execute(statement.encode())
        yield dsn


@pytest.fixture
def dsn(server_dsn: str, template_dsn: str) -> Iterator[str]:
    """A database with the current schema and no rows."""
    with fresh_database(server_dsn, template=database_name(template_dsn)) as dsn:
        yield dsn


@pytest.fixture
def engine(dsn: str) -> Iterator[Engine]:
    """A SQLAlchemy engine of `dsn`, through psycopg."""
    engine = create_engine(sqlalchemy_url(dsn))
    yield engine
    engine.dispose()


@pytest.fixture(params=["psycopg", "asyncpg"])
async def async_engine(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[AsyncEngine]:
    """An asynchronous SQLAlchemy engine of `dsn`, through each driver in turn."""
    engine = create_async_engine(sqlalchemy_url(dsn, request.param))
    yield engine
    await engine.dispose()
