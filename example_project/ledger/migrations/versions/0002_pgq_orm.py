"""The job queue: pgq-orm's tables, version 1."""

from alembic import op

from pgq_orm.sqlalchemy import migrations as pgq

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pgq.upgrade(op, to=1)


def downgrade() -> None:
    pgq.downgrade(op, to=0)
