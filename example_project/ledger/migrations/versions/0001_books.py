"""Accounts, transfers and entries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    account = op.create_table("ledger_account", sa.Column("name", sa.Text, primary_key=True))
    op.create_table(
        "ledger_transfer",
        sa.Column("transfer_id", sa.Text, primary_key=True),
        sa.Column("debit", sa.Text, sa.ForeignKey("ledger_account.name"), nullable=False),
        sa.Column("credit", sa.Text, sa.ForeignKey("ledger_account.name"), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("memo", sa.Text, nullable=False),
        sa.Column("requested", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("amount > 0", name="ledger_transfer_amount_check"),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("transfer_id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, sa.ForeignKey("ledger_account.name"), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("memo", sa.Text, nullable=False),
        sa.Column("posted", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.UniqueConstraint("transfer_id", "account", name="ledger_entry_once"),
    )
    op.bulk_insert(account, [{"name": name} for name in ("bank", "cards", "sales", "refunds", "supplies")])


def downgrade() -> None:
    op.drop_table("ledger_entry")
    op.drop_table("ledger_transfer")
    op.drop_table("ledger_account")
