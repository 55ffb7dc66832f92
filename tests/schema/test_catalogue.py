"""Every door builds the same catalogue, and leaves nothing behind when it takes it away again."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from pgq_orm import schema
from pgq_orm.cli.app import app
from pgq_orm.sqlalchemy import metadata
from pgq_orm.sqlalchemy.creation import ddl
from tests.databases import Driver, sqlalchemy_url
from tests.schema.catalogue import catalogue, run_in_psql

both_drivers = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


def in_transaction(dsn: str, driver: Driver, work: Callable[[Connection], object]) -> None:
    async def connect_and_work() -> None:
        engine = create_async_engine(sqlalchemy_url(dsn, driver))
        async with engine.begin() as connection:
            await connection.run_sync(work)
        await engine.dispose()

    asyncio.run(connect_and_work())


def test_the_catalogue_tells_what_is_there(expected: str) -> None:
    for part in (
        "CREATE TABLE public.pgq_job (",
        "autovacuum_vacuum_threshold='10000'",
        "WHERE ((status = 'queued'::text) AND (execute_after <= updated))",
        "CREATE SEQUENCE public.pgq_wake_seq",
        "CREATE FUNCTION public.pgq_wake()",
        "CREATE CONSTRAINT TRIGGER pgq_job_wake",
        "version 1",
    ):
        assert part in expected


@both_drivers
def test_the_statements_run_one_by_one_up_and_down(empty_dsn: str, expected: str, driver: Driver) -> None:
    def run(statements: list[str]) -> Callable[[Connection], None]:
        return lambda connection: [connection.execute(ddl(statement)) for statement in statements].clear()

    in_transaction(empty_dsn, driver, run(schema.up()))
    assert catalogue(empty_dsn) == expected
    in_transaction(empty_dsn, driver, run(schema.down()))
    assert catalogue(empty_dsn) == ""


@both_drivers
def test_create_all_and_drop_all_do_the_whole_work(empty_dsn: str, expected: str, driver: Driver) -> None:
    in_transaction(empty_dsn, driver, metadata.create_all)
    assert catalogue(empty_dsn) == expected
    in_transaction(empty_dsn, driver, metadata.drop_all)
    assert catalogue(empty_dsn) == ""


@both_drivers
def test_create_all_and_drop_all_may_be_said_twice(empty_dsn: str, expected: str, driver: Driver) -> None:
    for _ in range(2):
        in_transaction(empty_dsn, driver, metadata.create_all)
    assert catalogue(empty_dsn) == expected
    for _ in range(2):
        in_transaction(empty_dsn, driver, metadata.drop_all)
    assert catalogue(empty_dsn) == ""


def test_the_command_line_installs_and_uninstalls(empty_dsn: str, expected: str) -> None:
    run = CliRunner()
    assert run.invoke(app, ["install", "--dsn", empty_dsn]).exit_code == 0
    assert catalogue(empty_dsn) == expected
    assert run.invoke(app, ["uninstall", "--dsn", empty_dsn, "--yes"]).exit_code == 0
    assert catalogue(empty_dsn) == ""


def test_the_printed_statements_run_in_psql(empty_dsn: str, expected: str) -> None:
    run = CliRunner()
    run_in_psql(empty_dsn, run.invoke(app, ["sql"]).output)
    assert catalogue(empty_dsn) == expected
    run_in_psql(empty_dsn, run.invoke(app, ["sql", "--down"]).output)
    assert catalogue(empty_dsn) == ""


def test_the_tables_go_where_the_search_path_leads(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, options="-c search_path=queue,public") as connection:
        connection.execute("CREATE SCHEMA queue")
        for statement in schema.up():
            connection.execute(statement.encode())
    assert "CREATE TABLE queue.pgq_job (" in catalogue(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        # the trigger finds its sequence from a session with another search_path
        connection.execute("INSERT INTO queue.pgq_job (entrypoint) VALUES ('mail')")
