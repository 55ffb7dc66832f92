"""Models: accounts, the transfers that were asked for, the entries that were posted, and balances over time.

Amounts are in cents. Every entry is signed: debits are positive, credits negative, and a transfer's two add up to zero.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, str: Text, datetime: DateTime(timezone=True)}


class Account(Base):
    __tablename__ = "ledger_account"

    name: Mapped[str] = mapped_column(primary_key=True)


class Transfer(Base):
    """What somebody asked for, in the transaction that enqueued its posting. Never changed afterwards."""

    __tablename__ = "ledger_transfer"
    __table_args__ = (CheckConstraint("amount > 0", name="ledger_transfer_amount_check"),)

    transfer_id: Mapped[str] = mapped_column(primary_key=True)
    debit: Mapped[str] = mapped_column(ForeignKey(Account.name))
    credit: Mapped[str] = mapped_column(ForeignKey(Account.name))
    amount: Mapped[int]
    memo: Mapped[str]
    requested: Mapped[datetime] = mapped_column(server_default=func.now())


class Entry(Base):
    """One side of a posted transfer, or of a sale in the shop."""

    __tablename__ = "ledger_entry"
    # nothing relies on it: that a posting is made once is the queue's promise, and this would tell if it were broken
    __table_args__ = (UniqueConstraint("transfer_id", "account", name="ledger_entry_once"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    transfer_id: Mapped[str]
    account: Mapped[str] = mapped_column(ForeignKey(Account.name))
    amount: Mapped[int]
    memo: Mapped[str]
    posted: Mapped[datetime] = mapped_column(server_default=func.now())


class Balance(Base):
    """The books as they were at a tick of the schedule."""

    __tablename__ = "ledger_balance"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    # not unique on purpose: that a tick fires once is the queue's promise, and the demo looks whether it is kept
    tick: Mapped[datetime]
    entries: Mapped[int]
    debits: Mapped[int]
    credits: Mapped[int]
