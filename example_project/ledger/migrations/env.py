"""The ledger's migrations: its own tables, and the queue's, which live in the same database."""

from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool

from example_project.ledger.database import database_url
from example_project.ledger.models import Base
from pgq_orm.sqlalchemy import metadata as pgq_metadata

METADATA = [Base.metadata, pgq_metadata]


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether a table is the ledger's or the queue's; the shop's in the same database are none of our business."""
    return kind != "table" or any(name in metadata.tables for metadata in METADATA)


engine = create_engine(database_url(), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA, include_name=is_ours)
    with context.begin_transaction():
        context.run_migrations()
