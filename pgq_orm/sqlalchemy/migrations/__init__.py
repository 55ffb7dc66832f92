"""Migrations: three ways by which the schema enters an application's Alembic history.

1. In a revision of your own, which calls `pgq.upgrade(op, to=1)` and `pgq.downgrade(op, to=0)` after
   `from pgq_orm.sqlalchemy import migrations as pgq`. (Imported by name, they would be hidden by the revision's
   own functions `upgrade` and `downgrade`.)
2. As a branch labelled `pgq_orm`: add `pgq_orm.sqlalchemy.migrations:versions` to your `version_locations`.
3. From the models: pass `process_revision_directives=write_steps` in your `env.py`, and autogenerate writes the
   first way's revision.

Whichever it is, put `pgq_orm.sqlalchemy.metadata` into your `target_metadata`, beside your own: otherwise
autogenerate finds tables that it does not know, and proposes to drop them.
"""

from pgq_orm.sqlalchemy.migrations.autogenerate import write_steps
from pgq_orm.sqlalchemy.migrations.steps import downgrade, upgrade

__all__ = ["downgrade", "upgrade", "write_steps"]
