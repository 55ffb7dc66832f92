"""Complaints: what goes wrong for a reason that the user can mend is told in one line, without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from pgq_orm.errors import PgqError


@contextmanager
def complaining() -> Iterator[None]:
    """Ends the command with exit code 1 and a line that begins with `pgq:`."""
    try:
        yield
    except Exception as error:
        complaint = complaint_about(error)
        if complaint is None:
            raise
        sys.exit(f"pgq: {complaint}")


def complaint_about(error: Exception) -> str | None:
    """The line about an error that the user can mend; None for any other."""
    match error:
        case PgqError() | OSError():
            return str(error)
        case DBAPIError(orig=BaseException() as original):
            return str(original.__cause__ or original)
        case ModuleNotFoundError(name="asyncpg" | "psycopg" | "psycopg2" as driver):
            return f"{driver} is not installed, {_REMEDIES[driver]}"
        # SQLAlchemy 2.0 hands on what asyncpg raises while connecting: the server's answer, as its SQLSTATE tells
        case _ if hasattr(error, "sqlstate"):
            return str(error)
        case _:
            return None


_REMEDIES = {
    "asyncpg": "and the database's URL asks for it: run `pip install 'pgq-orm[asyncpg]'`, or write "
    "postgresql+psycopg:// if psycopg is",
    "psycopg": "and the database's URL asks for it: run `pip install 'pgq-orm[sqlalchemy]'`, or write "
    "postgresql+asyncpg:// if asyncpg is",
    "psycopg2": "which SQLAlchemy takes for postgresql:// without a driver's name: write postgresql+psycopg:// (`pip "
    "install 'pgq-orm[sqlalchemy]'`) or postgresql+asyncpg:// (`pip install 'pgq-orm[asyncpg]'`)",
}
