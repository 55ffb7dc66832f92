"""The reference environment: Alembic for pgq-orm's own tables, and an example for an application's `env.py`.

The database is the one of `alembic -x dsn=postgresql://…`, or of PGQ_DSN. With `--sql` none is needed.
"""

import os

from alembic import context
from alembic.util import CommandError
from sqlalchemy import create_engine, make_url, pool

from pgq_orm.sqlalchemy import metadata
from pgq_orm.sqlalchemy.migrations import write_steps


def migrate_offline() -> None:
    """Print the statements instead of executing them."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        target_metadata=metadata,
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate_online() -> None:
    """Execute the statements, all or none."""
    dsn = context.get_x_argument(as_dictionary=True).get("dsn") or os.environ.get("PGQ_DSN")
    if not dsn:
        raise CommandError("which database? Give `-x dsn=postgresql://user@host/database`, or set PGQ_DSN")
    engine = create_engine(make_url(dsn).set(drivername="postgresql+psycopg"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,  # an application: [Base.metadata, metadata]
            process_revision_directives=write_steps,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    migrate_offline()
else:
    migrate_online()
