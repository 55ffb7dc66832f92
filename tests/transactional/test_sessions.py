"""Sessions: what a transactional handler may do with the one that SQLAlchemy gives it, and what it may not."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from pgq_orm import PgQueuer
from pgq_orm.errors import CommitRefused
from pgq_orm.models import Job
from pgq_orm.sqlalchemy import Job as MappedJob
from tests.transactional.ledgers import Ledger
from tests.transactional.test_completion import DRAIN

Work = Callable[[AsyncSession], Awaitable[Any]]


@pytest.fixture
def pgq(ledger: Ledger, async_engine: AsyncEngine) -> PgQueuer:
    return PgQueuer(async_engine)


async def done(pgq: PgQueuer, ledger: Ledger, work: Work) -> tuple[list[str], str, str | None]:
    """What a job that does the work has written, how it ended, and by which error."""

    @pgq.entrypoint("post", transactional=True)
    async def post(job: Job, session: AsyncSession) -> Any:
        return await work(session)

    ledger.enqueue("post")
    await pgq.run(mode=DRAIN)
    [entry] = ledger.log()
    return ledger.scalars("SELECT side FROM ledger ORDER BY side"), entry.status, entry.error


async def write(session: AsyncSession, side: str) -> None:
    await session.execute(text("INSERT INTO ledger VALUES (1, :side)"), {"side": side})


async def test_a_savepoint_is_the_handlers_own(pgq: PgQueuer, ledger: Ledger) -> None:
    async def work(session: AsyncSession) -> None:
        await write(session, "kept")
        async with session.begin_nested():
            await write(session, "kept too")
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                await write(session, "lost")
                await session.execute(text("SELECT 1 / 0"))

    assert await done(pgq, ledger, work) == (["kept", "kept too"], "successful", None)


async def test_a_savepoint_that_is_left_open_is_kept(pgq: PgQueuer, ledger: Ledger) -> None:
    async def work(session: AsyncSession) -> None:
        await session.begin_nested()
        await write(session, "kept")

    assert await done(pgq, ledger, work) == (["kept"], "successful", None)


async def test_a_begin_block_is_refused_where_it_would_commit(pgq: PgQueuer, ledger: Ledger) -> None:
    async def work(session: AsyncSession) -> None:
        async with session.begin():
            await write(session, "lost")

    written, status, error = await done(pgq, ledger, work)
    assert (written, status) == ([], "exception")
    assert (error or "").startswith(
        "CommitRefused: a transactional handler's session is committed together with"
    )


async def test_a_commit_within_a_savepoint_is_refused_too(pgq: PgQueuer, ledger: Ledger) -> None:
    async def work(session: AsyncSession) -> None:
        await session.begin_nested()
        await write(session, "lost")
        await session.commit()

    written, status, error = await done(pgq, ledger, work)
    assert (written, status) == ([], "exception")
    assert (error or "").startswith("CommitRefused: ")


async def test_what_the_handler_takes_back_is_not_written_and_the_job_is_done(
    pgq: PgQueuer, ledger: Ledger
) -> None:
    async def work(session: AsyncSession) -> None:
        await write(session, "lost")
        await session.rollback()
        await write(session, "kept")
        with pytest.raises(CommitRefused):
            await session.commit()

    assert await done(pgq, ledger, work) == (["kept"], "successful", None)


async def test_a_closed_session_ends_the_job_without_what_was_written_before(
    pgq: PgQueuer, ledger: Ledger
) -> None:
    async def work(session: AsyncSession) -> None:
        await write(session, "lost")
        await session.close()

    assert await done(pgq, ledger, work) == ([], "successful", None)


async def test_objects_that_were_added_are_flushed_before_the_job_ends(pgq: PgQueuer, ledger: Ledger) -> None:
    async def work(session: AsyncSession) -> None:
        session.add(MappedJob(entrypoint="child"))

    assert await done(pgq, ledger, work) == ([], "successful", None)
    assert [job.entrypoint for job in ledger.jobs()] == ["child"]


async def test_a_flush_that_fails_fails_the_attempt(pgq: PgQueuer, ledger: Ledger) -> None:
    async def work(session: AsyncSession) -> None:
        await write(session, "lost")
        session.add(MappedJob(id=1, entrypoint="another of this id"))

    written, status, error = await done(pgq, ledger, work)
    assert (written, status) == ([], "exception")
    assert (error or "").startswith(IntegrityError.__name__)


async def test_what_breaks_at_the_commit_fails_the_attempt(pgq: PgQueuer, ledger: Ledger) -> None:
    ledger.execute(
        "ALTER TABLE ledger ADD CONSTRAINT once UNIQUE (job_id, side) DEFERRABLE INITIALLY DEFERRED"
    )

    async def work(session: AsyncSession) -> None:
        await write(session, "twice")
        await write(session, "twice")

    written, status, error = await done(pgq, ledger, work)
    assert (written, status) == ([], "exception")
    assert 'violates unique constraint "once"' in (error or "")


async def test_the_applications_own_session_factory_makes_the_session(
    ledger: Ledger, async_engine: AsyncEngine
) -> None:
    class Own(AsyncSession):
        pass

    given: list[AsyncSession] = []
    factory = async_sessionmaker(async_engine, class_=Own, info={"by": "the application"})

    async def work(session: AsyncSession) -> None:
        given.append(session)
        await write(session, "kept")

    assert await done(PgQueuer(factory), ledger, work) == (["kept"], "successful", None)
    assert [(type(session), session.info["by"]) for session in given] == [(Own, "the application")]
