"""Waiting: looks at one job until it has ended, from beside the caller's session, which waits without a transaction."""

import asyncio
import time
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, async_scoped_session
from sqlalchemy.orm import scoped_session

from pgq_orm.errors import SessionError
from pgq_orm.operations import Operation
from pgq_orm.reports import Completion
from pgq_orm.sqlalchemy.engines import engine_behind
from pgq_orm.sqlalchemy.session import AsyncTarget, SyncTarget, run, run_async
from pgq_orm.waiting import looks_at, wait, wait_async


def wait_for(target: SyncTarget, job_id: int, timeout: timedelta | None) -> Completion:
    """Blocks until the job has ended."""
    engine = cast(Engine, engine_behind(target))

    def look(operation: Operation[Any]) -> Any:
        if _is_in_transaction(target):
            return run(target, operation)
        # A connection for each look: nothing is held, and nothing of the session expires, while the job runs.
        with engine.connect() as connection:
            return run(connection, operation)

    def pause(seconds: float) -> None:
        _refuse_to_wait_in_transaction(target)
        time.sleep(seconds)

    return wait(looks_at(job_id, timeout), look, pause)


async def await_for(target: AsyncTarget, job_id: int, timeout: timedelta | None) -> Completion:
    """The same to be awaited."""
    engine = cast(AsyncEngine, engine_behind(target))

    async def look(operation: Operation[Any]) -> Any:
        if _is_in_transaction(target):
            return await run_async(target, operation)
        async with engine.connect() as connection:
            return await run_async(connection, operation)

    async def pause(seconds: float) -> None:
        _refuse_to_wait_in_transaction(target)
        await asyncio.sleep(seconds)

    return await wait_async(looks_at(job_id, timeout), look, pause)


def _is_in_transaction(target: SyncTarget | AsyncTarget) -> bool:
    carrier = target() if isinstance(target, scoped_session | async_scoped_session) else target
    return bool(carrier.in_transaction())


def _refuse_to_wait_in_transaction(target: SyncTarget | AsyncTarget) -> None:
    if _is_in_transaction(target):
        raise SessionError(
            "waiting for a job inside a transaction: what it has enqueued exists for workers only once it has "
            "committed, and what it has locked they would wait for; commit or roll back first"
        )
