"""Outcomes: every attempt ends in one, none holds up another, and what cannot be written is kept."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.operations.endings import Outcome
from pgq_orm.retries import Backoff
from pgq_orm.sqlalchemy.store import open_store
from pgq_orm.statuses import LogStatus
from pgq_orm.store import BOOKKEEPING_SETTINGS
from pgq_orm.worker import recorder
from pgq_orm.worker.leases import Leases
from pgq_orm.worker.recorder import Recorder
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.executors.jobs import picked_job
from tests.worker.queues import Queue
from tests.worker.wire import Wire
from tests.worker.workers import running, seconds

drain = QueueExecutionMode.drain


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("this error cannot even be told")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


def raising(error: BaseException) -> Callable[[Job], None]:
    def handler(job: Job) -> None:
        raise error

    return handler


def raising_in_a_task(error: BaseException) -> Callable[[Job], Any]:
    async def handler(job: Job) -> None:
        await asyncio.sleep(0)
        raise error

    return handler


ERRORS: dict[str, BaseException] = {
    "an ordinary one": ValueError("no such thing"),
    "sys.exit()": SystemExit(3),
    "Ctrl-C": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration("nothing left"),
    "CancelledError of its own": asyncio.CancelledError("some future was cancelled"),
    "a group": BaseExceptionGroup("several", [ValueError("one"), SystemExit(2)]),
    "NUL and a lone surrogate": ValueError("a\0b\ud800c"),
    "one that cannot be told": Unspeakable(),
    "one whose text exits": Unprintable(),
    "one with megabytes of text": ValueError("x" * 3_000_000),
}


@pytest.mark.parametrize("make", [raising, raising_in_a_task], ids=["in a thread", "in a task"])
async def test_an_exception_of_any_kind_is_an_outcome(
    pgq: PgQueuer, queue: Queue, make: Callable[[BaseException], Callable[[Job], Any]]
) -> None:
    for name, error in ERRORS.items():
        pgq.entrypoint(name)(make(error))
    pgq.entrypoint("good")(lambda job: "fine")

    queue.enqueue([*ERRORS, "good"])  # type: ignore[arg-type]
    await pgq.run(mode=drain)

    log = {entry.entrypoint: entry for entry in queue.log()}
    assert log.keys() == {*ERRORS, "good"}
    assert log.pop("good").result == "fine"
    for entry in log.values():
        assert entry.status == "exception"
        assert entry.error
        assert "Traceback" in entry.traceback or entry.entrypoint == "one with megabytes of text"
        assert len(entry.traceback) <= 20_000
    assert log["an ordinary one"].error == "ValueError: no such thing"
    assert "SystemExit" in log["sys.exit()"].error
    assert "3" in log["sys.exit()"].error
    assert "StopIteration" in log["StopIteration"].error
    assert log["NUL and a lone surrogate"].error == "ValueError: a\N{REPLACEMENT CHARACTER}b?c"
    assert queue.jobs() == []


async def test_a_failed_job_keeps_what_is_needed_to_run_it_again(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("bad")(raising(ValueError("no")))
    pgq.entrypoint("good")(lambda job: None)
    queue.enqueue(["bad", "good"], b"input", headers={"trace": "abc"}, dedupe_key=["x", "y"])  # type: ignore[arg-type]
    await pgq.run(mode=drain)
    bad, good = sorted(queue.log(), key=lambda entry: entry.entrypoint)
    assert (bytes(bad.payload), bad.headers, bad.dedupe_key) == (b"input", {"trace": "abc"}, "x")
    assert (good.payload, good.headers, good.dedupe_key) == (None, None, "y")


async def test_an_outcome_that_the_database_refuses_does_not_hold_up_the_others(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder, "REFUSED_SECONDS", 0.5)
    ran: list[int] = []

    @pgq.entrypoint("refused")
    async def refused(job: Job) -> None:
        ran.append(job.id)

    @pgq.entrypoint("failing")
    async def failing(job: Job) -> None:
        raise ValueError("no")

    pgq.entrypoint("good")(lambda job: ran.append(job.id))
    refuse(queue, "refused")
    entrypoints = ["good", "refused", "good", "failing", "refused", "good"]
    job_ids = queue.enqueue(entrypoints)  # type: ignore[arg-type]
    async with running(pgq):
        await aeventually(lambda: len(queue.log()) == 4)
        assert len(queue.jobs()) == 2
        # What comes later is not held up either, and what was refused is kept until it can be written.
        later = queue.enqueue("good", [None] * 5)
        await aeventually(lambda: len(queue.log()) == 9)
        queue.execute("DROP TRIGGER refuse ON pgq_log")
        await aeventually(lambda: not queue.jobs())

    assert sorted(ran) == sorted([*(set(job_ids) - {job_ids[3]}), *later])  # each once
    assert "refused by the database" in caplog.text


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that soon give up waiting for a lock, and soon look again whether it is free."""
    monkeypatch.setitem(BOOKKEEPING_SETTINGS, "lock_timeout", "200ms")
    monkeypatch.setattr(recorder, "HELD_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ending", ["succeeds", "is to be retried", "releases another"])
async def test_a_job_that_an_application_holds_does_not_hold_up_the_others(
    each_pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    ran: list[int] = []
    release = asyncio.Event()

    @each_pgq.entrypoint("work", max_attempts=2)
    async def work(job: Job) -> str:
        ran.append(job.id)
        await release.wait()
        if ending == "is to be retried" and job.attempts == 0:
            raise ValueError("once more")
        return "all of it"

    job, *others = queue.enqueue("work", [None] * 20)
    [held] = queue.enqueue("work", depends_on=job) if ending == "releases another" else [job]
    async with running(each_pgq):
        await aeventually(lambda: len(ran) == 20)
        with queue.hold(held):
            release.set()
            await aeventually(lambda: {entry.job_id for entry in queue.log()} == set(others))
            # nor what comes later
            [later] = queue.enqueue("work")
            await aeventually(lambda: queue.log(later) != [])
            assert queue.log(job) == []
        await aeventually(lambda: not queue.jobs())

    entry = queue.log(job)[-1]
    assert (entry.status, entry.result) == ("successful", "all of it")
    runs = 2 if ending == "is to be retried" else 1
    assert {ran.count(job_id) for job_id in (job, *others)} == {runs}
    assert f"Job {job} is held by a transaction of somebody else" in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_not_to_learn_whether_a_job_is_still_held_does_not_hold_up_the_others(
    pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        await may_end.wait()

    [held] = queue.enqueue("work")
    async with running(pgq):
        await aeventually(lambda: queue.job(held).status == "picked")
        with queue.hold(held):
            may_end.set()
            await aeventually(lambda: f"Job {held} is held by" in caplog.text)
            # the question reads it, to learn of jobs that wait for the held one
            queue.execute("ALTER TABLE pgq_dependency RENAME TO away")
            await aeventually(lambda: "Cannot learn which jobs are still held" in caplog.text)
            [later] = queue.enqueue("work")
            await aeventually(lambda: queue.statuses(later) == ["successful"])
        queue.execute("ALTER TABLE away RENAME TO pgq_dependency")
        await aeventually(lambda: queue.statuses(held) == ["successful"])


@pytest.mark.usefixtures("impatient")
async def test_of_two_outcomes_of_a_job_that_somebody_holds_the_one_whose_lease_is_valid_is_kept(
    async_engine: AsyncEngine, queue: Queue
) -> None:
    [job_id] = queue.enqueue("work")
    leases = Leases(on_dropped=lambda dropped: None)
    store = open_store(async_engine)
    writing = Recorder(
        store=store, worker_id=uuid4(), leases=leases, on_delayed=lambda delay: None, on_idle=lambda: None
    )
    queue.execute("UPDATE pgq_job SET status = 'picked', lease = 3, worker_id = gen_random_uuid()")
    leases.hold([replace(picked_job(), id=job_id, lease=3)])
    with queue.hold(job_id):
        for lease in (3, 1):  # the handler of the lost attempt ended only now
            writing.add(Outcome(job_id, lease, LogStatus.SUCCESSFUL, 0.0, 0.1))
        writing.start()
        await asyncio.sleep(1)
    await aeventually(lambda: queue.statuses(job_id) == ["successful"])
    await writing.stop(1)
    await store.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("patience_seconds", [60.0, 0.0])
async def test_a_worker_that_is_to_end_waits_for_who_holds_a_job_but_not_for_ever(
    pgq: PgQueuer,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    patience_seconds: float,
) -> None:
    monkeypatch.setattr(recorder, "HELD_PATIENCE_SECONDS", patience_seconds)
    started, release = asyncio.Event(), asyncio.Event()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await release.wait()

    [job_id] = queue.enqueue("work")
    async with running(pgq) as worker:
        await aeventually(started.is_set)
        with queue.hold(job_id):
            release.set()
            pgq.shutdown.set()
            await aeventually(lambda: "is held by a transaction of somebody else" in caplog.text)
            if patience_seconds == 0:
                await worker
    assert queue.statuses(job_id) == ([] if patience_seconds == 0 else ["successful"])
    assert ("could not be written; they will be rescued" in caplog.text) == (patience_seconds == 0)


async def test_a_worker_ends_although_an_outcome_is_refused_and_says_which(
    pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    pgq.entrypoint("refused")(lambda job: None)
    refuse(queue, "refused")
    [job_id] = queue.enqueue("refused")
    async with running(pgq):
        await aeventually(lambda: "refused by the database" in caplog.text)
    [error] = [record for record in caplog.records if "could not be written; they will be" in record.message]
    assert error.levelno == logging.ERROR
    assert str(job_id) in error.message
    assert queue.worker_ids() == []


def refuse(queue: Queue, entrypoint: str) -> None:
    queue.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON pgq_log FOR EACH ROW
            WHEN (NEW.entrypoint = '{entrypoint}') EXECUTE FUNCTION refuse()
        """
    )


@pytest.mark.parametrize("heartbeat_timeout", [60, 3], ids=["a moment", "longer than the lease"])
async def test_outcomes_are_kept_and_written_when_the_database_comes_back(
    wired_pgq: PgQueuer, queue: Queue, wire: Wire, caplog: pytest.LogCaptureFixture, heartbeat_timeout: float
) -> None:
    """After an outage longer than its lease the worker comes back as another one, but what it has done is done."""
    release = asyncio.Event()
    ran: list[int] = []

    @wired_pgq.entrypoint("wait")
    async def wait(job: Job) -> str:
        ran.append(job.id)
        await release.wait()
        if job.payload == b"fails":
            raise ValueError("no")
        return "done meanwhile"

    good, bad = queue.enqueue("wait", [b"succeeds", b"fails"])
    async with running(wired_pgq, heartbeat_timeout=seconds(heartbeat_timeout)):
        await aeventually(lambda: len(ran) == 2)
        wire.cut()
        release.set()
        awaited = "Recorder failed" if heartbeat_timeout == 60 else "stops its jobs"
        await aeventually(lambda: awaited in caplog.text)
        assert queue.log() == []
        wire.mend()
        await aeventually(lambda: len(queue.log()) == 2)
        later = queue.enqueue("wait")
        await aeventually(lambda: queue.statuses(*later) == ["successful"])

    [entry] = queue.log(good)
    assert (entry.status, entry.result, entry.attempt) == ("successful", "done meanwhile", 1)
    assert queue.statuses(bad) == ["exception"]
    assert len(ran) == 3


async def test_a_handler_that_cancels_its_own_task_fails_and_is_retried_as_its_entrypoint_says(
    pgq: PgQueuer, queue: Queue
) -> None:
    runs: list[int] = []

    @pgq.entrypoint(
        "selfish",
        max_attempts=2,
        backoff=Backoff(seconds(0), seconds(0)),
        retry_on=(asyncio.CancelledError,),
    )
    async def selfish(job: Job) -> None:
        runs.append(job.attempts)
        task = asyncio.current_task()
        assert task is not None
        task.cancel("of all things")
        await asyncio.sleep(3600)

    [job_id] = queue.enqueue("selfish")
    async with running(pgq):
        await aeventually(lambda: not queue.jobs())
    assert runs == [0, 1]
    assert [entry.retried for entry in queue.log(job_id)] == [True, False]
    assert "CancelledError" in queue.log(job_id)[-1].error


async def test_an_application_whose_log_records_have_a_job_id_loses_no_outcome(
    pgq: PgQueuer, queue: Queue
) -> None:
    make = logging.getLogRecordFactory()

    def make_with_job_id(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.job_id = None
        return record

    pgq.entrypoint("at once")(raising(ValueError("no such thing")))
    pgq.entrypoint("later")(raising_in_a_task(ValueError("no such thing")))
    queue.enqueue(["at once", "later"] * 3, [None] * 6)  # type: ignore[arg-type]
    logging.setLogRecordFactory(make_with_job_id)
    try:
        await pgq.run(mode=drain)
    finally:
        logging.setLogRecordFactory(make)
    assert queue.jobs() == []
    assert queue.statuses() == ["exception"] * 6
