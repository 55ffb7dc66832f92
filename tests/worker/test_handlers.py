"""Handlers: how they are called, what they are given, and what becomes of their sessions."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from pgq_orm import INJECTED, PgQueuer
from pgq_orm.errors import RegistrationError
from pgq_orm.models import Context, Job
from pgq_orm.sqlalchemy import Queries, SyncQueries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import running

drain = QueueExecutionMode.drain


class Refused(Exception):
    pass


@pytest.fixture
def notes(queue: Queue) -> Queue:
    """The queue's database, with a table of the application's own."""
    queue.execute("CREATE TABLE note (text text UNIQUE)")
    return queue


def written(notes: Queue) -> list[str]:
    return notes.scalars("SELECT text FROM note ORDER BY text")


async def test_async_handlers_run_on_the_loop_and_sync_ones_in_threads(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    threads: dict[str, threading.Thread] = {}

    @each_pgq.entrypoint("async")
    async def on_the_loop(job: Job) -> None:
        threads["async"] = threading.current_thread()

    @each_pgq.entrypoint("sync")
    def in_a_thread(job: Job) -> None:
        threads["sync"] = threading.current_thread()

    queue.enqueue(["async", "sync"])  # type: ignore[arg-type]
    await each_pgq.run(mode=drain)

    assert threads["async"] is threading.main_thread()
    assert threads["sync"] is not threading.main_thread()
    assert queue.statuses() == ["successful"] * 2
    assert queue.jobs() == []


async def test_a_handler_is_given_the_job_as_it_was_enqueued(each_pgq: PgQueuer, queue: Queue) -> None:
    given: list[Job] = []
    each_pgq.entrypoint("fetch")(given.append)
    [job_id] = queue.enqueue(
        "fetch",
        None,
        priority=7,
        arguments={"größe": [1, 2.5, None]},
        headers={"trace": "abc"},
        dedupe_key="only one",
        max_attempts=3,
    )

    await each_pgq.run(mode=drain)

    [job] = given
    assert (job.id, job.entrypoint, job.priority, job.attempts) == (job_id, "fetch", 7, 0)
    assert job.arguments == {"größe": [1, 2.5, None]}
    assert job.headers == {"trace": "abc"}
    assert (job.dedupe_key, job.max_attempts, job.status) == ("only one", 3, "picked")


async def test_a_payload_of_any_bytes_arrives_as_it_was(each_pgq: PgQueuer, queue: Queue) -> None:
    given: list[bytes | None] = []

    @each_pgq.entrypoint("fetch")
    async def fetch(job: Job) -> None:
        given.append(job.payload)

    payloads = [b"\0\xff", b"", None]
    queue.enqueue("fetch", payloads)
    await each_pgq.run(mode=drain)
    assert given == payloads


async def test_the_context_comes_by_annotation_with_the_applications_resources(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.resources["client"] = "shared"
    given: list[tuple[Any, ...]] = []

    @pgq.entrypoint("fetch")
    def fetch(job: Job, surroundings: Context) -> None:
        given.append((surroundings.resources["client"], surroundings.job is job, surroundings.schedule))

    queue.enqueue("fetch")
    await pgq.run(mode=drain)
    assert given == [("shared", True, None)]


async def test_each_attempt_is_one_row_of_the_log(each_pgq: PgQueuer, queue: Queue) -> None:
    worker_ids: list[Any] = []

    @each_pgq.entrypoint("sum", max_attempts=2)
    def add(job: Job) -> dict[str, int]:
        worker_ids.extend(queue.worker_ids())
        if job.attempts == 0:
            raise Refused("not yet")
        return {"sum": 3}

    [job_id] = queue.enqueue("sum", b"1+2", headers={"trace": "abc"})
    queue.execute("UPDATE pgq_job SET created = created - interval '1 hour'")
    async with running(each_pgq):
        await aeventually(lambda: len(queue.log()) == 2)

    failed, successful = queue.log(job_id)
    assert (failed.attempt, failed.retried, failed.status) == (1, True, "exception")
    assert failed.error == "Refused: not yet"
    assert 'raise Refused("not yet")' in failed.traceback
    assert failed.result is None
    assert (successful.attempt, successful.retried, successful.status) == (2, False, "successful")
    assert successful.result == {"sum": 3}
    assert successful.error is None
    assert successful.traceback is None
    for attempt in (failed, successful):
        assert attempt.worker_id == worker_ids[0]
        assert attempt.created - attempt.enqueued > timedelta(hours=1)
        assert timedelta(0) <= attempt.duration < attempt.created - attempt.started + timedelta(seconds=1)
        assert (attempt.entrypoint, attempt.queue) == ("sum", "default")


@pytest.mark.parametrize(
    "result",
    [
        object(),
        float("nan"),
        "a lone surrogate \ud800",
        "a NUL \0",
        {1: {2, 3}},
        [[]],
    ],
    ids=["an object", "NaN", "a lone surrogate", "NUL", "a set", "endless"],
)
async def test_a_result_that_is_no_json_does_no_harm(pgq: PgQueuer, queue: Queue, result: Any) -> None:
    if result == [[]]:
        result.append(result)

    @pgq.entrypoint("fetch")
    async def fetch(job: Job) -> Any:
        return result

    queue.enqueue("fetch")
    await pgq.run(mode=drain)
    [entry] = queue.log()
    assert (entry.status, entry.result, entry.error) == ("successful", None, None)


async def test_a_result_that_only_the_database_refuses_is_left_out(pgq: PgQueuer, queue: Queue) -> None:
    queue.execute("ALTER TABLE pgq_log ADD CONSTRAINT small CHECK (length(CAST(result AS text)) < 100)")

    @pgq.entrypoint("fetch")
    async def fetch(job: Job) -> str:
        return "x" * 1000

    queue.enqueue("fetch")
    await pgq.run(mode=drain)
    [entry] = queue.log()
    assert (entry.status, entry.result) == ("successful", None)
    assert "could not be written" in entry.error


async def test_a_job_without_a_handler_here_is_left_in_the_queue(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("mine")(lambda job: None)
    ours, theirs = queue.enqueue(["mine", "theirs"])  # type: ignore[arg-type]
    await pgq.run(mode=drain)
    assert queue.statuses(ours) == ["successful"]
    left = queue.job(theirs)
    assert (left.status, left.lease, left.attempts) == ("queued", 0, 0)


async def test_a_worker_serves_its_own_queues_only(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("mine")(lambda job: None)
    here, there, elsewhere = queue.enqueue("mine", [None] * 3, queue=["default", "mail", "other"])
    await pgq.run(mode=drain, queues=("default", "mail"))
    assert queue.statuses(here) == queue.statuses(there) == ["successful"]
    assert queue.job(elsewhere).status == "queued"


# Sessions


async def test_an_async_session_is_committed_on_return_and_rolled_back_on_raise(
    async_engine: AsyncEngine, notes: Queue
) -> None:
    pgq = PgQueuer(async_engine)

    @pgq.entrypoint("note")
    async def note(job: Job, session: AsyncSession) -> None:
        await session.execute(text("INSERT INTO note VALUES (:text)"), {"text": job.payload.decode()})
        if job.payload == b"bad":
            raise Refused

    notes.enqueue("note", [b"good", b"bad", b"fine"])
    await pgq.run(mode=drain)
    assert written(notes) == ["fine", "good"]


async def test_a_session_is_committed_on_return_and_rolled_back_on_raise(
    engine: Engine, notes: Queue
) -> None:
    pgq = PgQueuer(engine)

    @pgq.entrypoint("note")
    def note(job: Job, session: Session) -> None:
        session.execute(text("INSERT INTO note VALUES (:text)"), {"text": job.payload.decode()})
        if job.payload == b"bad":
            raise SystemExit(1)

    notes.enqueue("note", [b"good", b"bad", b"fine"])
    await pgq.run(mode=drain)
    assert written(notes) == ["fine", "good"]
    assert sorted(notes.statuses()) == ["exception", "successful", "successful"]


async def test_an_async_handler_may_do_as_it_likes_with_its_session(
    async_engine: AsyncEngine, notes: Queue
) -> None:
    pgq = PgQueuer(async_engine)

    async def insert(session: AsyncSession, note: str) -> None:
        await session.execute(text("INSERT INTO note VALUES (:text)"), {"text": note})

    @pgq.entrypoint("commits")
    async def commits(job: Job, session: AsyncSession) -> None:
        await insert(session, "committed")
        await session.commit()
        await insert(session, "then more")

    @pgq.entrypoint("closes")
    async def closes(job: Job, session: AsyncSession) -> None:
        await insert(session, "lost")
        await session.close()

    @pgq.entrypoint("breaks")
    async def breaks(job: Job, session: AsyncSession) -> None:
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1 / 0"))

    @pgq.entrypoint("kills")
    async def kills(job: Job, session: AsyncSession) -> None:
        await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    @pgq.entrypoint("plain")
    async def plain(job: Job, session: AsyncSession) -> None:
        await insert(session, f"after {job.id}")

    for entrypoint in ("commits", "closes", "breaks", "kills"):
        [job_id], [after] = notes.enqueue(entrypoint), notes.enqueue("plain")
        await pgq.run(mode=drain, max_concurrent_tasks=1)
        assert notes.statuses(job_id) == ["exception" if entrypoint in ("breaks", "kills") else "successful"]
        assert notes.statuses(after) == ["successful"]
        assert f"after {after}" in written(notes)
    assert {"committed", "then more"} <= set(written(notes))
    assert "lost" not in written(notes)


async def test_a_sync_handler_may_do_as_it_likes_with_its_session(engine: Engine, notes: Queue) -> None:
    pgq = PgQueuer(engine)

    def insert(session: Session, note: str) -> None:
        session.execute(text("INSERT INTO note VALUES (:text)"), {"text": note})

    @pgq.entrypoint("commits")
    def commits(job: Job, session: Session) -> None:
        insert(session, "committed")
        session.commit()
        insert(session, "then more")

    @pgq.entrypoint("closes")
    def closes(job: Job, session: Session) -> None:
        insert(session, "lost")
        session.close()

    @pgq.entrypoint("breaks")
    def breaks(job: Job, session: Session) -> None:
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT 1 / 0"))

    @pgq.entrypoint("kills")
    def kills(job: Job, session: Session) -> None:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    @pgq.entrypoint("plain")
    def plain(job: Job, session: Session) -> None:
        insert(session, f"after {job.id}")

    for entrypoint in ("commits", "closes", "breaks", "kills"):
        [job_id], [after] = notes.enqueue(entrypoint), notes.enqueue("plain")
        await pgq.run(mode=drain, max_concurrent_tasks=1)
        assert notes.statuses(job_id) == ["exception" if entrypoint in ("breaks", "kills") else "successful"]
        assert notes.statuses(after) == ["successful"]
    assert {"committed", "then more"} <= set(written(notes))
    assert "lost" not in written(notes)


async def test_jobs_enqueued_on_the_handlers_session_join_its_transaction(
    async_engine: AsyncEngine, queue: Queue
) -> None:
    pgq = PgQueuer(async_engine)
    pgq.entrypoint("child")(lambda job: None)

    @pgq.entrypoint("parent")
    async def parent(job: Job, session: AsyncSession) -> None:
        await Queries(session).enqueue("child", job.payload)
        if job.payload == b"of the bad one":
            raise Refused

    queue.enqueue("parent", [b"of the good one", b"of the bad one"])
    await pgq.run(mode=drain)
    children = [entry for entry in queue.log() if entry.entrypoint == "child"]
    assert [child.status for child in children] == ["successful"]
    assert queue.jobs() == []


async def test_jobs_enqueued_in_a_thread_join_the_handlers_transaction(engine: Engine, queue: Queue) -> None:
    pgq = PgQueuer(engine)
    pgq.entrypoint("child")(lambda job: None)

    @pgq.entrypoint("parent")
    def parent(job: Job, session: Session) -> None:
        SyncQueries(session).enqueue("child", job.payload)
        if job.payload == b"of the bad one":
            raise Refused

    queue.enqueue("parent", [b"of the good one", b"of the bad one"])
    await pgq.run(mode=drain)
    assert [entry.entrypoint for entry in queue.log()].count("child") == 1


async def test_a_session_that_the_engine_cannot_give_is_refused_at_the_start(
    pgq: PgQueuer, engine: Engine
) -> None:
    @pgq.entrypoint("note")
    def note(job: Job, session: Session) -> None: ...

    with pytest.raises(RegistrationError, match="give PgQueuer the Engine"):
        await pgq.run(mode=drain)


async def test_a_session_that_a_plain_function_could_not_await_is_refused_at_the_start(pgq: PgQueuer) -> None:
    @pgq.task
    def note(text: str, session: AsyncSession = INJECTED) -> None: ...

    with pytest.raises(
        RegistrationError,
        match=r"note\(\) has the parameter .*session.*: a plain function cannot await an Async",
    ):
        await pgq.run(mode=drain)


async def test_a_session_that_would_block_the_loop_is_refused_at_the_start(engine: Engine) -> None:
    pgq = PgQueuer(engine)

    @pgq.entrypoint("note")
    async def note(job: Job, session: Session) -> None: ...

    with pytest.raises(
        RegistrationError, match="a Session would block the event loop: make it a plain `def`"
    ):
        await pgq.run(mode=drain)


async def test_handlers_that_use_up_the_applications_pool_do_not_keep_the_worker_from_its_books(
    pgq: PgQueuer, queue: Queue
) -> None:
    """The default pool has 15 connections; all of them are held while jobs without a session come and go."""
    release = asyncio.Event()

    @pgq.entrypoint("hold")
    async def hold(job: Job, session: AsyncSession) -> None:
        await session.execute(text("SELECT 1"))
        await release.wait()

    pgq.entrypoint("plain")(lambda job: None)
    queue.enqueue("hold", [None] * 20)
    async with running(pgq):
        await aeventually(lambda: len(queue.scalars("SELECT 1 FROM pgq_job WHERE status = 'picked'")) == 20)
        [job_id] = queue.enqueue("plain")
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
        release.set()


async def test_what_a_worker_sets_on_its_own_connections_never_reaches_the_applications(
    async_engine: AsyncEngine, queue: Queue
) -> None:
    pgq = PgQueuer(async_engine)
    settings: dict[str, str] = {}

    @pgq.entrypoint("look")
    async def look(job: Job, session: AsyncSession) -> None:
        for name in ("statement_timeout", "enable_sort", "transaction_isolation", "application_name"):
            settings[name] = await session.scalar(text(f"SHOW {name}"))

    queue.enqueue("look")
    await pgq.run(mode=drain)
    assert settings["statement_timeout"] == "0"
    assert settings["enable_sort"] == "on"
    assert settings["application_name"] != "pgq-orm"
