"""`pgq install`, `upgrade`, `uninstall` and `sql`: for applications without Alembic."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import create_engine
from typer.testing import CliRunner, Result

from pgq_orm.cli.app import app
from pgq_orm.sqlalchemy import installation
from tests.databases import sqlalchemy_url, with_database
from tests.eventually import eventually
from tests.schema.catalogue import catalogue

both_drivers = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


def pgq(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=given)


def through(driver: str, dsn: str) -> str:
    return dsn.replace("postgresql:", f"postgresql+{driver}:")


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())


def test_installing_twice_says_that_it_is_installed_already(empty_dsn: str) -> None:
    assert "version 1 is now installed in" in pgq("install", "--dsn", empty_dsn).output
    again = pgq("install", "--dsn", empty_dsn)
    assert again.exit_code == 0
    assert "already" in again.output


def test_the_database_may_come_from_the_environment(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGQ_DSN", empty_dsn)
    assert pgq("install").exit_code == 0
    assert "is at version 1 already" in pgq("upgrade").output


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "psycopg2"])
def test_a_url_may_name_a_driver(empty_dsn: str, driver: str) -> None:
    assert pgq("install", "--dsn", through(driver, empty_dsn)).exit_code == 0


@both_drivers
def test_installing_is_all_or_nothing(empty_dsn: str, driver: str) -> None:
    execute(empty_dsn, "CREATE TABLE pgq_worker (mine text)")
    before = catalogue(empty_dsn)
    failed = pgq("install", "--dsn", through(driver, empty_dsn))
    assert failed.exit_code == 1
    assert failed.output == 'pgq: relation "pgq_worker" already exists\n'
    assert catalogue(empty_dsn) == before


def test_a_second_installer_waits_for_the_first_and_finds_its_work(empty_dsn: str) -> None:
    engine = create_engine(sqlalchemy_url(empty_dsn))
    with ThreadPoolExecutor() as pool:
        with engine.begin() as connection:
            installation.install(connection)
            second = pool.submit(pgq, "install", "--dsn", empty_dsn)
            eventually(lambda: _waits_for_an_advisory_lock(empty_dsn))
        assert "already" in second.result(timeout=60).output
    engine.dispose()


def _waits_for_an_advisory_lock(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        waiting = connection.execute(
            "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return waiting.fetchone() is not None


def test_uninstalling_asks_first(dsn: str) -> None:
    before = catalogue(dsn)
    assert pgq("uninstall", "--dsn", dsn, given="n\n").exit_code == 1
    assert pgq("uninstall", "--dsn", dsn).exit_code == 1
    assert catalogue(dsn) == before
    assert pgq("uninstall", "--dsn", dsn, given="y\n").exit_code == 0
    assert catalogue(dsn) == ""


def test_uninstalling_what_is_not_there_says_so(empty_dsn: str) -> None:
    assert "has no pgq-orm tables" in pgq("uninstall", "--dsn", empty_dsn, "--yes").output


def test_tables_without_a_version_are_refused_and_can_be_removed(dsn: str) -> None:
    execute(dsn, "TRUNCATE pgq_version; DROP TABLE pgq_log")
    for command in ("install", "upgrade"):
        refused = pgq(command, "--dsn", dsn)
        assert refused.exit_code == 1
        assert "remove them with" in refused.output
    assert pgq("uninstall", "--dsn", dsn, "--yes").exit_code == 0
    assert catalogue(dsn) == ""


def test_a_newer_schema_is_left_alone(dsn: str) -> None:
    execute(dsn, "UPDATE pgq_version SET version = 99")
    before = catalogue(dsn)
    for command in (["install"], ["upgrade"], ["uninstall", "--yes"]):
        refused = pgq(*command, "--dsn", dsn)
        assert refused.exit_code == 1
        assert "run `pip install -U pgq-orm`" in refused.output
    assert catalogue(dsn) == before


def test_upgrading_nothing_says_how_to_install(empty_dsn: str) -> None:
    refused = pgq("upgrade", "--dsn", empty_dsn)
    assert refused.exit_code == 1
    assert "`pgq install`" in refused.output


def test_a_step_that_does_not_exist_is_refused() -> None:
    refused = pgq("sql", "--to", "99")
    assert refused.exit_code == 2
    assert "no such step" in refused.output


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("mysql://localhost/shop", "a URL for mysql"),
        ("host=localhost dbname=shop", "not a URL"),
    ],
)
def test_what_is_no_postgresql_url_is_refused(dsn: str, message: str) -> None:
    refused = pgq("install", "--dsn", dsn)
    assert refused.exit_code == 2
    assert message in refused.output


@both_drivers
def test_what_the_server_says_is_passed_on(empty_dsn: str, driver: str) -> None:
    failed = pgq("install", "--dsn", through(driver, with_database(empty_dsn, "nowhere")))
    assert failed.exit_code == 1
    assert failed.output.startswith("pgq: ")
    assert 'database "nowhere" does not exist' in failed.output


@both_drivers
def test_an_unreachable_server_is_no_traceback(driver: str) -> None:
    failed = pgq("install", "--dsn", through(driver, "postgresql://localhost:1/shop"))
    assert failed.exit_code == 1
    assert failed.output.startswith("pgq: ")


def test_python_m_pgq_orm_is_the_command() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "pgq_orm", "sql"], check=True, capture_output=True, text=True
    )
    assert printed.stdout == pgq("sql").output


def test_without_typer_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from pgq_orm.cli import main; main()"
    failed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "pip install 'pgq-orm[sqlalchemy]'" in failed.stderr
