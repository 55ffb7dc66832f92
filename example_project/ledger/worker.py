"""Worker: runs the ledger's tasks. `pgq run example_project.ledger.worker:create_pgqueuer`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import create_async_engine

from example_project.ledger.database import database_url
from example_project.ledger.tasks import tasks
from pgq_orm import PgQueuer


@asynccontextmanager
async def create_pgqueuer() -> AsyncIterator[PgQueuer]:
    """The ledger's tasks, on an engine that is closed with the worker."""
    engine = create_async_engine(database_url())
    yield PgQueuer(engine, registry=tasks)
    await engine.dispose()
