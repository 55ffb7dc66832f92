"""Ownership: a job that is another worker's by now, or of which nobody knows how it ended, has its effects once."""

import asyncio
import threading

import pytest

from pgq_orm.models import Job
from pgq_orm.worker import runner
from tests.eventually import aeventually
from tests.transactional.desks import DESKS, Desk, Hand
from tests.transactional.ledgers import AFTER, COMMITTING, FINISHING, Ledger, pass_door
from tests.transactional.test_completion import AT_ONCE, DRAIN, write_both
from tests.worker.test_ownership import take_away
from tests.worker.wire import Wire
from tests.worker.workers import is_quiet, listens, running, seconds

HOUR = seconds(3600)
"""A heartbeat_timeout with which a worker hears of nothing by its heartbeat in a test's time."""


async def write_attempt(job: Job, hand: Hand) -> None:
    await hand.write(job, f"attempt {job.attempts + 1}")
    await hand.execute(pass_door(AFTER))


async def settled_down(ledger: Ledger) -> None:
    """Returns when the worker is busy, and will not hear of anything before its next heartbeat."""
    await aeventually(lambda: [job.status for job in ledger.jobs()] == ["picked"])
    await aeventually(lambda: listens(ledger) and is_quiet(ledger))


async def test_a_lost_lease_rolls_back_what_the_handler_wrote(
    desk: Desk, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    desk.handle("post", write_attempt)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(AFTER) as door:
        async with running(desk.pgq, heartbeat_timeout=HOUR):
            await door.aawait_one()
            await settled_down(ledger)
            take_away(ledger, job_id)
            before = ledger.job(job_id)
            door.open()
            await aeventually(lambda: f"Lease of job {job_id} is lost" in caplog.text)
    assert "what its handler wrote is rolled back" in caplog.text
    assert (ledger.sides(job_id), ledger.log()) == ([], [])
    assert ledger.job(job_id) == before


async def test_of_two_workers_that_run_a_job_the_one_that_holds_it_keeps_its_effects(
    desk: Desk, ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    """The first was declared dead while its handler went on."""
    has_begun, may_end = threading.Event(), threading.Event()

    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, f"attempt {job.attempts + 1}")
        await hand.enqueue("child")
        if job.attempts == 0:
            has_begun.set()
            await hand.wait(may_end)

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    other = DESKS[request.node.callspec.id](ledger.dsn)
    other.handle("post", work)
    async with running(desk.pgq, heartbeat_timeout=HOUR):
        await aeventually(has_begun.is_set)
        await settled_down(ledger)
        ledger.execute("DELETE FROM pgq_worker")
        async with running(other.pgq, heartbeat_timeout=seconds(2)):
            await aeventually(lambda: ledger.statuses(job_id) == ["exception", "successful"])
        may_end.set()
    await other.close()
    assert ledger.sides(job_id) == ["attempt 2"]
    assert [(job.entrypoint, job.status) for job in ledger.jobs()] == [("child", "queued")]
    assert ledger.statuses(job_id) == ["exception", "successful"]


# The connection breaks


async def test_when_the_connection_breaks_before_the_end_the_attempt_is_made_again(
    wired_desk: Desk, ledger: Ledger, wire: Wire
) -> None:
    wired_desk.handle("post", write_attempt, max_attempts=2, backoff=AT_ONCE)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(AFTER) as door:
        async with running(wired_desk.pgq):
            await door.aawait_one()
            wire.drop()
            door.open()
            await aeventually(lambda: not ledger.jobs())
    assert ledger.sides(job_id) == ["attempt 2"]
    assert ledger.statuses(job_id) == ["exception", "successful"]


async def test_when_the_connection_breaks_as_the_job_is_being_ended_the_attempt_is_made_again(
    wired_desk: Desk, ledger: Ledger, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Until the server notices, the broken transaction holds the job; nobody waits for it but its own attempt."""
    caplog.set_level("INFO")
    wired_desk.handle("post", write_attempt, max_attempts=2, backoff=AT_ONCE)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(FINISHING) as door:
        async with running(wired_desk.pgq):
            await door.aawait_one()
            wire.drop()
            await aeventually(lambda: f"Job {job_id} is held by an open transaction" in caplog.text)
            door.open()
            await aeventually(lambda: not ledger.jobs())
    assert ledger.sides(job_id) == ["attempt 2"]
    assert ledger.statuses(job_id) == ["exception", "successful"]


async def test_when_the_connection_breaks_during_the_commit_a_job_that_is_done_is_not_done_again(
    wired_desk: Desk, ledger: Ledger, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def plain(job: Job, hand: Hand) -> None:
        await hand.execute("SELECT 1")

    wired_desk.handle("post", write_attempt, max_attempts=2, backoff=AT_ONCE)
    wired_desk.handle("plain", plain, transactional=False)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(COMMITTING) as door:
        async with running(wired_desk.pgq):
            await door.aawait_one()
            wire.drop()
            await aeventually(lambda: f"Job {job_id} is held by an open transaction" in caplog.text)
            [other] = ledger.enqueue("plain")
            # the others' outcomes do not wait behind the one in doubt; this one may be hit by the broken pool itself
            await aeventually(lambda: ledger.log(other))
            assert ledger.statuses(job_id) == []
            door.open()
            await aeventually(lambda: not ledger.jobs())
    assert ledger.sides(job_id) == ["attempt 1"]
    assert ledger.statuses(job_id) == ["successful"]
    assert f"Job {job_id} (post) has ended, though no answer to its COMMIT arrived" in caplog.text


async def test_a_commit_that_nobody_hears_of_holds_up_neither_the_rescue_of_others_nor_itself(
    wired_desk: Desk,
    ledger: Ledger,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker's network goes dumb while the server commits: it is declared dead, and comes back much later."""
    monkeypatch.setattr(runner, "INTERRUPTION_SECONDS", 0.3)
    wired_desk.handle("post", write_attempt)
    [job_id] = ledger.enqueue("post")
    other = DESKS["session"](ledger.dsn)
    other.handle("post", write_attempt)
    other.handle("stuck", write_attempt)
    with ledger.shut(COMMITTING) as door:
        async with running(wired_desk.pgq, heartbeat_timeout=seconds(2.5)):
            await door.aawait_one()
            [worker_id] = ledger.worker_ids()
            wire.freeze()
            ledger.execute(
                """
                INSERT INTO pgq_job (entrypoint, status, lease, worker_id) VALUES ('stuck', 'picked', 1, :id)
                """,
                id=worker_id,
            )
            async with running(other.pgq, heartbeat_timeout=seconds(2.5)):
                await aeventually(
                    lambda: "WorkerDied" in "".join(entry.error or "" for entry in ledger.log())
                )
                assert ledger.statuses(job_id) == []  # still being committed, and not rescued
                door.open()
                await aeventually(lambda: not ledger.jobs())
            wire.mend()
    await other.close()
    assert ledger.sides(job_id) == ["attempt 1"]
    assert ledger.statuses(job_id) == ["successful"]


# The worker


async def test_a_commit_that_takes_longer_than_the_lease_is_waited_for(
    desk: Desk, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """The heartbeat does not queue up behind it."""
    desk.handle("post", write_attempt)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(COMMITTING) as door:
        async with running(desk.pgq, heartbeat_timeout=seconds(2)):
            await door.aawait_one()
            worker_ids = ledger.worker_ids()
            await asyncio.sleep(2.5)
            assert ledger.worker_ids() == worker_ids
            door.open()
            await aeventually(lambda: not ledger.jobs())
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["attempt 1"], ["successful"])
    assert "is lost" not in caplog.text


async def test_a_worker_that_must_end_at_once_lets_a_commit_come_to_its_end(
    desk: Desk, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    desk.handle("post", write_attempt)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(COMMITTING) as door:
        async with running(desk.pgq) as work:
            await door.aawait_one()
            desk.pgq.stop_now()
            done, _ = await asyncio.wait([work], timeout=0.3)
            assert not done
            door.open()
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["attempt 1"], ["successful"])
    assert "is lost" not in caplog.text


async def test_a_worker_that_cannot_wait_for_a_commit_does_not_give_its_job_back(
    desk: Desk, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To give it back would mean to wait for the commit as well. Should it fail, the job is rescued."""
    monkeypatch.setattr(runner, "INTERRUPTION_SECONDS", 0.3)
    desk.handle("post", write_attempt)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(COMMITTING) as door:
        async with running(desk.pgq):
            await door.aawait_one()
            desk.pgq.stop_now()
            await aeventually(lambda: ledger.worker_ids() == [])
            door.open()
        await aeventually(lambda: not ledger.jobs())
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["attempt 1"], ["successful"])


async def test_what_fails_after_the_commit_does_not_undo_it(
    desk: Desk, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(job: Job, hand: Hand) -> None:
        def fail() -> None:
            raise ZeroDivisionError("after the commit")

        await write_both(job, hand)
        await hand.after_commit(fail)

    desk.handle("post", work, max_attempts=2, backoff=AT_ONCE)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN, max_concurrent_tasks=10)  # no more than the pool has connections
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["credit", "debit"], ["successful"])
    [record] = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert f"Job {job_id} (post) " in record.message
    assert record.exc_info is None or record.exc_info[0] is ZeroDivisionError
