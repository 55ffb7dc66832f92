"""Versions: the statements between them, and what is said about a database that has the wrong one."""

import re

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text

from pgq_orm import schema
from pgq_orm.errors import SchemaError, SchemaVersionError
from pgq_orm.schema import CURRENT_VERSION, EMPTY, Remedies
from pgq_orm.sqlalchemy import Job, Version, metadata
from pgq_orm.sqlalchemy.installation import installed_version, require_schema
from tests.databases import sqlalchemy_url

REMEDIES = Remedies(install="`install it`", upgrade="`upgrade it`", remove="`remove it`")


def test_no_statements_lead_from_a_version_to_itself() -> None:
    assert schema.up(to=CURRENT_VERSION, since=CURRENT_VERSION) == []
    assert schema.down(to=EMPTY, since=EMPTY) == []


@pytest.mark.parametrize(("to", "since"), [(CURRENT_VERSION + 1, EMPTY), (EMPTY, CURRENT_VERSION), (1, -1)])
def test_a_step_that_does_not_exist_is_refused(to: int, since: int) -> None:
    with pytest.raises(SchemaVersionError, match=rf"since={since}, to={to}"):
        schema.up(to, since)
    with pytest.raises(SchemaVersionError, match=rf"to={since}, since={to}"):
        schema.down(to=since, since=to)


def test_every_statement_stands_alone() -> None:
    for statement in schema.up() + schema.down():
        assert re.match(r"(CREATE|GRANT|INSERT|DROP) ", statement)
        assert not statement.endswith(";")


def test_the_current_version_is_accepted() -> None:
    schema.require_current(CURRENT_VERSION, REMEDIES)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (EMPTY, "no pgq-orm tables.*run `install it`"),
        (CURRENT_VERSION + 1, f"in version {CURRENT_VERSION + 1}.*run `pip install -U pgq-orm`"),
        (None, "no version in them.*remove them with `remove it`, then run `install it`"),
    ],
)
def test_any_other_version_is_refused_with_the_command_to_run(found: int | None, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        schema.require_current(found, REMEDIES)


def test_an_older_version_is_refused_with_the_command_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "CURRENT_VERSION", 3)
    with pytest.raises(
        SchemaError, match="in version 2, this release works with version 3: run `upgrade it`"
    ):
        schema.require_current(2, REMEDIES)


@pytest.fixture
def empty_engine(empty_dsn: str):
    engine = create_engine(sqlalchemy_url(empty_dsn))
    yield engine
    engine.dispose()


def test_the_installed_version_is_found(engine: Engine) -> None:
    with engine.connect() as connection:
        assert installed_version(connection) == CURRENT_VERSION
        require_schema(connection)


def test_looking_for_a_missing_schema_leaves_the_transaction_unharmed(empty_engine: Engine) -> None:
    with empty_engine.connect() as connection:
        with pytest.raises(SchemaError, match="run `alembic upgrade heads`, or `pgq install`"):
            require_schema(connection)
        assert connection.scalar(text("SELECT 1")) == 1


def test_tables_without_a_version_are_found_out(empty_dsn: str, empty_engine: Engine) -> None:
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("CREATE TABLE pgq_job (id bigint); CREATE TABLE pgq_version (version integer)")
    with empty_engine.connect() as sa_connection:
        assert installed_version(sa_connection) is None
        with pytest.raises(SchemaError, match="no version in them"):
            require_schema(sa_connection)


def test_the_metadata_holds_our_tables_and_no_others() -> None:
    assert set(metadata.tables) == {
        "pgq_job",
        "pgq_log",
        "pgq_schedule",
        "pgq_worker",
        "pgq_queue",
        "pgq_bucket",
        "pgq_dependency",
        schema.VERSION_TABLE,
    }
    assert Job.metadata is metadata
    assert Version.__tablename__ == schema.VERSION_TABLE
