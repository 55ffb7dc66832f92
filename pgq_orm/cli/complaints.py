"""Complaints: what goes wrong for a reason that the user can mend is told in one line, without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from pgq_orm.errors import PgqError, in_one_line


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


def unreachable(url: URL | None, error: Exception, source: str) -> PgqError:
    """What to say of a database that cannot be reached: which it is and who named it, without the password."""
    bare = None if url is None else url.difference_update_query(["password"]).render_as_string()
    shown = "" if bare is None else f" {bare.replace(':***@', '@', 1)}"
    reason = complaint_about(error) or in_one_line(error)
    return PgqError(f"cannot connect to the database{shown} (from {source}): {reason}")


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
