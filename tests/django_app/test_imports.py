"""Imports: nothing is touched before it is needed, and nothing is needed that the extra does not bring."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(code: str, **environment: str) -> None:
    without_settings = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=without_settings | environment,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr


WITH_SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.django_app.settings"}


def test_the_package_can_be_imported_before_any_settings() -> None:
    run("import pgq_orm_django, sys; assert 'pgq_orm_django.models' not in sys.modules")


@pytest.mark.parametrize("library", ["sqlalchemy", "alembic", "asyncpg", "typer"])
def test_the_app_works_without(library: str) -> None:
    run(
        f"import sys; sys.modules[{library!r}] = None; import django; django.setup(); "
        "import pgq_orm_django.admin, pgq_orm_django.management.commands.pgq_worker",
        **WITH_SETTINGS,
    )


def test_setting_up_imports_no_tasks_and_opens_no_connection() -> None:
    run(
        "import django, sys; django.setup(); from django.db import connections; "
        "assert 'tests.django_app.shop.tasks' not in sys.modules; "
        "assert not any(database.connection for database in connections.all())",
        **WITH_SETTINGS,
    )


def test_a_tasks_module_can_be_imported_first() -> None:
    run("import django; django.setup(); import tests.django_app.shop.tasks", **WITH_SETTINGS)


@pytest.mark.parametrize(
    "first",
    [
        "import pgq_orm_django.models",
        "from pgq_orm_django import enqueue; enqueue('mail')",
        "from pgq_orm_django import queue_size; queue_size()",
        "from pgq_orm_django.testing import drain; drain()",
        "import pgq_orm_django.backend",
    ],
)
def test_a_project_that_has_not_installed_the_app_is_told_how(first: str) -> None:
    run(
        f"""
import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

settings.configure(INSTALLED_APPS=["django.contrib.contenttypes"], PGQ={{"STRICT_ENTRYPOINTS": False}})
django.setup()
try:
    {first}
except ImproperlyConfigured as error:
    assert "add 'pgq_orm_django' to INSTALLED_APPS" in str(error), error
    assert "manage.py migrate" in str(error), error
else:
    raise AssertionError("nothing was said")
"""
    )
