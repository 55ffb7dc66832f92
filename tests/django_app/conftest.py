"""Fixtures: the Django project of these tests, with a fresh database for each of them."""

import os
from collections.abc import Iterator

import django
import pytest
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.db import connections
from django.test.utils import setup_test_environment, teardown_test_environment

from tests.databases import database_name, django_database, fresh_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_app.settings")
django.setup()


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    setup_test_environment()
    yield
    teardown_test_environment()


@pytest.fixture(scope="session")
def migrated_dsn(server_dsn: str) -> Iterator[str]:
    """A database that `migrate` has made, to be copied and never to be written to."""
    with fresh_database(server_dsn) as dsn:
        point("default", dsn)
        call_command("migrate", verbosity=0)
        connections["default"].close()
        yield dsn


@pytest.fixture
def db(server_dsn: str, migrated_dsn: str) -> Iterator[str]:
    """The project's default database, migrated and empty; gives its DSN."""
    with fresh_database(server_dsn, template=database_name(migrated_dsn)) as dsn:
        point("default", dsn)
        yield dsn
        connections["default"].close()
        # and in the thread in which async tests use the ORM: it would go on with a database that is gone
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def other_db(server_dsn: str, migrated_dsn: str) -> Iterator[str]:
    """The project's other database, migrated and empty; gives its DSN."""
    with fresh_database(server_dsn, template=database_name(migrated_dsn)) as dsn:
        point("other", dsn)
        yield dsn
        connections["other"].close()


@pytest.fixture
def bare_db(empty_dsn: str) -> Iterator[str]:
    """The project's other database, with nothing in it; gives its DSN."""
    point("other", empty_dsn)
    yield empty_dsn
    connections["other"].close()


def point(alias: str, dsn: str) -> None:
    """Lets an alias of the project mean a database."""
    connections[alias].close()
    connections.settings[alias].update(django_database(dsn))
