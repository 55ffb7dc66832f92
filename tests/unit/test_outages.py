"""Outages: told apart from other errors without knowing any driver."""

import asyncpg
import psycopg
import pytest
from django.db import OperationalError as DjangosError
from sqlalchemy.exc import DBAPIError, OperationalError

from pgq_orm.worker.outages import in_short, is_outage


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.errors.AdminShutdown("terminating"),
        psycopg.errors.CannotConnectNow("starting up"),
        asyncpg.exceptions.ConnectionDoesNotExistError("gone"),
        asyncpg.exceptions.InterfaceError("connection is closed"),
        asyncpg.exceptions.InternalClientError(
            "cannot switch to state 12; another operation (2) is in progress"
        ),
        asyncpg.exceptions.AdminShutdownError("terminating"),
        OperationalError("SELECT 1", {}, psycopg.OperationalError("gone")),
        DBAPIError("SELECT 1", {}, caused(Exception("gone"), asyncpg.exceptions.CannotConnectNowError("x"))),
        caused(DjangosError("gone"), psycopg.OperationalError("gone")),
    ],
    ids=repr,
)
def test_a_database_that_is_away_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect"),
        psycopg.errors.UndefinedColumn("no such column"),
        psycopg.errors.QueryCanceled("statement timeout"),
        asyncpg.exceptions.UndefinedTableError("no such table"),
        OperationalError("SELECT 1", {}, psycopg.errors.LockNotAvailable("lock timeout")),
        caused(DjangosError("lock timeout"), psycopg.errors.LockNotAvailable("lock timeout")),
    ],
    ids=repr,
)
def test_what_the_server_says_of_a_statement_is_none(error: Exception) -> None:
    assert not is_outage(error)


def test_the_statement_is_left_out() -> None:
    error = OperationalError("SELECT 1", {}, psycopg.OperationalError("gone"))
    assert in_short(error) == "OperationalError: (psycopg.OperationalError) gone"
