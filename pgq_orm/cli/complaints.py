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
    except (PgqError, OSError) as error:
        sys.exit(f"pgq: {error}")
    except DBAPIError as error:
        sys.exit(f"pgq: {error.orig.__cause__ or error.orig}" if error.orig else f"pgq: {error}")
    except Exception as error:
        # SQLAlchemy 2.0 hands on what asyncpg raises while connecting: the server's answer, as its SQLSTATE tells
        if not hasattr(error, "sqlstate"):
            raise
        sys.exit(f"pgq: {error}")
