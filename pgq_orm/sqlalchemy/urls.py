"""URLs: from the DSN that libpq and psql take to the URL that SQLAlchemy takes."""

from importlib.util import find_spec

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

ASYNC_DRIVERS = ("psycopg", "asyncpg")
"""The drivers that the queue works with, the preferred one first."""


def async_url(dsn: str) -> URL:
    """The URL for `create_async_engine`, with the DSN's driver if it can be used, else one that is installed.

    Raises ValueError for what is not the URL of a PostgreSQL database, or without an installed driver.
    """
    try:
        url = make_url(dsn)
    except ArgumentError:
        raise ValueError("not a URL, expected postgresql://user:password@host:port/database") from None
    dialect, _, driver = url.drivername.partition("+")
    if dialect not in ("postgresql", "postgres"):
        raise ValueError(f"a URL for {dialect}, expected postgresql://user:password@host:port/database")
    return url.set(drivername=f"postgresql+{driver if driver in ASYNC_DRIVERS else _installed_driver()}")


def _installed_driver() -> str:
    for driver in ASYNC_DRIVERS:
        if find_spec(driver):
            return driver
    raise ValueError("no driver for PostgreSQL is installed: run `pip install 'pgq-orm[sqlalchemy]'`")
