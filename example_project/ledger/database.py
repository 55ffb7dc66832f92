"""Database: where the ledger's tables and the queue's are."""

import os

from sqlalchemy import URL, make_url


def database_url() -> URL:
    """The database that PGQ_DSN names, for `create_engine` and `create_async_engine` alike."""
    return make_url(os.environ["PGQ_DSN"]).set(drivername="postgresql+psycopg")
