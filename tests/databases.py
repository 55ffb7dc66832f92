"""Databases: one for each test, gone after it, and how each library spells its address."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

Driver = Literal["psycopg", "asyncpg"]

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""
ENOUGH_BYTES = 6 * 2**30
"""Several servers' databases and logs of changes, and as much again for who else uses it."""


def roomy_memory() -> Path | None:
    """A directory in memory with room for test servers, if there is one: databases come and go faster there."""
    if not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES else None


@contextmanager
def fresh_database(server_dsn: str, template: str = "template1") -> Iterator[str]:
    """The DSN of a new database, a copy of `template`, that is dropped afterwards whoever still uses it."""
    name = f"pgq_test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server_dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    try:
        yield with_database(server_dsn, name)
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def with_database(dsn: str, name: str) -> str:
    """The same server's database `name`."""
    # Put together by hand: urlunsplit drops the empty authority of postgresql:///name?host=…
    scheme, address, _, query, _ = urlsplit(dsn)
    return f"{scheme}://{address}/{name}" + (f"?{query}" if query else "")


def database_name(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")


def sqlalchemy_url(dsn: str, driver: Driver = "psycopg") -> str:
    return f"postgresql+{driver}://{dsn.partition('://')[2]}"


def django_database(dsn: str) -> dict[str, Any]:
    """The entry of Django's DATABASES."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": parts,
    }
