"""Books: posting transfers and drawing balances, in the session that is given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from example_project.ledger.models import Balance, Entry

AccountName: TypeAlias = Literal["bank", "cards", "sales", "refunds", "supplies"]


@dataclass(frozen=True, slots=True)
class Posting:
    """What a `post_entry` job is given, whichever application enqueued it."""

    transfer_id: str
    debit: str
    credit: str
    amount: int
    memo: str

    @property
    def dedupe_key(self) -> str:
        return f"entry-{self.transfer_id}"


async def post(session: AsyncSession, posting: Posting) -> None:
    """Posts both sides. Once is up to the caller: the worker's handler is transactional."""
    sides = {posting.debit: posting.amount, posting.credit: -posting.amount}
    await session.execute(
        insert(Entry),
        [
            {"transfer_id": posting.transfer_id, "account": account, "amount": amount, "memo": posting.memo}
            for account, amount in sides.items()
        ],
    )


async def draw_balance(session: AsyncSession, tick: datetime) -> None:
    """Writes down what all entries come to: debits and credits, which must be equal."""
    debits = func.sum(Entry.amount).filter(Entry.amount > 0)
    credits = -func.sum(Entry.amount).filter(Entry.amount < 0)
    await session.execute(
        insert(Balance).from_select(
            [Balance.tick, Balance.entries, Balance.debits, Balance.credits],
            select(literal(tick), func.count(Entry.id), func.coalesce(debits, 0), func.coalesce(credits, 0)),
        )
    )
