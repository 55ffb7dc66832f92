"""Fixtures: one database for all, emptied before each test, and everybody who may ask."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from tests.databases import database_name, fresh_database
from tests.queries.askers import ASKERS, Asker
from tests.queries.workshop import Workshop


@pytest.fixture(scope="session")
def shared_dsn(server_dsn: str, template_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn, template=database_name(template_dsn)) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def shared_workshop(shared_dsn: str) -> Iterator[Workshop]:
    with psycopg.connect(shared_dsn, autocommit=True) as connection:
        yield Workshop(connection)


@pytest.fixture
def dsn(shared_dsn: str, shared_workshop: Workshop) -> str:
    """The database of all tests here, emptied: to make a new one takes longer than most of them."""
    shared_workshop.empty()
    return shared_dsn


@pytest.fixture
def workshop(dsn: str, shared_workshop: Workshop) -> Workshop:
    return shared_workshop


@pytest.fixture(params=list(ASKERS.values()), ids=list(ASKERS))
async def asker(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Asker]:
    """Each kind of application, in turn."""
    async with request.param(dsn) as asker:
        yield asker
