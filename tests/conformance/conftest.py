"""Fixtures: one database for all, emptied before each test, and everybody who may use it."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from django.test import override_settings

from tests.conformance.bindings import BINDINGS, Binding
from tests.conformance.callers import CALLERS, Caller
from tests.conformance.doors import DOORS, Door, opened
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables
from tests.databases import database_name, fresh_database


@pytest.fixture(scope="session")
def shared_dsn(server_dsn: str, template_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn, template=database_name(template_dsn)) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def shared_tables(shared_dsn: str) -> Iterator[Tables]:
    with psycopg.connect(shared_dsn, autocommit=True) as connection:
        yield Tables(connection)


@pytest.fixture
def dsn(shared_dsn: str, shared_tables: Tables) -> str:
    """The database of all tests here, emptied: to make a new one takes longer than most of them."""
    shared_tables.empty()
    return shared_dsn


@pytest.fixture
def tables(dsn: str, shared_tables: Tables) -> Tables:
    return shared_tables


@pytest.fixture
def rival(dsn: str) -> Iterator[psycopg.Connection]:
    """Somebody else, in the middle of a transaction."""
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def ears(dsn: str) -> Iterator[Ears]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield Ears(connection)


@pytest.fixture(params=BINDINGS.values(), ids=list(BINDINGS))
async def binding(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Binding]:
    """Each way to carry an operation out, in turn."""
    binding: Binding = request.param(dsn)
    yield binding
    await binding.close()


@pytest.fixture(params=CALLERS.values(), ids=list(CALLERS))
async def caller(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Caller]:
    """Each kind of application, in turn."""
    async with request.param(dsn) as caller:
        yield caller


@pytest.fixture(params=DOORS.values(), ids=list(DOORS))
async def door(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Door]:
    """Each way in which a job comes into the table, in turn."""
    async with opened(dsn, *request.param) as door:
        yield door


@pytest.fixture
def any_entrypoint() -> Iterator[None]:
    """Lets Django enqueue for handlers that nobody has registered, as the others do."""
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        yield
