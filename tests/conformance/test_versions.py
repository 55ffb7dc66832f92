"""Versions: a worker can tell a database that is ready for it from one that is not."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import pytest

from pgq_orm import operations
from pgq_orm.schema import CURRENT_VERSION
from tests.conformance.bindings import BINDINGS, Binding
from tests.conformance.tables import Tables
from tests.databases import fresh_database


@pytest.fixture(scope="module")
def bare_dsn(server_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture(params=BINDINGS.values(), ids=list(BINDINGS))
async def binding_to_nothing(request: pytest.FixtureRequest, bare_dsn: str) -> AsyncIterator[Binding]:
    """Each way to carry an operation out, on a database without our tables."""
    binding: Binding = request.param(bare_dsn)
    yield binding
    await binding.close()


async def test_the_version_is_the_one_that_this_release_installs(binding: Binding, tables: Tables) -> None:
    assert await binding.run(operations.has_version()) is True
    assert await binding.run(operations.read_version()) == CURRENT_VERSION


async def test_a_database_without_our_tables_has_none(binding_to_nothing: Binding) -> None:
    assert await binding_to_nothing.run(operations.has_version()) is False


async def test_tables_that_carry_no_version_answer_none(binding: Binding, tables: Tables) -> None:
    tables.execute("DELETE FROM pgq_version")
    try:
        assert await binding.run(operations.read_version()) is None
    finally:
        tables.execute("INSERT INTO pgq_version VALUES (%s)", CURRENT_VERSION)


async def test_the_clock_is_the_databases(binding: Binding, tables: Tables) -> None:
    before = tables.now()
    clock = await binding.run(operations.read_clock())
    assert isinstance(clock, datetime)
    assert timedelta(0) < clock - before < timedelta(seconds=10)
