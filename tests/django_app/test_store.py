"""The store: a worker's own connections, made like the project's and kept apart from them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from pgq_orm import operations, storable
from pgq_orm.errors import SchemaError
from pgq_orm.operations import Operation
from pgq_orm.sql import Statement
from pgq_orm.store import require_schema
from pgq_orm_django.store import DatabaseStore
from tests.eventually import aeventually
from tests.hearing import hearing

pytestmark = pytest.mark.usefixtures("db")

PID = "SELECT pg_backend_pid()"
OTHERS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""

SLEEPERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
)


@pytest.fixture
async def store(db: str) -> AsyncIterator[DatabaseStore]:
    store = DatabaseStore("default")
    yield store
    await store.close()


def asking(sql: str) -> Operation[Any]:
    return Operation(Statement("question", sql, sql), {}, lambda rows: rows[0][0])


async def test_its_statements_are_planned_for_the_indexes(store: DatabaseStore) -> None:
    assert await store.run(asking("SHOW enable_sort")) == "off"
    assert await store.run(asking("SHOW application_name")) == "pgq-orm"
    assert await asyncio.to_thread(setting_of_the_project, "enable_sort") == "on"


def setting_of_the_project(name: str) -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            return str(cursor.fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize(("options", "count"), [({}, 1), ({"prepare_threshold": None}, 0)])
async def test_its_statements_are_planned_once_unless_the_project_says_otherwise(
    options: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    store = DatabaseStore("default")
    prepared = asking("SELECT count(*) FROM pg_prepared_statements")
    for _ in range(10):
        found = await store.run(prepared)
    assert found == count
    await store.close()


async def test_its_statements_commit_one_by_one_whatever_the_project_prefers(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    monkeypatch.setitem(
        connection.settings_dict, "OPTIONS", {"isolation_level": psycopg.IsolationLevel.SERIALIZABLE}
    )
    store = DatabaseStore("default")
    assert await store.run(asking("SHOW transaction_isolation")) == "read committed"
    await store.run(asking("INSERT INTO pgq_job (entrypoint) VALUES ('mail') RETURNING id"))
    async with await psycopg.AsyncConnection.connect(db) as stranger:
        assert await (await stranger.execute("SELECT count(*) FROM pgq_job")).fetchone() == (1,)
    await store.close()


@pytest.fixture
def prepared_by_the_project() -> Iterator[list[Callable[[BaseDatabaseWrapper], None]]]:
    """What a project does to each of its connections as soon as that is made."""
    deeds: list[Callable[[BaseDatabaseWrapper], None]] = []

    def prepare(connection: BaseDatabaseWrapper, **said: object) -> None:
        for deed in deeds:
            deed(connection)

    connection_created.connect(prepare)
    yield deeds
    connection_created.disconnect(prepare)


async def test_its_connections_are_made_as_the_project_makes_its_own(
    store: DatabaseStore, prepared_by_the_project: list[Callable[[BaseDatabaseWrapper], None]]
) -> None:
    def enter_the_shop(connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET shop.tenant = 'ours'")

    prepared_by_the_project.append(enter_the_shop)
    assert await store.run(asking("SHOW shop.tenant")) == "ours"

    is_made = threading.Event()
    prepared_by_the_project.append(lambda connection: is_made.set())
    async with hearing(store):
        assert is_made.is_set()


async def test_a_connection_that_nobody_waits_for_any_more_is_closed(
    db: str, store: DatabaseStore, prepared_by_the_project: list[Callable[[BaseDatabaseWrapper], None]]
) -> None:
    is_made, may_go_on = threading.Event(), threading.Event()

    def hesitate(connection: BaseDatabaseWrapper) -> None:
        is_made.set()
        may_go_on.wait(60)

    prepared_by_the_project.append(hesitate)
    asked = asyncio.create_task(store.run(asking("SELECT 1")))
    await aeventually(is_made.is_set)
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()
    may_go_on.set()
    with psycopg.connect(db, autocommit=True) as stranger:
        await aeventually(lambda: stranger.execute(OTHERS).fetchone() == (0,))
    prepared_by_the_project.clear()
    assert await store.run(asking("SELECT 1")) == 1


async def test_it_keeps_a_connection_for_the_next_statement(store: DatabaseStore) -> None:
    assert await store.run(asking(PID)) == await store.run(asking(PID))


async def test_it_has_one_for_each_statement_that_runs_at_the_same_time(store: DatabaseStore) -> None:
    slowly = asking(f"{PID} FROM (SELECT pg_sleep(0.2)) AS sleep")
    assert len(set(await asyncio.gather(*[store.run(slowly) for _ in range(3)]))) == 3


async def test_a_sibling_shares_none(store: DatabaseStore) -> None:
    sibling = store.sibling()
    assert await store.run(asking(PID)) != await sibling.run(asking(PID))
    await sibling.close()


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT 1 / 0", DataError),
        ("SELECT pg_terminate_backend(pg_backend_pid())", OperationalError),
        ("SELECT no_such_column", ProgrammingError),
        ("BEGIN", IndexError),  # there is no answer to be read, and a transaction is open
    ],
)
async def test_after_an_error_it_starts_afresh(
    sql: str, error: type[Exception], store: DatabaseStore
) -> None:
    with pytest.raises(error):
        await store.run(asking(sql))
    assert await store.run(asking("SELECT 1")) == 1


async def test_it_knows_whether_the_schema_is_current(store: DatabaseStore) -> None:
    await require_schema(store)


@pytest.mark.usefixtures("bare_db")
async def test_missing_tables_name_the_command() -> None:
    store = DatabaseStore("other")
    command = r"manage\.py migrate pgq_orm_django --database=other"
    with pytest.raises(SchemaError, match=command):
        await require_schema(store)
    with pytest.raises(SchemaError, match=command):
        await store.run(operations.prune(retention=storable.LONGEST_DELAY, batch_size=1))
    await store.close()


async def test_its_listener_hears_wake_ups(db: str, store: DatabaseStore) -> None:
    async with hearing(store) as heard:
        async with await psycopg.AsyncConnection.connect(db, autocommit=True) as stranger:
            await stranger.execute("INSERT INTO pgq_job (entrypoint) VALUES ('mail')")
        await aeventually(lambda: heard == [""])


async def test_its_listener_raises_when_its_connection_dies(db: str, store: DatabaseStore) -> None:
    is_ready = asyncio.Event()
    listening = asyncio.create_task(store.listener.listen(lambda payload: None, is_ready.set))
    await is_ready.wait()
    async with await psycopg.AsyncConnection.connect(db, autocommit=True) as stranger:
        await stranger.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(listening, 30)


async def test_a_statement_that_is_given_up_holds_up_no_other(db: str, store: DatabaseStore) -> None:
    before = await store.run(asking(PID))
    asked = asyncio.create_task(store.run(asking("SELECT pg_sleep(60)")))
    with psycopg.connect(db, autocommit=True) as stranger:
        await aeventually(lambda: stranger.execute(SLEEPERS).fetchone() == (1,))
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()
    async with asyncio.timeout(30):
        assert await store.run(asking(PID)) != before
