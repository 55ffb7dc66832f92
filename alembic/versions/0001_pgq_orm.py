"""Brings in pgq-orm's tables."""

from alembic import op

from pgq_orm.sqlalchemy import migrations as pgq

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    pgq.upgrade(op, to=1)


def downgrade() -> None:
    pgq.downgrade(op, to=0)
