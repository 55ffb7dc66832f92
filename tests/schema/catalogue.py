"""Catalogue: what pgq-orm has in a database, as pg_dump writes it down. Two equal texts are two equal schemas."""

import shutil
import subprocess

import psycopg
import pytest

from pgq_orm.embedded import EmbeddedServerError, embedded_binaries

_NOISE = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")

_RELATIONS_OF_OTHERS = """
    SELECT format('%I.%I', nspname, relname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'S', 'v', 'm')
        AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        AND NOT starts_with(relname, 'pgq_')
"""


def catalogue(dsn: str) -> str:
    """The tables, indexes, sequences, functions and triggers, and the version. Empty when there is nothing left.

    Whatever tables else there are, an application's or a migration tool's, are left out.
    """
    with psycopg.connect(dsn) as connection:
        others = [name for (name,) in connection.execute(_RELATIONS_OF_OTHERS)]
        has_version = connection.execute("SELECT to_regclass('pgq_version')").fetchone() != (None,)
        versions = connection.execute("SELECT version FROM pgq_version").fetchall() if has_version else []
    dump = subprocess.run(
        [
            binary("pg_dump"),
            "--schema-only",
            "--no-owner",
            *(f"--exclude-table={name}" for name in others),
            dsn,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line for line in dump.stdout.splitlines() if line and not line.startswith(_NOISE)]
    return "\n".join([*lines, *(f"version {version}" for (version,) in versions)])


def binary(name: str) -> str:
    """A PostgreSQL program that is as new as any server that we test with; skips the test where there is none."""
    try:
        return str(embedded_binaries() / name)
    except EmbeddedServerError:
        return shutil.which(name) or pytest.skip(f"no {name} here")


def run_in_psql(dsn: str, statements: str) -> None:
    """What somebody does who was given a file of SQL."""
    subprocess.run(
        [binary("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", dsn],
        check=True,
        input=statements,
        text=True,
        stdout=subprocess.DEVNULL,
    )
