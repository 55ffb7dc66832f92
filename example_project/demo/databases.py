"""Databases: a new one for the demo, on an embedded server or on the one that PGQ_DSN names."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from example_project.demo.failure import Failure
from example_project.demo.interruption import held
from pgq_orm.embedded import EmbeddedServer, EmbeddedServerError


@contextmanager
def new_server() -> Iterator[tuple[str, str]]:
    """A server's address, and what it is. Raises Failure if there is none."""
    try:
        if given := os.environ.get("PGQ_DSN"):
            yield given, f"{_version(given)}, the server of PGQ_DSN"
        else:
            # so that the demo can ask when exactly an order was committed
            with EmbeddedServer(settings={"track_commit_timestamp": "on"}) as server:
                yield server.dsn, f"{_version(server.dsn)}, embedded"
    except (EmbeddedServerError, psycopg.OperationalError) as error:
        raise Failure(f"PostgreSQL cannot be used: {error}") from error


@contextmanager
def new_database(server_dsn: str) -> Iterator[str]:
    """The address of an empty database, dropped afterwards."""
    name = sql.Identifier(database := f"pgq_demo_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(server_dsn, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        scheme, address, _, query, _ = urlsplit(server_dsn)
        yield f"{scheme}://{address}/{database}" + (f"?{query}" if query else "")
    finally:
        with held(), psycopg.connect(server_dsn, autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _version(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        return (connection.info.parameter_status("server_version") or "?").split()[0]
