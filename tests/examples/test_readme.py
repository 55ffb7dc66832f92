"""The README's blocks do what they say, typed as a newcomer types them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine

from tests.databases import django_database, sqlalchemy_url

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def block(first_line: str) -> str:
    (found,) = (text for text in BLOCKS if text.startswith(first_line))
    return found


def run(*command: str, cwd: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mails_as_files() -> str:
    backend = "django.core.mail.backends.filebased.EmailBackend"
    if django.VERSION >= (6, 1):
        return f"MAILERS = {{'default': {{'BACKEND': {backend!r}, 'OPTIONS': {{'file_path': BASE_DIR / 'mails'}}}}}}\n"
    return f"EMAIL_BACKEND = {backend!r}\nEMAIL_FILE_PATH = BASE_DIR / 'mails'\n"


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_the_sqlalchemy_tour_sends_the_invoice(empty_dsn: str, tmp_path: Path, driver: Any) -> None:
    (tmp_path / "billing.py").write_text(block("# billing.py"))
    environment = {"DATABASE_URL": sqlalchemy_url(empty_dsn, driver), "PGQ_DSN": empty_dsn}

    run("-m", "pgq_orm", "install", cwd=tmp_path, **environment)
    run("billing.py", cwd=tmp_path, **environment)
    assert rows(empty_dsn, "SELECT entrypoint, arguments FROM pgq_job") == [("send_invoice", {"order_id": 7})]

    printed = run("-m", "pgq_orm", "run", "billing:create_pgqueuer", "--drain", cwd=tmp_path, **environment)

    assert printed == "invoice for order 7\n"
    assert rows(empty_dsn, "SELECT entrypoint, status FROM pgq_log") == [("send_invoice", "successful")]
    assert rows(empty_dsn, "SELECT entrypoint, timezone FROM pgq_schedule") == [
        ("close_books", "Europe/Vienna")
    ]
    assert rows(empty_dsn, "SELECT 1 FROM pgq_job") == []


def test_the_django_tour_sends_the_receipt(empty_dsn: str, tmp_path: Path) -> None:
    run("-m", "django", "startproject", "site_", ".", cwd=tmp_path)
    run("-m", "django", "startapp", "shop", cwd=tmp_path)
    with (tmp_path / "site_" / "settings.py").open("a") as settings:
        settings.write(block("# settings.py"))
        settings.write(f"DATABASES = {{'default': {django_database(empty_dsn)!r}}}\n")
        settings.write(mails_as_files())
        settings.write("INSTALLED_APPS += ['shop']\n")
        settings.write("ALLOWED_HOSTS = ['testserver']\n")
    (tmp_path / "shop" / "tasks.py").write_text(block("# shop/tasks.py"))
    (tmp_path / "shop" / "views.py").write_text(block("# shop/views.py"))

    run("manage.py", "migrate", "-v", "0", cwd=tmp_path)
    run(
        "manage.py",
        "shell",
        "-c",
        "from django.test import RequestFactory\n"
        "from shop.views import place_order\n"
        "place_order(RequestFactory().post('/', {'email': 'ann@example.com'}))",
        cwd=tmp_path,
    )
    assert rows(empty_dsn, "SELECT entrypoint FROM pgq_job") == [("send_receipt",)]

    run("manage.py", "pgq_worker", "--drain", cwd=tmp_path)

    (mail,) = (tmp_path / "mails").iterdir()
    assert "To: ann@example.com" in mail.read_text()
    assert "Order 7" in mail.read_text()
    assert rows(empty_dsn, "SELECT entrypoint, status FROM pgq_log") == [("send_receipt", "successful")]


def test_the_alembic_revision_brings_the_tables_and_takes_them_away(empty_dsn: str) -> None:
    revision: dict[str, Any] = {}
    engine = create_engine(sqlalchemy_url(empty_dsn))
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        exec(block("from alembic import op"), revision)

        revision["upgrade"]()
        assert connection.exec_driver_sql("SELECT version FROM pgq_version").scalar() == 1

        revision["downgrade"]()
        assert connection.exec_driver_sql("SELECT to_regclass('pgq_version')").scalar() is None
    engine.dispose()
