"""Balances, drawn by a schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_balance",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("tick", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("debits", sa.BigInteger, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("ledger_balance")
