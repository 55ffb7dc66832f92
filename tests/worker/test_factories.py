"""Factories: sessions made the application's way, which begin or close otherwise, or reach several databases."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.sqlalchemy import Job as MappedJob
from pgq_orm.sqlalchemy import Queries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import database_name, fresh_database, sqlalchemy_url
from tests.worker.queues import Queue

drain = QueueExecutionMode.drain


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    number: Mapped[int] = mapped_column(primary_key=True)


FAILING = text("SELECT 1 / 0")
ON_ORDERS = {"mapper": Order}
ABORTED = "TransactionAborted: the handler returned, but an error that it caught"


class Orders:
    """The orders that a database has, seen from outside."""

    def __init__(self, dsn: str) -> None:
        self._engine = create_engine(sqlalchemy_url(dsn))
        Base.metadata.create_all(self._engine)

    def numbers(self) -> list[int]:
        with Session(self._engine) as session:
            return [order.number for order in session.query(Order).order_by(Order.number)]

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def orders(dsn: str) -> Iterator[Orders]:
    """Orders in the queue's own database."""
    orders = Orders(dsn)
    yield orders
    orders.close()


@pytest.fixture
def other_dsn(server_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture
def other_orders(other_dsn: str) -> Iterator[Orders]:
    """Orders in another database than the queue's."""
    orders = Orders(other_dsn)
    yield orders
    orders.close()


@pytest.fixture
async def other_async_engine(async_engine: AsyncEngine, other_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(async_engine.url.set(database=database_name(other_dsn)))
    yield engine
    await engine.dispose()


async def done(pgq: PgQueuer, queue: Queue) -> tuple[str, str]:
    """How its one job has ended, and by which error."""
    queue.enqueue("post", max_attempts=1)
    await pgq.run(mode=drain)
    [entry] = queue.log()
    return entry.status, (entry.error or "")[: len(ABORTED)]


SUCCESS = ("successful", "")
FAILURE = ("exception", ABORTED)


# How a session begins and ends


async def test_a_session_that_the_handler_begins_by_itself_is_committed_once(
    async_engine: AsyncEngine, queue: Queue, orders: Orders
) -> None:
    pgq = PgQueuer(async_sessionmaker(async_engine, autobegin=False))

    @pgq.entrypoint("post")
    async def post(job: Job, session: AsyncSession, unused: AsyncSession) -> None:
        async with session.begin():
            session.add(Order(number=1))
        await session.begin()
        session.add(Order(number=2))

    assert await done(pgq, queue) == SUCCESS
    assert orders.numbers() == [1, 2]


async def test_so_is_a_plain_functions(engine: Engine, queue: Queue, orders: Orders) -> None:
    pgq = PgQueuer(sessionmaker(engine, autobegin=False))

    @pgq.entrypoint("post")
    def post(job: Job, session: Session, unused: Session) -> None:
        with session.begin():
            session.add(Order(number=1))
        session.begin()
        session.add(Order(number=2))

    assert await done(pgq, queue) == SUCCESS
    assert orders.numbers() == [1, 2]


async def test_a_session_that_the_handler_has_closed_for_good_is_done(
    async_engine: AsyncEngine, queue: Queue, orders: Orders
) -> None:
    pgq = PgQueuer(async_sessionmaker(async_engine, close_resets_only=False))

    @pgq.entrypoint("post")
    async def post(job: Job, session: AsyncSession) -> None:
        async with session:
            session.add(Order(number=1))
            await session.commit()

    assert await done(pgq, queue) == SUCCESS
    assert orders.numbers() == [1]


async def test_a_transactional_handlers_session_begins_by_itself_whatever_made_it(
    async_engine: AsyncEngine, queue: Queue, orders: Orders
) -> None:
    pgq = PgQueuer(async_sessionmaker(async_engine, autobegin=False))

    @pgq.entrypoint("post", transactional=True)
    async def post(job: Job, session: AsyncSession) -> None:
        session.add(Order(number=1))
        await session.flush()
        await session.rollback()
        session.add(Order(number=2))

    assert await done(pgq, queue) == SUCCESS
    assert orders.numbers() == [2]


async def test_so_does_a_plain_functions(engine: Engine, queue: Queue, orders: Orders) -> None:
    pgq = PgQueuer(sessionmaker(engine, autobegin=False))

    @pgq.entrypoint("post", transactional=True)
    def post(job: Job, session: Session) -> None:
        session.add(Order(number=1))

    assert await done(pgq, queue) == SUCCESS
    assert orders.numbers() == [1]


# Several databases


async def test_a_session_needs_no_default_engine(
    async_engine: AsyncEngine, queue: Queue, orders: Orders
) -> None:
    pgq = PgQueuer(async_sessionmaker(binds={Base: async_engine, MappedJob: async_engine}))

    @pgq.entrypoint("post")
    async def post(job: Job, session: AsyncSession) -> None:
        session.add(Order(number=1))
        await session.flush()

    assert await done(pgq, queue) == SUCCESS
    assert orders.numbers() == [1]


@pytest.mark.parametrize("transactional", [False, True])
async def test_an_error_swallowed_on_another_database_fails_the_attempt(
    async_engine: AsyncEngine,
    other_async_engine: AsyncEngine,
    queue: Queue,
    other_orders: Orders,
    transactional: bool,
) -> None:
    pgq = PgQueuer(async_sessionmaker(async_engine, binds={Order: other_async_engine}))

    @pgq.entrypoint("post", transactional=transactional)
    async def post(job: Job, session: AsyncSession) -> None:
        session.add(Order(number=1))
        await session.flush()
        with pytest.raises(DBAPIError):
            await session.execute(FAILING, bind_arguments=ON_ORDERS)

    assert await done(pgq, queue) == FAILURE
    assert other_orders.numbers() == []


@pytest.mark.parametrize("transactional", [False, True])
async def test_so_does_one_that_a_plain_function_swallowed(
    engine: Engine, other_dsn: str, queue: Queue, other_orders: Orders, transactional: bool
) -> None:
    other = create_engine(sqlalchemy_url(other_dsn))
    pgq = PgQueuer(sessionmaker(engine, binds={Order: other}))

    @pgq.entrypoint("post", transactional=transactional)
    def post(job: Job, session: Session) -> None:
        session.add(Order(number=1))
        session.flush()
        with pytest.raises(DBAPIError):
            session.execute(FAILING, bind_arguments=ON_ORDERS)

    assert await done(pgq, queue) == FAILURE
    assert other_orders.numbers() == []
    other.dispose()


async def test_a_session_may_route_by_the_mapper_as_sqlalchemy_passes_it(
    async_engine: AsyncEngine, other_async_engine: AsyncEngine, queue: Queue, other_orders: Orders
) -> None:
    asked: set[object] = set()

    class RoutingSession(Session):
        def get_bind(self, mapper: Any = None, **others: Any) -> Engine:
            if mapper is None:
                return async_engine.sync_engine
            asked.add(mapper.class_)
            ours = issubclass(mapper.class_, Order)
            return (other_async_engine if ours else async_engine).sync_engine

    pgq = PgQueuer(async_sessionmaker(sync_session_class=RoutingSession))

    @pgq.entrypoint("post", transactional=True)
    async def post(job: Job, session: AsyncSession) -> None:
        session.add(Order(number=1))
        await Queries(session).enqueue("next")

    assert await done(pgq, queue) == SUCCESS
    assert other_orders.numbers() == [1]
    assert [job.entrypoint for job in queue.jobs()] == ["next"]
    assert asked == {Order, MappedJob}


async def test_a_transaction_that_the_handler_took_back_is_none_of_the_next_ones(
    async_engine: AsyncEngine, other_async_engine: AsyncEngine, queue: Queue, other_orders: Orders
) -> None:
    pgq = PgQueuer(async_sessionmaker(async_engine, binds={Order: other_async_engine}))

    @pgq.entrypoint("post")
    async def post(job: Job, session: AsyncSession) -> None:
        with pytest.raises(DBAPIError):
            await session.execute(FAILING)
        await session.rollback()
        session.add(Order(number=1))

    assert await done(pgq, queue) == SUCCESS
    assert other_orders.numbers() == [1]


# Several sessions


async def test_of_two_sessions_none_is_committed_if_one_is_aborted(
    async_engine: AsyncEngine, queue: Queue, orders: Orders
) -> None:
    pgq = PgQueuer(async_engine)

    @pgq.entrypoint("post")
    async def post(job: Job, first: AsyncSession, second: AsyncSession) -> None:
        first.add(Order(number=1))
        with pytest.raises(DBAPIError):
            await second.execute(FAILING)

    assert await done(pgq, queue) == FAILURE
    assert orders.numbers() == []


async def test_nor_if_a_flush_of_one_has_failed(engine: Engine, queue: Queue, orders: Orders) -> None:
    pgq = PgQueuer(engine)

    @pgq.entrypoint("post")
    def post(job: Job, first: Session, second: Session) -> None:
        first.add(Order(number=1))
        second.execute(text("INSERT INTO orders VALUES (2)"))
        second.add(Order(number=2))
        with pytest.raises(IntegrityError):
            second.flush()

    assert await done(pgq, queue) == FAILURE
    assert orders.numbers() == []


async def test_nor_if_one_cannot_write_what_it_has_to(engine: Engine, queue: Queue, orders: Orders) -> None:
    pgq = PgQueuer(engine)

    @pgq.entrypoint("post")
    def post(job: Job, first: Session, second: Session) -> None:
        first.add(Order(number=1))
        second.execute(text("INSERT INTO orders VALUES (2)"))
        second.add(Order(number=2))

    status, error = await done(pgq, queue)
    assert (status, error.partition(":")[0]) == ("exception", "IntegrityError")
    assert orders.numbers() == []
