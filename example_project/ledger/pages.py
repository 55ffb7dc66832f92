"""Pages: the books as people read them."""

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from example_project.ledger.models import Account, Balance, Entry

PAGE = Template(Path(__file__).with_name("books.html").read_text(encoding="utf-8"))
LATEST = 12


def books_page(session: Session) -> str:
    """The trial balance, the latest entries and the latest balances that the schedule drew."""
    debits = func.coalesce(func.sum(Entry.amount).filter(Entry.amount > 0), 0)
    credits = func.coalesce(-func.sum(Entry.amount).filter(Entry.amount < 0), 0)
    accounts = session.execute(
        select(Account.name, debits, credits).outerjoin(Entry).group_by(Account.name).order_by(Account.name)
    ).all()
    entries = session.scalars(select(Entry).order_by(Entry.id.desc()).limit(LATEST))
    balances = session.scalars(select(Balance).order_by(Balance.id.desc()).limit(LATEST))
    return PAGE.substitute(
        accounts="".join(_row(name, _money(debit), _money(credit)) for name, debit, credit in accounts),
        debits=_money(sum(debit for _, debit, _ in accounts)),
        credits=_money(sum(credit for _, _, credit in accounts)),
        entries="".join(
            _row(
                _clock(entry.posted),
                entry.account,
                entry.memo,
                _money(max(entry.amount, 0)),
                _money(max(-entry.amount, 0)),
            )
            for entry in entries
        ),
        balances="".join(
            _row(
                _clock(balance.tick),
                f"{balance.entries:,}",
                _money(balance.debits),
                _money(balance.credits),
            )
            for balance in balances
        ),
    )


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}" if cents else "–"


def _clock(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%H:%M:%S}"
