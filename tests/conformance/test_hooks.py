"""Hooks: what an application has SQLAlchemy tell it of its statements, it is told of the queue's as well."""

import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm import enqueueing
from pgq_orm.sqlalchemy import Job, Queries, SyncQueries
from tests.conformance.callers import SqlAlchemyCaller
from tests.conformance.tables import Tables
from tests.databases import Driver, sqlalchemy_url

DRIVERS: tuple[Driver, ...] = ("psycopg", "asyncpg")


@pytest.fixture(params=["session", "async session, psycopg", "async session, asyncpg"])
async def caller(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[SqlAlchemyCaller]:
    if request.param == "session":
        engine = create_engine(sqlalchemy_url(dsn))
        with Session(engine) as session:
            yield SqlAlchemyCaller(session)
        engine.dispose()
    else:
        [driver] = [driver for driver in DRIVERS if request.param.endswith(driver)]
        async_engine = create_async_engine(sqlalchemy_url(dsn, driver))
        async with AsyncSession(async_engine) as async_session:
            yield SqlAlchemyCaller(async_session)
        await async_engine.dispose()


@pytest.fixture
def engine(caller: SqlAlchemyCaller) -> Engine:
    engine = caller.carrier.get_bind()
    assert isinstance(engine, Engine)
    return engine


@pytest.fixture
def session(caller: SqlAlchemyCaller) -> Session:
    return caller.carrier.sync_session if isinstance(caller.carrier, AsyncSession) else caller.carrier


async def test_a_hook_on_cursors_hears_of_an_enqueue_and_may_change_it(
    caller: SqlAlchemyCaller, engine: Engine, tables: Tables
) -> None:
    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def sign(
        connection: Connection, cursor: Any, statement: str, params: Any, context: Any, is_many: bool
    ) -> tuple[str, Any]:
        return statement.replace("INSERT INTO pgq_job (", "/* signed */ INSERT INTO pgq_job ("), params

    heard: list[str] = []
    event.listen(engine, "after_cursor_execute", lambda *arguments: heard.append(arguments[2]))
    await caller.enqueue("mail", b"1")
    await caller.commit()
    assert [statement[:23] for statement in heard] == ["/* signed */ INSERT INT"]
    assert [(job.entrypoint, job.payload) for job in tables.jobs()] == [("mail", b"1")]


async def test_hooks_on_statements_hear_of_an_enqueue_with_its_parameters(
    caller: SqlAlchemyCaller, engine: Engine, tables: Tables
) -> None:
    heard = []

    @event.listens_for(engine, "before_execute")
    def hear_before(connection: Connection, clause: Any, many: Any, params: Any, options: Any) -> None:
        heard.append(("before", str(clause)[:19], params["entrypoint"]))

    @event.listens_for(engine, "after_execute")
    def hear_after(
        connection: Connection, clause: Any, many: Any, params: Any, options: Any, result: Any
    ) -> None:
        heard.append(("after", str(clause)[:19], params["entrypoint"]))

    await caller.enqueue("mail")
    await caller.commit()
    assert heard == [("before", "INSERT INTO pgq_job", "mail"), ("after", "INSERT INTO pgq_job", "mail")]
    assert tables.count_jobs() == 1


async def test_a_hook_on_the_session_hears_of_an_enqueue_and_which_database_it_is_for(
    caller: SqlAlchemyCaller, session: Session
) -> None:
    heard = []

    @event.listens_for(session, "do_orm_execute")
    def hear(state: Any) -> None:
        heard.append((str(state.statement)[:19], state.bind_mapper))

    await caller.enqueue("mail")
    assert heard == [("INSERT INTO pgq_job", Job.__mapper__)]


@pytest.mark.parametrize("autoflush", [True, False])
async def test_an_enqueue_flushes_the_session_if_any_other_statement_would(
    caller: SqlAlchemyCaller, session: Session, autoflush: bool
) -> None:
    with nullcontext() if autoflush else session.no_autoflush:
        session.add(Job(entrypoint="pending"))
        await caller.execute("SELECT 1")
        pending_after_another = len(session.new)
        await caller.rollback()
        session.add(Job(entrypoint="pending"))
        await caller.enqueue("mail")
        assert len(session.new) == pending_after_another


async def test_a_hook_may_enqueue_while_the_session_flushes(
    caller: SqlAlchemyCaller, session: Session, tables: Tables
) -> None:
    @event.listens_for(session, "after_flush")
    def tell(session: Session, context: Any) -> None:
        SyncQueries(session).enqueue("told", [str(job.entrypoint).encode() for job in session.new])

    session.add(Job(entrypoint="pending"))
    await caller.commit()
    assert sorted((job.entrypoint, job.payload) for job in tables.jobs()) == [
        ("pending", None),
        ("told", b"pending"),
    ]


async def test_a_log_of_all_statements_has_the_enqueue_and_its_parameters(
    caller: SqlAlchemyCaller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        await caller.enqueue("mail", arguments={"order": 5})
    assert "INSERT INTO pgq_job" in caplog.text
    assert '{"order":5}' in caplog.text


async def test_what_the_database_refuses_is_an_error_of_sqlalchemy_with_its_statement(
    caller: SqlAlchemyCaller, tables: Tables
) -> None:
    guest = f"guest_{uuid4().hex}"  # the whole server's, and somebody else may be testing on it
    tables.execute(f"CREATE ROLE {guest}")
    try:
        await caller.execute(f"SET LOCAL ROLE {guest}")
        with pytest.raises(ProgrammingError, match="permission denied") as caught:
            await caller.enqueue("mail")
        await caller.rollback()
    finally:
        tables.execute(f"DROP ROLE {guest}")
    assert caught.value.statement is not None
    assert caught.value.statement.startswith("INSERT INTO pgq_job")
    assert "mail" in str(caught.value.params)


async def test_what_sqlalchemy_has_compiled_for_one_driver_is_not_sent_by_another(
    dsn: str, tables: Tables
) -> None:
    engine = create_engine(sqlalchemy_url(dsn))
    for _ in range(2):
        with engine.begin() as connection:
            SyncQueries(connection).enqueue("mail")
        for driver in DRIVERS:
            async_engine = create_async_engine(sqlalchemy_url(dsn, driver))
            async with async_engine.begin() as async_connection:
                await Queries(async_connection).enqueue("mail")
            await async_engine.dispose()
    assert tables.count_jobs() == 6
    engine.dispose()


@pytest.mark.parametrize("of", [SyncQueries, Queries])
def test_a_method_shows_the_signature_of_what_it_carries_out(of: Any, dsn: str) -> None:
    engine: Any = create_engine(sqlalchemy_url(dsn)) if of is SyncQueries else None
    carrier: Any = Session(engine) if engine else AsyncSession(create_async_engine(sqlalchemy_url(dsn)))
    method: Callable[..., Any] = of(carrier).enqueue
    assert inspect.signature(method) == inspect.signature(enqueueing.enqueue)
    assert inspect.signature(of.enqueue) == inspect.signature(enqueueing.enqueue)
    assert (method.__name__, method.__doc__) == ("enqueue", enqueueing.enqueue.__doc__)
