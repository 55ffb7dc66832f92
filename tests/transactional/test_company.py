"""Company: transactional handlers beside what else the queue does when a job ends."""

from typing import Any

import pytest

from pgq_orm.models import Job
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.workflows import Workflow
from tests.eventually import aeventually
from tests.transactional.desks import Desk, Hand
from tests.transactional.ledgers import COMMITTING, Ledger
from tests.transactional.test_completion import AT_ONCE, DRAIN
from tests.worker.workers import running


async def write_attempt(job: Job, hand: Hand) -> int:
    await hand.write(job, f"attempt {job.attempts + 1}")
    return job.id


async def test_a_job_is_released_in_the_transaction_that_ends_its_last_parent(
    desk: Desk, ledger: Ledger
) -> None:
    """Both parents end at the same time: the second waits for the first one's commit, and then releases the child."""

    async def child(job: Job, hand: Hand) -> None:
        await hand.write(job, "child")

    desk.handle("parent", write_attempt)
    desk.handle("child", child)
    flow = Workflow()
    flow.add("child", depends_on=[flow.add("parent"), flow.add("parent")])
    with ledger.engine.begin() as connection:
        job_ids = SyncQueries(connection).enqueue_workflow(flow).job_ids
    with ledger.shut(COMMITTING) as door:
        async with running(desk.pgq):
            await door.aawait_one()
            assert sorted(job.status for job in ledger.jobs()) == ["picked", "picked", "waiting"]
            door.open()
            await aeventually(lambda: not ledger.jobs())
    assert [entry.entrypoint for entry in ledger.log()] == ["parent", "parent", "child"]
    assert sorted(ledger.entries().values()) == [1, 1, 1]
    assert ledger.statuses() == ["successful"] * len(job_ids)


async def test_a_parent_whose_end_is_rolled_back_releases_nobody(desk: Desk, ledger: Ledger) -> None:
    ledger.execute(
        """
        ALTER TABLE ledger ADD COLUMN once integer NOT NULL DEFAULT 1,
            ADD CONSTRAINT once UNIQUE (once) DEFERRABLE INITIALLY DEFERRED
        """
    )
    ledger.execute("INSERT INTO ledger VALUES (0, 'so that every commit of another row fails')")
    desk.handle("parent", write_attempt)
    desk.handle("child", write_attempt)
    flow = Workflow()
    flow.add("child", depends_on=flow.add("parent"))
    with ledger.engine.begin() as connection:
        SyncQueries(connection).enqueue_workflow(flow)
    await desk.pgq.run(mode=DRAIN)
    assert sorted(entry.status for entry in ledger.log()) == ["canceled", "exception"]
    assert list(ledger.entries()) == [(0, "so that every commit of another row fails")]


@pytest.mark.parametrize("options", [{"concurrency_limit": 1}, {"serialized_dispatch": True}], ids=str)
async def test_limits_hold_until_the_commit(desk: Desk, ledger: Ledger, options: dict[str, Any]) -> None:
    most: list[int] = []

    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "one")
        most.append(len([job for job in ledger.jobs() if job.status == "picked"]))

    desk.handle("post", work, max_attempts=2, backoff=AT_ONCE, **options)
    ledger.enqueue("post", [None] * 5)
    async with running(desk.pgq):
        await aeventually(lambda: not ledger.jobs())
    assert most == [1] * 5
    assert ledger.statuses() == ["successful"] * 5
