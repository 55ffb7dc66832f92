"""Stores: what a worker relies on, whichever library carries it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pgq_orm import operations
from pgq_orm.errors import SchemaError, SessionError
from pgq_orm.operations import Operation
from pgq_orm.sql import Statement
from pgq_orm.sqlalchemy.store import open_store
from pgq_orm.store import BOOKKEEPING_SETTINGS, CANCEL, Store, require_schema
from tests.conformance.bindings import STORES
from tests.conformance.tables import Tables
from tests.databases import Driver, database_name, fresh_database, sqlalchemy_url
from tests.eventually import aeventually
from tests.hearing import hearing

TIMES = (
    """SELECT TIMESTAMPTZ '2026-10-25 00:30:00+00', TIMESTAMPTZ '2026-10-25 01:30:00+00', INTERVAL '1 hour'"""
)
each_store = pytest.mark.parametrize("open_store", STORES.values(), ids=list(STORES))


@pytest.fixture(params=STORES.values(), ids=list(STORES))
async def store(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Store]:
    store: Store = request.param(dsn)
    yield store
    await store.close()


@pytest.fixture(scope="module")
def bare_dsn(server_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn) as dsn:
        yield dsn


def asking(question: str) -> Operation[Any]:
    return Operation(Statement("question", question, question), {}, lambda rows: rows[0][0])


async def test_a_driver_that_no_event_loop_can_use_is_refused_with_the_one_to_take(dsn: str) -> None:
    engine = create_engine(sqlalchemy_url(dsn))
    engine.dialect.driver = "pg8000"
    store = open_store(engine)
    with pytest.raises(SessionError, match=r"with pg8000: use postgresql\+psycopg"):
        await store.run(asking("SELECT 1"))
    await store.close()


def connections_of_stores(tables: Tables) -> int:
    return tables.ask(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pgq-orm'"
    )


def kill_connections_of_stores(tables: Tables) -> None:
    tables.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pgq-orm'"
    )


async def test_each_operation_is_committed_at_once(store: Store, tables: Tables) -> None:
    (insert,) = operations.enqueue("mail").inserts
    await store.run(insert)
    assert tables.count_jobs() == 1


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", None])
@pytest.mark.parametrize("is_option", [False, True], ids=["of the engine", "as an option"])
async def test_each_is_committed_at_once_whatever_isolation_the_engine_has(
    driver: Driver | None, is_option: bool, dsn: str, tables: Tables
) -> None:
    level: dict[str, Any] = {"isolation_level": "SERIALIZABLE"}
    engine: AsyncEngine | Engine
    if driver is None:
        engine = create_engine(sqlalchemy_url(dsn), **({} if is_option else level))
    else:
        engine = create_async_engine(sqlalchemy_url(dsn, driver), **({} if is_option else level))
    store = open_store(engine.execution_options(**level) if is_option else engine)
    for name in ("mail", "bill"):
        (insert,) = operations.enqueue(name).inserts
        await store.run(insert)
    assert tables.count_jobs() == 2
    assert await store.run(asking("SHOW transaction_isolation")) == "read committed"
    await store.close()


async def test_its_statements_are_planned_once(store: Store) -> None:
    """Until PostgreSQL keeps the plan: a driver has a statement prepared once it has come a few times."""
    prepared = asking(
        "SELECT count(*) FROM pg_prepared_statements WHERE strpos(statement, 'pg_prepared_statements') > 0"
    )
    for _ in range(10):
        found = await store.run(prepared)
    assert found == 1


async def test_its_connections_are_set_up_for_the_statements(store: Store) -> None:
    for name in BOOKKEEPING_SETTINGS:
        expected = "30s" if name == "statement_timeout" else BOOKKEEPING_SETTINGS[name]
        assert await store.run(asking(f"SHOW {name}")) == expected


@each_store
async def test_times_mean_the_same_however_the_database_spells_them(
    open_store: Callable[[str], Store], bare_dsn: str
) -> None:
    with psycopg.connect(bare_dsn, autocommit=True) as owner:
        for said in ("timezone = 'Europe/Vienna'", "datestyle = 'German'", "intervalstyle = 'iso_8601'"):
            owner.execute(f'ALTER DATABASE "{database_name(bare_dsn)}" SET {said}'.encode())
    store = open_store(bare_dsn)
    # half past two, and half past two again
    first, second, wait = await store.run(
        Operation(Statement("times", TIMES, TIMES), {}, lambda rows: tuple(rows[0]))
    )
    assert second - first == wait == timedelta(hours=1)
    await store.close()


async def test_a_statement_that_fails_does_not_disturb_the_next(store: Store) -> None:
    for _ in range(10):
        with pytest.raises(Exception, match="division by zero"):
            await store.run(asking("SELECT 1 / 0"))
    assert await store.run(asking("SELECT 1")) == 1


async def test_a_connection_that_was_killed_is_replaced(store: Store, tables: Tables) -> None:
    await store.run(asking("SELECT 1"))
    kill_connections_of_stores(tables)

    async def answers() -> bool:
        try:
            return await store.run(asking("SELECT 1")) == 1
        except Exception:  # whichever the driver raises
            return False

    is_replaced: bool = await aeventually(answers)
    assert is_replaced


async def test_a_sibling_works_beside_it(store: Store, tables: Tables) -> None:
    sibling = store.sibling()
    pid = asking("SELECT pg_backend_pid()")
    assert await store.run(pid) != await sibling.run(pid)
    await sibling.close()
    assert await store.run(asking("SELECT 1")) == 1


@each_store
async def test_closing_leaves_no_connection_behind(
    open_store: Callable[[str], Store], dsn: str, tables: Tables
) -> None:
    store = open_store(dsn)
    await store.run(asking("SELECT 1"))
    assert connections_of_stores(tables) > 0
    async with hearing(store):
        pass
    await store.close()
    await aeventually(lambda: connections_of_stores(tables) == 0)


# Listening


async def test_it_hears_every_wake_up_from_the_moment_it_is_ready(store: Store, tables: Tables) -> None:
    async with hearing(store) as heard:
        tables.execute("NOTIFY pgq")
        await aeventually(lambda: heard == [""])
        tables.execute(f"NOTIFY pgq, '{CANCEL}'")
        await aeventually(lambda: heard == ["", CANCEL])


async def test_a_listener_whose_connection_is_killed_says_so(store: Store, tables: Tables) -> None:
    ready = asyncio.Event()
    listening = asyncio.create_task(store.listener.listen(lambda payload: None, ready.set))
    await ready.wait()
    tables.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND starts_with(query, 'LISTEN')"
    )
    # by an error or by its end: the worker takes both for the same
    done, _ = await asyncio.wait([listening], timeout=30)
    assert done == {listening}


# The schema


async def test_a_database_that_is_ready_is_accepted(store: Store) -> None:
    await require_schema(store)


@each_store
async def test_a_database_without_our_tables_is_refused_with_the_command_to_run(
    open_store: Callable[[str], Store], bare_dsn: str
) -> None:
    store = open_store(bare_dsn)
    with pytest.raises(SchemaError) as refusal:
        await require_schema(store)
    assert "no pgq-orm tables" in str(refusal.value)
    assert store.remedies.install in str(refusal.value)
    await store.close()
