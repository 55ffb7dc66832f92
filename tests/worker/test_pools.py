"""Pools: a worker whose handlers may have to wait for a connection says so when it starts."""

from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.queues import Queue
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import sqlalchemy_url
from tests.worker.conftest import dispose


async def warnings_of(
    pgq: PgQueuer, engine: AsyncEngine | Engine, caplog: pytest.LogCaptureFixture, **options: Any
) -> list[str]:
    """What the worker warns of before it finds nothing to do."""
    await pgq.run(mode=QueueExecutionMode.drain, **options)
    await dispose(engine)
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


async def with_session(job: Job, session: AsyncSession) -> None: ...


async def with_two(job: Job, session: AsyncSession, other: AsyncSession) -> None: ...


async def without_session(job: Job) -> None: ...


def in_a_thread(job: Job, session: Session) -> None: ...


@pytest.fixture
def url(dsn: str) -> str:
    return sqlalchemy_url(dsn)


async def test_a_pool_with_fewer_connections_than_handlers_may_want_is_told(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(url, pool_size=2, max_overflow=3, pool_timeout=7)
    pgq = PgQueuer(engine)
    pgq.entrypoint("work")(with_session)
    [warning] = await warnings_of(pgq, engine, caplog, max_concurrent_tasks=20)
    assert warning == (
        "Handlers may have to wait for a connection: they may want 20 at a time, and the engine's pool has 5 "
        "(pool_size 2 and max_overflow 3). One that waits for more than 7 s fails. Enlarge the pool (pool_size= of the "
        "engine), or let fewer jobs run at a time (--concurrency or max_concurrent_tasks, which is 20)"
    )


async def test_a_blocking_engine_has_a_pool_as_well(url: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(url)
    pgq = PgQueuer(engine)
    pgq.entrypoint("work")(in_a_thread)
    [warning] = await warnings_of(pgq, engine, caplog)
    assert "they may want 100 at a time, and the engine's pool has 15 " in warning


async def test_a_handler_with_two_sessions_wants_two_connections(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(url)
    pgq = PgQueuer(engine)
    pgq.entrypoint("work")(with_two)
    [warning] = await warnings_of(pgq, engine, caplog, max_concurrent_tasks=8)
    assert "they may want 16 at a time" in warning


@pytest.mark.parametrize(
    "case", ["enough", "no sessions", "no limit", "no pool", "limited entrypoint", "limited queue"]
)
async def test_who_never_has_to_wait_is_told_nothing(
    url: str, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    made: dict[str, dict[str, Any]] = {"no limit": {"max_overflow": -1}, "no pool": {"poolclass": NullPool}}
    engine = create_async_engine(url, **made.get(case, {}))
    slots = Queue("default", concurrency=15) if case == "limited queue" else Queue("default")
    pgq = PgQueuer(engine, queues=[slots])
    limit = {"concurrency_limit": 15} if case == "limited entrypoint" else {}
    pgq.entrypoint("work", **limit)(without_session if case == "no sessions" else with_session)  # type: ignore[arg-type]
    pgq.entrypoint("other")(without_session)
    assert await warnings_of(pgq, engine, caplog, max_concurrent_tasks=15 if case == "enough" else 100) == []
