"""Misuse: whoever gives the queue what it cannot take is told what to do, and loses nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError, PendingRollbackError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgq_orm.errors import InvalidJobError, SessionError
from pgq_orm.sqlalchemy import Job, Queries, SyncQueries
from tests.conformance.callers import Caller
from tests.conformance.tables import Tables

pytestmark = pytest.mark.usefixtures("any_entrypoint")

NOWHERE = "postgresql+psycopg://nobody@localhost:1/nothing"  # nothing here connects to it


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"entrypoint": "ma\0il"}, "entrypoint holds a character that PostgreSQL cannot store"),
        ({"entrypoint": ["mail", "x" * 501]}, "entrypoint must have 1 to 500 characters, not 501"),
        ({"payload": "text"}, "payload must be bytes or None, not str: encode it, or pass arguments="),
        ({"payload": [b"a", b"b"], "priority": [1, 2, 3]}, r"different lengths \(payload: 2, priority: 3\)"),
        ({"priority": True}, "priority must be an integer of 32 bits, not True"),
        ({"execute_after": datetime(2026, 1, 1)}, "execute_after is a naive datetime .* give it a time zone"),  # noqa: DTZ001
        ({"arguments": {"a": "\0"}}, "arguments cannot be stored as JSON: .* NUL"),
        ({"headers": {"a": float("nan")}}, "headers cannot be stored as JSON: Out of range"),
        ({"arguments": {"a": "\ud800"}}, "arguments cannot be stored as JSON: .* lone surrogate"),
    ],
)  # fmt: skip
async def test_a_job_that_cannot_be_stored_leaves_the_transaction_as_it_was(
    caller: Caller, tables: Tables, parameters: Mapping[str, Any], complaint: str
) -> None:
    await caller.enqueue("before")
    with pytest.raises(InvalidJobError, match=complaint):
        await caller.enqueue(**{"entrypoint": "mail", **parameters})
    await caller.enqueue("after")
    await caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["before", "after"]


async def test_an_unknown_word_leaves_the_transaction_as_it_was(caller: Caller, tables: Tables) -> None:
    await caller.enqueue("before")
    with pytest.raises(TypeError, match=r"unexpected keyword argument:? '?execute_at"):
        await caller.enqueue("mail", execute_at=None)
    await caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["before"]


# A session or connection that has come to its end


def test_a_closed_connection_says_so(engine: Engine, tables: Tables) -> None:
    with engine.connect() as connection:
        queries = SyncQueries(connection)
    with pytest.raises(
        SessionError, match=r"is closed, nothing was sent: .* enqueue before leaving the `with` block"
    ):
        queries.enqueue("mail")
    with pytest.raises(SessionError, match="is closed, nothing was sent"):
        queries.mark_job_as_cancelled([1])
    assert tables.count_jobs() == 0


async def test_a_closed_async_connection_says_so(async_engine: AsyncEngine, tables: Tables) -> None:
    async with async_engine.connect() as connection:
        queries = Queries(connection)
    with pytest.raises(SessionError, match="is closed, nothing was sent"):
        await queries.enqueue("mail")


def test_a_session_that_is_closed_for_good_says_so(engine: Engine) -> None:
    with Session(engine, close_resets_only=False) as session:
        queries = SyncQueries(session)
    with pytest.raises(SessionError, match="is closed, nothing was sent"):
        queries.enqueue("mail")


async def test_an_async_session_that_is_closed_for_good_says_so(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine, close_resets_only=False) as session:
        queries = Queries(session)
    with pytest.raises(SessionError, match="is closed, nothing was sent"):
        await queries.enqueue("mail")


def test_a_session_that_was_closed_may_be_used_again_as_sqlalchemy_has_it(
    engine: Engine, tables: Tables
) -> None:
    with Session(engine) as session:
        queries = SyncQueries(session)
    queries.enqueue("mail")
    session.commit()
    assert tables.count_jobs() == 1


def test_a_block_whose_transaction_has_ended_is_explained_by_sqlalchemy(
    engine: Engine, tables: Tables
) -> None:
    with Session(engine) as session, session.begin():
        session.rollback()
        with pytest.raises(InvalidRequestError, match="Can't operate on closed transaction"):
            SyncQueries(session).enqueue("mail")
    assert tables.count_jobs() == 0


async def test_a_transaction_that_is_broken_already_is_explained_by_the_driver(
    async_engine: AsyncEngine, tables: Tables
) -> None:
    async with AsyncSession(async_engine) as session:
        with pytest.raises(ProgrammingError):
            await session.execute(text("SELECT nonsense"))
        with pytest.raises(Exception, match="current transaction is aborted"):
            await Queries(session).enqueue("mail")
        await session.rollback()
        await Queries(session).enqueue("mail")
        await session.commit()
    assert tables.count_jobs() == 1


def test_a_failed_flush_is_explained_by_sqlalchemy(engine: Engine) -> None:
    with Session(engine) as session:
        session.add_all([Job(entrypoint="mail", dedupe_key="a"), Job(entrypoint="mail", dedupe_key="a")])
        with pytest.raises(IntegrityError):
            session.flush()
        with pytest.raises(PendingRollbackError) as refusal:
            SyncQueries(session).enqueue("mail")
        assert refusal.value.__cause__ is None


# What carries no transaction, or the wrong one


@pytest.fixture
def sync_engine() -> Engine:
    return create_engine(NOWHERE)


@pytest.fixture
def other_engine() -> AsyncEngine:
    return AsyncEngine(create_engine(NOWHERE, _is_async=True))


def test_an_engine_has_no_transaction_to_join(sync_engine: Engine, other_engine: AsyncEngine) -> None:
    with pytest.raises(
        SessionError, match="SyncQueries joins a transaction, and an Engine has none: open a session"
    ):
        SyncQueries(sync_engine)  # type: ignore[arg-type]
    with pytest.raises(
        SessionError, match="Queries joins a transaction, and an AsyncEngine has none: open a session"
    ):
        Queries(other_engine)  # type: ignore[arg-type]


def test_each_class_names_the_other_one(sync_engine: Engine, other_engine: AsyncEngine) -> None:
    for sync in (Session(sync_engine), scoped_session(sessionmaker(sync_engine))):
        with pytest.raises(
            SessionError, match=r"Queries awaits, which a \w+ cannot: use SyncQueries with it"
        ):
            Queries(sync)  # type: ignore[arg-type]
    makers = async_scoped_session(async_sessionmaker(other_engine), scopefunc=lambda: 1)
    for target in (AsyncSession(other_engine), makers, other_engine.connect()):
        with pytest.raises(SessionError, match=r"SyncQueries cannot await an \w+: use Queries with it"):
            SyncQueries(target)  # type: ignore[arg-type]


@pytest.mark.parametrize("queries", [Queries, SyncQueries])
@pytest.mark.parametrize(
    "target", [None, "postgresql://", object(), Session], ids=lambda target: type(target).__name__
)
def test_anything_else_is_named_by_its_type(queries: Any, target: object) -> None:
    with pytest.raises(
        SessionError, match=r"takes an? \w*Session or an? \w*Connection of SQLAlchemy, not a \w+\.\w+"
    ):
        queries(target)


def test_another_database_is_refused() -> None:
    sqlite = create_engine("sqlite://")
    for target in (Session(sqlite), scoped_session(sessionmaker(sqlite))):
        with pytest.raises(SessionError, match="is bound to sqlite; the queue needs PostgreSQL"):
            SyncQueries(target)


def test_a_session_for_other_tables_is_refused(sync_engine: Engine) -> None:
    with pytest.raises(
        SessionError, match="no database for pgq-orm's tables: give it a default engine, or add"
    ):
        SyncQueries(Session())


def test_a_session_of_several_databases_is_asked_for_the_jobs_one(engine: Engine, tables: Tables) -> None:
    with Session(create_engine("sqlite://"), binds={Job: engine}) as session:
        SyncQueries(session).enqueue("mail")
        session.commit()
    assert tables.count_jobs() == 1


async def test_an_async_connection_must_have_been_started(other_engine: AsyncEngine) -> None:
    with pytest.raises(
        SessionError, match=r"has not been started: use it inside `async with engine\.begin\(\)`"
    ):
        Queries(other_engine.connect())
