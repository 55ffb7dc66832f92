"""Worker: what the ledger does in the background. `pgq run example_project.ledger.worker:create_pgqueuer`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from example_project.ledger.books import Posting, draw_balance, post
from example_project.ledger.database import database_url
from pgq_orm import PgQueuer
from pgq_orm.models import Job, Schedule

EVERY_MINUTE = "* * * * *"


@asynccontextmanager
async def create_pgqueuer() -> AsyncIterator[PgQueuer]:
    """The ledger's handlers and its schedule, on an engine that is closed with the worker."""
    engine = create_async_engine(database_url())
    pgq = PgQueuer(engine)

    @pgq.entrypoint("post_entry", max_attempts=5, transactional=True)
    async def post_entry(job: Job, session: AsyncSession) -> None:
        await post(session, Posting.from_arguments(job.arguments))

    @pgq.schedule("draw_balance", os.environ.get("LEDGER_BALANCE_CRON", EVERY_MINUTE), transactional=True)
    async def balance(schedule: Schedule, session: AsyncSession) -> None:
        assert schedule.last_run is not None  # the tick that brought us here
        await draw_balance(session, schedule.last_run)

    yield pgq
    await engine.dispose()
