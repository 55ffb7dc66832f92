"""Completion: what a transactional handler writes is there exactly if its job has ended as successful."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Cancel, Retry, Snooze
from pgq_orm.retries import Backoff
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.transactional.desks import DESKS, ON_SQLALCHEMY, Desk, Hand
from tests.transactional.ledgers import COMMITTING, FINISHING, Ledger
from tests.worker.workers import running, seconds

DRAIN = QueueExecutionMode.drain
AT_ONCE = Backoff(timedelta(0), timedelta(0))


class Refused(Exception):
    pass


async def write_both(job: Job, hand: Hand) -> Any:
    await hand.write(job, "credit")
    await hand.write(job, "debit")
    return {"written": 2}


async def test_writes_and_the_jobs_end_commit_together(desk: Desk, ledger: Ledger) -> None:
    desk.handle("post", write_both)
    [job_id] = ledger.enqueue("post", b"p")
    with ledger.shut(COMMITTING) as door:
        async with running(desk.pgq):
            await door.aawait_one()
            assert (ledger.sides(job_id), ledger.statuses(job_id)) == ([], [])
            assert [job.status for job in ledger.jobs()] == ["picked"]
            door.open()
            await aeventually(lambda: not ledger.jobs())
            assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["credit", "debit"], ["successful"])
    [written_by] = set(ledger.scalars("SELECT CAST(CAST(xmin AS text) AS bigint) FROM ledger"))
    [entry] = ledger.execute("SELECT CAST(CAST(xmin AS text) AS bigint) AS by, * FROM pgq_log")
    assert entry.by == written_by
    assert (entry.result, entry.error, entry.attempt, entry.retried) == ({"written": 2}, None, 1, False)
    assert entry.worker_id is not None


async def test_the_log_has_the_times_at_which_the_handler_began_and_ended(desk: Desk, ledger: Ledger) -> None:
    """Not those of its transaction, which begins with the first statement."""
    ended: list[Any] = []

    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "first")
        await hand.execute("SELECT pg_sleep(0.3)")
        [[moment]] = await hand.execute("SELECT clock_timestamp()")
        ended.append(moment)

    desk.handle("post", work)
    ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log()
    assert entry.created >= ended[0]
    assert entry.duration >= timedelta(seconds=0.3)
    # by two clocks, of which the wait is measured by the other
    assert entry.enqueued <= entry.started <= entry.created - timedelta(seconds=0.2)


async def test_a_job_that_writes_nothing_ends_as_well(desk: Desk, ledger: Ledger) -> None:
    async def nothing(job: Job, hand: Hand) -> None:
        return None

    desk.handle("post", nothing)
    ledger.enqueue("post", [None] * 20)
    await desk.pgq.run(mode=DRAIN, max_concurrent_tasks=5)
    assert ledger.statuses() == ["successful"] * 20
    assert ledger.jobs() == []


async def test_children_exist_exactly_if_their_parent_is_done(desk: Desk, ledger: Ledger) -> None:
    async def parent(job: Job, hand: Hand) -> None:
        await hand.enqueue("child")
        if job.payload == b"bad":
            raise Refused

    async def child(job: Job, hand: Hand) -> None:
        await hand.write(job, "child")

    desk.handle("parent", parent)
    desk.handle("child", child)
    ledger.enqueue("parent", [b"good", b"bad"])
    await desk.pgq.run(mode=DRAIN)
    assert [side for _, side in ledger.entries().elements()] == ["child"]
    assert sorted(ledger.statuses()) == ["exception", "successful", "successful"]


# What is no success leaves no trace of its writes


VERDICTS = [Cancel("pointless"), Snooze(timedelta(hours=1)), Retry(timedelta(hours=1))]
STATUSES = {Cancel: ["canceled"], Snooze: []}


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        *(("raises", error) for error in (Refused("no"), SystemExit(1), *VERDICTS)),
        *(("returns", verdict) for verdict in VERDICTS),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_only_a_success_keeps_what_was_written(
    desk: Desk, ledger: Ledger, ending: str, said: BaseException
) -> None:
    async def work(job: Job, hand: Hand) -> Any:
        await write_both(job, hand)
        if ending == "returns":
            return said
        raise said

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    assert ledger.sides(job_id) == []
    assert ledger.statuses(job_id) == STATUSES.get(type(said), ["exception"])
    assert len(ledger.jobs()) == isinstance(said, Snooze | Retry)


async def test_a_failed_attempt_is_made_again_and_writes_once(desk: Desk, ledger: Ledger) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await write_both(job, hand)
        if job.attempts < 2:
            raise Refused("not yet")

    desk.handle("post", work, max_attempts=3, backoff=AT_ONCE)
    [job_id] = ledger.enqueue("post")
    async with running(desk.pgq):
        await aeventually(lambda: not ledger.jobs())
    assert ledger.sides(job_id) == ["credit", "debit"]
    assert [(entry.status, entry.retried, entry.error) for entry in ledger.log()] == [
        ("exception", True, "Refused: not yet"),
        ("exception", True, "Refused: not yet"),
        ("successful", False, None),
    ]


async def test_a_handler_that_is_canceled_leaves_nothing_behind(desk: Desk, ledger: Ledger) -> None:
    is_canceled = threading.Event()
    contexts: list[Context] = []

    async def work(job: Job, hand: Hand) -> None:
        await write_both(job, hand)
        contexts.append(hand.context)
        await hand.wait(is_canceled)

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    async with running(desk.pgq):
        await aeventually(lambda: contexts)
        ledger.cancel(job_id)
        await aeventually(lambda: contexts[0].cancellation.cancel_called)
        is_canceled.set()  # an async handler has been interrupted; a thread ends when it likes
        await aeventually(lambda: not ledger.jobs())
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == ([], ["canceled"])


@pytest.mark.parametrize("number", [FINISHING, COMMITTING])
async def test_to_cancel_is_too_late_once_the_job_is_being_ended(
    desk: Desk, ledger: Ledger, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    desk.handle("post", write_both)
    [job_id] = ledger.enqueue("post")
    with ledger.shut(number) as door:
        async with running(desk.pgq, heartbeat_timeout=seconds(3)):
            await door.aawait_one()
            canceling = asyncio.create_task(asyncio.to_thread(ledger.cancel, job_id))
            await asyncio.sleep(1.2)  # a heartbeat, which does not wait for anybody
            assert not canceling.done()
            door.open()
            assert await canceling == {}  # it found the job gone
            await aeventually(lambda: not ledger.jobs())
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["credit", "debit"], ["successful"])
    assert "is lost" not in caplog.text


async def test_an_attempt_that_takes_too_long_leaves_nothing_behind(desk: Desk, ledger: Ledger) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await write_both(job, hand)
        await hand.execute("SELECT pg_sleep(0.5)")

    desk.handle("post", work, timeout=timedelta(seconds=0.2))
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status) == ([], "exception")
    assert entry.error.startswith("TimeoutError")


async def test_a_timeout_that_comes_while_the_job_is_being_ended_comes_too_late(
    desk: Desk, ledger: Ledger
) -> None:
    desk.handle("post", write_both, timeout=timedelta(seconds=2))
    [job_id] = ledger.enqueue("post")
    with ledger.shut(COMMITTING) as door:
        async with running(desk.pgq):
            await door.aawait_one()
            await asyncio.sleep(2.1)
            door.open()
            await aeventually(lambda: not ledger.jobs())
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["credit", "debit"], ["successful"])


# What a handler does to its transaction


async def test_an_error_that_the_handler_swallowed_fails_the_attempt(desk: Desk, ledger: Ledger) -> None:
    """PostgreSQL has aborted the transaction, and would answer its COMMIT by ROLLBACK, without an error."""

    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "lost")
        with pytest.raises(Exception, match="division by zero"):
            await hand.execute("SELECT 1 / 0")

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status) == ([], "exception")
    assert "transaction is aborted" in entry.error


@pytest.mark.parametrize("name", ON_SQLALCHEMY)
async def test_a_plain_handler_that_swallowed_an_error_does_not_pass_for_a_success(
    ledger: Ledger, name: str
) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "lost")
        with pytest.raises(Exception, match="division by zero"):
            await hand.execute("SELECT 1 / 0")

    desk = DESKS[name](ledger.dsn)
    desk.handle("post", work, transactional=False)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status) == ([], "exception")
    assert entry.error.startswith("TransactionAborted: the handler returned, but an error that it caught")
    await desk.close()


async def test_a_part_that_fails_in_a_savepoint_is_rolled_back_alone(desk: Desk, ledger: Ledger) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "kept")
        await hand.execute("SAVEPOINT part")
        await hand.write(job, "lost")
        with pytest.raises(Exception, match="division by zero"):
            await hand.execute("SELECT 1 / 0")
        await hand.execute("ROLLBACK TO SAVEPOINT part")

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["kept"], ["successful"])


async def test_a_handler_that_commits_by_itself_is_refused(desk: Desk, ledger: Ledger) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "alone")
        await hand.commit()

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status) == ([], "exception")
    assert entry.error.startswith(("CommitRefused: ", "TransactionManagementError: "))


async def test_a_commit_that_was_refused_leaves_the_transaction_as_it_was(desk: Desk, ledger: Ledger) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "kept")
        for _ in range(2):
            with pytest.raises(Exception, match=r"transactional|atomic"):
                await hand.commit()
        await hand.write(job, "too")

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    assert (ledger.sides(job_id), ledger.statuses(job_id)) == (["kept", "too"], ["successful"])


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_serialization_failure_at_the_end_fails_the_attempt_which_is_made_again(
    desk: Desk, ledger: Ledger, level: str
) -> None:
    is_written, is_touched = threading.Event(), threading.Event()

    async def work(job: Job, hand: Hand) -> None:
        await hand.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        await hand.write(job, f"attempt {job.attempts + 1}")
        is_written.set()
        await hand.wait(is_touched)

    desk.handle("post", work, max_attempts=2, backoff=AT_ONCE)
    [job_id] = ledger.enqueue("post")
    async with running(desk.pgq):
        await aeventually(is_written.is_set)
        ledger.execute("UPDATE pgq_job SET headers = '{}'")
        is_touched.set()
        await aeventually(lambda: not ledger.jobs())
    assert ledger.sides(job_id) == ["attempt 2"]
    failed, successful = ledger.log(job_id)
    assert (failed.status, failed.retried, successful.status) == ("exception", True, "successful")
    assert "could not serialize access" in failed.error


async def test_a_read_only_transaction_cannot_end_its_job(desk: Desk, ledger: Ledger) -> None:
    async def work(job: Job, hand: Hand) -> None:
        await hand.execute("SET TRANSACTION READ ONLY")

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert entry.status == "exception"
    assert "read-only transaction" in entry.error


@pytest.mark.parametrize("result", [object(), float("nan"), "a NUL \0"], ids=["an object", "NaN", "NUL"])
async def test_a_result_that_is_no_json_does_no_harm(desk: Desk, ledger: Ledger, result: Any) -> None:
    async def work(job: Job, hand: Hand) -> Any:
        await hand.write(job, "kept")
        return result

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status, entry.result) == (["kept"], "successful", None)


async def test_a_result_that_only_the_database_refuses_fails_the_attempt(desk: Desk, ledger: Ledger) -> None:
    ledger.execute("ALTER TABLE pgq_log ADD CONSTRAINT small CHECK (length(CAST(result AS text)) < 100)")

    async def work(job: Job, hand: Hand) -> str:
        await hand.write(job, "lost")
        return "x" * 1000

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status) == ([], "exception")
    assert 'violates check constraint "small"' in entry.error
