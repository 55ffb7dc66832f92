"""Tasks: what the ledger does in the background. The web application enqueues it, the worker runs it."""

import os

from sqlalchemy.ext.asyncio import AsyncSession

from example_project.ledger.books import Posting, draw_balance, post
from pgq_orm import INJECTED, Registry
from pgq_orm.models import Schedule

EVERY_MINUTE = "* * * * *"

tasks = Registry()


@tasks.task(max_attempts=5, transactional=True)
async def post_entry(posting: Posting, session: AsyncSession = INJECTED) -> None:
    """Posts both sides, in the transaction that ends the job. The shop asks for it, too."""
    await post(session, posting)


@tasks.schedule("draw_balance", os.environ.get("LEDGER_BALANCE_CRON", EVERY_MINUTE), transactional=True)
async def balance(schedule: Schedule, session: AsyncSession) -> None:
    """Writes down what the books come to, at every tick."""
    assert schedule.last_run is not None  # the tick that brought us here
    await draw_balance(session, schedule.last_run)
