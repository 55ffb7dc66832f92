"""Version 1 of pgq-orm's schema."""

from alembic import op

from pgq_orm.sqlalchemy import migrations as pgq

revision = "pgq_orm_1"
down_revision = None
branch_labels = ("pgq_orm",)
depends_on = None


def upgrade() -> None:
    pgq.upgrade(op, to=1)


def downgrade() -> None:
    pgq.downgrade(op, to=0)
