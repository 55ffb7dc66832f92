"""Completion: whoever waits for a job hears how it ended, or why nobody can tell."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm import schema
from pgq_orm.completion import CompletionWatcher
from pgq_orm.embedded import EmbeddedServer
from pgq_orm.errors import (
    CompletionTimeoutError,
    InvalidJobError,
    JobFailedError,
    JobNotFoundError,
    PgqError,
    SchemaError,
    SessionError,
)
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy import Job, Queries
from pgq_orm.sqlalchemy.store import AsyncEngineStore
from pgq_orm.statuses import LogStatus
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.queries.workshop import Workshop

T = TypeVar("T")
NOBODYS_ID = 2**62
SOON = timedelta(milliseconds=10)
OpenWatcher = Callable[..., CompletionWatcher]

ENGINES: dict[str, Callable[[str], Any]] = {
    "engine": lambda dsn: create_engine(sqlalchemy_url(dsn)),
    "async engine, psycopg": lambda dsn: create_async_engine(sqlalchemy_url(dsn, "psycopg")),
    "async engine, asyncpg": lambda dsn: create_async_engine(sqlalchemy_url(dsn, "asyncpg")),
}


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def open_watcher(request: pytest.FixtureRequest, dsn: str) -> OpenWatcher:
    """A watcher that looks often, on each kind of engine in turn."""

    def open_watcher(**options: Any) -> CompletionWatcher:
        given = {"refresh_interval": SOON, "debounce": SOON, "unseen_timeout": 5 * SOON}
        return CompletionWatcher(request.param(dsn), **given | options)

    return open_watcher


@pytest.fixture
async def watcher(open_watcher: OpenWatcher) -> AsyncIterator[CompletionWatcher]:
    async with open_watcher() as watcher:
        yield watcher


def connections(workshop: Workshop) -> int:
    """How many connections watchers hold."""
    return workshop.value(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pgq-orm'"
    )


async def test_a_job_that_ends_is_heard_of(watcher: CompletionWatcher, workshop: Workshop) -> None:
    job_id = workshop.add()
    waiting = watcher.wait_for(job_id)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    workshop.finish(job_id, result='{"sum": 7}')
    completion = await asyncio.wait_for(waiting, 10)
    assert completion == "successful"
    assert completion.status is LogStatus.SUCCESSFUL
    assert (completion.job_id, completion.result, completion.error) == (job_id, {"sum": 7}, None)


async def test_a_job_that_has_ended_long_ago_is_heard_of_at_once(
    watcher: CompletionWatcher, workshop: Workshop
) -> None:
    job_id = workshop.finish(workshop.add())
    completion = await watcher.wait_for(job_id)
    assert (completion, completion.result) == ("successful", None)


async def test_a_failure_is_an_end_that_has_no_result(watcher: CompletionWatcher, workshop: Workshop) -> None:
    completion = await watcher.wait_for(workshop.fail(workshop.add(), "ValueError: no"))
    assert (completion, completion.error) == ("exception", "ValueError: no")
    with pytest.raises(JobFailedError, match="ValueError: no"):
        _ = completion.result


async def test_a_retry_is_no_end(watcher: CompletionWatcher, workshop: Workshop) -> None:
    job_id = workshop.add()
    workshop.retry(job_id)
    waiting = watcher.wait_for(job_id)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    workshop.finish(job_id)
    assert await waiting == "successful"


async def test_a_canceled_job_has_ended(watcher: CompletionWatcher, workshop: Workshop) -> None:
    assert await watcher.wait_for(workshop.finish(workshop.add(), LogStatus.CANCELED)) == "canceled"


async def test_thousands_wait_and_each_hears_of_its_own_job(
    watcher: CompletionWatcher, workshop: Workshop
) -> None:
    job_ids = [workshop.add(f"mail-{number}") for number in range(20)]
    waiting = [watcher.wait_for(job_id) for job_id in job_ids * 100]
    for job_id in job_ids[::2]:
        workshop.finish(job_id)
    for job_id in job_ids[1::2]:
        workshop.fail(job_id)
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert answers == ["successful", "exception"] * 1000
    assert [answer.job_id for answer in answers] == job_ids * 100


async def test_waiting_for_the_first_of_several_is_asyncio_as_usual(
    watcher: CompletionWatcher, workshop: Workshop
) -> None:
    slow, quick = workshop.add("slow"), workshop.add("quick")
    waiting = [watcher.wait_for(slow), watcher.wait_for(quick)]
    workshop.finish(quick)
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [future.result().job_id for future in done] == [quick]
    for future in pending:
        future.cancel()


async def test_who_has_no_more_time_hears_where_the_job_stands(
    watcher: CompletionWatcher, workshop: Workshop
) -> None:
    job_id = workshop.add()
    workshop.pick(job_id)
    # long enough for one look by all means
    with pytest.raises(TimeoutError, match=f"job {job_id} has not ended within 1 s: it is picked") as caught:
        await watcher.wait_for(job_id, timeout=timedelta(seconds=1))
    assert isinstance(caught.value, CompletionTimeoutError)
    assert (caught.value.job_id, caught.value.status) == (job_id, "picked")


async def test_an_unknown_job_is_not_waited_for_for_ever(watcher: CompletionWatcher) -> None:
    with pytest.raises(JobNotFoundError, match="has not committed"):
        await asyncio.wait_for(watcher.wait_for(NOBODYS_ID), 10)


async def test_a_job_of_the_callers_own_open_transaction_is_refused(
    open_watcher: OpenWatcher, async_engine: Any
) -> None:
    async with AsyncSession(async_engine) as session, open_watcher() as watcher:
        (job_id,) = await Queries(session).enqueue("mail")
        with pytest.raises(JobNotFoundError, match="commit before asking from elsewhere"):
            await asyncio.wait_for(watcher.wait_for(job_id), 10)
        await session.commit()
        assert await session.scalar(select(Job.status)) == "queued"


async def test_a_commit_that_is_a_little_late_is_waited_for(
    open_watcher: OpenWatcher, workshop: Workshop, dsn: str
) -> None:
    async with open_watcher(unseen_timeout=timedelta(seconds=10)) as watcher:
        with psycopg.connect(dsn) as enqueuer:
            row: Any = enqueuer.execute(
                "INSERT INTO pgq_job (entrypoint) VALUES ('a') RETURNING id"
            ).fetchone()
            job_id = row[0]
            waiting = watcher.wait_for(job_id)
            await asyncio.sleep(0.1)
        workshop.finish(job_id)
        assert await asyncio.wait_for(waiting, 10) == "successful"


async def test_a_job_that_vanishes_is_not_waited_for_for_ever(
    watcher: CompletionWatcher, workshop: Workshop
) -> None:
    job_id = workshop.add()
    waiting = watcher.wait_for(job_id)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    workshop.connection.execute("DELETE FROM pgq_job")
    with pytest.raises(JobNotFoundError):
        await asyncio.wait_for(waiting, 10)


@pytest.mark.parametrize("no_id", [None, "7", True, 2**63])
async def test_what_is_no_id_is_refused_at_the_caller(watcher: CompletionWatcher, no_id: Any) -> None:
    with pytest.raises(InvalidJobError, match="a job's id must be an integer"):
        watcher.wait_for(no_id)


async def test_a_number_of_seconds_is_told_what_to_write(
    watcher: CompletionWatcher, open_watcher: OpenWatcher, workshop: Workshop
) -> None:
    seconds: Any = 3
    said = r"must be a timedelta, such as timedelta\(seconds=3\), not 3"
    with pytest.raises(TypeError, match=f"timeout {said}"):
        watcher.wait_for(workshop.add(), timeout=seconds)
    for option in ("debounce", "refresh_interval", "unseen_timeout"):
        with pytest.raises(TypeError, match=f"{option} {said}"):
            open_watcher(**{option: seconds})


async def test_leaving_the_block_waits_for_what_is_waited_for(
    open_watcher: OpenWatcher, workshop: Workshop
) -> None:
    job_id = workshop.add()
    async with open_watcher() as watcher:
        waiting = watcher.wait_for(job_id)
        asyncio.get_running_loop().call_later(0.05, workshop.finish, job_id)
    assert waiting.result() == "successful"


async def test_leaving_by_an_exception_gives_the_waiting_up(
    open_watcher: OpenWatcher, workshop: Workshop
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_watcher() as watcher:
            waiting = watcher.wait_for(workshop.add())
            raise ZeroDivisionError
    assert waiting.cancelled()


async def test_being_cancelled_while_leaving_gives_the_waiting_up(
    open_watcher: OpenWatcher, workshop: Workshop
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as patience:
            async with open_watcher() as watcher:
                waiting = watcher.wait_for(workshop.add())
                patience.reschedule(asyncio.get_running_loop().time() + 0.1)
    assert waiting.cancelled()


async def test_nobody_can_wait_outside_the_block(open_watcher: OpenWatcher) -> None:
    watcher = open_watcher()
    with pytest.raises(PgqError, match="inside `async with CompletionWatcher"):
        watcher.wait_for(1)
    async with watcher:
        pass
    with pytest.raises(PgqError, match="this watcher is not open"):
        watcher.wait_for(1)


async def test_a_watcher_leaves_no_connection_behind(open_watcher: OpenWatcher, workshop: Workshop) -> None:
    await aeventually(lambda: connections(workshop) == 0)  # of the test before
    async with open_watcher() as watcher:
        await watcher.wait_for(workshop.finish(workshop.add()))
        assert connections(workshop) == 1
    await aeventually(lambda: connections(workshop) == 0)


async def test_tables_that_are_missing_are_told_on_entering(empty_dsn: str) -> None:
    engine = create_async_engine(sqlalchemy_url(empty_dsn))
    with pytest.raises(SchemaError, match="pgq"):
        async with CompletionWatcher(engine):
            pass


async def test_a_session_is_refused(engine: Any) -> None:
    with Session(engine) as session, pytest.raises(SessionError, match="AsyncEngine or an Engine"):
        CompletionWatcher(session)


async def test_a_lost_connection_is_replaced(
    open_watcher: OpenWatcher, workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = workshop.add()
    async with open_watcher() as watcher:
        waiting = watcher.wait_for(job_id)
        await asyncio.sleep(0.05)
        workshop.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'pgq-orm'"
        )
        await aeventually(lambda: "Lookout failed, next try in" in caplog.text)
        workshop.finish(job_id)
        assert await asyncio.wait_for(waiting, 10) == "successful"


async def test_a_restart_of_the_database_is_outlived() -> None:
    with EmbeddedServer(durable=False) as server:
        with psycopg.connect(server.dsn) as connection:
            for statement in schema.up():
                connection.execute(statement.encode())
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            workshop = Workshop(connection)
            workshop.empty()
            job_id = workshop.add()
        store = CountingStore(server.dsn)
        async with CompletionWatcher(store) as watcher:
            waiting, impatient = watcher.wait_for(job_id), watcher.wait_for(job_id, timedelta(seconds=2))
            await aeventually(lambda: len(store.looks) > 1)  # so the first has been answered
            await asyncio.to_thread(server.stop)
            with pytest.raises(CompletionTimeoutError, match="it is queued"):
                await impatient
            await asyncio.to_thread(server.start)
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                workshop.connection = connection
                workshop.finish(job_id)
            assert await asyncio.wait_for(waiting, 20) == "successful"


async def test_all_that_is_waited_for_is_looked_at_by_one_statement(workshop: Workshop, dsn: str) -> None:
    store = CountingStore(dsn)
    async with CompletionWatcher(store, refresh_interval=SOON, debounce=SOON) as watcher:
        job_ids = [workshop.add(f"mail-{number}") for number in range(50)]
        waiting = [watcher.wait_for(job_id) for job_id in job_ids * 2]
        await aeventually(lambda: len(store.looks) >= 2)
        assert [sorted(ids) for ids in store.looks[:2]] == [job_ids] * 2
        for job_id in job_ids:
            workshop.finish(job_id)
        await asyncio.gather(*waiting)


async def test_a_watcher_that_nobody_waits_with_sends_nothing(workshop: Workshop, dsn: str) -> None:
    store = CountingStore(dsn)
    async with CompletionWatcher(store, refresh_interval=SOON, debounce=SOON) as watcher:
        for _ in range(2):
            await asyncio.sleep(5 * SOON.total_seconds())
            assert len(store.looks) <= 1
        given_up = watcher.wait_for(workshop.add())
        await aeventually(lambda: store.looks)
        given_up.cancel()
        await asyncio.sleep(0)
        before = len(store.looks)
        await asyncio.sleep(10 * SOON.total_seconds())
        assert len(store.looks) <= before + 1  # the one that may have been under way


async def test_a_job_that_takes_long_is_looked_at_less_and_less_often(workshop: Workshop, dsn: str) -> None:
    store = CountingStore(dsn)
    async with CompletionWatcher(store, debounce=SOON) as watcher:
        waiting = watcher.wait_for(workshop.add())
        await asyncio.sleep(1)
        await aeventually(lambda: len(store.looks) > 3)
        # every 10 ms would be 100 times
        assert len(store.looks) <= 40
        waiting.cancel()


class CountingStore(AsyncEngineStore):
    """Remembers which jobs it was asked about."""

    def __init__(self, dsn: str) -> None:
        super().__init__(create_async_engine(sqlalchemy_url(dsn)))
        self.looks: list[list[int]] = []

    async def run(self, operation: Operation[T]) -> T:
        if "ids" in operation.params:
            self.looks.append(operation.params["ids"])
        return await super().run(operation)
