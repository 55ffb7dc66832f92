"""Fixtures: a session as users' tests have one, on a connection whose transaction is rolled back."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.databases import Driver, sqlalchemy_url
from tests.testing.shop import Base
from tests.testing.users import UsersTest


@pytest.fixture
def engine(engine: Engine) -> Engine:
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with rolled_back(engine) as session:
        yield session


@pytest.fixture(params=["Session", "AsyncSession, psycopg", "AsyncSession, asyncpg"])
async def test(request: pytest.FixtureRequest, dsn: str, engine: Engine) -> AsyncIterator[UsersTest]:
    """A user's test, on each kind of session in turn."""
    if request.param == "Session":
        with rolled_back(engine) as session:
            yield UsersTest(session)
        return
    driver: Driver = "asyncpg" if "asyncpg" in request.param else "psycopg"
    async_engine = create_async_engine(sqlalchemy_url(dsn, driver))
    async with rolled_back_async(async_engine) as async_session:
        yield UsersTest(async_session)
    await async_engine.dispose()


@contextmanager
def rolled_back(engine: Engine) -> Iterator[Session]:
    with engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()


@asynccontextmanager
async def rolled_back_async(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with engine.connect() as connection, connection.begin() as transaction:
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        await transaction.rollback()
