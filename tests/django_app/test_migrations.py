"""Migrations: Django's door to the schema, which every tool leaves the same."""

import io
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from pgq_orm import schema
from pgq_orm_django import models
from pgq_orm_django.schema import SchemaStep
from tests.schema.catalogue import catalogue

APP = "pgq_orm_django"

COLUMNS = """
    SELECT relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
        pg_get_expr(adbin, adrelid)
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r' AND starts_with(relname, 'pgq_')
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND relname NOT IN ('pgq_version', 'pgq_bucket')
    ORDER BY relname, attnum
"""
INDEXES = """
    SELECT indexname, regexp_replace(indexdef, '::text', '', 'g')
    FROM pg_indexes
    WHERE starts_with(tablename, 'pgq_') AND tablename NOT IN ('pgq_version', 'pgq_bucket')
    ORDER BY indexname
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, contype
    FROM pg_constraint
    WHERE starts_with(conrelid::regclass::text, 'pgq_')
        AND conname NOT LIKE 'pgq_version%' AND conname NOT LIKE 'pgq_bucket%' AND contype NOT IN ('n', 't')
    ORDER BY 1, 2
"""


class NotHere:
    """A router that keeps the queue out of the other database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db != "other" if app_label == APP else None


def migrate(*args: str, database: str = "other") -> None:
    call_command("migrate", APP, *args, database=database, verbosity=0, skip_checks=True)


@pytest.fixture
def by_our_sql(dsn: str) -> str:
    return dsn


def test_migrate_builds_what_our_sql_builds(bare_db: str, by_our_sql: str) -> None:
    migrate()
    assert catalogue(bare_db) == catalogue(by_our_sql)


def test_migrating_back_leaves_nothing_and_forth_again_everything(bare_db: str, by_our_sql: str) -> None:
    empty = catalogue(bare_db)
    migrate()
    migrate("zero")
    assert catalogue(bare_db) == empty
    migrate()
    assert catalogue(bare_db) == catalogue(by_our_sql)


def test_a_router_can_keep_the_tables_out(bare_db: str) -> None:
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.NotHere"]):
        migrate()
        assert not tables(bare_db)
        migrate("zero")


def test_our_own_router_lets_the_tables_into_one_database_only(bare_db: str) -> None:
    with override_settings(
        DATABASE_ROUTERS=["pgq_orm_django.routers.QueueRouter"], PGQ={"DATABASE": "default"}
    ):
        migrate()
        assert not tables(bare_db)
        migrate("zero")
    with override_settings(
        DATABASE_ROUTERS=["pgq_orm_django.routers.QueueRouter"], PGQ={"DATABASE": "other"}
    ):
        migrate()
        assert "pgq_job" in tables(bare_db)


def test_a_database_that_is_no_postgresql_is_left_alone() -> None:
    migrate(database="foreign")
    assert "pgq_job" not in connections["foreign"].introspection.table_names()
    migrate("zero", database="foreign")


@pytest.mark.usefixtures("db", "other_db")
def test_nothing_is_left_for_makemigrations() -> None:
    call_command("makemigrations", APP, check=True, dry_run=True, verbosity=0)


@pytest.mark.usefixtures("db")
def test_sqlmigrate_prints_the_statements() -> None:
    assert (printed := output_of("sqlmigrate", APP, "0001")).index("CREATE TABLE pgq_job")
    assert all(statement in printed for statement in schema.up(to=1))
    printed = output_of("sqlmigrate", APP, "0001", backwards=True)
    assert all(statement in printed for statement in schema.down(to=0, since=1))


def test_the_plan_names_the_step(bare_db: str) -> None:
    planned = output_of("migrate", APP, plan=True, database="other", skip_checks=True)
    assert "pgq-orm schema, version 0 to 1" in planned


def test_a_step_can_be_written_into_a_migration_file() -> None:
    _, args, kwargs = SchemaStep(to=1, since=0).deconstruct()
    assert SchemaStep(*args, **kwargs).sql == SchemaStep(to=1, since=0).sql


def test_the_models_say_what_the_schema_says(bare_db: str, by_our_sql: str) -> None:
    """Built from the models alone, the tables have the same columns, defaults, indexes and constraints."""
    with connections["other"].schema_editor() as editor:
        for name in ("Job", "Log", "Schedule", "Worker", "Queue", "Dependency"):
            editor.create_model(getattr(models, name))
    for question in (COLUMNS, INDEXES, CONSTRAINTS):
        assert rows(bare_db, question) == rows(by_our_sql, question)


def rows(dsn: str, question: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(question.encode()).fetchall()


def tables(dsn: str) -> list[str]:
    return [name for (name,) in rows(dsn, "SELECT relname FROM pg_class WHERE starts_with(relname, 'pgq_')")]


def output_of(*args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue()
