"""What the next version of the schema will find: a release that has one is made here, and used as its users will."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import pgq_orm
from tests.schema.catalogue import catalogue
from tests.schema.ledger_app import LedgerApp

_UP = """
ALTER TABLE pgq_log ADD COLUMN note text;

ALTER TABLE pgq_log SET (
    fillfactor = 90
);

UPDATE pgq_version SET version = 2;
"""

_DOWN = """
ALTER TABLE pgq_log DROP COLUMN note;

ALTER TABLE pgq_log RESET (
    fillfactor
);

UPDATE pgq_version SET version = 1;
"""


@dataclass
class NextRelease:
    """A copy of this release with one version more, installed for other processes only."""

    directory: Path

    def __post_init__(self) -> None:
        package = self.directory / "pgq_orm"
        shutil.copytree(Path(pgq_orm.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "sql/schema/v02_up.sql").write_text(_UP)
        (package / "sql/schema/v02_down.sql").write_text(_DOWN)
        models = package / "sqlalchemy/models.py"
        before, last_column, after = models.read_text().rpartition("    requeued_as: Mapped[BigInt | None]\n")
        models.write_text(f"{before}{last_column}    note: Mapped[str | None]\n{after}")
        versions = package / "schema.py"
        versions.write_text(versions.read_text().replace("CURRENT_VERSION = 1", "CURRENT_VERSION = 2"))

    def run(self, *command: str) -> str:
        """What `python -m …` prints."""
        ran = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.directory,
            env=os.environ | {"PYTHONPATH": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> NextRelease:
    return NextRelease(tmp_path_factory.mktemp("next_release"))


@pytest.fixture
def app(tmp_path: Path, empty_dsn: str) -> LedgerApp:
    app = LedgerApp(tmp_path, empty_dsn)
    app.upgrade()
    return app


def generate_and_upgrade(release: NextRelease, app: LedgerApp, name: str) -> str:
    alembic = ["alembic", "-c", str(app.directory / "alembic.ini")]
    release.run(*alembic, "revision", "--autogenerate", "--rev-id", name)
    release.run(*alembic, "upgrade", "head")
    release.run(*alembic, "check")
    return (app.directory / f"versions/{name}.py").read_text()


def test_the_command_line_runs_the_new_version_alone(next_release: NextRelease, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO pgq_job (entrypoint) VALUES ('mail')")
    assert "is now at version 2" in next_release.run("pgq_orm", "upgrade", "--dsn", dsn)
    assert "is at version 2 already" in next_release.run("pgq_orm", "upgrade", "--dsn", dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT entrypoint FROM pgq_job").fetchall() == [("mail",)]


def test_autogenerate_leads_an_application_from_this_version_to_the_next(
    next_release: NextRelease, app: LedgerApp
) -> None:
    app.write_pgq_revision()
    app.upgrade()
    installed = catalogue(app.dsn)
    written = generate_and_upgrade(next_release, app, "ledger_3")
    assert "pgq.upgrade(op, to=2)\n" in written
    assert "pgq.downgrade(op, to=1)\n" in written
    assert "note" not in written
    assert "fillfactor='90'" in catalogue(app.dsn)
    next_release.run("alembic", "-c", str(app.directory / "alembic.ini"), "downgrade", "-1")
    assert catalogue(app.dsn) == installed


def test_autogenerate_leads_a_new_application_past_all_versions_at_once(
    next_release: NextRelease, app: LedgerApp
) -> None:
    written = generate_and_upgrade(next_release, app, "ledger_2")
    assert "pgq.upgrade(op, to=2, since=0)\n" in written
    assert "pgq.downgrade(op, to=0, since=2)\n" in written
    assert "version 2" in catalogue(app.dsn)


def test_create_all_builds_what_the_steps_build_and_drop_all_removes_it(
    next_release: NextRelease, dsn: str, empty_dsn: str
) -> None:
    next_release.run("pgq_orm", "upgrade", "--dsn", dsn)
    (next_release.directory / "by_metadata.py").write_text(
        f"""
import sys
from sqlalchemy import create_engine
from pgq_orm.sqlalchemy import metadata
from pgq_orm.sqlalchemy.urls import async_url
engine = create_engine(async_url({empty_dsn!r}).set(drivername="postgresql+psycopg"))
getattr(metadata, sys.argv[1])(engine)
"""
    )
    next_release.run("by_metadata", "create_all")
    assert catalogue(empty_dsn) == catalogue(dsn)
    next_release.run("by_metadata", "drop_all")
    assert catalogue(empty_dsn) == ""
