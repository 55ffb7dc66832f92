"""wait_for: whoever has a session or connection in hand hears how one job ends, and holds nothing while he waits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from pgq_orm import PgQueuer
from pgq_orm.errors import CompletionTimeoutError, JobNotFoundError, SessionError
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import eventually
from tests.queries.askers import ASKERS, Asker
from tests.queries.workshop import Workshop

NOBODYS_ID = 2**62
TIMEOUT = timedelta(seconds=20)
SOON = timedelta(seconds=0.2)
SQLALCHEMYS = {name: opened for name, opened in ASKERS.items() if "django" not in name}


@pytest.fixture(params=list(SQLALCHEMYS.values()), ids=list(SQLALCHEMYS))
async def waiter(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Asker]:
    """Each kind of SQLAlchemy's sessions and connections, in turn."""
    async with request.param(dsn) as asker:
        yield asker


async def test_a_job_that_has_ended_is_heard_of_wherever_one_asks(asker: Asker, workshop: Workshop) -> None:
    done, failed = workshop.finish(workshop.add(), result="7"), workshop.fail(workshop.add())
    await asker.ask("queue_size")  # begins a transaction
    completion = await asker.ask("wait_for", done, TIMEOUT)
    assert (completion, completion.result) == ("successful", 7)
    assert await asker.ask("wait_for", failed, None) == "exception"


async def test_nobody_waits_for_what_the_own_transaction_hides(asker: Asker) -> None:
    (mine,) = await asker.ask("enqueue", "mail")
    with pytest.raises(SessionError, match=r"inside .*transaction"):
        await asker.ask("wait_for", mine, TIMEOUT)
    assert await asker.ask("job_status", mine) == [(mine, "queued")]


async def test_a_number_of_seconds_is_told_what_to_write(asker: Asker) -> None:
    with pytest.raises(
        TypeError, match=r"timeout must be a timedelta, such as timedelta\(seconds=3\), not 3"
    ):
        await asker.ask("wait_for", NOBODYS_ID, 3)


LOOKED = """
SELECT count(*) FILTER (WHERE starts_with(lower(query), 'rollback')) > 0 AND count(*) FILTER (WHERE state <> 'idle') = 0
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
"""Somebody has looked, which ends in a ROLLBACK, and no transaction is open any more."""


async def test_a_job_that_ends_meanwhile_is_heard_of_by_one_who_holds_nothing(
    waiter: Asker, workshop: Workshop
) -> None:
    (job_id,) = await waiter.ask("enqueue", "mail")
    await waiter.commit()

    def work() -> None:
        eventually(lambda: workshop.value(LOOKED))
        workshop.finish(job_id, result='"sent"')

    worker = Thread(target=work)
    worker.start()
    completion = await waiter.ask("wait_for", job_id, TIMEOUT)
    worker.join()
    assert completion.result == "sent"


async def test_who_has_no_more_time_hears_where_the_job_stands(waiter: Asker, workshop: Workshop) -> None:
    job_id = workshop.add()
    with pytest.raises(
        CompletionTimeoutError, match=f"job {job_id} has not ended within 0.2 s: it is queued"
    ):
        await waiter.ask("wait_for", job_id, SOON)


async def test_a_job_that_nobody_sees_is_not_waited_for(
    waiter: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgq_orm.waiting.UNSEEN_SECONDS", 0.1)
    with pytest.raises(JobNotFoundError):
        await waiter.ask("wait_for", NOBODYS_ID, None)


async def test_an_application_without_a_session_waits_by_its_own(async_engine: AsyncEngine) -> None:
    pgq = PgQueuer(async_engine)
    pgq.entrypoint("add")(lambda job: job.arguments["a"] + 1)
    [job_id] = await pgq.queries.enqueue("add", arguments={"a": 1})
    waiting = asyncio.create_task(pgq.queries.wait_for(job_id, TIMEOUT))
    await pgq.run(mode=QueueExecutionMode.drain)
    assert (await waiting).result == 2
    [later_id] = await pgq.queries.enqueue("later")
    with pytest.raises(CompletionTimeoutError):
        await pgq.queries.wait_for(later_id, SOON)
    await pgq.store.close()
