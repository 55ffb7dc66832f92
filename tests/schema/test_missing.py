"""Missing tables: whoever enqueues without them is told what to run."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pgq_orm.errors import SchemaError
from pgq_orm.sqlalchemy import Queries, SyncQueries
from tests.databases import Driver, sqlalchemy_url

MISSING = r"the database has no pgq-orm tables: run `alembic upgrade heads`, or `pgq install`"


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_a_session_without_tables_names_the_command(empty_dsn: str, driver: Driver) -> None:
    engine = create_async_engine(sqlalchemy_url(empty_dsn, driver))
    async with AsyncSession(engine) as session:
        with pytest.raises(SchemaError, match=MISSING):
            await Queries(session).enqueue("mail")
    await engine.dispose()


def test_a_connection_without_tables_names_the_command(empty_dsn: str) -> None:
    engine = create_engine(sqlalchemy_url(empty_dsn))
    with engine.connect() as connection, pytest.raises(SchemaError, match=MISSING):
        SyncQueries(connection).enqueue("mail")
    engine.dispose()
